"""FingER on benchmarks that have no questions of their own: questions about their prompts, scores for their clips."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from vqa_lib.metrics import pair_metrics, parse_failures
from vqa_lib.records import Pair, Question, ScoredClip
from vqa_lib.tables import LABELS
from vqa_lib.written_questions import WrittenQuestion


def clips_of(record: ScoredClip | Pair) -> dict[str, Path]:
    """What the clips of a record are called in a table of answers -> their files."""
    if isinstance(record, Pair):
        return {f"{record.name}/first": record.first, f"{record.name}/second": record.second}
    return {record.name: record.path}


def questions_about_records(
    records: Sequence[ScoredClip | Pair], written: Mapping[str, Sequence[WrittenQuestion]]
) -> list[Question]:
    """The questions about each record's prompt, asked of each of its clips; of prompts without any there is none.

    written: prompt -> questions, of `written_questions.by_prompt`.

    Raises:
        ValueError: a record whose prompt is not published.
    """
    if lacking := [record.name for record in records if record.prompt is None]:
        raise ValueError(f"entity questions are about a prompt; none is published for {lacking[0]!r}")
    return [
        each.about(path, clip, record.dataset, record.split)
        for record in records
        for clip, path in clips_of(record).items()
        for each in written.get(record.prompt, [])
    ]


def clip_predictions(clips: Sequence[ScoredClip], scored: pd.DataFrame) -> pd.DataFrame:
    """Overall scores beside people's: columns dataset, split, name, prediction (NaN where there is none), target.

    scored: of `entity_scores.score_clips_by_entities`.
    """
    overall = dict(zip(scored["clip"], scored["prediction_overall"], strict=True))
    rows = [
        {
            **{"dataset": clip.dataset, "split": clip.split, "name": clip.name},
            **{"prediction": overall.get(clip.name, np.nan), "target": clip.mos},
        }
        for clip in clips
    ]
    return pd.DataFrame(rows).astype({"prediction": float})


def pair_predictions(pairs: Sequence[Pair], scored: pd.DataFrame) -> pd.DataFrame:
    """The first clip's overall score minus the second's: columns dataset, split, name, preference, difference."""
    overall = dict(zip(scored["clip"], scored["prediction_overall"], strict=True))
    rows = []
    for pair in pairs:
        first, second = (overall.get(clip, np.nan) for clip in clips_of(pair))
        where = {"dataset": pair.dataset, "split": pair.split, "name": pair.name}
        rows.append({**where, "preference": pair.preference, "difference": first - second})
    return pd.DataFrame(rows).astype({"difference": float})


def measure_differences(compared: pd.DataFrame, model: str, resamples: int = 1000) -> list[dict]:
    """tau and diff of `pair_predictions`, as rows of `tables.measure`; pairs without a difference are unparsed."""
    rows = []
    for (dataset, split), part in compared.groupby(["dataset", "split"], sort=False):
        labels = [LABELS[preference] for preference in part["preference"]]
        for name, metric in pair_metrics(part["difference"], labels, resamples=resamples).items():
            where = {"model": model, "dataset": f"{dataset}/{split}", "metric": name}
            rows.append(where | asdict(metric) | {"unparsed": parse_failures(part["difference"])})
    return rows


def split_by_prompt(clips: Sequence[ScoredClip], share: float) -> tuple[list[ScoredClip], list[ScoredClip]]:
    """Clips to fit weights on, and clips to test them on: no prompt is on both sides.

    share: of the prompts, the first ones, that is fitted on; at least one prompt is on each side.

    Raises:
        ValueError: fewer than two prompts.
    """
    prompts = list(dict.fromkeys(clip.prompt for clip in clips))
    if len(prompts) < 2:
        raise ValueError(f"weights are fitted on some prompts and tested on others, but there is {len(prompts)}")
    fitted = set(prompts[: min(max(1, round(share * len(prompts))), len(prompts) - 1)])
    return [clip for clip in clips if clip.prompt in fitted], [clip for clip in clips if clip.prompt not in fitted]
