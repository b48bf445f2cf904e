"""Annotation files of every format as rows: CSV, spreadsheets, MATLAB files, text lists, JSON, Parquet.

Each function yields (where, cells): where the row stands, for error messages, and its cells by the names asked for.
A file that cannot be read at all raises DatasetError; a row that cannot is refused (`Notes.refuse`).
Nothing in a file is executed: formulas and macros of spreadsheets are left alone.
"""

import csv
import json
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from vqa_lib.datasets.annotations import DatasetError, Notes, Rows
from vqa_lib.datasets.matlab import read_mat

Columns = dict[str, str | tuple[str, ...]]
_UNPACKED_LIMIT = 500_000_000  # bytes; a spreadsheet of annotations has a few million
_SHEET_ROWS, _SHEET_COLUMNS = 100_000, 100


def read_table(
    path: Path, notes: Notes, columns: Columns, optional: Columns | None = None, sheet: str | None = None
) -> Rows:
    """Some columns of a CSV, or of a spreadsheet where the file ends in .xlsx, all as text.

    columns: our name for a column -> its published name, or several of which the first there is taken. Spaces,
    underscores and capitals make no difference ("MOS full", "MOSFull"), unless they tell two columns apart.
    optional: columns that may be absent; then their cells are too.
    sheet: the name of the sheet, without it the first. Blank lines are skipped.

    Raises:
        DatasetError: not readable, or a column is missing.
    """
    sheet_lines = path.suffix.lower() == ".xlsx"
    lines = _sheet_lines(path, sheet) if sheet_lines else _csv_lines(path)
    _, header = next(lines, (1, []))
    positions = {ours: _position(path, header, published) for ours, published in columns.items()}
    if missing := [columns[ours] for ours, position in positions.items() if position is None]:
        raise DatasetError(f"{path}: the columns {missing} are missing; found {header}")
    for ours, published in (optional or {}).items():
        if (position := _position(path, header, published)) is not None:
            positions[ours] = position
    for line, row in lines:
        where = f"{path}, line {line}"
        if sheet_lines:  # a row of a sheet ends with its last filled cell
            row = row + [""] * (len(header) - len(row))
        if len(row) != len(header):  # never guess which value belongs to which column
            notes.refuse(f"{where}: {len(row)} values under {len(header)} columns")
            continue
        yield where, {ours: row[position].strip() for ours, position in positions.items()}


def read_headless(path: Path, notes: Notes, columns: tuple[str, ...], sheet: str | None = None) -> Rows:
    """The rows of a CSV or spreadsheet that has no header; every row has exactly these columns."""
    lines = _sheet_lines(path, sheet) if path.suffix.lower() == ".xlsx" else _csv_lines(path)
    for line, row in lines:
        if len(row) != len(columns):
            notes.refuse(f"{path}, line {line}: {len(row)} values, expected {len(columns)}: {', '.join(columns)}")
        else:
            yield f"{path}, line {line}", dict(zip(columns, map(str.strip, row), strict=True))


def read_lines(path: Path, notes: Notes, parse: Callable[[str], dict | None], expected: str) -> Rows:
    """The lines of a text file, each made into cells by `parse`, which says None of a line that is not as expected."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                line = line.strip()
                if not line:
                    continue
                if (row := parse(line)) is not None:
                    yield f"{path}, line {number}", row
                else:
                    notes.refuse(f"{path}, line {number}: expected {expected}, found {line[:80]!r}")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: not a readable text file ({error})") from error


def read_json(path: Path) -> object:
    """A JSON file, whatever is in it."""
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: not readable JSON ({error})") from error


def read_json_lines(path: Path, notes: Notes) -> Rows:
    """A file with one JSON object a line."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                where = f"{path}, line {number}"
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError) as error:
                    notes.refuse(f"{where}: not readable JSON ({error})")
                    continue
                if isinstance(row, dict):
                    yield where, row
                else:
                    notes.refuse(f"{where}: expected a JSON object, found {type(row).__name__}")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: not a readable text file ({error})") from error


