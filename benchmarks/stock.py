"""The stock side: TRL's GRPOTrainer as published, and plain transformers.

TRL has no video, so users hand it the frames as images. An image has no temporal patches: the processor pairs it with
itself, where a video pairs two frames. Half the frames as images therefore give as many visual tokens as the video, and
that is what is measured; all frames as images would cost stock TRL twice as much.
"""

import numpy as np
import torch
from datasets import Dataset
from PIL import Image
from transformers import PrinterCallback
from trl import GRPOTrainer
from trl.data_utils import prepare_multimodal_messages
from trl.models import unwrap_model_for_generation

from benchmarks.setting import RECIPE, Setting
from vqa_lib.models.dialogue import EncodedPrompt
from vqa_lib.models.families import encode, to_device, vision_token_ids
from vqa_lib.models.loading import DTYPES
from vqa_lib.models.reference import plain_inputs
from vqa_lib.perturb import shuffle
from vqa_lib.prompts import PROMPTS
from vqa_lib.records import ScoredClip
from vqa_lib.rewards import REWARDS
from vqa_lib.training.rows import reward_columns
from vqa_lib.video import Frames


def as_images(frames: Frames) -> list[Image.Image]:
    """Every second frame: as many visual tokens as the video has."""
    return [Image.fromarray(frame) for frame in frames.pixels[::2]]


def image_inputs(setting: Setting, clip: ScoredClip) -> dict:
    """One prompt with the clip's frames as images, as the processor gives it."""
    images = as_images(setting.frames(clip))
    question = prepare_multimodal_messages([{"role": "user", "content": PROMPTS[RECIPE.prompt].text}], images=images)
    text = setting.processor.apply_chat_template(question, add_generation_prompt=True, tokenize=False)
    return setting.processor(text=[text], images=[images], return_tensors="pt")


def row_inputs(setting: Setting, clip: ScoredClip, completions: torch.Tensor) -> dict:
    """What stock TRL gives its log-probability function: K rows, the images in each. completions: (K, C)."""
    one, count = image_inputs(setting, clip), len(completions)
    ids = torch.cat([one["input_ids"].expand(count, -1), completions], 1)
    types = torch.cat([one["mm_token_type_ids"].expand(count, -1), torch.zeros_like(completions)], 1)
    rows = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "mm_token_type_ids": types,
        "pixel_values": one["pixel_values"].repeat(count, 1).to(DTYPES[setting.sizes.dtype]),
        "image_grid_thw": one["image_grid_thw"].repeat(count, 1),
    }
    return {
        **to_device(rows, setting.device),
        "logits_to_keep": completions.shape[1],
        "num_images": [len(one["image_grid_thw"])] * count,
    }


def log_probs(trainer: GRPOTrainer, inputs: dict) -> torch.Tensor:
    """Log-probabilities (K, C) by the method that stock TRL's loss calls."""
    return trainer._get_per_token_logps_and_entropies(trainer.model, **inputs)[0]


def plain_log_probs(model, prompt: EncodedPrompt, completions: torch.Tensor) -> torch.Tensor:
    """Log-probabilities (K, C) of plain transformers on K video rows, the pixels repeated."""
    inputs = plain_inputs(model, [prompt] * len(completions), completions.tolist())
    logits = model(**inputs, use_cache=False, logits_to_keep=completions.shape[1] + 1).logits[:, :-1]
    return logits.float().log_softmax(-1).gather(2, completions.to(logits.device)[..., None])[..., 0]


