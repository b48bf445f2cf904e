"""Tables over seeds, on figures small enough to check by hand."""

import numpy as np
import pandas as pd
import pytest

from vqa_lib import seed_tables
from vqa_lib.metrics import paired_bootstrap, paired_bootstrap_dimensions
from vqa_lib.shown_clips import clips_of_prompts, telling_pair


def row(seed, value, metric="srcc", reason=None, n=10, unparsed=1):
    found = {"model": "m", "seed": seed, "run": "r", "dataset": "lgvq/test/mean", "metric": metric, "value": value}
    return found | {"low": value - 0.1, "high": value + 0.1, "n": n, "unparsed": unparsed, "reason": reason}


def test_the_mean_has_the_range_of_the_seeds_not_an_interval():
    shown = seed_tables.with_means(pd.DataFrame([row(0, 0.5), row(1, 0.7, n=9)]))
    mean = shown.iloc[-1]
    assert len(shown) == 3
    assert mean["seed"] == "mean of 2"
    assert mean[["value", "low", "high", "n", "unparsed"]].tolist() == pytest.approx([0.6, 0.5, 0.7, 9, 2])
    assert seed_tables.show_cell(mean) == "0.600 (0.500 to 0.700), n = 9, unparsed 2"
    assert seed_tables.one_a_method(pd.DataFrame([row(0, 0.5), row(1, 0.7)]))["value"].tolist() == pytest.approx([0.6])


def test_one_seed_has_no_mean():
    one = pd.DataFrame([row(3, 0.5)])
    assert seed_tables.with_means(one).equals(one)
    assert seed_tables.one_a_method(one)["seed"].tolist() == [3]


def test_a_mean_of_an_undefined_value_is_undefined():
    shown = seed_tables.with_means(pd.DataFrame([row(0, 0.5), row(1, np.nan, reason="constant")]))
    assert seed_tables.show_cell(shown.iloc[1]) == "undefined: constant"
    assert seed_tables.show_cell(shown.iloc[2]) == "undefined: undefined for 1 of 2 seeds"


def test_ours_below_the_papers_with_percent_where_the_paper_has_it():
    measured = pd.DataFrame([row(0, 0.5)])
    beside = seed_tables.seeds_beside_paper(measured, "vq_insight_table4", "tiny", ("srcc",))
    assert beside.iloc[-1].tolist() == ["m", "ours, tiny", 0, "SRCC", "0.500 [0.400, 0.600], n = 10, unparsed 1"]
    assert beside["whose"].tolist()[:-1] == ["VQ-Insight, Table 4"] * 4
    assert seed_tables.show_cell(row(0, 0.5, "tau")).startswith("50.00 [40.00, 60.00]")


def difference(row, metric, value, low, high, seed=0):
    found = {"row": row, "seed": seed, "dataset": "lgvq/test/mean", "metric": metric}
    return found | {"difference": value, "low": low, "high": high, "p": 0.5, "n": 10}


def test_words_say_what_agrees_and_what_is_sure():
    rows = [
        difference("(b) without temporal reward", "srcc", 0.04, 0.01, 0.07),
        difference("(b) without temporal reward", "plcc", -0.02, -0.05, 0.01),
        difference("(c) without length reward", "srcc", 0.0, -0.01, 0.01),
    ]
    beside = seed_tables.beside_paper_differences(pd.DataFrame(rows), "vq_insight_table4", "(d) VQ-Insight")
    assert beside["paper"].tolist() == [0.092, 0.082, 0.062]
    assert beside["surely"].tolist() == [1, 0, 0]
    words = seed_tables.signs_in_words(beside).splitlines()
    assert words[0] == (
        "(b) without temporal reward: agrees with the paper's sign in SRCC; contradicts the paper's sign in PLCC "
        "(the 95 % interval leaves out 0 in 1 of 2 comparisons)."
    )
    assert words[1].startswith("(c) without length reward: shows no difference in SRCC")


def test_paired_bootstrap_over_dimensions():
    random = np.random.default_rng(0)
    truth = {name: random.uniform(0, 100, 50) for name in ("spatial", "temporal")}
    good = {name: column + random.normal(0, 10, 50) for name, column in truth.items()}
    bad = {name: column + random.normal(0, 60, 50) for name, column in truth.items()}
    found = paired_bootstrap_dimensions(good, bad, truth)
    assert found.low > 0
    assert found.p < 0.05
    each = [paired_bootstrap(good[name], bad[name], truth[name]).difference for name in truth]
    assert found.difference == pytest.approx(np.mean(each))
    assert paired_bootstrap_dimensions(bad, good, truth).difference == pytest.approx(-found.difference)
    # With one dimension it is the plain one.
    one = [{"spatial": table["spatial"]} for table in (good, bad, truth)]
    assert paired_bootstrap_dimensions(*one) == paired_bootstrap(*(table["spatial"] for table in one))


def test_paired_bootstrap_over_dimensions_uses_the_videos_that_both_answered_whole():
    truth = {"spatial": [1, 2, 3, 4, 5], "temporal": [1, 2, 3, 4, 5]}
    a = {"spatial": [1, 2, 3, 4, None], "temporal": [1, 2, 3, 4, 0]}
    b = {"spatial": [2, 1, 3, 4, 5], "temporal": [1, 2, 4, 3, 5]}
    assert paired_bootstrap_dimensions(a, b, truth).difference == pytest.approx(0.2)  # SRCC 1 against 0.8, of four
    assert np.isnan(paired_bootstrap_dimensions({**a, "spatial": [1, 1, 1, 1, 1]}, b, truth).difference)
    with pytest.raises(ValueError, match="metric must be one of"):
        paired_bootstrap_dimensions(a, b, truth, "mse")
    with pytest.raises(ValueError, match=r"predictions of \['spatial'\]"):
        paired_bootstrap_dimensions({"spatial": [1]}, b, truth)
    with pytest.raises(ValueError, match="differ in length"):
        paired_bootstrap_dimensions({**a, "spatial": [1]}, b, truth)


def said(answer, swapped, preference="first"):
    return {"preference": preference, "answer": answer, "swapped_answer": swapped}


def test_the_telling_pair_is_the_first_on_which_the_whole_method_alone_is_right():
    right, wrong, unread = said("first", "first"), said("second", "first"), said(None, "first")
    whole = [wrong, said("first", "second"), right, said("second", "second", "tie"), right, right, right]
    other = [right, wrong, right, said("first", "first", "tie"), unread, wrong, wrong]
    assert telling_pair(whole, other) == 5
    assert telling_pair(whole[:5], other[:5]) is None
    assert telling_pair([said(None, None, None)], [right]) is None  # nothing is agreed upon in silence


def test_clips_of_prompts_names_what_is_missing(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "prompts.csv").write_text("file,prompt\na.mp4,a ball\na_1.mp4,a ball\nb.mp4,a cat\n")
    (tmp_path / "base" / "a.mp4").write_bytes(b"")
    found = clips_of_prompts(tmp_path, ["base"], 1)
    assert found.to_dict("records") == [{"model": "base", "file": "a.mp4", "prompt": "a ball"}]
    with pytest.raises(FileNotFoundError, match=r"base/b\.mp4: the clip that prompts\.csv names is missing"):
        clips_of_prompts(tmp_path, ["base"], 2)
    (tmp_path / "prompts.csv").write_text("file\na.mp4\n")
    with pytest.raises(ValueError, match=r"prompts\.csv: no column prompt"):
        clips_of_prompts(tmp_path, ["base"], 1)
