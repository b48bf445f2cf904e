"""Rows of the training set: records with their questions, and what the rewards need to know of them."""

from vqa_lib.answers import parse_choice, parse_dimensions, parse_score
from vqa_lib.models.dialogue import messages
from vqa_lib.prompts import PROMPTS, Prompt
from vqa_lib.questions import filled, true_scores
from vqa_lib.recipes import Recipe
from vqa_lib.records import Pair, Question, Scale, ScoredClip

TRAINABLE = (ScoredClip, Pair, Question)


def question_of(record: ScoredClip | Pair | Question, recipe: Recipe) -> Prompt:
    """The recipe's prompt for a record, with the record's own words filled in.

    Raises:
        ValueError: the prompt asks for something that the record does not have.
    """
    where = f"{record.dataset}/{record.name}"
    if isinstance(record, Question):
        name = recipe.prompt if "{question}" in PROMPTS[recipe.prompt].text else recipe.questions
        if name is None or record.options or record.answer is None:
            raise ValueError(f"{where}: the recipe asks no yes-or-no questions, or this is none with an answer")
        return filled(PROMPTS[name], record)
    prompt = PROMPTS[recipe.prompt]
    if isinstance(record, Pair) and (prompt.scale is not None or record.preference not in ("first", "second")):
        raise ValueError(f"{where}: a pair needs a prompt for a choice, and one video that is preferred")
    return filled(prompt, record)


def reward_columns(record: ScoredClip | Pair | Question, prompt: Prompt) -> dict:
    """What rewards need to know of a record: its truth, put on the scale of the prompt's answers.

    Rows of one training set have the same columns: dimensions, target and scale are None for a choice, choice and
    choices for scores.

    Raises:
        ValueError: the record's dimensions are not those that the prompt asks for.
    """
    columns = dict.fromkeys(("dimensions", "target", "scale", "choice", "choices"))
    columns["kind"] = record.kind
    if isinstance(record, ScoredClip):
        true = true_scores(record, prompt)
        # A few published scores lie beyond their scale; no answer can.
        target = [min(max(score, prompt.scale.low), prompt.scale.high) for score in true.values()]
        scale = (prompt.scale.low, prompt.scale.high)
        return columns | {"dimensions": list(true), "target": target, "scale": scale}
    if isinstance(record, Pair):
        right = prompt.choices[("first", "second").index(record.preference)]
    else:
        right = next(choice for choice in prompt.choices if choice.lower() == record.answer.lower())
    return columns | {"choice": right, "choices": list(prompt.choices)}


def training_rows(records: list[ScoredClip | Pair | Question], recipe: Recipe) -> list[dict]:
    """Rows of the training set: no pixels, only the record's number and what the rewards need."""
    rows = []
    for number, record in enumerate(records):
        prompt = question_of(record, recipe)
        rows.append(
            {
                "prompt": messages([record.kind] * len(record.paths), prompt.text),
                "record": number,
                "name": f"{record.dataset}/{record.split}/{record.name}",
                **reward_columns(record, prompt),
            }
        )
    return rows


def answer_in(text: str, row: dict) -> float | dict[str, float] | str | None:
    """The answer of a response to a row's question: a score, one a dimension, or a choice; None where unreadable."""
    if row["choices"] is not None:
        return parse_choice(text, row["choices"])
    scale = Scale(*row["scale"])
    if len(row["dimensions"]) == 1:
        return parse_score(text, scale)
    return parse_dimensions(text, row["dimensions"], scale)
