"""A question about images and videos: as messages, and as the tensors a vision-language model takes."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Visual:
    """One image or video as its processor made it.

    pixels: (patches, 1176) for Qwen, (frames, 3, height, width) for InternVL. grid: (1, 3) time, height, width in
    patches; None for InternVL. seconds_per_grid: seconds between temporal patches (0 for an image), so that mRoPE
    positions follow real time. motion: (tokens, features) of SlowFast where they were computed before the pixels were
    let go, see `families.without_pixels`.
    """

    kind: str
    pixels: torch.Tensor
    grid: torch.Tensor | None = None
    seconds_per_grid: float = 0.0
    motion: torch.Tensor | None = None


@dataclass(frozen=True)
class EncodedPrompt:
    """A question about one or more visuals. ids, token_types: (P,) with P prompt tokens; type 0 is text."""

    ids: torch.Tensor
    token_types: torch.Tensor
    visuals: tuple[Visual, ...]


def messages(kinds: Sequence[str], text: str) -> list[dict]:
    """The dialogue about images and videos: they come first, in order, then the question."""
    return [{"role": "user", "content": [*({"type": kind} for kind in kinds), {"type": "text", "text": text}]}]


def pad(rows: list[torch.Tensor], value: int, side: str) -> torch.Tensor:
    """Stack rows of unequal length, filled with `value` on the given side."""
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value, padding_side=side)
