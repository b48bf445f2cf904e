"""Q-Bench-Video: questions about the quality of a video, or of two, with options (Zhang et al. 2025)."""

from pathlib import Path

from vqa_lib.datasets.annotations import DatasetError, Folder, Notes, Rows, collect
from vqa_lib.datasets.dataset import Dataset
from vqa_lib.datasets.downloads import VIDEOS_OPTION, clip_files, clip_name, plain_text
from vqa_lib.datasets.finevd_questions import by_clip
from vqa_lib.datasets.tables import read_json
from vqa_lib.records import Question

FILES = {"dev": "Q_Bench_Video_dev.json", "test": "Q_Bench_Video_test.json"}
FOLDERS = ("video", "videos", ".")
CATEGORIES = {"compare": "pair", "joint": "pair", "refer": "referring", "global": "global"}  # found in -> ours
_PAIR = "_cat_"
_OPEN = "open"


def read_q_bench_video(root: Path, notes: Notes, videos: str | None = None) -> list[Question]:
    """The questions with options, named by split and entry; splits dev and test.

    category is "global" (of the whole video), "referring" (of something in it) or "pair" (of two videos), dimension
    the quality concern as published. Open-ended questions are left out: where their published answer stands is not
    documented. answer is None where the file has none.
    """
    folder = Folder(root)

    def question(row: dict) -> Question:
        published, choice = plain_text(row.get("video_name"), "video_name"), row.get("correct_choice")
        options = row.get("answers")
        if not isinstance(options, list):
            raise DatasetError(f"answers must be a list, found {options!r}")
        first, second = _names(published)
        return Question(
            name=f"{row['split']}/{row['number']}",
            path=folder.find(*clip_files(first, FOLDERS, videos)),
            kind="video",
            question=plain_text(row.get("question"), "question"),
            options=tuple(plain_text(option, "option") for option in options),
            answer=None if choice is None else plain_text(choice, "correct_choice").strip().rstrip("."),
            dataset="q_bench_video",
            split=row["split"],
            category=_category(row.get("context"), second),
            dimension=_words(row.get("quality_concern")) or None,
            second=None if second is None else folder.find(*clip_files(second, FOLDERS, videos)),
        )

    return collect(_rows(root, folder, notes), question, notes)


def _rows(root: Path, folder: Folder, notes: Notes) -> Rows:
    found = False
    for split, name in FILES.items():
        path = folder.find(name)
        if not path.is_file():
            continue
        found = True
        notes.files.append(path)
        entries = read_json(path)
        if not isinstance(entries, list):
            raise DatasetError(f"{path}: expected a list of questions, found {type(entries).__name__}")
        for number, row in enumerate(entries, 1):
            where = f"{path}, entry {number}"
            if not isinstance(row, dict):
                notes.refuse(f"{where}: expected an object, found {type(row).__name__}")
                continue
            try:
                is_open = _OPEN in _words(row.get("question_type")).lower()
            except DatasetError as error:
                notes.refuse(f"{where}: {error}")
                continue
            if not is_open:
                yield where, {**row, "split": split, "number": number}
    if not found:
        raise DatasetError(f"{root}: expected {' or '.join(FILES.values())}")


def _names(published: str) -> tuple[str, str | None]:
    """One video, or two: `a.mp4_cat_b.mp4` and four more characters, the ending of the joined file."""
    if _PAIR not in published:
        return clip_name(published), None
    first, _, second = published.partition(_PAIR)
    return clip_name(first), clip_name(second[:-4])


def _category(context: object, second: str | None) -> str | None:
    words = _words(context).lower()
    found = next((ours for word, ours in CATEGORIES.items() if word in words), None)
    if (found == "pair") != (second is not None):
        raise DatasetError(f"the context {context!r} does not fit a name of {2 if second else 1} videos")
    return found


def _words(value: object) -> str:
    """A text, or a list of texts: which of the two a key has is not documented."""
    values = value if isinstance(value, list) else [] if value is None else [value]
    return ", ".join(plain_text(each, "category") for each in values)


Q_BENCH_VIDEO = Dataset(
    title="Q-Bench-Video",
    purpose="test of quality understanding",
    record=Question,
    reader=read_q_bench_video,
    scale=None,
    counts={"dev": None, "test": None},
    licence="not stated",
    source="Hugging Face zhangzicheng/Q-Bench-Video",
    layout="Q_Bench_Video_dev.json, Q_Bench_Video_test.json, either or both; video/<video_name> from video.zip",
    tables=("VQAThinker: Table 3",),
    note="2,378 questions in both files together, the open-ended among them, which are left out. VQAThinker's table "
    "takes category global and referring of dev",
    options=VIDEOS_OPTION,
    group=by_clip,
)
