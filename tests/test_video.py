"""The frame reader, on small files made here.

What is asserted to be bitwise equal between decord and PyAV: 8-bit H.264 (with B-frames, variable rate, odd sizes in
4:4:4), HEVC and MPEG-4 with closed groups of pictures. What is NOT equal, measured below with decord called directly:
open groups of pictures, edit lists, 10-bit, rotated files, MPEG-TS; read_video reads those by PyAV in both settings.
VP9 and interlaced material are not tested against decord.
"""

import pickle
import random
import sys
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
import torch  # noqa: F401  # before decord
from PIL import Image

from vqa_lib import video
from vqa_lib.video import FramePolicy, VideoError, check_readable, read_frames, read_image, read_luma, read_video

try:
    import decord
except ImportError:  # no wheels for this machine: PyAV reads everything
    decord = None
needs_decord = pytest.mark.skipif(decord is None, reason="decord is not installed")

UNEVEN = np.concatenate([[0], np.cumsum(np.random.default_rng(0).integers(20, 200, 29))]).tolist()  # milliseconds
CLOSED = {"bf": "3", "g": "12"}
OPEN = {"bf": "3", "x264-params": "open-gop=1:keyint=12:scenecut=0:b-pyramid=2"}


def picture(number, height, width):
    """A moving pattern, so that no two frames are alike."""
    y, x = np.mgrid[:height, :width]
    frame = np.stack([x * 3 + number * 5, y * 4 + number * 3, (x + y) * 2 + number * 7], -1) % 256
    frame[4:14, 4 + number % 30 : 14 + number % 30] = (255, 30, 30)
    return frame.astype(np.uint8)


def write_video(
    path, count=30, size=(48, 64), codec="libx264", pixel_format="yuv420p", times=None, turn=None, **options
):
    """times: presentation times in ms (10 frames a second without). options: the encoder's, movflags the muxer's."""
    muxer = {"movflags": options.pop("movflags")} if "movflags" in options else {}
    options = {name.replace("_", "-"): value for name, value in options.items()}
    with av.open(str(path), "w", options=muxer) as container:
        stream = container.add_stream(codec, rate=10, options=options)
        stream.height, stream.width, stream.pix_fmt = *size, pixel_format
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if turn is not None:
            stream.set_display_rotation(turn)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_hevc(path, open_groups):
    groups = f"log-level=none:bframes=3:keyint=12:open-gop={open_groups}"
    return write_video(path, 60, (64, 64), "libx265", x265_params=groups)


def remux(source, target, shift=0.0):
    """Copy the packets, `shift` seconds earlier: what an editor does that cuts without encoding."""
    with av.open(str(source)) as incoming, av.open(str(target), "w") as outgoing:
        stream = outgoing.add_stream_from_template(incoming.streams.video[0])
        for packet in incoming.demux(video=0):
            if packet.size:
                ticks = int(shift / packet.time_base)
                packet.stream, packet.pts, packet.dts = stream, packet.pts - ticks, packet.dts - ticks
                outgoing.mux(packet)
    return target


def decode_all(path):
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def decord_alone(path, indices):
    return decord.VideoReader(str(path), num_threads=1).get_batch(list(indices)).asnumpy()


def difference(first, second):
    return np.abs(first.astype(int) - second)


def forbid(name):
    def refuse(*arguments, **keywords):
        raise AssertionError(f"{name} must not be called")

    return refuse


EXACT = {
    "b-frames.mp4": lambda path: write_video(path, 60, **CLOSED),
    "b-frames.mkv": lambda path: write_video(path, 60, **CLOSED),
    "uneven.mp4": lambda path: write_video(path, times=UNEVEN, **CLOSED),
    "late.mkv": lambda path: write_video(path, times=[time + 173 for time in UNEVEN], **CLOSED),
    "odd-size.mp4": lambda path: write_video(path, size=(49, 65), pixel_format="yuv444p"),
    "yuv422.mp4": lambda path: write_video(path, size=(50, 66), pixel_format="yuv422p"),
    "full-range.mp4": lambda path: write_video(path, pixel_format="yuvj420p"),
    "hevc.mp4": lambda path: write_hevc(path, open_groups=0),
    "mpeg4.mp4": lambda path: write_video(path, 60, codec="mpeg4"),
    "one-frame.mp4": lambda path: write_video(path, 1),
    "hd.mp4": lambda path: write_video(path, 9, (720, 1280), preset="ultrafast"),
}


