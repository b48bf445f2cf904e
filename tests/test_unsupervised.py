"""Unsupervised methods: what frames they see, that they go on after a kill, and what they say of what is missing."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch

from vqa_lib.unsupervised import score_unsupervised
from vqa_lib.video import VideoError
from vqa_lib.viideo import viideo


@pytest.fixture
def pyiqa(monkeypatch):
    """Stands for pyiqa, which the package does not install: its NIQE is the mean brightness, and lower is better."""
    made = SimpleNamespace(seen=[], __version__="0.0")

    def metric(frame):
        made.seen.append(frame)
        return frame.mean()

    made.create_metric = lambda name: {"niqe": metric}[name]
    monkeypatch.setitem(sys.modules, "pyiqa", made)
    return made


@pytest.fixture
def large_clip(tmp_path, videos):
    """A record whose clip has 192 x 96 pixels, 10 frames a second for 3 seconds, brighter from second to second."""
    path = tmp_path / "large.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 192, 96, "yuv420p"
        for number in range(30):
            pixels = np.full((96, 192, 3), 50 + 50 * (number // 10), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return replace(videos[0], path=path)


def test_viideo_sees_every_frame_as_it_is_stored(videos, tmp_path):
    table = score_unsupervised(videos[:3], "VIIDEO", tmp_path / "scores.jsonl")
    assert table["name"].tolist() == [clip.name for clip in videos[:3]]
    assert table["target"].tolist() == [clip.mos for clip in videos[:3]]
    for clip, prediction in zip(videos, table["prediction"], strict=False):
        with av.open(str(clip.path)) as container:
            stored = [frame.to_ndarray()[: frame.height] for frame in container.decode(video=0)]  # yuv420p, Y first
        assert prediction == pytest.approx(-viideo(np.array(stored)), nan_ok=True)
    assert table["prediction"].notna().any()


def test_an_interrupted_run_goes_on(videos, tmp_path, monkeypatch):
    output = tmp_path / "scores.jsonl"
    whole = score_unsupervised(videos[:3], "VIIDEO", tmp_path / "whole.jsonl")
    score_unsupervised(videos[:2], "VIIDEO", output)
    output.write_text(output.read_text() + '{"torn')
    scored = []
    monkeypatch.setattr("vqa_lib.unsupervised.viideo", lambda frames: scored.append(frames) or viideo(frames))
    assert score_unsupervised(videos[:3], "VIIDEO", output).equals(whole)
    assert len(scored) == 1


def test_niqe_sees_a_frame_a_second_and_turns_its_sign(pyiqa, large_clip, tmp_path):
    table = score_unsupervised([large_clip], "NIQE", tmp_path / "scores.jsonl")
    assert [tuple(frame.shape) for frame in pyiqa.seen] == [(1, 3, 96, 192)] * 3
    assert all(frame.dtype == torch.float32 and frame.min() >= 0 and frame.max() <= 1 for frame in pyiqa.seen)
    brightness = [frame.mean().item() for frame in pyiqa.seen]
    assert brightness == sorted(brightness)
    assert table["prediction"].item() == pytest.approx(-np.mean(brightness))


def test_scores_of_two_methods_are_not_mixed(pyiqa, large_clip, tmp_path):
    score_unsupervised([large_clip], "NIQE", tmp_path / "scores.jsonl")
    with pytest.raises(ValueError, match="other settings"):
        score_unsupervised([large_clip], "VIIDEO", tmp_path / "scores.jsonl")


def test_niqe_refuses_frames_of_less_than_two_blocks(pyiqa, videos, tmp_path):
    with pytest.raises(ValueError, match=r"\.mp4: NIQE needs two blocks of 96 x 96 pixels, got frames of"):
        score_unsupervised(videos[:1], "NIQE", tmp_path / "scores.jsonl")


def test_what_is_missing_is_said_before_anything_is_scored(pyiqa, videos, tmp_path, monkeypatch):
    def cannot(name):
        raise OSError("no network")

    pyiqa.create_metric = cannot
    with pytest.raises(RuntimeError, match=r"no parameters of NIQE, and cannot download them: no network"):
        score_unsupervised(videos[:1], "NIQE", tmp_path / "scores.jsonl")
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    with pytest.raises(RuntimeError, match=r"NIQE is pyiqa's, which cannot be imported .*pip install pyiqa"):
        score_unsupervised(videos[:1], "NIQE", tmp_path / "scores.jsonl")
    with pytest.raises(ValueError, match="unknown method 'STEM'; known: VIIDEO, NIQE"):
        score_unsupervised(videos[:1], "STEM", tmp_path / "scores.jsonl")
    broken = replace(videos[1], path=tmp_path / "none.mp4")
    with pytest.raises(VideoError, match=r"none\.mp4: the file is missing"):
        score_unsupervised([videos[0], broken], "VIIDEO", tmp_path / "scores.jsonl")
    assert not (tmp_path / "scores.jsonl").exists()
