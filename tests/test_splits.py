"""Our own splits: seeded, recorded, and no group in two of them."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa_lib.datasets import split_by_group, write_splits
from vqa_lib.records import Scale, ScoredClip


def clip(name: str) -> ScoredClip:
    return ScoredClip(name, Path(f"{name}.mp4"), "video", {"overall": 3.0}, Scale(1, 5), "own", "all")


def scene(record: ScoredClip) -> str:
    return record.name.split("_")[0]


CLIPS = [clip(f"{number % 20:02d}_{number}") for number in range(100)]
SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}


def test_the_same_seed_gives_the_same_split_in_whatever_order():
    first = split_by_group(CLIPS, scene, SHARES, seed=3)
    assert [record.name for record in first] == [record.name for record in CLIPS]
    assert split_by_group(CLIPS, scene, SHARES, seed=3) == first
    assert split_by_group(CLIPS[::-1], scene, SHARES, seed=3) == first[::-1]
    assert split_by_group(CLIPS, scene, SHARES, seed=4) != first


def test_shares_are_of_the_groups():
    records = split_by_group(CLIPS, scene, SHARES, seed=0)
    groups = {split: len({scene(record) for record in records if record.split == split}) for split in SHARES}
    assert groups == {"train": 14, "validation": 2, "test": 4}


@given(st.lists(st.integers(0, 12), min_size=3, max_size=60), st.integers(0, 2**32), st.integers(1, 98))
def test_no_group_is_in_two_splits_and_no_split_is_empty(scenes, seed, percent):
    records = [clip(f"{number}_{position}") for position, number in enumerate(scenes)]
    shares = {"train": percent / 100, "test": 1 - percent / 100}
    if len(set(scenes)) < 2:
        with pytest.raises(ValueError, match="1 groups cannot be shared among"):
            split_by_group(records, scene, shares, seed)
        return
    made = split_by_group(records, scene, shares, seed)
    sides = {split: {scene(record) for record in made if record.split == split} for split in shares}
    assert all(sides.values())
    assert not sides["train"] & sides["test"]
    assert len(made) == len(records)


@pytest.mark.parametrize("shares", [{"train": 0.8, "test": 0.1}, {"train": 1.0, "test": 0.0}, {"train": float("nan")}])
def test_shares_that_do_not_add_up(shares):
    with pytest.raises(ValueError, match="shares must be positive and add up to 1"):
        split_by_group(CLIPS, scene, shares, seed=0)


def test_a_split_is_recorded(tmp_path):
    records = split_by_group([clip("a,1"), clip("b_1")], scene, {"train": 0.5, "test": 0.5}, seed=0)
    write_splits(tmp_path / "splits.csv", records)
    with (tmp_path / "splits.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [{"dataset": "own", "name": record.name, "split": record.split} for record in records]
