"""The pairwise ranking reward of VisualQuality-R1 and VQAThinker: is a video put on the right side of the others?"""

import math
from dataclasses import dataclass
from statistics import NormalDist, fmean, pvariance

from vqa_lib.rewards.score import read_single_scores
from vqa_lib.rewards.shared import check_variant, rows_of_groups


@dataclass(frozen=True)
class Ratings:
    """The true score of a video and the mean and variance of the scores that its group could be read to give."""

    truth: float
    mean: float
    variance: float


def ranking_reward(completions, group, target, scale, epsilon=1e-6, variant="paper", **_) -> list[float | None]:
    """How surely a score stands on the right side of the other videos' mean scores, averaged over those videos.

    **Source**: VQAThinker, eq. 6, after VisualQuality-R1 (arXiv 2505.14460): Thurstone's model, fidelity as
    measure. The printed equation has s_i^j and g_k in two places; read here as s_k^i and g_j. The variance is that of
    the K scores themselves (divided by K), epsilon that of the official code; the paper says neither.

    p = Phi((s_k^i - mean(s_j)) / sqrt(var(s_i) + var(s_j) + epsilon))
    paper:     r = mean_j sqrt(p [g_i > g_j] + epsilon) + sqrt((1 - p) [g_i < g_j] + epsilon)
    official:  r = mean_j sqrt(p g + epsilon) + sqrt((1 - p) (1 - g) + epsilon)    g: 1, 0, or 0.5 where g_i = g_j

    The two differ where truths tie: the paper's earns nothing there (2 sqrt(epsilon)), whatever the score.

    Compares over the global batch; the official code compares only what sits on one device. Scores that cannot be read
    enter no mean and no variance, and a video without a readable score is compared with nobody.

    Returns: from 0 to about 1 + sqrt(epsilon), higher is better; 0.0 where no score can be read; None where there is no
    other video to compare with.

    Raises:
        ValueError: rows on different scales, a row with other than one target, a target outside its scale, targets that
            differ within a group, an unknown variant.

    Example:
        >>> answers = ["<answer>4</answer>", "<answer>2</answer>"]
        >>> values = ranking_reward(answers, group=[0, 1], target=[[4.5], [1.5]], scale=[(1, 5)] * 2)
        >>> [round(value, 2) for value in values]
        [1.0, 1.0]
    """
    check_variant(variant)
    scores, ratings = group_ratings(completions, group, target, scale)
    return [
        compare(score, number, ratings, ratings, epsilon, variant) for score, number in zip(scores, group, strict=True)
    ]


def group_ratings(completions, group, target, scale) -> tuple[list[float | None], dict[int, Ratings]]:
    """The score of every row, None where unreadable, and the `Ratings` of every group (mean NaN without any score)."""
    if len(set(map(tuple, scale))) > 1:
        raise ValueError(f"scores on different scales cannot be ranked: {sorted(set(map(tuple, scale)))}")
    pairs = read_single_scores(completions, target, scale)
    ratings = {}
    for number, rows in rows_of_groups(group).items():
        truths = {pairs[row][1] for row in rows}
        if len(truths) > 1:
            raise ValueError(f"group {number} has several targets, {sorted(truths)}: it is not one video")
        read = [pairs[row][0] for row in rows if pairs[row][0] is not None]
        mean, variance = (fmean(read), pvariance(read)) if read else (math.nan, math.nan)
        ratings[number] = Ratings(truths.pop(), mean, variance)
    return [score for score, _ in pairs], ratings


def compare(
    score: float | None, number: int, own: dict[int, Ratings], rivals: dict[int, Ratings], epsilon: float, variant: str
) -> float | None:
    """The ranking reward of one score of group `number` of `own` against all other groups of `rivals`."""
    others = [rival for other, rival in rivals.items() if other != number and not math.isnan(rival.mean)]
    if not others:
        return None
    if score is None:
        return 0.0
    return fmean(_fidelity(score, own[number], other, epsilon, variant) for other in others)


def _fidelity(score: float, own: Ratings, other: Ratings, epsilon: float, variant: str) -> float:
    p = NormalDist().cdf((score - other.mean) / math.sqrt(own.variance + other.variance + epsilon))
    above, below = float(own.truth > other.truth), float(own.truth < other.truth)
    if variant == "official" and own.truth == other.truth:
        above = below = 0.5
    return math.sqrt(p * above + epsilon) + math.sqrt((1 - p) * below + epsilon)
