"""What every kind of training of a judge is told alike."""

from dataclasses import dataclass, fields
from typing import Self

from vqa_lib.models.loading import QUANTIZATIONS


@dataclass(frozen=True)
class TrainingSettings:
    """The settings that GRPO and supervised training share.

    queries: records a step. steps: optimiser steps (or None, and `epochs` counts). tokens: at most so many in one
    forward with gradient; a step is gone through in pieces of that size, which changes memory, not the result.
    lora_rank: 0 trains all weights; otherwise adapters of that rank in the language model, the vision tower frozen.
    train_vision: whether the vision tower learns too (full training only). dtype: what is computed in; weights that
    learn are kept in float32. quantize: "4bit" or "8bit" for the weights below the adapters, "" to leave them whole.
    """

    learning_rate: float = 1.0e-6
    queries: int = 8
    steps: int | None = None
    epochs: float = 3
    tokens: int = 16384
    lora_rank: int = 0
    train_vision: bool = True
    warmup: int = 0
    schedule: str = "constant"
    max_grad_norm: float = 1.0
    checkpoint_every: int = 100
    dtype: str = "bfloat16"
    seed: int = 0
    quantize: str = ""

    @classmethod
    def from_params(cls, params: dict) -> Self:
        """The settings among a notebook's parameters, which carry the same names."""
        return cls(**{field.name: params[field.name] for field in fields(cls) if field.name in params})

    def __post_init__(self):
        self._check_positive("queries", "tokens", "checkpoint_every")
        if self.quantize not in ("", *QUANTIZATIONS):
            raise ValueError(f'quantize must be "" or one of {", ".join(QUANTIZATIONS)}; got {self.quantize!r}')
        if self.quantize and not self.lora_rank:
            raise ValueError(f"quantize={self.quantize!r} needs adapters: lora_rank must be at least 1, got 0")

    def _check_positive(self, *names: str) -> None:
        for name in names:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
