"""KADID-10k: 10,125 distorted images of 81 scenes, DMOS on 1-5, no official split (Lin et al. 2019)."""

from functools import partial
from pathlib import Path

from vqa_lib.datasets.annotations import AnnotationFile, Notes, read_scored
from vqa_lib.datasets.dataset import Dataset
from vqa_lib.datasets.tables import read_table
from vqa_lib.records import Record, Scale, ScoredClip

SCALE = Scale(1, 5)  # higher is better, although the column is called dmos

FORMS = [[AnnotationFile("dmos.csv", partial(read_table, columns={"name": "dist_img", "mos": "dmos"}))]]


def read_kadid(root: Path, notes: Notes) -> list[ScoredClip]:
    """Images with one score; one split, all.

    The column `var` is left alone: whether it is a variance or a standard deviation is not published.
    """
    return read_scored("kadid", SCALE, FORMS, _place, root, notes, kind="image")


def _place(name: str) -> tuple[str, list[str]]:
    return name, [f"images/{name}"]


def scene(record: Record) -> str:
    """The undistorted picture: "I01" of "I01_05_02.png"."""
    return record.name.split("_")[0]


KADID = Dataset(
    title="KADID-10k",
    purpose="test of image scoring, distortions of known kind and level",
    record=ScoredClip,
    reader=read_kadid,
    scale=SCALE,
    counts={"all": 10125},
    licence="not stated",
    source="database.mmsp-kn.de, KADID-10k",
    layout="images/I01_01_01.png (scene, distortion, level); dmos.csv",
    tables=(),
    group=scene,
)
