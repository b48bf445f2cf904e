"""What is asked about a record: a prompt with the record's own words, and the true answer on the prompt's scale.

Training and scoring ask in the same words because both ask here.
"""

from dataclasses import replace

from vqa_lib.prompts import Prompt
from vqa_lib.records import Pair, Question, ScoredClip, rescale

ANSWER_NAMES = {"alignment": "consistency"}  # published dimension -> the key of VQ-Insight's answers


def filled(prompt: Prompt, record: ScoredClip | Pair | Question) -> Prompt:
    """A prompt with the words of a record: its question, and the text that its video was generated from.

    Options of a question are lettered lines, and the letters are what can be chosen.

    Raises:
        ValueError: the prompt needs a text that is not published, or asks for something else than the record has.

    Example:
        >>> filled(PROMPTS["vq_insight/preference"], pair).text[:46]  # doctest: +SKIP
        'Both videos were generated from the text "a cat'
    """
    where = f"{record.dataset}/{record.name}"
    if isinstance(record, Question):
        if "{question}" not in prompt.text:
            raise ValueError(f"{where}: a question needs a prompt with {{question}}")
        if bool(record.options) != ("{options}" in prompt.text):
            needs = "a prompt with {options}" if record.options else "a prompt of yes or no, without {options}"
            raise ValueError(f"{where}: the question needs {needs}")
        if record.options:
            lettered = zip(record.letters, record.options, strict=True)
            options = "\n".join(f"{letter}. {option}" for letter, option in lettered)
            prompt = replace(prompt.fill(options=options), choices=record.letters)
        return prompt.fill(question=record.question)
    if isinstance(record, Pair) and not prompt.choices:
        raise ValueError(f"{where}: a pair needs a prompt for a choice")
    if isinstance(record, ScoredClip) and prompt.scale is None:
        raise ValueError(f"{where}: a scored clip needs a prompt for scores, not for a choice")
    if "{text}" not in prompt.text:
        return prompt
    if record.prompt is None:
        raise ValueError(f"{where}: the prompt needs the text that the video was generated from; none is published")
    return prompt.fill(text=record.prompt)


def true_scores(record: ScoredClip, prompt: Prompt) -> dict[str, float]:
    """The scores of a clip on the prompt's scale, by the names that the prompt asks for, in its order.

    Raises:
        ValueError: the record's dimensions are not those that the prompt asks for.
    """
    scores = {ANSWER_NAMES.get(name, name): score for name, score in record.scores.items()}
    names = prompt.dimensions or tuple(scores)
    if set(names) != set(scores) or (not prompt.dimensions and len(scores) > 1):
        where = f"{record.dataset}/{record.name}"
        raise ValueError(f"{where}: has scores for {sorted(scores)}, the prompt asks for {list(names) or 'one'}")
    return {name: rescale(scores[name], record.scale, prompt.scale) for name in names}
