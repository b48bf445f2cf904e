"""Predictions of whoever made them, judged: `vqa metrics scores`, `vqa metrics pairs`."""

from pathlib import Path
from typing import Annotated

import typer

from vqa_lib.commands.errors import user_errors

app = typer.Typer(help="Judge predictions from a CSV, whoever made them; prints JSON.", no_args_is_help=True)

CsvFile = Annotated[Path, typer.Argument(metavar="FILE.csv")]
Seed = Annotated[int, typer.Option(help="Of the bootstrap resamples.")]
Resamples = Annotated[int, typer.Option(min=1, help="Bootstrap resamples of each interval.")]


@app.command("scores")
@user_errors()
def metrics_of_scores(file: CsvFile, seed: Seed = 0, resamples: Resamples = 1000) -> None:
    """Columns prediction and mos, maybe dataset: SRCC, KRCC, PLCC and RMSE, raw and after a logistic."""
    import json

    from vqa_lib.metrics_files import judge_scores

    typer.echo(json.dumps(judge_scores(file, seed, resamples), indent=2))


@app.command("pairs")
@user_errors()
def metrics_of_pairs(file: CsvFile, seed: Seed = 0, resamples: Resamples = 1000) -> None:
    """Columns margin (score of A minus score of B) and label (A, B or tie): tau with its threshold, and diff."""
    import json

    from vqa_lib.metrics_files import judge_pairs

    typer.echo(json.dumps(judge_pairs(file, seed, resamples), indent=2))
