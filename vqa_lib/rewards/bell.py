"""VQAThinker's bell-shaped regression reward."""

import math
from decimal import Decimal

from vqa_lib.rewards.score import read_single_scores
from vqa_lib.rewards.shared import check_variant


def bell_reward(completions, target, scale, sigma=0.5, alpha: float | None = None, variant="paper", **_) -> list[float]:
    """A Gaussian bell around the truth: steep where an answer is nearly right, flat far away.

    **Source**: VQAThinker, eq. 5 (sigma = 0.5, alpha = 0.8; scores from 1 to 5). Official code: alpha is 1, and scores
    with fewer than two decimals earn 0.8 of it (trailing zeros do not count: 3.50 has one).

    paper:     r = alpha exp(-(s - g)^2 / (2 sigma^2))
    official:  r = c alpha exp(-(s - g)^2 / (2 sigma^2))      c: 1 with two decimals or more, else 0.8

    sigma: in units of the answer scale. alpha is 0.8 (paper) or 1 (official) unless given.

    Returns: in (0, alpha], higher is better; 0.0 where no score can be read.

    Raises:
        ValueError: a row with other than one target, a target outside its scale, a sigma or alpha that is not positive,
            an unknown variant.

    Example:
        >>> [round(value, 3) for value in bell_reward(["<answer>3.5</answer>"], target=[[3.0]], scale=[(1, 5)])]
        [0.485]
    """
    check_variant(variant)
    if alpha is None:
        alpha = 0.8 if variant == "paper" else 1.0
    if sigma <= 0 or alpha <= 0:
        raise ValueError(f"sigma and alpha must be positive, got {sigma} and {alpha}")
    rewards = []
    for score, truth in read_single_scores(completions, target, scale):
        if score is None:
            rewards.append(0.0)
            continue
        reward = alpha * math.exp(-((score - truth) ** 2) / (2 * sigma**2))
        rewards.append(0.8 * reward if variant == "official" and _decimals(score) < 2 else reward)
    return rewards


def _decimals(score: float) -> int:
    return max(0, -Decimal(repr(score)).normalize().as_tuple().exponent)
