"""A page a notebook: its opening words, or all of its executed copy where one is committed in results/."""

import json
import re
from functools import cache
from pathlib import Path

from vqa_lib.params import find_notebook, notebook_names, notebook_params
from vqa_lib.paths import PACKAGE
from vqa_lib.report.site import notebook_body
from vqa_lib.results import run_name

ROOT = PACKAGE.parent
TITLES = {"": "Starters and tours", "vq_insight": "VQ-Insight", "vqathinker": "VQAThinker", "finger": "FingER"}
PLACE = re.compile(r'<div class="executed" data-run="([^"]+)"></div>')


def navigation() -> dict:
    """The section of the site."""
    groups = [
        {TITLES[paper]: [{name.rpartition("/")[2]: f"notebooks/{name}.md"} for name in of_paper(paper)]}
        for paper in TITLES
    ]
    return {"Notebooks": ["notebooks/index.md", *groups]}


def pages() -> dict[str, str]:
    """The gallery and a page a notebook."""
    return {
        "notebooks/index.md": gallery(),
        **{f"notebooks/{name}.md": notebook_page(name) for name in notebook_names()},
    }


def of_paper(paper: str) -> list[str]:
    """The notebooks of a paper; of none where `paper` is empty."""
    return [name for name in notebook_names() if name.rpartition("/")[0] == paper]


def gallery() -> str:
    """Every notebook with its opening words."""
    executed = sum(executed_run(name) is not None for name in notebook_names())
    lines = [
        "# Notebooks",
        "",
        f"All {len(notebook_names())} notebooks of the package with their opening words. {executed} have an executed "
        "copy of the tiny profile: miniature data, models of a few million parameters, **no paper's figures**. "
        "A notebook says whether it stands on a paper's word, and what differs.",
    ]
    for paper, title in TITLES.items():
        lines += ["", f"## {title}"]
        for name in of_paper(paper):
            heading, words = opening(name)
            where = "executed" if executed_run(name) else "not executed here"
            lines += ["", f"### [{name}]({name}.md)", "", f"**{heading}** ({where})", "", words]
    return "\n".join(lines) + "\n"


def notebook_page(name: str) -> str:
    """What runs it, then the executed copy; without one the opening words and the parameters."""
    heading, words = opening(name)
    # Hundreds of pages of code and tables would drown the search; the gallery has each notebook's words.
    lines = ["---", f"title: {json.dumps(name)}", "search: {exclude: true}", "hide: [toc]", "---", ""]
    file, run = f"notebooks/{name}.ipynb", executed_run(name)
    if run is None:
        lines += [f"# {heading}", "", words, "", "There is no executed copy of it in `results/`.", ""]
        lines += ["| parameter | default | meaning |", "|---|---|---|"]
        for parameter in notebook_params(find_notebook(name)).values():
            meaning = parameter.help.replace("|", "\\|").replace("<", "&lt;")
            lines.append(f"| `{parameter.name}` | `{json.dumps(parameter.default)}` | {meaning} |")
        return "\n".join([*lines, "", f"The notebook is `{file}`. Run it with `vqa run {name}`."]) + "\n"
    where = run.relative_to(ROOT).as_posix()
    lines += [f"The executed copy `{where}/executed.ipynb` of `{file}`: the tiny profile, no paper's figures. Make it "
              f"anew with `vqa run {name}`.", "", f'<div class="executed" data-run="{where}"></div>']  # fmt: skip
    return "\n".join(lines) + "\n"


def with_notebook(html: str) -> str:
    """The HTML of a page, the executed notebook in its place."""
    return PLACE.sub(lambda found: _body(ROOT / found[1] / "executed.ipynb"), html)


@cache  # mkdocs serve builds the site again and again
def _body(path: Path) -> str:
    body = notebook_body(path)
    return f'<div class="executed">{body}</div>'


@cache
def executed_run(name: str) -> Path | None:
    """The folder of a committed executed copy: the one with the notebook's own parameters, else the first."""
    defaults = {parameter.name: parameter.default for parameter in notebook_params(find_notebook(name)).values()}
    folder = ROOT / "results" / name
    runs = sorted(path.parent for path in folder.glob("tiny-*/executed.ipynb"))
    own = folder / run_name(defaults)
    return own if own in runs else next(iter(runs), None)


@cache
def opening(name: str) -> tuple[str, str]:
    """The heading of a notebook, and the words below it in its first cell."""
    first = json.loads(find_notebook(name).read_text(encoding="utf-8"))["cells"][0]
    heading, _, words = "".join(first["source"]).strip().partition("\n")
    return heading.lstrip("# "), words.strip()
