"""What the model is asked, word for word. Prompts are part of a method: tests hold a copy of each.

The papers do not print their prompts; the wording here is ours, after the forms they describe: reasoning between
<think> tags (FingER: <reason>), then the answer between <answer> tags. A prompt states its scale or its choices, so
that an answer can be read. Words in braces, {text} and {question}, are filled in by `Prompt.fill`.
"""

import re
from dataclasses import dataclass, replace

from vqa_lib.records import Scale


@dataclass(frozen=True)
class Prompt:
    """The text put to the model after the image or video, and the form of its answer.

    scale: what scores are on. dimensions: their names, where several are asked for. choices: what can be chosen, where
    no score is asked for. key: the name that a single score has in JSON, where JSON is asked for.
    """

    text: str
    scale: Scale | None = None
    dimensions: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    key: str | None = None

    @property
    def reasoning(self) -> str | None:
        """The tag that reasoning stands in; None where only an answer is asked for.

        Example:
            >>> PROMPTS["finger"].reasoning, PROMPTS["finger/answer"].reasoning
            ('reason', None)
        """
        tag = re.search("<(think|reason)>", self.text)
        return tag[1] if tag else None

    @property
    def single_score(self) -> bool:
        """Whether the answer is one score."""
        return self.scale is not None and not self.dimensions

    def fill(self, **words: str) -> "Prompt":
        """The same prompt with its {words} filled in.

        Raises:
            ValueError: a word that the text does not have.

        Example:
            >>> PROMPTS["vq_insight/yes_no"].fill(question="Is the motion natural?").text[:29]
            'Is the motion natural? Reason'
        """
        text = self.text
        for name, word in words.items():
            if f"{{{name}}}" not in text:
                raise ValueError(f"the prompt has no {{{name}}}: {text!r}")
            text = text.replace(f"{{{name}}}", word)
        return replace(self, text=text)


SCORE = (
    "Rate the quality of the {kind} from 0 to 100. "
    "Reason in <think> </think>, then give the score in <answer> </answer>."
)
FIVE = "Rate the quality of the video from 1 to 5, with two decimals. "
YES_NO = ("Yes", "No")
DIMENSIONS = ("spatial", "temporal", "consistency")
THREE = (
    'The video was generated from the text "{text}". '
    "Rate its spatial quality, its temporal quality and its consistency with the text, each from 0 to 100. "
)
FIVE_DIMENSIONS = (
    "visual quality",
    "temporal consistency",
    "dynamic degree",
    "text-to-video alignment",
    "factual consistency",
)
LEVELS = "1 is bad, flawed throughout, 2 is poor, with clear flaws, 3 is good, with slight flaws, 4 is without flaws."
WHICH = (
    'Both videos were generated from the text "{text}". Which one is better, the first, Video A, or the second, '
    "Video B? Consider visual quality, temporal consistency, dynamic degree and authenticity. "
)
# The official weights were trained on other words than ours, and ask best in them. Of those words the forms of the
# answers, scales, keys, labels and aspects are known here; the sentences around them are RECONSTRUCTED, and the system
# message of the official demos is left out. Who has the official repository beside them should compare before a table.
THINK_FIRST = (
    " First output the thinking process in <think> </think> tags and then output the final answer in "
    "<answer> </answer> tags"
)

