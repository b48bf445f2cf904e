"""Stage 3's choices: who wins, who loses, and how much the order of two clips decides; truth tables."""

from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa_lib.generation.united import (
    Count,
    OrderBias,
    count_preferences,
    order_bias,
    second_preference_set,
    win_lose_pair,
)
from vqa_lib.records import Pair

A, B, C, D = (Path(name) for name in "abcd")


def by_worth(worth: dict[Path, float]) -> dict:
    """The verdicts on all twos of a judge without a favourite place."""
    verdicts = {}
    for first, second in permutations(worth, 2):
        ahead = worth[first] - worth[second]
        verdicts[first, second] = [None if ahead == 0 else "first" if ahead > 0 else "second"]
    return verdicts


@pytest.mark.parametrize("candidates", [[], [A], [A, B, A]])
def test_too_few_or_repeated_candidates_are_refused(candidates):
    with pytest.raises(ValueError, match="at least two candidates, each once"):
        count_preferences(candidates, {})


def test_preferences_are_counted_and_nothing_is_guessed():
    verdicts = {
        (A, B): ["first"],
        (B, A): ["second"],
        (A, C): ["second"],
        (C, A): [None],
        (B, C): [None],
        (C, B): ["first"],
    }
    assert count_preferences([A, B, C], verdicts) == {A: Count(2, 1, 1), B: Count(0, 3, 1), C: Count(2, 0, 2)}


def test_all_verdicts_of_a_comparison_count():
    verdicts = {(A, B): ["first", "first", "second"], (B, A): ["second", None]}
    assert count_preferences([A, B], verdicts) == {A: Count(3, 1, 1), B: Count(1, 3, 1)}
    # Two twos: in the first the orders agree on a; the other's second order is not readable.
    assert order_bias(verdicts) == OrderBias(0.0, 0.5, 1, 4, 1)


@pytest.mark.parametrize(
    ("verdicts", "message"),
    [
        ({(A, B): ["first"]}, "no verdict on b against a"),
        ({(A, B): ["first"], (B, A): []}, "no verdict on b against a"),
        ({(A, B): ["first"], (B, A): ["first", "tie"]}, "on b against a must be 'first', 'second' or None, got 'tie'"),
    ],
)
def test_missing_and_unknown_verdicts_are_refused(verdicts, message):
    with pytest.raises(ValueError, match=message):
        count_preferences([A, B], verdicts)


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ({}, OrderBias(None, None, 0, 0, 0)),
        ({(A, B): [None], (B, A): [None]}, OrderBias(None, None, 0, 0, 2)),
        ({(A, B): ["first"], (B, A): ["second"]}, OrderBias(0.0, 0.5, 1, 2, 0)),
        ({(A, B): ["first"], (B, A): ["first"]}, OrderBias(1.0, 1.0, 1, 2, 0)),
        ({(A, B): ["second"], (B, A): ["second"]}, OrderBias(1.0, 0.0, 1, 2, 0)),
        ({(A, B): ["first"], (B, A): [None]}, OrderBias(None, 1.0, 0, 1, 1)),
        (
            {(A, B): ["first"], (B, A): ["first"], (A, C): ["second"], (C, A): ["first"]},
            OrderBias(0.5, 0.75, 2, 4, 0),
        ),
    ],
)
def test_order_bias(verdicts, expected):
    assert order_bias(verdicts) == expected


@pytest.mark.parametrize(
    ("worth", "winner", "loser"),
    [
        ({A: 1, B: 2, C: 3}, C, A),
        ({A: 3, B: 2, C: 1}, A, C),
        ({A: 2, B: 2, C: 1}, A, C),  # two equally good: the earlier wins
        ({A: 2, B: 1, C: 1}, A, C),  # two equally bad: the later loses
    ],
)
def test_most_against_least_preferred(worth, winner, loser):
    pair = win_lose_pair("7", "a red circle", [A, B, C], by_worth(worth))
    assert (pair.first, pair.second, pair.preference) == (winner, loser, "first")
    assert (pair.name, pair.prompt, pair.kind, pair.dataset, pair.split) == (
        "7",
        "a red circle",
        "video",
        "united",
        "train",
    )


def test_of_equally_preferred_the_less_rejected_stands_higher():
    # Both a and b are preferred twice; a is rejected twice, b once (one of its verdicts was not readable).
    verdicts = {two: ["first"] for two in permutations([A, B, C], 2)} | {(C, B): [None]}
    counts = count_preferences([A, B, C], verdicts)
    assert (counts[A], counts[B]) == (Count(2, 2, 0), Count(2, 1, 1))
    assert win_lose_pair("1", "p", [A, B, C], verdicts).first == B


@pytest.mark.parametrize("verdict", ["first", "second", None])
def test_a_judge_that_only_sees_the_place_gives_no_pair(verdict):
    verdicts = {key: [verdict] for key in permutations([A, B, C], 2)}
    assert win_lose_pair("1", "p", [A, B, C], verdicts) is None


@given(st.permutations([1, 2, 3, 4]))
def test_the_order_of_candidates_does_not_matter_where_worth_differs(worths):
    worth = dict(zip([A, B, C, D], worths, strict=True))
    pairs = {win_lose_pair("1", "p", list(order), by_worth(worth)) for order in permutations(worth)}
    (pair,) = pairs
    assert worth[pair.first] == 4
    assert worth[pair.second] == 1


def test_second_set_pairs_the_best_new_sample_with_the_old_loser_and_alternates_places():
    old = [
        Pair("1", A, B, "video", "first", "united", "train", "one"),
        Pair("2", C, D, "video", "second", "united", "train", "two"),
        Pair("3", A, C, "video", "first", "united", "train", "three"),
    ]
    new = [[Path(f"{number}-{sample}") for sample in range(3)] for number in range(3)]
    worth = [dict(zip(candidates, (0, 2, 1), strict=True)) for candidates in new]
    tables = [by_worth(known) for known in worth]
    pairs = second_preference_set(old, new, tables)
    assert [(pair.first, pair.second, pair.preference) for pair in pairs] == [
        (Path("0-1"), B, "first"),
        (C, Path("1-1"), "second"),
        (Path("2-1"), C, "first"),
    ]
    assert [(pair.name, pair.prompt) for pair in pairs] == [("1", "one"), ("2", "two"), ("3", "three")]
    undecided = {key: [None] for key in tables[0]}
    assert [pair.name for pair in second_preference_set(old, new, [undecided, *tables[1:]])] == ["2", "3"]


def test_second_set_refuses_what_does_not_go_together():
    old = Pair("1", A, B, "video", "tie", "united", "train", "one")
    with pytest.raises(ValueError, match="got 1 pairs, 0 lists of candidates and 0 of verdicts"):
        second_preference_set([old], [], [])
    with pytest.raises(ValueError, match="united/1: an old pair must have a winner, got 'tie'"):
        second_preference_set([old], [[C, D]], [by_worth({C: 1, D: 2})])
