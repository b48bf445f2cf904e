"""LIVE-VQC: 585 mobile videos, MOS on 0-100, no official split (Sinno and Bovik 2018)."""

from functools import partial
from pathlib import Path

from vqa_lib.datasets.annotations import AnnotationFile, Notes, read_scored, stem
from vqa_lib.datasets.dataset import Dataset
from vqa_lib.datasets.forms import score_list, vqathinker_scores
from vqa_lib.datasets.tables import read_matlab, read_table
from vqa_lib.records import Scale, ScoredClip

SCALE = Scale(0, 100)

_MAT = partial(read_matlab, columns={"name": "video_list", "mos": "mos"})
FORMS = [
    [AnnotationFile("data.mat", _MAT)],
    [AnnotationFile("LIVE_VQC_data.mat", _MAT)],
    [AnnotationFile("LIVE_VQC_metadata.csv", partial(read_table, columns={"name": "File", "mos": "MOS"}))],
    [AnnotationFile("labels.txt", score_list)],
    [AnnotationFile("LIVE-VQC_total_ds_score.json", vqathinker_scores)],
]


def read_live_vqc(root: Path, notes: Notes) -> list[ScoredClip]:
    """Videos with one MOS; one split, all."""
    return read_scored("live_vqc", SCALE, FORMS, _place, root, notes)


def _place(name: str) -> tuple[str, list[str]]:
    name = f"{stem(name.removeprefix('Video/'))}.mp4"  # the published names carry the ending
    return name, [f"Video/{name}"]


LIVE_VQC = Dataset(
    title="LIVE-VQC",
    purpose="test of natural video scoring",
    record=ScoredClip,
    reader=read_live_vqc,
    scale=SCALE,
    counts={"all": 585},
    licence="LIVE notice: any purpose, with attribution",
    source="Laboratory for Image and Video Engineering (LIVE), LIVE-VQC; request form",
    layout="Video/A001.mp4 ...; data.mat (MATLAB 5: video_list, mos), or LIVE_VQC_data.mat, LIVE_VQC_metadata.csv "
    "(BVQA_Benchmark), labels.txt (DOVER), LIVE-VQC_total_ds_score.json (VQAThinker)",
    tables=("VQ-Insight: Table 3", "VQAThinker: Table 1"),
)
