"""Which questions carry a clip's verdict: what each answer costs the score, and the defects named in words."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from vqa_lib.entity_scores import CLIP, score_entities
from vqa_lib.metrics.intervals import Metric, mean


def costs(answered: pd.DataFrame, probability: bool = True, weights: Mapping[str, float] | None = None) -> pd.DataFrame:
    """What each answer takes from its clip's overall score.

    **Source**: ours, beyond FingER. The score is the weighted mean of the dimensions, each the mean of its questions,
    in [0, 1] (`score_clips_by_entities` with mean=True). A question of score s in a dimension of weight w with n
    questions costs w (1 - s) / n; the costs of a clip add up to 1 minus its score.

    answered, weights: as in `score_clips_by_entities`.

    Returns: `answered` with the columns score (in [0, 1], higher is better) and cost (NaN where unreadable).
    """
    scores = score_entities(answered, probability)
    shares = np.zeros(len(answered))
    places = pd.Series(np.arange(len(answered)), index=answered.index)
    for _, part in answered.groupby(CLIP, sort=False):
        asked = part["dimension"].unique()
        weight = {name: 1.0 if weights is None else weights[name] for name in asked}
        whole = sum(weight.values())
        for name, each in part.groupby("dimension"):
            shares[places[each.index]] = weight[name] / whole / len(each)
    return answered.assign(score=scores, cost=(1 - scores) * shares)


def defects(costed: pd.DataFrame, most: int = 3) -> pd.DataFrame:
    """The answers against each clip that cost it most, in words.

    costed: of `costs`, with a column question. most: of one clip; it may have fewer, or none.

    Returns: columns dataset, split, clip, entity, dimension, cost, words, right (whether the annotated answer speaks
    against the clip too; None where it is not known), the costliest first within a clip.

    Example:
        words: 'circle, temporal consistency: "Does the circle change its colour?" yes (0.93); It turns from red to
        blue.'
    """
    against = costed[costed["score"] < 0.5].sort_values("cost", ascending=False, kind="stable")
    rows = []
    for _, part in against.groupby(CLIP, sort=False):
        for row in part.head(most).to_dict("records"):
            known = row["true_answer"] in ("yes", "no")
            right = row["true_answer"] != row["polarity"] if known else None
            place = {name: row[name] for name in (*CLIP, "entity", "dimension", "cost")}
            rows.append({**place, "words": _words(row), "right": right})
    columns = [*CLIP, "entity", "dimension", "cost", "words", "right"]
    return pd.DataFrame(rows, columns=columns)


def _words(row: dict) -> str:
    chance = row["probability"] if row["answer"] == "yes" else 1 - row["probability"]
    sure = "" if np.isnan(chance) else f" ({chance:.2f})"
    reason = row.get("reason")
    return f'{row["entity"]}, {row["dimension"]}: "{row["question"]}" {row["answer"]}{sure}' + (
        f"; {reason}" if reason else ""
    )


def confirmed(found: pd.DataFrame, seed: int = 0, resamples: int = 1000) -> Metric:
    """The share of named defects that the annotations confirm, the mean over clips; higher is better.

    found: of `defects`, of questions with known answers; a clip counts once, clips without a defect do not.
    """
    return mean(found.groupby("clip")["right"].apply(lambda right: right.astype(float).mean()), seed, resamples)
