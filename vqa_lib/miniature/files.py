"""How the writers of miniatures write files: the same content gives the same bytes."""

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.io import savemat

from vqa_lib.miniature.generated_clips import GeneratedClip
from vqa_lib.miniature.world import DrawnClip

Draw = Callable[[str, int], list[DrawnClip]]  # the name of a source and how many clips of it
DrawGenerated = Callable[[str, int], list[GeneratedClip]]


def write_file(path: Path, data: bytes) -> None:
    """Write a file, and the folders above it where they are missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def write_csv(path: Path, header: list[str], rows: list[list]) -> None:
    """Write a CSV with a header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def write_xlsx(path: Path, sheets: dict[str, list[list]]) -> None:
    """Write a spreadsheet: the sheets' names and their rows. The time of writing is taken out."""
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    written, clean = io.BytesIO(), io.BytesIO()
    book.save(written)
    with zipfile.ZipFile(written) as source, zipfile.ZipFile(clean, "w", zipfile.ZIP_DEFLATED) as target:
        for member in source.infolist():
            data = source.read(member)
            if member.filename == "docProps/core.xml":
                data = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", b"2000-01-01T00:00:00Z", data)
            target.writestr(zipfile.ZipInfo(member.filename), data, zipfile.ZIP_DEFLATED)
    write_file(path, clean.getvalue())


def write_mat(path: Path, variables: dict[str, list], title: str) -> None:
    """Write a MATLAB 5 file of n x 1 variables: strings become a cell array, numbers a matrix."""
    columns = {
        name: np.array([[value] for value in values], dtype=object if isinstance(values[0], str) else float)
        for name, values in variables.items()
    }
    savemat(path, columns)
    with path.open("r+b") as file:  # the header carries the time of writing: the same seed must give the same bytes
        file.write(f"MATLAB 5.0 MAT-file, {title}".encode().ljust(116))


def write_json(path: Path, content: object) -> None:
    """Write a JSON file."""
    write_file(path, json.dumps(content, ensure_ascii=False, indent=1).encode())


def write_json_lines(path: Path, rows: list[dict]) -> None:
    """Write a file with a JSON object a line."""
    write_file(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())


def write_parquet(path: Path, rows: list[dict]) -> None:
    """Write a Parquet file; the first row's keys are the columns."""
    import pyarrow
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
