"""Entity-level questions about a text-to-video prompt: what a question must be, and how a model's reply is read.

FingER lets GPT-4o extract a prompt's entities and write questions of yes or no about each in five dimensions. A reply
is never trusted: each question is checked by itself, and what is refused is counted with the reason.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from vqa_lib.datasets.videofeedback import DIMENSIONS
from vqa_lib.records import Question

MOST = 40  # questions about one prompt; FingER has 18 on average
LONGEST = 200  # letters of a question
REPLY_TOKENS = 4096  # of a language model's questions about one prompt
# How replies spell a dimension, beside its own name; after spaces, hyphens and underscores are made one.
SPELLINGS = {
    "visual": "visual quality",
    "quality": "visual quality",
    "temporal": "temporal consistency",
    "dynamic": "dynamic degree",
    "dynamics": "dynamic degree",
    "motion": "dynamic degree",
    "alignment": "text-to-video alignment",
    "text alignment": "text-to-video alignment",
    "text video alignment": "text-to-video alignment",
    "text to video alignment": "text-to-video alignment",
    "factual": "factual consistency",
} | {name.replace("-", " "): name for name in DIMENSIONS}
POLARITIES = {"positive": "positive", "negative": "negative", "1": "positive", "0": "negative"}
# A question of yes or no begins with one of these in English; it is told from other questions and languages by that.
OPENINGS = (
    *("is", "are", "was", "were", "am", "do", "does", "did", "has", "have", "had", "can", "could", "will", "would"),
    *("should", "may", "might", "must", "isn't", "aren't", "doesn't", "don't"),
)

EXAMPLES = """\
Prompt: "A girl in a yellow raincoat jumps over a puddle."
[{"entity": "girl", "dimension": "visual quality", "question": "Is the girl's face sharp and free of blur?", \
"polarity": "positive"},
 {"entity": "raincoat", "dimension": "text-to-video alignment", "question": "Does the girl wear a yellow raincoat?", \
"polarity": "positive"},
 {"entity": "girl", "dimension": "temporal consistency", "question": "Does the girl change into another person?", \
"polarity": "negative"},
 {"entity": "puddle", "dimension": "factual consistency", "question": "Does the water splash as real water does?", \
"polarity": "positive"},
 {"entity": "girl", "dimension": "dynamic degree", "question": "Does the girl stand still throughout?", \
"polarity": "negative"}]
Prompt: "Two old men playing chess by candlelight."
[{"entity": "hands", "dimension": "factual consistency", "question": "Are fingers missing, or melted together?", \
"polarity": "negative"},
 {"entity": "candle", "dimension": "temporal consistency", "question": "Does the candle keep its place and size?", \
"polarity": "positive"}]
"""
MEANINGS = {
    "visual quality": "is the entity clear, without blur, noise or artifacts?",
    "text-to-video alignment": "is the entity there as the prompt has it, with its attributes and actions?",
    "temporal consistency": "does the entity stay the same from frame to frame?",
    "factual consistency": "does the entity look and behave as in the real world?",
    "dynamic degree": "does the entity move as much as the prompt lets one expect?",
}
ASKED = """\
A video was generated from the prompt below. List the entities of the prompt with their attributes and actions, then \
write questions about each of them that can be answered with yes or no by looking at the video, in five dimensions:
{meanings}
polarity is positive where yes speaks for the video, negative where no does; write some of each. Answer with a JSON \
list alone, as in these examples (which are shorter than your answer should be: about three questions a dimension).

