"""KonIQ-10k: 10,073 photographs, MOS on 0-100, official sets (Hosu et al. 2020)."""

from functools import partial
from pathlib import Path

from vqa_lib.datasets.annotations import AnnotationFile, Notes, read_scored
from vqa_lib.datasets.dataset import Dataset
from vqa_lib.datasets.forms import score_list
from vqa_lib.datasets.tables import read_table
from vqa_lib.records import Scale, ScoredClip

SCALE = Scale(0, 100)
SPLITS = ("training", "validation", "test")


def _with_sets(path: Path, notes: Notes):
    columns = {"name": "image_name", "mos": "MOS", "sd": "SD", "split": "set"}
    for where, row in read_table(path, notes, columns):
        if row["split"] in SPLITS:
            yield where, row
        else:
            notes.refuse(f"{where}: set must be one of {SPLITS}, found {row['split']!r}")


# The file with the sets has the MOS on 0-100; that with the scores calls it MOS_zscore and has no sets.
_SCORES = partial(read_table, columns={"name": "image_name", "mos": "MOS_zscore"})
FORMS = [
    [AnnotationFile("koniq10k_distributions_sets.csv", _with_sets)],
    [AnnotationFile(f"{split}_labels.txt", score_list, split) for split in SPLITS],
    [AnnotationFile("koniq10k_scores_and_distributions.csv", _SCORES)],
    [AnnotationFile("koniq10k_scores_and_distributions/koniq10k_scores_and_distributions.csv", _SCORES)],
]


def read_koniq(root: Path, notes: Notes) -> list[ScoredClip]:
    """Photographs with MOS and, from the official file, SD; splits training, validation, test (else all)."""
    return read_scored("koniq", SCALE, FORMS, _place, root, notes, kind="image")


def _place(name: str) -> tuple[str, list[str]]:
    name = name.removeprefix("1024x768/")
    return name, [f"1024x768/{name}"]


KONIQ = Dataset(
    title="KonIQ-10k",
    purpose="image warm-up before training on video",
    record=ScoredClip,
    reader=read_koniq,
    scale=SCALE,
    counts={"training": 7058, "validation": 1000, "test": 2015},
    licence="images under Creative Commons, each its own; database for research",
    source="database.mmsp-kn.de, KonIQ-10k; koniq10k_distributions_sets.csv: GitHub subpic/koniq, metadata",
    layout="1024x768/*.jpg; koniq10k_distributions_sets.csv, or DOVER's {training,validation,test}_labels.txt, "
    "or koniq10k_scores_and_distributions.csv (no sets)",
    tables=("VQ-Insight: stage 1",),
)
