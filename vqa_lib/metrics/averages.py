"""All metrics of a set of scores, and their averages over data sets and over dimensions."""

from collections.abc import Mapping, Sequence

import numpy as np

from vqa_lib.metrics.correlations import POINT, krcc, plcc, resample, srcc, why_undefined
from vqa_lib.metrics.intervals import Difference, Metric, checked, compared, floats, interval, quietly, undefined
from vqa_lib.metrics.logistic import mapped, plcc_4pl, plcc_5pl, rmse_4pl, rmse_5pl

SCORE_METRICS = {
    "srcc": srcc,
    "krcc": krcc,
    "plcc": plcc,
    "plcc_4pl": plcc_4pl,
    "plcc_5pl": plcc_5pl,
    "rmse_4pl": rmse_4pl,
    "rmse_5pl": rmse_5pl,
}
AVERAGED = ("srcc", "krcc", "plcc", "plcc_4pl", "plcc_5pl")  # an RMSE is in MOS units, which differ between data sets


def score_metrics(predictions, mos, seed: int = 0, resamples: int = 1000) -> dict[str, Metric]:
    """Every metric in SCORE_METRICS. Raises as `srcc`.

    Example:
        >>> {name: metric.reason for name, metric in score_metrics([1, None], [1, 2]).items()}["srcc"]
        'needs at least 2 rows, got 1'
    """
    return {name: function(predictions, mos, seed, resamples) for name, function in SCORE_METRICS.items()}


def overall(values: Sequence[float], sizes: Sequence[int]) -> float:
    """One value for several data sets: the mean weighted by their numbers of videos. NaN if any value is undefined.

    **Source**: VQAThinker, Table 1: "weighted average results based on the number of videos in each dataset".

    Raises:
        ValueError: no data set, lengths differ, or a size is not positive.

    Example:
        >>> overall([0.9, 0.6], [200, 100])
        0.8
    """
    if len(values) == 0 or len(values) != len(sizes) or min(sizes) <= 0:
        raise ValueError(f"overall takes one positive size per value, got {len(values)} values and sizes {list(sizes)}")
    return float(np.average(np.asarray(values, dtype=np.float64), weights=np.asarray(sizes, dtype=np.float64)))


def overall_metrics(
    predictions, mos, datasets: Sequence[str], seed: int = 0, resamples: int = 1000
) -> tuple[dict[str, dict[str, Metric]], dict[str, Metric]]:
    """`score_metrics` of every data set, and the `overall` of AVERAGED with intervals of their own.

    **Source**: VQAThinker, Table 1; ours: the weights are the rows that were read, and the interval resamples each data
    set by itself.

    Returns: (data set -> metrics, overall metrics); an overall metric is undefined where that of a data set is.

    Raises:
        ValueError: as `srcc`.

    Example:
        >>> each, all_of_them = overall_metrics([1, 2, 3, 3, 2, 1], [1, 2, 3, 1, 2, 3], ["up"] * 3 + ["down"] * 3)
        >>> each["up"]["srcc"].value, all_of_them["srcc"].value
        (1.0, 0.0)
    """
    truth, columns, names = np.asarray(mos, dtype=np.float64), floats(predictions), np.asarray(datasets)
    if not len(truth) == len(columns) == len(names):
        raise ValueError(f"{len(columns)} predictions, {len(truth)} MOS and {len(names)} data sets differ in number")
    parts = {str(name): (columns[names == name], truth[names == name]) for name in dict.fromkeys(names.tolist())}
    each = {name: score_metrics(*part, seed, resamples) for name, part in parts.items()}
    total = {}
    for metric in AVERAGED:
        values = [each[name][metric] for name in parts]
        n = sum(value.n for value in values)
        broken = [f"{name}: {each[name][metric].reason}" for name in parts if each[name][metric].reason]
        if broken or not parts:
            total[metric] = undefined(n, "; ".join(broken) or "there is no data set")
            continue
        sizes = [value.n for value in values]
        samples = [
            _samples(metric, *part, seed=[seed, number], resamples=resamples)
            for number, part in enumerate(parts.values())
        ]
        spread = interval(np.average(samples, axis=0, weights=sizes))
        total[metric] = Metric(overall([value.value for value in values], sizes), *spread, n)
    return each, total


