"""Where a model with a motion branch comes from: a plain InternVL and SlowFast, or VQAThinker's own checkpoint."""

import re
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoProcessor, InternVLConfig, InternVLForConditionalGeneration
from transformers.utils import logging

from vqa_lib.models.families import has_motion
from vqa_lib.models.loading import DTYPES, ModelError, check_new_folder, load_model
from vqa_lib.models.motion import (
    MOTION,
    MOTION_CHUNK,
    InternVLMotionConfig,
    InternVLMotionForConditionalGeneration,
    motion_token,
)
from vqa_lib.models.slowfast import load_slowfast

# InternVLChat's names, as the authors' checkpoint has them, -> the names of transformers' published InternVL weights.
# What a rule does not name (fc1, bias, ...) is called the same in both.
RENAMED = [
    (r"^mlp1\.0\.", "multi_modal_projector.layer_norm."),
    (r"^mlp1\.1\.", "multi_modal_projector.linear_1."),
    (r"^mlp1\.3\.", "multi_modal_projector.linear_2."),
    (r"^motion_mlp\.", "model.motion_projector."),
    (r"^slowfast_model\.feature_extraction\.", "model.motion_tower.blocks."),
    (r"^vision_model\.embeddings\.class_embedding$", "vision_tower.embeddings.cls_token"),
    (r"^vision_model\.embeddings\.position_embedding$", "vision_tower.embeddings.position_embeddings"),
    (r"^vision_model\.embeddings\.patch_embedding\.", "vision_tower.embeddings.patch_embeddings.projection."),
    (r"^vision_model\.encoder\.layers\.", "vision_tower.encoder.layer."),
    (r"\.attn\.proj\.", ".attention.projection_layer."),
    (r"\.attn\.", ".attention."),
    (r"\.ls(\d)$", r".lambda_\1"),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
]
OFFICIAL = {"motion_slow": "spread", "motion_pooling": "windows"}  # what the authors' checkpoint was trained with


def add_motion_branch(
    base: str | Path, slowfast: str | Path, output: str | Path, dtype: str = "bfloat16", seed: int = 0, **options
) -> None:
    """Write an InternVL with a motion branch whose projector is random: what VQAThinker's training starts from.

    Args:
        base: `OpenGVLab/InternVL3-8B-hf`, or a folder of that format.
        slowfast: pytorchvideo's `SLOWFAST_8x8_R50.pyth`.
        output: a new or empty folder.
        options: `motion_slow`, `motion_pooling`, `motion_size`, `motion_normalisation` of `InternVLMotionConfig`.

    Raises:
        ModelError: a base that is no InternVL; no SlowFast file; options that are none; an output that is not empty; an
            unknown dtype.

    Example:
        add_motion_branch("OpenGVLab/InternVL3-8B-hf", "SLOWFAST_8x8_R50.pyth", "data/internvl3_motion")
    """
    try:
        tower = load_slowfast(slowfast)
        InternVLMotionConfig(**options)  # before anything large is read
    except ValueError as error:
        raise ModelError(str(error)) from error
    model, processor = _with_motion(base, output, dtype, seed, options)
    model.model.motion_tower.load_state_dict(tower.state_dict())
    _write(model, processor, output)


def convert_vqathinker(source: str | Path, base: str | Path, output: str | Path, dtype: str = "bfloat16") -> None:
    """Write the authors' checkpoint (`InternVL3-VQAThinker-8B`, made for their own code) as a model of this package.

    Args:
        source: its folder, with *.safetensors.
        base: `OpenGVLab/InternVL3-8B-hf`, or a folder of that format: configuration and processor.
        output: a new or empty folder.

    Raises:
        ModelError: a source without weights, or with other weights than such a model has; the message names some; what
            `add_motion_branch` refuses.

    Example:
        convert_vqathinker("InternVL3-VQAThinker-8B", "OpenGVLab/InternVL3-8B-hf", "data/vqathinker")
    """
    files = sorted(Path(source).glob("*.safetensors"))
    if not files:
        raise ModelError(f"{source}: no *.safetensors are there; expected the folder of InternVL3-VQAThinker-8B")
    model, processor = _with_motion(base, output, dtype, 0, OFFICIAL)
    weights = {}
    for file in files:
        for name, weight in load_file(file).items():
            weights |= _renamed(name, weight)
    own = model.state_dict()
    wanted = {_published(name): name for name in own}
    counters = {name for name in wanted if name.endswith("num_batches_tracked")}  # of frozen averages: never read
    if missing := sorted(set(wanted) - set(weights) - counters):
        raise ModelError(f"{source}: {len(missing)} weights are missing, such as {', '.join(missing[:3])}")
    if unknown := sorted(set(weights) - set(wanted)):
        raise ModelError(f"{source}: {len(unknown)} weights belong to nothing, such as {', '.join(unknown[:3])}")
    for name, weight in weights.items():
        place = own[wanted[name]]
        if name.endswith(("embed_tokens.weight", "lm_head.weight")) and len(weight) < len(place):
            place[: len(weight)] = weight.to(place.dtype)  # ours has a row more, for a placeholder that is never read
        elif place.shape != weight.shape:
            shapes = f"{tuple(weight.shape)}, not {tuple(place.shape)}"
            raise ModelError(f"{source}: {name} has the shape {shapes}: it does not fit {base}")
        else:
            place.copy_(weight)
    _write(model, processor, output)


