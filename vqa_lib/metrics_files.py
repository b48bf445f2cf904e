"""Judge anyone's predictions from a CSV: what `vqa metrics` does between reading its arguments and printing."""

import csv
import math
from collections.abc import Callable
from pathlib import Path

from vqa_lib.metrics import (
    LABELS,
    Metric,
    overall_metrics,
    pair_metrics,
    parse_failures,
    score_metrics,
)

UNREAD = ("", "nan", "none", "null")  # what stands in a CSV for an answer that could not be read


class MetricsFileError(ValueError):
    """A CSV that cannot be judged; the message names file, row and field, and what was expected."""


def judge_scores(path: Path, seed: int = 0, resamples: int = 1000) -> dict:
    """Metrics of a CSV with the columns prediction and mos; with a column dataset also of each, and the overall.

    An empty prediction is an answer that could not be read; it counts as unparsed.

    Returns: n, unparsed and each of `metrics.SCORE_METRICS` as value, low, high, reason. With data sets: those under
    "datasets" by name, and "overall" with each of `metrics.AVERAGED`, weighted by rows.

    Raises:
        MetricsFileError: a column is missing, a field is not what it should be, or there is no row.
    """
    columns = _read(path, {"prediction": _answer, "mos": _number}, {"dataset": _name})
    predictions, mos = columns["prediction"], columns["mos"]
    if "dataset" not in columns:
        return _shown(predictions, score_metrics(predictions, mos, seed, resamples))
    names = columns["dataset"]
    each, total = overall_metrics(predictions, mos, names, seed, resamples)
    of_set = {name: [row for row, other in zip(predictions, names, strict=True) if other == name] for name in each}
    return {
        "datasets": {name: _shown(of_set[name], metrics) for name, metrics in each.items()},
        "overall": _shown(predictions, total),
    }


def judge_pairs(path: Path, seed: int = 0, resamples: int = 1000) -> dict:
    """Metrics of a CSV with the columns margin (score of A minus score of B) and label (A, B or tie).

    An empty margin is an answer that could not be read; it counts as unparsed.

    Returns: n, unparsed and each of `metrics.PAIR_METRICS` as value, low, high, reason.

    Raises:
        MetricsFileError: a column is missing, a field is not what it should be, or there is no row.
    """
    columns = _read(path, {"margin": _answer, "label": _label}, {})
    return _shown(columns["margin"], pair_metrics(columns["margin"], columns["label"], seed, resamples))


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("expected a finite number")
    return number


def _answer(text: str) -> float | None:
    return None if text.strip().lower() in UNREAD else _number(text)


def _label(text: str) -> str:
    if text.strip() not in LABELS:
        raise ValueError(f"expected one of {', '.join(LABELS)}")
    return text.strip()


def _name(text: str) -> str:
    if not text.strip():
        raise ValueError("expected a name")
    return text.strip()


def _read(path: Path, needed: dict[str, Callable], optional: dict[str, Callable]) -> dict[str, list]:
    """The columns of a CSV, read field by field; row numbers in errors count the header as row 1."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            header = [name.strip() for name in reader.fieldnames or []]
            if missing := [name for name in needed if name not in header]:
                raise MetricsFileError(f"{path}, row 1: no column {' or '.join(missing)}; the columns are {header}")
            reader.fieldnames = header
            fields = needed | {name: read for name, read in optional.items() if name in header}
            columns = {name: [] for name in fields}
            for row in reader:
                for name, read in fields.items():
                    columns[name].append(_field(path, reader.line_num, name, row[name], read))
    except (UnicodeDecodeError, csv.Error) as error:
        raise MetricsFileError(f"{path}: not a CSV in UTF-8: {error}") from None
    if not next(iter(columns.values())):
        raise MetricsFileError(f"{path}: no rows below the header")
    return columns


def _field(path: Path, row: int, name: str, text: str | None, read: Callable):
    try:
        if text is None:
            raise ValueError("the row ends before it")
        return read(text)
    except ValueError as error:
        shown = str(error) if "expected" in str(error) or text is None else "expected a number"
        raise MetricsFileError(f"{path}, row {row}, field {name}: {text!r}: {shown}") from None


def _shown(predictions: list[float | None], metrics: dict[str, Metric]) -> dict:
    """JSON has no NaN: what is undefined is null, with its reason."""
    n = next(iter(metrics.values())).n
    return {"n": n, "unparsed": parse_failures(predictions)} | {
        name: {
            "value": _json_number(metric.value),
            "low": _json_number(metric.low),
            "high": _json_number(metric.high),
            "reason": metric.reason,
        }
        for name, metric in metrics.items()
    }


def _json_number(value: float) -> float | None:
    return value if math.isfinite(value) else None
