"""Run folders: same params same folder, done only by the marker, found by what they were run with."""

import json

import pytest

from vqa_lib import results
from vqa_lib.results import RunError, find_run, finished_runs, model_digest, run_name, start_run

PARAMS = {"profile": "tiny", "seed": 0, "steps": 3}


@pytest.fixture(autouse=True)
def results_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("VQA_RESULTS", str(tmp_path / "results"))
    return tmp_path / "results"


def test_name_tells_profile_and_seed_and_changes_with_every_param():
    name = run_name(PARAMS)
    assert name.startswith("tiny-seed0-")
    assert run_name(dict(reversed(PARAMS.items()))) == name  # order does not matter
    assert run_name({**PARAMS, "steps": 4}) != name


def test_done_only_after_finish():
    run = start_run("paper/stage", PARAMS, {"data": "abc"})
    assert not run.done
    assert finished_runs("paper/stage") == []
    run.finish({"srcc": 0.5})
    assert run.done
    assert json.loads((run.path / "metrics.json").read_text()) == {"srcc": 0.5}
    provenance = json.loads((run.path / "provenance.json").read_text())
    assert provenance["inputs"] == {"data": "abc"}
    assert provenance["seconds"] >= 0
    assert set(provenance["libraries"]) == set(results.LIBRARIES)
    assert find_run("paper/stage", seed=0).path == run.path


def test_a_run_opened_again_is_unfinished_and_can_be_finished_again():
    start_run("paper/stage", PARAMS).finish({"srcc": 0.5})
    run = start_run("paper/stage", PARAMS)  # Run All once more in JupyterLab
    assert not run.done
    run.finish({"srcc": 0.6})
    assert json.loads((run.path / "metrics.json").read_text()) == {"srcc": 0.6}


def test_other_inputs_empty_the_folder_and_the_same_ones_do_not(capsys):
    run = start_run("paper/stage", PARAMS, {"model": "old", "data": "same"})
    for part in ("trained.json", "model/weights", "predictions/after.jsonl", "executed.ipynb", "papermill.log"):
        run.file(part).write_text("made from the old model")
    run.finish({"srcc": 0.5})
    capsys.readouterr()

    start_run("paper/stage", PARAMS, {"model": "old", "data": "same"})
    assert (run.path / "trained.json").exists()
    assert capsys.readouterr().out == ""

    start_run("paper/stage", PARAMS, {"model": "new", "data": "same"})
    assert (
        "paper/stage: its inputs have changed since it was last run (model): starting afresh" in capsys.readouterr().out
    )
    # The last two belong to the execution that is under way.
    left = {"executed.ipynb", "papermill.log", "params.json", "provenance.json"}
    assert {path.name for path in run.path.iterdir()} == left
    assert json.loads((run.path / "provenance.json").read_text())["inputs"] == {"model": "new", "data": "same"}


def test_an_interrupted_deletion_is_gone_on_with(monkeypatch):
    run = start_run("paper/stage", PARAMS, {"model": "old"})
    run.file("model", "weights").write_text("old")
    run.file("predictions", "after.jsonl").write_text("old")

    def killed(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("vqa_lib.results.shutil.rmtree", killed)
        start_run("paper/stage", PARAMS, {"model": "new"})
    start_run("paper/stage", PARAMS, {"model": "new"})
    assert {path.name for path in run.path.iterdir()} == {"params.json", "provenance.json"}


def test_a_missing_run_says_what_to_run():
    start_run("paper/stage", PARAMS).finish({})
    with pytest.raises(RunError, match="no finished run of paper/stage with seed=1; make one with: vqa run"):
        find_run("paper/stage", seed=1)


def test_digest_follows_the_weights(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"one")
    first = model_digest(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"two")
    assert model_digest(tmp_path) != first
    assert model_digest("Qwen/Qwen2.5-VL-7B-Instruct") == "Qwen/Qwen2.5-VL-7B-Instruct"  # a hub id is its own name
