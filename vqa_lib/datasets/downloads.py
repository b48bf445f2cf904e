"""What sets of generated clips have in common: Parquet files with a split each, links, and clips in some folder.

Where their clips lie once the archives are unpacked is often not documented. So a clip is looked for in the folders
that are likely, with its path and with its name alone; an option of the reader names another folder.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from vqa_lib.datasets.annotations import DatasetError, Folder, Notes, Rows, collect, plain_name
from vqa_lib.datasets.tables import read_parquet
from vqa_lib.records import Pair

_LINK = re.compile(r"https?://[^/]+/", re.IGNORECASE)
VIDEOS_OPTION = {"videos": "the folder below the root that has the clips, where it is not one of those in the layout"}


def sharded_rows(root: Path, splits: dict[str, tuple[str, ...]], columns: dict[str, str], notes: Notes) -> Rows:
    """The rows of the splits that are there; each row gets its "split" and, counted from 0, its "number" in it.

    splits: split -> patterns of its Parquet files below the root; the first pattern with a file counts. columns: our
    name -> the published name. A user may have one split without the others.

    Raises:
        DatasetError: no file at all, a file that cannot be read, or a link that leaves the root.
    """
    folder, found = Folder(root), False
    for split, patterns in splits.items():
        files = next(filter(None, (sorted(root.glob(pattern)) for pattern in patterns)), [])
        number = 0
        for path in files:
            found = True
            folder.find(path.relative_to(root).as_posix())  # refuses a link out of the root
            notes.files.append(path)
            for where, row in read_parquet(path, notes, columns):
                yield where, {**row, "split": split, "number": number}
                number += 1
    if not found:
        expected = [pattern for patterns in splits.values() for pattern in patterns]
        raise DatasetError(f"{root / expected[0]}: missing; expected one of: {', '.join(expected)}")


def clip_name(text: object) -> str:
    """The name of a clip from a path, which stays as it is, or from a link, of which it is the last part.

    Raises:
        DatasetError: what `plain_name` refuses.

    Example:
        >>> clip_name("https://example.org/clips/86aa85.mp4"), clip_name("pika/1.mp4")
        ('86aa85.mp4', 'pika/1.mp4')
    """
    if isinstance(text, str) and _LINK.match(text):
        text = re.split("[?#]", text)[0].rpartition("/")[2]
    return plain_name(text)


def clip_files(name: str, folders: Iterable[str], videos: str | None = None) -> list[str]:
    """Where a clip may lie below the root. folders: the likely ones, "." the root. videos: the one that a user names.

    Example:
        >>> clip_files("pika/1.mp4", ["videos"])
        ['videos/pika/1.mp4', 'videos/1.mp4']
    """
    endings = dict.fromkeys((name, name.rpartition("/")[2]))
    return [f"{folder}/{ending}" for folder in ([videos] if videos else folders) for ending in endings]


def plain_text(value: object, what: str) -> str:
    """A text from an annotation row, such as a prompt, as it stands there.

    Raises:
        DatasetError: not text, empty, or not writable as UTF-8.
    """
    if not isinstance(value, str) or not value.strip():
        raise DatasetError(f"the {what} {value!r} is not a text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise DatasetError(f"the {what} {value!r} is not text in UTF-8") from None
    return value


def read_pairs(
    dataset: str,
    rows: Rows,
    answers: dict[str, str],
    published: str,
    folders: Iterable[str],
    root: Path,
    notes: Notes,
    videos: str | None = None,
) -> list[Pair]:
    """Pairs named by split and row, from rows with the cells prompt, first, second, answer, split and number.

    answers: what the file says -> preference. published: what the file calls the answer, for errors. folders, videos:
    see `clip_files`.
    """
    folder = Folder(root)

    def pair(row: dict) -> Pair:
        if not isinstance(row["answer"], str) or row["answer"] not in answers:
            raise DatasetError(f"{published} must be one of {list(answers)}, found {row['answer']!r}")
        return Pair(
            name=f"{row['split']}/{row['number']}",
            first=folder.find(*clip_files(clip_name(row["first"]), folders, videos)),
            second=folder.find(*clip_files(clip_name(row["second"]), folders, videos)),
            kind="video",
            preference=answers[row["answer"]],
            dataset=dataset,
            split=row["split"],
            prompt=plain_text(row["prompt"], "prompt"),
        )

    return collect(rows, pair, notes)
