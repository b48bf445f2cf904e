"""The clips that figures show, and what judges said of them, from finished runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from vqa_lib.answering import read_predictions
from vqa_lib.datasets import load_pairs
from vqa_lib.paths import resolve
from vqa_lib.records import Pair
from vqa_lib.results import RunFolder


def said_of_pair(runs: Mapping[str, RunFolder], number: int) -> tuple[Pair, pd.DataFrame]:
    """A pair of the test split of `visionreward_pairs`, and what each judge said of it, shown in the pair's own order.

    runs: a judge's name -> its finished run of stage 2 on preference, all with the same data. number: of the pair, from
    0, in the order of the published file.

    Returns:
        The pair, and a row a judge: judge, name, preference (the truth), answer ("first" or "second"; None where
        unreadable), response.

    Raises:
        ValueError: there is no pair of that number, or a run did not compare it; the message says which.
    """
    first = next(iter(runs.values()))
    root = resolve(first.params["data"]) / "visionreward"
    pairs = load_pairs("visionreward_pairs", root, "test", first.params["held_out"])
    if not 0 <= number < len(pairs):
        raise ValueError(f"number: expected 0 to {len(pairs) - 1}, found {number}")
    pair = pairs[number]
    rows = []
    for judge, run in runs.items():
        path = run.path / "predictions" / "after.jsonl"
        said = {(row["dataset"], row["split"], row["name"]): row for row in read_predictions(path)}
        key = (pair.dataset, pair.split, pair.name)
        if key not in said:
            raise ValueError(f"{path}: has no answer to the pair {'/'.join(key)}")
        found = {name: said[key][name] for name in ("name", "preference", "answer", "response")}
        rows.append({"judge": judge, **found})
    return pair, pd.DataFrame(rows)


def clips_of_prompts(folder: str | Path, models: Sequence[str], prompts: int) -> pd.DataFrame:
    """The clips that each generator made of the first prompts, one prompt after the other.

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
        for row in listed.head(prompts).itertuples()
        for model in models
    ]
    for row in rows:
        path = Path(folder) / row["model"] / row["file"]
        if not path.is_file():
            raise FileNotFoundError(f"{path}: the clip that prompts.csv names is missing")
    return pd.DataFrame(rows)
