"""Which distortions does a description mention? VQAThinker's Table 2, judged by key words or by a language model.

The paper lets GPT-4o read each model's description of a video and say whether the distortions that are there are
mentioned. A judge here is a function: descriptions in, for each the distortions that it mentions out.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence

import pandas as pd
from sklearn.metrics import cohen_kappa_score

from vqa_lib.chat import ChatModel
from vqa_lib.datasets.finevd import ATTRIBUTES
from vqa_lib.predictions import answer_row
from vqa_lib.records import Question

Judge = Callable[[Sequence[str]], list[dict[str, bool] | None]]

# Word beginnings. Colour is a distortion only where something is said to be wrong with it: "vivid colours" is none.
KEYWORDS = {
    "color": (
        r"colou?r (?:cast|distort|shift|error|deviat|bleed|imbalance)",
        r"(?:wrong|unnatural|distorted|shifted|faded|dull|washed[- ]out|over-?saturated|under-?saturated) colou?r",
        "tint",
        "over-?expos",
        "under-?expos",
        "exposure (?:error|problem|issue|distort|flaw)",
        "(?:poor|wrong|bad) exposure",
        "(?:poor|wrong|bad) white balance",
        "oversaturat",
        "undersaturat",
    ),
    "noise": ("nois", "grain"),
    "artifact": ("art[ei]fact", "compress", "block(?:y|ing|iness)", "pixel", "banding", "ringing", "mosaic"),
    "blur": ("blur", "out of focus", "out-of-focus", "defocus", "unsharp", "lack(?:s|ing)? (?:of )?sharpness"),
    "temporal": (
        "stutter",
        "lag(?:s|g)",
        "jitter",
        "shak",
        "flicker",
        "frame drop",
        "dropped frame",
        "fr(?:ee|o)ze",
        "jerk",
        "shuffl",
        "out of order",
        "temporal (?:distort|inconsisten|discontinu|artifact)",
        "judder",
    ),
}
_MENTION = {name: re.compile(r"\b(?:" + "|".join(words) + ")", re.IGNORECASE) for name, words in KEYWORDS.items()}
_NO = re.compile(
    r"\b(?:no|not(?! only)|without|free (?:of|from)|lacks?(?! (?:of )?sharpness)|absence of|neither|nor|never|isn't|"
    r"doesn't|don't|hardly any)\b",
    re.IGNORECASE,
)
# What is denied up to here is no longer denied: a new clause begins.
_CLAUSE = re.compile(r"[.;:!?]|\b(?:but|however|though|although|yet|while|whereas|despite|except)\b|, (?:and|with)\b")


def keyword_judge(descriptions: Sequence[str]) -> list[dict[str, bool]]:
    """Mentions by key words (KEYWORDS); a word behind a denial in the same clause is not counted. Source: ours.

    It needs no model and always gives an answer. It knows no other words than its own, and no irony; how often it
    agrees with a language model is to be measured (`agreement`) wherever one is at hand.

    Example:
        >>> found = keyword_judge(["There is strong blur and no noise, but some stutter."])[0]
        >>> [name for name, mentioned in found.items() if mentioned]
        ['blur', 'temporal']
    """
    return [
        {
            name: any(_affirmed(clause, pattern) for clause in _CLAUSE.split(description))
            for name, pattern in _MENTION.items()
        }
        for description in descriptions
    ]


def _affirmed(clause: str, pattern: re.Pattern) -> bool:
    denied = _NO.search(clause)
    end = denied.start() if denied else len(clause)
    return any(match.start() < end for match in pattern.finditer(clause))


ASKED = (
    "Below is a description of a video's quality. Which kinds of distortion does it say the video has? A kind counts "
    "where the description says that it is there, in whatever words; not where it is said to be absent, or is not "
    'spoken of. Answer with JSON alone, such as {{"color": false, "noise": true, "artifact": false, "blur": true, '
    '"temporal": false}}. color: wrong colours or exposure. artifact: compression, blocking. temporal: stutter, '
    "jitter, flicker, lost or disordered frames.\n\nDescription: {description}"
)


def chat_judge(chat: ChatModel) -> Judge:
    """A judge that asks a language model; None for a description of which its reply cannot be read.

    The question is ours; the paper does not print its own.
    """

    def judge(descriptions: Sequence[str]) -> list[dict[str, bool] | None]:
        replies = chat.ask([ASKED.format(description=description) for description in descriptions], label="judging")
        return [read_mentions(reply) for reply in replies]

    return judge


def read_mentions(reply: str) -> dict[str, bool] | None:
    """The judge's JSON, with or without a fence around it; None where it is not the five kinds with true or false.

    Example:
        >>> read_mentions('{"color": false, "noise": true, "artifact": false, "blur": true, "temporal": false}')["blur"]
        True
        >>> read_mentions("The video is blurred.") is None
        True
    """
    body = reply.strip()
    if fenced := re.fullmatch(r"```(?:json)?\s*(.*?)\s*```", body, re.DOTALL):
        body = fenced[1]
    try:
        found = json.loads(body)
    except (json.JSONDecodeError, RecursionError):
        return None
    if not isinstance(found, dict) or set(found) != set(ATTRIBUTES):
        return None
    return {name: found[name] for name in ATTRIBUTES} if all(type(each) is bool for each in found.values()) else None


def attribute(questions: Sequence[Question], descriptions: Mapping[str, str | None], judge: Judge) -> pd.DataFrame:
    """FineVD's questions of whether a distortion is there, answered by what a description mentions.

    Args:
        questions: of the category "distortion present", one a video and attribute.
        descriptions: name of a video's file -> what a model said of it; None where it said nothing that can be read.
        judge: `keyword_judge`, or `chat_judge` of a model.

    Returns:
        Columns as of `comparing.answer_questions`; answer is None where there is no description, or the judge's reply
        could not be read.

    Raises:
        ValueError: a question of another category, or of a video that is not described.
    """
    for question in questions:
        if question.dimension not in ATTRIBUTES or question.options:
            raise ValueError(f"{question.dataset}/{question.name}: not a question of whether a distortion is there")
        if question.path.name not in descriptions:
            raise ValueError(f"{question.dataset}/{question.name}: there is no description of {question.path.name}")
    videos = list(dict.fromkeys(question.path.name for question in questions))
    described = [name for name in videos if descriptions[name] is not None]
    judged = judge([descriptions[name] for name in described])
    mentions = dict(zip(described, judged, strict=True))
    rows = []
    for question in questions:
        found = mentions.get(question.path.name)
        answer = None if found is None else "yes" if found[question.dimension] else "no"
        rows.append(answer_row(question, answer, descriptions[question.path.name]))
    return pd.DataFrame(rows)


def agreement(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """How often two judges say the same, from two tables of `attribute` about the same descriptions.

    Returns one row an attribute and one for all: n (questions that both could judge), agreement in [0, 1], Cohen's
    kappa in [-1, 1] (NaN where both always say the same), unreadable. Higher is better.
    """
    both = one.merge(other, on=["dataset", "split", "name", "dimension"], suffixes=("", "_other"), validate="1:1")
    rows = []
    for name, part in [*both.groupby("dimension", sort=False), ("overall", both)]:
        read = part[part["answer"].notna() & part["answer_other"].notna()]
        same = (read["answer"] == read["answer_other"]).mean()
        both_say = pd.concat([read["answer"], read["answer_other"]]).nunique()
        kappa = cohen_kappa_score(read["answer"], read["answer_other"]) if both_say > 1 else float("nan")
        rows.append(
            {"dimension": name, "n": len(read), "agreement": same, "kappa": kappa, "unreadable": len(part) - len(read)}
        )
    return pd.DataFrame(rows)