@needs_decord
@pytest.mark.parametrize("name", EXACT)
def test_decord_equals_pyav(tmp_path, monkeypatch, name):
    path = EXACT[name](tmp_path / name)
    everything = decode_all(path)
    for policy in (FramePolicy(count=8), FramePolicy(count=5), FramePolicy(count=None, fps=3.3)):
        by_pyav = read_video(path, policy, reader="pyav")
        with monkeypatch.context() as patch:
            patch.setattr(video, "_decode_pyav", forbid("PyAV"))
            by_decord = read_video(path, policy)
        np.testing.assert_array_equal(by_pyav.pixels, everything[by_pyav.indices])
        np.testing.assert_array_equal(by_decord.pixels, by_pyav.pixels)
        np.testing.assert_array_equal(by_decord.indices, by_pyav.indices)
        np.testing.assert_array_equal(by_decord.seconds, by_pyav.seconds)
        assert by_decord.total == by_pyav.total == len(everything)
        assert by_decord.fps == by_pyav.fps


NOT_EXACT = {
    "hevc-open.mp4": lambda path: write_hevc(path, open_groups=1),
    "h264-open.mp4": lambda path: write_video(path, 90, **OPEN),
    "h264-open.mkv": lambda path: write_video(path, 90, **OPEN),
    "mpeg4-b.mp4": lambda path: write_video(path, 60, codec="mpeg4", bf="2"),
    "mpeg4-b.avi": lambda path: write_video(path, codec="mpeg4", bf="2"),
    "edit-list.mp4": lambda path: remux(write_video(path.with_suffix(".whole.mp4"), 60, **CLOSED), path, 0.55),
    "stream.ts": lambda path: remux(write_video(path.with_suffix(".mp4"), 60, **CLOSED), path),
    "ten-bit.mp4": lambda path: write_video(path, pixel_format="yuv420p10le", bf="2"),
}


@needs_decord
@pytest.mark.parametrize("name", NOT_EXACT)
def test_files_that_decord_reads_wrongly_are_read_by_pyav(tmp_path, monkeypatch, name):
    """decord alone fails or differs by more than 50 of 255 in some pixel on each of these (decord 0.6.0)."""
    path = NOT_EXACT[name](tmp_path / name)
    everything = decode_all(path)
    frames = read_video(path, FramePolicy(count=8))
    np.testing.assert_array_equal(frames.pixels, everything[frames.indices])
    assert frames.total == len(everything)
    try:
        alone = decord_alone(path, frames.indices)
    except Exception:
        return  # wrong in the plainest way
    assert difference(alone, frames.pixels).max() > 50


@needs_decord
def test_ten_bit_differs_only_in_rounding(tmp_path):
    path = write_video(tmp_path / "ten-bit.mp4", pixel_format="yuv420p10le")
    frames = read_video(path, FramePolicy(count=8))
    gap = difference(decord_alone(path, frames.indices), frames.pixels)
    assert 0 < gap.mean() < 4  # measured 2.4 on this pattern, which is full of sharp colour edges
    for number, pixels in zip(frames.indices, frames.pixels, strict=True):
        assert difference(pixels, picture(number, 48, 64)).mean() < 12  # what the encoder loses


def test_av1_that_decord_cannot_open(tmp_path):
    if "libsvtav1" not in av.codecs_available:
        pytest.skip("this PyAV has no AV1 encoder")
    path = write_video(tmp_path / "clip.mp4", 10, (96, 128), "libsvtav1", preset="10")
    frames = read_video(path, FramePolicy(count=4))
    np.testing.assert_array_equal(frames.pixels, decode_all(path)[[0, 3, 6, 9]])


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_rotation_is_applied(tmp_path, turn):
    """Against OpenCV, which turns frames by itself. decord's get_batch fails on a quarter turn."""
    path = write_video(tmp_path / "phone.mp4", turn=turn)
    capture = cv2.VideoCapture(str(path))
    upright = capture.read()[1][..., ::-1]
    capture.release()
    for reader in ("decord", "pyav"):
        frames = read_video(path, FramePolicy(count=3), reader)
        assert frames.pixels.shape[1:] == upright.shape
        assert difference(frames.pixels[0], upright).max() <= 2


