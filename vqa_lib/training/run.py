"""One training run: settings in, a model folder and a log out; interrupted runs go on from their last checkpoint."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from datasets import Dataset
from transformers import PrinterCallback, set_seed
from trl import GRPOConfig

from vqa_lib.frame_cache import FrameCache
from vqa_lib.models.families import freeze_vision
from vqa_lib.models.loading import lora_config
from vqa_lib.paths import shown
from vqa_lib.recipes import Recipe
from vqa_lib.records import Pair, Question, ScoredClip
from vqa_lib.training.common import (
    LogFile,
    NoLastCheckpoint,
    Progress,
    SampleFile,
    check_files,
    check_motion,
    drop_torn_checkpoints,
    keep_model,
    last_checkpoint,
    read_log,
    start_model,
    visuals_of,
    widen_what_learns,
)
from vqa_lib.training.grpo import ENGINES, VideoGRPOTrainer
from vqa_lib.training.processes import check_processes, launch
from vqa_lib.training.rows import training_rows
from vqa_lib.training.settings import TrainingSettings
from vqa_lib.video import FramePolicy

__all__ = ["GRPOSettings", "Job", "grpo_config", "read_log", "train_grpo", "train_here"]


@dataclass(frozen=True)
class GRPOSettings(TrainingSettings):
    """How a stage is trained by GRPO. Names follow the papers: `group` responses a query, `queries` a step.

    beta: weight of the KL term. temperature, top_p, top_k (0: all tokens): of the rollouts. contrast: responses a query
    on perturbed frames. engine: "shared", or "reference" for the plain, slow way through transformers. processes: that
    share each step, one a GPU; with 1 training stays in this process. accelerate_config: a file for `accelerate
    launch`, such as those in params/accelerate; "" for plain data parallelism. vllm: address of a
    `models/vllm_server.py` that samples in this process's place, for adapters only; "" to sample here. The others: see
    `TrainingSettings`.
    """

    group: int = 8
    beta: float = 0.001
    clip: float = 0.2
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_completion: int = 768
    contrast: int = 4
    engine: str = "shared"
    processes: int = 1
    accelerate_config: str = ""
    vllm: str = ""

    def __post_init__(self):
        super().__post_init__()
        self._check_positive("group", "max_completion", "processes")
        if self.group < 2:
            raise ValueError(f"group must be at least 2: advantages compare the responses of a group, got {self.group}")
        if self.engine not in ENGINES:
            raise ValueError(f"engine must be one of {', '.join(ENGINES)}; got {self.engine!r}")
        if self.group * self.queries % self.processes:
            raise ValueError(
                f"processes must divide queries x group ({self.queries} x {self.group}), got {self.processes}"
            )
        if self.vllm and not (self.lora_rank and self.vllm.startswith(("http://", "https://"))):
            raise ValueError(f"vllm must be the address of a rollout server, and needs lora_rank; got {self.vllm!r}")
        if self.accelerate_config and self.processes == 1:
            raise ValueError("accelerate_config is for several processes: processes must be at least 2, got 1")


@dataclass(frozen=True)
class Job:
    """What a training process needs to know; the arguments of `train_grpo`."""

    model_path: str
    records: list[ScoredClip | Pair | Question]
    recipe: Recipe
    settings: GRPOSettings
    policy: FramePolicy
    output: Path
    cache: FrameCache


def grpo_config(settings: GRPOSettings, output: Path) -> GRPOConfig:
    """TRL's configuration for our settings: the papers' plain GRPO, everything that could surprise switched off."""
    on_gpu = torch.cuda.is_available()
    return GRPOConfig(
        output_dir=str(output / "checkpoints"),
        learning_rate=settings.learning_rate,
        num_generations=settings.group,
        per_device_train_batch_size=settings.group * settings.queries // settings.processes,
        gradient_accumulation_steps=1,
        steps_per_generation=1,
        max_steps=settings.steps if settings.steps is not None else -1,
        num_train_epochs=settings.epochs,
        beta=settings.beta,
        epsilon=settings.clip,
        loss_type="grpo",  # mean over the tokens of a response, then over responses: the papers' objective
        scale_rewards="group",
        temperature=settings.temperature,
        top_p=settings.top_p,
        top_k=settings.top_k,
        max_completion_length=settings.max_completion,
        warmup_steps=settings.warmup,
        lr_scheduler_type=settings.schedule,
        max_grad_norm=settings.max_grad_norm,
        # A vision tower may have parts that no output depends on; looking for them costs a walk through every graph.
        ddp_find_unused_parameters=settings.train_vision and not settings.lora_rank,
        weight_decay=0.0,
        bf16=settings.dtype == "bfloat16",
        use_cpu=not on_gpu,
        activation_checkpointing=on_gpu,
        logging_steps=1,
        save_strategy="steps",
        save_steps=settings.checkpoint_every,
        save_total_limit=1,
        report_to="none",
        disable_tqdm=True,
        log_completions=False,
        dataloader_pin_memory=on_gpu,
        seed=settings.seed,
    )


def train_grpo(
    model_path: str | Path,
    records: list[ScoredClip | Pair | Question],
    recipe: Recipe,
    settings: GRPOSettings,
    policy: FramePolicy,
    output: str | Path,
    cache: FrameCache,
) -> Path:
    """Train a model by GRPO; returns the folder of the trained model, `output`/model.

    The log is `output`/log.jsonl: one line a step with every reward component, the share of unparsed answers, lengths,
    loss; `output`/samples.jsonl has a group of responses a step, with their rewards. Called again after an interruption
    it goes on from the last checkpoint; called after the end it returns at once. Before anything starts, one frame of
    every clip is read, and unreadable files are named.

    Raises:
        ValueError: unreadable files; too few records for one step; a record that the recipe's prompt does not fit;
            settings that contradict each other.
    """
    output = Path(output)
    trained = output / "model"
    if (trained / "trained.json").exists():
        return trained
    if len(records) < settings.queries:
        raise ValueError(f"{len(records)} clips are too few for steps of {settings.queries} queries")
    if not recipe.rewards:
        raise ValueError("the recipe has no rewards: it is for supervised training on given responses, not for GRPO")
    if settings.vllm and recipe.motion:
        raise ValueError("vLLM does not know the motion branch; leave vllm empty to sample in this process")
    training_rows(records, recipe)  # what does not fit the recipe is told now
    if recipe.contrast and settings.contrast < 1:
        raise ValueError(f"the recipe compares with perturbed frames: contrast must be >= 1, got {settings.contrast}")
    check_files(records)
    if settings.processes > 1:
        check_processes(settings.processes, settings.accelerate_config, adapters=settings.lora_rank > 0)
    output.mkdir(parents=True, exist_ok=True)
    drop_torn_checkpoints(output / "checkpoints")
    job = Job(str(model_path), records, recipe, settings, policy, output, cache)
    if settings.processes > 1:
        launch(job, output, settings.processes, settings.accelerate_config)
    else:
        train_here(job)
    return trained


def train_here(job: Job) -> None:
    """Train in this process, or in this process's part of a launched group; `train_grpo` has checked the job."""
    config = grpo_config(job.settings, job.output)  # first: it decides on device and process group
    if job.settings.processes == 1:
        config._n_gpu = 1  # the Trainer would copy the model to every GPU it sees
    with warnings.catch_warnings():  # TRL 1.16 reads a name that transformers 5.23 has renamed
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        _train(job, config)