def build_trainer(setting: Setting, clips: list[ScoredClip], loss_only: bool = False) -> GRPOTrainer:
    """Stock TRL with the frames as images and a contrast group through its public `rollout_func`.

    loss_only: all weights trained whatever the setting says, and no reference model.
    """
    text = PROMPTS[RECIPE.prompt].text

    def with_images(columns: dict) -> dict:
        images = [as_images(setting.frames(clips[number])) for number in columns["clip"]]
        return {**columns, "images": images}

    rows = Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": text}],
                "clip": number,
                **reward_columns(clip, PROMPTS[RECIPE.prompt]),
            }
            for number, clip in enumerate(clips)
        ]
    )
    rows.set_transform(with_images)
    trainer = GRPOTrainer(
        model=setting.load_model(),
        reward_funcs=[_reward(name, setting.sizes.group) for name in RECIPE.rewards],
        args=setting.grpo_config("stock", beta=0.0) if loss_only else setting.grpo_config("stock"),
        train_dataset=rows,
        processing_class=setting.processor,
        peft_config=None if loss_only else setting.adapter(),
        rollout_func=lambda prompts, trainer: rollout(prompts, trainer, setting),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _reward(name: str, group: int):
    def reward(completions, **columns):
        numbers = [number // group for number in range(len(completions))]
        return REWARDS[name](completions=completions, group=numbers, **RECIPE.rewards[name], **columns)

    reward.__name__ = name
    return reward


def rollout(prompts: list, trainer: GRPOTrainer, setting: Setting) -> dict:
    """Responses to the images in order, then to the images shuffled, each in a pass of its own."""
    group, contrast = setting.sizes.group, setting.sizes.contrast
    random = np.random.default_rng(0)
    shuffled = [_shuffled(prompt, random) for prompt in prompts[::group]]
    prompt_ids, completions = _generate(prompts, trainer)
    _, others = _generate([prompt for prompt in shuffled for _ in range(contrast)], trainer)
    texts = trainer.processing_class.tokenizer.batch_decode(others, skip_special_tokens=True)
    beside = [[] for _ in prompts]
    for number in range(len(shuffled)):  # the whole contrast group stands with the first row of its query
        beside[number * group] = texts[number * contrast : (number + 1) * contrast]
    return {
        "prompt_ids": prompt_ids,
        "completion_ids": completions,
        "logprobs": None,
        "contrast_completions": beside,
    }


def _generate(prompts: list, trainer: GRPOTrainer) -> tuple[list[list[int]], list[list[int]]]:
    """Ids of prompts and completions, by `generate` on the rows as they are: as TRL's own generation does it."""
    tokenized = trainer.processing_class.apply_chat_template(
        prompts,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        processor_kwargs={"padding": True, "return_tensors": "pt"},
    )
    inputs = to_device(dict(tokenized), trainer.accelerator.device)
    checkpointing = trainer.args.gradient_checkpointing_kwargs
    wrapped = unwrap_model_for_generation(
        trainer.model_wrapped, trainer.accelerator, gradient_checkpointing_kwargs=checkpointing
    )
    with torch.no_grad(), wrapped as model:
        tokens = model.generate(**inputs, generation_config=trainer.generation_config)
    ids, mask = inputs["input_ids"], inputs["attention_mask"].bool()
    return [row[kept].tolist() for row, kept in zip(ids, mask, strict=True)], tokens[:, ids.shape[1] :].tolist()


def _shuffled(prompt: list, random: np.random.Generator) -> list:
    """The same message with its images in another order."""
    content = prompt[-1]["content"]
    places = [place for place, part in enumerate(content) if part["type"] == "image"]
    changed = list(content)
    for place, number in zip(places, shuffle(len(places), random), strict=True):
        changed[place] = content[places[number]]
    return [*prompt[:-1], {**prompt[-1], "content": changed}]


def score(model, setting: Setting, clips: list[ScoredClip]) -> list[str]:
    """The greedy answer to every clip by plain `generate`, one clip at a time."""
    tokenizer = setting.processor.tokenizer
    texts = []
    for clip in clips:
        inputs = plain_inputs(model, [setting.prompt(clip)])
        tokens = model.generate(
            **inputs,
            max_new_tokens=setting.sizes.scoring_completion,
            do_sample=False,
            suppress_tokens=vision_token_ids(tokenizer),
        )
        texts += tokenizer.batch_decode(tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return texts


def answer(model, setting: Setting, clip: ScoredClip, texts: list[str], tokens: list[int]) -> torch.Tensor:
    """Logits of some tokens at the answer of each question about a clip, by plain `generate`, a question at a time."""
    seen = []
    for text in texts:
        prompt = encode(setting.processor, [(setting.frames(clip), clip.kind)], text)
        given = model.generate(
            **plain_inputs(model, [prompt]),
            max_new_tokens=1, do_sample=False, output_logits=True, return_dict_in_generate=True,
        )  # fmt: skip
        seen.append(given.logits[0][0, tokens].float().cpu())
    return torch.stack(seen)
