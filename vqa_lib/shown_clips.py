"""The clips that figures show, and what judges said of them, from finished runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from vqa_lib.datasets import load_pairs
from vqa_lib.paths import resolve
from vqa_lib.predictions import SIDES, rows_by_identity
from vqa_lib.records import Pair
from vqa_lib.results import RunFolder


def pair_to_show(
    runs: Mapping[str, RunFolder], whole: str, number: int | None = None
) -> tuple[Pair, pd.DataFrame, str]:
    """A pair of the test split of `visionreward_pairs`, what two judges said of it, and in words why it is this pair.

    runs: a judge's name -> its finished run of stage 2 on preference, both with the same data. whole: the judge with
    the whole method. number: of the pair, from 0, in the order of the published file; None is `telling_pair`, and 0
    where there is none.

    Returns:
        The pair; a row a judge, shown the pair in its own order: judge, name, preference (the truth), answer ("first"
        or "second"; None where unreadable), response; and the reason.

    Raises:
        ValueError: there is no pair of that number, or a run did not compare a pair; the message says which.
    """
    first = next(iter(runs.values()))
    root = resolve(first.params["data"]) / "visionreward"
    pairs = load_pairs("visionreward_pairs", root, "test", first.params["held_out"])
    said = {judge: _said(run, pairs) for judge, run in runs.items()}
    number, why = _choice(said, whole) if number is None else (number, f"chosen by its number, {number}")
    if not 0 <= number < len(pairs):
        raise ValueError(f"number: expected 0 to {len(pairs) - 1}, found {number}")
    kept = ("name", "preference", "answer", "response")
    rows = [{"judge": judge, **{name: rows[number][name] for name in kept}} for judge, rows in said.items()]
    return pairs[number], pd.DataFrame(rows), why


def telling_pair(whole: Sequence[dict], other: Sequence[dict]) -> int | None:
    """The first pair on which two judges differ and the first of them agrees with people in both orders; None: no pair.

    whole, other: a row a pair of each judge, with preference, answer and swapped_answer as `comparing.compare_pairs`
    gives them. They differ where both can be read, shown the pair in its own order, and choose differently.

    Example:
        >>> right = {"preference": "first", "answer": "first", "swapped_answer": "first"}
        >>> telling_pair([right, right], [right, right | {"answer": "second"}])
        1
    """
    for number, (ours, theirs) in enumerate(zip(whole, other, strict=True)):
        right = ours["preference"] in SIDES and ours["answer"] == ours["swapped_answer"] == ours["preference"]
        if right and theirs["answer"] in SIDES and theirs["answer"] != ours["answer"]:
            return number
    return None


def _choice(said: Mapping[str, list[dict]], whole: str) -> tuple[int, str]:
    """The number of the telling pair, or 0, and why."""
    (other,) = [judge for judge in said if judge != whole]
    number = telling_pair(said[whole], said[other])
    pairs, wanted = f"the first of {len(said[whole])} test pairs", f"{whole} agrees with people in both orders"
    if number is None:
        return 0, f"{pairs}, because there is none on which the two differ and {wanted}"
    return number, f"chosen because it is {pairs} on which the two differ and {wanted}"


def _said(run: RunFolder, pairs: Sequence[Pair]) -> list[dict]:
    """A run's row on each pair."""
    path = run.path / "predictions" / "after.jsonl"
    said = rows_by_identity(path)
    keys = [(pair.dataset, pair.split, pair.name) for pair in pairs]
    if missing := [key for key in keys if key not in said]:
        raise ValueError(f"{path}: has no answer to the pair {'/'.join(missing[0])}")
    return [said[key] for key in keys]


def clips_of_prompts(folder: str | Path, models: Sequence[str], prompts: int) -> pd.DataFrame:
    """The first clip that each generator made of each of the first prompts, one prompt after the other.

    folder: holds prompts.csv (columns file, prompt) and a folder a model with these files.

    Returns: columns model, file, prompt.

    Raises:
        ValueError: prompts.csv lacks a column; FileNotFoundError: it or a clip is missing.
    """
    listed = pd.read_csv(Path(folder) / "prompts.csv")
    if missing := {"file", "prompt"} - set(listed):
        raise ValueError(f"{Path(folder) / 'prompts.csv'}: no column {' and '.join(sorted(missing))}")
    rows = [
        {"model": model, "file": row.file, "prompt": row.prompt}
        for row in listed.drop_duplicates("prompt").head(prompts).itertuples()
        for model in models
    ]
    for row in rows:
        path = Path(folder) / row["model"] / row["file"]
        if not path.is_file():
            raise FileNotFoundError(f"{path}: the clip that prompts.csv names is missing")
    return pd.DataFrame(rows)
