"""VisionRewardDB-Video: generated clips judged in 21 dimensions and by a checklist, and pairs (Xu et al. 2024).

Its `test` pairs are MonetBench.
"""

import re
from itertools import islice
from pathlib import Path

from vqa_lib.datasets.annotations import DatasetError, Folder, Notes, Rows, collect, parse_mos
from vqa_lib.datasets.dataset import Dataset, by_prompt
from vqa_lib.datasets.downloads import VIDEOS_OPTION, clip_files, clip_name, plain_text, read_pairs, sharded_rows
from vqa_lib.datasets.tables import read_lines
from vqa_lib.records import Pair, Question, Scale, ScoredClip

SCALE = Scale(0, 5)  # what all the dimensions fit in; each has a range of its own
SCALES = {
    "alignment": Scale(1, 5),
    "composition": Scale(1, 3),
    "focus": Scale(1, 3),
    "camera movement": Scale(1, 3),
    "color": Scale(1, 5),
    "lighting accurate": Scale(1, 4),
    "lighting aes": Scale(1, 5),
    "shape at beginning": Scale(0, 3),
    "shape throughout": Scale(0, 4),
    "object motion dynamic": Scale(1, 5),
    "camera motion dynamic": Scale(1, 5),
    "movement smoothness": Scale(0, 4),
    "movement reality": Scale(0, 4),
    "clear": Scale(1, 5),
    "image quality stability": Scale(1, 5),
    "camera stability": Scale(1, 3),
    "detail refinement": Scale(1, 5),
    "letters": Scale(1, 4),
    "physics law": Scale(1, 5),
    "unsafe type": Scale(1, 5),
    "safety": Scale(1, 5),
}
TRAIN = {"train": ("train/*.parquet",)}
PAIRS = {"regression": ("regression/*.parquet",), "test": ("test/*.parquet", "monetbench/*.parquet")}
PREFERENCES = {"video1": "first", "video2": "second", "tie": "tie"}
ANSWERS = {1: "yes", 0: "no", -1: "no"}  # how a no is written is not documented: both are taken
FOLDERS = ("videos", "video", ".")
CHECKLISTS = ("VisionReward_video_qa.txt", "VisionReward_Video/VisionReward_video_qa.txt")


def read_visionreward(root: Path, notes: Notes, videos: str | None = None) -> list[ScoredClip]:
    """Clips with 21 scores, each on its own range in `SCALES`, and the prompt; split train.

    A dimension without a value was not judged and is left out.
    """
    folder = Folder(root)

    def clip(row: dict) -> ScoredClip:
        name = clip_name(row["path"])
        if not isinstance(row["annotation"], dict):
            raise DatasetError(f"the annotation {row['annotation']!r} has no dimensions")
        if missing := [dimension for dimension in SCALES if dimension not in row["annotation"]]:
            raise DatasetError(f"the annotation lacks {missing}")
        judged = {dimension: row["annotation"][dimension] for dimension in SCALES}
        scores = {key: _on_its_scale(key, value) for key, value in judged.items() if value is not None}
        if not scores:
            raise DatasetError("no dimension has a value")
        return ScoredClip(
            name=name,
            path=folder.find(*clip_files(name, FOLDERS, videos)),
            kind="video",
            scores=scores,
            scale=SCALE,
            dataset="visionreward",
            split=row["split"],
            prompt=plain_text(row["prompt"], "prompt"),
        )

    columns = {"path": "video_path", "prompt": "prompt", "annotation": "annotation"}
    return collect(sharded_rows(root, TRAIN, columns, notes), clip, notes)


def _on_its_scale(dimension: str, value: object) -> float:
    try:
        return parse_mos(value, SCALES[dimension])
    except DatasetError as error:
        raise DatasetError(f"{dimension}: {error}") from None


def read_visionreward_questions(
    root: Path, notes: Notes, videos: str | None = None, checklist: str | None = None, clips: str | None = None
) -> list[Question]:
    """The checklist's yes/no questions, those that are valid for a clip; split train.

    A question is named after its clip and its number, from 1, in the checklist.
    """
    folder = Folder(root)
    if clips is not None and not re.fullmatch("[0-9]{1,9}", str(clips)):
        raise DatasetError(f"the option clips must be a number, got {clips!r}")
    texts = _checklist(root, folder, notes, checklist)

    def question(row: dict) -> Question:
        name, prompt = clip_name(row["path"]), plain_text(row["prompt"], "prompt")
        if not _is_one_of(row["answer"], ANSWERS):
            raise DatasetError(f"question {row['question']}: meta_result must be 1, 0 or -1, found {row['answer']!r}")
        return Question(
            name=f"{name}/{row['question']}",
            path=folder.find(*clip_files(name, FOLDERS, videos)),
            kind="video",
            question=texts[row["question"] - 1].replace("[[prompt]]", prompt),
            options=(),
            answer=ANSWERS[row["answer"]],
            dataset="visionreward_questions",
            split=row["split"],
            prompt=prompt,
        )

    columns = {"path": "video_path", "prompt": "prompt", "results": "meta_result", "mask": "meta_mask"}
    rows = islice(sharded_rows(root, TRAIN, columns, notes), None if clips is None else int(clips))
    return collect(_valid_answers(rows, len(texts), notes), question, notes)


