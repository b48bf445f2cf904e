"""What the model is asked, word for word. Prompts are part of a method: tests hold a copy of each.

The papers do not print their scoring prompts; the wording here is ours, after the form they describe: reasoning between
<think> tags, then a score between <answer> tags. A prompt states its scale, so an answer can be read.
"""

from dataclasses import dataclass

from vqa_lib.records import Scale


@dataclass(frozen=True)
class Prompt:
    """The text put to the model after the image or video, and the scale its answer is on."""

    text: str
    scale: Scale


SCORE = (
    "Rate the quality of the {kind} from 0 to 100. "
    "Reason in <think> </think>, then give the score in <answer> </answer>."
)

PROMPTS = {
    "vq_insight/image": Prompt(SCORE.format(kind="image"), Scale(0, 100)),
    "vq_insight/natural": Prompt(SCORE.format(kind="video"), Scale(0, 100)),
}
