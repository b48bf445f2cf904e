"""Tables of results: our figures with n, interval, profile and seed, the papers' figures beside them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from vqa_lib.metrics import (
    Metric,
    accuracy,
    dimension_metrics,
    overall_metrics,
    pair_metrics,
    parse_failures,
    score_metrics,
    share_above,
)
from vqa_lib.paths import PACKAGE
from vqa_lib.results import RunFolder

METRIC_NAMES = {
    "srcc": "SRCC",
    "krcc": "KRCC",
    "plcc": "PLCC",
    "plcc_4pl": "PLCC (4PL)",
    "plcc_5pl": "PLCC (5PL)",
    "rmse_4pl": "RMSE (4PL)",
    "rmse_5pl": "RMSE (5PL)",
    "tau": "tau",
    "diff": "diff",
    "accuracy": "accuracy",
    "orders_disagree": "orders disagree",
    "shown_first_chosen": "shown first chosen",
}
LABELS = {"first": "A", "second": "B", "tie": "tie", "both_bad": "tie"}  # tau and diff know no pair of two bad clips


def published(table: str) -> pd.DataFrame:
    """A table of a paper as printed there: method, dataset, metric, value, source, printed (the value digit by digit).

    Named vq_insight_table1 to 6, vqathinker_table1 to 8, finger_table1 to 3. dataset: name/split, with a dimension as a
    third part, or "overall/..." for the paper's own averages. A cell that the paper leaves open has no row.

    Example:
        >>> published("vq_insight_table3").query("method == 'VQ-Insight' and metric == 'srcc'")["value"].tolist()
        [0.875, 0.786, 0.79, 0.875]
    """
    path = PACKAGE / "published" / f"{table}.csv"
    if not path.exists():
        known = sorted(file.stem for file in path.parent.glob("*.csv"))
        raise FileNotFoundError(f"no published table {table!r}; known: {known}")
    return pd.read_csv(path).assign(printed=pd.read_csv(path, dtype=str)["value"])


def measure(predictions: pd.DataFrame, model: str, resamples: int = 1000) -> list[dict]:
    """One row a data set and metric from a predictions table (see `scoring`): value, 95 % interval, n, unparsed.

    Scores on several dimensions give rows for each (data set "name/split/dimension") and for their mean
    ("name/split/mean"; see `metrics.dimension_metrics`).
    """
    rows = []
    for (dataset, split), part in predictions.groupby(["dataset", "split"], sort=False):
        where, parts = f"{dataset}/{split}", by_dimension(part)
        if not parts:
            found, unparsed = {where: score_metrics(part["prediction"], part["target"], resamples=resamples)}, part
        else:
            columns = [{name: table[column] for name, table in parts.items()} for column in ("prediction", "target")]
            each, mean = dimension_metrics(*columns, resamples=resamples)
            found = {f"{where}/{name}": metrics for name, metrics in each.items()} | {f"{where}/mean": mean}
            unparsed = next(iter(parts.values()))  # a response gives all dimensions or none
        lost = parse_failures(unparsed["prediction"])
        rows += [_measured(model, name, metrics, lost) for name, table in found.items() for metrics in table.items()]
    return rows


def measure_overall(
    predictions: pd.DataFrame, model: str, groups: Mapping[str, Sequence[str]], resamples: int = 1000
) -> list[dict]:
    """One row a group of data sets and metric: the mean weighted by numbers of videos; columns as of `measure`.

    Source: VQAThinker, Table 1. groups: name -> its data sets, each "name/split"; the row's dataset is "overall/NAME".

    Raises:
        ValueError: a data set of a group has no predictions.
    """
    where = predictions["dataset"] + "/" + predictions["split"]
    rows = []
    for name, wanted in groups.items():
        if missing := sorted(set(wanted) - set(where)):
            raise ValueError(f"no predictions for {', '.join(missing)}, of which overall/{name} is the mean")
        part = predictions[where.isin(wanted)]
        _, total = overall_metrics(part["prediction"], part["target"], where[part.index].tolist(), resamples=resamples)
        lost = parse_failures(part["prediction"])
        rows += [_measured(model, f"overall/{name}", metric, lost) for metric in total.items()]
    return rows


def _measured(model: str, dataset: str, named: tuple[str, Metric], unparsed: int) -> dict:
    name, metric = named
    values = {"value": metric.value, "low": metric.low, "high": metric.high, "n": metric.n}
    return {
        "model": model,
        "dataset": dataset,
        "metric": name,
        **values,
        "unparsed": unparsed,
        "reason": metric.reason,
    }


def _texts(column: pd.Series) -> list[str | None]:
    return [None if pd.isna(text) else text for text in column]


def by_dimension(predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """A predictions table on several dimensions as one table each, with the columns of a single score; else {}."""
    names = [name.removeprefix("prediction_") for name in predictions if name.startswith("prediction_")]
    kept = predictions[["dataset", "split", "name", "response"]] if names else None
    return {
        name: kept.assign(target=predictions[f"target_{name}"], prediction=predictions[f"prediction_{name}"])
        for name in names
    }


def measure_pairs(compared: pd.DataFrame, model: str, resamples: int = 1000) -> list[dict]:
    """One row a data set and metric from a table of `comparing.compare_pairs`; columns as of `measure`.

    tau and diff as in `metrics.pair_metrics`, a pair of two bad clips being a tie. orders_disagree: share of pairs of
    which the model chooses the other clip when they change places. shown_first_chosen: share of all answers that choose
    the clip shown first; 0.5 for a judge without a bias. n: pairs (of the last: answers) that could be read; unparsed:
    pairs of which an order has no readable answer.
    """
    rows = []
    for (dataset, split), part in compared.groupby(["dataset", "split"], sort=False):
        labels = [LABELS[preference] for preference in part["preference"]]
        metrics = pair_metrics(part["difference"], labels, resamples=resamples)
        straight, swapped = _texts(part["answer"]), _texts(part["swapped_answer"])
        disagree = [
            None if one is None or other is None else one != other for one, other in zip(straight, swapped, strict=True)
        ]
        first = [None if one is None else one == "first" for one in straight]
        first += [None if one is None else one == "second" for one in swapped]
        found = {"tau": metrics["tau"], "diff": metrics["diff"]}
        found["orders_disagree"] = accuracy(disagree, [True] * len(disagree), resamples=resamples)
        found["shown_first_chosen"] = accuracy(first, [True] * len(first), resamples=resamples)
        lost = parse_failures(part["difference"])
        rows += [_measured(model, f"{dataset}/{split}", metric, lost) for metric in found.items()]
    return rows


def measure_answers(answered: pd.DataFrame, model: str, by: str | None = None, resamples: int = 1000) -> list[dict]:
    """Accuracy from a table of `comparing.answer_questions`, one row a data set; columns as of `measure`.

    Questions without a published answer are left out. by: a column, "category" or "dimension"; then there is a row for
    each of its values ("name/split/value"), and one for all questions ("name/split/overall").
    """
    rows = []
    for (dataset, split), part in answered[answered["true_answer"].notna()].groupby(["dataset", "split"], sort=False):
        where = f"{dataset}/{split}"
        parts = {where: part}
        if by is not None:
            parts = {f"{where}/{value}": each for value, each in part.groupby(by, sort=False)}
            parts[f"{where}/overall"] = part
        for name, each in parts.items():
            answers = _texts(each["answer"])
            found = accuracy(answers, each["true_answer"].tolist(), resamples=resamples)
            rows.append(_measured(model, name, ("accuracy", found), answers.count(None)))
    return rows


def show_metric(row: dict | pd.Series | Metric) -> str:
    """A figure with its interval, or the reason why there is none."""
    row = vars(row) if isinstance(row, Metric) else row
    if pd.isna(row["value"]):
        return f"undefined: {row['reason']}"
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def results_table(measured: pd.DataFrame, metrics: tuple[str, ...] = ("srcc", "plcc", "plcc_4pl")) -> pd.DataFrame:
    """A table to read: a row a model and data set, a column a metric, n and unparsed answers beside them."""
    rows = []
    for (model, dataset), part in measured.groupby(["model", "dataset"], sort=False):
        by_name = part.set_index("metric")
        row = {
            "model": model,
            "dataset": dataset,
            "n": int(by_name["n"].max()),
            "unparsed": int(by_name["unparsed"].max()),
        }
        row |= {METRIC_NAMES[name]: show_metric(by_name.loc[name]) for name in metrics}
        rows.append(row)
    return pd.DataFrame(rows)


def beside_paper(
    measured: pd.DataFrame, table: str, profile: str, metrics: tuple[str, ...] = ("srcc", "plcc")
) -> pd.DataFrame:
    """A paper's table with our rows below its own; every row says whose figures it holds."""
    paper = published(table)
    shown = [
        {
            "method": method,
            "whose": source,
            "metric": METRIC_NAMES[metric],
            **{row.dataset: row.printed for row in part.itertuples()},
        }
        for (method, source, metric), part in paper.groupby(["method", "source", "metric"], sort=False)
        if metric in metrics
    ]
    ours = measured[measured["metric"].isin(metrics) & measured["dataset"].isin(paper["dataset"].unique())]
    for (model, metric), part in ours.groupby(["model", "metric"], sort=False):
        cells = {row["dataset"]: show_metric(row) for _, row in part.iterrows()}
        shown.append({"method": model, "whose": f"ours, {profile}", "metric": METRIC_NAMES[metric], **cells})
    return pd.DataFrame(shown).fillna("")


