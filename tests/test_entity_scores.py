"""From answers about entities to scores of clips: against sums by hand, scipy, and what unreadable answers do."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from vqa_lib.entity_scores import (
    SHORT,
    fit_weights,
    measure_entities,
    measure_levels,
    rated_clips,
    score_clips_by_entities,
    score_entities,
)
from vqa_lib.prompts import PROMPTS
from vqa_lib.records import Question, Scale

NAMES = list(SHORT)


def answered(clips: int = 12, each: int = 2, seed: int = 0) -> pd.DataFrame:
    """Made-up answers: `each` questions a dimension and clip, of mixed polarity."""
    random = np.random.default_rng(seed)
    rows = []
    for clip in range(clips):
        for dimension in NAMES:
            for number in range(each):
                chance = float(random.random())
                rows.append({
                    "dataset": "finger", "split": "test", "name": f"{clip}/{dimension}/{number}",
                    "clip": f"{clip}.mp4", "prompt": "a cat", "dimension": dimension, "category": None,
                    "entity": "cat", "polarity": ("yes", "no")[number % 2], "probability": chance,
                    "answer": "yes" if chance > 0.5 else "no", "response": "",
                    "true_answer": ("yes", "no")[int(random.integers(2))],
                })  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("probability", "answer", "polarity", "soft", "hard"),
    [
        (0.8, "yes", "yes", 0.8, 1.0),
        (0.8, "yes", "no", 0.2, 0.0),
        (0.3, "no", "no", 0.7, 1.0),
        (0.3, "no", "yes", 0.3, 0.0),
    ],
)
def test_what_a_question_says_for_its_clip(probability, answer, polarity, soft, hard):
    table = pd.DataFrame([{"probability": probability, "answer": answer, "polarity": polarity}])
    assert score_entities(table)[0] == pytest.approx(soft)
    assert score_entities(table, probability=False)[0] == hard


def test_scores_of_clips_are_sums_and_their_equal_average():
    table = answered()
    clips = score_clips_by_entities(table)
    assert len(clips) == 12 and clips["questions"].eq(10).all() and clips["unparsed"].eq(0).all()
    part = table[table["clip"] == "3.mp4"]
    by_hand = {
        name: sum(p if side == "yes" else 1 - p for p, side in each[["probability", "polarity"]].to_numpy())
        for name, each in part.groupby("dimension")
    }
    row = clips.set_index("clip").loc["3.mp4"]
    for name, short in SHORT.items():
        assert row[f"prediction_{short}"] == pytest.approx(by_hand[name])
    assert row["prediction_overall"] == pytest.approx(np.mean(list(by_hand.values())))
    means = score_clips_by_entities(table, mean=True).set_index("clip").loc["3.mp4"]
    assert means["prediction_factual"] == pytest.approx(by_hand["factual consistency"] / 2)
    weighted = score_clips_by_entities(table, weights=dict.fromkeys(NAMES, 0.0) | {"dynamic degree": 2.0})
    assert weighted["prediction_overall"].equals(weighted["prediction_dynamic"])


def test_targets_are_made_of_the_true_answers():
    table = answered(clips=1)
    clips = score_clips_by_entities(table)
    right = [truth == side for truth, side in table[["true_answer", "polarity"]].to_numpy()]
    assert clips["target_overall"][0] == pytest.approx(sum(right) / 5)
    unknown = score_clips_by_entities(table.assign(true_answer=None))
    assert unknown.filter(like="target_").isna().all(axis=None) and unknown["prediction_overall"].notna().all()


def test_an_unreadable_answer_leaves_its_clip_without_that_score():
    table = answered(clips=2)
    table.loc[0, ["probability", "answer"]] = [np.nan, None]
    for probability in (True, False):
        clips = score_clips_by_entities(table, probability)
        assert clips["unparsed"].tolist() == [1, 0]
        assert clips["prediction_visual_quality"].isna().tolist() == [True, False]
        assert clips["prediction_overall"].isna().tolist() == [True, False]
        assert clips["prediction_factual"].notna().all() and clips["target_overall"].notna().all()


def test_a_clip_without_questions_in_a_dimension_is_scored_by_the_others():
    table = answered(clips=2)
    table = table[(table["clip"] != "0.mp4") | (table["dimension"] != "dynamic degree")]
    clips = score_clips_by_entities(table, weights=dict(zip(NAMES, (1, 2, 3, 4, 5), strict=True)))
    row = clips.iloc[0]
    assert np.isnan(row["prediction_dynamic"])
    others = [row[f"prediction_{short}"] for short in ("visual_quality", "temporal", "alignment", "factual")]
    assert row["prediction_overall"] == pytest.approx(np.average(others, weights=[1, 2, 4, 5]))


@pytest.mark.parametrize("probability", [True, False])
def test_figures_of_the_papers_tables_are_scipys(probability):
    table = answered(clips=30)
    table.loc[3, ["probability", "answer"]] = [np.nan, None]  # visual quality's, of the first clip
    rows = pd.DataFrame(measure_entities(table, "ours", probability, resamples=20)).set_index(["dataset", "metric"])
    clips = score_clips_by_entities(table, probability)
    for short in SHORT.values():
        read = clips[clips[f"prediction_{short}"].notna()]
        found = rows.loc[f"finger/test/{short}"]
        pair = read[f"prediction_{short}"], read[f"target_{short}"]
        assert found.loc["srcc", "value"] == pytest.approx(stats.spearmanr(*pair).statistic)
        assert found.loc["plcc", "value"] == pytest.approx(stats.pearsonr(*pair).statistic)
        assert found.loc["srcc", "n"] == len(read)
    right = table["answer"] == table["true_answer"]
    assert rows.loc[("finger/test/overall", "accuracy"), "unparsed"] == 1
    assert rows.loc[("finger/test/overall", "srcc"), "unparsed"] == 1
    factual = table["dimension"] == "factual consistency"
    assert rows.loc[("finger/test/factual", "accuracy"), "value"] == pytest.approx(right[factual].mean())


def test_the_order_of_questions_does_not_matter():
    table = answered()
    shuffled = (
        score_clips_by_entities(table.sample(frac=1, random_state=1))
        .set_index("clip")
        .loc[lambda t: t.index.sort_values()]
    )
    whole = score_clips_by_entities(table).set_index("clip").loc[lambda t: t.index.sort_values()]
    pd.testing.assert_frame_equal(shuffled, whole)


def test_weights_are_found_again():
    clips = score_clips_by_entities(answered(clips=40))
    truth = dict(zip(NAMES, (0.5, 0.0, 0.3, 0.0, 0.2), strict=True))
    targets = 1 + 4 * sum(weight * clips[f"prediction_{SHORT[name]}"] for name, weight in truth.items())
    assert fit_weights(clips, targets) == pytest.approx(truth, abs=1e-6)
    clips.loc[0, "prediction_factual"] = np.nan
    assert fit_weights(clips, targets) == pytest.approx(truth, abs=1e-6)
    with pytest.raises(ValueError, match="no dimension rises"):
        fit_weights(clips, -targets * 0 - clips.filter(like="prediction_").sum(axis=1))
    with pytest.raises(ValueError, match="found 1"):
        fit_weights(clips.iloc[1:2], targets.iloc[1:2])


def asked(clip: str, dimension: str, number: int, answer: str | None = "yes") -> Question:
    return Question(
        name=f"{clip}: {dimension} {number}?", path=Path(clip), kind="video", question=f"{dimension} {number}?",
        options=(), answer=answer, dataset="finger", split="test", dimension=dimension, prompt="a cat", entity="cat",
        polarity=("yes", "no")[number % 2],
    )  # fmt: skip


def test_clips_to_be_rated_carry_what_the_true_answers_give():
    questions = [asked(clip, name, number) for clip in ("a.mp4", "b.mp4") for name in NAMES for number in range(3)]
    whole, other = rated_clips(questions, overall=True)
    assert (whole.scores, whole.scale, whole.prompt) == ({"overall": 2.0}, Scale(0, 15), "a cat")  # yes, no, yes
    assert other.path == Path("b.mp4")
    each, _ = rated_clips(questions, overall=False)
    assert each.scores == dict.fromkeys(PROMPTS["finger/dimension_level"].dimensions, 2.0)
    for lacking in (questions[:-3], [*questions, asked("b.mp4", NAMES[0], 3, None)]):
        assert [clip.name for clip in rated_clips(lacking, overall=False)] == ["a.mp4"]
    assert len(rated_clips(questions[:-3], overall=True)) == 2


def test_ratings_of_whole_videos_are_judged_as_scores_are():
    random = np.random.default_rng(0)
    where = {"dataset": ["finger"] * 20, "split": ["test"] * 20}
    whole = pd.DataFrame({**where, "prediction": random.integers(1, 5, 20), "target": random.random(20)}).astype(
        {"prediction": float}
    )
    whole.loc[0, "prediction"] = np.nan
    rows = pd.DataFrame(measure_levels(whole, "ours", resamples=20)).set_index(["dataset", "metric"])
    read = whole.dropna()
    expected = stats.spearmanr(read["prediction"], read["target"]).statistic
    assert rows.loc[("finger/test/overall", "srcc"), "value"] == pytest.approx(expected)
    assert rows.loc[("finger/test/overall", "srcc"), ["n", "unparsed"]].tolist() == [19, 1]
    parts = {f"prediction_{name}": random.integers(1, 5, 20) for name in NAMES}
    parts |= {f"target_{name}": random.random(20) for name in NAMES}
    each = pd.DataFrame({**where, **parts})
    rows = pd.DataFrame(measure_levels(each, "ours", resamples=20)).set_index(["dataset", "metric"])
    assert set(rows.index.get_level_values(0)) == {f"finger/test/{name}" for name in (*SHORT.values(), "overall")}
    means = [each[[f"{kind}_{name}" for name in NAMES]].mean(axis=1) for kind in ("prediction", "target")]
    assert rows.loc[("finger/test/overall", "plcc"), "value"] == pytest.approx(stats.pearsonr(*means).statistic)
