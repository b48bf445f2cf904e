"""The picture book's data come from the rewards themselves, and every picture draws."""

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")

from vqa_lib import reward_figures as pictures
from vqa_lib.metrics import pair_metrics, score_metrics

PAPER, OFFICIAL = {"variant": "paper"}, {"variant": "official"}


def both(name: str) -> dict:
    return {"paper": (name, PAPER), "official": (name, OFFICIAL)}


def value(data, panel: str, **place) -> float:
    part = data[data["panel"] == panel]
    for column, wanted in place.items():
        part = part[part[column] == wanted if isinstance(wanted, str) else np.isclose(part[column], wanted)]
    return part["value"].item()


def test_responses():
    table = pictures.responses_data({"yes": ("choice", {})}, ["<answer>Yes</answer>", "Yes"])
    assert table["yes"].tolist() == [1.0, 0.0]


def test_scores_and_slopes():
    data = pictures.score_data(both("score"), [20, 80], (0, 100), 5)
    assert value(data, "paper", line="truth 20", x=40) == pytest.approx(0.8)
    assert value(data, "official", line="truth 20", x=40) == 0.0
    slopes = pictures.slope_data(pictures.score_data({"bell": ("bell", PAPER)}, [3], (1, 5), 0.01), 3)
    steepest = slopes.loc[slopes["value"].idxmax()]
    assert steepest["x"] == pytest.approx(0.5, abs=0.011)  # one sigma
    assert steepest["value"] == pytest.approx(0.8 / 0.5 * np.exp(-0.5), rel=1e-3)
    assert len(pictures.draw_lines(slopes, "t", "x", "y", {"sigma": 0.5}).axes) == 1


def test_maps():
    surface = pictures.multi_dim_data(both("multi_dim"), 60.0, steps=11)
    assert value(surface, "paper", x=-60, y=-60) == pytest.approx(-0.2)
    assert value(surface, "official", x=-60, y=-60) == pytest.approx(1 / 3)
    assert len(pictures.draw_maps(surface, "t", "x", "y", "reward").axes) == 3  # two panels, one colour bar
    temporal = pictures.temporal_data(both("temporal"), group=4, contrast=2)
    assert value(temporal, "paper", x=1.0, y=0.75) == 0.0
    assert value(temporal, "paper", x=0.5, y=0.5) == pytest.approx(0.3)
    consistency = pictures.consistency_data(both("consistency"), step=0.5)
    assert value(consistency, "paper", x=1.0, y=4.0) == pytest.approx(0.6)
    assert len(pictures.draw_maps(consistency, "t", "x", "y", "bonus", steps=[0.0, 0.3, 0.6]).axes) == 3


def test_lines():
    lengths = pictures.length_data(both("length"), longest=600)
    assert value(lengths, "length", line="paper", x=320) == 0.0
    assert value(lengths, "length", line="official", x=320) == 0.2
    ranking = pictures.ranking_data(both("ranking"))
    assert value(ranking, "paper", line="truths tie", x=3.0) == pytest.approx(0.002)
    assert value(ranking, "official", line="truths tie", x=3.0) == pytest.approx(1, abs=1e-3)
    assert len(pictures.draw_lines(ranking, "t", "x", "y").axes) == 2


def test_simulated_judges_come_from_the_seed():
    margins, labels = pictures.judges(300, seed=1)
    again, same = pictures.judges(300, seed=1)
    assert all(np.array_equal(margins[name], again[name]) for name in margins)
    assert np.array_equal(labels, same)
    found = {name: pair_metrics(margin, labels, resamples=1) for name, margin in margins.items()}
    assert found["sharp"]["tau"].value > found["noisy"]["tau"].value
    data = pictures.tau_data(margins, labels)
    best = data.groupby("line")["value"].max()
    assert all(best[name] == pytest.approx(metrics["tau"].value) for name, metrics in found.items())
    points = {name: (metrics["tau_threshold"].value, metrics["tau"].value) for name, metrics in found.items()}
    assert len(pictures.draw_lines(data, "t", "x", "y", points=points).axes) == 1


def test_simulated_opinions_and_their_logistics():
    predictions, mos = pictures.opinions(100, seed=0)
    table = pictures.logistic_data(predictions, mos)
    expected = score_metrics(predictions, mos, resamples=1)["plcc_4pl"].value
    assert np.corrcoef(table["4 parameters"], table["mos"])[0, 1] == pytest.approx(expected)
    assert len(pictures.draw_logistic(table, "t").axes) == 1
