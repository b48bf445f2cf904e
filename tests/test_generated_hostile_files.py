"""Whatever stands in a file of generated video or understanding, a reader gives records or one DatasetError."""

import pyarrow
import pytest
from generated_forms import FORM, FORMS, IDS, PROMPT, check, read
from hypothesis import assume, given
from hypothesis import strategies as st
from nasty import hostile, hostile_cells, hostile_values

from vqa_lib.datasets import DATASETS, DatasetError
from vqa_lib.datasets.annotations import Notes
from vqa_lib.datasets.downloads import clip_files, clip_name
from vqa_lib.datasets.loading import missing_files, read_dataset

SPECIAL = [
    *("_cat_", "a_cat_b.mp4", "https://", "https://x/", "https://x/..", "https://x/a?b", "tie"),
    *("yes", "Yes", "A", "Compare", "open_ended", "A:[a], B:[b]", "/etc/passwd", "C:\\x"),
]
cell = hostile_cells(SPECIAL)
value = hostile_values(cell)


def read_both_ways(root, name: str) -> None:
    """Read going on after refused rows, and not: the same records, or an error."""
    notes = Notes(keep_going=True)
    try:
        records = read_dataset(name, root, notes)
    except DatasetError as error:
        records = None
        assert str(root) in str(error)  # it names the file
    else:
        check(root, records)
        assert all(line.startswith(str(root)) for line in notes.refused)
        missing_files(records)  # asks the file system for whatever the rows name
    try:
        strict = read_dataset(name, root, Notes())
    except DatasetError as error:
        assert str(root) in str(error)
        assert records is None or str(error) == notes.refused[0]
    else:
        assert strict == records


class TestAllReaders:
    @pytest.mark.parametrize("identifier", IDS)
    def test_a_good_row_is_read(self, tmp_path, identifier):
        name, write_rows, good, file = FORM[identifier]
        write_rows(tmp_path, [good])
        notes = Notes()
        records = read_dataset(name, tmp_path, notes)
        assert records
        assert tmp_path / file in notes.files
        check(tmp_path, records)
        for record in records:
            assert record.dataset == name
            assert record.split in DATASETS[name].counts
            if hasattr(record, "prompt") and name not in ("finevd", "finevd_questions", "q_bench_video"):
                assert record.prompt == PROMPT
            assert DATASETS[name].group(record)

    @pytest.mark.parametrize("name", sorted({form[0] for form in FORMS}))
    def test_an_empty_folder_says_what_is_expected(self, tmp_path, name):
        with pytest.raises(DatasetError, match=r"missing|expected|none of"):
            read(name, tmp_path)

    @pytest.mark.parametrize("identifier", IDS)
    def test_an_annotation_file_that_is_a_link_out(self, tmp_path, identifier):
        name, write_rows, good, file = FORM[identifier]
        write_rows(tmp_path / "other", [good])
        write_rows(tmp_path / "root", [good])
        (tmp_path / "root" / file).unlink()
        (tmp_path / "root" / file).symlink_to(tmp_path / "other" / file)
        with pytest.raises(DatasetError, match="is a link that leaves the data set's folder"):
            read(name, tmp_path / "root")

    @pytest.mark.parametrize("identifier", IDS)
    @hostile
    @given(data=st.data())
    def test_any_value_gives_records_or_a_dataset_error(self, tmp_path, identifier, data):
        name, write_rows, good, _ = FORM[identifier]
        row = dict(good)
        for key in data.draw(st.lists(st.sampled_from(sorted(good)), min_size=1, max_size=3, unique=True)):
            row[key] = data.draw(value)
        if data.draw(st.booleans()):
            row.pop(data.draw(st.sampled_from(sorted(row))))
        assume(row)
        try:
            write_rows(tmp_path, [row])
        except (pyarrow.ArrowException, OverflowError, ValueError, TypeError, KeyError):
            return  # a form that cannot hold such a value
        except Exception as error:  # what openpyxl says of characters that a spreadsheet cannot hold
            assert type(error).__module__.startswith("openpyxl")
            return
        read_both_ways(tmp_path, name)

    @pytest.mark.parametrize("identifier", IDS)
    @hostile
    @given(data=st.data())
    def test_any_damage_gives_records_or_a_dataset_error(self, tmp_path, identifier, data):
        name, write_rows, good, file = FORM[identifier]
        write_rows(tmp_path, [good, {**good, next(iter(good)): "b.mp4"}])
        content = bytearray((tmp_path / file).read_bytes())
        if data.draw(st.booleans()):
            del content[data.draw(st.integers(0, len(content) - 1)) :]
        else:
            for _ in range(data.draw(st.integers(1, 4))):
                content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        (tmp_path / file).write_bytes(content)
        read_both_ways(tmp_path, name)

    @pytest.mark.parametrize("identifier", IDS)
    @pytest.mark.parametrize(
        "content", [b"", b"\x00" * 40, b"[]", b"{}", b"null", b"PAR1PAR1", b"\xff\xfe\x00", b"PK\x03\x04"]
    )
    def test_another_content_gives_records_or_a_dataset_error(self, tmp_path, identifier, content):
        name, write_rows, good, file = FORM[identifier]
        write_rows(tmp_path, [good])
        (tmp_path / file).write_bytes(content)
        read_both_ways(tmp_path, name)


@given(st.one_of(st.text(max_size=12), cell, st.integers(), st.none()))
def test_names_of_clips_stay_inside(text):
    try:
        name = clip_name(text)
    except DatasetError:
        return
    assert not name.startswith("/")
    assert ".." not in name.split("/")
    assert clip_files(name, ["videos", "."])[0] == f"videos/{name}"
