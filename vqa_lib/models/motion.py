"""InternVL3 with VQAThinker's motion branch: SlowFast's view of a video as a token of its own in the prompt.

    Frame1: <img>...</img> ... FrameN: <img>...</img>
    Motion Feature: <img><motion></img>
    question

SlowFast is frozen, and sees the frames that the vision tower sees; a small projector, which learns, takes its features
into the language model's space. A clip's features are computed once, however many prompts, rollouts, passes and epochs
use it. Source: VQAThinker, eq. 11, and its official code, which has one motion token.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from torch.nn.functional import interpolate
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLModel,
    InternVLProcessor,
)
from transformers.conversion_mapping import (
    get_checkpoint_conversion_mapping,
    register_checkpoint_conversion_mapping,
)

from vqa_lib.models.slowfast import POOLINGS, SLOW, SlowFast, pool, slow_places

MOTION, MOTION_CHUNK = "<motion>", "<motion_chunk>"  # placeholders: one a video, or one for each of its chunks
NORMALISATIONS = {  # mean and standard deviation of a channel
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "kinetics": ((0.45, 0.45, 0.45), (0.225, 0.225, 0.225)),
}
CLIPS_A_PASS = 8  # of SlowFast; bounds its memory
KEPT_BYTES = 512 * 2**20  # of features in memory: those of 58,000 clips
_KNOWN: OrderedDict[str, torch.Tensor] = OrderedDict()  # least recently used first; policy and reference share it


@strict
class InternVLMotionConfig(InternVLConfig):
    """InternVL's configuration and the motion branch's; what VQAThinker leaves open is named here.

    motion_width, motion_depths: of `SlowFast`. motion_slow: the slow pathway's frames, see `slow_places` (the official
    code: "spread"). motion_pooling: how maps become tokens, see `pool` (the official code: "windows"). motion_size:
    pixels a side that SlowFast sees, 0 for what the vision tower sees (the official code). motion_normalisation:
    "imagenet" (the official code), or "kinetics", which SlowFast was trained with.
    """

    model_type = "internvl_motion"
    auto_map: ClassVar[dict] = {}  # no remote code; TRL asks every class that is not transformers' own

    motion_token_id: int = 0
    motion_width: int = 64
    motion_depths: list[int] | tuple[int, ...] = (3, 4, 6, 3)
    motion_slow: str = "chunks"
    motion_pooling: str = "mean"
    motion_size: int = 0
    motion_normalisation: str = "imagenet"

    def __post_init__(self, **kwargs):
        options = {"motion_slow": SLOW, "motion_pooling": POOLINGS, "motion_normalisation": NORMALISATIONS}
        for name, allowed in options.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {getattr(self, name)!r}")
        super().__post_init__(**kwargs)


class InternVLMotionModel(InternVLModel):
    """transformers' InternVL, with `motion_features` scattered into the prompt as image features are."""

    config: InternVLMotionConfig

    def __init__(self, config: InternVLMotionConfig):
        super().__init__(config)
        self.motion_tower = SlowFast(config.motion_width, config.motion_depths)
        width, hidden = self.motion_tower.features, config.text_config.hidden_size
        self.motion_projector = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden)
        )
        self.motion_tower.requires_grad_(False)
        self.motion_key: str | None = None
        self.post_init()

    def train(self, mode: bool = True):
        super().train(mode)
        self.motion_tower.eval()  # its averages over batches are part of what is frozen
        return self

    @torch.no_grad()
    def motion_of(self, videos: Sequence[torch.Tensor]) -> torch.Tensor:
        """What SlowFast says of videos, (tokens of all videos, features), each video computed once in this process.

        videos: (T, 3, height, width), as the vision tower's processor made them. The tower's weights must not change
        after the first call: they are part of what features are kept under.
        """
        keys = [self._key(video) for video in videos]
        by_shape: dict[torch.Size, dict[str, torch.Tensor]] = {}
        for key, video in zip(keys, videos, strict=True):
            if key not in _KNOWN:
                by_shape.setdefault(video.shape, {})[key] = video
        found = {key: _KNOWN[key] for key in keys if key in _KNOWN}
        for same in by_shape.values():
            owed = list(same)
            for start in range(0, len(owed), CLIPS_A_PASS):
                part = owed[start : start + CLIPS_A_PASS]
                found |= zip(part, self._watch(torch.stack([same[key] for key in part])).cpu(), strict=True)
        for key in keys:
            _KNOWN[key] = found[key]
            _KNOWN.move_to_end(key)
        while len(_KNOWN) * found[keys[0]].nbytes > KEPT_BYTES:
            _KNOWN.popitem(last=False)
        return torch.cat([found[key] for key in keys])

    def _key(self, video: torch.Tensor) -> str:
        if self.motion_key is None:
            weights = [weight.float().numpy(force=True) for weight in self.motion_tower.state_dict().values()]
            settings = [value for name, value in self.config.to_dict().items() if name.startswith("motion_")]
            self.motion_key = _digest(repr(settings).encode(), *weights)
        # Kept with the tensor: a step's many forwards show the model the very same pixels.
        if not hasattr(video, "pixels_digest"):
            video.pixels_digest = _digest(repr(video.shape).encode(), video.float().numpy(force=True))
        return _digest(self.motion_key.encode(), video.pixels_digest.encode())

    def _watch(self, videos: torch.Tensor) -> torch.Tensor:
        """(n, T, 3, height, width) to (n, tokens a video, features)."""
        parameter = next(self.motion_tower.parameters())
        videos = videos.to(parameter.device, torch.float32)
        if self.config.motion_normalisation != "imagenet":
            mean, spread = (_by_channel(numbers, videos) for numbers in NORMALISATIONS["imagenet"])
            other_mean, other_spread = (
                _by_channel(numbers, videos) for numbers in NORMALISATIONS[self.config.motion_normalisation]
            )
            videos = (videos * spread + mean - other_mean) / other_spread
        if side := self.config.motion_size:
            frames = interpolate(videos.flatten(0, 1), (side, side), mode="bilinear", antialias=True)
            videos = frames.unflatten(0, videos.shape[:2])
        places = slow_places(videos.shape[1], self.config.motion_slow)
        return pool(self.motion_tower(videos.to(parameter.dtype), places), places, self.config.motion_pooling)

    def forward(self, input_ids=None, motion_features=None, inputs_embeds=None, **inputs):
        """motion_features: (motion tokens, features) from `motion_of`, in the order of their places in the prompts."""
        if motion_features is not None:
            inputs_embeds = self.get_input_embeddings()(input_ids)
            places = input_ids == self.config.motion_token_id
            if int(places.sum()) != len(motion_features):
                raise ValueError(f"{int(places.sum())} places for {len(motion_features)} motion features")
            weight = next(self.motion_projector.parameters())
            projected = self.motion_projector(motion_features.to(weight.device, weight.dtype))
            inputs_embeds = inputs_embeds.masked_scatter(places[..., None], projected.to(inputs_embeds.dtype))
            input_ids = None
        return super().forward(input_ids=input_ids, inputs_embeds=inputs_embeds, **inputs)


