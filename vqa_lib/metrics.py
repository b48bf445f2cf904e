"""How well predicted scores follow mean opinion scores: SRCC, KRCC, PLCC, PLCC and RMSE after a logistic.

Each comes as a `Metric`: the value, a 95 % bootstrap interval, the number of rows, the reason where it is undefined.
Undefined is NaN, never 0: a constant prediction has no correlation, and 0 would read as "measured, and found none".

All functions take predictions (n,) and MOS (n,), on any two scales. A prediction that is None or NaN is an answer that
could not be read: its row is left out, `Metric.n` counts the rest, and `parse_failures` counts the lost.

The interval is the percentile bootstrap over rows: the same seed draws the same rows for every metric. Resamples whose
own value is undefined (all rows equal) are left out of it.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import optimize, special, stats

BLOCK = 2**20  # entries of one block of resamples; bounds memory at tens of MB whatever n is


@dataclass(frozen=True)
class Metric:
    """A value with its 95 % interval [low, high], over n rows; NaN with a `reason` where undefined."""

    value: float
    low: float
    high: float
    n: int
    reason: str | None = None


class Difference(NamedTuple):
    """A minus B with its 95 % interval, and the two-sided bootstrap p of "no difference"."""

    difference: float
    low: float
    high: float
    p: float


def parse_failures(predictions: Sequence[float | None]) -> int:
    """The number of predictions that are None or NaN.

    Example:
        >>> parse_failures([3.2, None, float("nan")])
        2
    """
    return int((~np.isfinite(_floats(predictions))).sum())


def _floats(predictions: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if prediction is None else prediction for prediction in predictions], dtype=np.float64)


def _checked(mos: Sequence[float], *predictions: Sequence[float | None]) -> list[np.ndarray]:
    """MOS and predictions as float64, with the rows that every prediction has."""
    truth = np.asarray(mos, dtype=np.float64)
    columns = [_floats(column) for column in predictions]
    if truth.ndim != 1 or any(column.shape != truth.shape for column in columns):
        raise ValueError(f"predictions {[column.shape for column in columns]} and MOS {truth.shape} differ in shape")
    if not np.isfinite(truth).all():
        raise ValueError(
            f"{int((~np.isfinite(truth)).sum())} MOS are missing or infinite; a data set must hold them all"
        )
    used = np.logical_and.reduce([np.isfinite(column) for column in columns])
    return [truth[used], *(column[used] for column in columns)]


def _why_undefined(predictions: np.ndarray, mos: np.ndarray, least: int = 2) -> str | None:
    if len(mos) < least:
        return f"needs at least {least} rows, got {len(mos)}"
    if np.ptp(predictions) == 0:
        return "the predictions are constant"
    if np.ptp(mos) == 0:
        return "the MOS are constant"
    return None


def _resampled_rows(n: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Row numbers (block, n), drawn with replacement; `resamples` of them over all blocks."""
    random = np.random.default_rng(seed)
    block = max(1, BLOCK // n)
    for start in range(0, resamples, block):
        yield random.integers(n, size=(min(block, resamples - start), n))


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
    "krcc": lambda x, y: stats.kendalltau(x, y, method="asymptotic").statistic,  # the method concerns the p-value only
    "plcc": lambda x, y: stats.pearsonr(x, y).statistic,
}
RESAMPLED = {  # the same, for every row of row numbers (block, n)
    "srcc": lambda x, y, rows: _pearson_of_rows(_ranks_of_rows(x, rows), _ranks_of_rows(y, rows)),
    "krcc": lambda x, y, rows: np.array([POINT["krcc"](x[row], y[row]) for row in rows]),
    "plcc": lambda x, y, rows: _pearson_of_rows(x[rows], y[rows]),
    "rmse": lambda x, y, rows: np.sqrt(((x - y) ** 2)[rows].mean(axis=1)),
}


