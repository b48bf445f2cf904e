"""Supervised finetuning on true answers, with true images and videos: the baselines that the papers hold GRPO against.

On transformers' `Trainer`, not TRL's `SFTTrainer`: what that adds (tokenising a data set, padding collators, the loss)
is what true videos and shared prompts replace, and its constructor insists on a data set with text or labels.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model
from transformers import PrinterCallback, Trainer, TrainingArguments, set_seed

from vqa_lib.frame_cache import FrameCache
from vqa_lib.models.dialogue import EncodedPrompt
from vqa_lib.models.families import encode, encode_clips, freeze_vision, vision_modules, without_pixels
from vqa_lib.models.loading import lora_config
from vqa_lib.models.packing import completion_log_probs
from vqa_lib.recipes import Recipe
from vqa_lib.records import Pair, Question, ScoredClip
from vqa_lib.training.common import (
    LogFile,
    NoLastCheckpoint,
    NotANumber,
    Progress,
    check_files,
    check_motion,
    drop_torn_checkpoints,
    keep_model,
    last_checkpoint,
    load_weights,
    start_model,
    visuals_of,
    widen_what_learns,
)
from vqa_lib.training.halving import HalvesPieces
from vqa_lib.training.pieces import split_rows
from vqa_lib.training.responses import true_response
from vqa_lib.training.rows import question_of
from vqa_lib.training.settings import TrainingSettings
from vqa_lib.video import FramePolicy

KEPT_BYTES = 2 * 2**30  # visual tokens of a frozen tower that are kept; clips beyond that are encoded in every epoch


@dataclass(frozen=True)
class SFTSettings(TrainingSettings):
    """How a supervised stage is trained. The last step of an epoch has the records that are left."""

    queries: int = 32


@dataclass(frozen=True)
class Example:
    """A question, the response wanted (token ids with the end token), and its visual tokens where they are frozen."""

    prompt: EncodedPrompt
    response: torch.Tensor
    features: tuple[torch.Tensor, ...] | None


class VideoSFTTrainer(HalvesPieces, Trainer):
    """transformers' Trainer on record numbers; the loss is the mean cross-entropy per response token of a step.

    read_example: record number -> (question encoded, response as text). tokens: at most so many in one forward; a step
    is gone through in pieces of that size. The other arguments are the Trainer's; a batch is a whole step.
    """

    also_lower = "max_pixels, or frames"

    def __init__(self, *args, read_example: Callable[[int], tuple[EncodedPrompt, str]], tokens: int, **kwargs):
        super().__init__(*args, data_collator=_numbers, **kwargs)
        self.read_example = read_example
        self.tokens = tokens
        vision = [parameter for module in vision_modules(self.model) for parameter in module.parameters()]
        self.vision_frozen = not any(parameter.requires_grad for parameter in vision)
        self.kept: dict[int, Example] = {}
        self.kept_bytes = 0

    def training_step(self, model, inputs, num_items_in_batch=None) -> torch.Tensor:
        model.train()
        return self._step_that_fits(model, inputs)

    def _step_in_pieces(self, model, inputs) -> torch.Tensor:
        examples = [self._example(number) for number in inputs["records"]]
        lengths = [len(example.response) for example in examples]
        prompts = [len(example.prompt.ids) for example in examples]
        total = torch.zeros((), device=self.accelerator.device)
        for rows in split_rows(range(len(examples)), prompts, lengths, self.tokens):
            loss = self._summed_loss([examples[row] for row in rows]) / sum(lengths)
            if not torch.isfinite(loss):
                step = self.state.global_step + 1
                raise NotANumber(f"step {step}: the loss is {loss.item()}; the step's records: {inputs['names']}")
            self.accelerator.backward(loss)
            total += loss.detach()
        return total

    def _summed_loss(self, examples: list[Example]) -> torch.Tensor:
        prompts = [example.prompt for example in examples]
        features = [example.features for example in examples] if self.vision_frozen else None
        responses = [example.response for example in examples]
        with self.accelerator.autocast():
            log_probs, _ = completion_log_probs(self.model, prompts, list(range(len(examples))), responses, features)
        return -log_probs.sum()

    def _example(self, number: int) -> Example:
        if number in self.kept:
            return self.kept[number]
        prompt, text = self.read_example(number)
        tokenizer = self.processing_class.tokenizer
        ids = tokenizer(text + tokenizer.eos_token, add_special_tokens=False)["input_ids"]
        example = Example(prompt, torch.tensor(ids), None)
        if not self.vision_frozen:
            return example
        with torch.no_grad(), self.accelerator.autocast():
            (features,) = encode_clips(self.model, [prompt])
        # What is kept has no pixels: nothing asks for them again. A copy, because a view would keep them alive.
        visuals = tuple(without_pixels(self.model, visual) for visual in prompt.visuals)
        example = replace(example, prompt=replace(prompt, visuals=visuals), features=features)
        size = sum(part.numel() * part.element_size() for part in features)
        if self.kept_bytes + size <= KEPT_BYTES:
            self.kept[number] = example
            self.kept_bytes += size
        return example

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        if isinstance(self.model, PeftModel):
            return super()._load_from_checkpoint(resume_from_checkpoint, model)
        load_weights(self.model, resume_from_checkpoint)


def _numbers(rows: list[dict]) -> dict:
    return {"records": [row["record"] for row in rows], "names": [row["name"] for row in rows]}


def sft_arguments(settings: SFTSettings, output: Path) -> TrainingArguments:
    """The Trainer's configuration for our settings."""
    on_gpu = torch.cuda.is_available()
    arguments = TrainingArguments(
        output_dir=str(output / "checkpoints"),
        learning_rate=settings.learning_rate,
        per_device_train_batch_size=settings.queries,
        max_steps=settings.steps if settings.steps is not None else -1,
        num_train_epochs=settings.epochs,
        warmup_steps=settings.warmup,
        lr_scheduler_type=settings.schedule,
        max_grad_norm=settings.max_grad_norm,
        weight_decay=0.0,
        bf16=settings.dtype == "bfloat16",
        use_cpu=not on_gpu,
        activation_checkpointing=on_gpu,
        remove_unused_columns=False,
        logging_steps=1,
        save_strategy="steps",
        save_steps=settings.checkpoint_every,
        save_total_limit=1,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,  # batches are numbers
        seed=settings.seed,
        data_seed=settings.seed,  # an epoch's order follows from this and the epoch alone, also in a resumed run
    )
    arguments._n_gpu = 1  # the Trainer would copy the model to every GPU it sees
    return arguments


