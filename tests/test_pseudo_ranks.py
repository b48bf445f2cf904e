"""Spoiled copies: their order is that of their labels, seen by an observer who compares pixels with the original."""

import numpy as np
import pytest

from vqa_lib.pseudo_ranks import spoiled_copies
from vqa_lib.recipes import RECIPES
from vqa_lib.training.rows import training_rows
from vqa_lib.video import FramePolicy, VideoError, read_video

LEVELS = (0.0, 0.5, 1.0)


@pytest.fixture(scope="module")
def copies(videos, tmp_path_factory):
    return spoiled_copies([clip.path for clip in videos[:12]], tmp_path_factory.mktemp("pseudo"), LEVELS)


def test_labels_fall_as_the_level_rises(copies):
    assert len(copies) == 36
    assert [clip.mos for clip in copies[:3]] == [5.0, 3.0, 1.0]
    assert len({clip.name for clip in copies}) == 36
    assert len({clip.name.split("_")[1] for clip in copies}) > 3  # several distortions
    assert training_rows(copies, RECIPES["vqathinker/ranking"])


def test_a_copy_of_a_higher_level_is_farther_from_the_clip(copies):
    shown = [read_video(clip.path, FramePolicy(count=15)).pixels.astype(float) for clip in copies]
    off = np.array([np.abs(each - shown[3 * (number // 3)]).mean() for number, each in enumerate(shown)])
    first, middle, last = off.reshape(-1, 3).T
    assert (first == 0).all()
    assert (middle > 0).all() and (last > 0).all()
    assert (last > middle).mean() > 0.7  # frames in another order are no farther than in a third one


def test_what_is_there_is_kept_and_a_seed_gives_the_same(copies, videos, tmp_path):
    paths = [clip.path for clip in videos[:2]]
    again = spoiled_copies(paths, tmp_path, LEVELS)
    assert [clip.path.read_bytes() for clip in again] == [clip.path.read_bytes() for clip in copies[:6]]
    before = [clip.path.stat().st_mtime_ns for clip in again]
    again[0].path.unlink()
    spoiled_copies(paths, tmp_path, LEVELS)
    after = [clip.path.stat().st_mtime_ns for clip in again]
    assert before[3:] == after[3:] and before[0] != after[0]
    assert [clip.name for clip in spoiled_copies(paths, tmp_path / "other", LEVELS, seed=3)] != [c.name for c in again]


def test_odd_sizes_and_bad_input(videos, tmp_path):
    (copy, _) = spoiled_copies([videos[0].path], tmp_path, (0.0, 1.0), max_pixels=1000)
    pixels = read_video(copy.path, FramePolicy(count=2)).pixels
    assert pixels.shape[1] * pixels.shape[2] <= 1000
    for levels in ((0.0,), (0.0, 0.0), (0.0, 1.5)):
        with pytest.raises(ValueError, match="levels must be two or more"):
            spoiled_copies([], tmp_path, levels)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(VideoError, match=r"broken\.mp4"):
        spoiled_copies([tmp_path / "broken.mp4"], tmp_path)
