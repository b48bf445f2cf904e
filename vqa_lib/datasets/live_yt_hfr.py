"""LIVE-YT-HFR: 480 videos, 16 scenes at 6 frame rates and 5 compressions, MOS on 0-100 (Madhusudana et al. 2021)."""

from functools import partial
from pathlib import Path

from vqa_lib.datasets.annotations import AnnotationFile, Notes, candidates, read_scored, stem
from vqa_lib.datasets.dataset import Dataset
from vqa_lib.datasets.forms import NAMED_FILE, named_file, vqathinker_scores
from vqa_lib.datasets.tables import read_table
from vqa_lib.records import Record, Scale, ScoredClip

SCALE = Scale(0, 100)

# The authors' own file is not known: the user names it (`annotations`). These are copies by others.
FORMS = [
    [AnnotationFile("LIVE_HFR_metadata.csv", partial(read_table, columns={"name": "Filename", "mos": "MOS"}))],
    [AnnotationFile("live_hfr_total_score.json", vqathinker_scores)],
]


def read_live_yt_hfr(
    root: Path,
    notes: Notes,
    videos: str = "",
    annotations: str | None = None,
    name_column: str | None = None,
    score_column: str | None = None,
) -> list[ScoredClip]:
    """Videos with one MOS; one split, all. videos: their folder; the others: see `forms.named_file`."""
    forms = named_file(annotations, name_column, score_column) if annotations else FORMS
    return read_scored("live_yt_hfr", SCALE, forms, partial(_place, videos), root, notes)


def _place(videos: str, name: str) -> tuple[str, list[str]]:
    name = stem(name)
    return name, candidates(name, dict.fromkeys([videos, ""]), [".webm", ".mp4"])


def scene(record: Record) -> str:
    """The scene: "1Runner" of "1Runner_crf_0_24fps"."""
    return record.name.split("_crf_")[0]


LIVE_YT_HFR = Dataset(
    title="LIVE-YT-HFR",
    purpose="test of natural video scoring at high frame rates",
    record=ScoredClip,
    reader=read_live_yt_hfr,
    scale=SCALE,
    counts={"all": 480},
    licence="LIVE notice: any purpose, with attribution",
    source="Laboratory for Image and Video Engineering (LIVE), LIVE-YT-HFR; form and password",
    layout="1Runner_crf_0_24fps.webm ...; LIVE_HFR_metadata.csv (HFR-BVQA), or live_hfr_total_score.json "
    "(VQAThinker), or the authors' file with -o annotations=FILE",
    tables=("VQAThinker: Table 1",),
    options={"videos": "folder of the videos below the root (the root itself)", **NAMED_FILE},
    group=scene,
)
