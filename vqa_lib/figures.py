"""Figures of a run: each is saved as PDF and PNG beside the data it draws, with the profile in its title."""

import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vqa_lib.answers import reasoning_text
from vqa_lib.results import RunFolder

plt.rcParams.update(
    {"pdf.fonttype": 42, "figure.dpi": 80, "savefig.dpi": 100, "axes.spines.top": False, "axes.spines.right": False}
)
COLOURS = [
    "#4477aa",
    "#ee6677",
    "#228833",
    "#ccbb44",
    "#66ccee",
    "#aa3377",
]  # Tol's bright scheme: safe for the colour-blind


def save_figure(run: RunFolder, name: str, figure: Figure, data: pd.DataFrame | None = None) -> Path:
    """Write figures/<name>.pdf and .png, and the plotted data as .csv."""
    # Without its date the same run gives the same file.
    figure.savefig(run.file("figures", f"{name}.pdf"), bbox_inches="tight", metadata={"CreationDate": None})
    path = run.file("figures", f"{name}.png")
    figure.savefig(path, bbox_inches="tight")
    if data is not None:
        data.to_csv(run.file("figures", f"{name}.csv"), index=False)
    return path


def _legend_beside(axis) -> None:
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))


def reward_data(logs: dict[str, list[dict]]) -> pd.DataFrame:
    """Reward components by stage and step, long form: stage, step, component, value."""
    rows = []
    for stage, log in logs.items():
        for entry in log:
            for key, value in entry.items():
                if key.startswith("rewards/") and key.endswith("/mean"):
                    rows.append({"stage": stage, "step": entry["step"], "component": key.split("/")[1], "value": value})
            rows.append(
                {"stage": stage, "step": entry["step"], "component": "unparsed answers", "value": entry["unparsed"]}
            )
    return pd.DataFrame(rows)


def draw_rewards(data: pd.DataFrame, title: str, window: int = 10) -> Figure:
    """One panel a reward component, stages one after another on the step axis; running mean over `window` steps.

    Each panel has a scale of its own: a score reward that climbs from 0.72 to 0.85 is what a run is about.
    """
    stages, components = list(dict.fromkeys(data["stage"])), list(dict.fromkeys(data["component"]))
    figure, axes = plt.subplots(1, len(components), figsize=(2.6 * len(components), 2.8), squeeze=False)
    for axis, component in zip(axes[0], components, strict=True):
        start = 0
        for stage, colour in zip(stages, COLOURS, strict=False):
            part = data[(data["stage"] == stage) & (data["component"] == component)].sort_values("step")
            steps = start + part["step"]
            axis.plot(steps, part["value"], color=colour, alpha=0.25, linewidth=0.8)
            axis.plot(steps, part["value"].rolling(window, min_periods=1).mean(), color=colour, label=stage)
            start += int(data.loc[data["stage"] == stage, "step"].max())
        axis.set(title=component, xlabel="step")
        axis.title.set_fontsize(9)
    axes[0][0].set_ylabel("mean over the batch")
    _legend_beside(axes[0][-1])
    figure.suptitle(title)
    figure.tight_layout()
    return figure


def draw_scatter(predictions: dict[str, pd.DataFrame], title: str) -> Figure:
    """Predicted against true MOS, one panel a model; unparsed answers are counted in the panel's title."""
    figure, axes = plt.subplots(1, len(predictions), figsize=(3.4 * len(predictions), 3.4), squeeze=False, sharey=True)
    for axis, (model, table) in zip(axes[0], predictions.items(), strict=True):
        for number, ((dataset, split), part) in enumerate(table.groupby(["dataset", "split"], sort=False)):
            axis.scatter(
                part["target"],
                part["prediction"],
                s=8,
                alpha=0.6,
                color=COLOURS[number % 6],
                label=f"{dataset}/{split}",
            )
        axis.plot([0, 100], [0, 100], color="0.7", linewidth=0.8, zorder=0)
        unparsed = int(table["prediction"].isna().sum())
        axis.set(title=f"{model} (n={len(table)}, unparsed {unparsed})", xlabel="MOS", xlim=(0, 100), ylim=(0, 100))
        axis.title.set_fontsize(9)
    axes[0][0].set_ylabel("predicted score")
    _legend_beside(axes[0][-1])
    figure.suptitle(title)
    figure.tight_layout()
    return figure


def caption(row: dict | pd.Series) -> str:
    """A line of predictions in words: name, true score, the model's score and reasoning."""
    said = reasoning_text(row["response"]) or row["response"]
    score = "no readable score" if pd.isna(row["prediction"]) else f"model {row['prediction']:.1f}"
    return f"{row['name']}: MOS {row['target']:.1f}, {score}. \u201c{said.strip()}\u201d"


