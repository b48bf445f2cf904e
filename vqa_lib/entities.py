"""FingER's way from the answers to entity-level questions to a score: probabilities, entities, dimensions, overall."""

from collections.abc import Mapping, Sequence

import numpy as np

from vqa_lib.answers import parse_choice


def yes_no_probabilities(logits: np.ndarray, yes: Sequence[int], no: Sequence[int]) -> tuple[float, float]:
    """(P(Yes), P(No)) from the logits at the answer token.

    **Source**: FingER, eq. 1: softmax over both sets of tokens, summed within each. Tokens that spell Yes ("Yes",
    "yes", "YES", and those with a space or a quote before) and No are the tokenizer's, so they are arguments.

    logits: (vocabulary,). yes, no: token numbers.

    Raises:
        ValueError: an empty set, or a token in both.

    Example:
        >>> probabilities = yes_no_probabilities(np.array([1.0, 1.0, 1.0, 9.0]), yes=[0, 1], no=[2])
        >>> [round(value, 3) for value in probabilities]
        [0.667, 0.333]
    """
    if not yes or not no or set(yes) & set(no):
        raise ValueError(f"yes and no need tokens of their own, got {list(yes)} and {list(no)}")
    chosen = np.asarray(logits, dtype=np.float64)[[*yes, *no]]
    weights = np.exp(chosen - chosen.max())
    share = float(weights[: len(yes)].sum() / weights.sum())
    return share, 1 - share


def entity_score(probability_yes: float, positive: bool) -> float:
    """How well the video does by one question: P(Yes), or P(No) where Yes means worse.

    **Source**: FingER, eq. 2.

    Example:
        >>> entity_score(0.75, positive=True), entity_score(0.75, positive=False)
        (0.75, 0.25)
    """
    return probability_yes if positive else 1 - probability_yes


def hard_entity_score(response: str, positive: bool) -> float | None:
    """The same from the written answer alone, 1 or 0; None where it cannot be read.

    **Source**: FingER, Tables 1 and 2, "w/o prob".

    Example:
        >>> hard_entity_score("<reason>Two wheels.</reason><answer>No</answer>", positive=False)
        1.0
    """
    answer = parse_choice(response, ["Yes", "No"])
    return None if answer is None else float((answer == "Yes") == positive)


def dimension_score(entity_scores: Sequence[float], mean: bool = False) -> float:
    """The score of a dimension: the sum of its entity scores.

    **Source**: FingER, eq. 3. Ours: the mean, for comparing videos whose prompts gave different numbers of questions.

    Raises:
        ValueError: no entity score.

    Example:
        >>> dimension_score([1.0, 0.5]), dimension_score([1.0, 0.5], mean=True)
        (1.5, 0.75)
    """
    if len(entity_scores) == 0:
        raise ValueError("a dimension without questions has no score")
    total = float(np.asarray(entity_scores).sum())  # a pandas column would pass over what is undefined
    return total / len(entity_scores) if mean else total


def overall_score(dimension_scores: Mapping[str, float], weights: Mapping[str, float] | None = None) -> float:
    """The weighted average of the dimensions.

    **Source**: FingER, eq. 4, "weighted average of five distinct dimension scores". The weights are not printed; equal
    unless given, as on MonetBench. They are made to sum to 1.

    Raises:
        ValueError: no dimension, other dimensions than the weights have, a negative weight, or none above 0.

    Example:
        >>> overall_score({"temporal": 1.0, "factual": 0.0}, {"temporal": 3, "factual": 1})
        0.75
    """
    weights = dict.fromkeys(dimension_scores, 1.0) if weights is None else weights
    fits = dimension_scores and set(weights) == set(dimension_scores)
    if not fits or min(weights.values()) < 0 or not any(weights.values()):
        raise ValueError(f"dimensions {sorted(dimension_scores)} need one weight each, got {dict(weights)}")
    return float(np.average(list(dimension_scores.values()), weights=[weights[name] for name in dimension_scores]))
