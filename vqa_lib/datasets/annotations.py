"""What every reader needs: rows become records, a bad row is refused by name, no file lies outside the folder.

A reader is a function `read_name(root, notes) -> records`. It turns the rows of the annotation files (`tables`) into
records (`collect`), and looks up the files that they name (`Folder`). Annotation rows are data, not paths to trust.
"""

import math
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from vqa_lib.records import Record, Scale, ScoredClip

AnyRecord = TypeVar("AnyRecord", bound=Record)
Rows = Iterator[tuple[str, dict[str, object]]]  # where a row stands ("labels.csv, line 3"), and its cells by name

ENDINGS = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".yuv")
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp")
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?|[-+]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class DatasetError(ValueError):
    """A data set that is not as published; the message names the file, the row and what was expected."""


@dataclass
class Notes:
    """What a reader has to say besides its records.

    keep_going: a refused row is noted and reading goes on (`vqa check-data`); else it ends the reading.
    files: the annotation files that were read. refused: a line for each refused row, with file and line number.
    """

    keep_going: bool = False
    files: list[Path] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def refuse(self, message: str) -> None:
        """Raise DatasetError, or take a note of it and go on."""
        if not self.keep_going:
            raise DatasetError(message)
        self.refused.append(message)


def collect(rows: Rows, make: Callable[[dict], AnyRecord], notes: Notes) -> list[AnyRecord]:
    """One record a row. A row of which `make` says ValueError, or whose name came before, is refused."""
    records, seen = [], set()
    for where, row in rows:
        try:
            record = make(row)
            if record.name in seen:
                raise DatasetError(f"{record.name!r} is listed twice")
        except ValueError as error:
            notes.refuse(f"{where}: {error}")
        else:
            seen.add(record.name)
            records.append(record)
    return records


def parse_mos(text: object, scale: Scale, beyond: bool = False) -> float:
    """A score from an annotation file: a finite number on the published scale.

    beyond: scores outside the scale are taken as they are, for the sets whose published values leave it.

    Raises:
        DatasetError: not a number, not finite, or not on the scale.

    Example:
        >>> parse_mos("3.5", Scale(1, 5))
        3.5
    """
    is_number = isinstance(text, int | float) and not isinstance(text, bool)
    # Python's own float() also takes 1_0 and digits of other scripts: more likely damage than a score
    if not is_number and not (isinstance(text, str) and _NUMBER.fullmatch(text)):
        raise DatasetError(f"the score {text!r} is not a number")
    try:
        score = float(text)
    except OverflowError:  # an integer of hundreds of digits
        score = math.inf
    if not math.isfinite(score) or not (beyond or scale.contains(score)):
        raise DatasetError(f"the score {score} is not between {scale.low} and {scale.high}")
    return score


def plain_name(name: object) -> str:
    """A name from an annotation row as a relative path without detours ("./a//b" is "a/b").

    Raises:
        DatasetError: empty, absolute, with `..`, a backslash or a control character, or not writable as UTF-8.

    Example:
        >>> plain_name("./clips/a.mp4")
        'clips/a.mp4'
    """
    if not isinstance(name, str):
        raise DatasetError(f"the name {name!r} is not text")
    if not name.strip():
        raise DatasetError("the name is empty")
    parts = [part for part in name.split("/") if part not in ("", ".")]  # pathlib takes five times as long
    if os.path.isabs(name) or os.path.splitdrive(name)[0] or ".." in parts or "\\" in name:
        raise DatasetError(f"{name!r} points outside the data set's folder")
    if not parts:
        raise DatasetError(f"{name!r} is not the name of a file")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DatasetError(f"{name!r} is not a name in UTF-8") from None
    if _CONTROL.search(name):  # a terminal would obey it
        raise DatasetError(f"{name!r} has a control character")
    return "/".join(parts)


def stem(name: str, endings: Iterable[str] = ENDINGS) -> str:
    """The name without a video's file ending, in capitals or not; other dots stay.

    Example:
        >>> stem("batch/clip_20.0.MP4"), stem("clip_20.0")
        ('batch/clip_20.0', 'clip_20.0')
    """
    start, ending = os.path.splitext(name)
    return start if ending.lower() in endings else name


def candidates(name: str, folders: Iterable[str], endings: Iterable[str]) -> list[str]:
    """Where a file may lie, the likeliest first: every folder ("" is the root) with every ending.

    Example:
        >>> candidates("a", ["", "videos"], [".mp4"])
        ['a.mp4', 'videos/a.mp4']
    """
    return [f"{folder}/{name}{ending}".lstrip("/") for folder in folders for ending in endings]


