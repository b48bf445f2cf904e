"""LIVE-YT-Gaming: 600 videos of games, MOS on 0-100, no official split (Yu et al. 2022)."""

from functools import partial
from pathlib import Path

from vqa_lib.datasets.annotations import AnnotationFile, Notes, candidates, read_scored, stem
from vqa_lib.datasets.dataset import Dataset
from vqa_lib.datasets.forms import NAMED_FILE, named_file, vqathinker_scores
from vqa_lib.datasets.tables import read_matlab, read_table
from vqa_lib.records import Record, Scale, ScoredClip

SCALE = Scale(0, 100)

# The authors' own file is not known: the user names it (`annotations`). These are copies by others.
FORMS = [
    [AnnotationFile("LIVEYTGaming.mat", partial(read_matlab, columns={"name": "video_list", "mos": "MOS"}))],
    [AnnotationFile("LIVE-YT-Gaming_metadata.csv", partial(read_table, columns={"name": "File", "mos": "MOS"}))],
    [AnnotationFile("LIVE-YT-Gaming_total_score.json", vqathinker_scores)],
]


def read_live_yt_gaming(
    root: Path,
    notes: Notes,
    videos: str = "mp4",
    annotations: str | None = None,
    name_column: str | None = None,
    score_column: str | None = None,
) -> list[ScoredClip]:
    """Videos with one MOS; one split, all. videos: their folder; the others: see `forms.named_file`."""
    forms = named_file(annotations, name_column, score_column) if annotations else FORMS
    return read_scored("live_yt_gaming", SCALE, forms, partial(_place, videos), root, notes)


def _place(videos: str, name: str) -> tuple[str, list[str]]:
    name = stem(name)
    return name, candidates(name, [videos, ""], [".mp4"])


def game(record: Record) -> str:
    """The game: "ARKSuvivalEvolved" of "ARKSuvivalEvolved-001"."""
    return record.name.rpartition("-")[0]


LIVE_YT_GAMING = Dataset(
    title="LIVE-YT-Gaming",
    purpose="test of natural video scoring on games",
    record=ScoredClip,
    reader=read_live_yt_gaming,
    scale=SCALE,
    counts={"all": 600},
    licence="LIVE notice: any purpose, with attribution",
    source="Laboratory for Image and Video Engineering (LIVE), LIVE-YT-Gaming; request form",
    layout="mp4/<name>.mp4; LIVEYTGaming.mat (MinimalisticVQA), or LIVE-YT-Gaming_metadata.csv (GAMIVAL), "
    "LIVE-YT-Gaming_total_score.json (VQAThinker), or the authors' file with -o annotations=FILE",
    tables=("VQAThinker: Table 1",),
    options={"videos": "folder of the videos below the root (mp4)", **NAMED_FILE},
    group=game,
)