def _checklist(root: Path, folder: Folder, notes: Notes, checklist: str | None) -> list[str]:
    names = CHECKLISTS if checklist is None else (checklist,)
    path = folder.find(*names)
    if not path.is_file():
        raise DatasetError(f"{path}: missing; the questions are expected in one of: {', '.join(names)}")
    notes.files.append(path)
    return [row["text"] for _, row in read_lines(path, notes, lambda line: {"text": line}, "a question")]


def _valid_answers(rows: Rows, count: int, notes: Notes) -> Rows:
    """A row for each question that the mask lets pass."""
    for where, row in rows:
        results, mask = row["results"], row["mask"]
        lengths = [len(values) if isinstance(values, list) else None for values in (results, mask)]
        if lengths != [count, count]:
            notes.refuse(f"{where}: {lengths[0]} answers and {lengths[1]} in the mask for {count} questions")
        elif not all(_is_one_of(valid, (0, 1)) for valid in mask):
            notes.refuse(f"{where}: meta_mask must have 0 and 1 only, found {mask!r}")
        else:
            for number, (answer, valid) in enumerate(zip(results, mask, strict=True), 1):
                if valid:
                    yield where, {**row, "question": number, "answer": answer}


def _is_one_of(value: object, known) -> bool:
    return isinstance(value, int) and value in known


def read_visionreward_pairs(root: Path, notes: Notes, videos: str | None = None) -> list[Pair]:
    """Pairs of one prompt, named by split and row; splits regression and test (MonetBench)."""
    columns = {"prompt": "prompt", "answer": "standard_answer", "first": "video1_path", "second": "video2_path"}
    rows = sharded_rows(root, PAIRS, columns, notes)
    return read_pairs("visionreward_pairs", rows, PREFERENCES, "standard_answer", FOLDERS, root, notes, videos)


_COMMON = {
    "licence": "Apache-2.0",
    "source": "Hugging Face zai-org/VisionRewardDB-Video (before: THUDM)",
    "group": by_prompt,
}
_CLIPS = "; the clips by their paths or names in videos/ or at the root"

VISIONREWARD = Dataset(
    title="VisionRewardDB-Video, scores",
    purpose="fine-grained judgement of generated video",
    record=ScoredClip,
    reader=read_visionreward,
    scale=SCALE,
    counts={"train": None},
    layout="train/*.parquet" + _CLIPS,
    tables=(),
    note="21 dimensions, each on its own range (visionreward.SCALES). The card states 40,743 rows, the authors' "
    "repository 33,000 clips",
    options=VIDEOS_OPTION,
    **_COMMON,
)
VISIONREWARD_QUESTIONS = Dataset(
    title="VisionRewardDB-Video, checklist",
    purpose="yes/no questions about generated video",
    record=Question,
    reader=read_visionreward_questions,
    scale=None,
    counts={"train": None},
    layout="train/*.parquet; VisionReward_video_qa.txt from GitHub THUDM/VisionReward, a question a line" + _CLIPS,
    tables=("VQ-Insight: stage 2",),
    note="64 questions a clip: about two million records, so ask for fewer clips than all",
    options={
        **VIDEOS_OPTION,
        "checklist": "the file with the questions, where it has another name",
        "clips": "read the questions of the first so many clips only",
    },
    **_COMMON,
)
VISIONREWARD_PAIRS = Dataset(
    title="VisionRewardDB-Video, pairs (test: MonetBench)",
    purpose="training and test of preference comparison",
    record=Pair,
    reader=read_visionreward_pairs,
    scale=None,
    counts={"regression": 1795, "test": 1000},
    layout="regression/*.parquet; test/*.parquet, in the first release monetbench/*.parquet" + _CLIPS,
    tables=("VQ-Insight: stage 2", "VQ-Insight: Table 1", "FingER: Table 3"),
    options=VIDEOS_OPTION,
    **_COMMON,
)
