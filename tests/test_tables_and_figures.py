"""Tables and figures: the papers' figures exactly, ours beside them with n and interval, the profile on each."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

matplotlib.use("Agg")

from vqa_lib import figures, tables
from vqa_lib.results import start_run


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("VQA_RESULTS", str(tmp_path))
    return start_run("paper/table", {"profile": "tiny", "seed": 0})


@pytest.fixture
def predictions():
    random = np.random.default_rng(0)
    target = random.uniform(0, 100, 60)
    table = pd.DataFrame({"dataset": "lsvq", "split": "test", "name": [f"c{i}" for i in range(60)], "target": target})
    table["mos"] = target
    table["prediction"] = target + random.normal(0, 20, 60)
    table.loc[:3, "prediction"] = np.nan
    table["response"] = "<think> x </think> <answer> 1 </answer>"
    return table


def test_published_table_3_is_whole():
    table = tables.published("vq_insight_table3")
    assert len(table) == 8 * 4 * 2  # methods, sets, metrics
    assert not table.duplicated(["method", "dataset", "metric"]).any()
    assert table["value"].between(0, 1).all()
    ours = table.query("method == 'VQ-Insight'").set_index(["dataset", "metric"])["value"]
    assert ours["konvid/all", "plcc"] == 0.884
    assert ours["lsvq/test_1080p", "srcc"] == 0.786


def test_measure_counts_rows_and_unparsed(predictions):
    measured = pd.DataFrame(tables.measure(predictions, "model")).set_index("metric")
    assert measured.loc["srcc", "n"] == 56
    assert measured.loc["srcc", "unparsed"] == 4
    assert measured.loc["srcc", "low"] < measured.loc["srcc", "value"] < measured.loc["srcc", "high"]


def test_undefined_is_said_with_its_reason(predictions):
    predictions["prediction"] = 50.0
    shown = tables.results_table(pd.DataFrame(tables.measure(predictions, "constant")))
    assert shown.loc[0, "SRCC"] == "undefined: the predictions are constant"


def test_our_rows_stand_below_the_papers_and_say_whose_they_are(predictions):
    measured = pd.DataFrame(tables.measure(predictions, "mine"))
    beside = tables.beside_paper(measured, "vq_insight_table3", "tiny")
    assert beside["whose"].tolist()[-2:] == ["ours, tiny", "ours, tiny"]
    assert set(beside["whose"][:-2]) == {"VQ-Insight, Table 3"}
    assert beside.iloc[-1]["konvid/all"] == ""  # a set that was not scored stays empty


def test_saved_tables_carry_the_profile(run, predictions):
    table = tables.results_table(pd.DataFrame(tables.measure(predictions, "mine")))
    path = tables.save_table(run, "small", table, "A caption.")
    assert path.read_text().startswith("A caption. Profile: tiny.")
    assert "Profile: tiny." in path.with_suffix(".tex").read_text()
    assert pd.read_csv(path.with_suffix(".csv"))["n"].tolist() == [56]


def test_unknown_published_table_lists_the_known():
    with pytest.raises(FileNotFoundError, match="vq_insight_table3"):
        tables.published("vq_insight_table99")


def test_order_awareness_counts_ties_apart(predictions):
    shuffled = predictions.assign(prediction=predictions["prediction"] - 1)
    shuffled.loc[10, "prediction"] = predictions.loc[10, "prediction"]
    row = tables.order_awareness({"m": predictions}, {"m": shuffled}, "lsvq", "test").iloc[0]
    assert row["n"] == 56
    assert row["ties"] == 1
    assert row["share above its shuffled copy"].startswith("0.982")  # 55 of 56


def test_figures_are_saved_with_their_data(run, predictions):
    log = [{"step": s, "rewards/format/mean": 1.0, "rewards/score/mean": 0.5 + s / 10, "unparsed": 0.0} for s in (1, 2)]
    data = figures.reward_data({"stage": log})
    assert set(data["component"]) == {"format", "score", "unparsed answers"}
    png = figures.save_figure(run, "rewards", figures.draw_rewards(data, "title"), data)
    assert png.stat().st_size > 1000
    assert png.with_suffix(".pdf").exists()
    assert len(pd.read_csv(png.with_suffix(".csv"))) == len(data)
    scatter = figures.draw_scatter({"m": predictions}, "title")
    assert "n=60, unparsed 4" in scatter.axes[0].get_title()


def test_captions_say_when_there_is_no_score(predictions):
    assert "no readable score" in figures.caption(predictions.iloc[0])
    assert "\u201cx\u201d" in figures.caption(predictions.iloc[10])


def test_every_figure_draws(run, predictions):
    strips = [np.zeros((4, 8, 12, 3), np.uint8)] * 2
    assert len(figures.draw_clips(strips, ["one", "two"], "clips").axes) == 2
    measured = pd.DataFrame(tables.measure(predictions, "m")).query("metric == 'srcc'")
    assert figures.draw_intervals(measured, "intervals").axes[0].get_title() == "intervals"
    losses = pd.DataFrame({"phase": ["a", "a", "b"], "step": [0, 1, 0], "loss": [2.0, 1.0, 3.0]})
    assert len(figures.draw_losses(losses, "losses").axes) == 2
