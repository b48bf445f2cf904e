"""The benchmark at its smallest sizes: every part runs, agrees with its check, and writes what it promises."""

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[1]
LOSSES = ["loss_8_1", "loss_4_1", "loss_1_1"]
STEPS = ["step_vs_stock", "step_vs_per_rollout", "step_vs_per_rollout_8_1"]
KEYS = [*LOSSES, *STEPS, "warm_epoch", "scoring", "entities"]


def run(module: str, output: Path, *options: str) -> None:
    """In a process of its own: the benchmark sets threads and warnings for itself."""
    command = [sys.executable, "-m", f"benchmarks.{module}", "--smoke", "--output", str(output), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    (folder / "bench.json").write_text(json.dumps({"measured before": {}, "scoring": {}}))
    run("bench", folder, "--threads", "1")
    return folder


@pytest.fixture(scope="module")
def results(folder):
    return json.loads((folder / "bench.json").read_text())


def test_every_key_is_there_and_others_stay(results):
    assert set(results) == {*KEYS, "memory", "measured before"}


@pytest.mark.parametrize("key", KEYS)
def test_a_ratio_is_that_of_the_medians(results, key):
    result = results[key]
    slow, fast = result["ratio_of"]
    assert fast.startswith(("ours", "later"))
    for side in result["sides"].values():
        assert len(side["seconds"]) == result["rounds"] == 1
        assert 0 < side["smallest"] <= side["median"] == median(side["seconds"]) <= side["largest"]
    assert result["ratio"] == result["sides"][slow]["median"] / result["sides"][fast]["median"] > 0
    assert result["device"]["torch"]
    assert result["sizes"]["group"] == 4


def test_the_loss_is_measured_on_equal_terms(results):
    for key, times in zip(LOSSES, (8, 4, 1), strict=True):
        result = results[key]
        sizes = result["sizes"]
        assert sizes["visual_tokens"] == sizes["visual_tokens_as_images"]
        assert sizes["completion"] == sizes["prompt"] // times
        assert result["largest_difference"] < 1e-4
        assert result["ratio_plain"] > 0
        assert 0 < result["arithmetic_share"] < 1


@pytest.mark.parametrize("key", STEPS)
def test_operations_of_a_step_are_counted(results, key):
    result = results[key]
    slow, fast = result["ratio_of"]
    assert result["operations_ratio"] == result["operations"][slow] / result["operations"][fast] > 1


def test_a_step_s_responses_have_the_length_that_the_ratio_says(results):
    usual, short = (results[key]["sizes"] for key in ("step_vs_per_rollout", "step_vs_per_rollout_8_1"))
    assert short["step_completion"] == short["prompt"] // 8 != usual["step_completion"]


def test_entity_questions_have_the_probabilities_of_plain_transformers(results):
    assert results["entities"]["largest_difference"] < 1e-5
    assert results["entities"]["sizes"]["questions"] == 18


def test_predicted_memory_is_compared_with_a_step_s(results):
    memory = results["memory"]
    (case,) = memory["cases"]
    assert case["case"] == memory["case"] == "tiny, all"
    assert memory["ratio"] == memory["predicted"] / memory["measured"]
    assert 0.75 < memory["ratio"] < 1.25
    assert memory["sizes"]["hidden"] == 128
    assert memory["device"]["torch"]


def test_figure_and_its_data(folder):
    drawn = {f"{name}.{suffix}" for name in ("bench", "bench_memory") for suffix in ("csv", "png", "pdf")}
    assert {"bench.json", *drawn} <= {path.name for path in folder.iterdir()}


def test_the_command_for_a_gpu_at_its_smallest(tmp_path):
    run("gpu", tmp_path, "--only", "qlora_memory", "loss_8_1", "step_vs_per_rollout")
    (path,) = tmp_path.glob("*.json")
    results = json.loads(path.read_text())
    assert results["step_vs_per_rollout"]["ratio"] > 0
    assert results["qlora_memory"]["step"]["median"] > 0