PROMPTS = {
    "vq_insight/image": Prompt(SCORE.format(kind="image"), Scale(0, 100)),
    "vq_insight/natural": Prompt(SCORE.format(kind="video"), Scale(0, 100)),
    # The keys are those of the official code; the paper says spatial quality, temporal quality, text-video alignment.
    "vq_insight/multi_dim": Prompt(
        THREE + "Reason in <think> </think>, then give the three scores in <answer> </answer>, such as "
        '<answer>{"spatial": 40.48, "temporal": 32.63, "consistency": 56.33}</answer>.',
        Scale(0, 100),
        dimensions=DIMENSIONS,
    ),
    # The aspects are those that the paper's Figure 3 is said to show.
    "vq_insight/preference": Prompt(
        WHICH + "Reason in <think> </think>, then choose in <answer> </answer>, such as <answer>Video A</answer>.",
        choices=("Video A", "Video B"),
    ),
    "vq_insight/yes_no": Prompt(
        "{question} Reason in <think> </think>, then answer Yes or No in <answer> </answer>.", choices=YES_NO
    ),
    # For supervised training on true answers, which has no reasoning to learn from.
    "vq_insight/natural_answer": Prompt(
        "Rate the quality of the video from 0 to 100. "
        "Give only the score, in <answer> </answer>, such as <answer>63.20</answer>.",
        Scale(0, 100),
    ),
    "vq_insight/multi_dim_answer": Prompt(
        THREE + "Give only the three scores, in <answer> </answer>, such as "
        '<answer>{"spatial": 40.48, "temporal": 32.63, "consistency": 56.33}</answer>.',
        Scale(0, 100),
        dimensions=DIMENSIONS,
    ),
    "vq_insight/preference_answer": Prompt(
        WHICH + "Give only the choice, in <answer> </answer>, such as <answer>Video A</answer>.",
        choices=("Video A", "Video B"),
    ),
    "vq_insight/yes_no_answer": Prompt("{question} Answer only Yes or No, in <answer> </answer>.", choices=YES_NO),
    # For the weights that the authors published; see THINK_FIRST.
    "vq_insight/official_natural": Prompt(
        "What is your overall rating on the quality of this video? The rating should be a score from 0 to 100, "
        "rounded to two decimal places." + THINK_FIRST + ".",
        Scale(0, 100),
    ),
    "vq_insight/official_multi_dim": Prompt(
        'The video was generated from the text "{text}". Rate its spatial quality, its temporal quality and its '
        "consistency with the text. Each score should be a float from 0 to 100, rounded to two decimal places."
        + THINK_FIRST
        + ', in JSON format with three scores, such as <answer>{"spatial": 40.48, "temporal": 32.63, '
        '"consistency": 56.33}</answer>.',
        Scale(0, 100),
        dimensions=DIMENSIONS,
    ),
    # The official prompt also asks for "only the single option letter"; the parser takes either.
    "vq_insight/official_comparison": Prompt(
        'The first video is Video A and the second is Video B; both were generated from the text "{text}". Compare '
        "their visual quality, temporal consistency, dynamic degree and video authenticity. Which video is better, "
        "'Video A' or 'Video B'?" + THINK_FIRST + ".",
        choices=("Video A", "Video B"),
    ),
    "q_insight/official_score": Prompt(
        "What is your overall rating on the quality of this picture? The rating should be a float from 1 to 5, "
        "rounded to two decimal places, with 1 for very poor and 5 for excellent quality." + THINK_FIRST + ", in JSON "
        'format with the key "rating", such as <answer>{"rating": 3.42}</answer>.',
        Scale(1, 5),
        key="rating",
    ),
    "vqathinker": Prompt(
        FIVE + "Reason in <think> </think>, then give the score in <answer> </answer>, such as <answer>3.27</answer>.",
        Scale(1, 5),
    ),
    "vqathinker/no_reasoning": Prompt(
        FIVE + "Give only the score, in <answer> </answer>, such as <answer>3.27</answer>.", Scale(1, 5)
    ),
    # Understanding (its Tables 2 and 3). The paper prints no question; descriptions are the reasoning of "vqathinker".
    "vqathinker/yes_no": Prompt(
        "{question} Reason in <think> </think>, then answer Yes or No in <answer> </answer>.", choices=YES_NO
    ),
    "vqathinker/choice": Prompt(
        "{question}\n{options}\nReason in <think> </think>, then give the letter of the best answer in "
        "<answer> </answer>, such as <answer>A</answer>.",
        choices=("A", "B", "C", "D"),  # as many as there are options, once they are filled in
    ),
    "finger": Prompt(
        "{question} Reason in <reason> </reason>, then answer Yes or No in <answer> </answer>. "
        "The words Yes and No may stand in the answer only.",
        choices=YES_NO,
    ),
    "finger/answer": Prompt("{question} Answer Yes or No.", choices=YES_NO),
    # Its Table 1 rates whole videos, too, "accompanied by detailed evaluation criteria", which are not printed.
    "finger/overall_level": Prompt(
        'The video was generated from the text "{text}". Rate it as a whole from 1 to 4: '
        + LEVELS
        + " Consider visual "
        "quality, temporal consistency, dynamic degree, alignment with the text and factual consistency. "
        "Give only the rating, in <answer> </answer>, such as <answer>3</answer>.",
        Scale(1, 4),
    ),
    "finger/dimension_level": Prompt(
        'The video was generated from the text "{text}". Rate each of five dimensions from 1 to 4: ' + LEVELS + " Give "
        'only the ratings, in <answer> </answer>, such as <answer>{"visual quality": 2, "temporal consistency": 3, '
        '"dynamic degree": 4, "text-to-video alignment": 1, "factual consistency": 3}</answer>.',
        Scale(1, 4),
        dimensions=FIVE_DIMENSIONS,
    ),
    "q_insight": Prompt(
        FIVE + "Reason in <think> </think>, then give the score as JSON in <answer> </answer>, such as "
        '<answer>{"rating": 3.42}</answer>.',
        Scale(1, 5),
        key="rating",
    ),
    "visualquality_r1": Prompt(
        FIVE + "Reason in <think> </think>, then give the score in <answer> </answer>, such as <answer>2.75</answer>.",
        Scale(1, 5),
    ),
}
