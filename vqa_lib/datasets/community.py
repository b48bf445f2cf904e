"""Anyone's own data, and the forms in which others publish theirs: CSV, pairs, VQAThinker's JSON, DOVER's lists.

Paths in these files are relative to the folder that is named as the root.
"""

from functools import partial
from pathlib import Path

from vqa_lib.datasets.annotations import (
    IMAGE_ENDINGS,
    AnnotationFile,
    DatasetError,
    Folder,
    Notes,
    Rows,
    annotation_rows,
    collect,
    plain_name,
    read_scored,
)
from vqa_lib.datasets.dataset import Dataset
from vqa_lib.datasets.forms import score_list, vqathinker_scores
from vqa_lib.datasets.tables import read_json_lines, read_table
from vqa_lib.records import Pair, Scale, ScoredClip

PREFERENCES = {
    **dict.fromkeys(("a", "first", "left"), "first"),
    **dict.fromkeys(("b", "second", "right"), "second"),
    **dict.fromkeys(("tie", "same"), "tie"),
    "both_bad": "both_bad",
}
_SCALE_OPTIONS = {"low": "the worst score there can be", "high": "the best score there can be"}


def read_csv(root: Path, notes: Notes, file: str = "clips.csv", low: str = "0", high: str = "100") -> list[ScoredClip]:
    """`path,mos` and, where wanted, `sd,split,prompt`; images and videos, told apart by their endings.

    file: below the root. low, high: the scale of the scores. Without the column split there is one, all.
    """
    columns = {"name": "path", "mos": "mos"}
    rows = partial(read_table, columns=columns, optional={"sd": "sd", "split": "split", "prompt": "prompt"})
    return _read("csv", root, notes, file, rows, low, high)


def read_score_list(
    root: Path, notes: Notes, file: str = "labels.txt", low: str = "0", high: str = "100"
) -> list[ScoredClip]:
    """A text list as DOVER and FAST-VQA have it: `name, -1, -1, score`; one split, all."""
    return _read("score_list", root, notes, file, score_list, low, high)


def read_vqathinker(
    root: Path, notes: Notes, file: str = "scores.json", low: str = "0", high: str = "100"
) -> list[ScoredClip]:
    """VQAThinker's two forms; one split, all.

    A .json for evaluation, `{"annotations": [{"image_id", "score"}]}`, or a .jsonl for training, a line of which is
    `{"image": ["a.mp4"], "conversations": [..., {"from": "gpt", "value": 2.61}]}` (there on 1-5: low=1, high=5).
    """
    rows = _training_lines if file.lower().endswith(".jsonl") else vqathinker_scores
    return _read("vqathinker", root, notes, file, rows, low, high)


def read_pairs_csv(root: Path, notes: Notes, file: str = "pairs.csv") -> list[Pair]:
    """`a,b,preference` and, where wanted, `prompt,split`: two files, and which of them is preferred.

    preference: a, first or left; b, second or right; tie or same; both_bad. Without the column split there is one,
    all. A pair's name is its number, from 1.
    """
    columns = {"a": "a", "b": "b", "preference": "preference"}
    rows = partial(read_table, columns=columns, optional={"prompt": "prompt", "split": "split"})
    folder = Folder(root)

    def numbered() -> Rows:
        for number, (where, row) in enumerate(annotation_rows(root, [[AnnotationFile(file, rows)]], notes), 1):
            yield where, {**row, "name": str(number)}

    def pair(row: dict) -> Pair:
        preference = row["preference"].lower()
        if preference not in PREFERENCES:
            raise DatasetError(f"the preference {row['preference']!r} is none of {sorted(PREFERENCES)}")
        first, second = (plain_name(row[side]) for side in ("a", "b"))
        if _kind(first) != _kind(second):
            raise DatasetError(f"{first!r} and {second!r} are an image and a video")
        return Pair(
            name=row["name"],
            first=folder.find(first),
            second=folder.find(second),
            kind=_kind(first),
            preference=PREFERENCES[preference],
            dataset="pairs_csv",
            split=row.get("split") or "all",
            prompt=row.get("prompt") or None,
        )

    return collect(numbered(), pair, notes)


def _read(dataset: str, root: Path, notes: Notes, file: str, rows, low: str, high: str) -> list[ScoredClip]:
    try:
        scale = Scale(float(low), float(high))
    except ValueError as error:
        raise DatasetError(f"low and high must be the ends of a scale, got {low!r} and {high!r}") from error
    return read_scored(dataset, scale, [[AnnotationFile(file, rows)]], lambda name: (name, [name]), root, notes, _kind)


def _training_lines(path: Path, notes: Notes) -> Rows:
    for where, row in read_json_lines(path, notes):
        files, turns = row.get("image"), row.get("conversations")
        answers = [turn.get("value") for turn in turns if _is_answer(turn)] if isinstance(turns, list) else []
        if isinstance(files, list) and len(files) == 1 and len(answers) == 1:
            yield where, {"name": files[0], "mos": answers[0]}
        else:
            notes.refuse(f"{where}: expected one file in image and one score of gpt in conversations")


def _is_answer(turn: object) -> bool:
    return isinstance(turn, dict) and turn.get("from") == "gpt"


def _kind(name: str) -> str:
    return "image" if name.lower().endswith(IMAGE_ENDINGS) else "video"


CSV = Dataset(
    title="own clips, CSV",
    purpose="your own images and videos with scores",
    record=ScoredClip,
    reader=read_csv,
    scale=Scale(0, 100),
    counts={"all": None},
    licence="yours",
    source="you",
    layout="clips.csv with path,mos[,sd,split,prompt]; paths relative to the folder",
    tables=(),
    options={"file": "the CSV below the root (clips.csv)", **_SCALE_OPTIONS},
)
SCORE_LIST = Dataset(
    title="own clips, text list",
    purpose="lists as DOVER and FAST-VQA use them",
    record=ScoredClip,
    reader=read_score_list,
    scale=Scale(0, 100),
    counts={"all": None},
    licence="yours",
    source="you; examples: GitHub VQAssessment/DOVER, examplar_data_labels",
    layout="labels.txt with lines `name, -1, -1, score`; names relative to the folder",
    tables=(),
    options={"file": "the list below the root (labels.txt)", **_SCALE_OPTIONS},
)
VQATHINKER = Dataset(
    title="own clips, VQAThinker's JSON",
    purpose="files as VQAThinker trains and evaluates on",
    record=ScoredClip,
    reader=read_vqathinker,
    scale=Scale(0, 100),
    counts={"all": None},
    licence="yours",
    source="you; examples: GitHub clh124/VQAThinker, test/json_files",
    layout="scores.json with annotations of image_id and score, or a .jsonl with image and conversations",
    tables=(),
    options={"file": "the JSON below the root (scores.json)", **_SCALE_OPTIONS},
)
PAIRS_CSV = Dataset(
    title="own pairs, CSV",
    purpose="your own pairs with preferences",
    record=Pair,
    reader=read_pairs_csv,
    scale=None,
    counts={"all": None},
    licence="yours",
    source="you",
    layout="pairs.csv with a,b,preference[,prompt,split]; paths relative to the folder",
    tables=(),
    options={"file": "the CSV below the root (pairs.csv)"},
)
