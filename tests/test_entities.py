"""FingER's equations 1 to 4 by hand."""

import numpy as np
import pytest
from scipy.special import softmax

from vqa_lib.entities import (
    dimension_score,
    entity_score,
    hard_entity_score,
    overall_score,
    yes_no_probabilities,
)


def test_probabilities_are_a_softmax_over_both_sets():
    logits = np.random.default_rng(0).normal(0, 3, 50)
    yes, no = [4, 9, 20], [1, 30]
    expected = softmax(logits[[*yes, *no]])
    found = yes_no_probabilities(logits, yes, no)
    assert found == pytest.approx((expected[:3].sum(), expected[3:].sum()), abs=1e-12)
    assert yes_no_probabilities(logits + 1000, yes, no) == pytest.approx(found)  # large logits do not overflow
    assert yes_no_probabilities(logits, no, yes) == pytest.approx(found[::-1])
    other = logits.copy()
    other[2] = 99.0  # a token of neither set
    assert yes_no_probabilities(other, yes, no) == found
    for sets in (([], no), (yes, []), ([1], [1])):
        with pytest.raises(ValueError, match="tokens of their own"):
            yes_no_probabilities(logits, *sets)


@pytest.mark.parametrize(
    ("answer", "positive", "expected"),
    [("Yes", True, 1.0), ("no", True, 0.0), ("Yes", False, 0.0), ("No.", False, 1.0), ("maybe", True, None)],
)
def test_hard_scores(answer, positive, expected):
    assert hard_entity_score(f"<reason>a</reason><answer>{answer}</answer>", positive) == expected
    if expected is not None:
        assert entity_score(float(answer.lower().startswith("y")), positive) == expected


def test_dimensions_and_overall():
    assert dimension_score([0.25, 0.5, 1.0]) == 1.75
    assert dimension_score([0.25, 0.5, 1.0], mean=True) == pytest.approx(1.75 / 3)
    with pytest.raises(ValueError, match="without questions"):
        dimension_score([])
    scores = {"visual_quality": 1.0, "alignment": 2.0, "temporal": 3.0, "factual": 4.0, "dynamic": 5.0}
    assert overall_score(scores) == 3.0
    assert overall_score(scores, dict.fromkeys(scores, 7.0)) == pytest.approx(3.0)
    for weights in ({"alignment": 1.0}, {**dict.fromkeys(scores, 1.0), "dynamic": -1.0}, dict.fromkeys(scores, 0.0)):
        with pytest.raises(ValueError, match="need one weight each"):
            overall_score(scores, weights)
    with pytest.raises(ValueError, match="need one weight each"):
        overall_score({})
