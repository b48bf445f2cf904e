"""Rewards for GRPO: what a response earns. Each is TRL's plain batch function.

    reward(completions, **columns) -> list[float | None]        one entry per completion; None = does not apply

Called with the global batch: a group is told by its number in `group`, never by where its rows stand. The columns:

    target                list[list[float]]            the truth, one per dimension, on the answer scale
    dimensions            list[list[str]]              their names; ["overall"] for a single score
    scale                 list[tuple[float, float]]    the answer scale (low, high) of the row
    kind                  list["image" | "video"]
    group                 list[int]                    rows with one number are rollouts of one query
    choice                list[str]                    the right choice of the row, where it asks for one
    choices               list[list[str]]              what can be chosen
    completion_ids        list[list[int]]              tokens
    contrast_completions  list[list[str]]              responses to the perturbed frames, sampled beside the row

A response that cannot be read earns the least that its accuracy reward can give. The trainer counts such responses with
the format reward and the parse statistics; no exception is turned into a reward.
"""

from vqa_lib.rewards.bell import bell_reward
from vqa_lib.rewards.choice import choice_reward
from vqa_lib.rewards.consistency import consistency_reward
from vqa_lib.rewards.format import format_reward, reason_format_reward
from vqa_lib.rewards.length import length_reward
from vqa_lib.rewards.ranking import ranking_reward
from vqa_lib.rewards.score import multi_dim_reward, score_reward
from vqa_lib.rewards.temporal import temporal_reward
from vqa_lib.rewards.threshold import threshold_reward

REWARDS = {
    "format": format_reward,
    "reason_format": reason_format_reward,
    "score": score_reward,
    "multi_dim": multi_dim_reward,
    "threshold": threshold_reward,
    "bell": bell_reward,
    "ranking": ranking_reward,
    "choice": choice_reward,
    "temporal": temporal_reward,
    "consistency": consistency_reward,
    "length": length_reward,
}

__all__ = ["REWARDS", *(function.__name__ for function in REWARDS.values())]
