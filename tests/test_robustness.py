"""What goes wrong in long runs: a killed process, torn checkpoints, memory that does not suffice, a loss of NaN."""

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from out_of_memory import run_out
from safetensors.torch import load_file

from vqa_lib.recipes import RECIPES
from vqa_lib.training.common import NotANumber, drop_torn_checkpoints, read_log
from vqa_lib.training.grpo import VideoGRPOTrainer
from vqa_lib.training.run import GRPOSettings, Job, train_grpo
from vqa_lib.video import FramePolicy

# TRL 1.16 asks models by the name that transformers 5.23 calls old; nothing of ours can change that.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

NATURAL, POLICY = RECIPES["vq_insight/natural"], FramePolicy(count=4)
SMALL = GRPOSettings(
    group=4,
    queries=2,
    steps=2,
    tokens=400,  # a step is one piece
    beta=0.04,
    contrast=2,
    max_completion=28,
    learning_rate=1e-3,
    dtype="float32",
)
LONG = replace(
    SMALL, steps=5, checkpoint_every=2, schedule="constant", warmup=1
)  # checkpoints at 2 and 4, in epochs 1 and 2


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found = {name: value for file in folder.glob("*.safetensors") for name, value in load_file(file).items()}
    assert found
    return found


def difference(ours: Path, theirs: Path) -> float:
    ours, theirs = weights(ours), weights(theirs)
    assert ours.keys() == theirs.keys()
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours)


# ---- kill -9 -------------------------------------------------------------------------------------------------------

# Forked from one process that has imported everything, a run for each moment at which it is killed. A moment is a call
# of a function: the kill comes in its place, or after it where a file that it wrote is to be cut in half.
KILLED = """
import os, pickle, signal, sys
import torch
from vqa_lib.models import loading
from transformers import Trainer, TrainerState
from vqa_lib.training.grpo import VideoGRPOTrainer
from vqa_lib.training.run import train_grpo

torch.set_num_threads(1)
OWNERS = {"_compute_loss": VideoGRPOTrainer, "_save_optimizer_and_scheduler": Trainer, "_save_rng_state": Trainer,
          "save_model": Trainer, "save_to_json": TrainerState}

def kill_in(name, call, torn):
    owner, calls = OWNERS[name], []
    whole = getattr(owner, name)
    def watched(*arguments, **options):
        calls.append(0)
        if len(calls) < call:
            return whole(*arguments, **options)
        if torn:
            whole(*arguments, **options)
            for path in torn(arguments):
                os.truncate(path, os.path.getsize(path) // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(owner, name, watched)

TORN = {
    "": None,
    "state": lambda arguments: [arguments[1]],
    "optimizer": lambda arguments: [os.path.join(arguments[1], "optimizer.pt")],
    "weights": lambda arguments: [os.path.join(arguments[1], "model.safetensors")],
}
jobs = pickle.load(open(sys.argv[1], "rb"))
for (name, call, torn), job in jobs:
    child = os.fork()
    if child == 0:
        kill_in(name, call, TORN[torn])
        train_grpo(job.model_path, job.records, job.recipe, job.settings, job.policy, job.output, job.cache)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL, (name, call)
    child = os.fork()
    if child == 0:
        try:
            train_grpo(job.model_path, job.records, job.recipe, job.settings, job.policy, job.output, job.cache)
            os._exit(0)
        finally:
            import traceback
            traceback.print_exc()
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0, (name, call, torn)
os._exit(0)
"""
MOMENTS = {
    "before the first checkpoint": ("_compute_loss", 2, ""),
    "between checkpoints": ("_compute_loss", 3, ""),
    "in the second checkpoint's weights": ("save_model", 2, "weights"),
    "in the first checkpoint, before its optimiser": ("_save_optimizer_and_scheduler", 1, ""),
    "in the second checkpoint's optimiser": ("_save_optimizer_and_scheduler", 2, "optimizer"),
    "in the second checkpoint's state": ("save_to_json", 2, "state"),
    "in the final model": ("save_model", 3, "weights"),
}


@pytest.fixture(scope="module")
def undisturbed(answering_folder, videos, frame_cache, tmp_path_factory):
    output = tmp_path_factory.mktemp("whole")
    return train_grpo(answering_folder, videos[:6], NATURAL, LONG, POLICY, output, frame_cache)


