"""What is done, what is to be made and why, and how long that may take: the dry run of `vqa tables`, and its end."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vqa_lib.code_version import changed_since, first_of
from vqa_lib.paths import results
from vqa_lib.results import FAILED
from vqa_lib.workflow import PlannedRun

DONE, OTHER_CODE, BEHIND, FAILS, MISSING = "done", "other code", "behind", "failed", "not run"


@dataclass(frozen=True)
class RunState:
    """Where a planned run stands.

    state: "done"; "other code": finished, but code that it rests on has changed since; "behind": finished before what
    it reads; "failed" at its last execution; "not run". why: in words, empty where it is done or not run.
    """

    run: PlannedRun
    state: str
    why: str = ""

    @property
    def wanted(self) -> bool:
        """Whether it is to be made."""
        return self.state != DONE


def run_states(planned: Sequence[PlannedRun], keep_code: bool = False) -> list[RunState]:
    """The state of each run, in their order: those that a run needs stand before it.

    keep_code: runs that other code made count as done.
    """
    states: dict[Path, RunState] = {}
    for run in planned:
        needs = [states[path] for path in run.needs if path in states]
        states[run.path] = _state(run, needs, keep_code)
    return list(states.values())


def _state(run: PlannedRun, needs: list[RunState], keep_code: bool) -> RunState:
    marker, failed = run.path / "DONE", run.path / FAILED
    if not marker.exists():
        if failed.exists():
            return RunState(run, FAILS, failed.read_text(encoding="utf-8").strip())
        return RunState(run, MISSING)
    if not keep_code and (names := changed_since(run.path, run.notebook, run.params)):
        return RunState(run, OTHER_CODE, first_of(names))
    if remade := [need.run.name for need in needs if need.wanted]:
        return RunState(run, BEHIND, ", ".join(remade))
    finished = marker.stat().st_mtime
    newer = [path for path in (*(path / "DONE" for path in run.needs), *run.weights) if path.stat().st_mtime > finished]
    return RunState(run, BEHIND, newer[0].parent.parent.name) if newer else RunState(run, DONE)


def expected_seconds(run: PlannedRun) -> float | None:
    """How long a run may take, from what earlier ones took on whatever machine they ran; None where there are none.

    The run itself if it ran before, else those with the same parameters but another seed, else all of its notebook and
    profile: their median.
    """
    same, other = [], []
    for record in (results() / run.notebook).glob(f"{run.profile}-seed*/provenance.json"):
        seconds = json.loads(record.read_text(encoding="utf-8")).get("seconds")
        params = record.with_name("params.json")
        if seconds is None or not params.is_file():
            continue
        if record.parent == run.path:
            return seconds
        alike = json.loads(params.read_text(encoding="utf-8")) | {"seed": run.params["seed"]} == run.params
        (same if alike else other).append(seconds)
    return statistics.median(same or other) if same or other else None


def expected_wall(wanted: Sequence[PlannedRun], seconds: dict[Path, float], cores: int) -> float:
    """Seconds until all are made when each takes a core and begins as soon as those it needs are there, the most
    urgent first.

    wanted: those a run needs before it. seconds: of each; a run that is not in it counts nothing.
    """
    free, ends, urgent = [0.0] * max(1, cores), {}, urgency(wanted, seconds)
    for run in sorted(wanted, key=lambda run: -urgent[run.path]):  # where equal, those it needs stay before it
        ready = max((ends.get(path, 0.0) for path in run.needs), default=0.0)
        core = min(range(len(free)), key=lambda number: (max(free[number], ready), number))
        ends[run.path] = max(free[core], ready) + seconds.get(run.path, 0.0)
        free[core] = ends[run.path]
    return max(ends.values(), default=0.0)


def urgency(runs: Sequence[PlannedRun], seconds: dict[Path, float]) -> dict[Path, float]:
    """Seconds from the start of each run to the end of the last one behind it, if nothing else had to wait.

    Whoever begins with the largest wastes least: else the longest chain is begun last, and all cores but one idle.
    runs, seconds: as `wanted` and `seconds` of `expected_wall`.
    """
    found: dict[Path, float] = {}
    for run in reversed(runs):
        behind = max((found[other.path] for other in runs if run.path in other.needs), default=0.0)
        found[run.path] = seconds.get(run.path, 0.0) + behind
    return found


def expected_memory(run: PlannedRun) -> float | None:
    """Bytes that a step of its training needs, see `plan`; None for a notebook that does not train."""
    from vqa_lib.plan import PlanError, plan_notebook

    try:
        return plan_notebook(run.notebook, run.profile, run.overrides).memory.needed
    except PlanError:
        return None


def plan_lines(states: Sequence[RunState], cores: int) -> list[str]:
    """What would be run and why, with predicted time and memory, to be read."""
    wanted = [state for state in states if state.wanted]
    seconds = {state.run.path: expected_seconds(state.run) for state in wanted}
    rows = [("run", "notebook", "time", "step's memory", "why")]
    for state in wanted:
        memory = None if state.run.is_table else expected_memory(state.run)
        rows.append((
            f"{state.run.paper}/{state.run.name}",
            state.run.notebook,
            in_time(seconds[state.run.path]),
            "" if memory is None else f"{memory / 1e9:.1f} GB",
            state.state + (f": {state.why}" if state.why else ""),
        ))  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join([*map(str.ljust, row, widths), row[4]]) for row in rows] if wanted else []
    known = {path: value for path, value in seconds.items() if value is not None}
    wall = expected_wall([state.run for state in wanted], known, cores)
    end = f"{len(wanted)} of {len(states)} runs are to be made"
    if wanted:
        end += f"; about {in_time(wall)} on {cores} core(s)" if known else "; none like them has run yet"
    if 0 < len(known) < len(wanted):
        end += f", not counting {len(wanted) - len(known)} that nothing is known of"
    return [*lines, end]


def in_time(seconds: float | None) -> str:
    """To be read.

    Example:
        >>> in_time(42), in_time(754), in_time(None)
        ('42 s', '13 min', '?')
    """
    if seconds is None:
        return "?"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def failure_lines(states: Sequence[RunState]) -> list[str]:
    """What could not be made and why: a line each, first those that failed, then how many wait for them."""
    failed = [state for state in states if state.state == FAILS]
    waiting = [state for state in states if state.wanted and state.state != FAILS]
    lines = [f"failed: {state.run.paper}/{state.run.name}: {' '.join(state.why.split())}" for state in failed]
    if waiting:
        names = ", ".join(f"{state.run.paper}/{state.run.name}" for state in waiting)
        lines.append(f"not made, because of these or because the call was ended: {names}")
    return lines
