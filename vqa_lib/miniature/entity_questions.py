"""Questions about the entities of a prompt whose answers the world knows: two a dimension, one for, one against."""

from dataclasses import dataclass

from vqa_lib.miniature.generated_clips import STILL, GeneratedClip


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
    """Ten questions, two for each of FingER's five dimensions.

    Example:
        >>> {each.dimension for each in entity_questions(clip)}  # doctest: +SKIP
    """
    asked, shown, levels = clip.prompt, clip.shown, {**clip.strengths, **clip.faults}
    thing, ground = asked.shape, asked.background.removeprefix("a ")
    unsharp = [name for name in ("blur", "downscaling") if name in levels]
    seen = f"a {shown['colour']} {shown['shape']}"

    def ask(entity: str, dimension: str, question: str, polarity: str, yes: bool, reason: str) -> EntityQuestion:
        return EntityQuestion(entity, dimension, question, polarity, "yes" if yes else "no", reason)

    return [
        ask(
            *(thing, "visual quality", f"Is the outline of the {thing} sharp?", "positive", not unsharp),
            f"The clip has {' and '.join(unsharp)}." if unsharp else "No blur and no coarse pixels are seen.",
        ),
        ask(
            *(ground, "visual quality", f"Is the {ground} covered with noise?", "negative", "noise" in levels),
            "Grains dance over the picture." if "noise" in levels else "The picture has no grain.",
        ),
        ask(
            *(thing, "text-to-video alignment", f"Is there a {asked.colour} {thing} in the video?", "positive"),
            clip.follows("shape") and clip.follows("colour"),
            f"The video shows {seen}.",
        ),
        ask(
            *(ground, "text-to-video alignment", f"Is the ground something other than {asked.background}?", "negative"),
            not clip.follows("background"),
            f"The ground is {shown['background']}.",
        ),
        ask(
            *(thing, "temporal consistency", f"Does the {thing} keep its colour to the end?", "positive"),
            "colour change" not in levels,
            "The colour changes halfway." if "colour change" in levels else f"It stays {shown['colour']}.",
        ),
        ask(
            *(ground, "temporal consistency", f"Does the light on the {ground} flicker?", "negative"),
            "flicker" in levels,
            "Bright and dark frames take turns." if "flicker" in levels else "The light is steady.",
        ),
        ask(
            *(thing, "factual consistency", f"Does the {thing} keep its size, as a solid thing does?", "positive"),
            "deformation" not in levels,
            "It swells and shrinks." if "deformation" in levels else "Its size stays the same.",
        ),
        ask(
            *(thing, "factual consistency", f"Does the {thing} jump to places where it cannot be yet?", "negative"),
            "shuffling" in levels and clip.speed > STILL,
            "Its frames are out of order." if "shuffling" in levels else "It goes its way in order.",
        ),
        ask(
            *(thing, "dynamic degree", f"Does the {thing} travel far across the picture?", "positive"),
            clip.speed > 0.6,
            f"It crosses {round(60 * clip.speed)} hundredths of the picture.",
        ),
        ask(
            *(thing, "dynamic degree", f"Does the {thing} stand still?", "negative"),
            clip.speed <= STILL,
            f"It crosses {round(60 * clip.speed)} hundredths of the picture.",
        ),
    ]
