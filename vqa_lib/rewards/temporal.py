"""VQ-Insight's temporal modelling reward: frames in order against the same frames shuffled."""

from collections import defaultdict

from vqa_lib.rewards.score import multi_dim_reward
from vqa_lib.rewards.shared import check_variant, contrast_rows, rows_of_groups, truth_columns


def temporal_reward(
    completions,
    contrast_completions,
    group,
    kind,
    alpha=0.3,
    mu=0.8,
    correct_above: float | None = None,
    accuracy=multi_dim_reward,
    variant="paper",
    **columns,
) -> list[float]:
    """A bonus where a video is judged better with its frames in order than with them shuffled.

    **Source**: VQ-Insight, eq. 4 (alpha = 0.3, mu = 0.8). The paper does not say when a score is correct; ours: where
    its accuracy reward is over `correct_above`, 0.9 unless given. Official code: 0.1, and means, not frequencies.

    paper:     r = alpha if w_seq > mu w_rand, else 0             w: share of correct answers in the group
    official:  r = alpha if a_i > correct_above and mean(a_seq) >= mu mean(a_rand), else 0     a: accuracy rewards

    The paper's bonus is equal for all rollouts of a group, so it cancels in GRPO's advantage, (r - mean) / std within
    the group: it shows in the logs and teaches nothing by itself. The official variant does tell rollouts apart.

    accuracy: the reward that judges answers; it gets the columns that hold the truth. `choice_reward` for preferences.

    Returns: 0.0 or alpha, against all contrast completions beside the group's rows; 0.0 for images.

    Raises:
        ValueError: a group of videos without contrast completions (a bug upstream, not a weak answer); an unknown
            variant; what `accuracy` raises.

    Example:
        >>> rows = dict(group=[0], kind=["video"], dimensions=[["overall"]], target=[[80.0]], scale=[(0, 100)])
        >>> ordered, shuffled = ["<answer>80</answer>"], [["<answer>20</answer>"]]
        >>> temporal_reward(ordered, shuffled, **rows)
        [0.3]
    """
    check_variant(variant)
    if correct_above is None:
        correct_above = 0.9 if variant == "paper" else 0.1

    ordered = accuracy(completions, **truth_columns(columns, range(len(completions))), variant=variant)
    contrast, owner = contrast_rows(contrast_completions)
    shuffled = accuracy(contrast, **truth_columns(columns, owner), variant=variant)
    shuffled_of_group = defaultdict(list)
    for row, value in zip(owner, shuffled, strict=True):
        shuffled_of_group[group[row]].append(value)

    rewards = [0.0] * len(completions)
    for number, rows in rows_of_groups(group).items():
        rows = [row for row in rows if kind[row] == "video"]
        if not rows:
            continue
        shuffled = shuffled_of_group[number]
        if not shuffled:
            raise ValueError(f"group {number} has no contrast completions: its shuffled frames were never answered")
        sequence = [ordered[row] for row in rows]
        if variant == "paper":
            helped = _share_above(sequence, correct_above) > mu * _share_above(shuffled, correct_above)
        else:
            helped = sum(sequence) / len(sequence) >= mu * sum(shuffled) / len(shuffled)
        for row in rows:
            if helped and (variant == "paper" or ordered[row] > correct_above):
                rewards[row] = alpha
    return rewards


def _share_above(values: list[float], threshold: float) -> float:
    return sum(value > threshold for value in values) / len(values)
