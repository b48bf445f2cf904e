"""A split of our own for the sets that have no official one: seeded, and by groups that must stay together."""

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vqa_lib.records import Record


def split_by_group(
    records: Sequence[Record], group: Callable[[Record], str], shares: dict[str, float], seed: int
) -> list[Record]:
    """The records in their order, each with its new split; no group is in two splits.

    group: what must not be shared, such as the source scene or the prompt (`DATASETS[name].group`). shares: split ->
    share of the groups, together 1. The order of the records does not matter to the split. Source: ours.

    Raises:
        ValueError: the shares are not positive or do not add up to 1, or there are fewer groups than splits.

    Example:
        >>> split_by_group(clips, DATASETS["kadid"].group, {"train": 0.8, "test": 0.2}, seed=0)  # doctest: +SKIP
    """
    if any(not share > 0 for share in shares.values()) or not math.isclose(sum(shares.values()), 1):
        raise ValueError(f"shares must be positive and add up to 1, got {shares}")
    groups = sorted({group(record) for record in records})
    if len(groups) < len(shares):
        raise ValueError(f"{len(groups)} groups cannot be shared among the splits {list(shares)}")
    groups = [groups[number] for number in np.random.default_rng(seed).permutation(len(groups))]
    split_of, begin, reached = {}, 0, 0.0
    for number, (split, share) in enumerate(shares.items()):
        reached += share
        later = len(shares) - number - 1
        end = min(max(round(reached * len(groups)), begin + 1), len(groups) - later)  # nobody is left without a group
        split_of.update(dict.fromkeys(groups[begin:end], split))
        begin = end
    return [replace(record, split=split_of[group(record)]) for record in records]


def write_splits(path: str | Path, records: Sequence[Record]) -> None:
    """Record which clip is in which split: a CSV with the columns dataset, name, split."""
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["dataset", "name", "split"])
        writer.writerows([record.dataset, record.name, record.split] for record in records)
