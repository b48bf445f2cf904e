"""What was made, to be looked at and traced: `vqa report`, `vqa trace`."""

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

    runs = write_report(out)
    counts: dict[str, int] = {}
    for run in runs:
        counts[run.status] = counts.get(run.status, 0) + 1
    typer.echo(", ".join(f"{count} {status}" for status, count in counts.items()))
    typer.echo(f"report: {out / 'index.html'}")


@app.command()
@user_errors()
def trace(path: Annotated[Path, typer.Argument(help="A file in a run folder, such as a table or figure.")]) -> None:
    """Say where a figure comes from: its run, parameters, code, data, and the runs before it."""
    from vqa_lib.trace import trace_lines

    typer.echo("\n".join(trace_lines(path)))