def test_times_of_a_variable_rate(tmp_path):
    for name, offset in (("uneven.mp4", 0), ("uneven.mkv", 173)):
        times = np.array(UNEVEN) + offset
        path = write_video(tmp_path / name, times=times.tolist(), **CLOSED)
        for reader in ("decord", "pyav"):
            frames = read_video(path, FramePolicy(count=6), reader)
            np.testing.assert_allclose(frames.seconds, times[frames.indices] / 1000, atol=1e-9)
            assert frames.fps == pytest.approx(29 / (times[-1] - times[0]) * 1000)
            assert frames.sampled_fps() == pytest.approx(5 / (times[-1] - times[0]) * 1000)


def test_metadata_for_transformers(tmp_path):
    frames = read_video(write_video(tmp_path / "clip.mp4"), FramePolicy(count=4))
    assert frames.metadata == {"total_num_frames": 30, "fps": 10.0, "frames_indices": [0, 10, 19, 29]}
    assert frames.pixels.dtype == np.uint8
    assert frames.pixels.shape == (4, 48, 64, 3)
    assert frames.sampled_fps() == pytest.approx(3 / 2.9)


def test_one_frame_is_repeated(tmp_path):
    path = write_video(tmp_path / "one.mp4", 1)
    frames = read_video(path, FramePolicy(count=8))
    assert frames.pixels.shape == (8, 48, 64, 3)
    assert frames.indices.tolist() == [0] * 8
    assert frames.sampled_fps() == frames.fps == 10.0
    assert read_video(path, FramePolicy(count=None, fps=2)).indices.tolist() == [0]


@pytest.mark.parametrize(
    ("policy", "total", "native_fps", "expected"),
    [
        (FramePolicy(count=1), 10, 25, [0]),
        (FramePolicy(count=2), 10, 25, [0, 9]),
        (FramePolicy(), 8, 25, [0, 1, 2, 3, 4, 5, 6, 7]),
        (FramePolicy(), 3, 25, [0, 0, 1, 1, 1, 1, 2, 2]),
        (FramePolicy(count=None, fps=2), 100, 25, [0, 14, 28, 42, 57, 71, 85, 99]),  # 4 s -> 8 frames
        (FramePolicy(count=None, fps=2), 25, 25, [0, 8, 16, 24]),  # 2 frames asked, min_frames 4
        (FramePolicy(count=None, fps=2), 3, 25, [0, 1, 2]),  # fewer than min_frames exist: none repeated
        (FramePolicy(count=None, fps=2, max_frames=5), 1000, 25, [0, 250, 500, 749, 999]),
        (FramePolicy(count=None, fps=100, max_frames=50), 4, 25, [0, 1, 2, 3]),  # faster than the clip
    ],
)
def test_indices(policy, total, native_fps, expected):
    indices = policy.indices(total, native_fps)
    assert indices.tolist() == expected
    assert indices.dtype == np.int64


def test_policy_refuses_contradictions():
    for fields in ({"fps": 2.0}, {"count": None}):
        with pytest.raises(ValueError, match=r"count.*fps"):
            FramePolicy(**fields)
    for name in ("count", "min_frames", "max_frames", "max_pixels"):
        with pytest.raises(ValueError, match=name):
            FramePolicy(**{name: 0})
    with pytest.raises(ValueError, match=r"min_frames <= max_frames"):
        FramePolicy(count=None, fps=2, min_frames=9, max_frames=8)


def test_policy_digest_is_stable():
    assert FramePolicy().digest() == "35c156a67f9ea821"  # a change makes every cache and run folder stale: mean it
    assert FramePolicy(count=None, fps=2).digest() == FramePolicy(count=None, fps=2.0).digest()
    different = [FramePolicy(), FramePolicy(count=9), FramePolicy(count=None, fps=2), FramePolicy(max_pixels=100)]
    assert len({policy.digest() for policy in different}) == 4
    assert FramePolicy(**FramePolicy(count=3, max_pixels=5).as_dict()) == FramePolicy(count=3, max_pixels=5)


