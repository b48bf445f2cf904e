"""The pictures of `01_rewards_and_metrics`: rewards against what they judge, computed by the rewards themselves.

Functions named *_data return long tables, which the draw_* functions draw and `figures.save_figure` keeps beside them.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise, product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from vqa_lib.figures import COLOURS
from vqa_lib.metrics import tau_curve
from vqa_lib.metrics.logistic import mapped
from vqa_lib.rewards import REWARDS

Choice = tuple[str, dict]  # a name in REWARDS, and its settings


def _answer(content: float | str) -> str:
    return f"<think>seen</think><answer>{content if isinstance(content, str) else format(content, '.4f')}</answer>"


def _earned(reward: Choice, completions: list[str], **columns) -> list[float]:
    name, settings = reward
    return REWARDS[name](completions, **columns, **settings)


def responses_data(rewards: Mapping[str, Choice], responses: Sequence[str]) -> pd.DataFrame:
    """What each of some rewards gives to responses, a row a response."""
    columns = {"choice": ["Yes"] * len(responses), "choices": [["Yes", "No"]] * len(responses)}
    earned = {label: _earned(reward, list(responses), **columns) for label, reward in rewards.items()}
    return pd.DataFrame({"response": responses, **earned})


def score_data(
    rewards: Mapping[str, Choice], truths: Sequence[float], scale: tuple[float, float], step: float
) -> pd.DataFrame:
    """Rewards of one score against the score: panel (the reward), line (the truth), x (the score), value."""
    scores = np.arange(scale[0], scale[1] + step / 2, step).round(4)
    parts = []
    for (label, reward), truth in product(rewards.items(), truths):
        columns = {"target": [[truth]] * len(scores), "scale": [scale] * len(scores)}
        value = _earned(reward, [_answer(score) for score in scores], **columns)
        parts.append(pd.DataFrame({"panel": label, "line": f"truth {truth:g}", "x": scores, "value": value}))
    return pd.concat(parts, ignore_index=True)


def slope_data(data: pd.DataFrame, truth: float) -> pd.DataFrame:
    """How much of a reward one scale point of error costs, against the error, from `score_data` at one truth."""
    parts = []
    for label, part in data.groupby("panel", sort=False):
        above = part[part["x"] >= truth]
        slope = -np.gradient(above["value"].to_numpy(), above["x"].to_numpy())
        parts.append(pd.DataFrame({"panel": "slope", "line": label, "x": above["x"] - truth, "value": slope}))
    return pd.concat(parts, ignore_index=True)


def multi_dim_data(rewards: Mapping[str, Choice], truth: float, steps: int = 41) -> pd.DataFrame:
    """The three-dimension reward over the errors of two scores, the third exact: panel, x, y, value."""
    names = ["spatial", "temporal", "consistency"]
    errors = np.linspace(-truth, 100 - truth, steps)
    pairs = list(product(errors, errors))
    texts = [
        _answer(f'{{"spatial": {truth + one:.4f}, "temporal": {truth + other:.4f}, "consistency": {truth:.4f}}}')
        for one, other in pairs
    ]
    columns = {"dimensions": [names], "target": [[truth] * 3], "scale": [(0, 100)]}
    columns = {name: cells * len(pairs) for name, cells in columns.items()}
    return _map_data(rewards, pairs, texts, columns)


def _map_data(rewards: Mapping[str, Choice], pairs: list[tuple], texts: list[str], columns: dict) -> pd.DataFrame:
    x, y = np.array(pairs).T
    parts = [
        pd.DataFrame({"panel": label, "x": x, "y": y, "value": _earned(reward, texts, **columns)})
        for label, reward in rewards.items()
    ]
    return pd.concat(parts, ignore_index=True)


def temporal_data(rewards: Mapping[str, Choice], group: int = 8, contrast: int = 4) -> pd.DataFrame:
    """The mean bonus of a group over how many of its answers are right, in order and shuffled: panel, x, y, value."""
    rows = []
    for (label, reward), right, right_shuffled in product(rewards.items(), range(group + 1), range(contrast + 1)):
        texts = [_answer(80 if number < right else 20) for number in range(group)]
        shuffled = [[_answer(80 if number < right_shuffled else 20)] for number in range(contrast)]
        value = _earned(
            reward,
            texts,
            contrast_completions=shuffled + [[]] * (group - contrast),
            group=[0] * group,
            kind=["video"] * group,
            dimensions=[["overall"]] * group,
            target=[[80.0]] * group,
            scale=[(0, 100)] * group,
        )
        rows.append(
            {"panel": label, "x": right_shuffled / contrast, "y": right / group, "value": float(np.mean(value))}
        )
    return pd.DataFrame(rows)


def length_data(rewards: Mapping[str, Choice], longest: int = 700) -> pd.DataFrame:
    """The length bonus of a right answer (its group all right) against its length: panel, line, x, value."""
    lengths = np.arange(longest + 1)
    columns = {
        "completion_ids": [[0] * length for length in lengths],
        "group": [0] * len(lengths),
        "dimensions": [["overall"]] * len(lengths),
        "target": [[80.0]] * len(lengths),
        "scale": [(0, 100)] * len(lengths),
    }
    parts = [
        pd.DataFrame({"panel": "length", "line": label, "x": lengths, "value": _earned(reward, texts, **columns)})
        for label, reward in rewards.items()
        for texts in [[_answer(80.0)] * len(lengths)]
    ]
    return pd.concat(parts, ignore_index=True)


def ranking_data(rewards: Mapping[str, Choice], other: float = 3.0, spread: float = 0.5) -> pd.DataFrame:
    """The ranking reward of one score against another video's scores: panel, line (which truth is higher), x, value.

    other, spread: mean and standard deviation of the other video's two scores.
    """
    rows = []
    truths = {"own truth higher": (4.0, 2.0), "own truth lower": (2.0, 4.0), "truths tie": (3.0, 3.0)}
    for (label, reward), (line, (own, theirs)) in product(rewards.items(), truths.items()):
        for score in np.arange(1, 5.001, 0.05):
            value = _earned(
                reward,
                [_answer(score), _answer(other - spread), _answer(other + spread)],
                group=[0, 1, 1],
                target=[[own], [theirs], [theirs]],
                scale=[(1, 5)] * 3,
            )
            rows.append({"panel": label, "line": line, "x": score, "value": value[0]})
    return pd.DataFrame(rows)


def consistency_data(rewards: Mapping[str, Choice], truth: float = 4.0, step: float = 0.1) -> pd.DataFrame:
    """The consistency bonus over the scores of a video and of its copy: panel, x (the copy's), y (its own), value.

    One more video stands in the batch, truth and scores 2, its copy 2 as well.
    """
    scores = np.arange(1, 5 + step / 2, step)
    rows = []
    for (label, reward), copy, own in product(rewards.items(), scores, scores):
        value = _earned(
            reward,
            [_answer(min(own + 0.001, 5.0)), _answer(2.001)],  # a third decimal: the official bell wants two
            contrast_completions=[[_answer(min(copy + 0.001, 5.0))], [_answer(2.001)]],
            group=[0, 1],
            kind=["video"] * 2,
            target=[[truth], [2.0]],
            scale=[(1, 5)] * 2,
        )
        rows.append({"panel": label, "x": copy, "y": own, "value": value[0]})
    return pd.DataFrame(rows)


def judges(pairs: int, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Simulated preferences: margins of three judges by name, and labels; people call nearly equal pairs a tie."""
    random = np.random.default_rng(seed)
    true = random.normal(size=pairs)
    people = true + random.normal(0, 0.3, pairs)
    labels = np.where(np.abs(people) < 0.4, "tie", np.where(people > 0, "A", "B"))
    margins = {
        "sharp": true + random.normal(0, 0.3, pairs),
        "noisy": true + random.normal(0, 1.2, pairs),
        "rounds to halves": np.round(2 * (true + random.normal(0, 0.5, pairs))) / 2,
    }
    return margins, labels


def tau_data(margins: Mapping[str, np.ndarray], labels: np.ndarray) -> pd.DataFrame:
    """Accuracy against the threshold for every judge: panel, line, x, value."""
    parts = []
    for name, margin in margins.items():
        thresholds, accuracies = tau_curve(margin, labels)
        parts.append(pd.DataFrame({"panel": "tau", "line": name, "x": thresholds, "value": accuracies}))
    return pd.concat(parts, ignore_index=True)


def opinions(videos: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Simulated predictions (1 to 5) and MOS (0 to 100) that follow them along a bent curve."""
    random = np.random.default_rng(seed)
    quality = random.uniform(-2, 2, videos)
    mos = np.clip(50 + 40 * np.tanh(1.3 * quality) + random.normal(0, 6, videos), 0, 100)
    return np.clip(3 + 0.9 * quality + random.normal(0, 0.15, videos), 1, 5).round(2), mos


def logistic_data(predictions: np.ndarray, mos: np.ndarray) -> pd.DataFrame:
    """Each prediction with its MOS and where the two fitted logistics put it, in the order of predictions."""
    table = pd.DataFrame({"prediction": predictions, "mos": mos})
    for parameters in (4, 5):
        table[f"{parameters} parameters"] = mapped(predictions, mos, parameters)[0]
    return table.sort_values("prediction", ignore_index=True)


def draw_lines(
    data: pd.DataFrame,
    title: str,
    xlabel: str,
    ylabel: str,
    marks: Mapping[str, float] | None = None,
    points: Mapping[str, tuple[float, float]] | None = None,
) -> Figure:
    """Lines side by side, one panel each (columns panel, line, x, value).

    marks: label -> x of a dotted line. points: line -> (x, value) of its dot, for lines that jump at their points.
    """
    panels, lines = list(dict.fromkeys(data["panel"])), list(dict.fromkeys(data["line"]))
    width = 6.4 if len(panels) == 1 else 3.6 * len(panels)
    figure, axes = plt.subplots(1, len(panels), figsize=(width, 3.2), squeeze=False, sharey=True)
    for axis, panel in zip(axes[0], panels, strict=True):
        for number, line in enumerate(lines):
            part = data[(data["panel"] == panel) & (data["line"] == line)]
            colour = COLOURS[number % len(COLOURS)]
            jumps = "steps-post" if points else "default"
            axis.plot(part["x"], part["value"], color=colour, linewidth=1.8, label=line, drawstyle=jumps)
            if points:
                place, value = points[line]
                axis.plot(place, value, "o", color=colour, markersize=8, markeredgecolor="black", clip_on=False)
                axis.annotate(f"{value:.2f}", (place, value), (7, 4), textcoords="offset points", fontsize=8)
        for label, place in (marks or {}).items():
            axis.axvline(place, color="0.5", linestyle=":", linewidth=1)
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.8}
            where = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
            axis.annotate(label, (place, 0.12), (4, 0), **where, fontsize=8, color="0.35", bbox=box)
        axis.set_xlabel(xlabel)
        axis.grid(color="0.93")
        if len(panels) > 1:
            axis.set_title(panel, fontsize=10)
    axes[0][0].set_ylabel(ylabel)
    axes[0][-1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.suptitle(title)
    figure.tight_layout()
    return figure


def draw_maps(
    data: pd.DataFrame, title: str, xlabel: str, ylabel: str, label: str, steps: Sequence[float] | None = None
) -> Figure:
    """Values over two inputs, one panel each (columns panel, x, y, value), on one colour scale.

    steps: the values there are, where they are few; each gets a colour of its own.
    """
    panels = list(dict.fromkeys(data["panel"]))
    figure, axes = plt.subplots(
        1, len(panels), figsize=(3.8 * len(panels) + 0.8, 3.6), squeeze=False, sharey=True, layout="constrained"
    )
    if steps is None:
        colours = {"cmap": "viridis", "vmin": data["value"].min(), "vmax": data["value"].max()}
    else:
        middles = [(low + high) / 2 for low, high in pairwise(steps)]
        edges = [2 * steps[0] - middles[0], *middles, 2 * steps[-1] - middles[-1]]
        shades = ListedColormap(plt.get_cmap("viridis")(np.linspace(0.15, 0.95, len(steps))))
        colours = {"cmap": shades, "norm": BoundaryNorm(edges, len(steps))}
    for axis, panel in zip(axes[0], panels, strict=True):
        grid = data[data["panel"] == panel].pivot(index="y", columns="x", values="value")
        mesh = axis.pcolormesh(grid.columns, grid.index, grid.to_numpy(), shading="nearest", **colours)
        axis.set(title=panel, xlabel=xlabel)
        axis.title.set_fontsize(10)
    axes[0][0].set_ylabel(ylabel)
    figure.colorbar(mesh, ax=axes[0].tolist(), label=label, ticks=steps, format="%.2g")
    figure.suptitle(title)
    return figure


def draw_logistic(table: pd.DataFrame, title: str) -> Figure:
    """MOS against prediction with the fitted logistics, from `logistic_data`."""
    figure, axis = plt.subplots(figsize=(6.4, 3.4))
    axis.scatter(table["prediction"], table["mos"], s=10, color="0.7", label="videos")
    for colour, name, style in ((COLOURS[0], "4 parameters", "-"), (COLOURS[1], "5 parameters", "--")):
        axis.plot(table["prediction"], table[name], style, color=colour, linewidth=1.8, label=name)
    axis.set(xlabel="prediction (1 to 5)", ylabel="MOS (0 to 100)")
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.suptitle(title)
    figure.tight_layout()
    return figure
