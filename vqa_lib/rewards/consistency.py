"""VQAThinker's temporal consistency reward: the video itself against a temporally damaged copy."""

from statistics import fmean

from vqa_lib.rewards.bell import bell_reward
from vqa_lib.rewards.ranking import compare, group_ratings
from vqa_lib.rewards.shared import check_variant, contrast_rows, rows_of_groups, truth_columns


def consistency_reward(
    completions,
    contrast_completions,
    group,
    kind,
    target,
    scale,
    delta=0.3,
    tau=0.5,
    bell: dict | None = None,
    epsilon=1e-6,
    variant="paper",
    **_,
) -> list[float]:
    """A bonus where a video earns no less than its damaged copy, and enough: for regression, and again for ranking.

    **Source**: VQAThinker, eq. 8 and 9 (delta = 0.3, tau = 0.5). The paper does not say against whom the answers on the
    damaged copies are ranked; ours: against the other videos as they are, with the spread of the copy's own answers.
    Official code: the copies are ranked among themselves, means are over the whole batch, and single rewards are held
    against tau (ranking) or 0.9 (regression).

    paper:     r_t = delta if mean(r_t) >= mean(r_t of the copy) and mean(r_t) > tau, else 0     means over the group
    official:  r_t = delta if mean(r_t) >= mean(r_t of the copies) and r_t > tau_t, else 0       means over the batch
    r = r_regression + r_ranking

    The paper's bonus is equal for all rollouts of a group, so it cancels in GRPO's advantage, (r - mean) / std within
    the group: it shows in the logs and teaches nothing by itself. The official variant does tell rollouts apart.

    bell: settings for `bell_reward`, where the recipe's own differ from its defaults.

    Returns: 0.0, delta or 2 delta; 0.0 for images. Where there is no other video, the ranking part is 0.

    Raises:
        ValueError: a group of videos without contrast completions (a bug upstream, not a weak answer); what
            `bell_reward` and `ranking_reward` raise.

    Example:
        >>> rows = dict(group=[0, 1], kind=["video"] * 2, target=[[4.0], [2.0]], scale=[(1, 5)] * 2)
        >>> answers, damaged = ["<answer>4.1</answer>", "<answer>2.1</answer>"], [["<answer>3</answer>"]] * 2
        >>> consistency_reward(answers, damaged, **rows)
        [0.6, 0.6]
    """
    check_variant(variant)
    videos = {
        number: rows for number, rows in rows_of_groups(group).items() if any(kind[row] == "video" for row in rows)
    }
    contrast, owner = contrast_rows(contrast_completions)
    copies = rows_of_groups([group[row] for row in owner])
    for number in videos:
        if number not in copies:
            raise ValueError(f"group {number} has no contrast completions: its damaged copy was never answered")

    truth = {"target": target, "scale": scale}
    copy_truth, copy_group = truth_columns(truth, owner), [group[row] for row in owner]
    settings = {"variant": variant, **(bell or {})}
    own = {
        "regression": bell_reward(completions, **truth, **settings),
        "ranking": _ranks(completions, group, truth, None, epsilon, variant),
    }
    opponents = (completions, group, truth) if variant == "paper" else None
    copy = {
        "regression": bell_reward(contrast, **copy_truth, **settings),
        "ranking": _ranks(contrast, copy_group, copy_truth, opponents, epsilon, variant),
    }

    rewards = [0.0] * len(completions)
    for part in own:
        if variant == "paper":
            for number, rows in videos.items():
                mean = fmean(own[part][row] for row in rows)
                if mean >= fmean(copy[part][row] for row in copies[number]) and mean > tau:
                    for row in rows:
                        rewards[row] += delta
        elif videos:
            rows = [row for rows in videos.values() for row in rows]
            least = tau if part == "ranking" else 0.9
            if fmean(own[part][row] for row in rows) >= fmean(copy[part]):
                for row in rows:
                    rewards[row] += delta if own[part][row] > least else 0.0
    return rewards


def _ranks(completions, group, truth: dict, opponents: tuple | None, epsilon: float, variant: str) -> list[float]:
    """The ranking reward of every row, against the groups of `opponents` where given; 0 without another video."""
    scores, ratings = group_ratings(completions, group, truth["target"], truth["scale"])
    rivals = ratings
    if opponents is not None:
        other_completions, other_group, other_truth = opponents
        rivals = group_ratings(other_completions, other_group, other_truth["target"], other_truth["scale"])[1]
    values = [
        compare(score, number, ratings, rivals, epsilon, variant) for score, number in zip(scores, group, strict=True)
    ]
    return [0.0 if value is None else value for value in values]
