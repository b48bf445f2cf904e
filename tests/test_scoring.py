"""Scoring: every clip once, resumed after any interruption, never mixed with other settings."""

import json

import numpy as np
import pytest

from vqa_lib.models.loading import load_model
from vqa_lib.predictions import predictions_table, read_predictions
from vqa_lib.records import Scale, ScoredClip
from vqa_lib.scoring import score_clips
from vqa_lib.video import FramePolicy

POLICY = FramePolicy(count=4)


@pytest.fixture(scope="module")
def model(answering_folder):
    return load_model(answering_folder)


@pytest.fixture
def score(model, frame_cache, tmp_path):
    def run(clips, **options):
        options = {"max_completion": 24, "batch_size": 3, **options}
        output = tmp_path / "scores.jsonl"
        return score_clips(*model, clips, "vq_insight/natural", POLICY, frame_cache, output, **options)

    return run


def test_rows_come_in_the_order_of_the_clips_with_their_truth(score, videos):
    table = score(videos[:7])
    assert table["name"].tolist() == [clip.name for clip in videos[:7]]
    assert table["mos"].tolist() == [clip.mos for clip in videos[:7]]
    assert table["response"].str.len().gt(0).all()


def test_batches_do_not_change_answers(score, videos, tmp_path):
    one = score(videos[:7], batch_size=1)
    (tmp_path / "scores.jsonl").unlink()
    assert score(videos[:7], batch_size=7)["response"].tolist() == one["response"].tolist()


def test_several_samples_of_each_clip(score, videos, tmp_path):
    table = score(videos[:4], samples=5, sampling={"temperature": 1.2})
    for row in table.itertuples():
        assert len(row.responses) == len(row.predictions) == 5
        assert row.response == row.responses[0]
        read = [prediction for prediction in row.predictions if prediction is not None]
        assert row.prediction == pytest.approx(np.mean(read)) if read else np.isnan(row.prediction)
    assert max(len(set(responses)) for responses in table["responses"]) > 1
    (tmp_path / "scores.jsonl").unlink()
    again = score(videos[:4][::-1], samples=5, sampling={"temperature": 1.2}, batch_size=1)  # whatever is beside it
    assert again["responses"].tolist() == table["responses"].tolist()[::-1]
    with pytest.raises(ValueError, match="was made with other settings"):
        score(videos[:4])


def test_goes_on_after_an_interruption_in_the_middle_of_a_line(score, videos, tmp_path):
    whole = score(videos[:6])
    path = tmp_path / "scores.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]) + lines[3][:20])  # as a crash leaves it
    again = score(videos[:6])
    assert again.equals(whole)
    assert path.read_bytes().splitlines(keepends=True)[:3] == lines[:3]  # what was done was not done again
    assert len(read_predictions(path)) == 6


def test_other_settings_are_refused_not_mixed(score, videos):
    score(videos[:2])
    with pytest.raises(ValueError, match="was made with other settings"):
        score(videos[:2], order="shuffle")


def test_predictions_whose_settings_are_gone_are_refused(score, videos, tmp_path):
    score(videos[:2])
    (tmp_path / "scores.settings.json").unlink()
    with pytest.raises(ValueError, match=r"scores.settings.json is gone"):
        score(videos[:2])


def test_a_damaged_line_in_the_middle_is_an_error(score, videos, tmp_path):
    score(videos[:3])
    path = tmp_path / "scores.jsonl"
    path.write_text("{broken\n" + path.read_text())
    with pytest.raises(ValueError, match=r"scores.jsonl, line 1: not JSON"):
        score(videos[:3])


def test_truth_is_put_on_the_scale_of_the_prompt(score, videos):
    five = ScoredClip("five", videos[0].path, "video", {"overall": 3.0}, Scale(1, 5), "own", "test")
    row = score([five]).iloc[0]
    assert (row["mos"], row["target"]) == (3.0, 50.0)


def test_unparsed_answers_stay_missing(tmp_path):
    path = tmp_path / "predictions.jsonl"
    row = {"dataset": "d", "split": "s", "name": "n", "mos": 1, "target": 1, "prediction": None, "response": "?"}
    path.write_text(json.dumps(row) + "\n")
    assert predictions_table(path)["prediction"].isna().all()


def test_the_same_shuffled_copy_whatever_is_scored_beside_it(score, videos, tmp_path):
    together = score(videos[:4], order="shuffle")
    (tmp_path / "scores.jsonl").unlink()
    alone = score(videos[3:4], order="shuffle")
    assert alone["response"].tolist() == together["response"].tolist()[3:]


def test_a_response_with_odd_line_separators_is_one_row(tmp_path):
    path = tmp_path / "predictions.jsonl"
    row = {"dataset": "d", "split": "s", "name": "n", "response": "a\u2028b\x85c"}  # str.splitlines would cut here
    path.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    assert read_predictions(path) == [row]
