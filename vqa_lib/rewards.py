"""Rewards for GRPO: what a response earns. Each is TRL's plain batch function.

    reward(completions, **columns) -> list[float | None]        one entry per completion; None = does not apply

Called with the global batch: a group is told by its number in `group`, never by where its rows stand. The columns:

    target                list[list[float]]            the truth, one per dimension, on the answer scale
    dimensions            list[list[str]]              their names; ["overall"] for a single score
    scale                 list[tuple[float, float]]    the answer scale (low, high) of the row
    kind                  list["image" | "video"]
    group                 list[int]                    rows with one number are rollouts of one query
    completion_ids        list[list[int]]              tokens
    contrast_completions  list[list[str]]              responses to the shuffled frames, sampled beside the row

A response that cannot be read earns the least that its accuracy reward can give. The trainer counts such responses with
the format reward and the parse statistics; no exception is turned into a reward.
"""

from collections import defaultdict

from vqa_lib.answers import completion_text, parse_dimensions, parse_score
from vqa_lib.records import Scale

VARIANTS = ("paper", "official")


def _check_variant(variant: str):
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {VARIANTS}, got {variant!r}")


def _accuracy(
    predicted: list[float] | None, target: list[float], scale: Scale, variant: str, weights: list[float]
) -> float:
    """1 - sum_j w_j e_j over the dimensions of one response; both variants differ in e_j only."""
    if not all(scale.contains(truth) for truth in target):
        raise ValueError(f"target {target} lies outside the answer scale {scale.low} to {scale.high}")
    if predicted is None:
        # Where the sum can pass 1, a flat 0 would make an unreadable answer worth more than a wrong one.
        return min(0.0, 1 - sum(weights))
    errors = []
    for score, truth in zip(predicted, target, strict=True):
        if variant == "paper":
            errors.append(abs(score - truth) / (scale.high - scale.low))
        else:
            errors.append(min(abs(score - truth) / max(abs(truth), 1e-9), 1.0))  # a truth may be 0
    return 1 - sum(weight * error for weight, error in zip(weights, errors, strict=True))


def _rows_of_groups(group: list[int]) -> dict[int, list[int]]:
    rows = defaultdict(list)
    for row, number in enumerate(group):
        rows[number].append(row)
    return rows


def format_reward(completions, **_) -> list[float]:
    """1 where the whole response is reasoning, then an answer; else 0.

    **Source**: VQ-Insight; VQAThinker, eq. 4. Ours: each tag exactly once, since the official pattern lets repeats
    pass; white space around the response is allowed.

    Returns: 1.0 if the stripped response is <think>...</think> white space <answer>...</answer>, else 0.0.

    Example:
        >>> format_reward(["<think>sharp</think> <answer>72</answer>", "72"])
        [1.0, 0.0]
    """
    return [1.0 if _is_think_then_answer(completion_text(completion).strip()) else 0.0 for completion in completions]


def _is_think_then_answer(text: str) -> bool:
    if any(text.count(tag) != 1 for tag in ("<think>", "</think>", "<answer>", "</answer>")):
        return False
    between = text[text.find("</think>") + len("</think>") : text.find("<answer>")]
    in_order = text.find("</think>") < text.find("<answer>")
    return text.startswith("<think>") and text.endswith("</answer>") and in_order and not between.strip()


def score_reward(completions, target, scale, variant="paper", **_) -> list[float]:
    """How near a single score comes to the truth.

    **Source**: VQ-Insight, eq. 3. The paper does not name the scale; ours: both sides put on [0, 1].

    paper:     r = 1 - |p - g| / (high - low)
    official:  r = 1 - clip(|p - g| / |g|, 0, 1)

    Returns: in [0, 1], higher is better; 0.0 where no score can be read.

    Raises:
        ValueError: a row with other than one target, a target outside its scale, an unknown variant.

    Example:
        >>> score_reward(["<answer>70</answer>"], target=[[80.0]], scale=[(0, 100)])
        [0.9]
    """
    _check_variant(variant)
    rewards = []
    for completion, truth, row_scale in zip(completions, target, scale, strict=True):
        if len(truth) != 1:
            raise ValueError(f"score_reward takes one target a row, got {truth}; multi_dim_reward takes several")
        answer_scale = Scale(*row_scale)
        score = parse_score(completion_text(completion), answer_scale)
        predicted = None if score is None else [score]
        rewards.append(_accuracy(predicted, truth, answer_scale, variant, [1.0]))
    return rewards


def multi_dim_reward(
    completions, dimensions, target, scale, dimension_weights: dict[str, float] | None = None, variant="paper", **_
) -> list[float]:
    """How near the scores of M dimensions come to the truth. Equals `score_reward` for M = 1 and a bare number.

    **Source**: VQ-Insight, eq. 6 (lambda_j = 1, "lambda_j in Eq. 6 is set to 1"); official code: the mean.

    paper:     r = 1 - sum_j lambda_j |v_j - g_j| / (high - low)
    official:  r = 1 - (1 / M) sum_j clip(|v_j - g_j| / |g_j|, 0, 1)

    dimension_weights: lambda_j by name; in place of the ones (paper) or the 1 / M (official).

    Returns: in [1 - sum_j lambda_j, 1], so down to 1 - M for the paper's weights; higher is better. An answer without
    one number for every dimension earns that least value, or 0.0 where the least value is above 0.

    Raises:
        ValueError: a row without dimensions, or with another number of targets; a target outside its scale; an unknown
            variant.
        KeyError: a dimension that `dimension_weights` lacks.

    Example:
        >>> answer = '<answer>{"spatial": 50, "temporal": 75}</answer>'
        >>> multi_dim_reward([answer], dimensions=[["spatial", "temporal"]], target=[[75.0, 75.0]], scale=[(0, 100)])
        [0.75]
    """
    _check_variant(variant)
    rewards = []
    for completion, names, truth, row_scale in zip(completions, dimensions, target, scale, strict=True):
        if not names or len(names) != len(truth):
            raise ValueError(f"dimensions {names} do not fit target {truth}")
        answer_scale = Scale(*row_scale)
        equal_weight = 1.0 if variant == "paper" else 1 / len(names)
        weights = [equal_weight if dimension_weights is None else dimension_weights[name] for name in names]
        scores = parse_dimensions(completion_text(completion), names, answer_scale)
        predicted = None if scores is None else list(scores.values())
        rewards.append(_accuracy(predicted, truth, answer_scale, variant, weights))
    return rewards


