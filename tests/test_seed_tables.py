"""Tables over seeds, on figures small enough to check by hand."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up_runs import write_finger_run, write_rows, write_vqathinker_run
from scipy import stats

from vqa_lib import seed_tables
from vqa_lib.datasets.finevd import ATTRIBUTES
from vqa_lib.metrics import paired_bootstrap, paired_bootstrap_dimensions, paired_bootstrap_pairs
from vqa_lib.predictions import predictions_table
from vqa_lib.results import RunError
from vqa_lib.shown_clips import clips_of_prompts, telling_pair

ROOT = Path(__file__).parents[1]
UNDERSTANDING = ("vqathinker", "understanding")
ZERO_SHOT = {"zero-shot": ("understanding_zero_shot", "before")}
ANSWERS = {"profile": "tiny", "seeds": [0], "metrics": ["accuracy"], "kind": "mentions", "by": "dimension"}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A checkout without results."""
    for name in ("notebooks", "params"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.setenv("VQA_PROJECT", str(tmp_path))
    monkeypatch.setenv("VQA_RESULTS", str(tmp_path / "results"))


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


def clip_shares(run, state):
    """Of each clip the share of right answers, all rows one by one."""
    right = {}
    for answer in predictions_table(run.path / "predictions" / f"{state}_mentions.jsonl").to_dict("records"):
        right.setdefault(answer["clip"], []).append(answer["answer"] == answer["true_answer"])
    return [np.mean(right[clip]) for clip in sorted(right)]


def test_differences_of_answers_resample_clips(project):
    runs = {name: write_vqathinker_run(name, 0) for name in ("understanding", "understanding_zero_shot")}
    found = seed_tables.paired_differences(*UNDERSTANDING, ZERO_SHOT, **ANSWERS).set_index("dataset")
    assert {name.split("/")[-1] for name in found.index} == {*ATTRIBUTES, "overall"}
    shares = clip_shares(runs["understanding"], "after"), clip_shares(runs["understanding_zero_shot"], "before")
    whole = found.loc["finevd/test/overall"]  # as the paper's table calls it
    assert whole["difference"] == pytest.approx(np.mean(shares[0]) - np.mean(shares[1]))
    reference = stats.bootstrap(
        shares, lambda one, other, axis: np.mean(one - other, axis=axis), paired=True, n_resamples=20000,
        method="percentile", vectorized=True, rng=0,
    ).confidence_interval  # fmt: skip
    assert [whole["low"], whole["high"]] == pytest.approx([reference.low, reference.high], abs=0.03)
    assert set(found["n"]) == {10}  # clips, not their 50 questions

    swapped = seed_tables.paired_differences(
        "vqathinker", ZERO_SHOT["zero-shot"], {"VQAThinker": "understanding"}, **ANSWERS
    )
    assert swapped["difference"].tolist() == pytest.approx((-found["difference"]).tolist())
    same = seed_tables.paired_differences(*UNDERSTANDING, {"itself": "understanding"}, **ANSWERS)
    assert not same[["difference", "low", "high"]].to_numpy().any()


def test_an_unreadable_answer_is_not_right_and_an_unknown_truth_does_not_count(project):
    answers = [("yes", "yes"), (None, "yes"), ("no", None), ("no", "no")]
    for name in ("understanding", "understanding_q_insight"):
        run = write_vqathinker_run(name, 0)
        said = answers if name == "understanding" else [(None, truth) for _, truth in answers]
        rows = [
            {
                "dataset": "d",
                "split": "s",
                "name": str(index),
                "clip": str(index),
                "answer": answer,
                "true_answer": truth,
            }
            for index, (answer, truth) in enumerate(said)
        ]
        write_rows(run, "after_mentions", rows)
    other = {"Q-Insight": "understanding_q_insight"}
    found = seed_tables.paired_differences(*UNDERSTANDING, other, **ANSWERS | {"by": None})
    assert found["difference"].tolist() == pytest.approx([2 / 3])
    assert found["n"].tolist() == [3]


def test_differences_of_ratings_and_of_pairs_are_the_paired_bootstraps(project):
    folders = {name: write_finger_run(name, 0).path for name in ("benchmarks_grpo", "benchmarks_sft")}
    for kind, metrics in {"clips": ["srcc", "plcc"], "pairs": ["tau", "diff"]}.items():
        one, other = (predictions_table(path / f"predictions/after_{kind}.jsonl") for path in folders.values())
        found = seed_tables.paired_differences(
            "finger", "benchmarks_grpo", {"SFT": "benchmarks_sft"}, "tiny", [0], metrics, kind
        ).set_index("metric")
        one, other = (table.sort_values("name", ignore_index=True) for table in (one, other))
        for metric in metrics:
            if kind == "clips":
                wanted = paired_bootstrap(one["prediction"], other["prediction"], one["target"], metric)
            else:
                labels = one["preference"].map({"first": "A", "second": "B"}).tolist()
                wanted = paired_bootstrap_pairs(one["difference"], other["difference"], labels, metric)
            assert found.loc[metric, ["difference", "low", "high", "p"]].tolist() == pytest.approx(list(wanted))
        assert set(found["n"]) == {len(one)}


def test_what_cannot_be_compared_is_one_clear_error(project):
    run = write_vqathinker_run("understanding", 0)
    other = write_vqathinker_run("understanding_zero_shot", 0)
    with pytest.raises(ValueError, match="answers to questions have an accuracy, no 'srcc'"):
        seed_tables.paired_differences(*UNDERSTANDING, ZERO_SHOT, **ANSWERS | {"metrics": ["srcc"]})
    rows = predictions_table(other.path / "predictions/before_mentions.jsonl")
    write_rows(other, "before_mentions", rows[1:].to_dict("records"))
    with pytest.raises(ValueError, match="were tested on different clips"):
        seed_tables.paired_differences(*UNDERSTANDING, ZERO_SHOT, **ANSWERS)
    (run.path / "predictions/after_mentions.jsonl").unlink()
    wanted = r"has no predictions/after_mentions\.jsonl; make it anew with: vqa run vqathinker/understanding .* --force"
    with pytest.raises(RunError, match=wanted):
        seed_tables.paired_differences(*UNDERSTANDING, ZERO_SHOT, **ANSWERS)


def test_a_table_of_differences_has_their_mean_and_says_what_is_sure():
    rows = [
        difference("SFT", "srcc", 0.2, 0.1, 0.3),
        difference("SFT", "srcc", -0.1, -0.2, -0.05, seed=1),
        difference("SFT", "plcc", 0.1, -0.1, 0.2),
        difference("SFT", "plcc", np.nan, np.nan, np.nan, seed=1),
    ]
    shown = seed_tables.differences_table(pd.DataFrame(rows))
    assert shown["seed"].tolist() == [0, 1, "mean of 2"] * 2
    assert shown["surely"].tolist() == [
        *["better", "worse", "better in 1, worse in 1 of 2"],
        *["no", "undefined", "better in 0, worse in 0 of 2"],
    ]
    assert shown.loc[2, ["difference", "low", "high"]].tolist() == pytest.approx([0.05, -0.1, 0.2])
    assert shown["difference"].isna().tolist() == [False] * 4 + [True] * 2
    words = seed_tables.differences_in_words(pd.DataFrame(rows), "GRPO").splitlines()
    assert words[0].endswith(
        "srcc: 0.050 (-0.100 to 0.200) on average over 2 seeds; surely better in 1, surely worse in 1."
    )
    assert words[1] == "GRPO minus SFT, lgvq/test/mean, plcc: undefined for 1 of 2 seed(s)."
    alone = pd.DataFrame(rows[2:3]).assign(of="GRPO")
    assert len(seed_tables.differences_table(alone)) == 1
    assert seed_tables.differences_in_words(alone).endswith(
        "0.100 [-0.100, 0.200], one seed only; not surely different."
    )


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