class InternVLMotionForConditionalGeneration(InternVLForConditionalGeneration):
    """InternVL with the motion branch and its vocabulary head."""

    config: InternVLMotionConfig

    def __init__(self, config: InternVLMotionConfig):
        super(InternVLForConditionalGeneration, self).__init__(config)
        self.model = InternVLMotionModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()

    @classmethod
    def from_pretrained(cls, *arguments, **options):
        made = super().from_pretrained(*arguments, **options)
        model = made[0] if isinstance(made, tuple) else made
        model.model.motion_tower.requires_grad_(False)  # loaded weights are new parameters, which would learn
        return made

    def requires_grad_(self, requires_grad: bool = True):
        super().requires_grad_(requires_grad)
        self.model.motion_tower.requires_grad_(False)  # never learns, whatever is thawed
        return self

    def prepare_inputs_for_generation(self, input_ids, motion_features=None, is_first_iteration=False, **kwargs):
        # `generate` reads these names to know what it may be given: "kwargs" means all that forward takes.
        made = super().prepare_inputs_for_generation(input_ids, is_first_iteration=is_first_iteration, **kwargs)
        return made | ({"motion_features": motion_features} if is_first_iteration else {})


AutoConfig.register(InternVLMotionConfig.model_type, InternVLMotionConfig)
for name, other in (("internvl_motion", "internvl"), ("InternVLMotionModel", "InternVLModel")):
    # Published InternVL weights have other names than transformers' modules; so has what is saved.
    if (renamed := get_checkpoint_conversion_mapping(other)) is not None:
        register_checkpoint_conversion_mapping(name, renamed, overwrite=True)
for auto in (AutoModelForImageTextToText, AutoModelForCausalLM):  # TRL loads its reference model by the second
    auto.register(InternVLMotionConfig, InternVLMotionForConditionalGeneration)
AutoProcessor.register(InternVLMotionConfig, InternVLProcessor)


def motion_token(pooling: str) -> str:
    """The placeholder that a tokenizer of a model with that `motion_pooling` has."""
    return MOTION_CHUNK if pooling == "chunks" else MOTION


def motion_ids(tokenizer) -> dict[int, str]:
    """The placeholder that a tokenizer has, by its id; empty for a model without motion."""
    known = {tokenizer.convert_tokens_to_ids(token): token for token in (MOTION, MOTION_CHUNK)}
    return {place: token for place, token in known.items() if place not in (None, tokenizer.unk_token_id)}


def motion_places(tokenizer, frames: int) -> str:
    """What a video's prompt says of its motion, in the official code's words: "" for a tokenizer without placeholder.

    frames: how many the vision tower sees.
    """
    for token in motion_ids(tokenizer).values():
        count = len(slow_places(frames)) if token == MOTION_CHUNK else 1
        return f"\nMotion Feature: <img>{token * count}</img>"
    return ""


def _digest(*parts) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(np.ascontiguousarray(part) if isinstance(part, np.ndarray) else part)
    return digest.hexdigest()


def _by_channel(numbers: Sequence[float], like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(numbers, device=like.device)[:, None, None]
