"""Compare pairs of clips, and answer questions; interrupted, it goes on where it stopped.

A pair is asked about in both orders, since a judge that prefers whatever it sees first would else look undecided or
right by chance: how often the two orders disagree is measured beside how often the judge is right.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from vqa_lib.answering import ask_all, claim, deciding, with_model
from vqa_lib.answers import parse_choice
from vqa_lib.frame_cache import FrameCache
from vqa_lib.models.families import encode
from vqa_lib.predictions import SIDES, answer_row, identity, rows_of
from vqa_lib.prompts import PROMPTS
from vqa_lib.questions import filled
from vqa_lib.records import Pair, Question
from vqa_lib.video import FramePolicy


def compare_pairs(
    model,
    processor,
    pairs: Sequence[Pair],
    prompt: str,
    policy: FramePolicy,
    cache: FrameCache,
    output: str | Path,
    batch_size: int = 16,
    max_completion: int = 768,
    seed: int = 0,
    samples: int | None = None,
    sampling: dict | None = None,
    settings: dict | None = None,
) -> pd.DataFrame:
    """Which clip of every pair the model prefers, asked in both orders; greedy, or by several samples an order.

    output, samples, sampling, settings: as in `scoring.score_clips`. Each clip of a pair is encoded once for both.

    Returns:
        One row a pair in the order given: dataset, split, name, preference (the truth); answer and swapped_answer,
        the choice with the first clip shown first and shown second ("first" or "second" as the pair has them; None
        where unreadable); difference (see `margin`; NaN where an order has no readable answer); response and
        swapped_response. With samples answers and responses are the first sample's, and all of them are in
        answers, swapped_answers, responses and swapped_responses.

    Raises:
        ValueError: the output file belongs to other settings; the prompt does not fit pairs, or needs a text that a
            pair does not have.
    """
    asked = PROMPTS[prompt]
    texts = {(pair.dataset, pair.split, pair.name): filled(asked, pair).text for pair in pairs}
    output = claim(output, deciding(asked.text, policy, seed, max_completion, samples, sampling, settings))

    def questions(pair: Pair) -> list:
        text = texts[pair.dataset, pair.split, pair.name]
        frames = [(cache.get(path, pair.kind, policy), pair.kind) for path in pair.paths]
        straight, swapped = encode(processor, frames, text), encode(processor, frames[::-1], text)
        # The same objects in the other order: they go through the vision tower once.
        return [straight, replace(swapped, visuals=straight.visuals[::-1])]

    def row(pair: Pair, responses: list[list[str]]) -> dict:
        straight, swapped = (
            [chosen_side(response, asked.choices, turned) for response in made]
            for made, turned in zip(responses, (False, True), strict=True)
        )
        kept = {
            "dataset": pair.dataset,
            "split": pair.split,
            "name": pair.name,
            "preference": pair.preference,
            "answer": straight[0],
            "swapped_answer": swapped[0],
            "difference": margin(straight, swapped),
            "response": responses[0][0],
            "swapped_response": responses[1][0],
        }
        if samples:
            kept |= {"answers": straight, "swapped_answers": swapped}
            kept |= {"responses": responses[0], "swapped_responses": responses[1]}
        return kept

    ask_all(
        model,
        processor,
        pairs,
        output,
        questions,
        row,
        batch_size,
        max_completion,
        seed,
        samples,
        sampling,
        label="comparing",
    )
    return pd.DataFrame(rows_of(output, pairs)).astype({"difference": float})


def chosen_side(response: str, choices: Sequence[str], swapped: bool) -> str | None:
    """Which clip of the pair a response chooses: "first" or "second"; None where unreadable.

    choices: what the prompt calls the clip that is shown first, and the other. swapped: the pair's second clip was
    shown first.

    Example:
        >>> chosen_side("<answer>Video A</answer>", ("Video A", "Video B"), swapped=True)
        'second'
    """
    choice = parse_choice(response, choices)
    return None if choice is None else SIDES[(list(choices).index(choice) + swapped) % 2]


def margin(straight: Sequence[str | None], swapped: Sequence[str | None]) -> float | None:
    """By how much a model prefers the first clip, in [-1, 1]: the mean over both orders of P(first) - P(second).

    P is the share of an order's readable answers. With one answer an order it is 1 or -1 where the orders agree, and 0,
    a tie of the model, where they do not. None where an order has no readable answer. Source: ours.

    Example:
        >>> margin(["first"], ["first"]), margin(["first"], ["second"]), margin(["second"], [None])
        (1.0, 0.0, None)
    """
    read = [[answer for answer in answers if answer is not None] for answers in (straight, swapped)]
    if not all(read):
        return None
    return sum(2 * answers.count("first") / len(answers) - 1 for answers in read) / 2


def compare_with(model_path: str | Path, *arguments, **options) -> pd.DataFrame:
    """`compare_pairs` with a model that is loaded for it, see `answering.with_model`."""
    return with_model(compare_pairs, model_path, *arguments, **options)


def answer_questions(
    model,
    processor,
    questions: Sequence[Question],
    prompt: str,
    policy: FramePolicy,
    cache: FrameCache,
    output: str | Path,
    batch_size: int = 32,
    max_completion: int = 768,
    settings: dict | None = None,
) -> pd.DataFrame:
    """The model's greedy answer to every question: of yes or no, or with options, about one clip or two.

    Returns:
        One row a question in the order given: dataset, split, name, category and dimension (None where not published),
        true_answer and answer ("yes" or "no", or the letter of an option; None where it is unreadable, or not
        published), response.

    Raises:
        ValueError: the output file belongs to other settings; the prompt takes no questions, or none of this kind.
    """
    asked = PROMPTS[prompt]
    prompts = {identity(each): filled(asked, each) for each in questions}
    output = claim(output, deciding(asked.text, policy, 0, max_completion, None, None, settings))

    def encoded(question: Question) -> list:
        frames = [(cache.get(path, question.kind, policy), question.kind) for path in question.paths]
        return [encode(processor, frames, prompts[identity(question)].text)]

    def row(question: Question, responses: list[list[str]]) -> dict:
        ((response,),) = responses
        answer = parse_choice(response, prompts[identity(question)].choices)
        spelt = answer if answer is None or question.options else answer.lower()
        return answer_row(question, spelt, response)

    ask_all(model, processor, questions, output, encoded, row, batch_size, max_completion, label="answering")
    return pd.DataFrame(rows_of(output, questions))


def answer_with(model_path: str | Path, *arguments, **options) -> pd.DataFrame:
    """`answer_questions` with a model that is loaded for it, see `answering.with_model`."""
    return with_model(answer_questions, model_path, *arguments, **options)
