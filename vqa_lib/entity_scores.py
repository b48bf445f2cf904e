"""From answered questions about entities to scores of clips, and how well both agree with people: tables of FingER."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from vqa_lib.answers import reasoning_text
from vqa_lib.datasets.videofeedback import DIMENSIONS
from vqa_lib.entities import dimension_score, entity_score, overall_score
from vqa_lib.predictions import clip_of
from vqa_lib.records import Question, Scale, ScoredClip
from vqa_lib.tables import measure, measure_answers

# A dimension -> its name in columns and in the papers' tables.
SHORT = dict(zip(DIMENSIONS, ("visual_quality", "temporal", "dynamic", "alignment", "factual"), strict=True))
CLIP = ["dataset", "split", "clip"]


def with_words(answered: pd.DataFrame, questions: Sequence[Question]) -> pd.DataFrame:
    """The same rows with the words of each question, and of each reason ("" without one).

    answered: of `entity_answers.answer_entities` for these questions, in their order.
    """
    return answered.assign(
        question=[question.question for question in questions],
        reason=[(reasoning_text(response) or "").strip() for response in answered["response"]],
    )


def score_entities(answered: pd.DataFrame, probability: bool = True) -> pd.Series:
    """What each question says for its clip, in [0, 1], higher is better; NaN where the answer is unreadable.

    **Source**: FingER, eq. 2. answered: of `entity_answers.answer_entities`. probability: P(Yes) or P(No) ("w/ prob"),
    else the answer itself, 1 or 0 ("w/o prob").
    """
    chance = answered["probability"].astype(float)
    if not probability:
        chance = answered["answer"].map({"yes": 1.0, "no": 0.0}).astype(float)
    return _for_the_clip(chance, answered["polarity"])


def _for_the_clip(yes: pd.Series, polarity: pd.Series) -> pd.Series:
    scores = [entity_score(value, side == "yes") for value, side in zip(yes, polarity, strict=True)]
    return pd.Series(scores, index=yes.index, dtype=float)


def score_clips_by_entities(
    answered: pd.DataFrame,
    probability: bool = True,
    mean: bool = False,
    weights: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Scores of clips in each dimension and overall, from the answers to their questions.

    **Source**: FingER, eq. 3 and 4. mean: ours, the mean of a dimension's questions instead of their sum, for clips
    with different numbers of questions. weights: dimension -> weight, None for equal ones; of a clip with questions in
    some dimensions only, those count, with their weights.

    Returns:
        One row a clip: dataset, split, clip, prompt, questions, unparsed (answers), and of each dimension (by its short
        name in `SHORT`) and of "overall" a column prediction_NAME (NaN where an answer is unreadable, or where nothing
        is asked) and target_NAME (from the true answers; NaN where these are not published).
    """
    scored = answered.assign(prediction=score_entities(answered, probability))
    truth = answered["true_answer"].map({"yes": 1.0, "no": 0.0}).astype(float)
    scored["target"] = _for_the_clip(truth, answered["polarity"])
    rows = []
    for key, part in scored.groupby(CLIP, sort=False):
        row = dict(zip(CLIP, key, strict=True)) | {"prompt": part["prompt"].iloc[0], "questions": len(part)}
        row["unparsed"] = int(part["prediction"].isna().sum())
        for kind in ("prediction", "target"):
            by_dimension = {name: dimension_score(each, mean) for name, each in part.groupby("dimension")[kind]}
            row |= {f"{kind}_{short}": by_dimension.get(name, np.nan) for name, short in SHORT.items()}
            asked = None if weights is None else {name: weights[name] for name in by_dimension}
            row[f"{kind}_overall"] = overall_score(by_dimension, asked)
        rows.append(row)
    return pd.DataFrame(rows)


