"""FineVD's questions: is a distortion there, which type is it, which kind hurts the video most (Duan et al. 2025)."""

import re
from pathlib import Path

from vqa_lib.datasets.annotations import DatasetError, Folder, Notes, Rows, collect
from vqa_lib.datasets.dataset import Dataset
from vqa_lib.datasets.downloads import VIDEOS_OPTION, clip_files, plain_text
from vqa_lib.datasets.finevd import ATTRIBUTES, COMMON, FOLDERS, video_name
from vqa_lib.datasets.tables import read_json_lines
from vqa_lib.records import Question, Record

QUESTION_FILES = {  # category -> name of the file of a split
    "distortion present": "yesno_{split}.jsonl",
    "distortion type": "abcd_{split}_en.jsonl",
    "greatest impact": "abcd2_{split}.jsonl",
}
_OPTION = re.compile(r"([A-Z]):\[([^\]]*)\]")


def read_finevd_questions(root: Path, notes: Notes, videos: str | None = None) -> list[Question]:
    """Questions in three categories (`QUESTION_FILES`); splits train and test.

    "distortion present" is answered yes or no, and no speaks for the video; its dimension is the attribute asked for.
    The others have options. Files in English only.
    """
    folder = Folder(root)

    def question(row: dict) -> Question:
        name = video_name(row.get("video"))
        asked, answer = _conversation(row.get("conversations"))
        options: tuple[str, ...] = ()
        attribute = polarity = None
        if row["category"] == "distortion present":
            named = [attribute for attribute in ATTRIBUTES if attribute in asked.lower()]
            if len(named) != 1:
                raise DatasetError(f"the question {asked[:80]!r} does not name one of {ATTRIBUTES}")
            attribute, polarity, answer = named[0], "no", answer.lower()
        else:
            letters = _OPTION.findall(asked)
            options = tuple(text for _, text in letters)
            if [letter for letter, _ in letters] != list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: len(options)]) or not options:
                raise DatasetError(f"the question {asked[:80]!r} has no options A:[...], B:[...]")
            asked = re.sub(r"\s*options?\s*\{.*", "", asked, flags=re.DOTALL)
        return Question(
            name="/".join(filter(None, (row["category"], attribute, name))),
            path=folder.find(*clip_files(f"{name}.mp4", FOLDERS, videos)),
            kind="video",
            question=asked,
            options=options,
            answer=answer,
            dataset="finevd_questions",
            split=row["split"],
            category=row["category"],
            dimension=attribute,
            polarity=polarity,
        )

    return collect(_question_rows(root, folder, notes), question, notes)


def _question_rows(root: Path, folder: Folder, notes: Notes) -> Rows:
    found = False
    for split in ("train", "test"):
        for category, pattern in QUESTION_FILES.items():
            name = pattern.format(split=split)
            path = folder.find(name, f"data/{name}")
            if path.is_file():
                found = True
                notes.files.append(path)
                for where, row in read_json_lines(path, notes):
                    yield where, {**row, "split": split, "category": category}
    if not found:
        expected = ", ".join(pattern.format(split="test") for pattern in QUESTION_FILES.values())
        raise DatasetError(f"{root}: the questions are missing; expected some of {expected}, or their train twins")


def _conversation(turns: object) -> tuple[str, str]:
    """What is asked and answered, in `[{"from": "human", "value": ...}, {"from": "gpt", "value": ...}]`."""
    if not isinstance(turns, list) or len(turns) != 2 or not all(isinstance(turn, dict) for turn in turns):
        raise DatasetError("expected a conversation of a question and an answer")
    asked, answered = (
        plain_text(turn.get("value"), what) for turn, what in zip(turns, ("question", "answer"), strict=True)
    )
    return asked.removeprefix("<|video|>").strip(), answered.strip()


def by_clip(record: Record) -> str:
    """Questions about one video are a group."""
    return record.path.name


FINEVD_QUESTIONS = Dataset(
    title="FineVD, questions",
    purpose="distortion attribution",
    record=Question,
    reader=read_finevd_questions,
    scale=None,
    counts={"train": None, "test": 7112},
    layout="videos_all/<vid>.mp4 (or videos_all/videos_all_videos/, videos/); yesno_{train,test}.jsonl, "
    "abcd_{train,test}_en.jsonl, abcd2_{train,test}.jsonl from GitHub IntMeGroup/FineVQ, at the root or in data/",
    tables=("VQAThinker: Table 2",),
    note="test: 5,080 yes/no questions, five for each of 1,016 videos, and twice 1,016 with options",
    options=VIDEOS_OPTION,
    group=by_clip,
    **COMMON,
)
