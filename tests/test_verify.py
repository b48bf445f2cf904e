"""`vqa verify`: a table made once more is the recorded one, or it is said where it is not."""

import json
import math

import pytest
from test_workflow import CELL, project, write_stage  # noqa: F401  # a fixture

from vqa_lib.make_tables import make_tables
from vqa_lib.results import RunError
from vqa_lib.verify import cell_difference, verify_table

TABLE = """import pandas as pd
from vqa_lib import tables
table = pd.DataFrame({"method": ["ours"], "SRCC": ["VALUE [0.4, 0.6], n = 9"]})
tables.save_table(run, "table1", table, "A table.")"""


@pytest.mark.parametrize(
    ("one", "other", "difference"),
    [
        ("a", "a", 0.0),
        ("0.5", "0.5", 0.0),
        ("0.50 [0.4, 0.6]", "0.52 [0.4, 0.6]", 0.02),
        ("200", "202", 0.01),  # a share of what is larger than 1
        ("-0.1", "0.1", 0.2),
        ("0.5", "undefined", math.inf),
        ("ours, seed 0", "theirs, seed 0", math.inf),
        ("1e-3", "0.001", 0.0),
    ],
)
def test_cells(one, other, difference):
    assert cell_difference(one, other) == pytest.approx(difference)


def test_made_once_more_it_is_compared_cell_by_cell(project, tmp_path):  # noqa: F811
    write_stage(project, "stage_two", f"{CELL}\nbonus: bool = True")
    write_stage(project, "table1", f"{CELL}\nseeds: list[int] = [0]", TABLE.replace("VALUE", "0.50"))
    (made,) = make_tables(["paper"], "tiny", [0], cores=1)
    same = verify_table("paper/table1", 0.0, tmp_path / "again", cores=1)
    assert (same.cells, same.largest, same.differing) == (4, 0.0, [])

    write_stage(project, "table1", f"{CELL}\nseeds: list[int] = [0]", TABLE.replace("VALUE", "0.53"))
    for folder, digest in ((made.path, "a"), (tmp_path / "other" / made.path.relative_to(project / "results"), "b")):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "provenance.json").write_text(json.dumps({"data": {"data/x.csv": digest}}))
    other = verify_table("paper/table1", 0.01, tmp_path / "other", cores=1)
    assert other.largest == pytest.approx(0.03) and other.data == 1
    assert other.differing == [
        "table1: other data: data/x.csv",
        "table1.csv, row 2, column 2: '0.50 [0.4, 0.6], n = 9' was '0.53 [0.4, 0.6], n = 9' this time",
    ]


def test_there_must_be_something_to_compare_with(project, tmp_path):  # noqa: F811
    with pytest.raises(RunError, match="no run of the profile tiny to compare with"):
        verify_table("paper/table1", 0.0, tmp_path / "again")
