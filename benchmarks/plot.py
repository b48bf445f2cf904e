"""The pictures of bench.json: a bar a key, how many times faster, beside what was aimed at; and predicted memory."""

import textwrap
from pathlib import Path

import matplotlib
import pandas as pd

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from vqa_lib.figures import COLOURS

LABELS = {
    "loss_8_1": "loss, prompt 8 : answer 1\nagainst stock TRL",
    "loss_4_1": "loss, prompt 4 : answer 1\nagainst stock TRL",
    "loss_1_1": "loss, prompt 1 : answer 1\nagainst stock TRL",
    "step_vs_stock": "whole GRPO step, 4 : 1\nagainst stock TRL",
    "step_vs_per_rollout": "whole GRPO step, 4 : 1\nagainst encoding per rollout",
    "step_vs_per_rollout_8_1": "whole GRPO step, 8 : 1\nagainst encoding per rollout",
    "warm_epoch": "reading frames, later epochs\nagainst the first",
    "scoring": "scoring clips\nagainst one at a time",
    "entities": "18 entity questions a clip\nagainst one at a time",
}


def table(results: dict) -> pd.DataFrame:
    """What is drawn: key, ratio, low, high, target; seconds of both sides."""
    return pd.DataFrame(
        [
            {
                "key": key,
                "ratio": result["ratio"],
                "low": result["ratio_spread"][0],
                "high": result["ratio_spread"][1],
                "target": result["target"],
                "slow": result["ratio_of"][0],
                "slow_seconds": result["sides"][result["ratio_of"][0]]["median"],
                "fast": result["ratio_of"][1],
                "fast_seconds": result["sides"][result["ratio_of"][1]]["median"],
                "rounds": result["rounds"],
                "device": result["device"]["name"],
            }
            for key, result in results.items()
        ]
    )


def caption(results: dict) -> str:
    """Device, rounds and sizes, of all the results: parts may have been measured at different times."""

    def each(values) -> str:
        return " / ".join(dict.fromkeys(str(value) for value in values))

    devices = [result["device"] for result in results.values()]
    sizes = [result["sizes"] for result in results.values()]
    text = (
        f"{each(device['name'] for device in devices)}, {each(device.get('threads', 'all') for device in devices)} "
        f"threads, torch {each(device['torch'] for device in devices)}. Bars: ratio of the medians of "
        f"{each(result['rounds'] for result in results.values())} alternating rounds; lines: smallest and largest "
        f"ratio within a round; ticks: targets. Random Qwen2.5-VL: hidden "
        f"{each(size['text']['hidden_size'] for size in sizes)}, "
        f"{each(size['text']['num_hidden_layers'] for size in sizes)} layers, {each(size['dtype'] for size in sizes)}. "
        f"Clips {each('x'.join(map(str, size['clip_size'])) for size in sizes)}, "
        f"{each(size['clip_seconds'] for size in sizes)} s, {each(size['frames'] for size in sizes)} frames; "
        f"prompt {each(size['prompt'] for size in sizes if 'prompt' in size)} tokens; "
        f"{each(size['group'] for size in sizes)} + {each(size['contrast'] for size in sizes)} responses of "
        f"{each(size['step_completion'] for size in sizes)} tokens for each of "
        f"{each(size['queries'] for size in sizes)} queries a step; {each(size['scoring_clips'] for size in sizes)} "
        f"clips scored, {each(size['scoring_completion'] for size in sizes)} tokens each."
    )
    return "\n".join(textwrap.wrap(text, 115))


def draw(results: dict, folder: Path, name: str = "bench") -> None:
    """Write the figure as PNG and PDF, and what it draws as CSV."""
    data = table(results)
    data.to_csv(folder / f"{name}.csv", index=False)
    figure, axis = plt.subplots(figsize=(8, 1 + 0.55 * len(data)))
    places = range(len(data))
    axis.barh(places, data["ratio"] - 1, left=1, color=COLOURS[0], height=0.55)
    axis.hlines(places, data["low"], data["high"], color="black", linewidth=1)
    end = max(data["high"].max(), data["target"].max() if data["target"].notna().any() else 1)
    for place, row in enumerate(data.itertuples()):
        if pd.notna(row.target):
            axis.vlines(row.target, place - 0.4, place + 0.4, color=COLOURS[1], linewidth=2.5)
        axis.annotate(
            f"{row.ratio:.1f}x   {row.slow_seconds:.3g} s : {row.fast_seconds:.3g} s",
            (1.01, place),
            xycoords=axis.get_yaxis_transform(),
            va="center",
            fontsize=8,
        )
    axis.set_xscale("log")
    axis.set_xlim(min(0.9, data["low"].min() * 0.9), end * 1.15)
    ticks = [
        tick for tick in (0.5, 1, 2, 3, 5, 10, 20, 50, 100, 200) if axis.get_xlim()[0] <= tick <= axis.get_xlim()[1]
    ]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.axvline(1, color="grey", linewidth=0.8)
    axis.set_yticks(places, [LABELS.get(key, key) for key in data["key"]], fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel("times faster (log scale)")
    figure.text(0.01, -0.02, caption(results), fontsize=7, va="top")
    _save(figure, folder, name)


def draw_memory(result: dict, folder: Path, name: str = "bench_memory") -> None:
    """Peak memory of each case: a bar for what was measured, a tick for what was predicted; the numbers as CSV."""
    data = pd.DataFrame(result["cases"])[["case", "predicted", "measured", "ratio"]]
    data.to_csv(folder / f"{name}.csv", index=False)
    figure, axis = plt.subplots(figsize=(8, 1 + 0.4 * len(data)))
    places = range(len(data))
    axis.barh(places, data["measured"] / 1e6, color=COLOURS[0], height=0.55, label="measured")
    for place, row in enumerate(data.itertuples()):
        label = "predicted" if place == 0 else None
        axis.vlines(row.predicted / 1e6, place - 0.4, place + 0.4, color=COLOURS[1], linewidth=2.5, label=label)
        axis.annotate(f"{row.ratio:.3f}", (1.01, place), xycoords=axis.get_yaxis_transform(), va="center", fontsize=8)
    axis.set_yticks(places, data["case"], fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel("peak memory of a GRPO step in MB (right: predicted / measured)")
    axis.legend(fontsize=8)
    _save(figure, folder, name)


def _save(figure, folder: Path, name: str) -> None:
    for suffix, options in (("png", {"dpi": 150}), ("pdf", {"metadata": {"CreationDate": None}})):
        figure.savefig(folder / f"{name}.{suffix}", bbox_inches="tight", **options)
    plt.close(figure)
