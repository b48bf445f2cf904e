"""What every kind of training does alike: check files, load, log, show progress, keep and clean checkpoints."""

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm
from transformers import TrainerCallback, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from vqa_lib.frame_cache import FrameCache
from vqa_lib.models.families import has_motion
from vqa_lib.models.loading import load_model
from vqa_lib.recipes import Recipe
from vqa_lib.records import Record
from vqa_lib.video import FramePolicy, check_readable


class NotANumber(FloatingPointError):
    """The loss is not a number; the message has the step, and what led to it."""


class LogFile(TrainerCallback):
    """Every logged step as a line of JSON; a resumed run first drops the lines its checkpoint does not know of."""

    def __init__(self, path: Path):
        self.path = path

    def line(self, logs: dict) -> dict:
        """What a line says beside the step."""
        return logs

    def on_train_begin(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            forget_after(self.path, state.global_step)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if state.is_world_process_zero and "loss" in logs:
            with self.path.open("a") as file:
                file.write(json.dumps({"step": state.global_step, **self.line(logs)}) + "\n")


class SampleFile(LogFile):
    """One group of responses of every step as a line of JSON, to be looked at while and after a model learns.

    latest: what a line says beside the step; see `grpo.VideoGRPOTrainer.latest_group`.
    """

    def __init__(self, path: Path, latest: Callable[[], dict]):
        super().__init__(path)
        self.latest = latest

    def line(self, logs: dict) -> dict:
        return self.latest()


class Progress(TrainerCallback):
    """One plain progress bar; widgets and growing tables do not survive in executed notebooks.

    label: what stands before the bar. shown: the entry of the log that stands behind it.
    """

    def __init__(self, label: str, shown: str):
        self.label, self.shown = label, shown

    def on_train_begin(self, args, state, control, **kwargs):
        self.bar = tqdm(
            total=state.max_steps,
            initial=state.global_step,
            desc=self.label,
            unit="step",
            mininterval=5,
            disable=not state.is_world_process_zero,
        )

    def on_log(self, args, state, control, logs=None, **kwargs):
        if self.shown in logs:
            self.bar.set_postfix_str(f"{self.shown} {logs[self.shown]:.3f}", refresh=False)

    def on_step_end(self, args, state, control, **kwargs):
        self.bar.update()

    def on_train_end(self, args, state, control, **kwargs):
        self.bar.close()


class NoLastCheckpoint(TrainerCallback):
    """The last step's weights are the model itself; going on from a checkpoint there, the Trainer would do one more."""

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step >= state.max_steps:
            control.should_save = False


def read_log(path: str | Path) -> list[dict]:
    """The lines of a log file; a last line torn by a crash is left out."""
    path = Path(path)
    lines = path.read_text().splitlines() if path.exists() else []
    entries = []
    for number, line in enumerate(lines):
        try:
            entries.append(json.loads(line))
        except json.JSONDecodeError:
            if number != len(lines) - 1:
                raise ValueError(f"{path}, line {number + 1}: not JSON") from None
    return entries


def forget_after(path: Path, step: int) -> None:
    """Drop the lines of a log that a checkpoint of that step does not know of."""
    kept = [line for line in read_log(path) if line["step"] <= step]
    write_whole(path, "".join(json.dumps(line) + "\n" for line in kept))


def check_files(records: list[Record]) -> None:
    """Read one frame of every file of the records.

    Raises:
        ValueError: files that cannot be read; the first ten are named.
    """
    files = list(dict.fromkeys((path, record.kind) for record in records for path in record.paths))
    if unreadable := check_readable(files):
        listed = "\n".join(f"{path}: {reason}" for path, reason in unreadable[:10])
        raise ValueError(f"{len(unreadable)} of {len(files)} files cannot be read:\n{listed}")


def visuals_of(record: Record, policy: FramePolicy, cache: FrameCache) -> list:
    """What a record's question shows: (frames, kind) of its image or video, or of both videos."""
    return [(cache.get(path, record.kind, policy), record.kind) for path in record.paths]


def weights_dtype(settings) -> str:
    """What a model's weights are loaded in: float32 where they learn, `dtype` below adapters, which are float32.

    Steps of 1e-6, or of 1e-5 on weights of 1e-2, are lost in bfloat16.
    """
    return settings.dtype if settings.lora_rank else "float32"


def widen_what_learns(model) -> None:
    """Keep in float32 what learns: TRL makes the adapters of a 4-bit model bfloat16."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def start_model(model_path: str | Path, settings, output: Path, arguments: TrainingArguments):
    """The model that training starts from, and its processor; an adapter is merged into its base first.

    settings: dtype, lora_rank and quantize are read. output: the run's folder, which keeps a merged model.
    """
    start = output / "start"
    quantize = settings.quantize or None
    kept_in = weights_dtype(settings)
    if not (Path(model_path) / "adapter_config.json").exists():
        return load_model(model_path, kept_in, quantize=quantize)
    # TRL's reference model and a new adapter both name their base by its folder: give the merged model one.
    with arguments.main_process_first(local=False, desc="merging the adapter"):
        if arguments.process_index == 0:
            model, processor = load_model(model_path, kept_in)
            model.save_pretrained(start)
            processor.save_pretrained(start)
            del model
    return load_model(start, kept_in, quantize=quantize)


def check_motion(model, model_path: str | Path, recipe: Recipe) -> None:
    """Raises ValueError for a recipe with VQAThinker's motion branch and a model without, or the other way round."""
    if recipe.motion and not has_motion(model):
        raise ValueError(f"{model_path}: the recipe needs a model with VQAThinker's motion branch (`models.motion`)")
    if has_motion(model) and not recipe.motion:
        raise ValueError(f"{model_path}: the model has a motion branch, and the recipe is for models without one")


def last_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint in a folder; None where there is none."""
    return get_last_checkpoint(folder) if folder.is_dir() else None


def load_weights(model, checkpoint: str) -> None:
    """A checkpoint's weights into a model that is trained whole.

    The Trainer loads the file's names as they stand, without strictness; transformers saves Qwen2.5-VL under its
    published names, so nothing would match and a resumed run would start from the untrained weights.
    """
    saved = type(model).from_pretrained(checkpoint, dtype=model.dtype)
    model.load_state_dict(saved.state_dict())


def keep_model(trainer, processor, trained: Path, base: str, settings) -> None:
    """Write what was trained and its processor; trained.json comes last and says that the folder is complete."""
    trainer.save_model(str(trained))
    if trainer.is_world_process_zero():
        processor.save_pretrained(trained)
        facts = {"base": base, "settings": asdict(settings)}
        write_whole(trained / "trained.json", json.dumps(facts, indent=2))


def drop_torn_checkpoints(folder: Path) -> None:
    """Remove what a killed run left half written: the Trainer takes the newest folder, whole or not.

    It writes the state last; only the other processes' random states may still be missing their end then.
    """
    for checkpoint in folder.glob("checkpoint-*"):
        try:
            json.loads((checkpoint / "trainer_state.json").read_text())
            whole = all(map(zipfile.is_zipfile, checkpoint.glob("rng_state*.pth")))
        except (OSError, ValueError):
            whole = False
        if not whole:
            shutil.rmtree(checkpoint)


def write_whole(path: Path, text: str) -> None:
    """Whole or not at all."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(text)
    os.replace(temporary, path)
