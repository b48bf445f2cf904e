"""From a name in the catalogue and a folder to the records of a split."""

import hashlib
import os
from pathlib import Path

from vqa_lib.datasets.annotations import DatasetError, Notes
from vqa_lib.datasets.catalogue import DATASETS
from vqa_lib.datasets.dataset import Dataset
from vqa_lib.paths import shown
from vqa_lib.records import Pair, Prompt, Question, Record, ScoredClip

READ: dict[str, str] = {}  # annotation files that this process has read records from -> their SHA-256, for the record


def load_clips(name: str, root: str | Path, split: str, limit: int | None = None, **options: str) -> list[ScoredClip]:
    """The scored clips of one split, in the order of the annotation file; every file is checked to be there.

    limit: the first so many. options: see `DATASETS[name].options`.

    Raises:
        DatasetError: an unknown data set, split or option, a data set without scores, an annotation file that is not
            as published, missing files.

    Example:
        >>> load_clips("lsvq", "data/miniature/lsvq", "test")  # doctest: +SKIP
    """
    return _load(ScoredClip, name, root, split, limit, options)


def load_pairs(name: str, root: str | Path, split: str, limit: int | None = None, **options: str) -> list[Pair]:
    """The pairs of one split; else like `load_clips`."""
    return _load(Pair, name, root, split, limit, options)


def load_questions(name: str, root: str | Path, split: str, limit: int | None = None, **options: str) -> list[Question]:
    """The questions of one split; else like `load_clips`."""
    return _load(Question, name, root, split, limit, options)


def load_prompts(name: str, root: str | Path, split: str, limit: int | None = None, **options: str) -> list[Prompt]:
    """The prompts of one split; else like `load_clips`."""
    return _load(Prompt, name, root, split, limit, options)


def find_dataset(name: str) -> Dataset:
    """The entry of the catalogue."""
    if name not in DATASETS:
        raise DatasetError(f"unknown data set {name!r}; known: {sorted(DATASETS)}")
    return DATASETS[name]


def read_dataset(name: str, root: str | Path, notes: Notes, **options: str) -> list[Record]:
    """All records of a data set, whether their files are there or not."""
    dataset, root = find_dataset(name), Path(root)
    if unknown := sorted(set(options) - set(dataset.options)):
        raise DatasetError(f"{name} has no option {unknown}; known: {sorted(dataset.options)}")
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder; {name} is expected there")
    return dataset.reader(root, notes, **options)


def missing_files(records: list[Record]) -> list[Path]:
    """The files of the records that are not there, each once."""
    return [path for path in {path: None for record in records for path in record.paths} if not os.path.isfile(path)]


def _load(record: type, name: str, root: str | Path, split: str, limit: int | None, options: dict[str, str]) -> list:
    holds = find_dataset(name).record
    if holds is not record:
        raise DatasetError(f"{name} holds records of the type {holds.__name__}, not {record.__name__}")
    root = Path(root)
    notes = Notes()
    records = read_dataset(name, root, notes, **options)
    for file in notes.files:
        READ[shown(file)] = hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16]
    chosen = [record for record in records if record.split == split][:limit]
    if not chosen:
        raise DatasetError(f"{root}: {name} has no split {split!r}; found {sorted({r.split for r in records})}")
    if missing := missing_files(chosen):
        named = ", ".join(str(path.relative_to(root)) for path in missing[:10])
        total = len({path for record in chosen for path in record.paths})
        raise DatasetError(f"{root}: {len(missing)} of {total} files of {name}/{split} are missing: {named}")
    return chosen
