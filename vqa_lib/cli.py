"""The command `vqa`: run, plan or show a notebook, make tables, look data over, write miniatures, score, merge, judge.

Heavy modules are imported inside the commands, so that `vqa --help` and slips of the pen are answered at once.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from vqa_lib.commands import entities, metrics, models, reports
from vqa_lib.commands.errors import user_errors

app = typer.Typer(
    help="Teach a vision-language model to judge video quality, and use it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(entities.app)
app.add_typer(models.app)
app.add_typer(reports.app)
app.add_typer(metrics.app, name="metrics")

Notebook = Annotated[str, typer.Argument(help='Such as "vq_insight/stage1_image", or the path of the .ipynb.')]
Profile = Annotated[str, typer.Option(help="Size of the run: a file in params/profiles; tiny: the notebook as it is.")]
Overrides = Annotated[list[str], typer.Option("-p", help="name=value; lists as JSON, null for None.")]
Files = Annotated[list[Path], typer.Option("-f", help="A YAML file of parameters; a later file overrides an earlier.")]


@app.command()
@user_errors()
def run(
    notebook: Notebook,
    profile: Profile = "tiny",
    overrides: Overrides = [],  # noqa: B006  # typer copies it
    files: Files = [],  # noqa: B006
    force: Annotated[
        bool, typer.Option("--force", help="Empty the run folder and execute again, although it is done.")
    ] = False,
) -> None:
    """Execute a notebook into its run folder; nothing is executed where that folder is complete."""
    from vqa_lib.params import resolve_params

    resolve_params(notebook, profile, overrides, files)  # before the import of torch, which takes seconds
    from vqa_lib.run_notebook import run_notebook

    folder = run_notebook(notebook, profile, overrides, files, force)
    typer.echo(f"run folder: {folder}\nnotebook: {folder / 'executed.ipynb'}")
    for title, pattern in (("tables", "*.md"), ("figures", "*.png")):
        if found := sorted(folder.glob(f"{title}/**/{pattern}")):
            typer.echo("\n".join([f"{title}:", *(f"  {path}" for path in found)]))


@app.command()
@user_errors()
def tables(
    papers: Annotated[
        list[str] | None, typer.Argument(help="Files in params/tables, such as vq_insight; without any: all.")
    ] = None,
    profile: Profile = "tiny",
    seeds: Annotated[int, typer.Option(min=1, help="How many: every run is made for each of 0, 1, ...")] = 1,
    cores: Annotated[
        int | None, typer.Option(min=1, show_default="all", help="CPU cores; a tiny run takes one.")
    ] = None,
    keep_code: Annotated[
        bool | None,
        typer.Option(
            "--keep-code/--other-code-anew",
            help="Keep finished runs though code has changed that they rest on.",
            show_default="keep, but at tiny size make them anew",
        ),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="A table or figure, such as table2_protocols, and what it rests on.")
    ] = None,
    cluster: Annotated[
        str, typer.Option(help="Submit each run as a job: a folder of params/clusters, or another with a config.yaml.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would run and why, with predicted time and memory.")
    ] = False,
) -> None:
    """Make every table and figure of papers: what is not done yet is run, in the right order."""
    from vqa_lib import make_tables
    from vqa_lib.paths import shown
    from vqa_lib.workflow import papers as all_papers

    kept = profile != "tiny" if keep_code is None else keep_code
    options = (papers or all_papers(), profile, list(range(seeds)), cores, kept, only)
    if dry_run:
        typer.echo("\n".join(make_tables.dry_run(*options)))
    else:
        made = make_tables.make_tables(*options, cluster)
        typer.echo("\n".join(f"{run.paper}/{run.name}: {shown(run.path)}" for run in made))


@app.command()
@user_errors()
def params(
    notebook: Notebook,
    profile: Profile = "tiny",
    overrides: Overrides = [],  # noqa: B006
    files: Files = [],  # noqa: B006
) -> None:
    """Show the parameters of a notebook, with the values that a run would use."""
    from vqa_lib.params import find_notebook, notebook_params, resolve_params

    values = resolve_params(notebook, profile, overrides, files)
    declared = notebook_params(find_notebook(notebook))
    rows = [("name", "type", "value", "help")]
    rows += [(name, declared[name].type, _as_text(value), declared[name].help) for name, value in values.items()]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@app.command()
@user_errors()
def plan(
    notebook: Notebook,
    profile: Profile = "tiny",
    gpu: Annotated[str | None, typer.Option(help="Memory of one GPU, such as 24GB: does a step fit?")] = None,
    overrides: Overrides = [],  # noqa: B006
    files: Files = [],  # noqa: B006
) -> None:
    """Predict memory, tokens and arithmetic of a notebook's training step; what to lower if it does not fit a GPU."""
    from vqa_lib.params import resolve_params

    resolve_params(notebook, profile, overrides, files)  # before the import of torch, which takes seconds
    from vqa_lib.plan import parse_size, plan_notebook, plan_text

    size = None if gpu is None else parse_size(gpu)
    typer.echo(plan_text(plan_notebook(notebook, profile, overrides, files), size))