def train_sft(
    model_path: str | Path,
    records: list[ScoredClip | Pair | Question],
    recipe: Recipe,
    settings: SFTSettings,
    policy: FramePolicy,
    output: str | Path,
    cache: FrameCache,
    reasons: Callable[[ScoredClip | Pair | Question], str] | None = None,
) -> Path:
    """Finetune a model on the true answers of records; returns the folder of the trained model, `output`/model.

    **Source**: ours; VQ-Insight (Tables 1 and 2) names its baseline "Qwen-SFT" and says no more. Loss: mean
    cross-entropy per response token of a step.

    recipe: whose prompts are asked, such as RECIPES["vq_insight/sft_natural"]; its rewards are not looked at. reasons:
    the reasoning of a record, which then stands before its answer; needed where the prompt asks for reasoning.
    The log is `output`/log.jsonl: one line a step with loss, gradient norm and learning rate. Called again after an
    interruption it goes on from the last checkpoint; called after the end it returns at once. Before anything starts,
    one frame of every clip is read, and unreadable files are named.

    Raises:
        ValueError: no records; unreadable files; a record that the recipe's prompt does not fit; reasons that the
            prompt does not ask for, or that it asks for and that are missing; settings that contradict each other.
    """
    output = Path(output)
    trained = output / "model"
    if (trained / "trained.json").exists():
        return trained
    if not records:
        raise ValueError("there are no records to train on")
    wanted = []
    for record in records:
        prompt = question_of(record, recipe)
        wanted.append((prompt.text, true_response(record, prompt, reasons and reasons(record))))
    check_files(records)
    output.mkdir(parents=True, exist_ok=True)
    drop_torn_checkpoints(output / "checkpoints")
    arguments = sft_arguments(settings, output)
    set_seed(settings.seed)  # new adapters are drawn from the global state
    with warnings.catch_warnings():  # peft 0.21 reads a name that transformers 5.23 has renamed
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        model, processor = start_model(model_path, settings, output, arguments)
        check_motion(model, model_path, recipe)
        if settings.lora_rank:
            model = get_peft_model(model, lora_config(settings.lora_rank, model=model))
            if arguments.activation_checkpointing:  # else no layer would have a gradient
                model.enable_input_require_grads()
            widen_what_learns(model)
        elif not settings.train_vision:
            freeze_vision(model)

        def read_example(number: int) -> tuple[EncodedPrompt, str]:
            text, response = wanted[number]
            return encode(processor, visuals_of(records[number], policy, cache), text), response

        trainer = VideoSFTTrainer(
            model=model,
            args=arguments,
            train_dataset=[
                {"record": number, "name": f"{record.dataset}/{record.name}"} for number, record in enumerate(records)
            ],
            processing_class=processor,
            callbacks=[LogFile(output / "log.jsonl"), Progress("SFT", "loss"), NoLastCheckpoint()],
            read_example=read_example,
            tokens=settings.tokens,
        )
        trainer.remove_callback(PrinterCallback)  # the log file has what it would print
        trainer.train(resume_from_checkpoint=last_checkpoint(output / "checkpoints"))
        keep_model(trainer, processor, trained, str(model_path), settings)
    return trained
