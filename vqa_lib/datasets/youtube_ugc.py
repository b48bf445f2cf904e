"""YouTube-UGC: videos of many categories and sizes, MOS on 1-5, no official split (Wang et al. 2019)."""

from functools import partial
from pathlib import Path

from vqa_lib.datasets.annotations import AnnotationFile, Notes, candidates, read_scored, stem
from vqa_lib.datasets.dataset import Dataset
from vqa_lib.datasets.forms import score_list, vqathinker_scores
from vqa_lib.datasets.tables import read_table
from vqa_lib.records import Scale, ScoredClip

SCALE = Scale(1, 5)
CUT = "_crf_10_ss_00_t_20.0"  # the re-encoded twenty seconds that papers evaluate
_COLUMNS = {"name": "vid", "mos": "MOS full"}
_BOOK = partial(read_table, columns=_COLUMNS, sheet="MOS")
FORMS = [
    [AnnotationFile("original_videos/MOS_for_YouTube_UGC_dataset.xlsx", _BOOK)],
    [AnnotationFile("MOS_for_YouTube_UGC_dataset.xlsx", _BOOK)],
    [AnnotationFile("original_videos_MOS_for_YouTube_UGC_dataset.xlsx", _BOOK)],
    [AnnotationFile("YOUTUBE_UGC_metadata.csv", partial(read_table, columns=_COLUMNS))],
    [AnnotationFile("labels.txt", score_list)],
    [AnnotationFile("youtube_ugc_total.json", vqathinker_scores)],
]


def read_youtube_ugc(root: Path, notes: Notes, videos: str = "original_videos") -> list[ScoredClip]:
    """Videos with the MOS of the whole clip; one split, all. videos: their folder below the root."""
    return read_scored("youtube_ugc", SCALE, FORMS, partial(_place, videos), root, notes)


def _place(videos: str, name: str) -> tuple[str, list[str]]:
    name = stem(name.rpartition("/")[2]).removesuffix(CUT)
    return name, candidates(name, [videos, ""], [".mkv", f"{CUT}.mp4", ".mp4"])


YOUTUBE_UGC = Dataset(
    title="YouTube-UGC",
    purpose="test of natural video scoring",
    record=ScoredClip,
    reader=read_youtube_ugc,
    scale=SCALE,
    counts={"all": 1380},
    licence="videos CC-BY",
    source="media.withyoutube.com, storage bucket ugc-dataset",
    layout="original_videos/<vid>.mkv, or <vid>_crf_10_ss_00_t_20.0.mp4; MOS_for_YouTube_UGC_dataset.xlsx (sheet "
    "MOS), or YOUTUBE_UGC_metadata.csv (BVQA_Benchmark), labels.txt (DOVER), youtube_ugc_total.json (VQAThinker)",
    tables=("VQ-Insight: Table 3", "VQAThinker: Table 1"),
    note="row counts in use: 1,380 (all), 1,147 (DOVER), 1,142 (SimpleVQA), 1,037 (CAMP-VQA), 1,020 (VQAThinker)",
    options={"videos": "folder of the videos below the root (original_videos)"},
)
