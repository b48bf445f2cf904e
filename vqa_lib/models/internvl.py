"""InternVL: every frame an image of one fixed size, "Frame1: ..." as its only position in time.

With VQAThinker's motion branch (`motion`) a video has one more line, and its motion one more placeholder, behind them.
"""

import re
from dataclasses import replace

import torch
from transformers.modeling_outputs import BaseModelOutputWithPooling

from vqa_lib.models.dialogue import EncodedPrompt, Visual
from vqa_lib.models.motion import MOTION, MOTION_CHUNK, InternVLMotionModel, motion_ids, motion_places

VISION_TOKENS = ["<img>", "</img>", "<IMG_CONTEXT>", "<video>", MOTION, MOTION_CHUNK]
VISION_MODULES = ("vision_tower", "multi_modal_projector")
FRAMES_A_PASS = 128  # of the vision tower without gradient; bounds its memory


def see_squares(model, processor, image_size: int) -> None:
    """Let a model see squares of another size; its tower interpolates its positions by itself.

    Raises:
        ValueError: a size that is no multiple of a token's side.
    """
    shrunk = round(1 / model.config.downsample_ratio)  # sides of patches in one of a token
    side = model.config.vision_config.patch_size[0] * shrunk
    if image_size < side or image_size % side:
        raise ValueError(f"image_size must be a multiple of {side}, got {image_size}")
    for part in (processor.image_processor, processor.video_processor):
        part.size = {"height": image_size, "width": image_size}
    processor.image_seq_length = (image_size // side) ** 2


def encode(processor, dialogues: list[str], visuals) -> list[EncodedPrompt]:
    """Each video goes through the processor alone: in one call all would need the same number of frames.

    An image is one tile. The processor's default cuts large images into several, and a picture's quality would then
    be asked of its pieces.
    """
    shown = []
    for frames, kind in visuals:
        pixels = torch.from_numpy(frames.pixels).permute(0, 3, 1, 2)
        if kind == "image":
            values = processor.image_processor([pixels[0]], crop_to_patches=False, return_tensors="pt")["pixel_values"]
        else:
            made = processor.video_processor([pixels], do_sample_frames=False, return_tensors="pt")
            values = made["pixel_values_videos"][0]
        shown.append(Visual(kind, values))
    return [_with_words(processor, dialogue, tuple(shown)) for dialogue in dialogues]


def _with_words(processor, dialogue: str, shown: tuple[Visual, ...]) -> EncodedPrompt:
    expanded = iter(
        processor.replace_image_token({"num_patches": [1]}, 0)
        if visual.kind == "image"
        else processor.replace_video_token({"pixel_values_videos": [visual.pixels]}, 0)
        + motion_places(processor.tokenizer, len(visual.pixels))
        for visual in shown
    )
    text = re.sub(processor.multimodal_pattern, lambda _: next(expanded), dialogue)
    ids = processor.tokenizer(text, return_tensors="pt")["input_ids"][0]
    places = [processor.image_token_id, *motion_ids(processor.tokenizer)]
    return EncodedPrompt(ids, torch.isin(ids, torch.tensor(places)).long(), shown)


def encode_visuals(network, visuals: list[Visual]) -> list[torch.Tensor]:
    parameter = next(network.vision_tower.parameters())
    frames = torch.cat([visual.pixels for visual in visuals]).to(parameter.device, parameter.dtype)
    encoded = [network.get_image_features(part, return_dict=True).pooler_output for part in frames.split(FRAMES_A_PASS)]
    per_visual = torch.cat(encoded).split([len(visual.pixels) for visual in visuals])
    return [tokens.flatten(0, 1) for tokens in per_visual]


def visual_inputs(network, visuals: list[Visual], features: list[torch.Tensor] | None, dtype: torch.dtype) -> dict:
    if not visuals:
        return {}
    inputs = {}
    videos = [visual for visual in visuals if visual.kind == "video"]
    if videos and isinstance(network, InternVLMotionModel):
        inputs["motion_features"] = _motion(network, videos)
    if features is None:
        return inputs | {"pixel_values": torch.cat([visual.pixels for visual in visuals]).to(dtype)}
    seen = BaseModelOutputWithPooling(pooler_output=torch.cat(features)[:, None])
    return inputs | {"mm_encoder_outputs": {"image": seen}}


def without_pixels(network, visual: Visual) -> Visual:
    moves = visual.kind == "video" and isinstance(network, InternVLMotionModel)
    motion = _motion(network, [visual]).clone() if moves else None
    return replace(visual, pixels=visual.pixels[:0].clone(), motion=motion)


def _motion(network: InternVLMotionModel, videos: list[Visual]) -> torch.Tensor:
    if all(visual.motion is None for visual in videos):
        return network.motion_of([visual.pixels for visual in videos])
    return torch.cat([_motion(network, [each]) if each.motion is None else each.motion for each in videos])


def prompt_positions(network, prompt: EncodedPrompt) -> torch.Tensor:
    return torch.arange(len(prompt.ids))[None]
