"""True answers as responses: what a model is to write, for supervised training."""

import json

from vqa_lib.prompts import Prompt
from vqa_lib.records import Pair, Question, ScoredClip
from vqa_lib.training.rows import reward_columns


def true_response(record: ScoredClip | Pair | Question, prompt: Prompt, reasoning: str | None = None) -> str:
    """The response that gives a record's truth in the form that its prompt asks for.

    **Source**: ours; the papers do not print what their supervised baselines are trained on.

    A score is on the prompt's scale with two decimals, several are JSON, a choice is spelt as the prompt spells it.
    Answer tags stand where the prompt shows them. reasoning: goes before the answer, into the prompt's own tags.

    Raises:
        ValueError: a prompt that asks for reasoning without any, or the other way round; a record that does not fit
            the prompt.

    Example:
        >>> true_response(clip, PROMPTS["vq_insight/natural_answer"])  # doctest: +SKIP
        '<answer> 63.20 </answer>'
    """
    where = f"{record.dataset}/{record.name}"
    if prompt.reasoning and reasoning is None:
        raise ValueError(f"{where}: the prompt asks for reasoning in <{prompt.reasoning}>, and none is given")
    if reasoning is not None and not prompt.reasoning:
        raise ValueError(f"{where}: reasoning is given, but the prompt asks for the answer alone")
    answer = _answer(reward_columns(record, prompt), prompt)
    if "<answer>" in prompt.text:
        answer = f"<answer> {answer} </answer>"
    return answer if reasoning is None else f"<{prompt.reasoning}> {reasoning} </{prompt.reasoning}> {answer}"


def _answer(truth: dict, prompt: Prompt) -> str:
    if truth["choice"] is not None:
        return truth["choice"]
    if not prompt.dimensions and not prompt.key:
        (score,) = truth["target"]
        return f"{score:.2f}"
    names = prompt.dimensions or (prompt.key,)
    pairs = zip(names, truth["target"], strict=True)
    return "{" + ", ".join(f"{json.dumps(name)}: {score:.2f}" for name, score in pairs) + "}"
