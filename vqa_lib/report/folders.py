"""What a run folder tells a reader: status, parameters, provenance, tables, figures, numbers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from vqa_lib.code_version import changed_since, first_of
from vqa_lib.params import profiles
from vqa_lib.paths import results
from vqa_lib.results import FAILED
from vqa_lib.workflow import only_reads, papers, planned_runs, read_tables_file

DONE, STALE, FAILS, UNFINISHED, MISSING = "done", "stale", "failed", "unfinished", "not run"


@dataclass
class ReportedRun:
    """A run folder as the site shows it.

    notebook: below `notebooks/`. status: DONE; STALE: code or runs that it rests on have changed since, `why` says
    which; FAILS: its last execution, `why` says how; UNFINISHED; MISSING: planned and never run (folder None). rows: of
    metrics.json, with model, dataset, metric, value, low, high, n. reads: folder names of the runs that it shows.
    """

    notebook: str
    name: str
    folder: Path | None
    status: str
    why: str = ""
    params: dict = field(default_factory=dict)
    provenance: dict = field(default_factory=dict)
    rows: list[dict] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)

    @property
    def is_table(self) -> bool:
        """Whether its notebook only reads runs."""
        return only_reads(self.notebook)

    @property
    def page(self) -> str:
        """Its page in the site."""
        return f"{self.notebook.replace('/', '-')}-{self.name}.html"

    @property
    def seeds(self) -> str:
        """To be read: of a table those of its runs."""
        return ", ".join(map(str, self.params.get("seeds", [self.params.get("seed", "")])))

    @property
    def code(self) -> str:
        """The commit of the code, shortened, with a mark where the code was not that of the commit."""
        code = self.provenance.get("code", {})
        return code.get("commit", "")[:8] + (" with changes" if code.get("dirty") else "")

    def files(self, *patterns: str) -> list[Path]:
        """Files of its folder, in the order of their names."""
        return sorted(path for pattern in patterns for path in self.folder.glob(pattern)) if self.folder else []


def reported_runs() -> list[ReportedRun]:
    """Every run folder below the results folder that is one, sorted by notebook and name.

    Raises:
        ValueError: a run folder whose JSON cannot be read; the message names the file.
    """
    records = sorted(results().glob("**/params.json"))
    runs = [_reported(record.parent) for record in records]
    for run in runs:
        if run.status != DONE or not run.reads:
            continue
        shows = [other for other in read_by(run, runs) if other.name in run.reads]
        newer = [other.name for other in shows if other.provenance.get("started", "") > run.provenance["started"]]
        if newer:
            run.status, run.why = STALE, f"{len(newer)} of the runs that it shows were made anew since: {newer[0]}"
    return runs


def _reported(folder: Path) -> ReportedRun:
    params, provenance = _json(folder / "params.json"), _json(folder / "provenance.json")
    metrics = _json(folder / "metrics.json")
    notebook = folder.parent.relative_to(results()).as_posix()
    status, why = _status(folder, notebook, params, provenance, metrics)
    rows = metrics.get("metrics", [])
    rows = [row for row in rows if isinstance(row, dict) and {"model", "dataset", "metric", "value"} <= set(row)]
    reads = [name for name in metrics.get("runs", []) if isinstance(name, str)]
    return ReportedRun(notebook, folder.name, folder, status, why, params, provenance, rows, reads)


def _status(folder: Path, notebook: str, params: dict, provenance: dict, metrics: dict) -> tuple[str, str]:
    if (folder / FAILED).exists():
        return FAILS, (folder / FAILED).read_text(encoding="utf-8").strip()
    if not metrics or "seconds" not in provenance:
        return UNFINISHED, ""
    if names := changed_since(folder, notebook, params):
        return STALE, f"code has changed since: {first_of(names)}"
    return DONE, ""


def _json(path: Path) -> dict:
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not readable JSON ({error})") from None


def missing_tables(runs: list[ReportedRun]) -> list[ReportedRun]:
    """The tables and figures of `params/tables/` that no run folder is there of, in any profile."""
    there = {run.notebook for run in runs}
    planned = [f"{paper}/{table}" for paper in papers() for table in read_tables_file(paper)["tables"]]
    return [ReportedRun(notebook, "", None, MISSING) for notebook in planned if notebook not in there]


def read_by(run: ReportedRun, runs: Sequence[ReportedRun]) -> list[ReportedRun]:
    """The runs that a run rests on: by its paper's file of tables, else those that its metrics.json names."""
    paper, _, _ = run.notebook.rpartition("/")
    seeds = tuple(run.params.get("seeds", [run.params.get("seed", 0)]))
    needs = _planned_needs(results(), paper, run.params.get("profile", ""), seeds).get(run.folder, ())
    named = [other for other in runs if other.name in run.reads and other.notebook.startswith(f"{paper}/")]
    return [other for other in runs if other.folder in needs] or [other for other in named if not other.is_table]


@cache
def _planned_needs(where: Path, paper: str, profile: str, seeds: tuple[int, ...]) -> dict[Path, tuple[Path, ...]]:
    """Run folder -> those that it needs. where: the results folder, on which they depend."""
    if paper not in papers() or profile not in profiles():
        return {}
    return {planned.path: planned.needs for planned in planned_runs(paper, profile, seeds)[0]}
