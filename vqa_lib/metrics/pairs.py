"""How well margins between two videos follow what people preferred: tau with calibrated ties, diff, accuracy.

A margin is the score of A minus the score of B, on any scale; a label is what people said: "A", "B" or "tie". A margin
that is None or NaN is an answer that could not be read: its pair is left out, and `Metric.n` counts the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vqa_lib.metrics.intervals import (
    Difference,
    Metric,
    compared,
    floats,
    interval,
    resampled_rows,
    undefined,
)

LABELS = {"A": 1, "B": -1, "tie": 0}
PAIR_METRICS = ("tau", "tau_threshold", "diff", "tie_share", "model_tie_share")


def pair_metrics(margins, labels: Sequence[str], seed: int = 0, resamples: int = 1000) -> dict[str, Metric]:
    """Agreement of margins with preferences, each figure with its 95 % bootstrap interval over pairs.

    tau              share of pairs judged as people did, a margin up to the threshold being a tie. The threshold is the
                     one that makes tau greatest, so tau is never under tie_share
    tau_threshold    that threshold, in units of the margins; the least, where several do
    diff             share judged as people did, of the pairs that people did not call a tie; a margin of 0 is wrong
    tie_share        share of pairs that people called a tie
    model_tie_share  share of pairs that are ties by the threshold

    **Source**: Deutsch, Foster and Freitag 2023, "Ties Matter" (tau is an accuracy, not Kendall's); VQ-Insight, Table
    1. Calibrated on the pairs it is measured on, as there. Ours: exact and independent of the order of the pairs, since
    pairs of one |margin| turn into ties together, and none and all of them are among the candidates. Each resample is
    calibrated anew. O(n log n).

    tau = max over e >= 0 of #[|m| > e and sign m = label] + #[|m| <= e and label = tie], over n

    Returns: PAIR_METRICS, all in [0, 1] but the threshold; undefined without pairs, diff also where all are ties.

    Raises:
        ValueError: lengths differ, or a label is not "A", "B" or "tie".

    Example:
        >>> found = pair_metrics([3.0, -0.5, 0.2, 2.0], ["A", "tie", "tie", "B"])
        >>> [found[name].value for name in ("tau", "tau_threshold", "diff", "tie_share")]
        [0.75, 0.5, 0.5, 0.5]
    """
    margin, label = _checked(margins, labels)
    n = len(margin)
    if n == 0:
        return dict.fromkeys(PAIR_METRICS, undefined(0, "needs at least 1 pair, got 0"))
    pairs = _sorted(margin, label)
    values = _measured(pairs, np.ones((1, n), dtype=np.int64))
    samples = _resample(pairs, seed, resamples)
    metrics = {name: Metric(float(values[name][0]), *interval(samples[name]), n) for name in PAIR_METRICS}
    if not label.any():
        metrics["diff"] = undefined(n, "people called every pair a tie")
    return metrics


def tau(margins, labels: Sequence[str], seed: int = 0, resamples: int = 1000) -> Metric:
    """The `tau` of `pair_metrics`.

    Example:
        >>> tau([1.0, -1.0, 0.1], ["A", "B", "tie"]).value
        1.0
    """
    return pair_metrics(margins, labels, seed, resamples)["tau"]


def diff(margins, labels: Sequence[str], seed: int = 0, resamples: int = 1000) -> Metric:
    """The `diff` of `pair_metrics`.

    Example:
        >>> diff([1.0, 0.0, 0.1], ["A", "B", "tie"]).value
        0.5
    """
    return pair_metrics(margins, labels, seed, resamples)["diff"]


def tau_curve(margins, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The accuracy that tau is the maximum of, at every threshold where it changes: (thresholds, accuracies).

    Example:
        >>> thresholds, accuracies = tau_curve([2.0, -1.0], ["A", "tie"])
        >>> thresholds.tolist(), accuracies.tolist()
        ([0.0, 1.0, 2.0], [0.5, 1.0, 0.5])
    """
    pairs = _sorted(*_checked(margins, labels))
    ones = np.ones((1, len(pairs.order)), dtype=np.int64)
    return pairs.thresholds, _right_at_thresholds(pairs, ones)[0] / len(pairs.order)


def accuracy(answers: Sequence, truth: Sequence, seed: int = 0, resamples: int = 1000) -> Metric:
    """Share of answers that are right, in [0, 1]. An answer that is None was not read: its row is left out.

    **Source**: FingER, Tables 1 and 2 (Acc); VQAThinker, Tables 2 and 3.

    Raises:
        ValueError: lengths differ.

    Example:
        >>> accuracy(["Yes", None, "No", "No"], ["Yes", "Yes", "Yes", "No"]).value
        0.6666666666666666
    """
    if len(answers) != len(truth):
        raise ValueError(f"{len(answers)} answers and {len(truth)} truths differ in number")
    right = np.array(
        [answer == true for answer, true in zip(answers, truth, strict=True) if answer is not None], dtype=np.float64
    )
    if len(right) == 0:
        return undefined(0, "no answer was read")
    blocks = [right[rows].mean(1) for rows in resampled_rows(len(right), resamples, seed)]
    samples = np.concatenate([np.empty(0), *blocks])
    return Metric(float(right.mean()), *interval(samples), len(right))


def paired_bootstrap_pairs(
    margins_a, margins_b, labels: Sequence[str], metric="tau", seed: int = 0, resamples: int = 1000
) -> Difference:
    """Does judge A follow the preferences better than judge B? Both on the same pairs; positive means A is better.

    **Source**: ours; as `paired_bootstrap`. metric: "tau" or "diff". Only the pairs that both answered count. All NaN
    where the metric is undefined.

    Raises:
        ValueError: an unknown metric; lengths differ; a label that is none.

    Example:
        >>> paired_bootstrap_pairs([1.0, -1.0], [2.0, -3.0], ["A", "B"])
        Difference(difference=0.0, low=0.0, high=0.0, p=1.0)
    """
    if metric not in ("tau", "diff"):
        raise ValueError(f"metric must be 'tau' or 'diff', got {metric!r}")
    a, b = floats(margins_a), floats(margins_b)
    if a.shape != b.shape:
        raise ValueError(f"margins {a.shape} and {b.shape} differ in shape")
    both = np.isfinite(a) & np.isfinite(b)
    a, label = _checked(np.where(both, a, np.nan), labels)
    b = b[both]
    if len(a) == 0 or (metric == "diff" and not label.any()):
        return Difference(np.nan, np.nan, np.nan, np.nan)
    ones = np.ones((1, len(a)), dtype=np.int64)
    pairs_a, pairs_b = _sorted(a, label), _sorted(b, label)
    value = float(_measured(pairs_a, ones)[metric][0] - _measured(pairs_b, ones)[metric][0])
    samples = _resample(pairs_a, seed, resamples)[metric] - _resample(pairs_b, seed, resamples)[metric]
    return compared(value, samples)


@dataclass(frozen=True)
class _Pairs:
    """Pairs by rising |margin|. order: their rows. right, tie: whether the sign is right, and whether people saw a tie.

    thresholds: 0, then every other |margin|; ends: how many pairs are ties by each of them.
    """

    order: np.ndarray
    right: np.ndarray
    tie: np.ndarray
    thresholds: np.ndarray
    ends: np.ndarray


def _checked(margins, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    margin = floats(margins)
    if len(margin) != len(labels):
        raise ValueError(f"{len(margin)} margins and {len(labels)} labels differ in number")
    if unknown := sorted({str(label) for label in labels if label not in LABELS}):
        raise ValueError(f"a label is one of {list(LABELS)}, not {unknown}")
    label = np.array([LABELS[label] for label in labels], dtype=np.int8)
    read = np.isfinite(margin)
    return margin[read], label[read]


def _sorted(margin: np.ndarray, label: np.ndarray) -> _Pairs:
    size = np.abs(margin)
    order = np.argsort(size, kind="stable")
    size, label = size[order], label[order]
    right = (np.sign(margin[order]) == label) & (label != 0)
    thresholds = np.unique(np.concatenate([[0.0], size]))
    return _Pairs(order, right, label == 0, thresholds, np.searchsorted(size, thresholds, side="right"))


def _right_at_thresholds(pairs: _Pairs, weights: np.ndarray) -> np.ndarray:
    """How many pairs are judged right by each threshold, (resamples, thresholds); weights in the order of `pairs`."""
    gained = np.zeros((len(weights), weights.shape[1] + 1), dtype=np.int64)
    np.cumsum(weights * (pairs.tie.astype(np.int64) - pairs.right), axis=1, out=gained[:, 1:])
    return (weights @ pairs.right.astype(np.int64))[:, None] + gained[:, pairs.ends]


def _measured(pairs: _Pairs, weights: np.ndarray) -> dict[str, np.ndarray]:
    """PAIR_METRICS for every row of weights: how often each pair was drawn, in the order of `pairs`."""
    n = weights.shape[1]
    correct = _right_at_thresholds(pairs, weights)
    best = correct.argmax(axis=1)
    ties = weights @ pairs.tie.astype(np.int64)
    model_ties = np.concatenate([np.zeros((len(weights), 1), dtype=np.int64), weights.cumsum(axis=1)], axis=1)
    rows = np.arange(len(weights))
    with np.errstate(invalid="ignore"):  # a resample may hold ties only
        decided = (weights @ pairs.right.astype(np.int64)) / (n - ties)
    return {
        "tau": correct[rows, best] / n,
        "tau_threshold": pairs.thresholds[best],
        "diff": decided,
        "tie_share": ties / n,
        "model_tie_share": model_ties[rows, pairs.ends[best]] / n,
    }


def _resample(pairs: _Pairs, seed: int, resamples: int) -> dict[str, np.ndarray]:
    n = len(pairs.order)
    blocks = [{name: np.empty(0) for name in PAIR_METRICS}]
    for rows in resampled_rows(n, resamples, seed):
        shifted = rows + n * np.arange(len(rows))[:, None]
        drawn = np.bincount(shifted.ravel(), minlength=n * len(rows)).reshape(len(rows), n)
        blocks.append(_measured(pairs, drawn[:, pairs.order]))
    return {name: np.concatenate([block[name] for block in blocks]) for name in PAIR_METRICS}