def _quietly(function, *arguments):
    """Call without numpy's and scipy's warnings: what they warn of is stated in `Metric.reason`."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return function(*arguments)


def _interval(samples: np.ndarray) -> tuple[float, float]:
    samples = samples[np.isfinite(samples)]
    if samples.size == 0:
        return np.nan, np.nan
    low, high = np.percentile(samples, [2.5, 97.5])
    return float(low), float(high)


def _resample(name: str, x: np.ndarray, y: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """The metric's value in each resample, (resamples,)."""
    blocks = [_quietly(RESAMPLED[name], x, y, rows) for rows in _resampled_rows(len(x), resamples, seed)]
    return np.concatenate([np.empty(0), *blocks])


def _undefined(n: int, reason: str) -> Metric:
    return Metric(np.nan, np.nan, np.nan, n, reason)


def _correlation(name: str, predictions, mos, seed: int, resamples: int) -> Metric:
    y, x = _checked(mos, predictions)
    if reason := _why_undefined(x, y):
        return _undefined(len(x), reason)
    value = float(_quietly(POINT[name], x, y))
    return Metric(value, *_interval(_resample(name, x, y, seed, resamples)), len(x))


def srcc(predictions, mos, seed: int = 0, resamples: int = 1000) -> Metric:
    """Spearman's rank correlation, with average ranks for ties. In [-1, 1], higher is better.

    **Source**: scipy.stats.spearmanr; undefined for n < 2 or constant input.

    Raises:
        ValueError: lengths differ, or a MOS is missing.

    Example:
        >>> round(srcc([1, 2, 3, 4], [10, 20, 40, 30]).value, 3)
        0.8
    """
    return _correlation("srcc", predictions, mos, seed, resamples)


def krcc(predictions, mos, seed: int = 0, resamples: int = 1000) -> Metric:
    """Kendall's rank correlation tau-b. In [-1, 1], higher is better.

    **Source**: scipy.stats.kendalltau, for each resample too (about 1 ms at n = 7000). Undefined and raises as `srcc`.

    Example:
        >>> round(krcc([1, 2, 3, 4], [10, 20, 40, 30]).value, 3)
        0.667
    """
    return _correlation("krcc", predictions, mos, seed, resamples)


def plcc(predictions, mos, seed: int = 0, resamples: int = 1000) -> Metric:
    """Pearson's correlation of the raw predictions. In [-1, 1], higher is better.

    **Source**: scipy.stats.pearsonr. Undefined and raises as `srcc`.

    Example:
        >>> round(plcc([1, 2, 3], [10, 20, 30]).value, 3)
        1.0
    """
    return _correlation("plcc", predictions, mos, seed, resamples)


def _mapped(predictions: np.ndarray, mos: np.ndarray) -> tuple[np.ndarray, str | None]:
    """Predictions put on the MOS scale by the fitted 4-parameter logistic, and why that failed."""
    if reason := _why_undefined(predictions, mos, least=5):
        return predictions, reason

    def logistic(x, b1, b2, b3, b4):
        return b2 + (b1 - b2) * special.expit((x - b3) / np.abs(b4))

    def fit():
        start = [mos.max(), mos.min(), predictions.mean(), predictions.std()]
        return logistic(predictions, *optimize.curve_fit(logistic, predictions, mos, p0=start, maxfev=20_000)[0])

    try:
        mapped = _quietly(fit)
    except RuntimeError as error:  # curve_fit: no convergence
        return predictions, f"the 4-parameter logistic could not be fitted: {error}"
    if not np.isfinite(mapped).all():
        return predictions, "the 4-parameter logistic could not be fitted: its parameters are not finite"
    return mapped, None


def plcc_4pl(predictions, mos, seed: int = 0, resamples: int = 1000) -> Metric:
    """Pearson's correlation after the 4-parameter logistic is fitted to the MOS. In [-1, 1], higher is better.

    **Source**: SimpleVQA and MinimalisticVQA, official code: start at [max y, min y, mean x, 0.5]; ours: the standard
    deviation of x for the 0.5, which suits one scale only.

    y = b2 + (b1 - b2) / (1 + exp(-(x - b3) / |b4|))

    The logistic is fitted once, on all rows; the interval is over the mapped predictions, so it leaves out how much the
    fit itself varies. Undefined for n < 5, constant input, a fit that fails or is flat. Raises as `srcc`.

    Example:
        >>> round(plcc_4pl([-2, -1, 0, 1, 2], [0.12, 0.27, 0.5, 0.73, 0.88]).value, 3)
        1.0
    """
    y, x = _checked(mos, predictions)
    mapped, reason = _mapped(x, y)
    if reason is None and np.ptp(mapped) < 1e-9 * np.ptp(y):
        reason = "the fitted 4-parameter logistic is flat"
    if reason:
        return _undefined(len(x), reason)
    return _correlation("plcc", mapped, y, seed, resamples)


