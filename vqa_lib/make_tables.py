"""Every table of one paper or of all: what is not there is run, in order, and what failed is named at the end.

Snakemake holds the graph and starts each run as a process of its own, `vqa run`. What it cannot know is settled before:
which finished runs other code has made.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from vqa_lib.paths import project, results
from vqa_lib.results import STALE, RunError
from vqa_lib.run_states import OTHER_CODE, failure_lines, plan_lines, run_states
from vqa_lib.workflow import PlannedRun, planned_runs


def plan_tables(papers: Sequence[str], profile: str, seeds: Sequence[int]) -> list[PlannedRun]:
    """All runs and tables of the papers; tables whose notebooks are not written yet are named and left out.

    Raises:
        ParamsError: as `workflow.planned_runs`.
        RunError: there is nothing to make.
    """
    planned = []
    for paper in papers:
        runs, left_out = planned_runs(paper, profile, seeds)
        planned += runs
        for table, missing in left_out.items():
            print(f"left out: {table} (there is no notebook {missing} yet)")
    if not planned:
        raise RunError(f"no table of {', '.join(papers) or 'no paper'} can be made yet")
    return planned


def dry_run(
    papers: Sequence[str], profile: str, seeds: Sequence[int], cores: int | None = None, keep_code: bool = False
) -> list[str]:
    """What `make_tables` would run and why, with predicted time and memory: lines to be read; nothing is changed."""
    states = run_states(plan_tables(papers, profile, seeds), keep_code)
    return plan_lines(states, cores or len(os.sched_getaffinity(0)))


def make_tables(
    papers: Sequence[str], profile: str, seeds: Sequence[int], cores: int | None = None, keep_code: bool = False
) -> list[PlannedRun]:
    """Run what is not done of the papers' runs and tables; returns the tables.

    A failure stops what rests on it and nothing else; at the end each is named with its reason in a line. cores: CPU
    cores, None for all that this process may use. keep_code: keep finished runs that other code made; else these, and
    what rests on them, are made afresh.

    Raises:
        ParamsError: as `workflow.planned_runs`.
        RunError: a run failed, or another call is at work in this results folder.
    """
    planned = plan_tables(papers, profile, seeds)
    results().mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(results() / ".tables.lock", timeout=0):
            _unmark(planned, keep_code)
            command = _snakemake(papers, profile, seeds, cores)
            code = subprocess.run(command, stdin=subprocess.DEVNULL, env=_environment()).returncode
    except Timeout:
        raise RunError(f"another call is making tables in {results()}") from None
    if code:
        print("\n".join(failure_lines(run_states(planned, keep_code))), file=sys.stderr)
        raise RunError(f"not all tables of {', '.join(papers)} could be made; the same command goes on from here")
    return [run for run in planned if run.is_table]


def _unmark(planned: Sequence[PlannedRun], keep_code: bool) -> None:
    """Take the marker from finished runs that are to be made anew: those of other code, which start afresh, and those
    behind them. Snakemake would not make a file that is missing in the middle while what rests on it is there."""
    for state in run_states(planned, keep_code):
        if state.state == OTHER_CODE:
            print(f"made by other code, is made anew: {state.run.paper}/{state.run.name} ({state.why})", flush=True)
            (state.run.path / STALE).touch()
        if state.wanted:
            (state.run.path / "DONE").unlink(missing_ok=True)


def _snakemake(papers: Sequence[str], profile: str, seeds: Sequence[int], cores: int | None) -> list[str]:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(project() / "Snakefile")]
    command += ["--directory", str(project()), "--cores", str(cores or "all"), "--resources", "gpu=1", "--keep-going"]
    # Time stamps only: parameters are in a folder's name, and code is looked at before.
    command += ["--rerun-triggers", "mtime", "--rerun-incomplete"]
    # Snakemake's own lock outlives a killed process; the one around this does not.
    command += ["--nolock", "--quiet", "rules", "host"]
    command += ["--config", f"papers={json.dumps(list(papers))}", f"profile={profile}"]
    return [*command, f"seeds={json.dumps(list(seeds))}"]


def _environment() -> dict[str, str]:
    """The jobs import the package that this process runs, and find the same checkout."""
    package = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "VQA_PROJECT": str(project().resolve())}