class Folder:
    """The folder of a data set, in which rows name files; nothing outside it is ever found.

    Each folder below is listed once, so finding a file among 40,000 asks the file system nothing more.
    """

    def __init__(self, root: Path):
        self.root = root
        self._real_root = os.path.realpath(root)
        self._listings: dict[str, dict[str, os.DirEntry]] = {}

    def find(self, *names: str) -> Path:
        """The first of the named files that is there; else the first, for others to say that it is missing.

        The file's ending may be in capitals, and accents composed or not (as macOS writes them).

        Raises:
            DatasetError: a name that `plain_name` refuses, or a link that leaves the folder.
        """
        plain = [plain_name(name) for name in names]
        for name in plain:
            folder, _, file = name.rpartition("/")
            if entry := self._listing(folder).get(_key(file)):
                if entry.is_symlink():
                    self._stay_inside(entry.path, name)
                return Path(self.root, folder, entry.name)
        return Path(self.root, plain[0])

    def _listing(self, folder: str) -> dict[str, os.DirEntry]:
        if folder not in self._listings:
            path = os.path.join(self.root, folder)
            self._stay_inside(path, folder)  # before the listing is kept: every row that names the folder is refused
            try:
                with os.scandir(path) as entries:
                    self._listings[folder] = {_key(entry.name): entry for entry in sorted(entries, key=_name_of)}
            except OSError:  # no such folder, or not to be read: its files are missing
                self._listings[folder] = {}
        return self._listings[folder]

    def _stay_inside(self, path: str, name: str) -> None:
        real = os.path.realpath(path)
        if os.path.commonpath([real, self._real_root]) != self._real_root:
            raise DatasetError(f"{name!r} is a link that leaves the data set's folder")


def _name_of(entry: os.DirEntry) -> str:
    return entry.name


def _key(file: str) -> str:
    start, ending = os.path.splitext(file)
    key = start + ending.lower()
    return key if key.isascii() else unicodedata.normalize("NFC", key)


@dataclass(frozen=True)
class AnnotationFile:
    """An annotation file that a reader knows: its name below the root, how its rows are read, the split it stands for.

    rows: called with the path and the notes; yields cells called "name", "mos" and what else the reader asks for.
    """

    name: str
    rows: Callable[[Path, Notes], Rows]
    split: str | None = None


def annotation_rows(root: Path, forms: list[list[AnnotationFile]], notes: Notes) -> Rows:
    """The rows of the first form whose first file is there; the other files of that form must be there too.

    forms: the official one first, then the known re-exports. A row of a file with a split gets the cell "split".

    Raises:
        DatasetError: no form is there, a file of the form is missing, or a link leads out of the root.
    """
    form = next((form for form in forms if (root / form[0].name).exists()), forms[0])
    for file in form:
        path = root / file.name
        if not path.is_file():
            known = ", ".join(" + ".join(known.name for known in form) for form in forms)
            raise DatasetError(f"{path}: missing; expected one of: {known}")
        Folder(root).find(file.name)  # refuses a link out of the root
        notes.files.append(path)
        for where, row in file.rows(path, notes):
            yield where, row if file.split is None else {**row, "split": file.split}


def read_scored(
    dataset: str,
    scale: Scale,
    forms: list[list[AnnotationFile]],
    place: Callable[[str], tuple[str, list[str]]],
    root: Path,
    notes: Notes,
    kind: str | Callable[[str], str] = "video",
) -> list[ScoredClip]:
    """The one shape of the sets with one score a clip.

    place: from a row's "name" to the name of the record, the same in all forms, and where its file may lie, below the
    root. kind: "image" or "video", or a function that tells it from the name. A row may have the cells "split" (else
    "all"), "sd", and "prompt".
    """
    folder = Folder(root)
    width = Scale(0, scale.high - scale.low)  # no two raters are further apart

    def clip(row: dict) -> ScoredClip:
        name, files = place(plain_name(row["name"]))
        if not name:
            raise DatasetError(f"{row['name']!r} is not the name of a clip")
        return ScoredClip(
            name=name,
            path=folder.find(*files),
            kind=kind if isinstance(kind, str) else kind(name),
            scores={"overall": parse_mos(row["mos"], scale)},
            scale=scale,
            dataset=dataset,
            split=row.get("split") or "all",
            sd=parse_mos(row["sd"], width) if row.get("sd") not in (None, "") else None,
            prompt=row.get("prompt") or None,
        )

    return collect(annotation_rows(root, forms, notes), clip, notes)
