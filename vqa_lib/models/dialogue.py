"""From frames and a prompt to the tensors a vision-language model takes.

`encode` does once per clip what is the same for every rollout; `batch` puts encoded clips, with or without
completions, into one left-padded batch.
"""

from dataclasses import dataclass

import torch

from vqa_lib.video import Frames


@dataclass(frozen=True)
class EncodedPrompt:
    """One clip with its question, ready for Qwen2.5-VL.

    ids, token_types: (P,) with P prompt tokens. pixels: (patches, 1176). grid: (1, 3) time, height, width in patches.
    seconds_per_grid: seconds between temporal patches (0 for an image), so that mRoPE positions follow real time.
    """

    kind: str
    ids: torch.Tensor
    token_types: torch.Tensor
    pixels: torch.Tensor
    grid: torch.Tensor
    seconds_per_grid: float


def messages(kind: str, text: str) -> list[dict]:
    """The dialogue for one clip: the image or video first, then the question."""
    return [{"role": "user", "content": [{"type": kind}, {"type": "text", "text": text}]}]


def encode(processor, frames: Frames, kind: str, text: str) -> EncodedPrompt:
    """Encode a clip and its question with the model's own processor and chat template."""
    dialogue = processor.apply_chat_template(messages(kind, text), add_generation_prompt=True, tokenize=False)
    pixels = torch.from_numpy(frames.pixels).permute(0, 3, 1, 2)
    if kind == "image":
        encoded = processor(text=[dialogue], images=[pixels[0]], return_tensors="pt")
        values, grid, seconds = encoded["pixel_values"], encoded["image_grid_thw"], 0.0
    else:
        # Without the true time stamps the processor assumes 24 fps, and all frames share one temporal position.
        encoded = processor(
            text=[dialogue],
            videos=[pixels],
            video_metadata=[frames.metadata],
            do_sample_frames=False,
            return_tensors="pt",
        )
        values, grid = encoded["pixel_values_videos"], encoded["video_grid_thw"]
        seconds = float(torch.as_tensor(encoded["second_per_grid_ts"]).reshape(-1)[0])
    return EncodedPrompt(kind, encoded["input_ids"][0], encoded["mm_token_type_ids"][0], values, grid, seconds)


def pad(rows: list[torch.Tensor], value: int, side: str) -> torch.Tensor:
    """Stack rows of unequal length, filled with `value` on the given side."""
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value, padding_side=side)


def batch(prompts: list[EncodedPrompt], pad_id: int, completions: list[list[int]] | None = None) -> dict:
    """Keyword arguments for the model: `text_inputs`, `positions` and `pixel_values`."""
    return {**text_inputs(prompts, pad_id, completions), **positions(prompts), **pixel_values(prompts)}


def text_inputs(prompts: list[EncodedPrompt], pad_id: int, completions: list[list[int]] | None = None) -> dict:
    """Ids, mask and token types: prompts padded on the left, completions (if given) on the right.

    input_ids, attention_mask, mm_token_type_ids: (B, P) or (B, P + C).
    """
    ids = pad([prompt.ids for prompt in prompts], pad_id, "left")
    mask = pad([torch.ones_like(prompt.ids) for prompt in prompts], 0, "left")
    types = pad([prompt.token_types for prompt in prompts], 0, "left")
    if completions is not None:
        tokens = [torch.tensor(completion, dtype=torch.long) for completion in completions]
        tail = pad(tokens, pad_id, "right")
        ids = torch.cat([ids, tail], 1)
        mask = torch.cat([mask, pad([torch.ones_like(row) for row in tokens], 0, "right")], 1)
        types = torch.cat([types, torch.zeros_like(tail)], 1)
    return {"input_ids": ids, "attention_mask": mask, "mm_token_type_ids": types}


def positions(prompts: list[EncodedPrompt]) -> dict:
    """What mRoPE needs beside the ids: grids, and seconds between temporal patches of videos."""
    arguments = {}
    images = [prompt for prompt in prompts if prompt.kind == "image"]
    videos = [prompt for prompt in prompts if prompt.kind == "video"]
    if images:
        arguments["image_grid_thw"] = torch.cat([prompt.grid for prompt in images])
    if videos:
        arguments["video_grid_thw"] = torch.cat([prompt.grid for prompt in videos])
        arguments["second_per_grid_ts"] = torch.tensor([prompt.seconds_per_grid for prompt in videos])
    return arguments


def pixel_values(prompts: list[EncodedPrompt]) -> dict:
    """The pictures themselves, concatenated over the batch."""
    names = {"image": "pixel_values", "video": "pixel_values_videos"}
    return {
        name: torch.cat([prompt.pixels for prompt in prompts if prompt.kind == kind])
        for kind, name in names.items()
        if any(prompt.kind == kind for prompt in prompts)
    }
