"""FingER's questions put to a model: all questions about a video share its part of the dialogue, computed once.

Each answer comes with its probability, from the logits at the answer token. Interrupted, it goes on where it stopped.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm

from vqa_lib.answering import claim, deciding, with_model
from vqa_lib.answers import parse_choice
from vqa_lib.entities import yes_no_probabilities
from vqa_lib.frame_cache import FrameCache
from vqa_lib.models.answer_tokens import answer_step, answer_tokens
from vqa_lib.models.dialogue import EncodedPrompt
from vqa_lib.models.families import encode_questions
from vqa_lib.models.rollouts import continue_prefixes, sampling_for
from vqa_lib.predictions import answer_row, clip_of, rows_of, without_row
from vqa_lib.prompts import PROMPTS
from vqa_lib.questions import filled
from vqa_lib.records import Question
from vqa_lib.video import FramePolicy, Frames


def split_shared(prompts: Sequence[EncodedPrompt]) -> tuple[EncodedPrompt, list[torch.Tensor]]:
    """What dialogues about one video have in common from their start, and how each goes on.

    Every tail keeps at least one token, and no visual.

    Raises:
        ValueError: the dialogues differ before their visuals end.
    """
    first = prompts[0]
    length = min(len(prompt.ids) for prompt in prompts) - 1
    for prompt in prompts[1:]:
        differing = (prompt.ids[:length] != first.ids[:length]).nonzero()
        length = int(differing[0]) if len(differing) else length
    if any(bool(prompt.token_types[length:].any()) for prompt in prompts):
        raise ValueError("the dialogues show different visuals; expected questions about one video")
    prefix = replace(first, ids=first.ids[:length], token_types=first.token_types[:length])
    return prefix, [prompt.ids[length:] for prompt in prompts]


def answer_shared(
    model, processor, asked: Sequence[Sequence[EncodedPrompt]], reasoned: bool, max_completion: int
) -> list[list[tuple[str, float | None]]]:
    """The greedy response to each question of each video, and P(Yes) at its answer token.

    asked: for each video the dialogues about it. reasoned: whether the answer stands in tags behind a reason; P(Yes) is
    None where a response has no such tag. Without reasons the first token is the answer.
    """
    tokenizer = processor.tokenizer
    yes, no = answer_tokens(tokenizer, "Yes"), answer_tokens(tokenizer, "No")
    parts = [split_shared(prompts) for prompts in asked]
    owners = [number for number, prompts in enumerate(asked) for _ in prompts]
    tails = [tail for _, of_video in parts for tail in of_video]
    completions, logits = continue_prefixes(
        model,
        [prefix for prefix, _ in parts],
        owners,
        tails,
        sampling_for(tokenizer, max_completion, model),
        [*yes, *no],
    )
    places = range(len(yes)), range(len(yes), len(yes) + len(no))
    answers = []
    for tokens, seen in zip(completions, logits, strict=True):
        step = answer_step([tokenizer.decode(token) for token in tokens]) if reasoned else 0
        chance = None if step is None else yes_no_probabilities(seen[step].numpy(), *places)[0]
        answers.append((tokenizer.decode(tokens, skip_special_tokens=True), chance))
    rest = iter(answers)
    return [[next(rest) for _ in prompts] for prompts in asked]


def ask_videos(
    model, processor, videos: Sequence[tuple[Frames, Sequence[Question]]], prompt: str, max_completion: int
) -> list[dict]:
    """One row a question, video after video, with the columns that `answer_entities` returns.

    videos: the frames of each, and the questions about it.

    Raises:
        ValueError: a tokenizer without tokens for Yes and No; a prompt that takes no questions of yes or no.
    """
    asked = PROMPTS[prompt]
    dialogues = [
        encode_questions(processor, [(frames, "video")], [filled(asked, each).text for each in about])
        for frames, about in videos
    ]
    answered = answer_shared(model, processor, dialogues, asked.reasoning is not None, max_completion)
    rows = []
    for (_, about), answers in zip(videos, answered, strict=True):
        for question, (response, chance) in zip(about, answers, strict=True):
            # Without reasons the whole response is the answer, so that its first token has its probability.
            choice = parse_choice(response if asked.reasoning else f"<answer>{response}</answer>", asked.choices)
            row = answer_row(question, None if choice is None else choice.lower(), response)
            row |= {"clip": clip_of(question), "prompt": question.prompt, "entity": question.entity}
            rows.append(row | {"polarity": question.polarity, "probability": chance})
    return rows


def answer_entities(
    model,
    processor,
    questions: Sequence[Question],
    prompt: str,
    policy: FramePolicy,
    cache: FrameCache,
    output: str | Path,
    batch_size: int = 4,
    max_completion: int = 512,
    settings: dict | None = None,
) -> pd.DataFrame:
    """The model's answer to every question about the entities of videos, with its probability.

    **Source**: FingER, eq. 1; prompt: "finger" with reasons, "finger/answer" without. batch_size: videos at once.
    output, settings: as in `scoring.score_clips`.

    Returns:
        One row a question in the order given: dataset, split, name, clip (see `predictions.clip_of`), prompt, entity,
        dimension, polarity ("yes" or "no": the answer that speaks for the video), true_answer, answer ("yes" or "no";
        None where unreadable), probability (P(Yes); NaN where there is no place for an answer), response.

    Raises:
        ValueError: the output file belongs to other settings; a tokenizer without tokens for Yes and No; a prompt that
            takes no questions of yes or no.
    """
    asked = PROMPTS[prompt]
    for question in questions:
        filled(asked, question)  # what cannot be asked is found before anything is computed
    output = claim(output, deciding(asked.text, policy, 0, max_completion, None, None, settings))
    owed: dict[Path, list[Question]] = {}
    for question in without_row(questions, output):
        owed.setdefault(question.path, []).append(question)
    videos = list(owed.values())
    model.eval()
    with (
        output.open("a", encoding="utf-8") as file,
        tqdm(total=sum(map(len, videos)), desc="answering", unit="question", mininterval=5) as bar,
    ):
        for start in range(0, len(videos), batch_size):
            block = [(cache.get(about[0].path, "video", policy), about) for about in videos[start : start + batch_size]]
            rows = ask_videos(model, processor, block, prompt, max_completion)
            file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
            file.flush()
            bar.update(len(rows))
    return pd.DataFrame(rows_of(output, questions)).astype({"probability": float})


def answer_entities_with(model_path: str | Path, *arguments, **options) -> pd.DataFrame:
    """`answer_entities` with a model that is loaded for it, see `answering.with_model`."""
    return with_model(answer_entities, model_path, *arguments, **options)
