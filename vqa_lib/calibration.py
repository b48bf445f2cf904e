"""How far the probability of an answer can be believed: reliability by bins, and the expected calibration error."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vqa_lib.metrics.intervals import Metric, interval, resampled_rows, undefined


def reliability(answered: pd.DataFrame, bins: int = 10) -> pd.DataFrame:
    """Where P(Yes) lies in each of equally wide bins, and how often Yes was right there.

    **Source**: ours, beyond FingER; the diagram of Guo et al. 2017. answered: columns probability (NaN rows are left
    out) and true_answer ("yes" or "no").

    Returns: columns low, high (of the bin), n, probability (mean), yes (share of questions whose true answer is yes);
    bins without a question have no row.

    Example:
        >>> answers = pd.DataFrame({"probability": [0.9, 0.9, 0.1], "true_answer": ["yes", "no", "no"]})
        >>> reliability(answers)[["n", "probability", "yes"]].values.tolist()
        [[1.0, 0.1, 0.0], [2.0, 0.9, 0.5]]
    """
    chance, truth, place = _binned(answered, bins)
    edges = np.linspace(0, 1, bins + 1)
    return pd.DataFrame([
        {
            **{"low": edges[number], "high": edges[number + 1], "n": int((place == number).sum())},
            **{"probability": chance[place == number].mean(), "yes": truth[place == number].mean()},
        }
        for number in np.unique(place)
    ])  # fmt: skip


def calibration_error(answered: pd.DataFrame, bins: int = 10, seed: int = 0, resamples: int = 1000) -> Metric:
    """Expected calibration error: the mean distance of P(Yes) from the share of Yes in its bin; 0 is perfect, 1 worst.

        ECE = sum over bins of n_b / n |mean P(Yes) in b - share of yes in b|

    **Source**: Naeini et al. 2015, for P(Yes) of FingER's eq. 1. answered: as in `reliability`, and the column clip:
    a clip is drawn with all its questions. With few questions a bin the error is overestimated.

    Example:
        >>> answers = pd.DataFrame({"probability": [0.9, 0.9, 0.1], "true_answer": ["yes", "no", "no"], "clip": "abc"})
        >>> answers["clip"] = ["a", "b", "c"]
        >>> round(calibration_error(answers).value, 3)
        0.3
    """
    chance, truth, place = _binned(answered, bins)
    clips = answered["clip"][answered["probability"].notna()].to_numpy()
    names, owner = np.unique(clips, return_inverse=True)
    if len(names) < 2:
        return undefined(len(chance), f"needs at least 2 clips, got {len(names)}")
    # Per clip and bin: the summed P(Yes) - yes, of which a resample of clips is a sum.
    gaps = np.zeros((len(names), bins))
    np.add.at(gaps, (owner, place), chance - truth)
    counts = np.bincount(owner)
    drawn = (rows for rows in resampled_rows(len(names), resamples, seed))
    samples = np.concatenate([np.abs(gaps[rows].sum(1)).sum(1) / counts[rows].sum(1) for rows in drawn])
    return Metric(float(np.abs(gaps.sum(0)).sum() / len(chance)), *interval(samples), len(chance))


def _binned(answered: pd.DataFrame, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """P(Yes), whether yes is right, and the number of the bin of each question with a probability."""
    known = answered[answered["probability"].notna()]
    if unknown := set(known["true_answer"]) - {"yes", "no"}:
        raise ValueError(f"true answers must be yes or no, found {sorted(map(str, unknown))}")
    chance = known["probability"].to_numpy(dtype=float)
    return chance, (known["true_answer"] == "yes").to_numpy(dtype=float), _bin_of(chance, bins)


def _bin_of(chance: Sequence[float], bins: int) -> np.ndarray:
    return np.minimum((np.asarray(chance) * bins).astype(int), bins - 1)  # 1.0 belongs to the last
