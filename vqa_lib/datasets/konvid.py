"""KoNViD-1k: 1,200 videos, MOS on 1-5, no official split (Hosu et al. 2017)."""

from functools import partial
from pathlib import Path

from vqa_lib.datasets.annotations import AnnotationFile, Notes, read_scored, stem
from vqa_lib.datasets.dataset import Dataset
from vqa_lib.datasets.forms import score_list, vqathinker_scores
from vqa_lib.datasets.tables import read_table
from vqa_lib.records import Scale, ScoredClip

SCALE = Scale(1, 5)

_MOS = partial(read_table, columns={"name": "flickr_id", "mos": "mos"})
FORMS = [
    [AnnotationFile("KoNViD_1k_metadata/KoNViD_1k_mos.csv", _MOS)],
    [AnnotationFile("KoNViD_1k_mos.csv", _MOS)],
    [AnnotationFile("KoNViD_1k_videos/KoNViD_1k_mos.csv", _MOS)],
    [AnnotationFile("KoNViD_1k_metadata/KoNViD_1k_attributes.csv", _MOS)],
    [AnnotationFile("KONVID_1K_metadata.csv", _MOS)],
    [AnnotationFile("labels.txt", score_list)],
    # there the official MOS is multiplied by 20
    [AnnotationFile("Konvid-1k_total_ds_score.json", partial(vqathinker_scores, source=Scale(20, 100), target=SCALE))],
]


def read_konvid(root: Path, notes: Notes) -> list[ScoredClip]:
    """Videos with one MOS; one split, all."""
    return read_scored("konvid", SCALE, FORMS, _place, root, notes)


def _place(name: str) -> tuple[str, list[str]]:
    name = stem(name.removeprefix("KoNViD_1k_videos/"))
    first = f"KoNViD_1k_videos/{name}"
    return name, [f"{first}.mp4", f"{first}_original_centercrop_960x540_8s.mp4"]  # the older release's names


KONVID = Dataset(
    title="KoNViD-1k",
    purpose="test of natural video scoring",
    record=ScoredClip,
    reader=read_konvid,
    scale=SCALE,
    counts={"all": 1200},
    licence="free for research",
    source="database.mmsp-kn.de, KoNViD-1k",
    layout="KoNViD_1k_videos/<flickr_id>.mp4; KoNViD_1k_metadata/KoNViD_1k_mos.csv, or KoNViD_1k_attributes.csv, "
    "KONVID_1K_metadata.csv (BVQA_Benchmark), labels.txt (DOVER), Konvid-1k_total_ds_score.json (VQAThinker)",
    tables=("VQ-Insight: Table 3", "VQAThinker: Table 1"),
)
