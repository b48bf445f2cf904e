"""Reasons for answers that people gave, by a language model that is told the answer; then checked, then reviewed.

FingER's data pipeline: a model that often answers wrongly explains well why an answer is right. A reply is never
trusted: what cannot be a reason is refused, the rest is given to the model once more without the answer, and only a
reason from which the same answer follows is kept at first. The last word has a person, in a CSV.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from vqa_lib.chat import Shown
from vqa_lib.datasets.annotations import Notes, stem
from vqa_lib.datasets.finger import FILES
from vqa_lib.datasets.tables import read_json_lines
from vqa_lib.predictions import clip_of
from vqa_lib.records import Question
from vqa_lib.video import FramePolicy, jpeg, read_frames
from vqa_lib.written_questions import MEANINGS

LONGEST = 600  # letters of a reason
REPLY_TOKENS = 300  # of a language model's reason
VIDEOS_AT_ONCE = 50  # whose frames are in memory
ASKED = """\
A video was generated from the prompt "{prompt}". You see {frames} frames of it, in order. A person was asked about \
its {dimension} ({meaning})
{question}
and answered {answer}, which is right. Write, in one to three sentences, what is seen in the video that makes it \
right. Write of the video alone: not of this answer, the person or the frames as pictures. Two examples:
"Are fingers missing, or melted together?" was answered Yes: The left hand has four fingers, and two of them merge \
as it closes around the cup.
"Does the candle keep its place and size?" was answered Yes: The candle stands left of the board throughout, and its \
flame flickers without growing.
"""
CHECKED = """\
Somebody who watched a video was asked: {question}
They said what they saw: {reason}
Which answer follows from what they saw? Reply with one word: Yes, No or Unclear.
"""


class WrittenReasonsError(ValueError):
    """A file of reasons that cannot be used; the message names file, row and what was expected."""


@dataclass
class WrittenReason:
    """A row of the review file. A person may change reason and keep; the others say what it is about.

    clip, question: which annotated question; answer: of the annotation, "yes" or "no". supports: which answer follows
    from the reason, as the checking model found: "yes", "no", "unclear", or "" where it was not asked. keep: "yes" or
    "no". problem: why keep is "no" at first.
    """

    clip: str
    question: str
    answer: str
    reason: str = ""
    supports: str = ""
    keep: str = "no"
    problem: str = ""


def read_reason(reply: str, answer: str) -> tuple[str, str]:
    """The reason in a model's reply and "", or what was said and why it is refused.

    Quotation marks around it and the right answer before it are taken off.

    Example:
        >>> read_reason('"Yes. It is red throughout."', "yes")
        ('It is red throughout.', '')
        >>> read_reason("No, it is blue.", "yes")
        ('No, it is blue.', 'it begins with the other answer')
    """
    said = " ".join(reply.split()).strip("\"'“”` ")
    first = re.match(r"(yes|no)\b[\s.,:;—-]*", said, re.IGNORECASE)
    if first and first[1].lower() != answer:
        return said, "it begins with the other answer"
    reason = said[first.end() :] if first else said
    reason = reason[:1].upper() + reason[1:]
    letters = [letter for letter in reason if letter.isalpha()]
    if not letters:
        return said, "an empty reply"
    if len(reason) > LONGEST:
        return reason[:LONGEST], f"more than {LONGEST} letters"
    if re.search(r"[<>{}\[\]]", reason):
        return reason, "tags or brackets in it"
    if sum(letter.isascii() for letter in letters) < 0.9 * len(letters):
        return reason, "not in English"
    if re.match(r"(I am|I'm|I) (sorry|can't|cannot|can not|unable)", reason):
        return reason, "the model would not answer"
    return reason, ""


def write_reasons(
    questions: Sequence[Question], ask: Callable[[list], list[str]], policy: FramePolicy
) -> list[WrittenReason]:
    """A reason for each annotated question, by a model that sees the video and knows the answer, and checks itself.

    **Source**: FingER, section 3.2.3; the instruction, its examples and the check by a model are ours (the paper's
    check is by people, for whom `write_review` makes a file).

    questions: with answers, such as `load_questions("finger", root, "train")`. ask: requests in, replies out, such as
    `ChatModel.ask`; what it was asked before it reads from disk, so an interrupted call goes on where it stopped.
    policy: the frames that the model sees.

    Raises:
        ValueError: a question without an answer.
    """
    for question in questions:
        if question.answer not in ("yes", "no"):
            raise ValueError(f"{question.name}: a reason needs an answer of yes or no, found {question.answer!r}")
    by_video: dict[Path, list[Question]] = {}
    for question in questions:
        by_video.setdefault(question.path, []).append(question)
    videos, written = list(by_video.items()), {}
    for start in range(0, len(videos), VIDEOS_AT_ONCE):
        asked = []
        for path, about in videos[start : start + VIDEOS_AT_ONCE]:
            pictures = tuple(jpeg(frame) for frame in read_frames(path, "video", policy).pixels)
            asked += [(question, Shown(_request(question, len(pictures)), pictures)) for question in about]
        replies = ask([shown for _, shown in asked])
        for (question, _), reply in zip(asked, replies, strict=True):
            reason, problem = read_reason(reply, question.answer)
            written[question.name] = WrittenReason(
                clip_of(question), question.question, question.answer, reason, problem=problem
            )
    rows = [written[question.name] for question in questions]
    _check(rows, ask)
    return rows


def _request(question: Question, frames: int) -> str:
    return ASKED.format(
        prompt=question.prompt, frames=frames, dimension=question.dimension, meaning=MEANINGS[question.dimension],
        question=question.question, answer=question.answer.capitalize(),
    )  # fmt: skip


def _check(rows: list[WrittenReason], ask: Callable[[list], list[str]]) -> None:
    """Fill in which answer follows from each reason that was not refused, and keep those of the annotated answer."""
    checked = [row for row in rows if not row.problem]
    replies = ask([CHECKED.format(question=row.question, reason=row.reason) for row in checked])
    for row, reply in zip(checked, replies, strict=True):
        said = re.fullmatch(r"\W*(yes|no|unclear)\W*", reply, re.IGNORECASE)
        row.supports = said[1].lower() if said else "unclear"
        row.keep = "yes" if row.supports == row.answer else "no"
        row.problem = "" if row.keep == "yes" else "another answer follows from it, or none"


def report(rows: Sequence[WrittenReason]) -> list[str]:
    """How many reasons are kept and why others are not, to be read.

    Example:
        >>> report([WrittenReason("a", "Is it?", "yes", "It is.", "yes", "yes")])
        ['1 questions, 1 reasons kept, 0 not']
    """
    kept = sum(row.keep == "yes" for row in rows)
    problems = Counter(row.problem or "no word why" for row in rows if row.keep != "yes")
    said = [f"{len(rows)} questions, {kept} reasons kept, {len(rows) - kept} not"]
    return said + [f"  {count} x {problem}" for problem, count in problems.most_common()]


def write_review(path: str | Path, rows: Iterable[WrittenReason]) -> None:
    """The review file, a CSV for a spreadsheet: those that are not kept come first, for they need a person's eyes."""
    with Path(path).open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, [each.name for each in fields(WrittenReason)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in sorted(rows, key=lambda row: row.keep == "yes"))


