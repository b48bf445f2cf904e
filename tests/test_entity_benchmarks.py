"""Benchmarks without questions of their own: who is asked what, and scores and differences that come of it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vqa_lib.entity_benchmarks import (
    clip_predictions,
    measure_differences,
    pair_predictions,
    questions_about_records,
    split_by_prompt,
)
from vqa_lib.entity_grammar import grammar_questions
from vqa_lib.metrics import pair_metrics
from vqa_lib.predictions import clip_of
from vqa_lib.records import Pair, Scale, ScoredClip

CAT, DOG = "a cat sits on a roof", "a dog runs"
WRITTEN = {prompt: grammar_questions(prompt) for prompt in (CAT, DOG)}


def clip(name: str, prompt: str | None, score: float = 3.0) -> ScoredClip:
    return ScoredClip(
        name, Path(f"{name}.mp4"), "video", {"overall": score}, Scale(1, 5), "bench", "all", prompt=prompt
    )


def pair(name: str, prompt: str, preference: str) -> Pair:
    return Pair(name, Path(f"{name}a.mp4"), Path(f"{name}b.mp4"), "video", preference, "monet", "test", prompt)


def test_each_clip_is_asked_about_its_own_prompt():
    questions = questions_about_records([clip("1", CAT), clip("2", DOG), clip("3", "hello")], WRITTEN)
    assert [clip_of(each) for each in questions] == ["1"] * len(WRITTEN[CAT]) + ["2"] * len(WRITTEN[DOG])
    assert questions[0].path == Path("1.mp4") and questions[0].prompt == CAT and questions[0].answer is None
    with pytest.raises(ValueError, match="none is published for '4'"):
        questions_about_records([clip("4", None)], WRITTEN)


def test_both_clips_of_a_pair_are_asked_the_same():
    questions = questions_about_records([pair("7", DOG, "first")], WRITTEN)
    by_clip = {name: [each.question for each in questions if clip_of(each) == name] for name in ("7/first", "7/second")}
    assert by_clip["7/first"] == by_clip["7/second"] == [each.question for each in WRITTEN[DOG]]
    assert {each.path for each in questions} == {Path("7a.mp4"), Path("7b.mp4")}


def test_scores_beside_peoples():
    scored = pd.DataFrame({"clip": ["2", "1"], "prediction_overall": [0.2, 0.9]})
    table = clip_predictions([clip("1", CAT, 4.0), clip("2", DOG, 2.0), clip("3", "hello", 1.0)], scored)
    assert table["prediction"].tolist()[:2] == [0.9, 0.2] and np.isnan(table["prediction"][2])
    assert table["target"].tolist() == [4.0, 2.0, 1.0]


def test_differences_are_judged_as_margins():
    pairs = [pair("1", DOG, "first"), pair("2", DOG, "second"), pair("3", DOG, "tie"), pair("4", DOG, "first")]
    names = [f"{number}/{side}" for number in (1, 2, 3) for side in ("first", "second")]
    scored = pd.DataFrame({"clip": names, "prediction_overall": [3.0, 1.0, 2.0, 1.5, 1.0, 1.1]})
    compared = pair_predictions(pairs, scored)
    assert compared["difference"].tolist()[:3] == pytest.approx([2.0, 0.5, -0.1]) and np.isnan(
        compared["difference"][3]
    )
    rows = pd.DataFrame(measure_differences(compared, "ours", resamples=20)).set_index("metric")
    expected = pair_metrics([2.0, 0.5, -0.1, None], ["A", "B", "tie", "A"], resamples=20)
    assert rows.loc["tau", "value"] == expected["tau"].value and rows.loc["diff", "value"] == expected["diff"].value
    assert rows["unparsed"].eq(1).all() and rows["dataset"].eq("monet/test").all()


@pytest.mark.parametrize(("share", "fitted"), [(0.01, 1), (0.5, 2), (1.0, 3)])
def test_weights_are_fitted_and_tested_on_different_prompts(share, fitted):
    clips = [clip(f"{prompt}{number}", prompt) for number in range(3) for prompt in ("a", "b", "c", "d")]
    training, tested = split_by_prompt(clips, share)
    assert {each.prompt for each in training} == set("abcd"[:fitted])
    assert {each.prompt for each in tested} == set("abcd"[fitted:]) and len(training) + len(tested) == 12
    with pytest.raises(ValueError, match="tested on others, but there is 1"):
        split_by_prompt(clips[::4], share)
