"""How well predictions follow people: scores (SRCC, KRCC, PLCC, a logistic), preferences (tau, diff), accuracy.

Each comes as a `Metric`: the value, a 95 % bootstrap interval, the number of rows, the reason where it is undefined.
Undefined is NaN, never 0: a constant prediction has no correlation, and 0 would read as "measured, and found none".

Those of scores take predictions (n,) and MOS (n,), on any two scales; those of pairs take margins (n,) and labels (n,).
A prediction that is None or NaN is an answer that could not be read: its row is left out, `Metric.n` counts the rest,
and `parse_failures` counts the lost.

The interval is the percentile bootstrap over rows: the same seed draws the same rows for every metric. Resamples whose
own value is undefined (all rows equal) are left out of it.
"""

from vqa_lib.metrics.averages import (
    AVERAGED,
    SCORE_METRICS,
    dimension_metrics,
    overall,
    overall_metrics,
    paired_bootstrap_dimensions,
    score_metrics,
)
from vqa_lib.metrics.correlations import krcc, paired_bootstrap, plcc, share_above, srcc
from vqa_lib.metrics.intervals import Difference, Metric, mean, parse_failures
from vqa_lib.metrics.logistic import plcc_4pl, plcc_5pl, rmse_4pl, rmse_5pl
from vqa_lib.metrics.pairs import (
    LABELS,
    PAIR_METRICS,
    accuracy,
    diff,
    pair_metrics,
    paired_bootstrap_pairs,
    tau,
    tau_curve,
)

__all__ = [
    "AVERAGED",
    "LABELS",
    "PAIR_METRICS",
    "SCORE_METRICS",
    "Difference",
    "Metric",
    "accuracy",
    "diff",
    "dimension_metrics",
    "krcc",
    "mean",
    "overall",
    "overall_metrics",
    "pair_metrics",
    "paired_bootstrap",
    "paired_bootstrap_dimensions",
    "paired_bootstrap_pairs",
    "parse_failures",
    "plcc",
    "plcc_4pl",
    "plcc_5pl",
    "rmse_4pl",
    "rmse_5pl",
    "score_metrics",
    "share_above",
    "srcc",
    "tau",
    "tau_curve",
]
