"""SRCC, KRCC and PLCC, the paired bootstrap between two methods, and how often one score is above another."""

import numpy as np
from scipy import stats

from vqa_lib.metrics.intervals import (
    Difference,
    Metric,
    checked,
    compared,
    interval,
    quietly,
    resampled_rows,
    undefined,
)


def why_undefined(predictions: np.ndarray, mos: np.ndarray, least: int = 2) -> str | None:
    """Why these rows have no correlation, or None where they have one."""
    if len(mos) < least:
        return f"needs at least {least} rows, got {len(mos)}"
    if np.ptp(predictions) == 0:
        return "the predictions are constant"
    if np.ptp(mos) == 0:
        return "the MOS are constant"
    return None


def _pearson_of_rows(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's r of each row of x (rows, n) with that of y; NaN where either is constant."""
    # The mean of equal floats may differ from them by a rounding, so a constant row is told by its range.
    constant = (np.ptp(x, axis=1) == 0) | (np.ptp(y, axis=1) == 0)
    x = x - x.mean(axis=1, keepdims=True)
    y = y - y.mean(axis=1, keepdims=True)
    r = (x * y).sum(axis=1) / (np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1))
    return np.where(constant, np.nan, np.clip(r, -1, 1))


def _ranks_of_rows(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Average ranks within each resample, by counting: values are sorted once, not once a resample."""
    codes = np.unique(values, return_inverse=True)[1][rows]
    ranks = np.empty(codes.shape)
    for row, code in enumerate(codes):
        count = np.bincount(code)
        ranks[row] = (np.cumsum(count) - (count - 1) / 2)[code]
    return ranks


POINT = {
    "srcc": lambda x, y: stats.spearmanr(x, y).statistic,
    # The method concerns the p-value only; the quick one divides by n - 2.
    "krcc": lambda x, y: stats.kendalltau(x, y, method="asymptotic" if len(x) > 2 else "auto").statistic,
    "plcc": lambda x, y: stats.pearsonr(x, y).statistic,
}
RESAMPLED = {  # the same, for every row of row numbers (block, n)
    "srcc": lambda x, y, rows: _pearson_of_rows(_ranks_of_rows(x, rows), _ranks_of_rows(y, rows)),
    "krcc": lambda x, y, rows: np.array([POINT["krcc"](x[row], y[row]) for row in rows]),
    "plcc": lambda x, y, rows: _pearson_of_rows(x[rows], y[rows]),
    "rmse": lambda x, y, rows: np.sqrt(((x - y) ** 2)[rows].mean(axis=1)),
}


def resample(name: str, x: np.ndarray, y: np.ndarray, seed, resamples: int) -> np.ndarray:
    """The metric's value in each resample, (resamples,)."""
    blocks = [quietly(RESAMPLED[name], x, y, rows) for rows in resampled_rows(len(x), resamples, seed)]
    return np.concatenate([np.empty(0), *blocks])


def correlation(name: str, predictions, mos, seed: int, resamples: int) -> Metric:
    """One of POINT with its interval."""
    y, x = checked(mos, predictions)
    if reason := why_undefined(x, y):
        return undefined(len(x), reason)
    value = float(quietly(POINT[name], x, y))
    return Metric(value, *interval(resample(name, x, y, seed, resamples)), len(x))


def srcc(predictions, mos, seed: int = 0, resamples: int = 1000) -> Metric:
    """Spearman's rank correlation, with average ranks for ties. In [-1, 1], higher is better.

    **Source**: scipy.stats.spearmanr; undefined for n < 2 or constant input.

    Raises:
        ValueError: lengths differ, or a MOS is missing.

    Example:
        >>> round(srcc([1, 2, 3, 4], [10, 20, 40, 30]).value, 3)
        0.8
    """
    return correlation("srcc", predictions, mos, seed, resamples)


def krcc(predictions, mos, seed: int = 0, resamples: int = 1000) -> Metric:
    """Kendall's rank correlation tau-b. In [-1, 1], higher is better.

    **Source**: scipy.stats.kendalltau, for each resample too (about 1 ms at n = 7000). Undefined and raises as `srcc`.

    Example:
        >>> round(krcc([1, 2, 3, 4], [10, 20, 40, 30]).value, 3)
        0.667
    """
    return correlation("krcc", predictions, mos, seed, resamples)


def plcc(predictions, mos, seed: int = 0, resamples: int = 1000) -> Metric:
    """Pearson's correlation of the raw predictions. In [-1, 1], higher is better.

    **Source**: scipy.stats.pearsonr. Undefined and raises as `srcc`.

    Example:
        >>> round(plcc([1, 2, 3], [10, 20, 30]).value, 3)
        1.0
    """
    return correlation("plcc", predictions, mos, seed, resamples)


def paired_bootstrap(
    predictions_a, predictions_b, mos, metric="srcc", seed: int = 0, resamples: int = 1000
) -> Difference:
    """Does A follow the MOS better than B? Both are resampled on the same rows; positive means A is better.

    **Source**: ours; Efron and Tibshirani's paired percentile bootstrap. metric: "srcc", "krcc" or "plcc".

    p = min(1, 2 (1 + min(#[d <= 0], #[d >= 0])) / (1 + #d)),  d the differences of the resamples

    Only the rows that both answered count. All NaN where either metric is undefined.

    Raises:
        ValueError: an unknown metric; lengths differ, or a MOS is missing.

    Example:
        >>> paired_bootstrap([1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4])
        Difference(difference=0.0, low=0.0, high=0.0, p=1.0)
    """
    if metric not in POINT:
        raise ValueError(f"metric must be one of {sorted(POINT)}, got {metric!r}")
    y, a, b = checked(mos, predictions_a, predictions_b)
    if why_undefined(a, y) or why_undefined(b, y):
        return Difference(np.nan, np.nan, np.nan, np.nan)
    samples = resample(metric, a, y, seed, resamples) - resample(metric, b, y, seed, resamples)
    return compared(float(quietly(POINT[metric], a, y) - quietly(POINT[metric], b, y)), samples)


def share_above(scores, others, seed: int = 0, resamples: int = 1000) -> Metric:
    """Share of rows whose score is above the other score of the same row, in [0, 1]; a tie is not above.

    **Source**: ours. With scores on ordered frames and on a shuffled copy of the same clip it says how often a model
    notices the order: 1 always, about 0.5 (less the ties) never. Rows that either side could not read are left out.

    Example:
        >>> share_above([3, 2, 5, 4], [1, 2, 4, 1]).value
        0.75
    """
    ones = np.ones(len(scores))
    _, ours, theirs = checked(ones, scores, others)
    if len(ours) == 0:
        return undefined(0, "no row has both scores")
    above = (ours > theirs).astype(np.float64)
    samples = np.concatenate([above[rows].mean(1) for rows in resampled_rows(len(above), resamples, seed)])
    return Metric(float(above.mean()), *interval(samples), len(above))
