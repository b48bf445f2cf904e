"""LSVQ: 38,811 web videos, MOS on 0-100 (Ying et al. 2021)."""

from pathlib import Path

import pandas as pd

from vqa_lib.datasets.annotations import DatasetError, inside, parse_mos, read_table, row_name, unique
from vqa_lib.records import Scale, ScoredClip

SCALE = Scale(0, 100)


def read_lsvq(root: Path) -> list[ScoredClip]:
    """`labels_train_test.csv`, `labels_test_1080p.csv` and `<name>.mp4`; splits train, test, test_1080p."""
    path = root / "labels_train_test.csv"
    table = read_table(path, ["name", "mos", "is_test"])
    if wrong := sorted(set(table["is_test"].dropna()) - {"True", "False"}):
        raise DatasetError(f"{path}: is_test must be True or False, found {wrong}")
    clips = _clips(root, path, table, ["test" if is_test == "True" else "train" for is_test in table["is_test"]])
    path = root / "labels_test_1080p.csv"
    table = read_table(path, ["name", "mos"])
    return clips + _clips(root, path, table, ["test_1080p"] * len(table))


def _clips(root: Path, path: Path, table: pd.DataFrame, splits: list[str]) -> list[ScoredClip]:
    unique(table["name"].tolist(), path)
    clips = []
    for row, (name, mos, split) in enumerate(zip(table["name"], table["mos"], splits, strict=True)):
        where = row_name(path, row)
        clips.append(
            ScoredClip(
                name=name,
                path=inside(root, f"{name}.mp4", where),
                kind="video",
                scores={"overall": parse_mos(mos, SCALE, where)},
                scale=SCALE,
                dataset="lsvq",
                split=split,
            )
        )
    return clips
