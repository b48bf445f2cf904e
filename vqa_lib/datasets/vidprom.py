"""VidProM: 1.67 million prompts that people gave to a video generator (Wang and Yang 2024)."""

from functools import partial
from pathlib import Path

from vqa_lib.datasets.annotations import AnnotationFile, Notes, annotation_rows, collect
from vqa_lib.datasets.dataset import Dataset
from vqa_lib.datasets.downloads import plain_text
from vqa_lib.datasets.tables import read_table
from vqa_lib.records import Prompt

_PROMPTS = partial(read_table, columns={"uuid": "uuid", "text": "prompt"})
FORMS = [
    [AnnotationFile("VidProM_unique.csv", _PROMPTS)],
    [AnnotationFile("VidProM_semantic_unique.csv", _PROMPTS)],
]


def read_vidprom(root: Path, notes: Notes) -> list[Prompt]:
    """Prompts named by their uuid; one split, all."""

    def prompt(row: dict) -> Prompt:
        return Prompt(plain_text(row["uuid"], "uuid"), plain_text(row["text"], "prompt"), "vidprom", "all")

    return collect(annotation_rows(root, FORMS, notes), prompt, notes)


VIDPROM = Dataset(
    title="VidProM",
    purpose="prompts for training a generator",
    record=Prompt,
    reader=read_vidprom,
    scale=None,
    counts={"all": None},
    licence="CC-BY-NC-4.0",
    source="Hugging Face WenhaoWang/VidProM",
    layout="VidProM_unique.csv, or VidProM_semantic_unique.csv",
    tables=("VQ-Insight: stage 3",),
    note="about 1.67 million prompts in VidProM_unique.csv: reading takes minutes and some gigabytes of memory",
)