def dimension_metrics(
    predictions: Mapping[str, Sequence[float | None]],
    mos: Mapping[str, Sequence[float]],
    seed: int = 0,
    resamples: int = 1000,
) -> tuple[dict[str, dict[str, Metric]], dict[str, Metric]]:
    """`score_metrics` of every dimension, and the mean of each of AVERAGED over the dimensions.

    **Source**: VQ-Insight, Table 4, which averages Table 2's three dimensions. The interval resamples videos, the same
    in every dimension; a video counts where all its dimensions were read.

    Returns: (dimension -> metrics, mean metrics); a mean is undefined where a dimension is.

    Raises:
        ValueError: dimensions or their lengths differ, or a MOS is missing.

    Example:
        >>> scores = {"spatial": [1, 2, 3], "temporal": [1, 3, 2]}
        >>> dimension_metrics(scores, {"spatial": [1, 2, 3], "temporal": [1, 2, 3]})[1]["srcc"].value
        0.75
    """
    if not mos or set(predictions) != set(mos):
        raise ValueError(f"predictions of {sorted(predictions)} do not fit MOS of {sorted(mos)}")
    columns = [floats(predictions[name]) for name in mos]
    if len({len(column) for column in columns}) > 1:
        raise ValueError(f"the dimensions differ in length: {[len(column) for column in columns]}")
    read = np.isfinite(columns).all(axis=0)
    chosen = {name: (np.where(read, column, np.nan), mos[name]) for name, column in zip(mos, columns, strict=True)}
    each = {name: score_metrics(*part, seed, resamples) for name, part in chosen.items()}
    means = {}
    for metric in AVERAGED:
        values = [each[name][metric] for name in mos]
        broken = [f"{name}: {each[name][metric].reason}" for name in mos if each[name][metric].reason]
        if broken:
            means[metric] = undefined(int(read.sum()), "; ".join(broken))
            continue
        samples = [_samples(metric, *part, seed=seed, resamples=resamples) for part in chosen.values()]
        value = float(np.mean([value.value for value in values]))
        means[metric] = Metric(value, *interval(np.mean(samples, axis=0)), int(read.sum()))
    return each, means


def paired_bootstrap_dimensions(
    predictions_a: Mapping[str, Sequence[float | None]],
    predictions_b: Mapping[str, Sequence[float | None]],
    mos: Mapping[str, Sequence[float]],
    metric: str = "srcc",
    seed: int = 0,
    resamples: int = 1000,
) -> Difference:
    """Is A's mean over the dimensions better than B's? As `paired_bootstrap`; positive means A is better.

    **Source**: ours, for VQ-Insight's Table 4. The same videos are drawn for both and in every dimension; a video
    counts where both gave all dimensions. All NaN where a metric is undefined.

    Raises:
        ValueError: an unknown metric; dimensions or lengths differ, or a MOS is missing.

    Example:
        >>> scores = {"spatial": [1, 2, 3], "temporal": [1, 3, 2]}
        >>> paired_bootstrap_dimensions(scores, scores, {"spatial": [1, 2, 3], "temporal": [1, 2, 3]}).difference
        0.0
    """
    if metric not in POINT:
        raise ValueError(f"metric must be one of {sorted(POINT)}, got {metric!r}")
    if not mos or not set(predictions_a) == set(predictions_b) == set(mos):
        raise ValueError(f"predictions of {sorted(predictions_a)} and {sorted(predictions_b)}, MOS of {sorted(mos)}")
    methods = [{name: floats(predictions[name]) for name in mos} for predictions in (predictions_a, predictions_b)]
    if len({len(column) for columns in methods for column in columns.values()}) > 1:
        raise ValueError("the dimensions or the two methods differ in length")
    read = np.isfinite([column for columns in methods for column in columns.values()]).all(axis=0)
    values, samples = [], []
    for name in mos:
        y, a, b = checked(mos[name], *(np.where(read, columns[name], np.nan) for columns in methods))
        if why_undefined(a, y) or why_undefined(b, y):
            return Difference(np.nan, np.nan, np.nan, np.nan)
        values.append(quietly(POINT[metric], a, y) - quietly(POINT[metric], b, y))
        samples.append(resample(metric, a, y, seed, resamples) - resample(metric, b, y, seed, resamples))
    return compared(float(np.mean(values)), np.mean(samples, axis=0))


def _samples(metric: str, predictions, mos, seed, resamples: int) -> np.ndarray:
    """The metric's value in each resample; the same seed draws the same rows from as many."""
    y, x = checked(mos, predictions)
    if metric in POINT:
        return resample(metric, x, y, seed, resamples)
    return resample("plcc", mapped(x, y, int(metric[5]))[0], y, seed, resamples)