@app.command()
@user_errors()
def miniature(
    folder: Annotated[Path, typer.Argument(help="A new folder, or one that holds a miniature.")],
    names: Annotated[list[str] | None, typer.Argument(help="Data sets; without names those of the quickstart.")] = None,
    all_sets: Annotated[bool, typer.Option("--all", help="Every data set that has a miniature.")] = False,
    scale: Annotated[float, typer.Option(min=1e-6, help="Multiplies the number of clips.")] = 1.0,
    seed: int = 0,
) -> None:
    """Write small made-up copies of the data sets, in the layouts in which the real ones are published."""
    from vqa_lib.miniature import MINIATURES, QUICKSTART, write_miniature

    names = list(MINIATURES) if all_sets else names or QUICKSTART
    if unknown := [name for name in names if name not in MINIATURES]:
        raise typer.BadParameter(f"no miniature of {', '.join(unknown)}; there are: {', '.join(MINIATURES)}")
    description = write_miniature(folder, scale, seed, names=names)
    for name, facts in description["datasets"].items():
        counts = ", ".join(f"{split} {count}" for split, count in facts["counts"].items())
        typer.echo(f"{name}: {counts}; sha256 {facts['digest']}")


@app.command()
@user_errors()
def data() -> None:
    """List the data sets: what they are for, their licence, where to get them, the layout that is expected."""
    from vqa_lib.datasets.check import catalogue_lines

    typer.echo("\n".join(catalogue_lines()))


@app.command()
@user_errors()
def check_data(
    name: Annotated[str, typer.Argument(help="A name that `vqa data` lists.")],
    root: Annotated[Path, typer.Argument(help="The folder of the data set.")],
    deep: Annotated[bool, typer.Option("--deep", help="Also open every file and decode a frame of it.")] = False,
    options: Annotated[list[str], typer.Option("-o", help="name=value, as `vqa data` lists for the set.")] = [],  # noqa: B006
) -> None:
    """Look a copy of a data set over; exits with 1 unless every row was read and every file is there."""
    from vqa_lib.datasets.check import check_dataset, report_lines

    if wrong := [option for option in options if "=" not in option]:
        raise typer.BadParameter(f"expected name=value, got {wrong[0]!r}")
    report = check_dataset(name, root, deep, **dict(option.split("=", 1) for option in options))
    typer.echo("\n".join(report_lines(report)))
    if not report.complete:
        raise typer.Exit(1)


@app.command()
@user_errors()
def score(
    path: Annotated[Path, typer.Argument(metavar="VIDEO_OR_FOLDER", help="A file, or a folder searched for videos.")],
    model: Annotated[str, typer.Option(help="A model folder or a hub id.")],
    out: Annotated[Path | None, typer.Option(help="The CSV; a folder's scores go to scores.csv without it.")] = None,
    frames: Annotated[int, typer.Option(min=1, help="Frames a video, spread evenly.")] = 8,
    max_pixels: Annotated[int | None, typer.Option(min=1, help="Larger frames are shrunk to so many pixels.")] = None,
    prompt: Annotated[str, typer.Option(help="A name in vqa_lib.prompts.")] = "vq_insight/natural",
    max_completion: Annotated[int, typer.Option(min=1, help="Tokens a response may have.")] = 768,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    skip_unreadable: Annotated[bool, typer.Option("--skip-unreadable", help="Leave unreadable files out.")] = False,
) -> None:
    """Score videos (images with --prompt vq_insight/image): a number and the reasoning behind it."""
    from vqa_lib.models.loading import load_model
    from vqa_lib.score_files import check_output, find_files, prompt_kind, score_files, write_rows
    from vqa_lib.video import FramePolicy, read_frames

    kind = prompt_kind(prompt)
    found = find_files(path, kind)
    single, out = path.is_file(), out or (None if path.is_file() else Path("scores.csv"))
    if out:
        check_output(out)
    policy = FramePolicy(count=frames, max_pixels=max_pixels)
    if single:
        read_frames(path, kind, policy)  # before the model, which may take minutes to load
    else:
        found = _readable(found, kind, skip_unreadable)
    failures = [] if skip_unreadable and not single else None
    rows = score_files(*load_model(model, dtype), found, prompt, policy, max_completion, failures=failures)
    rows = write_rows(rows, out) if out else rows
    if single:
        _print_single(*rows)
    else:
        _print_summary(rows, len(found), failures)
    if out:
        typer.echo(f"scores: {out}")


def _readable(files: list[Path], kind: str, skip: bool) -> list[Path]:
    """The files that can be read; the others are named, all of them, and unless they may be skipped that is the end."""
    from vqa_lib.score_files import ScoreError
    from vqa_lib.video import check_readable

    failures = dict(check_readable([(file, kind) for file in files]))
    for file, reason in failures.items():
        typer.echo(f"unreadable: {file}: {reason}", err=True)
    if failures and not skip:
        raise ScoreError(f"{len(failures)} of {len(files)} files cannot be read; leave them out with --skip-unreadable")
    if len(failures) == len(files):
        raise ScoreError(f"none of the {len(files)} files can be read")
    return [file for file in files if file not in failures]


def _print_single(row: dict) -> None:
    typer.echo(f"score: {'none could be read from the response' if row['score'] is None else row['score']}")
    # A response without a score is shown whole: it is all there is to go by.
    typer.echo(f"reasoning: {row['reasoning']}" if row["reasoning"] else f"response: {row['response']}")


def _print_summary(rows: Iterator[dict], total: int, failures: list | None) -> None:
    from tqdm import tqdm

    scores = [row["score"] for row in tqdm(rows, total=total, desc="scoring", unit="file")]
    for error in failures or []:
        typer.echo(f"unreadable: {error}", err=True)
    parsed = [score for score in scores if score is not None]
    mean = f"{sum(parsed) / len(parsed):.2f}" if parsed else "none"
    typer.echo(f"n {len(scores)}, unparsed {len(scores) - len(parsed)}, mean {mean}")


def _as_text(value: object) -> str:
    return "null" if value is None else str(value) or '""'


if __name__ == "__main__":
    app()
