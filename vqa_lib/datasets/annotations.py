"""What every reader needs: annotation tables with checked columns, scores that are numbers, paths that stay inside.

Annotation rows are data, not paths to trust: a name that points outside the data set's folder is refused.
"""

import csv
import math
from pathlib import Path

import pandas as pd

from vqa_lib.records import Scale


class DatasetError(ValueError):
    """A data set that is not as published; the message names the file, the row and what was expected."""


def require(path: Path, what: str) -> Path:
    """The path, if it exists."""
    if not path.exists():
        raise DatasetError(f"{path}: missing; expected {what}")
    return path


def read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    """Some columns of a published CSV, all as text; quotes, padding and a byte-order mark are taken off."""
    require(path, f"a CSV with the columns {columns}")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, skipinitialspace=True, strict=True)
            lines = [(reader.line_num, [cell.strip().strip('"').strip() for cell in row]) for row in reader if row]
    except (csv.Error, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: not a readable CSV ({error})") from error
    header = lines[0][1] if lines else []
    if missing := [name for name in columns if name not in header]:
        raise DatasetError(f"{path}: the columns {missing} are missing; found {header}")
    for line, row in lines[1:]:
        if len(row) != len(header):  # never guess which value belongs to which column
            raise DatasetError(f"{path}, line {line}: {len(row)} values under {len(header)} columns")
    return pd.DataFrame([row for _, row in lines[1:]], columns=header, dtype=str)[columns]


def row_name(path: Path, row: int) -> str:
    """How errors call a row: the file and its line, the header being line 1."""
    return f"{path}, line {row + 2}"


def parse_mos(text: object, scale: Scale, where: str) -> float:
    """A score from an annotation file: a finite number on the published scale."""
    try:
        score = float(text)
    except (TypeError, ValueError):
        raise DatasetError(f"{where}: the score {text!r} is not a number") from None
    if not math.isfinite(score) or not scale.contains(score):
        raise DatasetError(f"{where}: the score {score} is not between {scale.low} and {scale.high}")
    return score


def inside(root: Path, relative: str, where: str) -> Path:
    """The file a row names, below `root`; absolute names and `..` are refused."""
    if not isinstance(relative, str) or not relative:
        raise DatasetError(f"{where}: the file name is empty")
    parts = Path(relative)
    if parts.is_absolute() or ".." in parts.parts or "\\" in relative or "\x00" in relative:
        raise DatasetError(f"{where}: {relative!r} points outside the data set's folder")
    return root / parts


def unique(names: list[str], path: Path) -> None:
    """Every clip once."""
    seen = set()
    for row, name in enumerate(names):
        if not name:
            raise DatasetError(f"{row_name(path, row)}: the name is empty")
        if name in seen:
            raise DatasetError(f"{row_name(path, row)}: {name!r} is listed twice")
        seen.add(name)
