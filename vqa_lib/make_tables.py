"""Every table of one paper or of all: what is not there is run, in order, and what failed is named at the end.

Snakemake holds the graph and starts each run as a process of its own, `vqa run`. What it cannot know is settled before:
which finished runs other code has made.
"""

import json
import os
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from vqa_lib.params import ParamsError
from vqa_lib.paths import project, results
from vqa_lib.results import STALE, RunError
from vqa_lib.run_states import OTHER_CODE, failure_lines, plan_lines, run_states
from vqa_lib.workflow import PlannedRun, planned_runs, read_tables_file


def plan_tables(
    papers: Sequence[str], profile: str, seeds: Sequence[int], only: Collection[str] | None = None
) -> list[PlannedRun]:
    """All runs and tables of the papers; tables whose notebooks are not written yet are named and left out.

    only: the tables with these names and what they rest on, None for all.

    Raises:
        ParamsError: as `workflow.planned_runs`; a table that no paper has.
        RunError: there is nothing to make.
    """
    known = {table for paper in papers for table in read_tables_file(paper)["tables"]}
    if unknown := sorted(set(only or ()) - known):
        there = ", ".join(sorted(known))
        raise ParamsError(f"no table {', '.join(unknown)} of {', '.join(papers)}; there are: {there}")
    planned = []
    for paper in papers:
        runs, left_out = planned_runs(paper, profile, seeds, only)
        planned += runs
        for table, missing in left_out.items():
            print(f"left out: {table} (there is no notebook {missing} yet)")
    if not planned:
        raise RunError(f"no table of {', '.join(papers) or 'no paper'} can be made yet")
    return planned


def dry_run(
    papers: Sequence[str],
    profile: str,
    seeds: Sequence[int],
    cores: int | None = None,
    keep_code: bool = False,
    only: Collection[str] | None = None,
) -> list[str]:
    """What `make_tables` would run and why, with predicted time and memory: lines to be read; nothing is changed."""
    states = run_states(plan_tables(papers, profile, seeds, only), keep_code)
    return plan_lines(states, cores or len(os.sched_getaffinity(0)))


def make_tables(
    papers: Sequence[str],
    profile: str,
    seeds: Sequence[int],
    cores: int | None = None,
    keep_code: bool = False,
    only: Collection[str] | None = None,
    cluster: str = "",
) -> list[PlannedRun]:
    """Run what is not done of the papers' runs and tables; returns the tables.

    A failure stops what rests on it and nothing else; at the end each is named with its reason in a line. cores: CPU
    cores, None for all that this process may use. keep_code: keep finished runs that other code made; else these, and
    what rests on them, are made afresh. only: as in `plan_tables`. cluster: a folder of params/clusters, or the path of
    another one, with a Snakemake profile by which runs are submitted as jobs; empty: this machine.

    Raises:
        ParamsError: as `plan_tables`; an unknown cluster.
        RunError: a run failed, or another call is at work in this results folder.
    """
    planned = plan_tables(papers, profile, seeds, only)
    where = _where(cluster, cores)
    results().mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(results() / ".tables.lock", timeout=0):
            _unmark(planned, keep_code)
            command = _snakemake(papers, profile, seeds, only) + where
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


def _where(cluster: str, cores: int | None) -> list[str]:
    """Snakemake's options for this machine, or for a cluster."""
    if not cluster:
        return ["--cores", str(cores or "all"), "--resources", "gpu_run=1"]
    folder = project() / "params" / "clusters" / cluster
    folder = folder if folder.is_dir() else Path(cluster)
    if not (folder / "config.yaml").is_file():
        known = sorted(path.parent.name for path in (project() / "params/clusters").glob("*/config.yaml"))
        raise ParamsError(f"no cluster {cluster!r}: expected one of {', '.join(known)}, or a folder with a config.yaml")
    return ["--profile", str(folder.resolve())]


def _snakemake(papers: Sequence[str], profile: str, seeds: Sequence[int], only: Collection[str] | None) -> list[str]:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(project() / "Snakefile")]
    command += ["--directory", str(project()), "--keep-going"]
    # Time stamps only: parameters are in a folder's name, and code is looked at before.
    command += ["--rerun-triggers", "mtime", "--rerun-incomplete"]
    # Snakemake's own lock outlives a killed process; the one around this does not.
    command += ["--nolock", "--quiet", "rules", "host"]
    command += ["--config", f"papers={json.dumps(list(papers))}", f"profile={profile}"]
    return [*command, f"seeds={json.dumps(list(seeds))}", f"only={json.dumps(sorted(only or ()))}"]


def _environment() -> dict[str, str]:
    """The jobs import the package that this process runs, and find the same checkout."""
    package = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "VQA_PROJECT": str(project().resolve())}
