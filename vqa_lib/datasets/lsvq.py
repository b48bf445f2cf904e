"""LSVQ: 38,811 web videos, MOS on 0-100 (Ying et al. 2021)."""

from functools import partial
from pathlib import Path

from vqa_lib.datasets.annotations import AnnotationFile, Notes, read_scored, stem
from vqa_lib.datasets.dataset import Dataset
from vqa_lib.datasets.forms import score_list, vqathinker_scores
from vqa_lib.datasets.tables import read_table
from vqa_lib.records import Scale, ScoredClip

SCALE = Scale(0, 100)
_SPLIT = {"True": "test", "False": "train"}
_MOS = partial(read_table, columns={"name": "name", "mos": "mos"})


def _train_and_test(path: Path, notes: Notes):
    for where, row in read_table(path, notes, {"name": "name", "mos": "mos", "is_test": "is_test"}):
        if row["is_test"] in _SPLIT:
            yield where, {**row, "split": _SPLIT[row["is_test"]]}
        else:
            notes.refuse(f"{where}: is_test must be True or False, found {row['is_test']!r}")


FORMS = [
    [
        AnnotationFile("labels_train_test.csv", _train_and_test),
        AnnotationFile("labels_test_1080p.csv", _MOS, "test_1080p"),
    ],
    [
        AnnotationFile("LSVQ_whole_train.csv", _MOS, "train"),
        AnnotationFile("LSVQ_whole_test.csv", _MOS, "test"),
        AnnotationFile("LSVQ_whole_test_1080p.csv", _MOS, "test_1080p"),
    ],
    [
        AnnotationFile("train_labels.txt", score_list, "train"),
        AnnotationFile("labels_test.txt", score_list, "test"),
        AnnotationFile("labels_1080p.txt", score_list, "test_1080p"),
    ],
    [
        AnnotationFile("LSVQ_whole_test_ds_score.json", vqathinker_scores, "test"),
        AnnotationFile("LSVQ_whole_test_1080p_ds_score.json", vqathinker_scores, "test_1080p"),
    ],
]


def read_lsvq(root: Path, notes: Notes) -> list[ScoredClip]:
    """Videos with one MOS; splits train, test, test_1080p."""
    return read_scored("lsvq", SCALE, FORMS, _place, root, notes)


def _place(name: str) -> tuple[str, list[str]]:
    name = stem(name)
    return name, [f"{name}.mp4"]


LSVQ = Dataset(
    title="LSVQ",
    purpose="training and test of natural video scoring",
    record=ScoredClip,
    reader=read_lsvq,
    scale=SCALE,
    counts={"train": 28056, "test": 7182, "test_1080p": 3573},
    licence="LIVE notice: any purpose, with attribution",
    source="GitHub baidut/PatchVQ: form for the videos; label files among its release v0.1",
    layout="yfcc-batch1..24/*.mp4, ia-batch1..24/*.mp4; labels_train_test.csv and labels_test_1080p.csv, or "
    "LSVQ_whole_{train,test,test_1080p}.csv (SimpleVQA), or train_labels.txt, labels_test.txt, labels_1080p.txt "
    "(DOVER), or LSVQ_whole_test{,_1080p}_ds_score.json (VQAThinker, no training set)",
    tables=("VQ-Insight: stage 2", "VQ-Insight: Table 3", "VQAThinker: training", "VQAThinker: Table 1"),
    note="re-exports differ: SimpleVQA 28,013 / 7,220 / 3,561, another partition; DOVER's test list 7,186",
)
