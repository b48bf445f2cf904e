"""Frames and a question into a model of either family; what differs is in `qwen` and `internvl`, which offer the same.

Each visual is encoded once, however many prompts, rollouts and passes use it.
"""

from collections.abc import Sequence
from types import ModuleType

import torch

from vqa_lib.models import internvl, qwen
from vqa_lib.models.dialogue import EncodedPrompt, Visual, messages
from vqa_lib.models.motion import InternVLMotionModel
from vqa_lib.video import Frames

FAMILIES = {"Qwen2_5_VL": qwen, "InternVL": internvl}  # by how their classes' names begin


def family(model_or_processor) -> ModuleType:
    """The module of a model's or processor's family: `qwen` or `internvl`.

    Raises:
        ValueError: a model of another family.
    """
    for candidate in type(model_or_processor).__mro__:
        for prefix, module in FAMILIES.items():
            if candidate.__name__.startswith(prefix):
                return module
    raise ValueError(f"{type(model_or_processor).__name__}: expected a Qwen2.5-VL or InternVL model or processor")


def core(model):
    """The transformers model below an adapter or a wrapper, with vision tower and language model."""
    return whole(model).model


def whole(model):
    """The transformers model with its vocabulary head, below an adapter or a wrapper."""
    model = getattr(model, "module", model)
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def has_motion(model) -> bool:
    """Whether a model has VQAThinker's motion branch."""
    return isinstance(core(model), InternVLMotionModel)


def vision_modules(model) -> list[torch.nn.Module]:
    """The modules that turn pixels into visual tokens."""
    return [getattr(core(model), name) for name in family(whole(model)).VISION_MODULES]


def freeze_vision(model) -> None:
    """Let the language model learn alone; each clip then needs to be encoded only once."""
    for module in vision_modules(model):
        module.requires_grad_(False)


def encode(processor, visuals: Sequence[tuple[Frames, str]], text: str) -> EncodedPrompt:
    """Encode (frames, "image" or "video") pairs and their question with the model's own processor and chat template."""
    return encode_questions(processor, visuals, [text])[0]


def encode_questions(processor, visuals: Sequence[tuple[Frames, str]], texts: Sequence[str]) -> list[EncodedPrompt]:
    """Encode many questions about the same visuals, whose pixels are processed once and shared by all prompts."""
    kinds = [kind for _, kind in visuals]
    dialogues = [
        processor.apply_chat_template(messages(kinds, text), add_generation_prompt=True, tokenize=False)
        for text in texts
    ]
    return family(processor).encode(processor, dialogues, visuals)


def vision_token_ids(tokenizer) -> list[int]:
    """Tokens a completion must never hold: a sampled placeholder makes the next forward look for a missing picture."""
    vocabulary = tokenizer.get_vocab()
    tokens = {token for module in FAMILIES.values() for token in module.VISION_TOKENS}
    return sorted(vocabulary[token] for token in tokens if token in vocabulary)


def encode_visuals(model, visuals: Sequence[Visual]) -> list[torch.Tensor]:
    """Visual tokens (tokens, hidden) of each visual; the same object twice is encoded once."""
    distinct = list({id(visual): visual for visual in visuals}.values())
    encoded = dict(zip(map(id, distinct), family(whole(model)).encode_visuals(core(model), distinct), strict=True))
    return [encoded[id(visual)] for visual in visuals]


def encode_clips(model, prompts: Sequence[EncodedPrompt]) -> list[tuple[torch.Tensor, ...]]:
    """Visual tokens of each prompt's visuals, in one pass of the vision tower a kind."""
    features = iter(encode_visuals(model, [visual for prompt in prompts for visual in prompt.visuals]))
    return [tuple(next(features) for _ in prompt.visuals) for prompt in prompts]


def without_pixels(model, visual: Visual) -> Visual:
    """An encoded visual, to be kept without its pixels: whatever else a forward asks of them is computed now."""
    return family(whole(model)).without_pixels(core(model), visual)


def visual_inputs(model, prompts: Sequence[EncodedPrompt], features=None) -> dict:
    """The model's keyword arguments for what prompts show: encoded visuals, or pixels for it to encode with gradient.

    features: what `encode_clips` gave; None hands over the pixels.
    """
    visuals = [visual for prompt in prompts for visual in prompt.visuals]
    flat = None if features is None else [tokens for part in features for tokens in part]
    network = core(model)
    parameter = next(network.parameters())
    inputs = family(whole(model)).visual_inputs(network, visuals, flat, parameter.dtype)
    return to_device(inputs, parameter.device)


def to_device(inputs: dict, device) -> dict:
    return {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in inputs.items()}


def prompt_positions(model, prompt: EncodedPrompt) -> torch.Tensor:
    """Rotary positions of a prompt alone: (3, length) for Qwen's mRoPE, (1, length) for InternVL."""
    return family(whole(model)).prompt_positions(core(model), prompt)
