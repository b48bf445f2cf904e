"""Rewards see the global batch: over real gloo processes, however its rows are dealt out, they have the same values."""

import json
import os
import socket
import subprocess
import sys

import pytest

from vqa_lib.rewards import REWARDS

RANKED = ["ranking", "consistency", "temporal", "length"]

# Four processes run the trainer's own method on their share of the rows, in worlds of 4, 2 and 1 processes. They are
# forked from one that has imported everything, because the imports take longer than all the rest.
WORKER = """
import functools, json, os, sys
from types import SimpleNamespace
import torch
from accelerate import PartialState
from vqa_lib.rewards import REWARDS
from vqa_lib.training.grpo import VideoGRPOTrainer

port, path = int(sys.argv[1]), sys.argv[2]
rows, settings = json.load(open(path))
rank = next((rank for rank in range(4) if os.fork() == 0), None)
if rank is None:
    sys.exit(any(os.wait()[1] for _ in range(4)))
for row in rows:
    row["prompt"] = ""
values = {}
for world in (4, 2, 1):
    if rank >= world:
        continue
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world), MASTER_PORT=str(port + world))
    if world > 1:
        torch.distributed.init_process_group("gloo", rank=rank, world_size=world)
    PartialState._reset_state()
    assert PartialState(cpu=True).num_processes == world
    rewards = [functools.partial(REWARDS[name], **options) for name, options in settings]
    trainer = SimpleNamespace(
        num_generations=4, reward_funcs=rewards, accelerator=PartialState(), _note_answers=lambda rows, values: None
    )
    share = len(rows) // world
    own = [dict(row) for row in rows[rank * share : (rank + 1) * share]]
    texts = [row.pop("completion") for row in own]
    tokens = [row.pop("tokens") for row in own]
    table = VideoGRPOTrainer._calculate_rewards(trainer, own, None, texts, tokens)
    values[world] = table.double().nan_to_num(nan=-9).tolist()
    if world > 1:
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
json.dump(values, open(f"{path}.{rank}", "w"))
os._exit(0)
"""


def batch() -> list[dict]:
    """Two groups of four rows and 8 unlike answers; over four processes each group is split."""
    answers = ["4.25", "3.5", "good", "3.75", "2", "1.5", "3.9", "1.25"]
    rows = []
    for number, score in enumerate(answers):
        rows.append(
            {
                "completion": [{"role": "assistant", "content": f"<think>a</think><answer>{score}</answer>"}],
                "tokens": [1] * (318 + number),
                "contrast_completions": [f"<think>a</think><answer>{4 - number / 2}</answer>"] if number % 2 else [],
                "kind": "video",
                "dimensions": ["overall"],
                "target": [4.0 if number < 4 else 2.0],
                "scale": [1, 5],
                "choice": "3.5",
                "choices": ["3.5", "2"],
            }
        )
    return rows


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    """world size -> reward values that its first process got, after a check that all processes got the same."""
    settings = [(name, {"variant": variant}) for name in RANKED for variant in ("paper", "official")]
    settings += [(name, {}) for name in REWARDS if name not in RANKED]
    path = tmp_path_factory.mktemp("batch") / "batch.json"
    path.write_text(json.dumps([batch(), settings]))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WORKER, str(port - 5), str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    found = {}
    for rank in range(4):
        for world, table in json.loads(path.with_name(f"{path.name}.{rank}").read_text()).items():
            assert found.setdefault(int(world), table) == table
    return found


def test_values_do_not_depend_on_the_split(values):
    assert set(values) == {1, 2, 4}
    assert len(values[1]) == 8
    assert values[1] == values[2] == values[4]
    # They do tell rows apart: a reward confined to its own process would differ between the worlds.
    assert len({row[0] for row in values[1]}) > 4
