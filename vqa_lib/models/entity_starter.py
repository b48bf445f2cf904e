"""What FingER's tiny Qwen2.5-VL learns to say: reasons that are true, and answers that may be spoilt.

As `models.starter` for VQ-Insight. It goes on from the committed starter, which sees already.
"""

from collections.abc import Callable, Sequence

import numpy as np

from vqa_lib.prompts import PROMPTS, Prompt
from vqa_lib.questions import true_scores
from vqa_lib.records import Question, ScoredClip

FORMS = ("finger", "finger/answer")  # with reasons, and without
LEVELS = ("finger/overall_level", "finger/dimension_level")


def draw_forms(count: int, seed: int = 0) -> list[Prompt]:
    """The form that each of `count` questions is asked in, by chance: every kind of question is asked in both."""
    return [PROMPTS[FORMS[number]] for number in np.random.default_rng(seed).integers(len(FORMS), size=count)]


def answers(
    questions: Sequence[Question], forms: Sequence[Prompt], lenient: Sequence[str] = (), yes_share: float = 0.0
) -> Callable[[int, np.random.Generator], str]:
    """Responses for `train_to_answer` in the form that each question is asked in, with its own reason.

    forms: of `draw_forms`. lenient: dimensions in which the answer always speaks for the clip, as FingER found
    Qwen2.5-VL to do with visual quality (25 % of its answers right). yes_share: share of the other answers that are Yes
    whatever is asked, a habit of many vision-language models.
    """

    def respond(index: int, random: np.random.Generator) -> str:
        question, prompt = questions[index], forms[index]
        answer = question.answer
        if question.dimension in lenient:
            answer = question.polarity
        elif random.random() < yes_share:
            answer = "yes"
        said = answer.capitalize()
        return f"<reason> {question.reason} </reason> <answer> {said} </answer>" if prompt.reasoning else said

    return respond


def levels(clips: Sequence[ScoredClip], prompt: str) -> Callable[[int, np.random.Generator], str]:
    """Ratings from 1 to 4 as responses for `train_to_answer`: the true scores, rounded.

    clips: of `entity_scores.rated_clips`; prompt: one of LEVELS.
    """

    def respond(index: int, random: np.random.Generator) -> str:
        scores = true_scores(clips[index], PROMPTS[prompt])
        rated = ", ".join(f'"{name}": {round(score)}' for name, score in scores.items())
        return f"<answer>{'{' + rated + '}' if PROMPTS[prompt].dimensions else round(scores['overall'])}</answer>"

    return respond
