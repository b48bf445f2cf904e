"""What people look at: the viewer of predictions, and the view of a training while it goes on."""

import json
import math
import re
import shutil
import subprocess
import time
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from vqa_lib.cli import app
from vqa_lib.datasets import load_clips, load_pairs, load_questions
from vqa_lib.predictions import PredictionsError, answer_row
from vqa_lib.training.common import SampleFile, read_log
from vqa_lib.video import FramePolicy
from vqa_lib.viewing import training
from vqa_lib.viewing.page import STRIP_HEIGHT, framed, render, strip
from vqa_lib.viewing.predictions import view_predictions, viewed
from vqa_lib.viewing.training import curves, training_page, watch_training

IDENTITY = {"dataset": "lsvq", "split": "test", "name": "a"}
DIMENSIONS = {"target_a": 3.0, "prediction_a": 4.0, "target_b": 2.0, "prediction_b": 2.5}
HOSTILE = "</script><script>alert('x')</script> & \u2028 \"quoted\" 你好"


@pytest.mark.parametrize(
    ("row", "truth", "said", "error"),
    [
        ({"target": 3.0, "prediction": 4.25}, "3.00", "4.25", 1.25),
        ({"target": 3.0, "prediction": None}, "3.00", None, None),
        ({"prediction": 4.0}, None, "4.00", None),
        (DIMENSIONS, "a 3.00, b 2.00", "a 4.00, b 2.50", 0.75),
        (DIMENSIONS | {"prediction_b": None}, "a 3.00, b 2.00", "a 4.00", None),
        (DIMENSIONS | {"prediction_a": None, "prediction_b": None}, "a 3.00, b 2.00", None, None),
        ({"preference": "first", "answer": "first", "swapped_answer": "first"}, "first", "first", 0.0),
        ({"preference": "first", "answer": "first", "swapped_answer": "second"}, "first", "first and second", 0.5),
        ({"preference": "first", "answer": "first", "swapped_answer": None}, "first", "first and unreadable", 0.5),
        ({"preference": "first", "answer": None, "swapped_answer": None}, "first", None, None),
        ({"preference": "tie", "answer": "first", "swapped_answer": "first"}, "tie", "first", None),
        ({"true_answer": "B", "answer": "B"}, "B", "B", 0.0),
        ({"true_answer": "B", "answer": "C"}, "B", "C", 1.0),
        ({"true_answer": "B", "answer": None}, "B", None, None),
        ({"true_answer": None, "answer": "C"}, None, "C", None),
        ({"true_answer": "yes", "answer": "yes", "probability": 0.75}, "yes", "yes, P(Yes) 0.75", 0.25),
        ({"true_answer": "no", "answer": "yes", "probability": 0.75}, "no", "yes, P(Yes) 0.75", 0.75),
        ({"description": "It is blurred."}, None, "It is blurred.", None),
    ],
)
def test_what_a_line_of_predictions_says(row, truth, said, error):
    found = viewed(IDENTITY | {"response": "because"} | row)
    assert (found["truth"], found["said"], found["error"]) == (truth, said, error)
    assert found["set"] == "lsvq/test" and found["name"] == "a" and found["response"] == "because"


def test_what_is_no_prediction_is_named():
    with pytest.raises(PredictionsError, match=r"file, line 7: expected a prediction, .* found \['dataset'"):
        viewed(IDENTITY, "file, line 7")


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def data_of(page: str) -> dict:
    """What the page's script reads."""
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return json.loads(found)


def score_rows(clips):
    """Answers with errors 0, 1, 2, ... and an unreadable one."""
    rows = [
        {"dataset": clip.dataset, "split": clip.split, "name": clip.name, "target": 50.0, "prediction": 50.0 + number}
        for number, clip in enumerate(clips)
    ]
    rows[1]["prediction"] = None
    return [row | {"response": HOSTILE} for row in rows]


@pytest.fixture
def scores(miniature, tmp_path):
    """A run folder with predictions of six clips, whose parameters name the miniature's folder."""
    clips = load_clips("lsvq", miniature / "lsvq", "test", 6)
    run = tmp_path / "run"
    path = write_lines(run / "predictions" / "after.jsonl", score_rows(clips))
    (run / "params.json").write_text(json.dumps({"data": str(miniature), "frames": 4, "profile": "tiny"}))
    settings = {"policy": FramePolicy(count=3).as_dict()}
    path.with_suffix(".settings.json").write_text(json.dumps(settings))
    return path


def test_the_worst_answers_have_their_clips_as_the_model_saw_them(scores, frame_cache):
    data = data_of(view_predictions(scores, frame_cache, clips=3))
    with_clip = [row["name"] for row in data["rows"] if row["clips"][0] in data["clips"]]
    assert [row["error"] for row in data["rows"]] == [None, 5.0, 4.0, 3.0, 2.0, 0.0]  # first the unreadable one
    assert with_clip == [row["name"] for row in data["rows"][:3]]
    assert all(clip["count"] == 3 for clip in data["clips"].values())
    assert data["rows"][0]["response"] == HOSTILE
    assert "clips of 3 of them" in data["note"]


