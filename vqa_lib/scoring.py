"""Score clips with a trained model, on one dimension or several, or describe them; interrupted, it goes on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from vqa_lib.answering import ask_all, claim, deciding, with_model
from vqa_lib.answers import parse_dimensions, parse_score, reasoning_text
from vqa_lib.frame_cache import FrameCache
from vqa_lib.models.families import encode
from vqa_lib.perturb import ORDERS, reorder
from vqa_lib.predictions import predictions_table, rows_of
from vqa_lib.prompts import PROMPTS, Prompt
from vqa_lib.questions import filled, true_scores
from vqa_lib.records import Question, ScoredClip
from vqa_lib.video import FramePolicy


def score_clips(
    model,
    processor,
    clips: Sequence[ScoredClip],
    prompt: str,
    policy: FramePolicy,
    cache: FrameCache,
    output: str | Path,
    order: str | None = None,
    batch_size: int = 32,
    max_completion: int = 768,
    seed: int = 0,
    samples: int | None = None,
    sampling: dict | None = None,
    settings: dict | None = None,
) -> pd.DataFrame:
    """Scores and reasoning of every clip: greedy, or the mean over several samples from one prefilled prompt.

    output: a .jsonl file; lines already there are kept. order: None for the frames as they are, or a name in
    `perturb.ORDERS`: the same perturbed copy of a clip for every model with the same seed. samples: draw so many
    responses a clip instead, shaped by `sampling` (temperature, top_p, top_k). settings: whatever else decides the
    scores (the model's digest, say); a file made with other settings is refused, not mixed.

    Returns:
        One row a clip in the order given: dataset, split, name, mos (published scale), target (mos on the prompt's
        scale), prediction (prompt's scale; NaN where the response holds no readable score), response. Where the prompt
        asks for several dimensions there is no mos, and a target_NAME and prediction_NAME for each, by the names of the
        prompt. With samples: predictions and responses are lists with one entry a sample, prediction the mean of those
        that can be read, response the first.

    Raises:
        ValueError: the output file belongs to other settings; a clip lacks the text or the dimensions that the prompt
            asks for.
    """
    asked = PROMPTS[prompt]
    questions = {(clip.dataset, clip.split, clip.name): filled(asked, clip).text for clip in clips}
    for clip in clips:
        true_scores(clip, asked)  # what does not fit the prompt is told before anything is scored
    wanted = deciding(asked.text, policy, seed, max_completion, samples, sampling, settings)
    output = claim(output, {"order": order, **wanted})

    def question(clip: ScoredClip) -> list:
        frames = cache.get(clip.path, clip.kind, policy)
        if order is not None:
            key = [seed, *clip.name.encode()]
            frames = reorder(frames, ORDERS[order](len(frames.pixels), np.random.default_rng(key)))
        return [encode(processor, [(frames, clip.kind)], questions[clip.dataset, clip.split, clip.name])]

    ask_all(
        model,
        processor,
        clips,
        output,
        question,
        lambda clip, responses: _row(clip, responses[0], asked),
        batch_size,
        max_completion,
        seed,
        samples,
        sampling,
    )
    return predictions_table(output, clips)


def score_with(model_path: str | Path, *arguments, **options) -> pd.DataFrame:
    """`score_clips` with a model that is loaded for it, see `answering.with_model`."""
    return with_model(score_clips, model_path, *arguments, **options)


def describe_clips(
    model,
    processor,
    records: Sequence[ScoredClip | Question],
    prompt: str,
    policy: FramePolicy,
    cache: FrameCache,
    output: str | Path,
    batch_size: int = 32,
    max_completion: int = 768,
    settings: dict | None = None,
) -> pd.DataFrame:
    """What a model says of the clips of records when it is asked to score them, whether or not a score is known.

    prompt: one for a single score that asks for reasoning. Returns one row a record in the order given: dataset, split,
    name, file (the clip's file name), description (the reasoning; None where there is none), response.

    Raises:
        ValueError: the output file belongs to other settings; a prompt of another kind; a record of two clips.
    """
    asked = PROMPTS[prompt]
    if not (asked.single_score and asked.reasoning):
        raise ValueError(f"{prompt}: descriptions need a prompt for one score that asks for reasoning")
    for record in records:
        if len(record.paths) != 1:
            raise ValueError(f"{record.dataset}/{record.name}: a description is of one clip, found {len(record.paths)}")
    output = claim(output, deciding(asked.text, policy, 0, max_completion, None, None, settings))

    def question(record: ScoredClip | Question) -> list:
        return [encode(processor, [(cache.get(record.path, record.kind, policy), record.kind)], asked.text)]

    def row(record: ScoredClip | Question, responses: list[list[str]]) -> dict:
        ((response,),) = responses
        said = {"file": record.path.name, "description": reasoning_text(response), "response": response}
        return {"dataset": record.dataset, "split": record.split, "name": record.name, **said}

    ask_all(model, processor, records, output, question, row, batch_size, max_completion, label="describing")
    return pd.DataFrame(rows_of(output, records))


def describe_with(model_path: str | Path, *arguments, **options) -> pd.DataFrame:
    """`describe_clips` with a model that is loaded for it, see `answering.with_model`."""
    return with_model(describe_clips, model_path, *arguments, **options)


def _row(clip: ScoredClip, responses: list[str], prompt: Prompt) -> dict:
    row = {"dataset": clip.dataset, "split": clip.split, "name": clip.name}
    targets = true_scores(clip, prompt)
    if prompt.dimensions:
        predictions = [parse_dimensions(response, list(targets), prompt.scale) for response in responses]
        row |= {f"target_{name}": target for name, target in targets.items()}
        for name in targets:
            row[f"prediction_{name}"] = _mean([scores[name] for scores in predictions if scores is not None])
    else:
        predictions = [parse_score(response, prompt.scale) for response in responses]
        (target,) = targets.values()
        row |= {"mos": clip.mos, "target": target}
        row["prediction"] = _mean([prediction for prediction in predictions if prediction is not None])
    row["response"] = responses[0]
    return row if len(responses) == 1 else row | {"predictions": predictions, "responses": responses}


def _mean(scores: list[float]) -> float | None:
    return sum(scores) / len(scores) if scores else None
