"""Preferences: tau with calibrated ties against brute force, diff, accuracy, and what must not change them."""

import math
import time

import numpy as np
import pandas as pd
import pytest

from vqa_lib.metrics import (
    PAIR_METRICS,
    accuracy,
    diff,
    intervals,
    pair_metrics,
    paired_bootstrap_pairs,
    tau,
    tau_curve,
)

NAMES = np.array(["tie", "A", "B"])


def pairs(seed: int, n: int = 60, levels: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Margins of a few values, so nearly every |margin| is shared, and labels that follow them loosely."""
    random = np.random.default_rng(seed)
    margin = random.integers(-levels, levels + 1, n) / 2
    label = np.sign(np.round(margin + random.normal(0, 1.5, n))).astype(int)
    return margin, NAMES[label]


def brute_accuracy(margin, label, threshold) -> float:
    said = ["tie" if abs(m) <= threshold else "A" if m > 0 else "B" for m in margin]
    return sum(one == other for one, other in zip(said, label, strict=True)) / len(label)


def brute_tau(margin, label) -> tuple[float, float]:
    """The greatest accuracy over every threshold there can be, and the least threshold that has it."""
    found = [(brute_accuracy(margin, label, threshold), threshold) for threshold in [0.0, *np.abs(margin)]]
    best = max(value for value, _ in found)
    return best, min(threshold for value, threshold in found if value == best)


@pytest.mark.parametrize("seed", range(20))
def test_against_brute_force_with_many_ties(seed):
    margin, label = pairs(seed, n=3 + 5 * seed)
    found = pair_metrics(margin, label, resamples=5)
    best, threshold = brute_tau(margin, label)
    assert found["tau"].value == pytest.approx(best, abs=1e-12)
    assert found["tau_threshold"].value == threshold
    assert found["tie_share"].value == pytest.approx(np.mean(label == "tie"), abs=1e-12)
    assert found["model_tie_share"].value == pytest.approx(np.mean(np.abs(margin) <= threshold), abs=1e-12)
    decided = label != "tie"
    right = np.where(margin > 0, "A", np.where(margin < 0, "B", "tie"))[decided] == label[decided]
    assert found["diff"].value == pytest.approx(right.mean(), abs=1e-12)
    assert {found[name].n for name in PAIR_METRICS} == {len(label)}
    assert (tau(margin, label, resamples=5), diff(margin, label, resamples=5)) == (found["tau"], found["diff"])


@pytest.mark.parametrize("seed", range(5))
def test_curve_against_brute_force(seed):
    margin, label = pairs(seed)
    thresholds, accuracies = tau_curve(margin, label)
    assert thresholds.tolist() == sorted({0.0, *np.abs(margin).tolist()})
    expected = [brute_accuracy(margin, label, threshold) for threshold in thresholds]
    assert accuracies == pytest.approx(expected, abs=1e-12)
    assert accuracies[-1] == pytest.approx(np.mean(label == "tie"), abs=1e-12)  # everything a tie


@pytest.mark.parametrize(
    ("margin", "label", "expected", "threshold", "decided"),
    [
        ([1.0], ["A"], 1.0, 0.0, 1.0),
        ([-1.0], ["A"], 0.0, 0.0, 0.0),
        ([1.0], ["tie"], 1.0, 1.0, None),  # everything a tie is a candidate
        ([0.0], ["tie"], 1.0, 0.0, None),  # nothing but equal scores is one, too
        ([0.0], ["A"], 0.0, 0.0, 0.0),  # a model tie is wrong
        ([2.0, -2.0], ["A", "tie"], 0.5, 0.0, 1.0),  # equal |margins| turn into ties together
        ([2.0, -1.0], ["A", "tie"], 1.0, 1.0, 1.0),
        ([3.0, 1.0, 1.0, -1.0], ["A", "tie", "tie", "B"], 0.75, 1.0, 1.0),
    ],
)
def test_by_hand(margin, label, expected, threshold, decided):
    found = pair_metrics(margin, label, resamples=5)
    assert (found["tau"].value, found["tau_threshold"].value) == (expected, threshold)
    if decided is None:
        assert math.isnan(found["diff"].value)
        assert found["diff"].reason == "people called every pair a tie"
    else:
        assert found["diff"].value == decided


def test_interval_is_that_of_a_loop_over_the_same_rows(monkeypatch):
    margin, label = pairs(1, n=25)
    monkeypatch.setattr(intervals, "BLOCK", 25 * 7)  # several blocks, the last one short
    rows = np.concatenate(list(intervals.resampled_rows(25, 50, seed=3)))
    loop = [pair_metrics(margin[row], label[row], resamples=0) for row in rows]
    found = pair_metrics(margin, label, seed=3, resamples=50)
    for name in PAIR_METRICS:
        expected = np.percentile([one[name].value for one in loop], [2.5, 97.5])
        assert (found[name].low, found[name].high) == pytest.approx(tuple(expected), abs=1e-12)


def test_order_of_pairs_does_not_matter():
    margin, label = pairs(2)
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(len(margin))
        moved = pair_metrics(margin[order], label[order], resamples=1)
        plain = pair_metrics(margin, label, resamples=1)
        assert [moved[name].value for name in PAIR_METRICS] == [plain[name].value for name in PAIR_METRICS]


def test_swapping_a_and_b_changes_nothing():
    margin, label = pairs(3)
    swapped = np.where(label == "A", "B", np.where(label == "B", "A", label))
    assert pair_metrics(-margin, swapped, resamples=50) == pair_metrics(margin, label, resamples=50)


def test_scale_of_margins_moves_the_threshold_only():
    margin, label = pairs(4)
    plain, large = pair_metrics(margin, label, resamples=50), pair_metrics(8 * margin, label, resamples=50)
    assert large["tau_threshold"].value == 8 * plain["tau_threshold"].value
    for name in ("tau", "diff", "tie_share", "model_tie_share"):
        assert large[name] == plain[name]


def test_tau_is_never_under_the_share_of_ties():
    for seed in range(10):
        margin, label = pairs(seed)
        found = pair_metrics(-margin, label, resamples=50)  # a judge who is always wrong
        assert found["tau"].value >= found["tie_share"].value


def test_unread_answers_are_left_out():
    margin, label = pairs(5)
    gaps = [None, *margin[:20], float("nan"), *margin[20:]]
    labels = ["A", *label[:20], "tie", *label[20:]]
    assert pair_metrics(gaps, labels, resamples=20) == pair_metrics(margin, label, resamples=20)
    assert pair_metrics(pd.Series(gaps, dtype=float), pd.Series(labels), resamples=20)["tau"].n == 60


def test_undefined_and_bad():
    assert pair_metrics([], [])["tau"].reason == "needs at least 1 pair, got 0"
    assert math.isnan(pair_metrics([None], ["A"])["tau_threshold"].value)
    with pytest.raises(ValueError, match="1 margins and 2 labels"):
        pair_metrics([1.0], ["A", "B"])
    with pytest.raises(ValueError, match=r"not \['C', 'a'\]"):
        pair_metrics([1.0, 2.0, 3.0], ["A", "a", "C"])


def test_a_million_pairs_take_seconds():
    random = np.random.default_rng(0)
    margin = random.normal(size=10**6)
    label = NAMES[np.where(random.random(10**6) < 0.2, 0, np.sign(margin + random.normal(size=10**6)).astype(int))]
    start = time.process_time()
    found = pair_metrics(margin, label, resamples=2)
    assert time.process_time() - start < 20  # about 1 s; comparing every pair with every threshold would be hours
    assert 0.5 < found["tau"].value < 0.8


class TestAccuracy:
    def test_value_interval_and_rows(self):
        found = accuracy(["Yes"] * 100, ["Yes", "No"] * 50, resamples=500)
        assert (found.value, found.n) == (0.5, 100)
        assert 0.35 < found.low < 0.45 < 0.55 < found.high < 0.65
        assert accuracy([None, "No"], ["Yes", "No"], resamples=5).n == 1
        assert accuracy([None], ["Yes"]).reason == "no answer was read"
        with pytest.raises(ValueError, match="differ in number"):
            accuracy(["Yes"], [])


class TestPairedBootstrap:
    def judges(self):
        random = np.random.default_rng(0)
        true = random.normal(size=300)
        label = NAMES[np.where(np.abs(true) < 0.3, 0, np.sign(true).astype(int))]
        return true + random.normal(0, 0.2, 300), true + random.normal(0, 2, 300), label

    @pytest.mark.parametrize("metric", ["tau", "diff"])
    def test_a_beats_b(self, metric):
        a, b, label = self.judges()
        result = paired_bootstrap_pairs(a, b, label, metric, resamples=200)
        one, other = (pair_metrics(judge, label, resamples=1)[metric].value for judge in (a, b))
        assert result.difference == pytest.approx(one - other, abs=1e-12)
        assert 0 < result.low < result.difference < result.high
        assert result.p == pytest.approx(2 / 201)
        reverse = paired_bootstrap_pairs(b, a, label, metric, resamples=200)
        assert reverse == pytest.approx((-result.difference, -result.high, -result.low, result.p), abs=1e-12)

    def test_only_pairs_that_both_answered(self):
        a, b, label = self.judges()
        expected = paired_bootstrap_pairs(a[2:], b[2:], label[2:], resamples=20)
        assert paired_bootstrap_pairs([None, *a[1:]], [b[0], None, *b[2:]], label, resamples=20) == expected
        assert np.isnan(paired_bootstrap_pairs([1.0], [2.0], ["tie"], "diff")).all()
        assert np.isnan(paired_bootstrap_pairs([], [], [])).all()
        with pytest.raises(ValueError, match="'tau' or 'diff'"):
            paired_bootstrap_pairs(a, b, label, "srcc")
        with pytest.raises(ValueError, match="differ in shape"):
            paired_bootstrap_pairs(a, b[1:], label)
