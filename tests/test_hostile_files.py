"""Whatever stands in an annotation file, a reader gives records or one DatasetError, never another exception."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nasty import hostile, hostile_cells, hostile_values
from published_forms import FORMS, write_files

from vqa_lib.datasets import DatasetError
from vqa_lib.datasets.annotations import Notes
from vqa_lib.datasets.loading import missing_files, read_dataset
from vqa_lib.records import ScoredClip

IDS = [f"{name}-{next(iter(files)).rpartition('/')[2]}" for name, _, files, _ in FORMS]
cell = hostile_cells(["_crf_10_ss_00_t_20.0", "HEVC_1_540p_1"])
value = hostile_values(cell)


def read_both_ways(root, name: str, options: dict) -> None:
    """Read going on after refused rows, and not: the same records, or an error."""
    notes = Notes(keep_going=True)
    try:
        records = read_dataset(name, root, notes, **options)
    except DatasetError:
        records = None
    try:
        strict = read_dataset(name, root, Notes(), **options)
    except DatasetError:
        assert records is None or notes.refused
    else:
        assert strict == records
        assert notes.refused == []
    for record in records or []:
        assert record.name
        for path in record.paths:
            assert root in path.parents
            assert ".." not in path.parts
        if isinstance(record, ScoredClip):
            assert all(math.isfinite(score) for score in record.scores.values())
    if records:
        assert len({record.name for record in records}) == len(records)
        missing_files(records)
        "\n".join(notes.refused).encode("utf-8", "backslashreplace")


def spoil_text(data, text: str) -> str:
    """A few cells, characters or lines of the text are replaced, repeated or cut."""
    for _ in range(data.draw(st.integers(1, 3))):
        lines = text.split("\n")
        number = data.draw(st.integers(0, len(lines) - 1))
        kind = data.draw(st.sampled_from(["cell", "line", "repeat", "character", "cut"]))
        if kind == "cell":
            cells = lines[number].split(",")
            cells[data.draw(st.integers(0, len(cells) - 1))] = data.draw(cell)
            lines[number] = ",".join(cells)
        elif kind == "line":
            lines[number] = ",".join(data.draw(st.lists(cell, max_size=5)))
        elif kind == "repeat":
            lines.insert(number, lines[number])
        text = "\n".join(lines)
        if text and kind == "character":
            position = data.draw(st.integers(0, len(text) - 1))
            text = text[:position] + data.draw(st.characters()) + text[position + 1 :]
        elif kind == "cut":
            text = text[: data.draw(st.integers(0, len(text)))]
    return text


def spoil_json(data, content):
    """One value, somewhere inside, is replaced."""
    if isinstance(content, dict | list) and content and data.draw(st.integers(0, 4)):
        keys = list(content) if isinstance(content, dict) else range(len(content))
        key = data.draw(st.sampled_from(list(keys)))
        if data.draw(st.integers(0, 5)) == 0:
            del content[key]
        else:
            content[key] = spoil_json(data, content[key])
        return content
    return data.draw(value)


def spoil_bytes(data, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 5))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    return bytes(changed[: data.draw(st.integers(0, len(changed)))] if data.draw(st.booleans()) else changed)


@pytest.mark.parametrize("number", range(len(FORMS)), ids=IDS)
@hostile
@given(data=st.data())
def test_spoiled_files(tmp_path, number, data):
    name, options, files, _ = FORMS[number]
    write_files(tmp_path, files)
    victim = data.draw(st.sampled_from(sorted(files)))
    content = (tmp_path / victim).read_bytes()
    try:
        text = content.decode()
    except UnicodeDecodeError:  # a spreadsheet or a MATLAB file
        write_files(tmp_path, {victim: spoil_bytes(data, content)})
    else:
        if victim.endswith(".json") and data.draw(st.booleans()):
            text = json.dumps(spoil_json(data, json.loads(text)))
        elif victim.endswith(".jsonl") and data.draw(st.booleans()):
            text = "\n".join(json.dumps(spoil_json(data, json.loads(line))) for line in text.splitlines())
        else:
            text = spoil_text(data, text)
        write_files(tmp_path, {victim: text})
    read_both_ways(tmp_path, name, options)


@hostile
@given(
    rows=st.lists(st.lists(st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | cell, max_size=4), max_size=5)
)
def test_cells_of_spreadsheets(tmp_path, rows):
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    clean = [
        [
            None if isinstance(cell, str) and (ILLEGAL_CHARACTERS_RE.search(cell) or "\ud800" in cell) else cell
            for cell in row
        ]
        for row in rows
    ]
    write_files(tmp_path, {"MOS_for_YouTube_UGC_dataset.xlsx": {"MOS": [["vid", "MOS full"], *clean]}})
    read_both_ways(tmp_path, "youtube_ugc", {})


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"annotations": ' + "[" * 100_000,
        '{"annotations": [1' + "0" * 5000 + "]}",
        "NaN",
        "{}",
        '""',
        "\ufeff",
    ],
    ids=range(7),
)
def test_json_that_is_hard_on_parsers(tmp_path, text):
    write_files(tmp_path, {"scores.json": text})
    with pytest.raises(DatasetError, match=r"scores\.json"):
        read_dataset("vqathinker", tmp_path, Notes())


def test_an_annotation_file_that_is_a_folder(tmp_path):
    (tmp_path / "clips.csv").mkdir()
    with pytest.raises(DatasetError, match=r"clips\.csv: missing"):
        read_dataset("csv", tmp_path, Notes())


def test_a_cell_larger_than_csv_allows(tmp_path):
    write_files(tmp_path, {"clips.csv": f'path,mos\n"{"a" * 200_000}",3\n'})
    with pytest.raises(DatasetError, match=r"clips\.csv: not a readable CSV \(field larger than field limit"):
        read_dataset("csv", tmp_path, Notes())


@pytest.mark.parametrize(
    ("name", "file", "text"),
    [
        ("csv", "clips.csv", "path,mos\na.mp4," + "1" * 100_000 + "x\n"),
        ("csv", "clips.csv", "path,mos\na.mp4," + "1" * 100_000 + ".\n"),
        ("score_list", "labels.txt", "a" + " " * 300_000 + "b\n"),
        ("score_list", "labels.txt", "a," * 300_000 + "b\n"),
        ("vdpve", "train.txt", "a" + " ," * 300_000 + "b\n"),
        ("waterloo_4k", "scores.txt", "H" * 100_000 + ",1,540p,1,3\n"),
    ],
    ids=range(6),
)
def test_lines_that_are_hard_on_patterns(tmp_path, name, file, text):
    write_files(tmp_path, {file: text})  # a pattern that tries every cut would take hours
    with pytest.raises(DatasetError, match=r"line [12]: "):
        read_dataset(name, tmp_path, Notes())
