"""FingER-Instruct-60k: yes/no questions about the entities of a prompt, with reasons (Chen et al. 2025).

The authors have not published it, so this form is ours. `finger_train.jsonl` and `finger_test.jsonl`, UTF-8, have a
JSON object a line, a question each:

    {"prompt": "a red circle moves left over grass", "video": "kling/00001.mp4", "entity": "circle",
     "dimension": "temporal consistency", "question": "Does the circle change its colour?", "polarity": "negative",
     "answer": "no", "reason": "It is red in every frame."}

prompt: what the generator was given. video: the clip's path below videos/ (or below the root). entity: the thing of
the prompt that the question is about. dimension: one of `DIMENSIONS`, the paper's five. polarity: "positive" where yes
speaks for the clip, "negative" where no does (the paper's q_stat 1 and 0). answer: "yes" or "no". reason: why the
answer is what it is; null where nobody wrote one. Capitals make no difference in the last four but the reason. A
question is asked of a clip once. Further keys are ignored.
"""

from pathlib import Path

from vqa_lib.datasets.annotations import DatasetError, Folder, Notes, Rows, collect, stem
from vqa_lib.datasets.dataset import Dataset, by_prompt
from vqa_lib.datasets.downloads import VIDEOS_OPTION, clip_files, clip_name, plain_text
from vqa_lib.datasets.tables import read_json_lines
from vqa_lib.datasets.videofeedback import DIMENSIONS
from vqa_lib.records import Question

FILES = {"train": "finger_train.jsonl", "test": "finger_test.jsonl"}
FOLDERS = ("videos", ".")
POLARITIES = {"positive": "yes", "negative": "no"}


def read_finger(root: Path, notes: Notes, videos: str | None = None) -> list[Question]:
    """Questions in the form of this module's docstring, named by clip and question; splits train and test."""
    folder = Folder(root)

    def question(row: dict) -> Question:
        name, text = clip_name(row.get("video")), plain_text(row.get("question"), "question")
        reason = row.get("reason")
        return Question(
            name=f"{stem(name)}: {text}",
            path=folder.find(*clip_files(name, FOLDERS, videos)),
            kind="video",
            question=text,
            options=(),
            answer=_one_of(row, "answer", ("yes", "no")),
            dataset="finger",
            split=row["split"],
            dimension=_one_of(row, "dimension", DIMENSIONS),
            prompt=plain_text(row.get("prompt"), "prompt"),
            entity=plain_text(row.get("entity"), "entity"),
            polarity=POLARITIES[_one_of(row, "polarity", tuple(POLARITIES))],
            reason=None if reason is None else plain_text(reason, "reason"),
        )

    return collect(_rows(root, folder, notes), question, notes)


def _one_of(row: dict, key: str, known: tuple[str, ...]) -> str:
    value = row.get(key)
    if not isinstance(value, str) or value.lower() not in known:
        raise DatasetError(f"{key} must be one of {known}, found {value!r}")
    return value.lower()


def _rows(root: Path, folder: Folder, notes: Notes) -> Rows:
    found = False
    for split, name in FILES.items():
        path = folder.find(name)
        if path.is_file():
            found = True
            notes.files.append(path)
            for where, row in read_json_lines(path, notes):
                yield where, {**row, "split": split}
    if not found:
        raise DatasetError(f"{root}: expected {' or '.join(FILES.values())}")


FINGER = Dataset(
    title="FingER-Instruct-60k, in a form of ours",
    purpose="training and test of entity questions",
    record=Question,
    reader=read_finger,
    scale=None,
    counts={"train": None, "test": None},
    licence="not published",
    source="the authors announce it at GitHub AMAP-ML/FingER; until then, your own questions in this form",
    layout="finger_train.jsonl, finger_test.jsonl, either or both, as described in vqa_lib/datasets/finger.py; "
    "videos/<video>",
    tables=("FingER: training", "FingER: Table 1", "FingER: Table 2"),
    note="the paper has about 60,000 questions on 3,300 clips of 420 prompts; 3,500 on 185 clips are its test",
    options=VIDEOS_OPTION,
    group=by_prompt,
)
