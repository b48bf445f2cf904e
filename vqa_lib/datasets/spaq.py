"""SPAQ: 11,125 smartphone photographs, MOS and five attributes on 0-100, no official split (Fang et al. 2020)."""

from functools import partial
from pathlib import Path

from vqa_lib.datasets.annotations import (
    AnnotationFile,
    DatasetError,
    Folder,
    Notes,
    annotation_rows,
    collect,
    parse_mos,
    plain_name,
)
from vqa_lib.datasets.dataset import Dataset
from vqa_lib.datasets.tables import read_table
from vqa_lib.records import Scale, ScoredClip

SCALE = Scale(0, 100)
COLUMNS = {
    "overall": "MOS",
    "brightness": "Brightness",
    "colorfulness": "Colorfulness",
    "contrast": "Contrast",
    "noisiness": "Noisiness",
    "sharpness": "Sharpness",
}
_FILE = "MOS and Image attribute scores"
PLACES = [f"{folder}{_FILE}{ending}" for ending in (".xlsx", ".csv") for folder in ("Annotations/", "annotations/", "")]


def read_spaq(root: Path, notes: Notes, dimensions: str = "overall") -> list[ScoredClip]:
    """Photographs with the scores asked for, all higher is better; one split, all.

    dimensions: comma-separated, of overall, brightness, colorfulness, contrast, noisiness, sharpness.
    """
    wanted = [name.strip() for name in dimensions.split(",")]
    if unknown := [name for name in wanted if name not in COLUMNS]:
        raise DatasetError(f"spaq has no dimensions {unknown}; known: {list(COLUMNS)}")
    columns = {"name": "Image name", **{name: COLUMNS[name] for name in wanted}}
    folder = Folder(root)

    def photograph(row: dict) -> ScoredClip:
        name = plain_name(row["name"])
        return ScoredClip(
            name=name,
            path=folder.find(f"TestImage/{name}"),
            kind="image",
            scores={dimension: parse_mos(row[dimension], SCALE) for dimension in wanted},
            scale=SCALE,
            dataset="spaq",
            split="all",
        )

    forms = [[AnnotationFile(place, partial(read_table, columns=columns))] for place in PLACES]
    return collect(annotation_rows(root, forms, notes), photograph, notes)


SPAQ = Dataset(
    title="SPAQ",
    purpose="test of image scoring",
    record=ScoredClip,
    reader=read_spaq,
    scale=SCALE,
    counts={"all": 11125},
    licence="not stated",
    source="GitHub h4nwei/SPAQ",
    layout="TestImage/00001.jpg ...; Annotations/MOS and Image attribute scores.xlsx, or its export as .csv",
    tables=(),
    options={"dimensions": "comma-separated, of overall (the default) and the five attributes"},
)
