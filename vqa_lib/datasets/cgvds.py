"""CGVDS: cloud gaming videos by game, size, frame rate and bit rate (Zadtootaghaj et al. 2020)."""

from functools import partial
from pathlib import Path

from vqa_lib.datasets.annotations import AnnotationFile, DatasetError, Notes, candidates, read_scored, stem
from vqa_lib.datasets.dataset import Dataset
from vqa_lib.datasets.forms import NAMED_FILE, named_file, vqathinker_scores
from vqa_lib.datasets.tables import read_table
from vqa_lib.records import Record, Scale, ScoredClip

# Video quality was rated twice: on the continuous scale of seven points, and on ACR with five.
SCALES = {"VQ_EC": Scale(1, 7), "VQ_ACR": Scale(1, 5)}


def read_cgvds(
    root: Path,
    notes: Notes,
    score: str = "VQ_EC",
    videos: str = "",
    annotations: str | None = None,
    name_column: str | None = None,
    score_column: str | None = None,
) -> list[ScoredClip]:
    """Videos with one MOS; one split, all.

    score: VQ_EC (seven points, what VQAThinker evaluates) or VQ_ACR (five points). videos: their folder; the others:
    see `forms.named_file`.
    """
    if score not in SCALES:
        raise DatasetError(f"cgvds has no score {score!r}; known: {sorted(SCALES)}")
    forms = [[AnnotationFile("CGVDS_metadata.csv", partial(read_table, columns={"name": "File", "mos": score}))]]
    if score == "VQ_EC":
        forms.append([AnnotationFile("CGVDS_total_score.json", vqathinker_scores)])
    if annotations:
        forms = named_file(annotations, name_column, score_column)
    return read_scored("cgvds", SCALES[score], forms, partial(_place, videos), root, notes)


def _place(videos: str, name: str) -> tuple[str, list[str]]:
    name = stem(name)
    return name, candidates(name, dict.fromkeys([videos, "", "mp4", "Materials"]), [".mp4", ".yuv"])


def game(record: Record) -> str:
    """The game: "Bejeweled3" of "Bejeweled3_30s_1280x720_60_1000_h264_nvenc"."""
    return record.name.split("_30")[0]


CGVDS = Dataset(
    title="CGVDS",
    purpose="test of natural video scoring on cloud games",
    record=ScoredClip,
    reader=read_cgvds,
    scale=SCALES["VQ_EC"],
    counts={"all": 357},
    licence="not stated",
    source="GitHub stootaghaj/CGVDS",
    layout="<Game>_30s_<WxH>_<fps>_<kbps>_h264_nvenc.mp4; CGVDS_metadata.csv (GAMIVAL), or CGVDS_total_score.json "
    "(VQAThinker), or the authors' spreadsheet with -o annotations=FILE",
    tables=("VQAThinker: Table 1",),
    note="row counts in use: 357 (VQAThinker), 340 (GAMIVAL)",
    options={
        "score": "VQ_EC (the default, 1-7) or VQ_ACR (1-5)",
        "videos": "folder of the videos below the root (the root itself)",
        **NAMED_FILE,
    },
    group=game,
)
