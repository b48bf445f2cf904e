"""Qwen2.5-VL: pixels in patches, temporal patches of two frames, positions in time, height and width (mRoPE)."""

import re
from dataclasses import replace

import torch
from transformers.modeling_outputs import BaseModelOutputWithPooling

from vqa_lib.models.dialogue import EncodedPrompt, Visual

VISION_TOKENS = ["<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]
VISION_MODULES = ("visual",)  # below the core model; what `train_vision: false` freezes and 4-bit leaves alone
PATCHES_A_PASS = 65536  # of the vision tower without gradient; bounds its memory


def see_squares(model, processor, image_size: int) -> None:
    """Raises ValueError: Qwen2.5-VL sees frames in their own shape."""
    raise ValueError("image_size is for InternVL; other models see frames in their own shape (max_pixels)")


def encode(processor, dialogues: list[str], visuals) -> list[EncodedPrompt]:
    """One processor call for all visuals; of further dialogues about them only the words are new."""
    arguments = {}
    pixels = [(torch.from_numpy(frames.pixels).permute(0, 3, 1, 2), frames, kind) for frames, kind in visuals]
    if images := [shown[0] for shown, _, kind in pixels if kind == "image"]:
        arguments["images"] = images
    if any(kind == "video" for _, _, kind in pixels):
        # Without the true time stamps the processor assumes 24 fps, and all frames share one temporal position.
        arguments |= {
            "videos": [shown for shown, _, kind in pixels if kind == "video"],
            "video_metadata": [frames.metadata for _, frames, kind in pixels if kind == "video"],
            "do_sample_frames": False,
        }
    encoded = processor(text=dialogues[:1], return_tensors="pt", **arguments)
    parts = {"image": iter(()), "video": iter(())}
    for kind, values, grid in (
        ("image", "pixel_values", "image_grid_thw"),
        ("video", "pixel_values_videos", "video_grid_thw"),
    ):
        if grid in encoded:
            grids = encoded[grid]
            seconds = [0.0] * len(grids)
            if kind == "video":
                seconds = torch.as_tensor(encoded["second_per_grid_ts"]).reshape(-1).tolist()
            patches = encoded[values].split(grids.prod(1).tolist())
            made = [Visual(kind, *rest) for rest in zip(patches, grids[:, None], seconds, strict=True)]
            parts[kind] = iter(made)
    shown = tuple(next(parts[kind]) for _, kind in visuals)
    first = EncodedPrompt(encoded["input_ids"][0], encoded["mm_token_type_ids"][0], shown)
    return [first, *(_other_words(processor, dialogue, shown) for dialogue in dialogues[1:])]


def _other_words(processor, dialogue: str, shown: tuple[Visual, ...]) -> EncodedPrompt:
    """A dialogue about visuals that are processed already: what the processor does to the text alone."""
    places = {processor.image_token: 1, processor.video_token: 2}
    merged = processor.image_processor.merge_size**2
    counts = iter(int(visual.grid.prod()) // merged for visual in shown)
    text = re.sub("|".join(map(re.escape, places)), lambda found: found[0] * next(counts), dialogue)
    ids = processor.tokenizer(text, return_tensors="pt")["input_ids"][0]
    types = torch.zeros_like(ids)
    for token, kind in places.items():
        types[ids == processor.tokenizer.convert_tokens_to_ids(token)] = kind
    return EncodedPrompt(ids, types, shown)


def encode_visuals(network, visuals: list[Visual]) -> list[torch.Tensor]:
    features: dict[int, torch.Tensor] = {}
    parameter = next(network.visual.parameters())
    for kind, tower in (("image", network.get_image_features), ("video", network.get_video_features)):
        chosen = [number for number, visual in enumerate(visuals) if visual.kind == kind]
        for part in _passes(chosen, [len(visual.pixels) for visual in visuals]):
            pixels = torch.cat([visuals[number].pixels for number in part]).to(parameter.device, parameter.dtype)
            grids = torch.cat([visuals[number].grid for number in part]).to(parameter.device)
            features |= zip(part, tower(pixels, grids, return_dict=True).pooler_output, strict=True)
    return [features[number] for number in range(len(visuals))]


def _passes(numbers: list[int], patches: list[int]) -> list[list[int]]:
    passes, held = [], PATCHES_A_PASS
    for number in numbers:
        if held + patches[number] > PATCHES_A_PASS:
            passes.append([])
            held = 0
        passes[-1].append(number)
        held += patches[number]
    return passes


def visual_inputs(network, visuals: list[Visual], features: list[torch.Tensor] | None, dtype: torch.dtype) -> dict:
    outputs, pixels = {}, {}
    for kind, name in (("image", "pixel_values"), ("video", "pixel_values_videos")):
        chosen = [number for number, visual in enumerate(visuals) if visual.kind == kind]
        if chosen and features is not None:
            outputs[kind] = BaseModelOutputWithPooling(pooler_output=tuple(features[number] for number in chosen))
        elif chosen:
            pixels[name] = torch.cat([visuals[number].pixels for number in chosen]).to(dtype)
    return {**({"mm_encoder_outputs": outputs} if outputs else pixels), **grids(visuals)}


def grids(visuals: list[Visual]) -> dict:
    """What mRoPE needs beside the ids: grids, and seconds between temporal patches of videos."""
    arguments = {}
    images = [visual for visual in visuals if visual.kind == "image"]
    videos = [visual for visual in visuals if visual.kind == "video"]
    if images:
        arguments["image_grid_thw"] = torch.cat([visual.grid for visual in images])
    if videos:
        arguments["video_grid_thw"] = torch.cat([visual.grid for visual in videos])
        arguments["second_per_grid_ts"] = torch.tensor([visual.seconds_per_grid for visual in videos])
    return arguments


def without_pixels(network, visual: Visual) -> Visual:
    return replace(visual, pixels=visual.pixels[:0].clone())


def prompt_positions(network, prompt: EncodedPrompt) -> torch.Tensor:
    ids = prompt.ids[None]
    arguments = {"mm_token_type_ids": prompt.token_types[None], "attention_mask": torch.ones_like(ids)}
    return network.get_rope_index(ids, **arguments, **grids(list(prompt.visuals)))[0][:, 0]