def temporal_reward(
    completions,
    contrast_completions,
    group,
    kind,
    dimensions,
    target,
    scale,
    alpha=0.3,
    mu=0.8,
    correct_above: float | None = None,
    accuracy=multi_dim_reward,
    variant="paper",
    **_,
) -> list[float]:
    """A bonus where a video is judged better with its frames in order than with them shuffled.

    **Source**: VQ-Insight, eq. 4 (alpha = 0.3, mu = 0.8). The paper does not say when a score is correct; ours: where
    its accuracy reward is over `correct_above`, 0.9 unless given. Official code: 0.1, and means, not frequencies.

    paper:     r = alpha if w_seq > mu w_rand, else 0             w: share of correct answers in the group
    official:  r = alpha if a_i > correct_above and mean(a_seq) >= mu mean(a_rand), else 0     a: accuracy rewards

    The paper's bonus is equal for all rollouts of a group, so it cancels in GRPO's advantage, (r - mean) / std within
    the group: it shows in the logs and teaches nothing by itself. The official variant does tell rollouts apart.

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
    _check_variant(variant)
    if correct_above is None:
        correct_above = 0.9 if variant == "paper" else 0.1

    ordered = accuracy(completions, dimensions=dimensions, target=target, scale=scale, variant=variant)
    owner = [row for row, contrast in enumerate(contrast_completions) for _ in contrast]
    shuffled = accuracy(
        [completion for contrast in contrast_completions for completion in contrast],
        dimensions=[dimensions[row] for row in owner],
        target=[target[row] for row in owner],
        scale=[scale[row] for row in owner],
        variant=variant,
    )
    shuffled_of_group = defaultdict(list)
    for row, value in zip(owner, shuffled, strict=True):
        shuffled_of_group[group[row]].append(value)

    rewards = [0.0] * len(completions)
    for number, rows in _rows_of_groups(group).items():
        rows = [row for row in rows if kind[row] == "video"]
        if not rows:
            continue
        contrast = shuffled_of_group[number]
        if not contrast:
            raise ValueError(f"group {number} has no contrast completions: its shuffled frames were never answered")
        sequence = [ordered[row] for row in rows]
        if variant == "paper":
            helped = _share_above(sequence, correct_above) > mu * _share_above(contrast, correct_above)
        else:
            helped = sum(sequence) / len(sequence) >= mu * sum(contrast) / len(contrast)
        for row in rows:
            if helped and (variant == "paper" or ordered[row] > correct_above):
                rewards[row] = alpha
    return rewards


def _share_above(values: list[float], threshold: float) -> float:
    return sum(value > threshold for value in values) / len(values)


def length_reward(
    completions,
    completion_ids,
    group=None,
    dimensions=None,
    target=None,
    scale=None,
    gamma: float | None = None,
    low=320,
    high=512,
    accuracy=multi_dim_reward,
    variant="paper",
    **_,
) -> list[float]:
    """A bonus for responses that are neither short nor long. Lengths are in tokens of the whole response.

    **Source**: VQ-Insight, eq. 5 (gamma = 0.1, l_min = 320, l_max = 512); official code: 0.2 and other conditions.

    paper:     r = gamma if low < len(o) < high, else 0
    official:  r = gamma if low <= len(o) <= high and a_i > 0.1 and a second rollout of the group has a > 0.1, else 0

    a_i is the accuracy reward; only the official variant needs it, and with it group, dimensions, target and scale.
    gamma is 0.1 (paper) or 0.2 (official) unless given.

    Returns: 0.0 or gamma.

    Raises:
        ValueError: an unknown variant; what `accuracy` raises.

    Example:
        >>> length_reward(["..."] * 3, completion_ids=[[7] * 320, [7] * 321, [7] * 512])
        [0.0, 0.1, 0.0]
    """
    _check_variant(variant)
    lengths = [len(tokens) for tokens in completion_ids]
    if variant == "paper":
        gamma = 0.1 if gamma is None else gamma
        return [gamma if low < length < high else 0.0 for length in lengths]

    gamma = 0.2 if gamma is None else gamma
    values = accuracy(completions, dimensions=dimensions, target=target, scale=scale, variant=variant)
    rewards = [0.0] * len(completions)
    for rows in _rows_of_groups(group).values():
        passing = [row for row in rows if values[row] > 0.1]
        if len(passing) > 1:
            for row in passing:
                rewards[row] = gamma if low <= lengths[row] <= high else 0.0
    return rewards


REWARDS = {
    "format": format_reward,
    "score": score_reward,
    "multi_dim": multi_dim_reward,
    "temporal": temporal_reward,
    "length": length_reward,
}
