"""Reliability and calibration error: against a loop, and answers that are what they say."""

import numpy as np
import pandas as pd
import pytest

from vqa_lib.calibration import calibration_error, reliability


def answered(chance, truth, clips=None):
    clips = range(len(chance)) if clips is None else clips
    return pd.DataFrame({"probability": chance, "true_answer": truth, "clip": [str(clip) for clip in clips]})


def random_answers(n=500, seed=0, true_as_said=True):
    random = np.random.default_rng(seed)
    chance = random.random(n)
    yes = random.random(n) < (chance if true_as_said else 0.5)
    return answered(chance, np.where(yes, "yes", "no"), random.integers(0, 40, n))


def by_loop(table, bins):
    total = 0.0
    for number in range(bins):
        last = number == bins - 1
        upper = table["probability"] <= 1.0 if last else table["probability"] < (number + 1) / bins
        part = table[(table["probability"] >= number / bins) & upper]
        if len(part):
            total += len(part) * abs(part["probability"].mean() - (part["true_answer"] == "yes").mean())
    return total / len(table)


@pytest.mark.parametrize("bins", [1, 4, 10])
def test_against_a_loop(bins):
    table = random_answers()
    table.loc[:2, "probability"] = [0.0, 0.5, 1.0]
    error = calibration_error(table, bins=bins)
    assert error.value == pytest.approx(by_loop(table, bins)) and error.n == len(table)
    assert error.low <= error.high


def test_answers_that_are_what_they_say_are_better_than_answers_by_chance():
    honest, chance = (
        calibration_error(random_answers(4000)),
        calibration_error(random_answers(4000, true_as_said=False)),
    )
    assert honest.value < 0.05 < 0.2 < chance.value
    assert chance.low > honest.high


def test_perfect_and_worst():
    assert calibration_error(answered([1.0, 0.0], ["yes", "no"])).value == 0
    assert calibration_error(answered([1.0, 0.0], ["no", "yes"])).value == 1


def test_a_clip_is_drawn_with_all_its_questions():
    """Clips of equal answers: by questions the interval would be narrower."""
    random = np.random.default_rng(0)
    clips = np.repeat(np.arange(12), 20)
    truth = np.repeat(np.where(random.random(12) < 0.5, "yes", "no"), 20)
    table = answered(np.full(240, 0.5), truth, clips)
    together, apart = calibration_error(table), calibration_error(table.assign(clip=[str(n) for n in range(240)]))
    assert together.value == apart.value
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_the_order_of_questions_does_not_matter():
    table = random_answers()
    shuffled = table.sample(frac=1, random_state=1)
    assert calibration_error(shuffled).value == pytest.approx(calibration_error(table).value)
    assert reliability(shuffled).equals(reliability(shuffled.reset_index(drop=True)))


def test_answers_without_a_probability_are_left_out():
    table = answered([0.9, np.nan, 0.9], ["yes", "no", "no"])
    assert reliability(table)["n"].tolist() == [2] and calibration_error(table).n == 2


def test_too_little_and_unknown_answers():
    assert "at least 2 clips" in calibration_error(answered([0.5, 0.6], ["yes", "no"], [1, 1])).reason
    with pytest.raises(ValueError, match="must be yes or no, found \\['maybe'\\]"):
        reliability(answered([0.5], ["maybe"]))
