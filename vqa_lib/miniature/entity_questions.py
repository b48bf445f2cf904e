"""The embedded grammar's questions about a clip's prompt, with the answers and reasons that the world knows."""

from dataclasses import dataclass

from vqa_lib.entity_grammar import grammar_questions
from vqa_lib.miniature.generated_clips import STILL, GeneratedClip
from vqa_lib.written_questions import WrittenQuestion

FAR = 0.6  # speed above which a shape travels clearly


@dataclass(frozen=True)
class EntityQuestion:
    """A yes/no question. polarity: "positive" where yes speaks for the clip, "negative" where no does."""

    entity: str
    dimension: str
    question: str
    polarity: str
    answer: str
    reason: str


def entity_questions(clip: GeneratedClip) -> list[EntityQuestion]:
    """Fourteen questions: ten about the shape, in all of FingER's five dimensions, and four about the ground.

    Reasons hold no Yes and no No: in FingER these words stand in the answer only.

    Example:
        >>> {each.dimension for each in entity_questions(clip)}  # doctest: +SKIP
    """
    questions = []
    for asked in grammar_questions(clip.prompt.text):
        yes, reason = _truth(clip, asked)
        answer = "yes" if yes else "no"
        questions.append(EntityQuestion(asked.entity, asked.dimension, asked.question, asked.polarity, answer, reason))
    return questions


def _truth(clip: GeneratedClip, asked: WrittenQuestion) -> tuple[bool, str]:
    """Whether yes is right, and why."""
    is_shape, levels, shown = asked.entity == clip.prompt.shape, {**clip.strengths, **clip.faults}, clip.shown
    match asked.dimension, asked.polarity:
        case "visual quality", "positive":
            found = [name for name in ("blur", "downscaling") if name in levels]
            return (
                not found,
                f"The clip has {' and '.join(found)}." if found else "It has neither blur nor coarse pixels.",
            )
        case "visual quality", "negative":
            found = [name for name in ("noise", "compression") if name in levels]
            return bool(found), f"The clip has {' and '.join(found)}." if found else "The picture is free of both."
        case "text-to-video alignment", _ if " there " in asked.question:
            if is_shape:
                seen = f"The video shows a {shown['colour']} {shown['shape']}."
                return clip.follows("shape") and clip.follows("colour"), seen
            return clip.follows("background"), f"The ground is {shown['background']}."
        case "text-to-video alignment", _:
            moves = f"It moves {shown['direction']}." if clip.speed > STILL else "It stands still."
            return clip.follows("direction"), moves
        case "temporal consistency", "positive":
            found = [name for name in ("colour change", "deformation") if name in levels]
            return not found, f"The clip has {' and '.join(found)}." if found else f"It stays {shown['colour']}."
        case "temporal consistency", "negative":
            found = [name for name in ("flicker", "jitter") if name in levels]
            return bool(found), f"The clip has {' and '.join(found)}." if found else "The light is steady."
        case "factual consistency", "positive":
            wrong = "deformation" in levels
            return not wrong, "It swells and shrinks." if wrong else "Its size stays the same."
        case "factual consistency", "negative":
            wrong = "shuffling" in levels and clip.speed > STILL
            return wrong, "Its frames are out of order." if wrong else "It goes its way in order."
        case "dynamic degree", "positive":
            return clip.speed > FAR, _crossing(clip)
        case "dynamic degree", "negative":
            return clip.speed <= STILL, _crossing(clip)
    raise ValueError(f"the world knows no answer to {asked}")


def _crossing(clip: GeneratedClip) -> str:
    return f"It crosses {round(60 * clip.speed)} hundredths of the picture."