def read_review(path: str | Path) -> list[WrittenReason]:
    """The rows of a review file, after a person's changes.

    Raises:
        WrittenReasonsError: a column that is missing, a question twice, keep other than yes and no, or a reason that
            is to be kept and cannot be one.
    """
    names = [each.name for each in fields(WrittenReason)]
    rows, known = [], set()
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file)
        if missing := set(names) - set(table.fieldnames or ()):
            raise WrittenReasonsError(f"{path}: no column {', '.join(sorted(missing))}; expected {', '.join(names)}")
        for number, found in enumerate(table, 2):
            row = WrittenReason(**{name: (found[name] or "").strip() for name in names})
            where = f"{path}, row {number}"
            if row.keep.lower() not in ("yes", "no") or row.answer not in ("yes", "no"):
                raise WrittenReasonsError(f"{where}: answer and keep must be yes or no, found {row.answer}, {row.keep}")
            if (row.clip, row.question) in known:
                raise WrittenReasonsError(f"{where}: this question of {row.clip} stood above already")
            row.keep = row.keep.lower()
            if row.keep == "yes":
                row.reason, problem = read_reason(row.reason, row.answer)
                if problem:
                    raise WrittenReasonsError(f"{where}: this reason cannot be kept: {problem}")
            known.add((row.clip, row.question))
            rows.append(row)
    return rows


def add_reasons(review: str | Path, root: str | Path, split: str, output: str | Path) -> list[WrittenReason]:
    """Write a split's annotations in FingER's form anew, with the reasons of a review file; returns its rows.

    A question whose reason is not kept, or that the file lacks, has the reason null. root: of the data set; output: the
    new file, such as another folder's finger_train.jsonl.

    Raises:
        WrittenReasonsError: as `read_review`; a question that the annotations lack or answer otherwise.
        DatasetError: annotations that cannot be read.
    """
    rows = read_review(review)
    by_question = {(row.clip, row.question): row for row in rows}
    lines, answers = [], {}
    for _, annotated in read_json_lines(Path(root) / FILES[split], Notes()):
        key = stem(str(annotated.get("video"))), str(annotated.get("question"))
        answers[key] = str(annotated.get("answer")).lower()
        row = by_question.get(key)
        reason = row.reason if row and row.keep == "yes" else None
        lines.append(json.dumps({**annotated, "reason": reason}, ensure_ascii=False) + "\n")
    for row in rows:
        found = answers.get((row.clip, row.question))
        if found != row.answer:
            problem = "is not among the annotations" if found is None else f"is answered {found} in the annotations"
            raise WrittenReasonsError(f"{review}: {row.question!r} of {row.clip} {problem}")
    Path(output).write_text("".join(lines), encoding="utf-8")
    return rows