def rated_clips(questions: Sequence[Question], overall: bool) -> list[ScoredClip]:
    """The clips of questions with known answers, to be rated as a whole or by dimension (FingER, Table 1).

    Their scores are those that the true answers give (sums of `score_clips_by_entities`), on a scale of 0 to the most
    questions of any clip. overall: one score, "overall"; else one a dimension, by its published name. Clips of which a
    score is not known (no question in a dimension, an answer that is not published) are left out.
    """
    table = pd.DataFrame([
        {
            **{"dataset": each.dataset, "split": each.split, "clip": clip_of(each), "prompt": each.prompt},
            **{"dimension": each.dimension, "polarity": each.polarity, "true_answer": each.answer},
            **{"answer": each.answer, "probability": np.nan},
        }
        for each in questions
    ])  # fmt: skip
    clips, paths = score_clips_by_entities(table), {clip_of(each): each.path for each in questions}
    names = {"overall": "overall"} if overall else SHORT
    columns = {name: f"target_{short}" for name, short in names.items()}
    clips = clips[clips[list(columns.values())].notna().all(axis=1)]
    scale = Scale(0, float(clips["questions"].max()))
    return [
        ScoredClip(
            name=row["clip"],
            path=paths[row["clip"]],
            kind="video",
            scores={name: row[column] for name, column in columns.items()},
            scale=scale,
            dataset=row["dataset"],
            split=row["split"],
            prompt=row["prompt"],
        )
        for row in clips.to_dict("records")
    ]


def fit_weights(clips: pd.DataFrame, targets: pd.Series) -> dict[str, float]:
    """Weights of the dimensions that bring clips' overall scores closest to `targets`: not negative, summing to 1.

    **Source**: FingER weighs its dimensions (eq. 4) and does not say how; ours is least squares (scipy's nnls) of the
    standardised target on the scores, to be done on a training split and recorded.

    clips: of `score_clips_by_entities`; rows with an undefined score are left out.

    Raises:
        ValueError: fewer than two clips with all scores, or no dimension that rises with the target.

    Example:
        >>> clips = pd.DataFrame({f"prediction_{name}": [0.0, 1.0, 0.0] for name in SHORT.values()})
        >>> clips["prediction_factual"] = [0.0, 1.0, 2.0]  # the only one that rises with the target throughout
        >>> round(fit_weights(clips, pd.Series([1, 2, 3]))["factual consistency"], 2)
        1.0
    """
    table = clips[[f"prediction_{short}" for short in SHORT.values()]].to_numpy(dtype=float)
    wanted = np.asarray(targets, dtype=float)
    whole = np.isfinite(table).all(1) & np.isfinite(wanted)
    if whole.sum() < 2:
        raise ValueError(f"weights need clips with a score in every dimension and a target, found {whole.sum()}")
    table, wanted = table[whole], wanted[whole]
    found, _ = nnls(table - table.mean(0), wanted - wanted.mean())
    if found.sum() == 0:
        raise ValueError("no dimension rises with the target: there are no weights to be had")
    return dict(zip(SHORT, (found / found.sum()).tolist(), strict=True))


def measure_entities(
    answered: pd.DataFrame, model: str, probability: bool = True, mean: bool = False, resamples: int = 1000
) -> list[dict]:
    """Accuracy of answers, and SRCC and PLCC of clips' scores with those of the true answers, by dimension and overall.

    **Source**: FingER, Tables 1 and 2. Rows as of `tables.measure`, data set "name/split/DIMENSION" or ".../overall".
    n: questions for the accuracy, clips for the correlations.
    """
    named = answered.assign(dimension=answered["dimension"].map(SHORT))
    rows = measure_answers(named, model, by="dimension", resamples=resamples)
    clips = score_clips_by_entities(answered, probability, mean)
    for name in (*SHORT.values(), "overall"):
        part = pd.DataFrame({
            "dataset": clips["dataset"],
            "split": clips["split"] + f"/{name}",
            "prediction": clips[f"prediction_{name}"],
            "target": clips[f"target_{name}"],
        })  # fmt: skip
        rows += measure(part[part["target"].notna()], model, resamples)
    return rows


def measure_levels(scored: pd.DataFrame, model: str, resamples: int = 1000) -> list[dict]:
    """SRCC and PLCC of ratings of whole videos with the scores that the true answers give: rows as of `tables.measure`.

    **Source**: FingER, Table 1. scored: of `scoring.score_clips`, for "finger/overall_level" or for
    "finger/dimension_level", whose overall rating is the mean of the five.
    """
    columns = {"overall": ("prediction", "target")}
    if "prediction" not in scored:
        each = {short: (f"prediction_{name}", f"target_{name}") for name, short in SHORT.items()}
        whole = {kind: scored[[pair[place] for pair in each.values()]].mean(axis=1, skipna=False)
                 for place, kind in enumerate(("prediction", "target"))}  # fmt: skip
        scored, columns = scored.assign(**whole), each | columns
    rows = []
    for name, (prediction, target) in columns.items():
        part = scored[["dataset", "split"]].assign(prediction=scored[prediction], target=scored[target])
        rows += measure(part.assign(split=part["split"] + f"/{name}"), model, resamples)
    return rows
