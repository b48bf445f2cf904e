"""The reward for a choice: of two videos, of yes and no, of several answers."""

from vqa_lib.answers import completion_text, parse_choice


def choice_reward(completions, choice, choices, **_) -> list[float]:
    """1 where the response chooses what is right; else 0.

    **Source**: VQ-Insight, eq. 7 ("video A" or "video B"; "yes" or "no"); FingER, eq. 10 (accuracy; Yes or No).

    r = 1 if c = c_gt, else 0

    choice: the right one, row by row. choices: what can be chosen, row by row. Upper and lower case are one, as in
    `answers.parse_choice`.

    Returns: 1.0 or 0.0; 0.0 where no choice can be read.

    Raises:
        ValueError: a right choice that is not among the choices.

    Example:
        >>> choice_reward(["<answer>Video A</answer>"], choice=["Video A"], choices=[["Video A", "Video B"]])
        [1.0]
    """
    rewards = []
    for completion, right, possible in zip(completions, choice, choices, strict=True):
        if right not in possible:
            raise ValueError(f"the right choice {right!r} is not among the choices {list(possible)}")
        rewards.append(float(parse_choice(completion_text(completion), possible) == right))
    return rewards
