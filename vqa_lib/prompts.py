"""What the model is asked, word for word. Prompts are part of a method: tests hold a copy of each.

The papers do not print their prompts; the wording here is ours, after the forms they describe: reasoning between
<think> tags (FingER: <reason>), then the answer between <answer> tags. A prompt states its scale or its choices, so
that an answer can be read. Words in braces, {text} and {question}, are filled in by `Prompt.fill`.
"""

from dataclasses import dataclass, replace

from vqa_lib.records import Scale


@dataclass(frozen=True)
class Prompt:
    """The text put to the model after the image or video, and the form of its answer.

    scale: what scores are on. dimensions: their names, where several are asked for. choices: what can be chosen, where
    no score is asked for.
    """

    text: str
    scale: Scale | None = None
    dimensions: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()

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

PROMPTS = {
    "vq_insight/image": Prompt(SCORE.format(kind="image"), Scale(0, 100)),
    "vq_insight/natural": Prompt(SCORE.format(kind="video"), Scale(0, 100)),
    # The keys are those of the official code; the paper says spatial quality, temporal quality, text-video alignment.
    "vq_insight/multi_dim": Prompt(
        'The video was generated from the text "{text}". '
        "Rate its spatial quality, its temporal quality and its consistency with the text, each from 0 to 100. "
        "Reason in <think> </think>, then give the three scores in <answer> </answer>, such as "
        '<answer>{"spatial": 40.48, "temporal": 32.63, "consistency": 56.33}</answer>.',
        Scale(0, 100),
        dimensions=("spatial", "temporal", "consistency"),
    ),
    # The aspects are those that the paper's Figure 3 is said to show.
    "vq_insight/preference": Prompt(
        'Both videos were generated from the text "{text}". Which one is better, the first, Video A, or the second, '
        "Video B? Consider visual quality, temporal consistency, dynamic degree and authenticity. "
        "Reason in <think> </think>, then choose in <answer> </answer>, such as <answer>Video A</answer>.",
        choices=("Video A", "Video B"),
    ),
    "vq_insight/yes_no": Prompt(
        "{question} Reason in <think> </think>, then answer Yes or No in <answer> </answer>.", choices=YES_NO
    ),
    "vqathinker": Prompt(
        FIVE + "Reason in <think> </think>, then give the score in <answer> </answer>, such as <answer>3.27</answer>.",
        Scale(1, 5),
    ),
    "vqathinker/no_reasoning": Prompt(
        FIVE + "Give only the score, in <answer> </answer>, such as <answer>3.27</answer>.", Scale(1, 5)
    ),
    "finger": Prompt(
        "{question} Reason in <reason> </reason>, then answer Yes or No in <answer> </answer>. "
        "The words Yes and No may stand in the answer only.",
        choices=YES_NO,
    ),
    "finger/answer": Prompt("{question} Answer Yes or No.", choices=YES_NO),
    "q_insight": Prompt(
        FIVE + "Reason in <think> </think>, then give the score as JSON in <answer> </answer>, such as "
        '<answer>{"rating": 3.42}</answer>.',
        Scale(1, 5),
    ),
    "visualquality_r1": Prompt(
        FIVE + "Reason in <think> </think>, then give the score in <answer> </answer>, such as <answer>2.75</answer>.",
        Scale(1, 5),
    ),
}
