"""What is to be made and why, how long it may take, and what failed."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from vqa_lib.run_states import (
    BEHIND,
    DONE,
    FAILS,
    MISSING,
    expected_seconds,
    expected_wall,
    failure_lines,
    in_time,
    run_states,
    urgency,
)
from vqa_lib.workflow import PlannedRun


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("VQA_RESULTS", str(tmp_path))
    return tmp_path


def planned(name, *needs, seed=0, **params):
    params = {"profile": "tiny", "seed": seed, **params}
    return PlannedRun("paper", name, f"paper/{name}", "tiny", params, (), tuple(need.path for need in needs))


def finish(run, at=100, seconds=None):
    run.path.mkdir(parents=True)
    (run.path / "DONE").touch()
    os.utime(run.path / "DONE", (at, at))
    record(run, seconds)


def record(run, seconds):
    run.path.mkdir(parents=True, exist_ok=True)
    (run.path / "params.json").write_text(json.dumps(run.params))
    (run.path / "provenance.json").write_text(json.dumps({} if seconds is None else {"seconds": seconds}))


def test_states(results):
    first = planned("first")
    second, third = planned("second", first), planned("third", first)
    fourth = planned("fourth", third)
    finish(first, at=100)
    finish(second, at=200)
    finish(third, at=50)
    finish(fourth, at=300)
    fifth, sixth = planned("fifth", second), planned("sixth", second)
    fifth.path.mkdir(parents=True)
    (fifth.path / "FAILED").write_text("fifth: cell [2] failed\n")
    states = run_states([first, second, third, fourth, fifth, sixth])
    assert [(state.run.name, state.state, state.why) for state in states] == [
        ("first", DONE, ""),
        ("second", DONE, ""),
        ("third", BEHIND, "first"),  # finished before what it reads
        ("fourth", BEHIND, "third"),  # reads what is made anew
        ("fifth", FAILS, "fifth: cell [2] failed"),
        ("sixth", MISSING, ""),
    ]
    assert failure_lines(states) == [
        "failed: paper/fifth: fifth: cell [2] failed",
        "not made, because of these or because the call was ended: paper/third, paper/fourth, paper/sixth",
    ]


def test_seconds_come_from_the_run_itself_else_its_seeds_else_its_notebook(results):
    run = planned("stage", method="a")
    assert expected_seconds(run) is None
    record(planned("stage", method="b", seed=1), 100)
    assert expected_seconds(run) == 100
    for seed, seconds in ((1, 10), (2, 30), (3, 20)):
        record(planned("stage", method="a", seed=seed), seconds)
    assert expected_seconds(run) == 20
    record(run, 7)
    assert expected_seconds(run) == 7
    record(planned("other"), None)
    assert expected_seconds(planned("other", seed=1)) is None


@pytest.mark.parametrize(("cores", "wall"), [(1, 100), (2, 70), (3, 60), (8, 60)])
def test_wall_time_of_runs_that_wait_for_each_other(cores, wall):
    """a (10) and b (20) for everyone; c (50) behind a, d (20) behind b: a longest chain of 60 seconds."""
    first, second = planned("a"), planned("b")
    runs = [first, second, planned("c", first), planned("d", second)]
    runs = [replace(run, params=run.params | {"name": run.name}) for run in runs]
    paths = {run.name: run.path for run in runs}
    runs[2], runs[3] = replace(runs[2], needs=(paths["a"],)), replace(runs[3], needs=(paths["b"],))
    seconds = {paths["a"]: 10.0, paths["b"]: 20.0, paths["c"]: 50.0, paths["d"]: 20.0}
    assert expected_wall(runs, seconds, cores) <= wall
    assert expected_wall(runs, seconds, cores) >= max(60, 100 / cores)
    assert expected_wall([], {}, cores) == 0
    assert urgency(runs, seconds) == {paths["a"]: 60, paths["b"]: 40, paths["c"]: 50, paths["d"]: 20}
    assert urgency(runs, {}) == dict.fromkeys(paths.values(), 0)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(None, "?"), (0, "0 s"), (89.4, "89 s"), (90, "2 min"), (5399, "90 min"), (9000, "2.5 h")]
)
def test_times_are_readable(seconds, shown):
    assert in_time(seconds) == shown


def test_a_missing_file_of_weights_is_no_surprise(results):
    run = replace(planned("stage"), params={"profile": "tiny", "seed": 0, "model": "some/hub-id"})
    assert run_states([run])[0].state == MISSING and not Path("some/hub-id").exists()