def rmse_4pl(predictions, mos, seed: int = 0, resamples: int = 1000) -> Metric:
    """Root mean squared error after the logistic of `plcc_4pl`. In MOS units, >= 0, lower is better.

    **Source**, interval and undefined cases as `plcc_4pl`. Raises as `srcc`.

    Example:
        >>> rmse_4pl([-2, -1, 0, 1, 2], [0.12, 0.27, 0.5, 0.73, 0.88]).value < 0.01
        True
    """
    y, x = _checked(mos, predictions)
    mapped, reason = _mapped(x, y)
    if reason:
        return _undefined(len(x), reason)
    value = float(np.sqrt(((mapped - y) ** 2).mean()))
    return Metric(value, *_interval(_resample("rmse", mapped, y, seed, resamples)), len(x))


def score_metrics(predictions, mos, seed: int = 0, resamples: int = 1000) -> dict[str, Metric]:
    """Every metric of this module: srcc, krcc, plcc, plcc_4pl, rmse_4pl. Raises as `srcc`.

    Example:
        >>> {name: metric.reason for name, metric in score_metrics([1, None], [1, 2]).items()}["srcc"]
        'needs at least 2 rows, got 1'
    """
    functions = {"srcc": srcc, "krcc": krcc, "plcc": plcc, "plcc_4pl": plcc_4pl, "rmse_4pl": rmse_4pl}
    return {name: function(predictions, mos, seed, resamples) for name, function in functions.items()}


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
    y, a, b = _checked(mos, predictions_a, predictions_b)
    if _why_undefined(a, y) or _why_undefined(b, y):
        return Difference(np.nan, np.nan, np.nan, np.nan)
    samples = _resample(metric, a, y, seed, resamples) - _resample(metric, b, y, seed, resamples)
    # Rounding, or an equal pair of methods would differ by a last bit that has the same sign in every resample.
    samples = np.round(samples[np.isfinite(samples)], 12)
    fewer = min((samples <= 0).sum(), (samples >= 0).sum())
    p = min(1.0, float(2 * (1 + fewer) / (1 + samples.size)))
    difference = float(_quietly(POINT[metric], a, y) - _quietly(POINT[metric], b, y))
    return Difference(difference, *_interval(samples), p)


def share_above(scores, others, seed: int = 0, resamples: int = 1000) -> Metric:
    """Share of rows whose score is above the other score of the same row, in [0, 1]; a tie is not above.

    **Source**: ours. With scores on ordered frames and on a shuffled copy of the same clip it says how often a model
    notices the order: 1 always, about 0.5 (less the ties) never. Rows that either side could not read are left out.

    Example:
        >>> share_above([3, 2, 5, 4], [1, 2, 4, 1]).value
        0.75
    """
    ones = np.ones(len(scores))
    _, ours, theirs = _checked(ones, scores, others)
    if len(ours) == 0:
        return _undefined(0, "no row has both scores")
    above = (ours > theirs).astype(np.float64)
    samples = np.concatenate([above[rows].mean(1) for rows in _resampled_rows(len(above), resamples, seed)])
    return Metric(float(above.mean()), *_interval(samples), len(above))


def overall(values: Sequence[float], sizes: Sequence[int]) -> float:
    """One value for several data sets: the mean weighted by their numbers of videos. NaN if any value is undefined.

    **Source**: VQAThinker, Table 1.

    Raises:
        ValueError: no data set, lengths differ, or a size is not positive.

    Example:
        >>> overall([0.9, 0.6], [200, 100])
        0.8
    """
    if len(values) == 0 or len(values) != len(sizes) or min(sizes) <= 0:
        raise ValueError(f"overall takes one positive size per value, got {len(values)} values and sizes {list(sizes)}")
    return float(np.average(np.asarray(values, dtype=np.float64), weights=np.asarray(sizes, dtype=np.float64)))
