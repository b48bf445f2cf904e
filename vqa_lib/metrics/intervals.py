"""What every metric has: a value with its bootstrap interval, or the reason why there is none."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

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
    return int((~np.isfinite(floats(predictions))).sum())


def floats(predictions: Sequence[float | None]) -> np.ndarray:
    """float64, NaN for None."""
    return np.array([np.nan if prediction is None else prediction for prediction in predictions], dtype=np.float64)


def checked(mos: Sequence[float], *predictions: Sequence[float | None]) -> list[np.ndarray]:
    """MOS and predictions as float64, with the rows that every prediction has."""
    truth = np.asarray(mos, dtype=np.float64)
    columns = [floats(column) for column in predictions]
    if truth.ndim != 1 or any(column.shape != truth.shape for column in columns):
        raise ValueError(f"predictions {[column.shape for column in columns]} and MOS {truth.shape} differ in shape")
    if not np.isfinite(truth).all():
        raise ValueError(
            f"{int((~np.isfinite(truth)).sum())} MOS are missing or infinite; a data set must hold them all"
        )
    used = np.logical_and.reduce([np.isfinite(column) for column in columns])
    return [truth[used], *(column[used] for column in columns)]


def resampled_rows(n: int, resamples: int, seed: int | Sequence[int]) -> Iterator[np.ndarray]:
    """Row numbers (block, n), drawn with replacement; `resamples` of them over all blocks."""
    random = np.random.default_rng(seed)
    block = max(1, BLOCK // n)
    for start in range(0, resamples, block):
        yield random.integers(n, size=(min(block, resamples - start), n))


def quietly(function, *arguments):
    """Call without numpy's and scipy's warnings: what they warn of is stated in `Metric.reason`."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return function(*arguments)


def interval(samples: np.ndarray) -> tuple[float, float]:
    """The 2.5th and the 97.5th percentile of the resamples that are defined."""
    samples = samples[np.isfinite(samples)]
    if samples.size == 0:
        return np.nan, np.nan
    low, high = np.percentile(samples, [2.5, 97.5])
    return float(low), float(high)


def undefined(n: int, reason: str) -> Metric:
    """A metric that has no value here, and why."""
    return Metric(np.nan, np.nan, np.nan, n, reason)


def mean(values: Sequence[float], seed: int = 0, resamples: int = 1000) -> Metric:
    """The mean of values with its interval; of paired differences, an interval above 0 says "better".

    Raises:
        ValueError: a value that is missing or infinite.

    Example:
        >>> mean([1.0, 1.0, 1.0]).value
        1.0
    """
    values = floats(values)
    if not np.isfinite(values).all():
        raise ValueError(f"{int((~np.isfinite(values)).sum())} of {len(values)} values are missing or infinite")
    if len(values) < 2:
        return undefined(len(values), f"needs at least 2 rows, got {len(values)}")
    samples = np.concatenate([values[rows].mean(1) for rows in resampled_rows(len(values), resamples, seed)])
    return Metric(float(values.mean()), *interval(samples), len(values))


def compared(difference: float, samples: np.ndarray) -> Difference:
    """A difference with the interval and the two-sided p of its resamples; see `paired_bootstrap`."""
    # Rounding, or an equal pair of methods would differ by a last bit that has the same sign in every resample.
    samples = np.round(samples[np.isfinite(samples)], 12)
    fewer = min((samples <= 0).sum(), (samples >= 0).sum())
    return Difference(difference, *interval(samples), min(1.0, float(2 * (1 + fewer) / (1 + samples.size))))
