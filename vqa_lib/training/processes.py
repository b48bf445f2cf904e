"""Run one training in several processes, started through accelerate's launcher, their output shown while they run."""

import codecs
import importlib.util
import os
import pickle
import signal
import socket
import subprocess
import sys
from pathlib import Path

import torch

from vqa_lib.paths import PACKAGE, resolve

SECONDS_TO_END = 15
TAIL = 4000  # characters of output kept for an error message


def launch(job: object, folder: Path, processes: int, accelerate_config: str = "") -> None:
    """Start `processes` processes of `worker` on a job, and return when all have finished.

    What they print appears on standard output at once. They end with this process, however it ends: their standard
    input is a pipe from it, and they stop when that closes.

    Args:
        job: what `run.train_here` takes; passed as a file in `folder`.
        processes: how many, on this machine.
        accelerate_config: a file for `accelerate launch`; "" for plain data parallelism.

    Raises:
        RuntimeError: a process failed; the message ends with the last lines of the first one's traceback.
    """
    file, error = folder / "job.pickle", folder / "job.error"
    file.write_bytes(pickle.dumps(job))
    error.unlink(missing_ok=True)
    # --multi_gpu is torch.distributed.run, which starts gloo processes on a CPU; accelerate's own way there needs MPI.
    kind = ["--multi_gpu", "--mixed_precision", "no"]
    if accelerate_config:
        kind = ["--config_file", str(resolve(accelerate_config))]
    command = [sys.executable, "-m", "accelerate.commands.launch", *kind, "--num_processes", str(processes)]
    command += ["--num_machines", "1", "--dynamo_backend", "no", "--main_process_port", str(free_port())]
    command += ["--num_cpu_threads_per_process", str(max(1, torch.get_num_threads() // processes))]
    command += ["-m", "vqa_lib.training.worker", str(file), str(error)]
    path = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]))
    started = subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # an interrupt reaches this process alone, which then ends the others in order
    )
    try:
        tail = _show(started.stdout)
        code = started.wait()
    finally:
        _end(started)
        file.unlink(missing_ok=True)
    if code:
        text = error.read_text() if error.exists() else tail  # one that was killed leaves no traceback
        error.unlink(missing_ok=True)
        lines = "\n".join(text.strip().splitlines()[-12:])
        raise RuntimeError(f"training in {processes} processes failed (exit code {code}):\n{lines}")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def check_processes(processes: int, accelerate_config: str, adapters: bool) -> None:
    """Whether this machine can start them.

    Raises:
        ValueError: fewer GPUs than processes; a configuration that is missing or not accelerate's, that needs what is
            not here, or that shards where only adapters are trained.
    """
    if torch.cuda.is_available() and torch.cuda.device_count() < processes:
        raise ValueError(f"processes must be at most the number of GPUs, {torch.cuda.device_count()}; got {processes}")
    if not accelerate_config:
        return
    from accelerate.commands.config.config_args import load_config_from_file

    try:
        config = load_config_from_file(str(resolve(accelerate_config)))
    except Exception as error:  # a missing file, no YAML, unknown keys
        raise ValueError(f"accelerate_config must be a file for `accelerate launch`: {error}") from error
    if config.distributed_type == "DEEPSPEED" and importlib.util.find_spec("deepspeed") is None:
        raise ValueError(f"accelerate_config: {accelerate_config} needs deepspeed: pip install deepspeed")
    if config.distributed_type == "FSDP" and adapters:  # transformers 5.23 with peft 0.21 would save an empty adapter
        raise ValueError(f"accelerate_config: {accelerate_config} is for training all weights: lora_rank must be 0")
    if config.distributed_type == "FSDP" and not torch.cuda.is_available():  # accelerate would go on without it
        raise ValueError(f"accelerate_config: {accelerate_config} shares its work between GPUs, and none is here")


def _show(stream) -> str:
    """Pass output on as it comes, progress bars included; returns its end."""
    decoder, tail = codecs.getincrementaldecoder("utf-8")("replace"), ""
    while chunk := stream.read1(65536):
        text = decoder.decode(chunk)
        tail = (tail + text)[-TAIL:]
        sys.stdout.write(text)
        sys.stdout.flush()
    return tail


def _end(started: subprocess.Popen) -> None:
    """End the launcher and its processes, if they have not ended by themselves."""
    started.stdin.close()
    try:
        started.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()
    started.stdout.close()
