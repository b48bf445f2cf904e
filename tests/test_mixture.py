"""Mixing records by weight: exact numbers, no repeats before a list is used up, the same for the same seed."""

from collections import Counter
from pathlib import Path

import pytest

from vqa_lib.records import Pair, Question
from vqa_lib.training.mixture import decided_pairs, mix_records


def pairs(count):
    return [Pair(f"p{n}", Path(f"{n}a.mp4"), Path(f"{n}b.mp4"), "video", "first", "own", "train") for n in range(count)]


def questions(count):
    return [Question(f"q{n}", Path(f"{n}.mp4"), "video", "Sharp?", (), "yes", "own", "train") for n in range(count)]


def kinds(mixed):
    return Counter(type(record).__name__ for record in mixed)


@pytest.mark.parametrize(
    ("first", "second", "count", "expected"),
    [
        (10, 100, None, {"Pair": 10, "Question": 5}),  # pairs run out
        (100, 5, None, {"Pair": 10, "Question": 5}),  # questions run out
        (10, 100, 30, {"Pair": 20, "Question": 10}),
        (10, 100, 4, {"Pair": 3, "Question": 1}),
        (10, 100, 1, {"Pair": 1}),
    ],
)
def test_numbers_follow_the_weights(first, second, count, expected):
    mixed = mix_records({"pairs": (pairs(first), 2), "questions": (questions(second), 1)}, count)
    assert kinds(mixed) == expected


def test_a_list_is_used_up_before_anything_comes_twice():
    mixed = mix_records({"pairs": (pairs(10), 1)}, 25)
    assert sorted(set(Counter(record.name for record in mixed).values())) == [2, 3]


def test_the_seed_decides_order_and_choice():
    parts = {"pairs": (pairs(20), 2), "questions": (questions(40), 1)}
    assert mix_records(parts, seed=1) == mix_records(parts, seed=1)
    assert mix_records(parts, seed=1) != mix_records(parts, seed=2)


@pytest.mark.parametrize(
    ("parts", "count", "message"),
    [
        ({}, None, "nothing to mix"),
        ({"pairs": ([], 1)}, None, "pairs: needs records"),
        ({"pairs": (pairs(2), 0)}, None, "pairs: needs records and a positive weight, got 2 and 0"),
        ({"pairs": (pairs(2), 1)}, 0, "count must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_mixed_is_refused(parts, count, message):
    with pytest.raises(ValueError, match=message):
        mix_records(parts, count)


def test_decided_pairs_come_in_their_order_then_swapped():
    said = ("first", "tie", "second", "both_bad", None)
    asked = [
        Pair(str(number), Path("a.mp4"), Path("b.mp4"), "video", preference, "own", "all")
        for number, preference in enumerate(said)
    ]
    assert [pair.name for pair in decided_pairs(asked)] == ["0", "2"]
    both = decided_pairs(asked, both_orders=True)
    assert [pair.name for pair in both] == ["0", "2", "0/swapped", "2/swapped"]
    assert [pair.preference for pair in both] == ["first", "second", "second", "first"]
    assert decided_pairs([]) == []
