"""Waterloo IVC 4K: 1,200 videos, 20 scenes by 5 encoders, 3 sizes and 4 levels, MOS on 0-100 (Li et al. 2019)."""

import re
from functools import partial
from pathlib import Path

from vqa_lib.datasets.annotations import AnnotationFile, DatasetError, Notes, Rows, candidates, read_scored, stem
from vqa_lib.datasets.dataset import Dataset
from vqa_lib.datasets.forms import vqathinker_scores
from vqa_lib.datasets.tables import read_headless
from vqa_lib.records import Record, Scale, ScoredClip

SCALE = Scale(0, 100)
ENCODERS = ("HEVC", "H264", "VP9", "AVS2", "AV1")
SIZES = {"540": "960x540", "1080": "1920x1080", "2160": "3840x2160"}


def _scores(path: Path, notes: Notes) -> Rows:
    """`encoder, video number, resolution, level, mos`, without a header."""
    for where, row in read_headless(path, notes, ("encoder", "number", "resolution", "level", "mos")):
        name = "_".join(row[part] for part in ("encoder", "number", "resolution", "level"))
        yield where, {"name": name, "mos": row["mos"]}


FORMS = [
    [AnnotationFile("scores.txt", _scores)],
    [AnnotationFile("Waterloo_IVC_4K_total_score.json", vqathinker_scores)],
]


def read_waterloo_4k(root: Path, notes: Notes, videos: str = "") -> list[ScoredClip]:
    """Videos with one MOS, called <encoder>_<scene>_<size>_<level>; one split, all. videos: their folder."""
    return read_scored("waterloo_4k", SCALE, FORMS, partial(_place, videos), root, notes)


def clip_name(text: str) -> str:
    """The name of a clip, however its parts are spelled; how `scores.txt` spells them is not published.

    Example:
        >>> clip_name("h264_1_540p_2")
        'H264_01_960x540_2'
    """
    match = re.fullmatch(r"([A-Za-z0-9.]+)_0*(\d{1,2})_(?:\d+x)?(\d+)p?_(\d)", text, re.ASCII)
    encoder = match and match[1].upper().replace(".", "")
    if not match or encoder not in ENCODERS or match[3] not in SIZES:
        raise DatasetError(f"{text!r} is not <encoder>_<scene>_<size>_<level>, such as HEVC_01_960x540_1")
    return f"{encoder}_{int(match[2]):02d}_{SIZES[match[3]]}_{match[4]}"


def _place(videos: str, name: str) -> tuple[str, list[str]]:
    name = clip_name(stem(name))
    return name, candidates(name, dict.fromkeys([videos, ""]), [".mp4", ".mkv", ".webm", ".yuv"])


def scene(record: Record) -> str:
    """The scene: "01" of "HEVC_01_960x540_1"."""
    return record.name.split("_")[1]


WATERLOO_4K = Dataset(
    title="Waterloo IVC 4K",
    purpose="test of natural video scoring on compressed 4K",
    record=ScoredClip,
    reader=read_waterloo_4k,
    scale=SCALE,
    counts={"all": 1200},
    licence="open, with attribution",
    source="ivc.uwaterloo.ca, 4K video quality database, 201908",
    layout="HEVC_01_960x540_1.mp4 ...; scores.txt, or Waterloo_IVC_4K_total_score.json (VQAThinker)",
    tables=("VQAThinker: Table 1",),
    options={"videos": "folder of the videos below the root (the root itself)"},
    group=scene,
)
