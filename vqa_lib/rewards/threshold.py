"""Q-Insight's score reward: near enough or not."""

from vqa_lib.rewards.score import read_single_scores


def threshold_reward(completions, target, scale, threshold=0.35, **_) -> list[float]:
    """1 where a single score comes nearer to the truth than a threshold; else 0.

    **Source**: Q-Insight (arXiv 2503.22679), the baseline of both papers; 0.35 on its scale of 1 to 5, official code.

    r = 1 if |p - g| < threshold, else 0

    threshold: in units of the answer scale.

    Returns: 1.0 or 0.0; 0.0 where no score can be read.

    Raises:
        ValueError: a row with other than one target, a target outside its scale.

    Example:
        >>> threshold_reward(["<answer>3.2</answer>", "<answer>3.4</answer>"], [[3.0]] * 2, [(1, 5)] * 2)
        [1.0, 0.0]
    """
    pairs = read_single_scores(completions, target, scale)
    # Rounded, or 4.35 - 4 would be under 0.35 and 3.35 - 3 over it.
    return [float(score is not None and round(abs(score - truth), 9) < threshold) for score, truth in pairs]
