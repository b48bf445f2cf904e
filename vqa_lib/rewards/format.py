"""Format rewards: the whole response is reasoning, then an answer."""

import re

from vqa_lib.answers import completion_text, parse_choice
from vqa_lib.rewards.shared import check_variant

BETWEEN = re.compile(r"</think>\s*+<answer>")
YES_OR_NO = re.compile(r"\b(?:Yes|No)\b")


def format_reward(completions, reasoning: str | None = "think", variant="paper", **_) -> list[float]:
    """1 where the whole response is reasoning, then an answer; else 0.

    **Source**: VQ-Insight; VQAThinker, eq. 4. The papers print no pattern; ours: each tag exactly once, white space
    around the response allowed. Official code: repeats pass, white space around the response does not.

    paper:     r = 1 if the stripped response is <think>...</think> white space <answer>...</answer>, else 0
    official:  r = 1 if the response matches <think>.*?</think>\\s*<answer>.*?</answer> from end to end, else 0

    reasoning: name of the first tag; None where only an answer is asked for (VQAThinker, Table 4, "Reasoning").

    Returns: 1.0 or 0.0.

    Raises:
        ValueError: an unknown variant; the official variant with another tag, which its pattern does not know.

    Example:
        >>> format_reward(["<think>sharp</think> <answer>72</answer>", "72"])
        [1.0, 0.0]
    """
    check_variant(variant)
    if variant == "official" and reasoning != "think":
        raise ValueError(f"the official pattern knows only <think>, got reasoning={reasoning!r}")
    fits = _fits_official if variant == "official" else lambda text: _fits(text.strip(), reasoning)
    return [float(fits(completion_text(completion))) for completion in completions]


def reason_format_reward(completions, **_) -> list[float]:
    """1 where the whole response is <reason>...</reason><answer>Yes or No</answer>; else 0.

    **Source**: FingER, eq. 11: both tags, '"Yes" or "No" token only appears within the answer tag'. The paper does not
    say in which order the tags stand, nor which spellings count; ours: reasoning first, as the method is described; the
    words Yes and No as printed may not stand in the reasoning (a small "no", as in "no blur", may), and the answer has
    to be one of them.

    Returns: 1.0 or 0.0.

    Example:
        >>> reason_format_reward(["<reason>The wheel is round.</reason><answer>Yes</answer>", "Yes"])
        [1.0, 0.0]
    """
    return [float(_is_reason_then_yes_or_no(completion_text(completion).strip())) for completion in completions]


def _fits(text: str, reasoning: str | None) -> bool:
    names = ("answer",) if reasoning is None else (reasoning, "answer")
    if any(text.count(tag) != 1 for name in names for tag in (f"<{name}>", f"</{name}>")):
        return False
    if not text.startswith(f"<{names[0]}>") or not text.endswith("</answer>"):
        return False
    if reasoning is None:
        return True
    close, opening = text.find(f"</{reasoning}>"), text.find("<answer>")
    return close < opening and not text[close + len(reasoning) + 3 : opening].strip()


def _fits_official(text: str) -> bool:
    # The official pattern, told without its backtracking, which a hostile response could make slow.
    inner = text[len("<think>") : -len("</answer>")]
    return text.startswith("<think>") and text.endswith("</answer>") and BETWEEN.search(inner) is not None


def _is_reason_then_yes_or_no(text: str) -> bool:
    if not _fits(text, "reason"):
        return False
    before_answer = text[: text.find("<answer>")]
    return parse_choice(text, ["Yes", "No"]) is not None and not YES_OR_NO.search(before_answer)
