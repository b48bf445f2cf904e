"""Training in several gloo processes: what a run ends with does not depend on how its steps are shared."""

import itertools
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser
from safetensors.torch import load_file

from vqa_lib.paths import PACKAGE
from vqa_lib.recipes import RECIPES
from vqa_lib.training.processes import free_port, launch
from vqa_lib.training.run import GRPOSettings, Job, read_log, train_grpo
from vqa_lib.video import FramePolicy

# TRL 1.16 asks models by the name that transformers 5.23 calls old; nothing of ours can change that.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

NATURAL, POLICY = RECIPES["vq_insight/natural"], FramePolicy(count=4)
SMALL = GRPOSettings(
    group=4,
    queries=2,
    steps=2,
    tokens=220,  # several pieces a step
    beta=0.04,
    contrast=2,
    max_completion=28,
    learning_rate=1e-3,
    dtype="float32",
)


def weights(folder):
    return {name: value for file in folder.glob("*.safetensors") for name, value in load_file(file).items()}


def difference(ours, theirs):
    assert ours.keys() == theirs.keys()
    assert ours
    return max(float((ours[name].float() - theirs[name].float()).abs().max()) for name in ours)


def same_rewards(ours, theirs):
    keys = {name for name in ours[0] if name.startswith("rewards/") or name in ("reward", "reward_std", "unparsed")}
    assert {"rewards/ranking/mean", "rewards/temporal/mean"} & keys
    for one, other in zip(ours, theirs, strict=True):
        assert {name: one[name] for name in keys} == pytest.approx({name: other[name] for name in keys}, abs=1e-6)


FSDP = Path(__file__).parents[1] / "params" / "accelerate" / "fsdp.yaml"
WAYS = {"all weights": {}, "LoRA": {"lora_rank": 4}}
MOTION = PACKAGE / "models" / "motion_starter_weights"
COUNTS = (2, 4)  # with 4, each group is shared by two processes

# Imports take longer than all the rest, so the processes are forked from one that has imported everything.
FORKING = """
import os, pickle, sys, traceback
import torch
from vqa_lib.models import loading
from vqa_lib.training.run import train_here

def shard_on_cpu(configuration):
    # accelerate and FSDP think of GPUs only; with these two corrections they do the same over gloo
    import yaml
    import accelerate.state as state
    import torch.distributed.fsdp._init_utils as sharding

    os.environ["ACCELERATE_USE_FSDP"] = "true"
    for name, value in yaml.safe_load(open(configuration))["fsdp_config"].items():
        os.environ[name.upper()] = str(value)
    whole, device = state.AcceleratorState.__init__, sharding._get_device_from_device_id

    def begin(self, *arguments, **options):
        whole(self, *arguments, **options)
        if options.get("fsdp_plugin") is not None:
            self.fsdp_plugin = options["fsdp_plugin"]
            state.PartialState._shared_state["distributed_type"] = self.distributed_type = state.DistributedType.FSDP

    state.AcceleratorState.__init__ = begin
    sharding._get_device_from_device_id = lambda *arguments, **options: torch.device("cpu")

torch.set_num_threads(1)
for job, port in pickle.load(open(sys.argv[1], "rb")):
    world, children = job.settings.processes, []
    for rank in range(world):
        child = os.fork()
        if child == 0:
            os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world), MASTER_PORT=str(port))
            try:
                if job.settings.accelerate_config:
                    shard_on_cpu(job.settings.accelerate_config)
                train_here(job)
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        children.append(child)
    for _ in children:
        if os.wait()[1]:
            os._exit(1)
"""


