"""Where a figure comes from: from a file in a run folder back to parameters, code, data and the runs before."""

from pathlib import Path

from vqa_lib.paths import results, shown
from vqa_lib.report.folders import ReportedRun, read_by, reported_runs
from vqa_lib.results import RunError


def trace_lines(path: Path) -> list[str]:
    """What a file of a run folder, or the folder itself, was made from, to be read: a block a run, those read indented.

    Raises:
        RunError: the path is not there, or lies in no run folder.

    Example:
        trace_lines(Path("results/finger/table2_protocols/tiny-seed0-adebc0df/tables/table2.csv"))
    """
    if not path.exists():
        raise RunError(f"{path}: no such file or folder")
    runs = {run.folder.resolve(): run for run in reported_runs()}
    found = next((runs[folder] for folder in (path.resolve(), *path.resolve().parents) if folder in runs), None)
    if found is None:
        raise RunError(f"{path}: expected a path in a run folder below {results()}")
    return _lines(found, list(runs.values()), "", set())


def _lines(run: ReportedRun, runs: list[ReportedRun], indent: str, told: set[Path]) -> list[str]:
    first = f"{indent}{run.notebook}, {run.name}: {run.status}" + (f" ({run.why})" if run.why else "")
    if run.folder in told:
        return [f"{first}, as above"]
    told.add(run.folder)
    code, made = run.provenance.get("code", {}), run.provenance
    seeds = f"profile {run.params.get('profile')}, seed(s) {run.seeds}"
    lines = [
        first,
        f"{indent}  made: {made.get('started', '?')}, {made.get('seconds', '?')} s on {made.get('device', '?')}",
        f"{indent}  code: {code.get('commit', 'not on record')}" + (" with changes" if code.get("dirty") else ""),
        f"{indent}  params: {shown(run.folder / 'params.json')} ({seeds})",
    ]
    lines += [f"{indent}  input {name}: {value}" for name, value in made.get("inputs", {}).items()]
    lines += [f"{indent}  data {name}: {digest}" for name, digest in made.get("data", {}).items()]
    for other in read_by(run, runs):
        lines += _lines(other, runs, indent + "    ", told)
    return lines
