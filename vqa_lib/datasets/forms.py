"""The forms in which others publish scores of many sets: VQAThinker's JSON, the text lists of DOVER and FAST-VQA."""

from pathlib import Path

from vqa_lib.datasets.annotations import DatasetError, Notes, Rows, parse_mos
from vqa_lib.datasets.tables import read_json, read_lines, read_objects
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
    pattern = r"(?P<name>.+?)\s*,\s*[^,]*,\s*[^,]*,\s*(?P<mos>[^,]*)"
    return read_lines(path, notes, pattern, "name, -1, -1, score")