{examples}
Prompt: "{prompt}"
"""


class WrittenQuestionsError(ValueError):
    """A file of prompts or questions that cannot be used; the message names file, row and what was expected."""


@dataclass(frozen=True)
class WrittenQuestion:
    """A question about a prompt, before any video is looked at.

    polarity: "positive" where yes speaks for the video, "negative" where no does (the paper's q_stat 1 and 0).
    """

    prompt: str
    entity: str
    dimension: str
    question: str
    polarity: str

    def about(self, path: Path, clip: str, dataset: str, split: str) -> Question:
        """The same question about a video: `clip` is what the video is called (see `predictions.clip_of`)."""
        return Question(
            name=f"{clip}: {self.question}",
            path=path,
            kind="video",
            question=self.question,
            options=(),
            answer=None,
            dataset=dataset,
            split=split,
            dimension=self.dimension,
            prompt=self.prompt,
            entity=self.entity,
            polarity="yes" if self.polarity == "positive" else "no",
        )


@dataclass
class Report:
    """What became of replies: how many prompts, how many questions were kept, and why others were refused."""

    prompts: int = 0
    kept: int = 0
    refused: Counter = field(default_factory=Counter)
    without: list[str] = field(default_factory=list)  # prompts of which no question was kept

    def lines(self) -> list[str]:
        """To be read.

        Example:
            >>> Report(prompts=1, kept=2, refused=Counter({"no polarity": 1})).lines()
            ['1 prompts, 2 questions kept, 1 refused', '  1 x no polarity']
        """
        said = [f"{self.prompts} prompts, {self.kept} questions kept, {self.refused.total()} refused"]
        said += [f"  {count} x {reason}" for reason, count in self.refused.most_common()]
        return said + [f"  no question about {prompt!r}" for prompt in self.without]


def read_reply(prompt: str, reply: str, most: int = MOST) -> tuple[list[WrittenQuestion], Counter]:
    """The questions in a model's reply, and how often something was refused, by reason.

    Expected is a JSON list of objects with entity, dimension, question, polarity, with or without a fence or words
    around it; commas before closing brackets are forgiven, and other spellings in SPELLINGS. Everything else is
    refused: what is no JSON, no object, no question of yes or no in English, asked before, or beyond `most`.

    Example:
        >>> reply = '[{"entity": "cat", "dimension": "temporal", "question": "Does the cat keep its colour?", '
        >>> reply += '"polarity": "positive"}, {"entity": "cat"}]'
        >>> questions, refused = read_reply("a cat", reply)
        >>> questions[0].dimension, dict(refused)
        ('temporal consistency', {'no dimension': 1})
    """
    items = _items(reply)
    if items is None:
        return [], Counter({"a reply that holds no JSON list" if reply.strip() else "an empty reply": 1})
    kept: list[WrittenQuestion] = []
    refused: Counter = Counter()
    asked: set[str] = set()
    for item in items:
        found = _question(prompt, item)
        if isinstance(found, str):
            refused[found] += 1
        elif found.question.casefold() in asked:
            refused["a question asked before"] += 1
        elif len(kept) == most:
            refused[f"more than {most} questions"] += 1
        else:
            asked.add(found.question.casefold())
            kept.append(found)
    return kept, refused


def _items(reply: str) -> list | None:
    """The list in a reply: from its first opening bracket to its last closing one."""
    start, end = reply.find("["), reply.rfind("]")
    if start < 0 or end < start:
        return None
    body = re.sub(r",(\s*+[\]}])", r"\1", reply[start : end + 1])
    try:
        found = json.loads(body)
    except (json.JSONDecodeError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def _question(prompt: str, item: object) -> WrittenQuestion | str:
    """The question of an item, or why it is refused."""
    if not isinstance(item, dict):
        return "an item that is no object"
    texts = {}
    for key in ("entity", "dimension", "question", "polarity"):
        value = item.get(key)
        value = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(value, str) or not value.strip():
            return f"no {key}"
        texts[key] = " ".join(value.split())
    dimension = SPELLINGS.get(re.sub(r"[-_\s]+", " ", texts["dimension"]).casefold())
    if dimension is None:
        return "an unknown dimension"
    polarity = POLARITIES.get(texts["polarity"].casefold())
    if polarity is None:
        return "a polarity other than positive and negative"
    question = texts["question"]
    if len(question) > LONGEST or len(texts["entity"]) > LONGEST:
        return f"a question of more than {LONGEST} letters"
    if not question.endswith("?") or question.split()[0].casefold() not in OPENINGS:
        return "not a question of yes or no in English"
    return WrittenQuestion(prompt, texts["entity"], dimension, question, polarity)


def read_prompts(path: str | Path) -> list[str]:
    """The prompts in the column `prompt` of a CSV, or in the lines of a text file (.txt), each once, in their order.

    Raises:
        WrittenQuestionsError: no such column, a row without a prompt, or no row.
    """
    path = Path(path)
    if path.suffix.lower() == ".txt":
        prompts = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    else:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if "prompt" not in (rows.fieldnames or ()):
                raise WrittenQuestionsError(f"{path}: expected a column prompt, found {rows.fieldnames or 'nothing'}")
            prompts = [(row["prompt"] or "").strip() for row in rows]
        if "" in prompts:
            raise WrittenQuestionsError(f"{path}, row {prompts.index('') + 2}: prompt is empty")
    if not prompts:
        raise WrittenQuestionsError(f"{path}: no prompt in it")
    return list(dict.fromkeys(prompts))


def write_questions(path: str | Path, questions: Iterable[WrittenQuestion]) -> None:
    """One JSON object a line; `read_questions` reads it, and so can a person who corrects it."""
    lines = [json.dumps(asdict(question), ensure_ascii=False) for question in questions]
    Path(path).write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def read_questions(path: str | Path) -> list[WrittenQuestion]:
    """The questions of a file, checked as those of a reply are.

    Raises:
        WrittenQuestionsError: a line that is no such question.
    """
    questions = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        where = f"{path}, line {number}"
        try:
            item = json.loads(line)
        except json.JSONDecodeError:
            raise WrittenQuestionsError(f"{where}: not JSON") from None
        prompt = item.get("prompt") if isinstance(item, dict) else None
        if not isinstance(prompt, str) or not prompt.strip():
            raise WrittenQuestionsError(f"{where}: no prompt")
        found = _question(prompt, item)
        if isinstance(found, str):
            raise WrittenQuestionsError(f"{where}: {found}")
        questions.append(found)
    return questions


def by_prompt(questions: Sequence[WrittenQuestion]) -> dict[str, list[WrittenQuestion]]:
    """The questions of each prompt, in their order."""
    grouped: dict[str, list[WrittenQuestion]] = {}
    for question in questions:
        grouped.setdefault(question.prompt, []).append(question)
    return grouped


def ask_for_questions(
    prompts: Sequence[str], ask: Callable[[list[str]], list[str]]
) -> tuple[list[WrittenQuestion], Report]:
    """Questions about each prompt by a language model, and what was refused of its replies.

    **Source**: FingER, section 3.2.2; the instruction and its examples are ours, the paper does not print its own.

    ask: requests in, replies out, such as `ChatModel.ask`. Returns (questions, report); a prompt of which nothing could
    be kept is named in the report.

    Example:
        questions, report = ask_for_questions(["a cat on a roof"], ChatModel.from_environment("cache/chat").ask)
    """
    prompts = list(dict.fromkeys(prompts))
    meanings = "\n".join(f"{dimension}: {meaning}" for dimension, meaning in MEANINGS.items())
    replies = ask([ASKED.format(meanings=meanings, examples=EXAMPLES, prompt=prompt) for prompt in prompts])
    questions: list[WrittenQuestion] = []
    report = Report(prompts=len(prompts))
    for prompt, reply in zip(prompts, replies, strict=True):
        kept, refused = read_reply(prompt, reply)
        questions += kept
        report.refused += refused
        report.without += [] if kept else [prompt]
    report.kept = len(questions)
    return questions, report
