"""Our side: every call into the engine of `vqa_lib` that the benchmark makes, and nothing else."""

from dataclasses import replace

import torch
from datasets import Dataset
from transformers import PrinterCallback

from benchmarks.setting import RECIPE, Setting
from vqa_lib.entity_answers import ask_videos
from vqa_lib.models import packing
from vqa_lib.models.dialogue import EncodedPrompt
from vqa_lib.records import Question, ScoredClip
from vqa_lib.scoring import score_clips
from vqa_lib.training.grpo import VideoGRPOTrainer
from vqa_lib.training.rows import training_rows


def completion_log_probs(
    model, prompts: list[EncodedPrompt], owners: list[int], completions: list[torch.Tensor]
) -> torch.Tensor:
    """Log-probabilities (B, C) with gradient, all completions of a prompt in one packed stream."""
    return packing.completion_log_probs(model, prompts, owners, completions)[0]


def build_trainer(setting: Setting, clips: list[ScoredClip], model=None) -> VideoGRPOTrainer:
    """Our trainer on true video, ready for one step over all the clips.

    model: another than the setting's own (a quantised one).
    """
    trainer = VideoGRPOTrainer(
        model=setting.load_model() if model is None else model,
        args=setting.grpo_config("ours"),
        train_dataset=Dataset.from_list(training_rows(clips, RECIPE)),
        processing_class=setting.processor,
        peft_config=setting.adapter(),
        recipe=RECIPE,
        read_visuals=lambda number: [(setting.frames(clips[number]), clips[number].kind)],
        contrast_generations=setting.sizes.contrast,
        tokens=setting.sizes.tokens,
    )
    # Responses of one length, as on every side: the end token is never said.
    trainer.sampling = replace(trainer.sampling, banned=trainer.sampling.banned + trainer.sampling.ends)
    trainer.remove_callback(PrinterCallback)
    return trainer


def score(model, setting: Setting, clips: list[ScoredClip], output) -> list[str]:
    """The greedy answer to every clip, batched."""
    table = score_clips(
        model,
        setting.processor,
        clips,
        RECIPE.prompt,
        setting.sizes.policy,
        setting.cache,
        output,
        batch_size=setting.sizes.scoring_batch,
        max_completion=setting.sizes.scoring_completion,
    )
    return list(table["response"])


def answer(model, setting: Setting, clip: ScoredClip, questions: list[Question]) -> list[float]:
    """P(Yes) of each question about a clip, their part of the dialogue computed once."""
    rows = ask_videos(model, setting.processor, [(setting.frames(clip), questions)], "finger/answer", 1)
    return [row["probability"] for row in rows]
