"""LGVQ: 2,808 generated clips, 468 prompts by 6 models; spatial, temporal, alignment on 0-100 (Zhang et al. 2024)."""

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
    stem,
)
from vqa_lib.datasets.dataset import Dataset, by_prompt
from vqa_lib.datasets.tables import read_headless, read_lines
from vqa_lib.records import Scale, ScoredClip

SCALE = Scale(0, 100)
DIMENSIONS = ("spatial", "temporal", "alignment")  # VQ-Insight calls alignment "consistency" in its answers


def _line(line: str) -> dict | None:
    """The prompt is part of the name and may have semicolons: only the last three separate the scores."""
    parts = line.rsplit(";", 3)
    return dict(zip(("name", *DIMENSIONS), map(str.strip, parts), strict=True)) if len(parts) == 4 else None


def _table(path: Path, notes: Notes):
    """The columns count by their position; what the header calls them is not known."""
    rows = read_headless(path, notes, ("model", "prompt", *DIMENSIONS))
    next(rows, None)
    for where, row in rows:
        yield where, {**row, "name": f"{row['model']}/{row['prompt']}.mp4"}


_LIST = partial(read_lines, parse=_line, expected="model/prompt.mp4;spatial;temporal;alignment")
FORMS = [
    [AnnotationFile("MOS.txt", _LIST)],
    [AnnotationFile("LGVQ/MOS.txt", _LIST)],
]


def read_lgvq(root: Path, notes: Notes, annotations: str | None = None) -> list[ScoredClip]:
    """Clips with three scores and the prompt; one split, all. annotations: see the catalogue."""
    forms = FORMS
    if annotations is None and not any((root / form[0].name).exists() for form in FORMS):
        tables = sorted(path.name for path in root.glob("*.csv"))
        if len(tables) > 1:
            raise DatasetError(f"{root}: which of {tables} has the scores? Name it with the option annotations")
        annotations = tables[0] if tables else None
    if annotations is not None:
        forms = [[AnnotationFile(plain_name(annotations), _table)]]
    folder = Folder(root)

    def clip(row: dict) -> ScoredClip:
        name = plain_name(row["name"]).removeprefix("videos/")
        if not name.lower().endswith(".mp4"):
            raise DatasetError(f"the name {name!r} does not end in .mp4")
        name = stem(name)
        _, _, prompt = name.partition("/")
        if not prompt:
            raise DatasetError(f"the name {name!r} is not model/prompt.mp4")
        return ScoredClip(
            name=name,
            path=folder.find(f"videos/{name}.mp4", f"LGVQ/videos/{name}.mp4"),
            kind="video",
            # as in the other sets of these authors, a few scores may leave the scale
            scores={dimension: parse_mos(row[dimension], SCALE, beyond=True) for dimension in DIMENSIONS},
            scale=SCALE,
            dataset="lgvq",
            split="all",
            prompt=prompt,
        )

    return collect(annotation_rows(root, forms, notes), clip, notes)


LGVQ = Dataset(
    title="LGVQ",
    purpose="training and test of multi-dimension scoring of generated video",
    record=ScoredClip,
    reader=read_lgvq,
    scale=SCALE,
    counts={"all": 2808},
    licence="not stated",
    source="GitHub zczhang-sjtu/UGVQ: links to the videos and scores",
    layout="videos/<model>/<prompt>.mp4; MOS.txt (name;spatial;temporal;alignment without a header), or a CSV of the "
    "columns model, prompt, spatial, temporal, alignment; all of it may lie in LGVQ/",
    tables=("VQ-Insight: stage 2", "VQ-Insight: Table 2"),
    note="UGVQ's authors split 7:1:2 by prompt; the split of VQ-Insight is not published: use split_by_group",
    options={"annotations": "the CSV with the scores below the root; needed where the root has several and no MOS.txt"},
    group=by_prompt,
)
