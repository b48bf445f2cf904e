"""VDPVE: enhanced videos, the 839 with published scores, MOS on 0-100 (Gao et al. 2023; NTIRE 2023)."""

import re
from functools import partial
from pathlib import Path

from vqa_lib.datasets.annotations import AnnotationFile, Notes, candidates, read_scored, stem
from vqa_lib.datasets.dataset import Dataset
from vqa_lib.datasets.forms import vqathinker_scores
from vqa_lib.datasets.tables import read_lines
from vqa_lib.records import Record, Scale, ScoredClip

SCALE = Scale(0, 100)


def _line(line: str) -> dict | None:
    """Name and MOS; what separates the two is not published: comma, tab or space."""
    mos = re.split(r"[,\s]", line)[-1]
    name = line[: len(line) - len(mos)].rstrip(", \t")
    return {"name": name, "mos": mos} if name and mos else None


FORMS = [
    [AnnotationFile("train.txt", partial(read_lines, parse=_line, expected="name and MOS"), "train")],
    [AnnotationFile("VDPVE_train_score.json", vqathinker_scores, "train")],
]


def read_vdpve(root: Path, notes: Notes, videos: str = "train") -> list[ScoredClip]:
    """Videos with one MOS; one split, train, the only one with published scores. videos: their folder."""
    return read_scored("vdpve", SCALE, FORMS, partial(_place, videos), root, notes)


def _place(videos: str, name: str) -> tuple[str, list[str]]:
    name = stem(name)
    return name, candidates(name, dict.fromkeys([videos, ""]), [".mp4"])


def scene(record: Record) -> str:
    """The video before it was enhanced: "A0023" of "A0023_01"."""
    return record.name.split("_")[0]


VDPVE = Dataset(
    title="VDPVE",
    purpose="test of natural video scoring on enhanced videos",
    record=ScoredClip,
    reader=read_vdpve,
    scale=SCALE,
    counts={"train": 839},
    licence="not stated",
    source="GitHub YixuanGao98/VDPVE",
    layout="train/A0023_01.mp4 ...; train.txt, or VDPVE_train_score.json (VQAThinker)",
    tables=("VQAThinker: Table 1",),
    options={"videos": "folder of the videos below the root (train)"},
    group=scene,
)
