"""Readers of the published data sets: a folder in, records out. A miniature is read like the real thing."""

from vqa_lib.datasets.annotations import DatasetError
from vqa_lib.datasets.catalogue import DATASETS
from vqa_lib.datasets.loading import load_clips, load_pairs, load_prompts, load_questions
from vqa_lib.datasets.splits import split_by_group, write_splits

__all__ = [
    "DATASETS",
    "DatasetError",
    "load_clips",
    "load_pairs",
    "load_prompts",
    "load_questions",
    "split_by_group",
    "write_splits",
]