def test_all_clips_are_in_the_page_where_they_may(scores, frame_cache):
    data = data_of(view_predictions(scores, frame_cache))
    assert len(data["clips"]) == 6 and data["note"] == ""


def test_without_the_data_the_answers_can_still_be_read(scores, frame_cache, tmp_path):
    data = data_of(view_predictions(scores, frame_cache, tmp_path))
    assert data["clips"] == {} and len(data["rows"]) == 6
    assert data["rows"][0]["missing"] == "This page does not hold its clip: its data are not here"


def test_pairs_and_questions_show_both_clips_and_the_options(whole_world, frame_cache, tmp_path):
    (pair,) = load_pairs("visionreward_pairs", whole_world / "visionreward", "test", 1)
    questions = load_questions("q_bench_video", whole_world / "q_bench_video", "dev")
    question = next(each for each in questions if each.options)
    said = {
        "preference": pair.preference,
        "answer": "first",
        "swapped_answer": "second",
        "response": "A",
        "swapped": "",
    }
    rows = [{"dataset": pair.dataset, "split": pair.split, "name": pair.name, **said, "swapped_response": "B"}]
    rows.append(answer_row(question, "A", "<answer> A </answer>"))
    path = write_lines(tmp_path / "mixed.jsonl", rows)
    data = data_of(view_predictions(path, frame_cache, whole_world))
    asked, both = sorted(data["rows"], key=lambda row: row["set"])
    assert (len(both["clips"]), len(asked["clips"])) == (2, len(question.paths))
    assert both["response"] == "A\n\nIn the other order: B" and both["question"] == pair.prompt
    assert asked["question"].startswith(question.question) and f"B: {question.options[1]}" in asked["question"]
    assert set(both["clips"]) <= set(data["clips"])


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "found none"), ("", "found nothing in it"), ('{"dataset": \n{}\n', "line 1: not JSON")],
)
def test_a_file_that_holds_no_predictions_is_named(tmp_path, frame_cache, text, message):
    path = tmp_path / "after.jsonl"
    if text is not None:
        path.write_text(text)
    with pytest.raises(PredictionsError, match=rf"after\.jsonl.*{message}"):
        view_predictions(path, frame_cache)
    refused = CliRunner().invoke(app, ["view", str(path), "--out", str(tmp_path / "page.html")])
    assert refused.exit_code == 1 and message in refused.output and not (tmp_path / "page.html").exists()


def test_a_file_that_is_still_being_written_is_left_as_it_is(scores, frame_cache):
    with scores.open("a") as file:
        file.write('{"dataset": "ls')
    before = scores.read_bytes()
    assert len(data_of(view_predictions(scores, frame_cache))["rows"]) == 6
    assert scores.read_bytes() == before


def test_vqa_view_writes_the_page(scores, tmp_path, monkeypatch):
    monkeypatch.setenv("VQA_CACHE", str(tmp_path / "cache"))
    done = CliRunner().invoke(app, ["view", str(scores), "--out", str(tmp_path / "page.html"), "--clips", "2"])
    assert done.exit_code == 0, done.output
    assert len(data_of((tmp_path / "page.html").read_text(encoding="utf-8"))["clips"]) == 2


def test_pages_load_nothing_from_elsewhere(scores, frame_cache):
    page = view_predictions(scores, frame_cache)
    addresses = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", page)
    assert addresses == ["data:,"]  # no icon is asked for
    assert "http" not in page and "</script><script>alert" not in page


def test_a_strip_is_no_higher_than_it_needs_to_be(make_frames):
    small, large = strip(make_frames(4).pixels), strip(make_frames(4, height=480, width=640).pixels)
    assert (small["width"], small["height"], small["count"]) == (84, 56, 4)
    assert (large["width"], large["height"]) == (round(640 * STRIP_HEIGHT / 480), STRIP_HEIGHT)


# ---- training --------------------------------------------------------------------------------------------------------


def log_line(step):
    return {
        "step": step,
        "loss": 0.5,
        "reward": 1.0 + step,
        "rewards/format/mean": 1.0,
        "rewards/temporal/mean": math.nan,
    }


def write_training(folder, clip, steps):
    responses = [{"response": HOSTILE, "rewards": [1.0, None], "advantage": 0.5}]
    sample = {"name": "lsvq/a", "kind": "video", "clips": [str(clip.path)], "rewards": ["format", "temporal"]}
    write_lines(folder / "log.jsonl", [log_line(step) for step in range(1, steps + 1)])
    lines = [{"step": step, **sample, "responses": responses} for step in range(1, steps + 1)]
    write_lines(folder / "samples.jsonl", lines)


