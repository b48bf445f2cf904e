"""L1 rewards: how near one score, or one score per dimension, comes to the truth."""

from vqa_lib.answers import completion_text, parse_dimensions, parse_score
from vqa_lib.records import Scale
from vqa_lib.rewards.shared import check_variant


def _check_target(target: list[float], scale: Scale) -> None:
    if not all(scale.contains(truth) for truth in target):
        raise ValueError(f"target {target} lies outside the answer scale {scale.low} to {scale.high}")


def _accuracy(
    predicted: list[float] | None, target: list[float], scale: Scale, variant: str, weights: list[float]
) -> float:
    """1 - sum_j w_j e_j over the dimensions of one response; both variants differ in e_j only."""
    _check_target(target, scale)
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


def read_single_scores(completions, target, scale) -> list[tuple[float | None, float]]:
    """The score that each response gives, None where it cannot be read, and the truth beside it.

    Raises:
        ValueError: a row with other than one target, a target outside its scale.
    """
    pairs = []
    for completion, truth, row_scale in zip(completions, target, scale, strict=True):
        if len(truth) != 1:
            raise ValueError(f"one target a row is expected, got {truth}; multi_dim_reward takes several")
        answer_scale = Scale(*row_scale)
        _check_target(truth, answer_scale)
        pairs.append((parse_score(completion_text(completion), answer_scale), truth[0]))
    return pairs


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
    check_variant(variant)
    rewards = []
    for (score, truth), row_scale in zip(read_single_scores(completions, target, scale), scale, strict=True):
        predicted = None if score is None else [score]
        rewards.append(_accuracy(predicted, [truth], Scale(*row_scale), variant, [1.0]))
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
    check_variant(variant)
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
