"""`vqa metrics`: anyone's predictions judged from a CSV, and one clear error where the CSV is at fault."""

import json

import pytest
from typer.testing import CliRunner

from vqa_lib import cli
from vqa_lib.metrics import pair_metrics, score_metrics

SCORES = "prediction,mos\n1,10\n2,20\n3,40\n4,30\n5,50\n6,60\n7,65\n"
PAIRS = "margin,label\n3.0,A\n-0.5,tie\n0.2,tie\n2.0,B\n"


@pytest.fixture
def write(tmp_path):
    def write(text, name="mine.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def vqa(*arguments):
    return CliRunner().invoke(cli.app, ["metrics", *(str(argument) for argument in arguments)])


def test_scores_are_those_of_the_library(write):
    found = json.loads(vqa("scores", write(SCORES), "--resamples", 50).stdout)
    assert list(found) == [
        "n", "unparsed", "srcc", "krcc", "plcc", "plcc_4pl", "plcc_5pl", "rmse_4pl", "rmse_5pl",
    ]  # fmt: skip
    expected = score_metrics([1, 2, 3, 4, 5, 6, 7], [10, 20, 40, 30, 50, 60, 65], resamples=50)
    assert (found["n"], found["unparsed"]) == (7, 0)
    for name, metric in expected.items():
        assert found[name] == {"value": metric.value, "low": metric.low, "high": metric.high, "reason": None}


def test_data_sets_and_their_overall(write):
    rows = "dataset,mos,prediction\n" + "".join(
        f"{name},{mos},{score}\n" for name in ("a", "b") for mos, score in ((1, 2), (2, 1), (3, 3), (4, ""))
    )
    found = json.loads(vqa("scores", write(rows), "--resamples", 20).stdout)
    assert list(found) == ["datasets", "overall"]
    assert list(found["datasets"]) == ["a", "b"]
    assert (found["datasets"]["a"]["n"], found["datasets"]["a"]["unparsed"]) == (3, 1)
    assert found["datasets"]["a"]["srcc"]["value"] == found["overall"]["srcc"]["value"] == 0.5
    assert (found["overall"]["n"], found["overall"]["unparsed"]) == (6, 2)
    undefined = found["datasets"]["a"]["plcc_4pl"]
    assert undefined == {"value": None, "low": None, "high": None, "reason": "needs at least 5 rows, got 3"}
    assert "a: needs at least 5 rows" in found["overall"]["plcc_4pl"]["reason"]


def test_pairs_are_those_of_the_library(write):
    found = json.loads(vqa("pairs", write(PAIRS + ",A\nnan,B\n"), "--resamples", 50, "--seed", 3).stdout)
    assert list(found) == ["n", "unparsed", "tau", "tau_threshold", "diff", "tie_share", "model_tie_share"]
    expected = pair_metrics([3.0, -0.5, 0.2, 2.0], ["A", "tie", "tie", "B"], seed=3, resamples=50)
    assert (found["n"], found["unparsed"]) == (4, 2)
    for name, metric in expected.items():
        assert found[name] == {"value": metric.value, "low": metric.low, "high": metric.high, "reason": None}


def test_what_a_spreadsheet_writes_is_read(write):
    plain = vqa("scores", write(SCORES), "--resamples", 5).stdout
    for text in (
        b"\xef\xbb\xbf" + SCORES.encode(),  # byte order mark
        SCORES.replace("\n", "\r\n"),
        SCORES.replace(",", " , "),
        SCORES.replace("prediction,mos", "prediction,mos,note").replace("0\n", "0,x\n").replace("5\n", "5,\n"),
    ):
        assert vqa("scores", write(text), "--resamples", 5).stdout == plain


@pytest.mark.parametrize(
    ("command", "text", "message"),
    [
        ("scores", "prediction,mos\n1,2\ngood,3\n", "mine.csv, row 3, field prediction: 'good': expected a number"),
        ("scores", "prediction,mos\n1,\n", "mine.csv, row 2, field mos: '': expected a number"),
        ("scores", "prediction,mos\n1,inf\n", "row 2, field mos: 'inf': expected a finite number"),
        ("scores", "prediction,mos\n1\n", "row 2, field mos: None: the row ends before it"),
        ("scores", "prediction,mos,dataset\n1,2,\n", "row 2, field dataset: '': expected a name"),
        ("scores", "score,mos\n1,2\n", "row 1: no column prediction; the columns are ['score', 'mos']"),
        ("scores", "", "row 1: no column prediction or mos; the columns are []"),
        ("scores", "prediction,mos\n", "mine.csv: no rows below the header"),
        ("scores", b"prediction,mos\n1,\xff\n", "mine.csv: not a CSV in UTF-8"),
        ("pairs", "margin,label\n1,a\n", "row 2, field label: 'a': expected one of A, B, tie"),
        ("pairs", "margin,label\nx,A\n", "row 2, field margin: 'x': expected a number"),
        ("pairs", SCORES, "row 1: no column margin or label"),
    ],
)
def test_one_clear_error(write, command, text, message):
    result = vqa(command, write(text))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert message in result.stderr


def test_missing_file(tmp_path):
    result = vqa("pairs", tmp_path / "none.csv")
    assert result.exit_code == 1
    assert "none.csv" in result.stderr
