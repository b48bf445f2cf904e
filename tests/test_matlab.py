"""Our MATLAB reader against scipy's writer, and against damaged files on which scipy's reader crashes the process."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from vqa_lib.datasets.annotations import DatasetError
from vqa_lib.datasets.matlab import read_mat

names = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00", max_codepoint=0xFFFF), min_size=1)
numbers = st.floats(allow_nan=False, allow_infinity=True)


def column(values: list) -> np.ndarray:
    return np.array([[value] for value in values] + [[None]], dtype=object)[:-1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("mat")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(names, numbers), min_size=1, max_size=9), st.booleans())
def test_what_scipy_writes(folder, rows, compressed):
    path = folder / "data.mat"
    scores = np.array([[score] for _, score in rows])
    others = {"index": np.arange(12).reshape(3, 4), "title": "other variables are left alone"}
    names = column([name for name, _ in rows])
    savemat(path, {**others, "video_list": names, "mos": scores}, do_compression=compressed)
    found = read_mat(path, ["video_list", "mos"])
    assert found == {"video_list": [name for name, _ in rows], "mos": [score for _, score in rows]}


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "int64", "float32", "float64"])
def test_every_type_of_number(tmp_path, dtype):
    savemat(tmp_path / "data.mat", {"mos": np.array([[3], [100]], dtype)})
    assert read_mat(tmp_path / "data.mat", ["mos"]) == {"mos": [3.0, 100.0]}


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "compressed"])
def good(request, folder):
    path = folder / f"good{request.param}.mat"
    savemat(path, {"video_list": column(["A001.mp4", "A002.mp4"]), "mos": [[1.5], [2.5]]}, do_compression=request.param)
    return path.read_bytes()


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_is_one_error_or_does_no_harm(folder, good, data):
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    path = folder / "damaged.mat"
    path.write_bytes(damaged[: data.draw(st.integers(0, len(good)))] if data.draw(st.booleans()) else damaged)
    try:
        found = read_mat(path, ["video_list", "mos"])
    except DatasetError as error:
        assert str(error).startswith(f"{path}: expected MATLAB variables video_list and mos, both n x 1")
        return
    assert all(isinstance(value, str | float) for values in found.values() for value in values)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a MATLAB 5 file"),
        (b"x" * 500, "not a MATLAB 5 file"),
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM", "a file of MATLAB 7.3; save it with -v7"),
        (b"\x89HDF\r\n\x1a\n" + b"0" * 200, "a file of MATLAB 7.3"),
        (b" " * 124 + b"\x00\x01IM", r"\['mos'\] missing"),
        (b" " * 124 + b"\x00\x01IM" + b"\x0e\x00\x00\x00\xff\xff\xff\xff", "cut short"),
    ],
)
def test_other_files(tmp_path, data, message):
    (tmp_path / "data.mat").write_bytes(data)
    with pytest.raises(DatasetError, match=message):
        read_mat(tmp_path / "data.mat", ["mos"])


def test_a_variable_that_unpacks_to_gigabytes(tmp_path, monkeypatch):
    monkeypatch.setattr("vqa_lib.datasets.matlab._UNPACKED_LIMIT", 10_000)
    savemat(tmp_path / "data.mat", {"mos": np.zeros((100_000, 1))}, do_compression=True)
    with pytest.raises(DatasetError, match="unpacks to more than 10,000 bytes"):
        read_mat(tmp_path / "data.mat", ["mos"])
