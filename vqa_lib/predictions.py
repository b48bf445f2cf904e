"""Files of predictions: one line of JSON a record, written by `answering`; no model library is loaded to read them."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vqa_lib.records import Question, Record

SIDES = ("first", "second")  # of a pair's two clips, as answers name them


class PredictionsError(ValueError):
    """A file of predictions that cannot be used; the message names it and the line."""


def read_predictions(path: Path) -> list[dict]:
    """The finished lines of a predictions file, none where there is no file; a last line without its end is left out.

    Raises:
        PredictionsError: a line that is not JSON.
    """
    text = path.read_bytes() if path.exists() else b""
    rows = []
    for number, line in enumerate(text[: _end_of_lines(text)].decode("utf-8").split("\n")[:-1], 1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            message = f"{path}, line {number}: not JSON; delete the file to score afresh"
            raise PredictionsError(message) from None
    return rows


def cut_torn_line(path: Path) -> None:
    """Cut off a last line that a crash tore, so that whoever goes on writing begins a new one."""
    if path.exists() and (end := _end_of_lines(text := path.read_bytes())) < len(text):
        path.write_bytes(text[:end])


def _end_of_lines(text: bytes) -> int:
    return text.rfind(b"\n") + 1


def rows_by_identity(path: Path) -> dict[tuple[str, str, str], dict]:
    """The finished rows of a predictions file by what their record is known by, see `identity`."""
    return {(row["dataset"], row["split"], row["name"]): row for row in read_predictions(path)}


def without_row(records: Sequence[Record], path: Path) -> list[Record]:
    """Those records that have no finished row in a predictions file yet."""
    done = rows_by_identity(path)
    return [record for record in records if identity(record) not in done]


def rows_of(path: str | Path, records: Sequence[Record] | None = None) -> list[dict]:
    """The rows of a predictions file, in the order of `records` where given, else of the file."""
    rows = rows_by_identity(Path(path))
    return list(rows.values()) if records is None else [rows[identity(record)] for record in records]


def predictions_table(path: str | Path, clips: Sequence[Record] | None = None) -> pd.DataFrame:
    """A predictions file as a table, in the order of `clips` where given; unparsed predictions are NaN."""
    table = pd.DataFrame(rows_of(path, clips))
    numbers = [name for name in table if name in ("mos", "target", "prediction")]
    numbers += [name for name in table if name.startswith(("target_", "prediction_"))]
    return table.astype(dict.fromkeys(numbers, float))


def identity(record: Record) -> tuple[str, str, str]:
    """What a record is known by in a predictions file."""
    return record.dataset, record.split, record.name


def answer_row(question: Question, answer: str | None, response: str | None) -> dict:
    """What is kept of an answered question; answer: as the question's true one is spelt, None where unreadable."""
    return {
        "dataset": question.dataset,
        "split": question.split,
        "name": question.name,
        "category": question.category,
        "dimension": question.dimension,
        "true_answer": question.answer,
        "answer": answer,
        "response": response,
    }


def clip_of(question: Question) -> str:
    """What the clip of a question is called: the question's name without its words, as FingER's reader makes names.

    Example:
        >>> clip_of(question)  # named "kling/00001: Is the cat sharp?"  # doctest: +SKIP
        'kling/00001'
    """
    return question.name.removesuffix(f": {question.question}")
