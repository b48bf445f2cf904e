"""VideoGen-Eval: prompts for comparing generators (Zeng et al. 2024); FingER takes its text prompts from here."""

from functools import partial
from pathlib import Path

from vqa_lib.datasets.annotations import DatasetError, Folder, Notes, Rows, collect
from vqa_lib.datasets.dataset import Dataset
from vqa_lib.datasets.tables import read_table
from vqa_lib.records import Prompt

FILES = {"all": "prompts.xlsx", "t2v": "VGenEval_T2V.xlsx", "i2v": "VGenEval_I2V.xlsx"}
FOLDER = "docs/specifc_model/prompts"  # spelled so
_PROMPTS = partial(read_table, columns={"id": "ID", "text": ("Text Prompt", "Prompt")})


def _rows(root: Path, notes: Notes) -> Rows:
    folder, found = Folder(root), False
    for split, name in FILES.items():
        path = folder.find(name, f"{FOLDER}/{name}")
        if not path.is_file():
            continue
        found = True
        notes.files.append(path)
        for where, row in _PROMPTS(path, notes):
            if row["text"]:  # the sheets have rows for headings and space
                yield where, {**row, "split": split}
    if not found:
        raise DatasetError(f"{root}: none of {list(FILES.values())} is there, nor in {FOLDER}")


def read_videogen_eval(root: Path, notes: Notes) -> list[Prompt]:
    """Prompts named by split and published number; splits all, t2v (text to video) and i2v (image to video)."""

    def prompt(row: dict) -> Prompt:
        if not row["id"]:
            raise DatasetError(f"the prompt {row['text'][:80]!r} has no ID")
        return Prompt(f"{row['split']}/{row['id']}", row["text"], "videogen_eval", row["split"])

    return collect(_rows(root, notes), prompt, notes)


VIDEOGEN_EVAL = Dataset(
    title="VideoGen-Eval",
    purpose="prompts of FingER's clips",
    record=Prompt,
    reader=read_videogen_eval,
    scale=None,
    counts={"all": None, "t2v": None, "i2v": None},
    licence="MIT",
    source="GitHub AILab-CVC/VideoGen-Eval",
    layout="prompts.xlsx, VGenEval_T2V.xlsx, VGenEval_I2V.xlsx, any of them, at the root or in "
    "docs/specifc_model/prompts/",
    tables=("FingER: training",),
    note="no people's scores are published; the clips are called <model>_<number of five digits>.mp4",
)
