"""The command line: what it prints, and that a slip of the user is one line and a non-zero exit."""

import csv
import json
import shutil
import subprocess
import sys

import pytest
from test_params import write_notebook
from typer.testing import CliRunner

from vqa_lib import cli, score_files
from vqa_lib.miniature import MINIATURES, QUICKSTART
from vqa_lib.video import VideoError

CELL = 'profile: str = "tiny"  # size\nseed: int = 0  # of all that is random\nlimit: int | None = None'


def vqa(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def failed_with_one_line(result):
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def read_csv(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("VQA_PROJECT", str(tmp_path))
    monkeypatch.setenv("VQA_RESULTS", str(tmp_path / "results"))
    write_notebook(tmp_path / "notebooks" / "book.ipynb", CELL)
    return tmp_path


@pytest.fixture(scope="module")
def folder(tmp_path_factory, miniature):
    """Three videos, one in a subfolder, beside things that are none."""
    folder = tmp_path_factory.mktemp("videos")
    (folder / "sub").mkdir()
    sources = sorted((miniature / "konvid").rglob("*.mp4"))
    for source, name in zip(sources, ("b.mp4", "a.MP4", "sub/c.mp4"), strict=False):
        shutil.copy(source, folder / name)
    (folder / "notes.txt").write_text("no video")
    (folder / "._b.mp4").write_text("what macOS leaves")
    shutil.copy(next((miniature / "koniq").rglob("*.jpg")), folder / "still.JPG")
    return folder


def test_help_is_fast():
    code = "import sys, vqa_lib.cli; print({'torch', 'av', 'pandas', 'transformers'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
    result = vqa("--help")
    assert all(command in result.stdout for command in ("run", "params", "data", "check-data", "miniature", "score"))


def test_run_prints_what_it_found(project, monkeypatch):
    done = project / "results" / "book"
    for name in ("tables/scores.md", "figures/curve.png", "params.json", "checkpoints/README.md"):
        (done / name).parent.mkdir(parents=True, exist_ok=True)
        (done / name).write_text("")
    calls = []
    monkeypatch.setattr("vqa_lib.run_notebook.run_notebook", lambda *arguments: calls.append(arguments) or done)
    file = project / "mine.yaml"
    file.write_text("limit: 3")
    result = vqa("run", "book", "-p", "seed=1", "-p", "limit=null", "-f", file, "--force")
    assert calls == [("book", "tiny", ["seed=1", "limit=null"], [file], True)]
    assert result.stdout.splitlines() == [
        f"run folder: {done}",
        f"notebook: {done / 'executed.ipynb'}",
        "tables:",
        f"  {done / 'tables' / 'scores.md'}",
        "figures:",
        f"  {done / 'figures' / 'curve.png'}",
    ]


def test_failed_run_is_one_line(project, monkeypatch):
    from vqa_lib.results import RunError

    def fail(*arguments):
        raise RunError("book: the kernel\nwas killed")

    monkeypatch.setattr("vqa_lib.run_notebook.run_notebook", fail)
    assert failed_with_one_line(vqa("run", "book")) == "error: book: the kernel was killed\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "bok"], "no notebook 'bok'; the notebooks are: book"),
        (["run", "book", "-p", "sed=1"], "unknown parameter 'sed'; did you mean seed?"),
        (["run", "book", "--profile", "big"], "unknown profile 'big'"),
        (["run", "book", "-f", "missing.yaml"], "missing.yaml: not a readable params file"),
        (["params", "book", "-p", "seed=x"], "seed: expected int, found 'x'"),
        (["score", "missing.mp4", "--model", "m"], "missing.mp4: no such file or folder"),
        (["score", ".", "--model", "m", "--prompt", "none"], "unknown prompt 'none'; the prompts are: vq_insight/"),
        (
            ["score", ".", "--model", "m", "--prompt", "finger"],
            "no prompt for one score: 'finger'; the prompts are: vq_",
        ),
    ],
)
def test_slips(project, arguments, message):
    assert message in failed_with_one_line(vqa(*arguments))


def test_bugs_keep_their_traceback(project, monkeypatch):
    monkeypatch.setattr("vqa_lib.params.resolve_params", lambda *arguments: {}["bug"])
    assert isinstance(vqa("params", "book").exception, KeyError)


def test_params_table(project):
    result = vqa("params", "book", "-p", "seed=12")
    assert result.exit_code == 0
    assert [line.split(None, 3) for line in result.stdout.splitlines()] == [
        ["name", "type", "value", "help"],
        ["profile", "str", "tiny", "size"],
        ["seed", "int", "12", "of all that is random"],
        ["limit", "int", "|", "None  null"],
    ]


def test_miniature(tmp_path, monkeypatch):
    facts = {"datasets": {"koniq": {"counts": {"training": 4, "test": 5}, "digest": "abc"}}}
    monkeypatch.setattr("vqa_lib.miniature.write_miniature", lambda *arguments, names: facts)
    assert vqa("miniature", tmp_path / "new").stdout == "koniq: training 4, test 5; sha256 abc\n"
    monkeypatch.undo()
    (tmp_path / "thesis.doc").write_text("")
    assert "not empty and not a miniature" in failed_with_one_line(vqa("miniature", tmp_path))
    assert vqa("miniature", tmp_path, "--scale", "0").exit_code == 2
    assert vqa("miniature", tmp_path, "imagenet").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "names"),
    [([], QUICKSTART), (["vdpve", "cgvds"], ["vdpve", "cgvds"]), (["--all"], list(MINIATURES))],
)
def test_miniatures_are_chosen(tmp_path, monkeypatch, arguments, names):
    chosen = []
    monkeypatch.setattr("vqa_lib.miniature.write_miniature", lambda *_, names: chosen.append(names) or {"datasets": {}})
    assert vqa("miniature", tmp_path, *arguments).exit_code == 0
    assert chosen == [names]


