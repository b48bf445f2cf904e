"""From distortions to a mean opinion score: one formula, then simulated raters.

    q = prod over distortions k of (1 - WEIGHTS[k] * strength_k)        true quality, 0 (worst) to 1 (best)
    rating_r = clip(q + bias_r + noise_r, 0, 1)                         rater r: bias ~ N(0, 0.06), noise ~ N(0, 0.10)
    MOS = mean over 20 raters, SD = their standard deviation, both put on the data set's own scale

Source: ours. A product rather than a sum, because a second flaw in a bad clip lowers its score less than in a good one.
"""

import numpy as np

from vqa_lib.records import Scale

WEIGHTS = {
    "downscaling": 0.65,
    "blur": 0.75,
    "noise": 0.65,
    "exposure": 0.5,
    "cast": 0.4,
    "compression": 0.7,
    "stutter": 0.6,
    "dropping": 0.35,
    "jitter": 0.5,
    "shuffling": 0.65,
}
RATERS = 20


def true_quality(strengths: dict[str, float]) -> float:
    """Quality before anybody rates it, in [0, 1], higher is better.

    Example:
        >>> true_quality({"blur": 1.0})
        0.25
    """
    return float(np.prod([1 - WEIGHTS[name] * strength for name, strength in strengths.items()]))


def opinions(quality: float, scale: Scale, random: np.random.Generator) -> tuple[float, float, np.ndarray]:
    """MOS and SD on `scale`, and the ratings (RATERS,) in [0, 1] they come from."""
    ratings = np.clip(quality + random.normal(0, 0.06, RATERS) + random.normal(0, 0.10, RATERS), 0, 1)
    size = scale.high - scale.low
    return float(scale.low + size * ratings.mean()), float(size * ratings.std(ddof=1)), ratings
