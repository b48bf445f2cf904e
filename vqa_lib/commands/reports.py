"""What was made, to be looked at and traced: `vqa report`, `vqa view`, `vqa trace`, `vqa verify`."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from vqa_lib.commands.errors import user_errors

app = typer.Typer()


@app.command()
@user_errors()
def report(
    out: Annotated[Path, typer.Option(help="A new or empty folder, or one with an older report.")] = Path("report"),
) -> None:
    """Write a site of all run folders: every table and figure, its status, its numbers, and where they come from."""
    from vqa_lib.report.site import write_report

    counts = Counter(run.status for run in write_report(out))
    typer.echo(", ".join(f"{count} {status}" for status, count in counts.items()))
    typer.echo(f"report: {out / 'index.html'}")


@app.command()
@user_errors()
def view(
    predictions: Annotated[Path, typer.Argument(help="A .jsonl file of a run folder's predictions/.")],
    out: Annotated[Path, typer.Option(help="The page to write; opens in any browser, without a server.")],
    data: Annotated[
        Path | None, typer.Option(help="Holds the data sets' folders.", show_default="as the run's parameters say")
    ] = None,
    clips: Annotated[int, typer.Option(min=0, help="The page holds the clips of so many answers, the worst.")] = 100,
) -> None:
    """Write a page of what a model answered: sort by error, filter, play each clip beside its reasoning."""
    from vqa_lib.frame_cache import FrameCache
    from vqa_lib.paths import cache
    from vqa_lib.viewing.predictions import view_predictions

    out.write_text(view_predictions(predictions, FrameCache(cache()), data, clips), encoding="utf-8")
    typer.echo(f"page: {out}")


@app.command()
@user_errors()
def trace(path: Annotated[Path, typer.Argument(help="A file in a run folder, such as a table or figure.")]) -> None:
    """Say where a figure comes from: its run, parameters, code, data, and the runs before it."""
    from vqa_lib.trace import trace_lines

    typer.echo("\n".join(trace_lines(path)))


@app.command()
@user_errors()
def verify(
    table: Annotated[str, typer.Argument(help="Of the tiny profile, such as finger/table1_granularity.")],
    tolerance: Annotated[
        float, typer.Option(min=0.0, help="Of a number, as a share of it (of 1 where it is smaller).")
    ] = 0.01,
    work: Annotated[Path | None, typer.Option(help="Where to make it; without: in a folder for once.")] = None,
    cores: Annotated[int | None, typer.Option(min=1, show_default="all", help="CPU cores.")] = None,
) -> None:
    """Make a recorded tiny table once more, with all that it rests on, and compare; exits with 1 where they differ."""
    import tempfile

    from vqa_lib.verify import verify_table

    with tempfile.TemporaryDirectory() as temporary:
        found = verify_table(table, tolerance, work or Path(temporary), cores)
    typer.echo("\n".join([*found.differing, f"{found.cells} cells, {found.data} annotation files compared"]))
    typer.echo(f"largest difference {found.largest:.4g}, tolerance {tolerance:g}; {len(found.differing)} beyond it")
    if found.differing:
        raise typer.Exit(1)
