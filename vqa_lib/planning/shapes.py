"""The shape of a model without its weights: from a folder's config.json, or, for the papers' models, from a table."""

from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForImageTextToText, InternVLConfig, Qwen2_5_VLConfig

from vqa_lib.models.families import family, vision_modules


class PlanError(ValueError):
    """What cannot be planned; the message names the model or parameter and what was expected."""


@dataclass(frozen=True)
class TextShape:
    """A language model. linear: weights of its layers' linear maps, which quantisation takes and LoRA adapts to.

    adapted: inputs + outputs of those maps, summed; a LoRA rank takes so many weights. rest: its norms and biases.
    key_value: width of keys, and of values, of one token. tied: one matrix both embeds and speaks.
    """

    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_value: int
    vocabulary: int
    tied: bool
    linear: int
    adapted: int
    rest: int

    @property
    def embedding(self) -> int:
        """Weights of the embedding, which are as many as those of the vocabulary head."""
        return self.vocabulary * self.hidden


@dataclass(frozen=True)
class VisionShape:
    """A vision tower with what leads to the language model. parameters: all of it. linear: a layer's linear maps, each.

    patch_weights: of the patch embedding. out_weights: of the projector's linear maps, used once a visual token. merge:
    patches that become one visual token. gated: SwiGLU (Qwen) or a plain MLP (InternVL). window: patches that attend to
    each other in layers other than `full_layers`; 0: no windows. rotary: width of rotary positions, 0 for none.
    image: pixels a side, 0 for any size.
    """

    hidden: int
    intermediate: int
    layers: int
    parameters: int
    linear: int
    patch_weights: int
    out_weights: int
    patch: int
    merge: int
    temporal: int
    gated: bool
    window: int
    full_layers: int
    rotary: int
    image: int


@dataclass(frozen=True)
class ModelShape:
    """Both parts of a model, and where the shape came from: a folder, or the table of published shapes."""

    name: str
    source: str
    text: TextShape
    vision: VisionShape

    @property
    def parameters(self) -> int:
        """All parameters, tied ones once."""
        text = self.text
        return self.vision.parameters + text.linear + text.rest + text.embedding * (1 if text.tied else 2)


def _qwen(hidden: int, intermediate: int, layers: int, heads: int, key_heads: int, vocabulary: int, tied: bool):
    text = {
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": key_heads,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
    }
    vision = {
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "out_hidden_size": hidden,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "window_size": 112,
        "fullatt_block_indexes": [7, 15, 23, 31],
    }
    return Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=tied)


def _internvl3_8b() -> InternVLConfig:
    text = {
        "model_type": "qwen2",
        "vocab_size": 151674,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
    }
    vision = {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "attention_bias": True,
        "image_size": [448, 448],
        "patch_size": [14, 14],
    }
    sizes = {"image_seq_length": 256, "downsample_ratio": 0.5, "tie_word_embeddings": False}
    return InternVLConfig(text_config=text, vision_config=vision, **sizes)


# As in the config.json that each hub id publishes, so that a plan needs no network.
PUBLISHED = {
    "Qwen/Qwen2.5-VL-7B-Instruct": lambda: _qwen(3584, 18944, 28, 28, 4, 152064, tied=False),
    "Qwen/Qwen2.5-VL-3B-Instruct": lambda: _qwen(2048, 11008, 36, 16, 2, 151936, tied=True),
    "OpenGVLab/InternVL3-8B-hf": _internvl3_8b,
}


def model_shape(model: str) -> ModelShape:
    """The shape of a hub id of PUBLISHED or of a model folder; parameters are counted in a network without memory.

    Raises:
        PlanError: another hub id, no such folder, or a model of another family.

    Example:
        >>> f"{model_shape('Qwen/Qwen2.5-VL-7B-Instruct').parameters:,}"
        '8,292,166,656'
    """
    if model in PUBLISHED:
        return _counted(model, "published shape", PUBLISHED[model]())
    if not (Path(model) / "config.json").is_file():
        raise PlanError(f"model: expected a folder with config.json or one of {', '.join(PUBLISHED)}; got {model!r}")
    try:
        return _counted(model, "config.json", AutoConfig.from_pretrained(model))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise PlanError(f"model: {model}: its config.json is of no model that can be planned ({reason})") from error


def _counted(name: str, source: str, config) -> ModelShape:
    with torch.device("meta"):
        network = AutoModelForImageTextToText.from_config(config)
    kind = family(network).__name__.rsplit(".", 1)[-1]
    text, language = config.text_config, network.model.language_model
    linear = _linear_maps(language)
    everything = sum(weight.numel() for weight in language.parameters())
    embedding = language.embed_tokens.weight.numel()
    shape = TextShape(
        hidden=text.hidden_size,
        intermediate=text.intermediate_size,
        layers=text.num_hidden_layers,
        heads=text.num_attention_heads,
        key_value=text.hidden_size // text.num_attention_heads * text.num_key_value_heads,
        vocabulary=text.vocab_size,
        tied=network.lm_head.weight is language.embed_tokens.weight,
        linear=sum(map(prod, linear)),
        adapted=sum(map(sum, linear)),
        rest=everything - embedding - sum(map(prod, linear)),
    )
    parameters = sum(weight.numel() for module in vision_modules(network) for weight in module.parameters())
    make = _qwen_vision if kind == "qwen" else _internvl_vision
    return ModelShape(name, source, shape, make(config.vision_config, network.model, parameters))


def _qwen_vision(config, network, parameters: int) -> VisionShape:
    side = config.window_size // config.patch_size
    return VisionShape(
        hidden=config.hidden_size,
        intermediate=config.intermediate_size,
        layers=config.depth,
        parameters=parameters,
        linear=sum(map(prod, _linear_maps(network.visual.blocks[0]))),
        patch_weights=network.visual.patch_embed.proj.weight.numel(),
        out_weights=sum(map(prod, _linear_maps(network.visual.merger))),
        patch=config.patch_size,
        merge=config.spatial_merge_size**2,
        temporal=config.temporal_patch_size,
        gated=True,
        window=side * side,
        full_layers=len(config.fullatt_block_indexes),
        rotary=config.hidden_size // config.num_heads,
        image=0,
    )


def _internvl_vision(config, network, parameters: int) -> VisionShape:
    sides = [side if isinstance(side, int) else side[0] for side in (config.image_size, config.patch_size)]
    tower = network.vision_tower
    return VisionShape(
        hidden=config.hidden_size,
        intermediate=config.intermediate_size,
        layers=config.num_hidden_layers,
        parameters=parameters,
        linear=sum(map(prod, _linear_maps(tower.encoder.layer[0]))),
        patch_weights=tower.embeddings.patch_embeddings.projection.weight.numel(),
        out_weights=sum(map(prod, _linear_maps(network.multi_modal_projector))),
        patch=sides[1],
        merge=round(1 / network.config.downsample_ratio**2),
        temporal=1,
        gated=False,
        window=0,
        full_layers=config.num_hidden_layers,
        rotary=0,
        image=sides[0],
    )


def _linear_maps(module: nn.Module) -> list[torch.Size]:
    return [part.weight.shape for part in module.modules() if isinstance(part, nn.Linear)]
