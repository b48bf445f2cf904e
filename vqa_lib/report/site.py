"""The pages of the site: an index, a page a run, and a comparison of two."""

import json
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import jinja2
import nbformat
import pandas as pd
from markupsafe import Markup
from nbconvert import HTMLExporter
from tqdm import tqdm

from vqa_lib import __version__
from vqa_lib.paths import shown
from vqa_lib.report.folders import MISSING, ReportedRun, missing_tables, read_by, reported_runs
from vqa_lib.results import RunError

TITLES = {"vq_insight": "VQ-Insight", "vqathinker": "VQAThinker", "finger": "FingER", "": "Starters and tours"}
COMPARED = ("model", "dataset", "metric", "value", "low", "high", "n", "seed")  # columns of a compared figure


def write_report(output: Path) -> list[ReportedRun]:
    """Write the site of all run folders into a folder, and return what it shows; `output`/index.html is its entrance.

    A folder that holds an older site is emptied first; any other folder must be new or empty.

    Raises:
        RunError: there is no run folder, or `output` holds something else than a site.
        ValueError: a run folder whose JSON cannot be read.
    """
    runs = reported_runs()
    if not runs:
        raise RunError("there are no run folders to report of; make some with: make tables")
    _make_room(output)
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("vqa_lib.report"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    common = {"version": __version__, "made": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "TITLES": TITLES}
    shown_runs = [*runs, *missing_tables(runs)]
    for run in tqdm(runs, desc="report", unit="page", mininterval=5):
        content = _content(run, output) | {"run": run, "reads": read_by(run, runs)}
        page = templates.get_template("run.html").render(**content, **common)
        (output / run.page).write_text(page, encoding="utf-8")
    groups = {paper: _group(shown_runs, paper) for paper in TITLES}
    counts = Counter(run.status for run in shown_runs)
    index = templates.get_template("index.html").render(groups=groups, counts=counts, **common)
    (output / "index.html").write_text(index, encoding="utf-8")
    compared = templates.get_template("compare.html").render(data=_compared(runs), **common)
    (output / "compare.html").write_text(compared, encoding="utf-8")
    return shown_runs


def _make_room(output: Path) -> None:
    if output.exists() and any(output.iterdir()):
        if not (output / "compare.html").is_file():
            raise RunError(f"{output}: expected a new or empty folder, or one that holds a report")
        shutil.rmtree(output)
    output.mkdir(parents=True, exist_ok=True)


def _group(runs: Sequence[ReportedRun], paper: str) -> dict[str, list[ReportedRun]]:
    """The runs of a paper: tables and figures, and what they rest on; of no paper where `paper` is empty."""
    own = [run for run in runs if run.notebook.startswith(f"{paper}/") or (not paper and "/" not in run.notebook)]
    own.sort(key=lambda run: (run.notebook, run.name))
    return {
        "Tables and figures": [run for run in own if run.is_table],
        "Runs": [run for run in own if not run.is_table],
    }


def _content(run: ReportedRun, output: Path) -> dict:
    """What the page of a run shows beside the run itself; its pictures and its notebook are copied into the site."""
    folder = output / "files" / run.notebook / run.name
    folder.mkdir(parents=True, exist_ok=True)
    figures = []
    for path in run.files("figures/*.png"):
        shutil.copyfile(path, folder / path.name)
        others = [other for ending in (".pdf", ".csv") if (other := path.with_suffix(ending)).is_file()]
        for other in others:
            shutil.copyfile(other, folder / other.name)
        files = {other.suffix[1:].upper(): _link(folder / other.name, output) for other in others}
        figures.append({"name": path.stem, "image": _link(folder / path.name, output), "files": files})
    tables = [_table(path, folder, output) for path in run.files("tables/*.csv")]
    notebook = run.folder / "executed.ipynb"
    executed = None
    if notebook.is_file():
        executed = _link(folder / "executed.html", output)
        (folder / "executed.html").write_text(_notebook(notebook, f"../../../../{run.page}"), encoding="utf-8")
    return {"figures": figures, "tables": tables, "executed": executed, "where": shown(run.folder)}


def _link(path: Path, output: Path) -> str:
    return path.relative_to(output).as_posix()


def _table(path: Path, folder: Path, output: Path) -> dict:
    """A table as HTML, with the caption that its Markdown has."""
    shutil.copyfile(path, folder / path.name)
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    text = path.with_suffix(".md")
    caption = text.read_text(encoding="utf-8").split("\n", 1)[0] if text.is_file() else path.stem
    html = table.to_html(index=False, border=0, escape=True)
    return {"name": path.stem, "caption": caption, "html": Markup(html), "file": _link(folder / path.name, output)}


def _notebook(path: Path, back: str) -> str:
    """An executed notebook as a page of its own."""
    template = jinja2.Environment(loader=jinja2.PackageLoader("vqa_lib.report"), autoescape=True).get_template
    body = Markup(notebook_body(path))
    return template("notebook.html").render(body=body, title=path.parent.parent.name, back=back)


def notebook_body(path: Path) -> str:
    """An executed notebook as HTML, without the scripts that nbconvert would load from elsewhere."""
    content = nbformat.read(path, as_version=4)
    exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
    body, _ = exporter.from_notebook_node(content)
    return body


def _compared(runs: Sequence[ReportedRun]) -> Markup:
    """The figures of every run that has some, as JSON for the page that holds two side by side."""
    data = {
        f"{run.notebook} · {run.name}": [
            [row.get(column) if row.get(column) == row.get(column) else None for column in COMPARED] for row in run.rows
        ]
        for run in runs
        if run.rows and run.status != MISSING
    }
    return Markup(json.dumps({"columns": COMPARED, "runs": data}).replace("</", "<\\/"))