def _train(job: Job, config: GRPOConfig) -> None:
    settings, records, output, trained = job.settings, job.records, job.output, job.output / "model"
    set_seed(settings.seed)  # new adapters are drawn from the global state
    model, processor = start_model(job.model_path, settings, output, config)
    check_motion(model, job.model_path, job.recipe)
    model.config.use_cache = True
    if not settings.train_vision:
        freeze_vision(model)
    trainer = VideoGRPOTrainer(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(training_rows(records, job.recipe)),
        processing_class=processor,
        peft_config=lora_config(settings.lora_rank, model=model) if settings.lora_rank else None,
        callbacks=[LogFile(output / "log.jsonl"), Progress("GRPO", "reward"), NoLastCheckpoint()],
        recipe=job.recipe,
        read_visuals=lambda number: visuals_of(records[number], job.policy, job.cache),
        contrast_generations=settings.contrast,
        tokens=settings.tokens,
        engine=settings.engine,
        vllm=settings.vllm,
    )
    trainer.add_callback(SampleFile(output / "samples.jsonl", lambda: _sample(trainer, records)))
    widen_what_learns(trainer.model)
    trainer.remove_callback(PrinterCallback)  # the log file has what it would print
    trainer.train(resume_from_checkpoint=last_checkpoint(output / "checkpoints"))
    keep_model(trainer, processor, trained, job.model_path, settings)


def _sample(trainer: VideoGRPOTrainer, records: list) -> dict:
    """The trainer's latest group with the name, kind and clips of its record, for people to look at."""
    group = trainer.latest_group()
    record = records[group.pop("record")]
    clips = [shown(path) for path in record.paths]
    return {"name": f"{record.dataset}/{record.name}", "kind": record.kind, "clips": clips, **group}
