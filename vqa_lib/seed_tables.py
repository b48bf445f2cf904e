"""Tables over several seeds: a row a seed, their mean and range, the paper's rows above; what an ablation takes away.

They read the finished runs that `params/tables/<paper>.yaml` names; nothing is computed with a model.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from vqa_lib.datasets.finevd import ATTRIBUTES
from vqa_lib.metrics import mean, paired_bootstrap, paired_bootstrap_dimensions, paired_bootstrap_pairs
from vqa_lib.predictions import predictions_table
from vqa_lib.results import RunError
from vqa_lib.tables import LABELS, METRIC_NAMES, by_dimension, published
from vqa_lib.vbench import read_vbench, vbench_averages
from vqa_lib.workflow import finished_run, planned_run

# The papers' tables hold two sets called GenAI-Bench, and of FineVD they mean its questions.
PAPER_NAMES = {"genai_bench/test": "genai_bench/votes"} | {
    f"finevd_questions/test/{name}": f"finevd/test/{name}" for name in (*ATTRIBUTES, "overall")
}
CLIP = ["dataset", "split", "name"]
SURELY = ["better", "worse", "undefined"]  # where an interval is above 0, below 0, or missing
PERCENT = ("tau", "diff", "accuracy")  # printed so by the papers


def read_metrics(
    paper: str, methods: Mapping[str, tuple[str, str]], profile: str, seeds: Sequence[int], key: str = "metrics"
) -> pd.DataFrame:
    """The rows of metrics.json of finished runs.

    methods: how a method is called in the table -> (name of its run in the paper's file, "before" or "after": of which
    model). key: under which metrics.json holds the rows.

    Returns:
        One row a method, seed, data set and metric: model (the method), seed, run (its folder's name), dataset (as the
        papers' tables call it), metric, value, low, high (95 % interval), n, unparsed, reason.

    Raises:
        RunError: a run is not finished, or its metrics.json has no such rows; the message says which.
    """
    parts = []
    for method, (name, state) in methods.items():
        for seed in seeds:
            run = finished_run(paper, name, profile, seed)
            file = run.path / "metrics.json"
            rows = [row for row in json.loads(file.read_text()).get(key, []) if row["model"] == state]
            if not rows:
                raise RunError(f"{file}: no row of {key!r} has the model {state!r}")
            parts.append(pd.DataFrame(rows).assign(model=method, seed=seed, run=run.path.name))
    measured = pd.concat(parts, ignore_index=True)
    if "dataset" in measured:
        measured["dataset"] = measured["dataset"].replace(PAPER_NAMES)
    return measured


def where_finished(
    paper: str, methods: Mapping[str, tuple[str, str]], optional: Sequence[str], profile: str, seeds: Sequence[int]
) -> dict[str, tuple[str, str]]:
    """The methods of `read_metrics` without those whose run is optional and not finished for every seed.

    optional: names of runs. A printed line names what is left out, and what makes it.
    """
    left_out = set()
    for name in optional:
        try:
            for seed in seeds:
                finished_run(paper, name, profile, seed)
        except RunError as error:
            left_out.add(name)
            print(f"left out: {error}")
    return {method: (name, state) for method, (name, state) in methods.items() if name not in left_out}


def with_means(measured: pd.DataFrame, keys: Sequence[str] = ("model", "dataset", "metric")) -> pd.DataFrame:
    """The rows of `read_metrics`, and behind them, where there are several seeds, one row for all of them.

    Its seed is "mean of N", its value the mean, low and high the range over the seeds (no interval), n the least,
    unparsed the sum; undefined where a seed is.
    """
    seeds = measured["seed"].nunique()
    if seeds == 1:
        return measured
    rows = []
    for values, part in measured.groupby(list(keys), sort=False):
        row = dict(zip(keys, values, strict=True)) | {"seed": f"mean of {seeds}", "n": part["n"].min()}
        row |= {"unparsed": part["unparsed"].sum()} if "unparsed" in part else {}
        broken = part[part["value"].isna()]
        if len(broken):
            reason = f"undefined for {len(broken)} of {seeds} seeds"
            rows.append(row | {"value": np.nan, "low": np.nan, "high": np.nan, "reason": reason})
        else:
            rows.append(row | {"value": part["value"].mean(), "low": part["value"].min(), "high": part["value"].max()})
    return pd.concat([measured, pd.DataFrame(rows)], ignore_index=True)


def show_cell(row: Mapping, percent: bool | None = None) -> str:
    """Value, interval (of a mean: range over the seeds), n and unparsed answers; the reason where there is no value.

    percent: whether in percent; None as the papers print a metric: tau, diff and accuracy.

    Example:
        >>> show_cell({"metric": "tau", "value": 0.5, "low": 0.4, "high": 0.6, "n": 24, "unparsed": 1, "seed": 0})
        '50.00 [40.00, 60.00], n = 24, unparsed 1'
    """
    if pd.isna(row["value"]):
        return f"undefined: {row['reason']}"
    percent = row.get("metric") in PERCENT if percent is None else percent
    factor, digits = (100, 2) if percent else (1, 3)
    value, low, high = (f"{factor * row[name]:.{digits}f}" for name in ("value", "low", "high"))
    spread = f"({low} to {high})" if str(row["seed"]).startswith("mean") else f"[{low}, {high}]"
    lost = f", unparsed {int(row['unparsed'])}" if row.get("unparsed") else ""
    return f"{value} {spread}, n = {int(row['n'])}{lost}"


def seeds_beside_paper(measured: pd.DataFrame, table: str, profile: str, metrics: Sequence[str]) -> pd.DataFrame:
    """A paper's table with ours below: a row a method, seed and metric, behind them the mean over the seeds.

    Ours are printed as the paper's: FingER prints all its figures in percent.
    """
    paper, percent = published(table), True if table.startswith("finger") else None
    shown = []
    for (method, source, metric), part in paper.groupby(["method", "source", "metric"], sort=False):
        if metric in metrics:
            cells = {row.dataset: row.printed for row in part.itertuples()}
            shown.append({"method": method, "whose": source, "seed": "", "metric": METRIC_NAMES[metric], **cells})
    ours = with_means(measured[measured["metric"].isin(metrics) & measured["dataset"].isin(paper["dataset"].unique())])
    for (method, metric), group in ours.groupby(["model", "metric"], sort=False):
        for seed, part in group.groupby("seed", sort=False):
            cells = {row["dataset"]: show_cell(row, percent) for _, row in part.iterrows()}
            whose = f"ours, {profile}"
            shown.append({"method": method, "whose": whose, "seed": seed, "metric": METRIC_NAMES[metric], **cells})
    return pd.DataFrame(shown).fillna("")


def one_a_method(measured: pd.DataFrame) -> pd.DataFrame:
    """What a figure shows: the means over the seeds, or the rows of the only seed."""
    shown = with_means(measured)
    return shown if measured["seed"].nunique() == 1 else shown[shown["seed"].astype(str).str.startswith("mean")]


def paired_differences(
    paper: str,
    whole: str | tuple[str, str],
    others: Mapping[str, str | tuple[str, str]],
    profile: str,
    seeds: Sequence[int],
    metrics: Sequence[str],
    kind: str = "",
    by: str | None = None,
) -> pd.DataFrame:
    """What the whole method has above each other one or row of an ablation, seed by seed, on the same test set.

    **Source**: ours. Data set by data set, by a paired bootstrap. Ratings (srcc, krcc, plcc; several dimensions by the
    mean over these) resample clips, preferences (tau, diff) pairs. Answers to questions (accuracy) resample clips, too:
    of each the share of its questions is taken, since questions about one clip do not err by themselves; an unreadable
    answer is not right, a question without a published answer is left out.

    whole: name of its run. others: a row's name in the paper's table -> name of its run. Each may say "before" or
    "after" its training behind the name; without, after. kind: which of a run's predictions, as in
    predictions/after_KIND.jsonl; "" for after.jsonl. by: of answers, a column ("dimension" or "category"), for a row
    for each of its values ("name/split/value") beside the one for all ("name/split/overall").

    Returns:
        Columns row, seed, dataset, metric, difference (positive: the whole is better), low, high (95 %), p (two-sided,
        of "no difference"; none of answers), n (clips or pairs that count).

    Raises:
        RunError: a run is not finished, or has no such predictions.
        ValueError: two runs were tested on different clips, or a metric does not fit the predictions.

    Example:
        others = {"Q-Insight": "understanding_q_insight", "zero-shot": ("understanding_zero_shot", "before")}
        paired_differences(
            "vqathinker", "understanding", others, "tiny", [0], ["accuracy"], kind="mentions", by="dimension"
        )
    """
    found = []
    for row, name in others.items():
        for seed in seeds:
            tables = [_predictions(paper, run, profile, seed, kind) for run in (whole, name)]
            if not tables[0][CLIP].equals(tables[1][CLIP]):
                raise ValueError(f"{whole} and {row} (profile {profile}, seed {seed}) were tested on different clips")
            for place, one in _places(tables[0], by).items():
                other = tables[1].loc[one.index]
                for metric in metrics:
                    dataset, difference = _difference(place, one, other, metric)
                    where = {"row": row, "seed": seed, "dataset": PAPER_NAMES.get(dataset, dataset), "metric": metric}
                    found.append(where | difference)
    return pd.DataFrame(found)


def _predictions(paper: str, run: str | tuple[str, str], profile: str, seed: int, kind: str) -> pd.DataFrame:
    name, state = (run, "after") if isinstance(run, str) else run
    file = finished_run(paper, name, profile, seed).path / "predictions" / f"{state}{kind and f'_{kind}'}.jsonl"
    if not file.is_file():
        planned = planned_run(paper, name, profile, seed)
        raise RunError(
            f"the run {name} of {paper} (profile {profile}, seed {seed}) has no predictions/{file.name}; make it anew "
            f"with: {shlex.join(planned.command)} --force"
        )
    table = predictions_table(file).sort_values(CLIP, ignore_index=True)
    return table[table["true_answer"].notna()] if "true_answer" in table else table


def _places(table: pd.DataFrame, by: str | None) -> dict[str, pd.DataFrame]:
    places = {}
    for (dataset, split), part in table.groupby(["dataset", "split"]):
        place = f"{dataset}/{split}"
        if by is None:
            places[place] = part
        else:
            places |= {f"{place}/{value}": each for value, each in part.groupby(by)} | {f"{place}/overall": part}
    return places


def _difference(place: str, one: pd.DataFrame, other: pd.DataFrame, metric: str) -> tuple[str, dict]:
    if "true_answer" in one:
        if metric != "accuracy":
            raise ValueError(f"{place}: answers to questions have an accuracy, no {metric!r}")
        gained = [(table["answer"] == table["true_answer"]).astype(float) for table in (one, other)]
        found = mean((gained[0] - gained[1]).groupby(one["clip"]).mean())
        return place, {"difference": found.value, "low": found.low, "high": found.high, "n": found.n}
    judged = [name for name in one if name == "difference" or name.split("_")[0] == "prediction"]
    counted = {"n": int((one[judged].notna() & other[judged].notna()).all(axis=1).sum())}
    if "preference" in one:
        labels = [LABELS[preference] for preference in one["preference"]]
        margins = [table["difference"].astype(float) for table in (one, other)]
        return place, paired_bootstrap_pairs(*margins, labels, metric)._asdict() | counted
    parts = [by_dimension(table) for table in (one, other)]
    if not parts[0]:
        found = paired_bootstrap(one["prediction"], other["prediction"], one["target"], metric)
        return place, found._asdict() | counted
    predictions = [{name: part["prediction"] for name, part in dimensions.items()} for dimensions in parts]
    targets = {name: part["target"] for name, part in parts[0].items()}
    found = paired_bootstrap_dimensions(*predictions, targets, metric)
    return f"{place}/mean", found._asdict() | counted


def _comparisons(differences: pd.DataFrame) -> list[str]:
    return [name for name in ("of", "row", "minus", "dataset", "metric") if name in differences]


def differences_table(differences: pd.DataFrame) -> pd.DataFrame:
    """Differences to be read and saved: rounded, what is sure, and behind the rows of several seeds their mean.

    differences: of `paired_differences`, or with its columns seed, difference, low, high, n, and of these those that
    tell comparisons apart: of (what is better where a difference is positive), row or minus (what is subtracted),
    dataset, metric.

    Returns:
        The same columns and "surely": "better" where the interval is above 0, "worse" where it is below, else "no"
        ("undefined" where there is no difference). Of a mean low and high are the lowest and the highest of the seeds,
        no interval, and surely says in how many of them it is better or worse.

    Example:
        >>> one = {"row": "SFT", "difference": 0.1, "low": 0.02, "high": 0.2, "n": 9}
        >>> rows = [{**one, "seed": 0}, {**one, "seed": 1}]
        >>> differences_table(pd.DataFrame(rows))["surely"].tolist()
        ['better', 'better', 'better in 2, worse in 0 of 2']
    """
    shown, keys = [], _comparisons(differences)
    for _, part in differences.groupby(keys, sort=False):
        surely = np.select([part["low"] > 0, part["high"] < 0, part["difference"].isna()], SURELY, "no").tolist()
        rows = with_means(part.rename(columns={"difference": "value"}), keys).rename(columns={"value": "difference"})
        if len(rows) > len(part):
            counts = f"better in {surely.count('better')}, worse in {surely.count('worse')} of {len(part)}"
            surely.append(counts)
        shown.append(rows.assign(surely=surely))
    return pd.concat(shown, ignore_index=True).round(4)


def differences_in_words(differences: pd.DataFrame, one: str | None = None) -> str:
    """One sentence a comparison: the mean and the range over the seeds, and in how many it is surely better or worse.

    differences: as in `differences_table`. one: what is better where a difference is positive; None where the column of
    says so, row by row.

    Example:
        >>> row = {"minus": "overall level", "seed": 0, "difference": 0.1, "low": 0.02, "high": 0.2}
        >>> differences_in_words(pd.DataFrame([row]), "Entities")
        'Entities minus overall level: 0.100 [0.020, 0.200], one seed only; surely better.'
    """
    sentences = []
    differences = differences if one is None else differences.assign(of=one)
    for (first, *others), part in differences.groupby(_comparisons(differences), sort=False):
        better, worse, seeds = int((part["low"] > 0).sum()), int((part["high"] < 0).sum()), len(part)
        value, undefined = part["difference"], int(part["difference"].isna().sum())
        if undefined:
            said = f"undefined for {undefined} of {seeds} seed(s)"
        elif seeds == 1:
            low, high = part["low"].item(), part["high"].item()
            sure = "surely better" if better else "surely worse" if worse else "not surely different"
            said = f"{value.item():.3f} [{low:.3f}, {high:.3f}], one seed only; {sure}"
        else:
            said = f"{value.mean():.3f} ({value.min():.3f} to {value.max():.3f}) on average over {seeds} seeds; surely "
            said += f"better in {better}, surely worse in {worse}"
        sentences.append(f"{first} minus {', '.join(others)}: {said}.")
    return "\n".join(sentences)


def beside_paper_differences(differences: pd.DataFrame, table: str, whole: str) -> pd.DataFrame:
    """The mean over the seeds of `paired_differences`, beside the paper's difference of the same rows.

    whole: the whole method's name in the paper's table. Returns columns row, dataset, metric, paper, ours (as the paper
    prints them), seeds, surely (in how many seeds the 95 % interval is on the side of the mean), same sign (None where
    ours is undefined or 0). A cell that is missing in the paper has no row.
    """
    paper = published(table).set_index(["method", "dataset", "metric"])["value"]
    rows = []
    for (row, dataset, metric), part in differences.groupby(["row", "dataset", "metric"], sort=False):
        if (whole, dataset, metric) not in paper or (row, dataset, metric) not in paper:
            continue
        theirs = paper[whole, dataset, metric] - paper[row, dataset, metric]
        ours = part["difference"].mean(skipna=False) * (100 if metric in PERCENT else 1)
        surely = int((part["low"] > 0).sum() if ours > 0 else (part["high"] < 0).sum())
        same = None if np.isnan(ours) or ours == 0 else bool(np.sign(ours) == np.sign(theirs))
        shown = {"paper": round(theirs, 3), "ours": round(ours, 3), "seeds": len(part), "surely": surely}
        rows.append({"row": row, "dataset": dataset, "metric": METRIC_NAMES[metric], **shown, "same sign": same})
    return pd.DataFrame(rows)


def signs_in_words(beside: pd.DataFrame) -> str:
    """One sentence a row of the ablation: where our sign is the paper's, and how often the interval leaves out 0."""
    sentences = []
    for row, part in beside.groupby("row", sort=False):
        where = part["dataset"] + " " + part["metric"] if part["dataset"].nunique() > 1 else part["metric"]
        kinds = {"agrees with": True, "contradicts": False}
        named = {
            kind: [name for name, same in zip(where, part["same sign"], strict=True) if same is value]
            for kind, value in kinds.items()
        }
        undecided = [name for name, same in zip(where, part["same sign"], strict=True) if same is None]
        said = [f"{kind} the paper's sign in {', '.join(names)}" for kind, names in named.items() if names]
        said += [f"shows no difference in {', '.join(undecided)}"] if undecided else []
        sure, all_seeds = int(part["surely"].sum()), int(part["seeds"].sum())
        sentences.append(
            f"{row}: {'; '.join(said)} (the 95 % interval leaves out 0 in {sure} of {all_seeds} comparisons)."
        )
    return "\n".join(sentences)


def in_columns(measured: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """A row a method, data set and seed (behind them the mean), a column a metric."""
    chosen = with_means(measured[measured["metric"].isin(metrics)])
    rows = []
    for (model, dataset, seed), part in chosen.groupby(["model", "dataset", "seed"], sort=False):
        cells = {METRIC_NAMES.get(row["metric"], row["metric"]): show_cell(row) for _, row in part.iterrows()}
        rows.append({"model": model, "dataset": dataset, "seed": seed, **cells})
    return pd.DataFrame(rows)


def vbench_beside_paper(folders: Mapping[str, Path], profile: str) -> pd.DataFrame:
    """VQ-Insight's Table 6, and below it a row a generator whose VBench results lie in a folder of its own.

    Raises:
        VBenchError: as `vbench.read_vbench` and `vbench.vbench_averages`.
    """
    paper = published("vq_insight_table6")
    rows = [
        {"method": method, "whose": source, **dict(zip(part["metric"], part["printed"], strict=True))}
        for (method, source), part in paper.groupby(["method", "source"], sort=False)
    ]
    for method, folder in folders.items():
        averages = {name: f"{value:.4f}" for name, value in vbench_averages(read_vbench(folder)).items()}
        rows.append({"method": method, "whose": f"ours, {profile}", **averages})
    return pd.DataFrame(rows)