@pytest.mark.parametrize("reader", ["decord", "pyav"])
def test_max_pixels(tmp_path, reader):
    path = write_video(tmp_path / "clip.mp4")
    whole = read_video(path, FramePolicy(count=2), reader).pixels
    small = read_video(path, FramePolicy(count=2, max_pixels=24 * 32), reader).pixels
    assert small.shape == (2, 24, 32, 3)
    mean_of_four = whole.reshape(2, 24, 2, 32, 2, 3).mean((2, 4))
    assert np.abs(small - mean_of_four).max() <= 0.5  # area resampling is the mean where the factor is whole
    np.testing.assert_array_equal(read_video(path, FramePolicy(count=2, max_pixels=10**6), reader).pixels, whole)


@pytest.mark.parametrize(("height", "width", "bound"), [(480, 853, 50_000), (1, 10_000, 100), (999, 7, 50), (3, 3, 1)])
def test_max_pixels_is_never_exceeded(height, width, bound):
    shape = video._shrink(np.zeros((height, width, 3), np.uint8), bound).shape
    assert 1 <= shape[0] * shape[1] <= bound


def cut(path, target, keep):
    data = path.read_bytes()
    target.write_bytes(data[: int(len(data) * keep)])
    return target


def make_bad_files(folder):
    """name -> (file, words that its reason has)."""
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("this is a list of videos, not a video\n" * 50)
    clip = write_video(folder / "whole.mp4", 60, **CLOSED)
    front = write_video(folder / "front.mp4", 60, movflags="faststart", **CLOSED)
    data = bytearray(front.read_bytes())
    start = len(data) // 2
    data[start : start + 600] = random.Random(0).randbytes(600)
    (folder / "damaged.mp4").write_bytes(data)
    with av.open(str(folder / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(folder / "no-frames.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        container.start_encoding()
    return {
        folder / "missing.mp4": "missing",
        folder: "not a file",
        folder / "empty.mp4": "empty (0 bytes)",
        folder / "text.mp4": "not a video",
        cut(clip, folder / "no-index.mp4", 0.6): "truncated",
        cut(front, folder / "half.mp4", 0.6): "truncated: it announces 60 frames",
        cut(front, folder / "last-bytes.mp4", 0.995): "truncated: it announces 60 frames",
        folder / "damaged.mp4": "damaged",
        folder / "sound.mp4": "no video stream",
        folder / "no-frames.mkv": "no frame",
    }


@pytest.mark.parametrize("reader", ["decord", "pyav"])
def test_bad_files_give_one_clear_error(tmp_path, reader):
    for path, words in make_bad_files(tmp_path).items():
        with pytest.raises(VideoError) as caught:
            read_video(path, FramePolicy(), reader)
        assert str(caught.value) == f"{path}: {caught.value.reason}"
        assert words in caught.value.reason


def test_check_readable_lists_what_cannot_be_used(tmp_path, capsys):
    bad = make_bad_files(tmp_path)
    del bad[tmp_path / "damaged.mp4"]  # damage in the middle shows only when that part is decoded
    Image.new("RGB", (8, 8)).save(tmp_path / "good.png")
    good = [(tmp_path / "whole.mp4", "video"), (tmp_path / "good.png", "image")]
    failures = check_readable([*good, *((path, "video") for path in bad), (tmp_path / "empty.mp4", "image")])
    assert [path for path, _ in failures] == [*bad, tmp_path / "empty.mp4"]
    assert all(words in reason for (_, reason), words in zip(failures, bad.values(), strict=False))
    assert check_readable([]) == []
    capsys.readouterr()


def test_error_survives_a_worker_process():
    error = pickle.loads(pickle.dumps(VideoError("clip.mp4", "the file is missing")))
    assert (str(error), error.path, error.reason) == (
        "clip.mp4: the file is missing",
        "clip.mp4",
        "the file is missing",
    )


def test_without_decord(tmp_path, monkeypatch):
    path = write_video(tmp_path / "clip.mp4", **CLOSED)
    expected = read_video(path, FramePolicy(), reader="pyav").pixels
    monkeypatch.setitem(sys.modules, "decord", None)  # makes the import fail
    np.testing.assert_array_equal(read_video(path, FramePolicy()).pixels, expected)


@needs_decord
def test_decord_that_fails_or_miscounts(tmp_path, monkeypatch):
    path = write_video(tmp_path / "clip.mp4", **CLOSED)
    expected = read_video(path, FramePolicy(), reader="pyav").pixels
    real = decord.VideoReader

    class Miscounts(real):
        def __len__(self):
            return super().__len__() + 1

    for broken in (forbid("decord"), Miscounts):
        monkeypatch.setattr(decord, "VideoReader", broken)
        np.testing.assert_array_equal(read_video(path, FramePolicy()).pixels, expected)


def test_pyav_stops_after_the_last_wanted_frame(tmp_path, monkeypatch):
    path = write_video(tmp_path / "clip.mp4", **CLOSED)
    monkeypatch.setattr(FramePolicy, "indices", lambda self, total, fps: np.array([3, 5, 5]))
    frames = read_video(path, FramePolicy(count=3), reader="pyav")
    np.testing.assert_array_equal(frames.pixels, decode_all(path)[[3, 5, 5]])
    np.testing.assert_allclose(frames.seconds, [0.3, 0.5, 0.5])


@pytest.mark.parametrize(("pixel_format", "size"), [("yuv420p", (48, 64)), ("yuv444p", (38, 70))])  # 70: a padded line
def test_luma_is_that_stored_of_every_frame(tmp_path, pixel_format, size):
    path = write_video(tmp_path / "clip.mp4", size=size, pixel_format=pixel_format)
    with av.open(str(path)) as container:
        planes = [frame.planes[0] for frame in container.decode(video=0)]
        stored = [np.frombuffer(plane, np.uint8).reshape(size[0], plane.line_size)[:, : size[1]] for plane in planes]
        assert len(stored) == 30
        np.testing.assert_array_equal(list(read_luma(path)), stored)


def test_luma_is_upright_and_complete(tmp_path):
    turned = write_video(tmp_path / "turned.mp4", turn=90)
    pixels = read_video(turned, FramePolicy(count=1)).pixels[0]
    assert next(read_luma(turned)).shape == pixels.shape[:2] == (64, 48)
    assert cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(float) == pytest.approx(next(read_luma(turned)), abs=40)
    whole = write_video(tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VideoError, match=r"cut\.mp4: an mp4 that is truncated or damaged"):
        list(read_luma(tmp_path / "cut.mp4"))


def test_images(tmp_path):
    pixels = picture(0, 40, 60)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    frames = read_frames(tmp_path / "picture.png", "image", FramePolicy())
    np.testing.assert_array_equal(frames.pixels, pixels[None])
    assert (frames.total, frames.fps, frames.indices.tolist(), frames.seconds.tolist()) == (1, 1.0, [0], [0.0])
    assert read_image(tmp_path / "picture.png", FramePolicy(max_pixels=600)).pixels.shape == (1, 20, 30, 3)

    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn a quarter clockwise to see it
    Image.fromarray(pixels).save(tmp_path / "phone.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "phone.png", FramePolicy()).pixels[0], np.rot90(pixels, -1))

    Image.fromarray(pixels[..., 0]).save(tmp_path / "grey.png")
    grey = read_image(tmp_path / "grey.png", FramePolicy()).pixels[0]
    np.testing.assert_array_equal(grey, np.repeat(pixels[..., :1], 3, axis=-1))


def test_bad_images(tmp_path):
    Image.fromarray(picture(0, 40, 60)).save(tmp_path / "whole.jpg")
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").touch()
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "deep.png")
    bad = {
        cut(tmp_path / "whole.jpg", tmp_path / "half.jpg", 0.6): "truncated",
        tmp_path / "text.png": "not an image",
        tmp_path / "empty.png": "empty",
        tmp_path / "missing.png": "missing",
        tmp_path / "deep.png": "not 8-bit",
    }
    for path, words in bad.items():
        with pytest.raises(VideoError) as caught:
            read_image(path, FramePolicy())
        assert str(caught.value) == f"{path}: {caught.value.reason}"
        assert words in caught.value.reason


def test_unknown_kind_and_reader(tmp_path):
    path = write_video(tmp_path / "clip.mp4", 2)
    with pytest.raises(ValueError, match="kind must be 'image' or 'video', got 'gif'"):
        read_frames(path, "gif", FramePolicy())
    with pytest.raises(ValueError, match="reader must be 'decord' or 'pyav', got 'opencv'"):
        read_video(path, FramePolicy(), reader="opencv")
