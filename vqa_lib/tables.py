"""Tables of results: our figures with n, interval, profile and seed, the papers' figures beside them."""

from pathlib import Path

import pandas as pd

from vqa_lib.metrics import Metric, parse_failures, score_metrics, share_above
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
}


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
    """One row a data set and metric from a predictions table (see `scoring`): value, 95 % interval, n, unparsed."""
    rows = []
    for (dataset, split), part in predictions.groupby(["dataset", "split"], sort=False):
        metrics = score_metrics(part["prediction"], part["target"], resamples=resamples)
        rows += [
            {
                "model": model,
                "dataset": f"{dataset}/{split}",
                "metric": name,
                "value": metric.value,
                "low": metric.low,
                "high": metric.high,
                "n": metric.n,
                "unparsed": parse_failures(part["prediction"]),
                "reason": metric.reason,
            }
            for name, metric in metrics.items()
        ]
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