def without_motion(source: str | Path, output: str | Path) -> Path:
    """Write a model with a motion branch as the plain InternVL that is left without it; returns the new folder.

    For recipes without motion to start from the very model that the others start from. The placeholder's row of the
    vocabulary stays, under a name that no prompt has. A folder that is complete is left as it is.

    Raises:
        ModelError: a source without a motion branch.

    Example:
        start = without_motion("vqa_lib/models/motion_starter_weights", run.path / "start")
    """
    output = Path(output)
    if (output / "model.safetensors").exists():
        return output
    model, processor = load_model(source, "float32")
    if not has_motion(model):
        raise ModelError(f"{source}: has no motion branch that could be taken out")
    kept = {name: value for name, value in model.config.to_dict().items() if not name.startswith("motion_")}
    config = InternVLConfig(**{name: value for name, value in kept.items() if name not in ("model_type", "auto_map")})
    plain = InternVLForConditionalGeneration(config)
    weights = {name: weight for name, weight in model.state_dict().items() if ".motion_" not in name}
    plain.load_state_dict(weights)
    plain.generation_config = model.generation_config
    processor.save_pretrained(output)
    for file in output.glob("*.json"):
        text = file.read_text(encoding="utf-8")
        for token in (MOTION, MOTION_CHUNK):
            text = text.replace(f'"{token}"', f'"<|no_{token[1:-1]}|>"')
        file.write_text(text, encoding="utf-8")
    plain.save_pretrained(output)  # last: its file says that the folder is complete
    return output


def _with_motion(base: str | Path, output: str | Path, dtype: str, seed: int, options: dict):
    """A base model as one with a motion branch of random weights, and its processor with the placeholder."""
    if dtype not in DTYPES:
        raise ModelError(f"dtype must be one of {sorted(DTYPES)}, got {dtype!r}")
    check_new_folder(Path(output))
    plain = AutoConfig.from_pretrained(base)
    if plain.model_type != "internvl":
        raise ModelError(f"{base}: expected an InternVL in transformers' own format, found {plain.model_type!r}")
    processor = AutoProcessor.from_pretrained(base)
    token = motion_token(options.get("motion_pooling", "mean"))
    processor.tokenizer.add_tokens([token], special_tokens=True)
    place = processor.tokenizer.convert_tokens_to_ids(token)
    kept = {name: value for name, value in plain.to_dict().items() if name not in ("model_type", "architectures")}
    config = InternVLMotionConfig(**kept, **options, motion_token_id=place)
    torch.manual_seed(seed)
    with _quiet():  # it would list the new branch's weights as missing
        model, found = InternVLMotionForConditionalGeneration.from_pretrained(
            base, config=config, dtype=DTYPES[dtype], output_loading_info=True
        )
    if missing := sorted(name for name in found["missing_keys"] if ".motion_" not in name):
        raise ModelError(f"{base}: {len(missing)} weights are missing, such as {', '.join(missing[:3])}")
    if place >= model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(place + 1)
    return model, processor


@contextmanager
def _quiet():
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)


def _write(model, processor, output: str | Path) -> None:
    model.save_pretrained(output)
    processor.save_pretrained(output)


def _renamed(name: str, weight: torch.Tensor) -> dict[str, torch.Tensor]:
    """One weight of the authors' checkpoint under transformers' published names; queries, keys and values apart."""
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    if ".attention.qkv." in name:
        parts = zip(("q_proj", "k_proj", "v_proj"), weight.chunk(3), strict=True)
        return {name.replace("qkv", part): piece for part, piece in parts}
    return {name: weight}


def _published(name: str) -> str:
    """A module's weight under its published name; the motion branch's are called as their modules are."""
    for pattern, replacement in (
        (r"^model\.language_model\.", "language_model.model."),
        (r"^lm_head\.", "language_model.lm_head."),
        (r"^model\.(vision_tower|multi_modal_projector)\.", r"\1."),
    ):
        name = re.sub(pattern, replacement, name)
    return name
