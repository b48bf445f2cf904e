"""Readers of the published data sets: a folder in, records out. A miniature is read like the real thing."""

from pathlib import Path

from vqa_lib.datasets.annotations import DatasetError
from vqa_lib.datasets.koniq import read_koniq
from vqa_lib.datasets.konvid import read_konvid
from vqa_lib.datasets.live_vqc import read_live_vqc
from vqa_lib.datasets.lsvq import read_lsvq
from vqa_lib.records import ScoredClip

READERS = {"koniq": read_koniq, "lsvq": read_lsvq, "konvid": read_konvid, "live_vqc": read_live_vqc}

__all__ = ["READERS", "DatasetError", "load_clips"]


def load_clips(name: str, root: str | Path, split: str, limit: int | None = None) -> list[ScoredClip]:
    """The clips of one split, in the order of the annotation file; every file is checked to be there.

    limit: the first so many.

    Raises:
        DatasetError: an unknown data set or split, an annotation file that is not as published, missing files.

    Example:
        >>> load_clips("lsvq", "data/miniature/lsvq", "test")  # doctest: +SKIP
    """
    if name not in READERS:
        raise DatasetError(f"unknown data set {name!r}; known: {sorted(READERS)}")
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder; {name} is expected there")
    clips = READERS[name](root)
    chosen = [clip for clip in clips if clip.split == split][:limit]
    if not chosen:
        raise DatasetError(f"{root}: {name} has no split {split!r}; found {sorted({clip.split for clip in clips})}")
    missing = [clip.path for clip in chosen if not clip.path.is_file()]
    if missing:
        shown = ", ".join(str(path.relative_to(root)) for path in missing[:10])
        raise DatasetError(f"{root}: {len(missing)} of {len(chosen)} files of {name}/{split} are missing: {shown}")
    return chosen