@pytest.fixture(scope="module")
def killed(answering_folder, videos, frame_cache, tmp_path_factory):
    """moment -> the model of a run that was killed then and started again."""
    folder, jobs, models = tmp_path_factory.mktemp("killed"), [], {}
    for number, (name, moment) in enumerate(MOMENTS.items()):
        job = Job(str(answering_folder), videos[:6], NATURAL, LONG, POLICY, folder / str(number), frame_cache)
        jobs.append((moment, job))
        models[name] = job.output / "model"
    (folder / "jobs").write_bytes(pickle.dumps(jobs))
    command = [sys.executable, "-W", "ignore", "-c", KILLED, str(folder / "jobs")]
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return models


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_ends_where_an_undisturbed_one_does(undisturbed, killed, moment):
    assert difference(undisturbed, killed[moment]) == 0
    logs = [read_log(model.parent / "log.jsonl") for model in (undisturbed, killed[moment])]
    assert [[line["step"] for line in log] for log in logs] == [[1, 2, 3, 4, 5]] * 2
    assert [line["reward"] for line in logs[0]] == [line["reward"] for line in logs[1]]


def test_torn_checkpoints_are_dropped_and_whole_ones_stay(undisturbed, tmp_path):
    checkpoint = undisturbed.parent / "checkpoints" / "checkpoint-4"
    files = {path.name: path.read_bytes() for path in checkpoint.iterdir() if path.is_file()}
    assert {"trainer_state.json", "rng_state.pth"} <= files.keys()
    spoiled = {
        "checkpoint-1": files,
        "checkpoint-2": {name: content for name, content in files.items() if name != "trainer_state.json"},
        "checkpoint-3": files | {"trainer_state.json": files["trainer_state.json"][:50]},
        "checkpoint-4": files | {"rng_state_1.pth": files["rng_state.pth"][:100]},
    }
    for name, content in spoiled.items():
        (tmp_path / name).mkdir()
        for file, data in content.items():
            (tmp_path / name / file).write_bytes(data)
    drop_torn_checkpoints(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-1"]


# ---- out of memory -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [1, 2])  # 2: a gradient is there already, and must go
def test_out_of_memory_halves_the_pieces_and_changes_nothing_else(
    monkeypatch, answering_folder, videos, frame_cache, tmp_path, capfd, call
):
    settings = replace(SMALL, tokens=200, learning_rate=1e-4)
    whole = train_grpo(answering_folder, videos[:4], NATURAL, settings, POLICY, tmp_path / "whole", frame_cache)
    run_out(monkeypatch, VideoGRPOTrainer, "_compute_loss", {call})
    capfd.readouterr()
    short = train_grpo(answering_folder, videos[:4], NATURAL, settings, POLICY, tmp_path / "short", frame_cache)
    printed = [line for line in capfd.readouterr().out.splitlines() if "memory" in line]
    assert printed == ["step 1: out of memory; going on with tokens=100"]
    assert difference(whole, short) < 1e-6
    logs = [read_log(model.parent / "log.jsonl") for model in (whole, short)]
    assert [line["reward"] for line in logs[0]] == [line["reward"] for line in logs[1]]


def test_out_of_memory_twice_in_a_step_ends_with_advice(monkeypatch, answering_folder, videos, frame_cache, tmp_path):
    run_out(monkeypatch, VideoGRPOTrainer, "_compute_loss", {1, 2})
    with pytest.raises(RuntimeError, match=r"step 1: out of memory: lower tokens \(now 200\), max_pixels, frames"):
        train_grpo(answering_folder, videos[:4], NATURAL, SMALL, POLICY, tmp_path, frame_cache)


# ---- NaN -----------------------------------------------------------------------------------------------------------


def test_a_loss_of_nan_names_step_samples_and_rewards(monkeypatch, answering_folder, videos, frame_cache, tmp_path):
    log_probs = VideoGRPOTrainer._piece_log_probs

    def spoil(trainer, *arguments):
        found, entropies = log_probs(trainer, *arguments)
        spoiled = trainer.state.global_step == 1 and torch.is_grad_enabled()
        return found * float("nan") if spoiled else found, entropies

    monkeypatch.setattr(VideoGRPOTrainer, "_piece_log_probs", spoil)
    with pytest.raises(NotANumber) as error:
        train_grpo(answering_folder, videos[:4], NATURAL, SMALL, POLICY, tmp_path, frame_cache)
    first, *rows = str(error.value).splitlines()
    assert first == "step 2: the loss is nan; the step's responses:"
    assert len(rows) == SMALL.queries * SMALL.group
    for row in rows:
        assert "lsvq/train/" in row
        assert "'response': " in row
        assert all(f"'{name}': " in row for name in NATURAL.rewards)
    assert [line["step"] for line in read_log(tmp_path / "log.jsonl")] == [1]
    assert not (tmp_path / "model" / "trained.json").exists()
