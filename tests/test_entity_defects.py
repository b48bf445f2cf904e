"""What each answer costs a clip: it adds up to what the clip lacks; and defects in words."""

import numpy as np
import pandas as pd
import pytest
from test_entity_scores import NAMES, answered

from vqa_lib.entity_defects import confirmed, costs, defects
from vqa_lib.entity_scores import score_clips_by_entities

WEIGHTS = dict(zip(NAMES, (0.5, 0.2, 0.1, 0.1, 0.1), strict=True))


def worded(**options):
    table = answered(**options)
    return table.assign(question=["Is it?"] * len(table), reason="")


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("probability", [True, False])
def test_costs_add_up_to_what_a_clip_lacks(weights, probability):
    table = answered(clips=7)
    table = table.drop(index=[0, 3, 4])  # dimensions with different numbers of questions
    table = table[~((table["clip"] == "2.mp4") & (table["dimension"] == NAMES[0]))].sample(frac=1, random_state=0)
    found = costs(table, probability, weights).groupby("clip")["cost"].sum()
    clips = score_clips_by_entities(table, probability, mean=True, weights=weights).set_index("clip")
    assert (found.loc[clips.index] + clips["prediction_overall"]).to_numpy() == pytest.approx(np.ones(len(clips)))


def test_the_rows_stay_as_they_were():
    table = answered(clips=3)
    pd.testing.assert_frame_equal(costs(table)[list(table)], table)


def test_unreadable_answers_cost_nothing_known():
    table = answered(clips=2)
    table.loc[1, ["answer", "probability"]] = [None, np.nan]
    assert costs(table)["cost"].isna().tolist() == [number == 1 for number in range(len(table))]


def test_the_costliest_answers_against_a_clip_are_named_first():
    found = defects(costs(worded(clips=20)), most=2)
    assert (found.groupby("clip").size() <= 2).all()
    assert found.groupby("clip")["cost"].apply(lambda cost: cost.is_monotonic_decreasing).all()
    every = defects(costs(worded(clips=20)), most=100)
    assert found.groupby("clip")["cost"].max().equals(every.groupby("clip")["cost"].max())


def test_words_and_whether_they_are_right():
    table = worded(clips=1, each=1).iloc[:2].assign(
        polarity=["no", "yes"], answer=["yes", "no"], probability=[0.93, 0.2], true_answer=["yes", "yes"],
        question=["Does it change?", "Is it there?"], reason=["It turns blue.", ""],
    )  # fmt: skip
    found = defects(costs(table)).sort_values("words", ignore_index=True)
    assert found["words"].tolist() == [
        'cat, temporal consistency: "Is it there?" no (0.80)',
        'cat, visual quality: "Does it change?" yes (0.93); It turns blue.',
    ]
    assert found["right"].tolist() == [False, True]
    assert confirmed(found.assign(clip=["a", "b"])).value == 0.5


def test_a_clip_that_all_answers_speak_for_has_no_defect():
    table = worded(clips=2).assign(polarity="yes", answer="yes", probability=0.9)
    found = defects(costs(table))
    assert found.empty and "words" in found


def test_without_annotations_nothing_is_confirmed():
    assert set(defects(costs(worded(clips=3).assign(true_answer=None)))["right"]) == {None}
