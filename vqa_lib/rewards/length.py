"""VQ-Insight's length control reward."""

from vqa_lib.rewards.score import multi_dim_reward
from vqa_lib.rewards.shared import check_variant, rows_of_groups, truth_columns


def length_reward(
    completions,
    completion_ids,
    group=None,
    gamma: float | None = None,
    low=320,
    high=512,
    accuracy=multi_dim_reward,
    variant="paper",
    **columns,
) -> list[float]:
    """A bonus for responses that are neither short nor long. Lengths are in tokens of the whole response.

    **Source**: VQ-Insight, eq. 5 (gamma = 0.1, l_min = 320, l_max = 512); official code: 0.2 and other conditions.

    paper:     r = gamma if low < len(o) < high, else 0
    official:  r = gamma if low <= len(o) <= high and a_i > 0.1 and a second rollout of the group has a > 0.1, else 0

    a_i is the accuracy reward; only the official variant needs it, and with it the group and the truth.
    gamma is 0.1 (paper) or 0.2 (official) unless given.

    Returns: 0.0 or gamma.

    Raises:
        ValueError: an unknown variant; what `accuracy` raises.

    Example:
        >>> length_reward(["..."] * 3, completion_ids=[[7] * 320, [7] * 321, [7] * 512])
        [0.0, 0.1, 0.0]
    """
    check_variant(variant)
    lengths = [len(tokens) for tokens in completion_ids]
    if variant == "paper":
        gamma = 0.1 if gamma is None else gamma
        return [gamma if low < length < high else 0.0 for length in lengths]

    gamma = 0.2 if gamma is None else gamma
    values = accuracy(completions, **truth_columns(columns, range(len(completions))), variant=variant)
    rewards = [0.0] * len(completions)
    for rows in rows_of_groups(group).values():
        passing = [row for row in rows if values[row] > 0.1]
        if len(passing) > 1:
            for row in passing:
                rewards[row] = gamma if low <= lengths[row] <= high else 0.0
    return rewards
