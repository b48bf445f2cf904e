"""From a response to the number it states, or to None. Never a guess, never an exception, linear time.

A training run reads millions of half-trained responses: unclosed tags, a megabyte of one character, digits of another
script. An answer that cannot be read is None, and whoever asked counts it; the published code puts a random score in
its place, which rewards noise.
"""

import re
from collections.abc import Sequence

from vqa_lib.records import Scale

# Every pattern is anchored and every repeat possessive (`*+`, `++`), so nothing is ever tried twice: a hostile answer
# costs linear time. [0-9], because \d takes the digits of every script.
NUMBER = r"[+-]?+(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)"
DENOMINATOR = rf"\s*+(?:/|out\s++of)\s*+(?P<of>{NUMBER})"
SCORE = rf"(?P<quote>[\"']?+)\s*+(?P<number>{NUMBER})(?:{DENOMINATOR})?+\s*+(?P=quote)"
BARE_SCORE = re.compile(SCORE)
CHOICE = re.compile(
    r"(?P<key>(?P<mark>[\"'])[^\"']*+(?P=mark)\s*+:\s*+)?+(?P<quote>[\"']?+)(?P<choice>[^\"'{}.]++)\.?+(?P=quote)\s*+\.?+"
)
NAMED_SCORE = re.compile(rf"\s*+(?P<mark>[\"'])(?P<name>[^\"']*+)(?P=mark)\s*+:\s*+{SCORE}\s*+")


def completion_text(completion: str | list[dict[str, str]]) -> str:
    """The text of a completion in either of TRL's two forms: a string, or a list that holds one message.

    **Source**: TRL, dataset formats "standard" and "conversational".

    Raises:
        ValueError: a list with other than one message.

    Example:
        >>> completion_text([{"role": "assistant", "content": "<answer>3</answer>"}])
        '<answer>3</answer>'
    """
    if isinstance(completion, str):
        return completion
    if len(completion) != 1:
        raise ValueError(f"a completion is a string or a list of one message, got {len(completion)} messages")
    return completion[0]["content"]


def _last_tag(text: str, tag: str) -> str | None:
    last_close = text.rfind(f"</{tag}>")
    start = text.rfind(f"<{tag}>", 0, max(last_close, 0))
    if start == -1:
        return None
    start += len(tag) + 2
    return text[start : text.find(f"</{tag}>", start)]


def answer_text(text: str) -> str | None:
    """What the last complete `<answer>...</answer>` holds; None where there is none.

    **Source**: ours. The last, because a response that reasons about its format may show an example first.

    Example:
        >>> answer_text("<think>good</think><answer>72.5</answer>")
        '72.5'
    """
    return _last_tag(text, "answer")


def reasoning_text(text: str) -> str | None:
    """What the last complete `<think>...</think>` holds, or FingER's `<reason>...</reason>`; None where there is none.

    **Source**: ours.

    Example:
        >>> reasoning_text("<think>good</think><answer>72.5</answer>")
        'good'
    """
    thought = _last_tag(text, "think")
    return _last_tag(text, "reason") if thought is None else thought


def _number(score: re.Match, scale: Scale) -> float | None:
    """The number of a SCORE, if it lies in the scale and its denominator, where it has one, ends the scale."""
    if score["of"] is not None and float(score["of"]) != scale.high:
        return None
    number = float(score["number"])
    return number if scale.contains(number) else None


def _named_numbers(answer: str, scale: Scale) -> list[tuple[str, float | None]]:
    """The ("name", number) pairs of flat JSON, with or without its braces; [] where the answer is anything else."""
    body = answer.strip()
    if body[:1] == "{" and body[-1:] == "}":
        body = body[1:-1]
    pairs, position = [], 0
    while match := NAMED_SCORE.match(body, position):
        pairs.append((match["name"], _number(match, scale)))
        position = match.end() + 1
        if match.end() == len(body):
            return pairs
        if body[match.end()] != ",":
            break
    return []


def parse_score(text: str, scale: Scale) -> float | None:
    """The one score that a response gives, on `scale`.

    **Source**: ours; the forms are those of the official prompts (a bare number; Q-Insight's {"rating": 3.42}).

    Read are a plain decimal number in ASCII digits, also in quotes, as the only value of a JSON object (whatever its
    key), or followed by "/100" or "out of 100" where the scale ends at 100. None for anything else: no answer tag, no
    number, several, an exponent, "nan", or a number outside the scale.

    Example:
        >>> parse_score("<answer>72.5</answer>", Scale(0, 100))
        72.5
        >>> parse_score("<answer>good, I would say 72.5</answer>", Scale(0, 100)) is None
        True
    """
    answer = answer_text(text)
    if answer is None:
        return None
    if match := BARE_SCORE.fullmatch(answer.strip()):
        return _number(match, scale)
    pairs = _named_numbers(answer, scale)
    return pairs[0][1] if len(pairs) == 1 else None


def parse_dimensions(text: str, dimensions: list[str], scale: Scale) -> dict[str, float] | None:
    """The score of every dimension that a response gives, on `scale`, in the order of `dimensions`.

    **Source**: VQ-Insight, eq. 6, and the official prompt, whose own example has no braces (the official parser refuses
    it). Ours: braces may be missing, quotes may be single, keys may come in any order.

    None unless each dimension has exactly one number in the scale. Other names are passed over, but their values have
    to be numbers too. A single dimension may be answered with a bare number, as in `parse_score`.

    Example:
        >>> answer = '<answer>"temporal": 32.6, "spatial": 40.5</answer>'
        >>> parse_dimensions(answer, ["spatial", "temporal"], Scale(0, 100))
        {'spatial': 40.5, 'temporal': 32.6}
    """
    answer = answer_text(text)
    if answer is None:
        return None
    if len(dimensions) == 1 and (match := BARE_SCORE.fullmatch(answer.strip())):
        pairs = [(dimensions[0], _number(match, scale))]
    else:
        pairs = _named_numbers(answer, scale)
    names = [name for name, _ in pairs]
    scores = dict(pairs)
    if any(names.count(name) != 1 or scores[name] is None for name in dimensions):
        return None
    return {name: scores[name] for name in dimensions}


def parse_choice(text: str, choices: Sequence[str]) -> str | None:
    """The one of `choices` that a response chooses, spelt as it is there.

    **Source**: ours. VQ-Insight's official prompt asks for "Video A" and for the letter alone in one breath, so a
    choice may be given by its last word, where only one of them ends so.

    Upper and lower case are one; quotes, a full stop, and a JSON object around it (whatever its key) are taken off.
    None for anything else: no answer tag, none of the choices, several, words around it.

    Example:
        >>> parse_choice("<answer>video b.</answer>", ["Video A", "Video B"])
        'Video B'
        >>> parse_choice('<answer>{"choice": "A"}</answer>', ["Video A", "Video B"])
        'Video A'
        >>> parse_choice("<answer>Yes and no</answer>", ["Yes", "No"]) is None
        True
    """
    answer = answer_text(text)
    if answer is None:
        return None
    body = answer.strip()
    braces = body[:1] == "{" and body[-1:] == "}"
    match = CHOICE.fullmatch(body[1:-1].strip() if braces else body)
    if match is None or (braces and not match["key"]):
        return None
    given = " ".join(match["choice"].casefold().split())
    spellings = [(choice, " ".join(choice.casefold().split())) for choice in choices]
    named = [choice for choice, spelling in spellings if spelling == given]
    named = named or [choice for choice, spelling in spellings if spelling.split()[-1] == given]
    return named[0] if len(named) == 1 else None