def draw_clips(frames: list[np.ndarray], captions: list[str], title: str) -> Figure:
    """Frame strips, one a clip (T, H, W, 3), with lines of text above each."""
    texts = [_wrapped(text, 110) for text in captions]
    heights = [1.2 + 0.17 * (1 + text.count("\n")) for text in texts]
    figure, axes = plt.subplots(len(frames), 1, figsize=(9, 0.3 + sum(heights)), squeeze=False, layout="constrained")
    for axis, pixels, text in zip(axes[:, 0], frames, texts, strict=True):
        axis.imshow(np.concatenate(list(pixels), axis=1), interpolation="nearest")
        axis.set_title(text.replace("$", r"\$"), fontsize=9, loc="left")
        axis.axis("off")
    figure.suptitle(title)
    return figure


def _wrapped(text: str, width: int) -> str:
    """Long lines broken; what is indented stays so."""
    pieces = []
    for line in text.split("\n"):
        indent = line[: len(line) - len(line.lstrip())]
        pieces += textwrap.wrap(line, width, subsequent_indent=indent, drop_whitespace=True) or [""]
    return "\n".join(pieces)


def draw_questions(frames: np.ndarray, answered: pd.DataFrame, title: str) -> Figure:
    """A clip's frames (T, H, W, 3), and below them a bar for each question about it: what it says for the clip, 0 to 1.

    answered: columns dimension, question, answer, score; of a table of `entity_answers` and `entity_scores`.
    """
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(9, 1.8 + 0.32 * len(answered)), height_ratios=[1.4, 0.32 * len(answered)], layout="constrained"
    )
    above.imshow(np.concatenate(list(frames), axis=1), interpolation="nearest")
    above.axis("off")
    dimensions = list(dict.fromkeys(answered["dimension"]))
    places = np.arange(len(answered))
    for dimension, colour in zip(dimensions, COLOURS, strict=False):
        part = (answered["dimension"] == dimension).to_numpy()
        below.barh(places[part], answered["score"][part], color=colour, label=dimension)
    said = answered["answer"].map(lambda answer: "unreadable" if pd.isna(answer) else answer)
    below.set_yticks(places, [f"{asked} {answer}" for asked, answer in zip(answered["question"], said, strict=True)])
    below.tick_params(axis="y", labelsize=8)
    below.invert_yaxis()
    below.set(xlim=(0, 1), xlabel="says for the clip")
    figure.legend(fontsize=8, loc="outside lower center", ncols=3)
    figure.suptitle(title.replace("$", r"\$"), fontsize=10)
    return figure


def draw_reliability(tables: dict[str, pd.DataFrame], title: str) -> Figure:
    """How often Yes is right against P(Yes), a panel a table: on the diagonal probabilities are what they say.

    tables: a heading -> a table of `calibration.reliability`. Grey bars: the share of questions in each bin.
    """
    figure, axes = plt.subplots(1, len(tables), figsize=(4 * len(tables), 4), sharey=True, squeeze=False)
    for axis, (heading, table) in zip(axes[0], tables.items(), strict=True):
        shares = table["n"] / table["n"].sum()
        axis.bar(table["low"], shares, table["high"] - table["low"], align="edge", color="0.85", label="questions")
        axis.plot([0, 1], [0, 1], color="0.5", linewidth=1, linestyle="--")
        axis.plot(table["probability"], table["yes"], marker="o", color=COLOURS[0], label="Yes is right")
        axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="P(Yes)", title=heading)
    axes[0][0].set(ylabel="share")
    axes[0][-1].legend(fontsize=8)
    figure.suptitle(title)
    figure.tight_layout()
    return figure


def draw_resolution(measured: pd.DataFrame, title: str) -> Figure:
    """Accuracy against what varied, a panel for pixels and one for frame rates, a line a dimension with its 95 % band.

    measured: rows of `entity_scores.measure_entities` with the columns varied ("pixels" or "rate") and at.
    """
    names = {"pixels": "pixels a frame", "rate": "frames a second"}
    figure, axes = plt.subplots(1, len(names), figsize=(10, 3.6), sharey=True)
    for axis, (varied, words) in zip(axes, names.items(), strict=True):
        part = measured[measured["varied"] == varied]
        for number, (dataset, line) in enumerate(part.groupby("dataset", sort=False)):
            line = line.groupby("at")[["value", "low", "high"]].mean()
            colour = COLOURS[number % len(COLOURS)]
            axis.plot(line.index, line["value"], marker="o", color=colour, label=dataset.split("/")[-1])
            axis.fill_between(line.index, line["low"], line["high"], color=colour, alpha=0.1)
        axis.set(xlabel=words)
    axes[0].set(ylabel="accuracy", ylim=(0, 1))
    _legend_beside(axes[-1])
    figure.suptitle(title)
    figure.tight_layout()
    return figure