def test_score_one_video(folder, tiny_folder, tmp_path):
    out = tmp_path / "one.csv"
    result = vqa("score", folder / "b.mp4", "--model", tiny_folder, "--max-completion", 4, "--out", out)
    assert result.exit_code == 0, result.output
    assert "score: none could be read from the response" in result.stdout  # the tiny model's weights are random
    assert "response: " in result.stdout
    assert [row["path"] for row in read_csv(out)] == [str(folder / "b.mp4")]


def test_score_folder(folder, tiny_folder, tmp_path, monkeypatch):
    answers = iter(['<think> a\n"b" </think> <answer> 40 </answer>', "<answer>60</answer>", "no answer"])
    monkeypatch.setattr(
        score_files, "respond", lambda model, processor, prompts, limit: [[next(answers)] for _ in prompts]
    )
    out = tmp_path / "scores.csv"
    result = vqa("score", folder, "--model", tiny_folder, "--out", out, "--frames", 4, "--max-pixels", 2000)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"n 3, unparsed 1, mean 50.00\nscores: {out}\n"
    rows = read_csv(out)
    assert [row["path"] for row in rows] == [str(folder / name) for name in ("a.MP4", "b.mp4", "sub/c.mp4")]
    assert [row["score"] for row in rows] == ["40.0", "60.0", ""]
    assert [row["reasoning"] for row in rows] == ['a\n"b"', "", ""]
    assert rows[2]["response"] == "no answer"


def test_responses_do_not_depend_on_the_batch(folder, tiny):
    files = score_files.find_files(folder, "video")
    policy = score_files.FramePolicy(count=4)
    rows = {
        size: list(score_files.score_files(*tiny, files, "vq_insight/natural", policy, 8, batch_size=size))
        for size in (1, 2)
    }
    assert rows[1] == rows[2]
    assert len(rows[1]) == 3


def test_score_images(folder, tiny_folder, tmp_path):
    out = tmp_path / "scores.csv"
    arguments = ["--model", tiny_folder, "--prompt", "vq_insight/image", "--max-completion", 2, "--out", out]
    result = vqa("score", folder, *arguments)
    assert result.exit_code == 0, result.output
    assert "still.JPG" in out.read_text(encoding="utf-8")
    assert "looks like a video, but the prompt asks about an image" in vqa("score", folder / "b.mp4", *arguments).stderr


def test_text_called_mp4(tmp_path, tiny_folder):
    path = tmp_path / "clip.mp4"
    path.write_text("no video at all")
    message = failed_with_one_line(vqa("score", path, "--model", tiny_folder))
    assert f"{path}: not a video that can be read" in message


def test_unreadable_files_of_a_folder_are_all_named_first(folder, tiny_folder, tmp_path):
    shutil.copytree(folder, tmp_path / "in")
    for name in ("x.mp4", "y.webm"):
        (tmp_path / "in" / name).write_text("no video")
    out = tmp_path / "scores.csv"
    arguments = ["score", tmp_path / "in", "--model", tiny_folder, "--max-completion", 2, "--out", out]
    result = vqa(*arguments)
    assert result.exit_code == 1
    assert f"unreadable: {tmp_path / 'in' / 'x.mp4'}: not a video" in result.stderr
    assert f"unreadable: {tmp_path / 'in' / 'y.webm'}: not a video" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: 2 of 5 files cannot be read")
    assert not out.exists()
    result = vqa(*arguments, "--skip-unreadable")
    assert result.exit_code == 0, result.output
    assert "n 3, unparsed 3, mean none" in result.stdout
    assert "unreadable: " in result.stderr


def test_file_that_breaks_off_in_the_middle(folder, tiny, monkeypatch):
    files = score_files.find_files(folder, "video")
    read = score_files.read_frames

    def break_off(path, kind, policy):
        if path == files[1]:
            raise VideoError(path, "decoding stopped")
        return read(path, kind, policy)

    monkeypatch.setattr(score_files, "read_frames", break_off)
    arguments = (*tiny, files, "vq_insight/natural", score_files.FramePolicy(count=2), 2, 1)
    failures = []
    rows = list(score_files.score_files(*arguments, failures=failures))
    assert [row["path"] for row in rows] == [str(files[0]), str(files[2])]
    assert [error.path for error in failures] == [files[1]]
    with pytest.raises(VideoError, match="decoding stopped"):
        list(score_files.score_files(*arguments))


def test_bad_models_and_outputs(folder, tiny_folder, tmp_path):
    video = folder / "b.mp4"
    (tmp_path / "empty").mkdir()
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "config.json").write_text(json.dumps({"model_type": "none"}))
    for arguments, message in (
        (["--model", tmp_path / "empty"], "expected a model folder"),
        (["--model", tmp_path / "missing"], "no such model folder"),
        (["--model", "nobody/nothing"], "nobody/nothing: cannot be loaded as a model"),
        (["--model", tmp_path / "odd"], "odd: cannot be loaded as a model with its processor"),
        (["--model", tiny_folder, "--dtype", "int4"], "dtype must be one of"),
        (["--model", tiny_folder, "--out", tmp_path], "expected a file, not a folder"),
        (["--model", tiny_folder, "--out", tmp_path / "no" / "scores.csv"], "expected a file in a folder that exists"),
    ):
        assert message in failed_with_one_line(vqa("score", video, *arguments))