def order_awareness(
    ordered: dict[str, pd.DataFrame], shuffled: dict[str, pd.DataFrame], dataset: str, split: str
) -> pd.DataFrame:
    """How often each model scores a clip above its shuffled copy; both arguments hold a predictions table a model."""
    rows = []
    for model, table in ordered.items():
        own = table[(table["dataset"] == dataset) & (table["split"] == split)].set_index("name")["prediction"]
        other = shuffled[model].set_index("name")["prediction"].reindex(own.index)
        share = share_above(own.to_numpy(), other.to_numpy())
        ties = int((own == other).sum())
        rows.append({"model": model, "share above its shuffled copy": show_metric(share), "n": share.n, "ties": ties})
    return pd.DataFrame(rows)


def save_table(run: RunFolder, name: str, table: pd.DataFrame, caption: str) -> Path:
    """Write a table as CSV, Markdown and LaTeX; the profile stands in the caption, so none is mistaken for another."""
    caption = f"{caption} Profile: {run.profile}."
    table.to_csv(run.file("tables", f"{name}.csv"), index=False)
    path = run.file("tables", f"{name}.md")
    path.write_text(f"{caption}\n\n{table.to_markdown(index=False)}\n", encoding="utf-8")
    latex = table.to_latex(index=False, escape=True, caption=caption, label=f"tab:{name}")
    run.file("tables", f"{name}.tex").write_text(latex, encoding="utf-8")
    return path
