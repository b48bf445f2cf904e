"""The cache of sampled frames: hits, what makes an entry stale, the bound, concurrent use, damaged entries."""

import multiprocessing
import os
import pickle
import random
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import av
import numpy as np
import pytest
from PIL import Image

from vqa_lib import frame_cache
from vqa_lib.frame_cache import FrameCache
from vqa_lib.video import FramePolicy, VideoError, read_frames

POLICY = FramePolicy(count=4)
ENTRY_BYTES = 16 * 16 * 3  # of the pictures below; the file around it adds about 1.3 kB


def write_video(path, count=20, size=(32, 48)):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        for number in range(count):
            pixels = np.full((*size, 3), 5 * number % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def write_pictures(folder, count):
    paths = [folder / f"{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        Image.new("RGB", (16, 16), (number, 0, 0)).save(path)
    return paths


def assert_equal(first, second):
    for name in ("pixels", "indices", "seconds"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
        assert getattr(first, name).dtype == getattr(second, name).dtype
    assert (first.total, first.fps) == (second.total, second.fps)


def entries(folder):
    return sorted(folder.glob("*.npz"))


def size_of(folder):
    return sum(entry.stat().st_size for entry in entries(folder))


@pytest.fixture
def decoded(monkeypatch):
    """The paths that were decoded, in order."""
    paths = []

    def count(path, *arguments):
        paths.append(path)
        return read_frames(path, *arguments)

    monkeypatch.setattr(frame_cache, "read_frames", count)
    return paths


def test_a_hit_gives_the_same_frames_and_decodes_nothing(tmp_path, decoded):
    path = write_video(tmp_path / "clip.mp4")
    cache = FrameCache(tmp_path / "cache")
    first = cache.get(path, "video", POLICY)
    second = cache.get(path, "video", POLICY)
    third = FrameCache(tmp_path / "cache").get(str(path), "video", POLICY)  # a later run
    assert decoded == [path]
    assert_equal(first, read_frames(path, "video", POLICY))
    assert_equal(second, first)
    assert_equal(third, first)
    assert (cache.hits, cache.misses) == (1, 1)
    second.pixels[:] = 0  # the caller's own copy
    assert_equal(cache.get(path, "video", POLICY), first)


def test_images_are_kept_too(tmp_path, decoded):
    path = write_pictures(tmp_path, 1)[0]
    cache = FrameCache(tmp_path / "cache")
    assert_equal(cache.get(path, "image", POLICY), cache.get(path, "image", POLICY))
    assert len(decoded) == 1


def test_a_changed_file_is_read_again(tmp_path):
    path = write_video(tmp_path / "clip.mp4", 20)
    cache = FrameCache(tmp_path / "cache")
    assert cache.get(path, "video", POLICY).total == 20
    write_video(path, 12)
    assert cache.get(path, "video", POLICY).total == 12
    os.utime(path, ns=(0, 0))
    assert cache.get(path, "video", POLICY).total == 12
    assert (cache.hits, cache.misses, len(entries(cache.folder))) == (0, 3, 3)


def test_digest_sees_both_ends_of_a_large_file(tmp_path):
    """An edit in the middle that keeps size and time is the documented blind spot."""
    path = tmp_path / "large.bin"
    data = bytearray(3 * 2**20)
    digests = []
    for position in (None, 0, len(data) - 1, len(data) // 2):
        changed = bytearray(data)
        if position is not None:
            changed[position] = 1
        path.write_bytes(changed)
        os.utime(path, ns=(0, 0))
        digests.append(frame_cache.content_digest(path))
    assert len(set(digests[:3])) == 3
    assert digests[3] == digests[0]


def test_policy_kind_and_reader_have_their_own_entries(tmp_path, decoded):
    path = write_video(tmp_path / "clip.mp4")
    cache = FrameCache(tmp_path / "cache")
    for policy in (POLICY, FramePolicy(count=5), FramePolicy(count=4, max_pixels=100)):
        assert_equal(cache.get(path, "video", policy), read_frames(path, "video", policy))
    FrameCache(tmp_path / "cache", reader="pyav").get(path, "video", POLICY)
    assert len(decoded) == len(entries(cache.folder)) == 4
    assert cache.entry_path(path, "image", POLICY) != cache.entry_path(path, "video", POLICY)


def test_bad_files_raise_and_leave_nothing(tmp_path):
    cache = FrameCache(tmp_path / "cache")
    (tmp_path / "text.mp4").write_text("no video")
    for name, words in (("missing.mp4", "missing"), ("text.mp4", "not a video")):
        with pytest.raises(VideoError, match=words):
            cache.get(tmp_path / name, "video", POLICY)
    assert [file.suffix for file in cache.folder.iterdir() if file.suffix in (".npz", ".tmp")] == []


def test_the_bound_holds_and_the_least_recently_used_go(tmp_path, monkeypatch):
    paths = write_pictures(tmp_path, 30)
    one = FrameCache(tmp_path / "one")
    one.get(paths[0], "image", POLICY)
    bound = 10 * size_of(one.folder)
    cache = FrameCache(tmp_path / "cache", max_bytes=bound)
    listings = []
    make_room = FrameCache._make_room
    monkeypatch.setattr(
        FrameCache, "_make_room", lambda self, keep=None: listings.append(keep) or make_room(self, keep)
    )
    for path in paths:
        cache.get(path, "image", POLICY)
        cache.get(paths[0], "image", POLICY)  # used all the time
        assert size_of(cache.folder) <= bound
        assert cache._read_total() == size_of(cache.folder)
    assert cache.entry_path(paths[0], "image", POLICY).exists()
    assert cache.entry_path(paths[-1], "image", POLICY).exists()
    assert not cache.entry_path(paths[1], "image", POLICY).exists()
    assert len(entries(cache.folder)) >= 9
    assert (cache.misses, cache.hits) == (30, 30)
    assert len(listings) < 15  # of 60 calls

    smaller = FrameCache(tmp_path / "cache", max_bytes=bound // 2)
    assert 0 < size_of(smaller.folder) <= bound // 2


def test_a_clip_above_the_bound_is_not_kept(tmp_path):
    path = write_pictures(tmp_path, 1)[0]
    cache = FrameCache(tmp_path / "cache", max_bytes=ENTRY_BYTES)
    assert cache.get(path, "image", POLICY).pixels.shape == (1, 16, 16, 3)
    assert entries(cache.folder) == []


def test_torn_and_damaged_entries_are_made_again(tmp_path):
    path = write_video(tmp_path / "clip.mp4")
    cache = FrameCache(tmp_path / "cache")
    expected = cache.get(path, "video", POLICY)
    entry = cache.entry_path(path, "video", POLICY)
    whole = entry.read_bytes()
    generator = random.Random(0)
    damaged = [b"", whole[:100], whole[: len(whole) // 2], whole[:-1], b"x" * len(whole)]
    for _ in range(100):
        data = bytearray(whole)
        data[generator.randrange(len(data))] ^= generator.randrange(1, 256)
        damaged.append(bytes(data))
    for data in damaged:
        entry.write_bytes(data)
        assert_equal(cache.get(path, "video", POLICY), expected)  # some bytes of a zip file carry no meaning
    entry.write_bytes(whole[: len(whole) // 2])
    misses = cache.misses
    cache.get(path, "video", POLICY)
    cache.get(path, "video", POLICY)
    assert cache.misses == misses + 1  # made again once, then used


def test_an_entry_or_the_total_removed_meanwhile(tmp_path):
    path = write_video(tmp_path / "clip.mp4")
    cache = FrameCache(tmp_path / "cache")
    expected = cache.get(path, "video", POLICY)
    cache.entry_path(path, "video", POLICY).unlink()
    (cache.folder / "total").unlink()
    assert_equal(cache.get(path, "video", POLICY), expected)
    assert cache._read_total() == size_of(cache.folder)


def test_leftovers_of_a_killed_process_go_when_old(tmp_path):
    cache = FrameCache(tmp_path / "cache")
    old, new = cache.folder / "old.tmp", cache.folder / "new.tmp"
    old.touch()
    new.touch()
    os.utime(old, (0, 0))
    FrameCache(tmp_path / "cache")
    assert (old.exists(), new.exists()) == (False, True)


def use_cache(cache, paths, seed):
    """Get every path a few times in a random order; whether all frames were right, and the largest size seen."""
    paths = paths * 4
    random.Random(seed).shuffle(paths)
    largest = 0
    for path in paths:
        frames = cache.get(path, "image", POLICY)
        assert frames.pixels.shape == (1, 16, 16, 3)
        assert (frames.pixels[..., 0] == int(path.stem)).all()
        with cache._lock():  # no writer moves an entry in meanwhile
            largest = max(largest, size_of(cache.folder))
    return largest


@pytest.mark.parametrize("workers", ["threads", "processes"])
def test_four_workers_share_a_folder_under_a_tight_bound(tmp_path, workers):
    paths = write_pictures(tmp_path, 16)
    bound = 6 * 2500
    cache = FrameCache(tmp_path / "cache", max_bytes=bound)
    if workers == "threads":
        pool = ThreadPoolExecutor(4)
    else:
        pool = ProcessPoolExecutor(4, multiprocessing.get_context("spawn"))  # fork warns once threads have run
    with pool:
        largest = list(pool.map(use_cache, [cache] * 4, [paths] * 4, range(4)))
    assert max(largest) <= bound
    assert size_of(cache.folder) > 0
    assert cache._read_total() >= size_of(cache.folder)
    assert list(cache.folder.glob("*.tmp")) == []


def test_can_be_sent_to_a_worker(tmp_path):
    cache = pickle.loads(pickle.dumps(FrameCache(tmp_path / "cache", max_bytes=5, reader="pyav")))
    assert (cache.folder, cache.max_bytes, cache.reader) == (tmp_path / "cache", 5, "pyav")


def test_later_epochs_cost_less(tmp_path, decoded):
    """Prints the measured ratio (pytest -s); a shared machine is too noisy to assert it."""
    paths = [write_video(tmp_path / f"{number}.mp4", 48 + number, (240, 320)) for number in range(4)]
    cache = FrameCache(tmp_path / "cache")
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        for path in paths:
            cache.get(path, "video", FramePolicy(count=8))
        seconds.append(time.perf_counter() - start)
    print(
        f"\nfirst epoch {seconds[0]:.3f} s, later {min(seconds[1:]):.3f} s, {seconds[0] / min(seconds[1:]):.1f} times"
    )
    assert len(decoded) == 4