@pytest.fixture(scope="module")
def runs(answering_folder, videos, frame_cache, tmp_path_factory):
    """(way, processes) -> the folder of the trained model."""
    folder, jobs, found = tmp_path_factory.mktemp("split"), [], {}
    for way, changes in WAYS.items():
        settings = replace(SMALL, **changes)
        output = folder / f"{way}-1"
        found[way, 1] = train_grpo(answering_folder, videos[:4], NATURAL, settings, POLICY, output, frame_cache)
        shares = [(count, "") for count in COUNTS] + ([] if settings.lora_rank else [(2, str(FSDP))])
        for count, configuration in shares:
            name = "FSDP" if configuration else count
            output = folder / f"{way}-{name}"
            output.mkdir()
            several = replace(settings, processes=count, accelerate_config=configuration)
            job = Job(str(answering_folder), videos[:4], NATURAL, several, POLICY, output, frame_cache)
            jobs.append((job, free_port()))
            found[way, name] = output / "model"
    # VQAThinker's: ranking over all videos of the step, and a projector that learns beside the rest. The vision tower
    # stays as it is: the biases of its keys have no gradient but rounding, of which Adam makes steps.
    thinker = RECIPES["vqathinker"]
    alone = replace(SMALL, max_completion=48, tokens=2000, learning_rate=3e-4, train_vision=False)
    found["motion", 1] = train_grpo(MOTION, videos[:4], thinker, alone, POLICY, folder / "motion-1", frame_cache)
    (folder / "motion-2").mkdir()
    several = replace(alone, processes=2)
    jobs.append((Job(str(MOTION), videos[:4], thinker, several, POLICY, folder / "motion-2", frame_cache), free_port()))
    found["motion", 2] = folder / "motion-2" / "model"
    (folder / "jobs").write_bytes(pickle.dumps(jobs))
    environment = os.environ | {"MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", FORKING, str(folder / "jobs")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return found


@pytest.mark.parametrize(("way", "share"), [*itertools.product(WAYS, COUNTS), ("all weights", "FSDP"), ("motion", 2)])
def test_a_run_does_not_depend_on_the_split(runs, way, share):
    one, several = runs[way, 1], runs[way, share]
    same_rewards(read_log(one.parent / "log.jsonl"), read_log(several.parent / "log.jsonl"))
    ours, theirs = weights(one), weights(several)
    if share == "FSDP":  # which saves the head, too, though it is the embedding
        assert torch.equal(theirs.pop("lm_head.weight"), theirs["model.embed_tokens.weight"])
    assert difference(ours, theirs) < 1e-5


def test_the_compared_runs_learned(runs, answering_folder):
    moved = difference(weights(answering_folder), weights(runs["all weights", 1]))
    assert moved > 1e-4
    assert any("visual" in name for name in weights(answering_folder))
    start, trained = weights(MOTION), weights(runs["motion", 1])
    projector = [name for name in trained if "motion_projector" in name and name.endswith("weight")]
    assert projector and all(difference({0: start[name]}, {0: trained[name]}) > 1e-4 for name in projector)


class TestLaunch:
    def test_output_shows_and_one_process_writes(self, runs, answering_folder, videos, frame_cache, tmp_path, capfd):
        settings = replace(SMALL, lora_rank=4, processes=2)
        trained = train_grpo(answering_folder, videos[:4], NATURAL, settings, POLICY, tmp_path, frame_cache)
        shown = capfd.readouterr().out
        assert shown.count("0/2") == 1  # one progress bar
        assert "2/2" in shown
        assert difference(weights(runs["LoRA", 1]), weights(trained)) < 1e-5
        assert [line["step"] for line in read_log(tmp_path / "log.jsonl")] == [1, 2]
        assert json.loads((trained / "trained.json").read_text())["settings"]["processes"] == 2
        assert not (tmp_path / "job.pickle").exists()

    def test_a_failing_process_ends_all_with_one_error(self, answering_folder, videos, frame_cache, tmp_path):
        settings = replace(SMALL, processes=2)
        job = Job(str(tmp_path / "nowhere"), videos[:4], NATURAL, settings, POLICY, tmp_path, frame_cache)
        with pytest.raises(RuntimeError, match="training in 2 processes failed") as error:
            launch(job, tmp_path, 2)
        assert str(error.value).endswith("nowhere: no such model folder")
        assert "Traceback" not in str(error.value).splitlines()[0]

    def test_an_interrupt_ends_all_of_them(self, answering_folder, videos, frame_cache, tmp_path):
        """What a notebook's stop button does, and what its kernel's death does to the pipe."""
        settings = replace(SMALL, steps=10_000, processes=2)

        def interrupt():
            while not read_log(tmp_path / "log.jsonl"):
                time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGINT)

        # A shell starts what it puts into the background with this signal ignored.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.Thread(target=interrupt, daemon=True).start()
        try:
            with pytest.raises(KeyboardInterrupt):
                train_grpo(answering_folder, videos[:4], NATURAL, settings, POLICY, tmp_path, frame_cache)
        finally:
            signal.signal(signal.SIGINT, before)
        commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
        assert not [command for command in commands if str(tmp_path / "job.pickle").encode() in command]


@pytest.mark.parametrize("name", ["ddp", "zero2", "zero3", "fsdp"])
def test_configurations_are_read_by_accelerate(name):
    config = load_config_from_file(str(FSDP.with_name(f"{name}.yaml")))
    kinds = {"ddp": "MULTI_GPU", "zero2": "DEEPSPEED", "zero3": "DEEPSPEED", "fsdp": "FSDP"}
    assert config.distributed_type == kinds[name]
    known = vars(launch_command_parser().parse_args(["script"]))
    assert {*config.deepspeed_config, *config.fsdp_config} <= known.keys()
    if name.startswith("zero"):
        assert config.deepspeed_config["zero_stage"] == int(name[-1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "accelerate_config must be a file for `accelerate launch`"),
        ("distributed_type: MULTI_GPU\nwrong: 1\n", "accelerate_config must be a file for `accelerate launch`"),
        ("distributed_type: DEEPSPEED\n", "needs deepspeed: pip install deepspeed"),
        ("distributed_type: FSDP\n", "shares its work between GPUs, and none is here"),
    ],
)
def test_a_configuration_that_cannot_be_used(answering_folder, videos, frame_cache, tmp_path, content, message):
    file = tmp_path / "accelerate.yaml"
    if content:
        file.write_text(content)
    settings = replace(SMALL, processes=2, accelerate_config=str(file))
    with pytest.raises(ValueError, match=message):
        train_grpo(answering_folder, videos[:4], NATURAL, settings, POLICY, tmp_path / "run", frame_cache)
    assert not (tmp_path / "run").exists()


def test_sharded_adapters_are_refused(answering_folder, videos, frame_cache, tmp_path):
    settings = replace(SMALL, processes=2, accelerate_config=str(FSDP), lora_rank=4)
    with pytest.raises(ValueError, match="is for training all weights: lora_rank must be 0"):
        train_grpo(answering_folder, videos[:4], NATURAL, settings, POLICY, tmp_path / "run", frame_cache)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"processes": 0}, "processes must be at least 1, got 0"),
        ({"processes": 3}, r"processes must divide queries x group \(2 x 4\), got 3"),
        ({"accelerate_config": "x.yaml"}, "accelerate_config is for several processes"),
    ],
)
def test_settings_that_contradict_each_other(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)