def read_objects(path: Path, notes: Notes, rows: object, columns: dict[str, str]) -> Rows:
    """Some keys of a list of JSON objects. columns: our name -> the published key."""
    if not isinstance(rows, list):
        raise DatasetError(f"{path}: expected a list of objects, found {type(rows).__name__}")
    for number, row in enumerate(rows, 1):
        where = f"{path}, entry {number}"
        if not isinstance(row, dict):
            notes.refuse(f"{where}: expected an object, found {type(row).__name__}")
        elif missing := [key for key in columns.values() if key not in row]:
            notes.refuse(f"{where}: the keys {missing} are missing")
        else:
            yield where, {ours: row[key] for ours, key in columns.items()}


def read_matlab(path: Path, notes: Notes, columns: dict[str, str]) -> Rows:
    """Some variables of a MATLAB 5 file, each n x 1: cells of strings or numbers. columns: our name -> the variable."""
    variables = read_mat(path, list(columns.values()))
    lengths = {variable: len(values) for variable, values in variables.items()}
    if len(set(lengths.values())) > 1:
        told = " but ".join(f"{length} values in {variable}" for variable, length in lengths.items())
        raise DatasetError(f"{path}: {told}")
    for number, values in enumerate(zip(*variables.values(), strict=True), 1):
        yield f"{path}, entry {number}", dict(zip(columns, values, strict=True))


def read_parquet(path: Path, notes: Notes, columns: dict[str, str]) -> Rows:
    """Some columns of a Parquet file, with the types they have there. columns: our name -> the published name."""
    import pyarrow.parquet  # slow to load, and most data sets have no Parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            found = file.schema_arrow.names
            if missing := [name for name in columns.values() if name not in found]:
                raise DatasetError(f"{path}: the columns {missing} are missing; found {found}")
            number = 0
            for batch in file.iter_batches(batch_size=1000, columns=list(columns.values())):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", {ours: row[published] for ours, published in columns.items()}
    except DatasetError:
        raise
    except Exception as error:  # a damaged file raises whatever the damage leads to
        raise DatasetError(f"{path}: not readable Parquet ({type(error).__name__}: {error})") from error


def _position(path: Path, header: list[str], published: str | tuple[str, ...]) -> int | None:
    for name in (published,) if isinstance(published, str) else published:
        for spell in (str.strip, _plain):
            found = [number for number, cell in enumerate(header) if spell(cell) == spell(name)]
            if len(found) > 1 and spell is str.strip:
                raise DatasetError(f"{path}: the column {name!r} stands {len(found)} times in the header")
            if len(found) == 1:
                return found[0]
    return None


def _plain(cell: str) -> str:
    return re.sub(r"[\s_]", "", cell).lower()


def _csv_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Rows with the number of the line on which they begin: a quoted cell may go over several."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, skipinitialspace=True, strict=True)
            before = 0
            for row in reader:
                if len(row) > 1 or any(cell.strip() for cell in row):
                    yield before + 1, row
                before = reader.line_num
    except (csv.Error, OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: not a readable CSV ({error})") from error


def _sheet_lines(path: Path, sheet: str | None) -> Iterator[tuple[int, list[str]]]:
    import openpyxl  # slow to load, and most data sets have no spreadsheet

    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > _UNPACKED_LIMIT:
                raise DatasetError(f"{path}: the spreadsheet unpacks to more than {_UNPACKED_LIMIT:,} bytes")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl warns of styles and extensions that it leaves out
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
            if sheet is not None and sheet not in book.sheetnames:
                raise DatasetError(f"{path}: no sheet {sheet!r}; found {book.sheetnames}")
            page = book[sheet] if sheet is not None else book.worksheets[0]
            page.reset_dimensions()  # what the file says of its own size is often wrong
            # Bounded: one cell that claims to stand in row 10^12 would make as many empty rows. Columns further out
            # are not looked at.
            rows = list(page.iter_rows(max_row=_SHEET_ROWS + 1, max_col=_SHEET_COLUMNS, values_only=True))
            book.close()
            if len(rows) > _SHEET_ROWS:
                raise DatasetError(f"{path}: more than {_SHEET_ROWS:,} rows")
    except DatasetError:
        raise
    except Exception as error:  # openpyxl raises whatever comes up in the XML and the archive
        raise DatasetError(f"{path}: not a readable spreadsheet ({type(error).__name__}: {error})") from error
    for number, cells in enumerate(rows, 1):
        row = ["" if cell is None else str(cell) for cell in cells]
        while row and not row[-1]:
            row.pop()
        if row:
            yield number, row
