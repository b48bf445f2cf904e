"""The forms in which others publish scores of many sets: VQAThinker's JSON, the text lists of DOVER and FAST-VQA."""

from functools import partial
from pathlib import Path

from vqa_lib.datasets.annotations import AnnotationFile, DatasetError, Notes, Rows, parse_mos
from vqa_lib.datasets.tables import read_headless, read_json, read_lines, read_objects, read_table
from vqa_lib.records import Scale, rescale


def vqathinker_scores(path: Path, notes: Notes, source: Scale | None = None, target: Scale | None = None) -> Rows:
    """`{"annotations": [{"image_id": "a.mp4", "ann_type": "score", "score": "3.5"}, ...]}`; scores are strings.

    source, target: where that file has the scores on another scale than the data set's authors.
    """
    content = read_json(path)
    if not isinstance(content, dict) or "annotations" not in content:
        raise DatasetError(f'{path}: expected {{"annotations": [...]}}')
    for where, row in read_objects(path, notes, content["annotations"], {"name": "image_id", "mos": "score"}):
        if source is None:
            yield where, row
            continue
        try:
            yield where, {**row, "mos": rescale(parse_mos(row["mos"], source), source, target)}
        except DatasetError as error:
            notes.refuse(f"{where}: {error}")


def score_list(path: Path, notes: Notes) -> Rows:
    """`name, duration or -1, frame rate or -1, score`, one clip a line; the name may have commas."""
    return read_lines(path, notes, _score_line, "name, -1, -1, score")


def _score_line(line: str) -> dict | None:
    parts = line.rsplit(",", 3)
    return {"name": parts[0].strip(), "mos": parts[3].strip()} if len(parts) == 4 else None


# For the sets whose authors' score file could not be looked at: the user names it.
NAMED_FILE = {
    "annotations": "the score file below the root, .csv or .xlsx, where it is none of the known",
    "name_column": "its column of names; without it the file has no header, and two columns: name, score",
    "score_column": "its column of scores",
}


def named_file(annotations: str, name_column: str | None, score_column: str | None) -> list[list[AnnotationFile]]:
    """The one form of a score file that the user names (see NAMED_FILE)."""
    if (name_column is None) != (score_column is None):
        raise DatasetError("name_column and score_column go together")
    if name_column is None:
        rows = partial(read_headless, columns=("name", "mos"))
    else:
        rows = partial(read_table, columns={"name": name_column, "mos": score_column})
    return [[AnnotationFile(annotations, rows)]]
