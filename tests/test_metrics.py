import itertools
import math
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from vqa_lib.metrics import (
    correlations,
    dimension_metrics,
    intervals,
    krcc,
    mean,
    overall,
    overall_metrics,
    paired_bootstrap,
    parse_failures,
    plcc,
    plcc_4pl,
    plcc_5pl,
    rmse_4pl,
    rmse_5pl,
    score_metrics,
    srcc,
)

NAMES = ["srcc", "krcc", "plcc", "plcc_4pl", "plcc_5pl", "rmse_4pl", "rmse_5pl"]
CORRELATIONS = {"srcc": srcc, "krcc": krcc, "plcc": plcc}


def ties(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Predictions of 1 to 5 and MOS in halves: few values, so nearly every row is tied."""
    random = np.random.default_rng(seed)
    mos = random.integers(2, 11, n) / 2
    return np.clip(np.round(mos + random.normal(0, 1, n)), 1, 5), mos


def brute_ranks(values) -> list[float]:
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2 for value in values
    ]


def brute_pearson(x, y) -> float:
    x, y = np.asarray(x) - np.mean(x), np.asarray(y) - np.mean(y)
    return math.fsum(x * y) / math.sqrt(math.fsum(x * x) * math.fsum(y * y))


def brute_tau_b(x, y) -> float:
    signs = [(np.sign(a - c), np.sign(b - d)) for (a, b), (c, d) in itertools.combinations(zip(x, y, strict=True), 2)]
    untied_x, untied_y = sum(s != 0 for s, _ in signs), sum(t != 0 for _, t in signs)
    return sum(s * t for s, t in signs) / math.sqrt(untied_x * untied_y)


BRUTE = {
    "srcc": lambda x, y: brute_pearson(brute_ranks(x), brute_ranks(y)),
    "krcc": brute_tau_b,
    "plcc": brute_pearson,
}
SCIPY = {"srcc": stats.spearmanr, "krcc": stats.kendalltau, "plcc": stats.pearsonr}


@pytest.mark.parametrize("name", CORRELATIONS)
@pytest.mark.parametrize("seed", range(5))
def test_correlations_with_many_ties(name, seed):
    x, y = ties(seed)
    metric = CORRELATIONS[name](x, y, resamples=20)
    assert metric.value == pytest.approx(SCIPY[name](x, y).statistic, abs=1e-12)
    assert metric.value == pytest.approx(BRUTE[name](x, y), abs=1e-12)
    assert (metric.n, metric.reason) == (60, None)


@pytest.mark.parametrize("name", CORRELATIONS)
def test_interval_is_that_of_scipy_on_the_same_rows(name, monkeypatch):
    x, y = ties(1, n=25)
    monkeypatch.setattr(intervals, "BLOCK", 25 * 7)  # several blocks, the last one short
    rows = np.concatenate(list(intervals.resampled_rows(25, 50, seed=3)))
    assert rows.shape == (50, 25)
    samples = [SCIPY[name](x[row], y[row]).statistic for row in rows]
    metric = CORRELATIONS[name](x, y, seed=3, resamples=50)
    assert (metric.low, metric.high) == pytest.approx(tuple(np.percentile(samples, [2.5, 97.5])), abs=1e-12)


def test_ranks_within_resamples():
    x, _ = ties(2, n=30)
    rows = np.random.default_rng(0).integers(30, size=(40, 30))
    assert np.array_equal(correlations._ranks_of_rows(x, rows), stats.rankdata(x[rows], axis=1))


@pytest.mark.parametrize("name", NAMES)
def test_interval_is_ordered_reproducible_and_narrows(name):
    x, y = ties(0)
    small, again, other = (score_metrics(x, y, seed=seed, resamples=200)[name] for seed in (0, 0, 1))
    large = score_metrics(np.tile(x, 9), np.tile(y, 9), resamples=200)[name]
    assert small.low <= small.value <= small.high
    assert small == again
    assert (small.low, small.high) != (other.low, other.high)
    assert small.value == other.value == pytest.approx(large.value, abs=1e-6)
    assert large.high - large.low < 0.6 * (small.high - small.low)


def test_perfect_and_reversed():
    mos = [1.0, 2.0, 3.5, 4.0, 5.0, 5.5]
    for function in CORRELATIONS.values():
        up, down = function(mos, mos), function([-score for score in mos], mos)
        assert (up.value, up.low, up.high) == pytest.approx((1, 1, 1))
        assert (down.value, down.low, down.high) == pytest.approx((-1, -1, -1))


def test_invariances():
    x, y = ties(3)
    plain, stretched = score_metrics(x, y, resamples=100), score_metrics(x, 20 * y - 7, resamples=100)
    for name in ("srcc", "krcc", "plcc"):  # an affine change of the MOS
        same = (stretched[name].value, stretched[name].low, stretched[name].high)
        assert same == pytest.approx((plain[name].value, plain[name].low, plain[name].high), abs=1e-12)
    assert stretched["plcc_4pl"].value == pytest.approx(plain["plcc_4pl"].value, abs=1e-6)
    assert stretched["rmse_4pl"].value == pytest.approx(20 * plain["rmse_4pl"].value, rel=1e-6)

    curved = score_metrics(np.exp(x), y, resamples=100)  # any increasing change of the predictions
    assert (curved["srcc"], curved["krcc"]) == (plain["srcc"], plain["krcc"])

    order = np.random.default_rng(0).permutation(len(x))
    moved = score_metrics(x[order], y[order], resamples=100)
    assert [moved[name].value for name in NAMES] == pytest.approx([plain[name].value for name in NAMES], abs=1e-6)


class TestLogistic:
    def curve(self, x):
        return 20 + (90 - 20) / (1 + np.exp(-(x - 3) / 0.4))

    def test_recovers_a_logistic(self):
        x = np.linspace(1, 5, 80)
        results = score_metrics(x, self.curve(x), resamples=50)
        assert results["plcc_4pl"].value == pytest.approx(1, abs=1e-9)
        assert results["rmse_4pl"].value == pytest.approx(0, abs=1e-4)
        assert results["plcc"].value < 0.98

    def test_equals_the_formula_as_written(self):
        random = np.random.default_rng(0)
        x = random.uniform(1, 5, 200)
        y = self.curve(x) + random.normal(0, 5, 200)

        def formula(x, b1, b2, b3, b4):
            return b2 + (b1 - b2) / (1 + np.exp(-(x - b3) / abs(b4)))

        fitted, _ = optimize.curve_fit(formula, x, y, p0=[y.max(), y.min(), x.mean(), x.std()])
        mapped = formula(x, *fitted)
        results = score_metrics(x, y, resamples=50)
        assert results["plcc_4pl"].value == pytest.approx(stats.pearsonr(mapped, y).statistic, abs=1e-9)
        assert results["rmse_4pl"].value == pytest.approx(np.sqrt(np.mean((mapped - y) ** 2)), abs=1e-6)

    def test_five_parameters_equal_the_formula_as_written(self):
        random = np.random.default_rng(0)
        x = random.uniform(1, 5, 200)
        y = self.curve(x) + 3 * x + random.normal(0, 5, 200)

        def formula(x, b1, b2, b3, b4, b5):
            return b1 * (0.5 - 1 / (1 + np.exp(b2 * (x - b3)))) + b4 * x + b5

        fitted, _ = optimize.curve_fit(formula, x, y, p0=[70, 2.5, 3, 3, 50])
        mapped = formula(x, *fitted)
        results = score_metrics(x, y, resamples=50)
        assert results["plcc_5pl"].value == pytest.approx(stats.pearsonr(mapped, y).statistic, abs=1e-7)
        assert results["rmse_5pl"].value == pytest.approx(np.sqrt(np.mean((mapped - y) ** 2)), rel=1e-6)
        assert results["rmse_5pl"].value <= results["rmse_4pl"].value  # the 4-parameter curve is one of its own

    def test_falling_predictions_are_turned_round(self):
        x = np.linspace(1, 5, 80)
        assert plcc_4pl(-x, self.curve(x), resamples=10).value == pytest.approx(1, abs=1e-6)
        assert plcc_5pl(-x, self.curve(x), resamples=10).value == pytest.approx(1, abs=1e-6)

    @pytest.mark.parametrize("function", [plcc_4pl, rmse_4pl, plcc_5pl, rmse_5pl])
    def test_failed_fit_is_undefined(self, function, monkeypatch):
        def fail(*_, **__):
            raise RuntimeError("maxfev")

        monkeypatch.setattr(optimize, "curve_fit", fail)
        monkeypatch.setattr(optimize, "least_squares", fail)
        metric = function(*ties(0))
        assert np.isnan([metric.value, metric.low, metric.high]).all()
        assert "could not be fitted" in metric.reason and metric.n == 60

    @pytest.mark.parametrize(("b4", "function"), [(0.0, plcc_4pl), (np.nan, rmse_4pl)])
    def test_degenerate_parameters(self, b4, function, monkeypatch):
        monkeypatch.setattr(optimize, "curve_fit", lambda *_, **__: ([5.0, 1.0, 3.0, b4], None))
        assert "not finite" in function([1, 2, 3, 4, 5], [1, 2, 3, 4, 5]).reason  # b4 = 0 at x = b3 is 0 / 0

    def test_flat_fit(self, monkeypatch):
        monkeypatch.setattr(optimize, "curve_fit", lambda *_, **__: ([3.0, 3.0, 3.0, 1.0], None))
        x, y = ties(0)
        assert "flat" in plcc_4pl(x, y).reason
        assert rmse_4pl(x, y, resamples=10).value == pytest.approx(np.sqrt(np.mean((y - 3) ** 2)))


@pytest.mark.parametrize(
    ("predictions", "mos", "reason", "n"),
    [
        ([], [], "at least", 0),
        ([1.0], [1.0], "at least", 1),
        ([None] * 6, [1, 2, 3, 4, 5, 6], "at least", 0),
        ([3, None, None, None, None, None], [1, 2, 3, 4, 5, 6], "at least", 1),
        ([0.1] * 6, [1, 2, 3, 4, 5, 6], "predictions are constant", 6),  # never a correlation of 0
        ([3, 3, 3, 3, 3, 3, None], [1, 2, 3, 4, 5, 6, 7], "predictions are constant", 6),
        ([1, 2, 3, 4, 5, 6], [0.3] * 6, "MOS are constant", 6),
    ],
)
def test_undefined_has_a_reason(predictions, mos, reason, n):
    for metric in score_metrics(predictions, mos).values():
        assert np.isnan([metric.value, metric.low, metric.high]).all()
        assert reason in metric.reason
        assert metric.n == n


def test_logistics_need_a_row_more_than_parameters():
    results = score_metrics([1, 2, 3, 4], [1, 3, 2, 4], resamples=20)
    assert [results[name].reason is None for name in NAMES] == [True, True, True, False, False, False, False]
    five = score_metrics([1, 2, 3, 4, 5], [1, 3, 2, 4, 5], resamples=20)
    assert "at least 6" in five["plcc_5pl"].reason
    assert "at least 6" in five["rmse_5pl"].reason
    assert "at least 5" in results["plcc_4pl"].reason


def test_krcc_of_two_rows():
    """scipy's quick p-value divides by n - 2."""
    assert [krcc([1, 2], mos, resamples=20).value for mos in ([1, 2], [2, 1])] == [1, -1]


def test_undefined_resamples_stay_out_of_the_interval():
    metric = srcc([1, 2], [1, 2], resamples=100)  # half of the resamples hold one row twice
    assert (metric.value, metric.low, metric.high) == pytest.approx((1, 1, 1))
    rare = plcc([0.1] * 30 + [0.7], np.arange(31), resamples=200)  # a third lack the one that differs
    assert np.isfinite([rare.low, rare.high]).all()
    assert np.isnan(plcc([1, 2], [1, 2], resamples=0).low)


def test_unreadable_answers_are_left_out_and_counted():
    x, y = ties(4)
    with_gaps = [None, *x[:30], float("nan"), *x[30:]]
    mos = [5.0, *y[:30], 1.0, *y[30:]]
    assert score_metrics(with_gaps, mos, resamples=30) == score_metrics(x, y, resamples=30)
    assert parse_failures(with_gaps) == 2
    assert parse_failures([]) == parse_failures([1.0]) == 0
    assert srcc(pd.Series(with_gaps), pd.Series(mos), resamples=30) == srcc(x, y, resamples=30)


def test_bad_input():
    with pytest.raises(ValueError, match="differ in shape"):
        srcc([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="1 MOS are missing"):
        score_metrics([1, 2, 3], [1, 2, None])
    with pytest.raises(ValueError, match="1 MOS are missing"):
        score_metrics([1, 2, 3], [1, 2, float("inf")])


@pytest.mark.parametrize(
    "predictions",
    [
        [3.0, 3.0 + 1e-15, 3.0, 3.0 + 1e-15, 3.0, 3.0],  # constant but for the last bit
        [1e-200, 2e-200, 5e-200, 3e-200, 1e-200, 4e-200],
        [1e200, 2e200, 5e200, 3e200, 1e200, 4e200],
        [0, 0, 0, 0, 0, 1],
        [1, 1e9, 2, 3, 4, 5],
    ],
)
def test_no_warning_escapes(predictions):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with np.errstate(all="raise"):
            score_metrics(predictions, [1, 2, 5, 3, 1, 4], resamples=50)


class TestPairedBootstrap:
    def methods(self, n=150):
        random = np.random.default_rng(0)
        mos = random.uniform(1, 5, n)
        return mos + random.normal(0, 0.3, n), mos + random.normal(0, 1.5, n), mos

    @pytest.mark.parametrize("metric", CORRELATIONS)
    def test_a_beats_b(self, metric):
        a, b, mos = self.methods()
        difference, low, high, p = paired_bootstrap(a, b, mos, metric, resamples=200)
        expected = CORRELATIONS[metric](a, mos).value - CORRELATIONS[metric](b, mos).value
        assert difference == pytest.approx(expected, abs=1e-12)
        assert 0 < low < difference < high
        assert p == pytest.approx(2 / 201)  # the least that 200 resamples can say
        reverse = paired_bootstrap(b, a, mos, metric, resamples=200)
        assert reverse == pytest.approx((-difference, -high, -low, p), abs=1e-12)

    @pytest.mark.parametrize("metric", CORRELATIONS)
    def test_a_method_does_not_beat_itself(self, metric):
        a, _, mos = self.methods(40)
        result = paired_bootstrap(a, 3 * a + 1, mos, metric, resamples=50)
        assert result == pytest.approx((0, 0, 0, 1), abs=1e-12)

    def test_p_and_interval_against_a_loop(self):
        a, mos = ties(0, n=30)
        b = ties(5, n=30)[0]
        rows = np.concatenate(list(intervals.resampled_rows(30, 99, seed=2)))
        loop = np.array([brute_pearson(a[row], mos[row]) - brute_pearson(b[row], mos[row]) for row in rows])
        result = paired_bootstrap(a, b, mos, "plcc", seed=2, resamples=99)
        assert (result.low, result.high) == pytest.approx(tuple(np.percentile(loop, [2.5, 97.5])), abs=1e-11)
        assert result.p == min(1, 2 * (1 + min((loop <= 0).sum(), (loop >= 0).sum())) / 100)

    def test_pairing_narrows_the_interval(self):
        random = np.random.default_rng(0)
        mos = random.uniform(1, 5, 100)
        shared = mos + random.normal(0, 1, 100)  # the same hard videos for both
        a, b = shared + random.normal(0, 0.1, 100), shared + random.normal(0, 0.1, 100)
        paired = paired_bootstrap(a, b, mos, resamples=300)
        alone = srcc(a, mos, resamples=300)
        assert paired.high - paired.low < 0.5 * (alone.high - alone.low)

    def test_only_rows_that_both_answered_count(self):
        a, b, mos = self.methods(40)
        gaps_a, gaps_b = [None, *a[1:]], [b[0], None, *b[2:]]
        expected = paired_bootstrap(a[2:], b[2:], mos[2:], resamples=50)
        assert paired_bootstrap(gaps_a, gaps_b, mos, resamples=50) == expected

    def test_undefined_and_unknown(self):
        assert np.isnan(paired_bootstrap([3, 3, 3], [1, 2, 3], [1, 2, 3])).all()
        assert np.isnan(paired_bootstrap([], [], [])).all()
        with pytest.raises(ValueError, match="'krcc', 'plcc', 'srcc'"):
            paired_bootstrap([1, 2], [1, 2], [1, 2], metric="rmse")


def test_overall():
    assert overall([0.9, 0.6], [200, 100]) == pytest.approx(0.8)
    assert overall([0.7], [3]) == pytest.approx(0.7)
    assert math.isnan(overall([0.9, math.nan], [200, 100]))  # an undefined part leaves the whole undefined
    for values, sizes in (([], []), ([0.5], [1, 2]), ([0.5], [0])):
        with pytest.raises(ValueError, match="one positive size per value"):
            overall(values, sizes)


class TestOverallMetrics:
    def two_sets(self):
        (x, y), (u, v) = ties(0, n=40), ties(1, n=80)
        return [*x, *u], [*y, *v], ["a"] * 40 + ["b"] * 80, (x, y), (u, v)

    def test_weighted_by_the_rows_of_each_set(self):
        predictions, mos, names, first, second = self.two_sets()
        each, total = overall_metrics(predictions, mos, names, resamples=100)
        assert each == {"a": score_metrics(*first, resamples=100), "b": score_metrics(*second, resamples=100)}
        for name in ("srcc", "krcc", "plcc", "plcc_4pl", "plcc_5pl"):
            expected = (each["a"][name].value + 2 * each["b"][name].value) / 3
            assert total[name].value == pytest.approx(expected, abs=1e-12)
            assert total[name].low < total[name].value < total[name].high
            assert total[name].n == 120
            assert total[name].high - total[name].low < each["a"][name].high - each["a"][name].low
        assert "rmse_4pl" not in total  # MOS units differ between data sets

    def test_undefined_and_bad(self):
        _, total = overall_metrics([1, 2, 3, 5, 5, 5], [1, 2, 3, 1, 2, 3], ["a"] * 3 + ["b"] * 3, resamples=5)
        assert math.isnan(total["srcc"].value)
        assert total["srcc"].reason == "b: the predictions are constant"
        assert overall_metrics([], [], [])[1]["srcc"].reason == "there is no data set"
        with pytest.raises(ValueError, match="differ in number"):
            overall_metrics([1], [1], [])


class TestDimensionMetrics:
    def test_mean_over_dimensions_on_the_same_videos(self):
        (x, y), (u, v) = ties(0), ties(1)
        each, means = dimension_metrics({"s": x, "t": u}, {"s": y, "t": v}, resamples=100)
        assert each["t"] == score_metrics(u, v, resamples=100)
        expected = (each["s"]["srcc"].value + each["t"]["srcc"].value) / 2
        assert means["srcc"].value == pytest.approx(expected, abs=1e-12)
        # The same scores in both dimensions: averaging changes nothing, the interval is that of one of them.
        _, same = dimension_metrics({"s": x, "t": x}, {"s": y, "t": y}, resamples=100)
        one = score_metrics(x, y, resamples=100)
        assert (same["plcc"].low, same["plcc"].high) == pytest.approx((one["plcc"].low, one["plcc"].high), abs=1e-12)

    def test_a_video_counts_where_all_dimensions_were_read(self):
        (x, y), (u, v) = ties(0), ties(1)
        gaps = {"s": [None, *x[1:]], "t": [u[0], None, *u[2:]]}
        _, means = dimension_metrics(gaps, {"s": y, "t": v}, resamples=10)
        _, expected = dimension_metrics({"s": x[2:], "t": u[2:]}, {"s": y[2:], "t": v[2:]}, resamples=10)
        assert means["srcc"] == expected["srcc"]
        assert means["srcc"].n == 58

    def test_undefined_and_bad(self):
        _, means = dimension_metrics({"s": [1, 2], "t": [1, 1]}, {"s": [1, 2], "t": [1, 2]}, resamples=5)
        assert means["srcc"].reason == "t: the predictions are constant"
        with pytest.raises(ValueError, match="do not fit"):
            dimension_metrics({"s": [1]}, {"t": [1]})
        with pytest.raises(ValueError, match="differ in length"):
            dimension_metrics({"s": [1], "t": [1, 2]}, {"s": [1], "t": [1, 2]})


def test_mean_and_its_interval():
    values = np.random.default_rng(0).normal(0.3, 1.0, 400)
    found = mean(values)
    assert (found.value, found.n) == (pytest.approx(values.mean()), 400)
    error = values.std() / 20
    assert found.low == pytest.approx(found.value - 1.96 * error, abs=0.2 * error)
    assert found.high == pytest.approx(found.value + 1.96 * error, abs=0.2 * error)
    assert np.isnan(mean([1.0]).value)
    assert "at least 2 rows" in mean([1.0]).reason
    with pytest.raises(ValueError, match="1 of 2 values are missing or infinite"):
        mean([1.0, None])