def test_undefined_components_are_left_out_of_the_curves():
    log = [log_line(1), log_line(2) | {"rewards/temporal/mean": 0.25}]
    found = {curve["name"]: curve["points"] for curve in curves(log)}
    assert found == {
        "format": [[1, 1.0], [2, 1.0]],
        "temporal": [[2, 0.25]],
        "reward": [[1, 2.0], [2, 3.0]],
        "loss": [[1, 0.5], [2, 0.5]],
    }


def test_a_training_is_shown_from_its_first_group_to_its_last(videos, frame_cache, tmp_path):
    write_training(tmp_path, videos[0], 40)
    data = data_of(training_page(tmp_path, FramePolicy(count=4), frame_cache))
    steps = [sample["step"] for sample in data["samples"]]
    assert steps[0] == 1 and steps[-1] == 40 and len(steps) == training.KEPT
    assert np.diff(steps).max() - np.diff(steps).min() <= 1
    assert data["clips"][str(videos[0].path)]["count"] == 4
    assert data["samples"][0]["responses"][0]["response"] == HOSTILE


def test_a_training_without_samples_or_steps_is_shown_too(tmp_path):
    assert "no step yet" in training_page(tmp_path)
    write_lines(tmp_path / "log.jsonl", [{"step": 1, "loss": 2.0}])
    data = data_of(training_page(tmp_path))
    assert [curve["name"] for curve in data["curves"]] == ["loss"] and data["samples"] == []


def test_a_response_with_odd_ends_of_lines_is_one_line_of_the_samples(tmp_path):
    """read_log ends lines where Unicode does; a response may hold such a letter, and training resumes from the file."""
    group = {"responses": [{"response": f"{HOSTILE} \x85 \x0c"}]}
    state = SimpleNamespace(is_world_process_zero=True, global_step=3)
    SampleFile(tmp_path / "samples.jsonl", lambda: group).on_log(None, state, None, {"loss": 1.0})
    assert read_log(tmp_path / "samples.jsonl") == [{"step": 3, **group}]


class Handle:
    """Where a notebook would show things."""

    def __init__(self):
        self.shown = []

    def update(self, content):
        self.shown.append(content.data)


@pytest.fixture
def handle(monkeypatch):
    made = Handle()
    monkeypatch.setattr(training, "display", lambda content, display_id: made)
    return made


def test_steps_are_shown_while_they_are_made_and_at_the_end(handle, tmp_path, videos):
    with watch_training(tmp_path, every=0.02):
        write_training(tmp_path, videos[0], 1)
        deadline = time.monotonic() + 20
        while not handle.shown and time.monotonic() < deadline:
            time.sleep(0.02)
        assert "Training: 1 steps" in handle.shown[-1]
        write_training(tmp_path, videos[0], 2)
    assert "Training: 2 steps" in handle.shown[-1]


def test_an_error_of_the_training_stays_what_it_is(handle, tmp_path):
    with pytest.raises(ZeroDivisionError), watch_training(tmp_path, every=0.02):
        _ = 1 / 0
    assert "no step yet" in handle.shown[-1]


def test_a_frame_holds_the_page_as_it_is():
    page = render("training.html", title="a", data={"folder": HOSTILE, "curves": [], "samples": [], "clips": {}})
    shown = framed(page, 100).data
    assert shown.count("<iframe") == 1 and "<script" not in shown  # all of it is the frame's own


# ---- a browser -------------------------------------------------------------------------------------------------------

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
           "--enable-logging=stderr", "--v=0", "--dump-dom"]  # fmt: skip


@pytest.mark.skipif(CHROMIUM is None, reason="no browser here")
def test_in_a_browser_answers_are_sorted_and_groups_are_shown(scores, frame_cache, videos, tmp_path):
    write_training(tmp_path / "training", videos[0], 3)
    pages = {
        "predictions": view_predictions(scores, frame_cache),
        "training": training_page(tmp_path / "training", FramePolicy(count=4), frame_cache),
    }
    seen = {}
    for name, page in pages.items():
        (tmp_path / f"{name}.html").write_text(page, encoding="utf-8")
        address = f"file://{tmp_path / name}.html"
        command = [CHROMIUM, *OPTIONS, f"--user-data-dir={tmp_path / 'browser'}", address]
        found = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
        assert "CONSOLE" not in found.stderr
        seen[name] = found.stdout
    listed = re.findall(r'<td class="number">([^<]*)</td>', seen["predictions"])
    assert listed == ["\N{EN DASH}", "5.00", "4.00", "3.00", "2.00", "0.00"]
    assert 'class="player"' in seen["predictions"] and 'class="player"' in seen["training"]
    assert "step 3: one of its groups, 1 responses to lsvq/a" in seen["training"]