def reasons_caption(answered: pd.DataFrame) -> str:
    """Lines for `draw_clips`: each question with the truth, and what was said before and after training.

    answered: columns question, truth, before, after; the last two are responses.
    """
    return "\n".join(
        f"{row.question} (truth: {row.truth})\n    before: {row.before}\n    after: {row.after}"
        for row in answered.itertuples()
    )


def draw_responses(frames: list[np.ndarray], responses: pd.DataFrame, title: str) -> Figure:
    """A pair's two clips as frame strips (T, H, W, 3); below, what each judge said (judge, answer, response)."""
    figure = plt.figure(figsize=(10, 5.5))
    grid = figure.add_gridspec(3, len(responses), height_ratios=[1, 1, 1.6])
    for number, (pixels, name) in enumerate(zip(frames, ("Video A (first)", "Video B (second)"), strict=True)):
        axis = figure.add_subplot(grid[number, :])
        axis.imshow(np.concatenate(list(pixels), axis=1), interpolation="nearest")
        axis.set_title(name, fontsize=9, loc="left")
        axis.axis("off")
    for number, row in enumerate(responses.to_dict("records")):
        axis = figure.add_subplot(grid[2, number])
        chosen = "no readable choice" if pd.isna(row["answer"]) else f"chooses {row['answer']}"
        axis.set_title(f"{row['judge']}: {chosen}", fontsize=9, loc="left")
        said = "\n".join(textwrap.wrap(row["response"], 110 // len(responses)))
        # `$` would begin a formula, and a response is the model's own text.
        axis.text(0, 1, said.replace("$", r"\$"), fontsize=8, va="top", transform=axis.transAxes)
        axis.axis("off")
    figure.suptitle(title.replace("$", r"\$"), fontsize=10)
    figure.subplots_adjust(top=0.92 - 0.04 * title.count("\n"))
    return figure


def draw_losses(losses: pd.DataFrame, title: str, window: int = 20) -> Figure:
    """Training loss against the step, one panel a phase (columns phase, step, loss; running mean)."""
    phases = list(dict.fromkeys(losses["phase"]))
    figure, axes = plt.subplots(1, len(phases), figsize=(4 * len(phases), 3), squeeze=False)
    for axis, phase in zip(axes[0], phases, strict=True):
        part = losses[losses["phase"] == phase]
        axis.plot(part["step"], part["loss"].rolling(window, min_periods=1).mean(), color=COLOURS[0])
        axis.set(title=phase, xlabel="step", ylabel="loss")
    figure.suptitle(title)
    figure.tight_layout()
    return figure


def draw_intervals(measured: pd.DataFrame, title: str) -> Figure:
    """One metric with its 95 % interval by data set, a colour a model (columns model, dataset, value, low, high)."""
    datasets, models = list(dict.fromkeys(measured["dataset"])), list(dict.fromkeys(measured["model"]))
    figure, axis = plt.subplots(figsize=(1.8 * len(datasets) + 2, 3.2))
    for number, model in enumerate(models):
        part = measured[measured["model"] == model].set_index("dataset").reindex(datasets)
        place = np.arange(len(datasets)) + 0.7 * ((number + 0.5) / len(models) - 0.5)
        # A percentile interval need not hold the value: tau, a maximum over thresholds, grows when rows are repeated.
        reach = [(part["value"] - part["low"]).clip(lower=0), (part["high"] - part["value"]).clip(lower=0)]
        axis.errorbar(place, part["value"], yerr=reach, fmt="o", color=COLOURS[number % len(COLOURS)], label=model)
    axis.set_xticks(range(len(datasets)), [name.replace("/", "/\n") for name in datasets])
    axis.set_title(title)
    _legend_beside(axis)
    figure.tight_layout()
    return figure


def draw_scaling(curve: pd.DataFrame, single: pd.DataFrame, title: str) -> Figure:
    """SRCC against the number of answers, a line and its 95 % band a way of combining them (`several_answers.scaling`).

    single: rows of `tables.measure` with metric "srcc", dashed lines: models that need one answer only.
    """
    figure, axis = plt.subplots(figsize=(6, 3.6))
    counts = sorted(set(curve["samples"]))  # each twice the one before: side by side, as on a logarithmic scale
    for number, (name, part) in enumerate(curve.groupby("combined", sort=False)):
        places = [counts.index(count) for count in part["samples"]]
        axis.plot(places, part["value"], marker="o", color=COLOURS[number], label=f"{name} of samples")
        axis.fill_between(places, part["low"], part["high"], color=COLOURS[number], alpha=0.15)
    for number, row in enumerate(single[single["metric"] == "srcc"].to_dict("records"), curve["combined"].nunique()):
        axis.axhline(row["value"], color=COLOURS[number], linestyle="--", label=row["model"])
    axis.set_xticks(range(len(counts)), counts)
    axis.set(xlabel="answers a video", ylabel="SRCC", title=title)
    _legend_beside(axis)
    figure.tight_layout()
    return figure
