"""Read the frames of a clip that a model sees: which frames, their true times, and one clear error for a bad file.

Two readers. PyAV decodes from the start and is exact. decord jumps to the frames asked for; measured against PyAV 18,
decord 0.6.0 gives bitwise the same frames for H.264, HEVC and MPEG-4 in mp4/mov/mkv with 8-bit YUV, closed groups of
pictures, any B-frames, constant or variable rate. It is NOT equal for the files below, so PyAV reads them whatever
reader is named:

- open groups of pictures (the default of x265; MPEG-4 with B-frames): decord returns wrong frames after a jump;
- edit lists that cut the beginning: decord counts the hidden frames, its numbering is shifted;
- a rotation in the display matrix: decord's get_batch fails;
- MPEG-TS and AVI: wrong frames, meaningless times; AV1: cannot be opened;
- 10-bit: same frames, other rounding (mean difference about 1 of 255, up to 89 at sharp colour edges);
- VP8, VP9 and anything else that was not measured.

Rotation in the display matrix (phones) is applied, to the nearest quarter turn; mirroring and non-square pixels are
not. Not noticed: a bit error inside a frame that the decoder conceals (the two readers may conceal it differently); an
mkv, webm, avi or ts file that ends early (the frames it still has are used).
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import av
import cv2
import numpy as np
from av.stream import Disposition
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

DECORD_CODECS = ("h264", "hevc", "mpeg4")
DECORD_PIXEL_FORMATS = ("yuv420p", "yuvj420p", "yuv422p", "yuv444p")
DECORD_CONTAINERS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")


class VideoError(ValueError):
    """A file that cannot be used. The message is "path: reason"."""

    def __init__(self, path, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason

    def __reduce__(self):  # the default would call VideoError(message) when a worker process hands the error back
        return VideoError, (self.path, self.reason)


@dataclass(frozen=True)
class FramePolicy:
    """Which frames of a clip a model sees, in training and in evaluation alike.

    Exactly one of the two: `count` frames spread evenly over the clip, or `fps` frames a second, at least min_frames
    and at most max_frames (2 fps and 4..16 are VQ-Insight's constants). max_pixels: a frame with more is shrunk
    (aspect kept, area resampling); none is enlarged. Raises ValueError for fields that contradict each other.

    Example:
        >>> FramePolicy(count=4).indices(total_frames=10, native_fps=25).tolist()
        [0, 3, 6, 9]
    """

    count: int | None = 8
    fps: float | None = None
    min_frames: int = 4
    max_frames: int = 16
    max_pixels: int | None = None

    def __post_init__(self):
        if (self.count is None) == (self.fps is None):
            raise ValueError(f"set exactly one of count and fps (the other None), got {self.count=}, {self.fps=}")
        for name in ("count", "fps", "min_frames", "max_frames", "max_pixels"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"FramePolicy needs {name} > 0, got {value}")
        if self.min_frames > self.max_frames:
            raise ValueError(f"FramePolicy needs min_frames <= max_frames, got {self.min_frames} > {self.max_frames}")

    def indices(self, total_frames: int, native_fps: float) -> np.ndarray:
        """Frame numbers (T,), ascending, int64.

        count: T is always `count`; a shorter clip repeats frames. fps: T follows the length of the clip and is never
        above total_frames, so nothing is repeated, even where that is below min_frames.
        """
        length = self.count
        if length is None:
            length = int(np.clip(total_frames / native_fps * self.fps, self.min_frames, self.max_frames))
            length = min(length, total_frames)
        return np.linspace(0, total_frames - 1, length).round().astype(np.int64)

    def as_dict(self) -> dict:
        """The fields, for the run folder."""
        return asdict(self)

    def digest(self) -> str:
        """A short hash of the fields, the same in every process and for 2 and 2.0."""
        fields = {name: None if value is None else float(value) for name, value in self.as_dict().items()}
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, eq=False)  # comparing arrays with == has no truth value
class Frames:
    """Sampled frames of a clip.

    pixels: uint8 (T, H, W, 3) RGB. indices: (T,) numbers in the file. total: frames in the file. fps: the file's
    average frame rate (1.0 for an image). seconds: (T,) presentation times from the container.
    """

    pixels: np.ndarray
    indices: np.ndarray
    total: int
    fps: float
    seconds: np.ndarray

    @property
    def metadata(self) -> dict:
        """What transformers calls video_metadata; without it Qwen2.5-VL's temporal positions collapse."""
        return {"total_num_frames": self.total, "fps": self.fps, "frames_indices": self.indices.tolist()}

    def sampled_fps(self) -> float:
        """Frames a second of the sampled frames; the file's rate where they span no time."""
        span = float(self.seconds[-1] - self.seconds[0])
        return (len(self.seconds) - 1) / span if span > 0 else self.fps


def require_file(path) -> None:
    """Raise VideoError unless the path is a file with something in it."""
    path = Path(path)
    if not path.exists():
        raise VideoError(path, "the file is missing")
    if not path.is_file():
        raise VideoError(path, "not a file")
    if path.stat().st_size == 0:
        raise VideoError(path, "the file is empty (0 bytes)")


def read_video(path, policy: FramePolicy, reader: str = "decord") -> Frames:
    """Read the frames that the policy names; only those are kept in memory.

    reader: "decord" or "pyav". With "decord", PyAV reads the files named in the module's docstring, those where decord
    fails, and all where decord is not installed: the frames are the same, only the time to get them differs.
    Raises VideoError with the reason in plain words.

    Example:
        read_video("clip.mp4", FramePolicy(count=8)).pixels.shape  # (8, height, width, 3)
    """
    if reader not in ("decord", "pyav"):
        raise ValueError(f"reader must be 'decord' or 'pyav', got {reader!r}")
    layout = _scan(path)
    total = len(layout.times)
    indices = policy.indices(total, layout.fps)
    wanted, position = np.unique(indices, return_inverse=True)  # decode a repeated frame once
    pixels = _decode_decord(path, wanted, total) if reader == "decord" and layout.decord_is_exact else None
    if pixels is None:
        pixels = _decode_pyav(path, wanted, layout, policy.max_pixels)
    pixels = np.stack([_shrink(frame, policy.max_pixels) for frame in pixels])[position]
    return Frames(pixels, indices, total, layout.fps, layout.times[indices] * layout.seconds_per_tick)


def read_luma(path) -> Iterator[np.ndarray]:
    """The brightness of every frame of a video as it is stored, uint8 (H, W), one after the other.

    Not what RGB turned to grey gives: that differs by up to 20 of 255. Raises VideoError, also on the way.

    Example:
        sum(1 for luma in read_luma("clip.mp4"))  # how many frames it has
    """
    layout = _scan(path)
    yield from _decoded(path, layout, _stored_luma, set(range(len(layout.times))))


def read_image(path, policy: FramePolicy) -> Frames:
    """Read an image as a clip of one frame (total 1, fps 1.0), RGB, turned as its EXIF orientation says.

    Transparency is dropped. Raises VideoError; also for 16-bit grey and float images, whose range is not known.
    """
    require_file(path)
    try:
        with Image.open(path) as image:
            mode = image.mode
            rgb = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except UnidentifiedImageError as error:
        raise VideoError(path, "not an image that can be read") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # Pillow's ways to say "damaged"
        raise VideoError(path, f"the image is truncated or damaged ({error})") from error
    if mode[0] in "IF":
        raise VideoError(path, f"pixel mode {mode} is not 8-bit; convert the image first")
    return Frames(_shrink(rgb, policy.max_pixels)[None], np.zeros(1, np.int64), 1, 1.0, np.zeros(1))


def read_frames(path, kind: str, policy: FramePolicy, reader: str = "decord") -> Frames:
    """read_image or read_video, after the kind of a record ("image" or "video")."""
    if kind == "image":
        return read_image(path, policy)
    if kind == "video":
        return read_video(path, policy, reader)
    raise ValueError(f"{path}: kind must be 'image' or 'video', got {kind!r}")


def jpeg(frame: np.ndarray) -> bytes:
    """A frame, uint8 (H, W, 3) RGB, as a JPEG file, for pages and for models at an endpoint."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return data.tobytes()


def check_readable(paths_and_kinds: Iterable[tuple], workers: int = 1) -> list[tuple]:
    """Open every file and decode one frame; returns (path, reason) for each that cannot be used.

    For use before a training begins: an mp4 cut short is found here, damage in the middle of a file only when read.
    workers: at most so many processes; a few files are not worth starting one.

    Example:
        >>> check_readable([("no-such-file.mp4", "video")])
        [('no-such-file.mp4', 'the file is missing')]
    """
    items = list(paths_and_kinds)
    workers = min(workers, len(items) // 32)
    show = partial(tqdm, total=len(items), desc="checking files", unit="file")
    if workers < 2:
        reasons = list(show(map(_why_unreadable, items)))
    else:
        # Spawned, not forked: a fork of a process that has used torch may hang.
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            reasons = list(show(pool.map(_why_unreadable, items, chunksize=8)))
    return [(path, reason) for (path, _), reason in zip(items, reasons, strict=True) if reason]


def _why_unreadable(path_and_kind: tuple) -> str | None:
    path, kind = path_and_kind
    try:
        if kind == "video":
            _scan(path)
        else:
            read_frames(path, kind, FramePolicy(count=1))
    except VideoError as error:
        return error.reason
    return None


@dataclass(frozen=True, eq=False)
class _Layout:
    """What a file says of its frames. times: (total,) ascending presentation times in ticks of the container."""

    times: np.ndarray
    seconds_per_tick: float
    fps: float
    stream_index: int
    quarter_turns: int
    times_follow_frames: bool
    decord_is_exact: bool


def _scan(path) -> _Layout:
    """Read the packets without decoding (a tenth of the cost of decoding), and decode the first frame."""
    require_file(path)
    try:
        with av.open(str(path)) as container:
            streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
            if not streams:
                raise VideoError(path, "it has no video stream")
            stream = streams[0]
            packets, first = [], None
            for packet in container.demux(stream):
                if first is None:
                    first = next(iter(packet.decode()), None)
                if packet.size:
                    packets.append((packet.pts, packet.is_keyframe, packet.is_discard))
                    cut_short = packet.is_corrupt
            shown = [pts for pts, _, hidden in packets if not hidden]
            if first is None or not shown:
                raise VideoError(path, "no frame of the video stream can be decoded")
            mp4 = container.format.name == DECORD_CONTAINERS[0]
            if mp4 and (cut_short or len(packets) < stream.frames):
                raise VideoError(path, f"truncated: it announces {stream.frames} frames and ends before the last")
            if None in shown:
                raise VideoError(path, "the container gives no times for its frames; remux it to mp4 or mkv")
            times = np.sort(np.array(shown, np.int64))
            seconds_per_tick = float(stream.time_base)
            # from the times: the rate written in the header is wrong for variable-rate mkv
            fps = 1 / (float(np.diff(times).mean()) * seconds_per_tick) if times[-1] > times[0] else None
            return _Layout(
                times=times,
                seconds_per_tick=seconds_per_tick,
                fps=fps or float(stream.average_rate or 1),
                stream_index=stream.index,
                quarter_turns=round(first.rotation / 90) % 4,
                times_follow_frames=container.format.name != "avi",  # avi stores decoding times only
                decord_is_exact=(
                    container.format.name in DECORD_CONTAINERS
                    and len(streams) == len(container.streams.video) == 1
                    and stream.codec_context.name in DECORD_CODECS
                    and first.format.name in DECORD_PIXEL_FORMATS
                    and first.rotation == 0
                    and len(shown) == len(packets)
                    and len(np.unique(times)) == len(times)
                    and _groups_are_closed(packets)
                ),
            )
    except av.error.FFmpegError as error:
        with open(path, "rb") as file:
            is_mp4 = file.read(12)[4:8] == b"ftyp"
        reason = "an mp4 that is truncated or damaged" if is_mp4 else "not a video that can be read"
        if isinstance(error, av.error.EOFError):
            reason = "no frame: the file ends before the first"
        raise VideoError(path, f"{reason} ({error.strerror})") from error


def _groups_are_closed(packets: list[tuple]) -> bool:
    """Whether no frame stored after a key frame is shown before it: such a frame needs the group before."""
    key_time = None
    for pts, is_key, _ in packets:
        if is_key:
            key_time = pts
        elif key_time is None or pts < key_time:
            return False
    return True


def _decode_decord(path, wanted: np.ndarray, total: int) -> np.ndarray | None:
    """Frames (T, H, W, 3) by decord, or None where decord is missing, fails, or counts other frames than the file."""
    try:
        import torch  # noqa: F401, I001  # before decord: the other way round, a later use of CUDA crashes
        import decord
    except (ImportError, OSError, RuntimeError):
        return None
    try:
        reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
        pixels = reader.get_batch(wanted.tolist()).asnumpy()
    except Exception:  # DECORDError derives from Exception; PyAV decodes next and gives the reason if it fails too
        return None
    return pixels if len(reader) == total else None


def _decode_pyav(path, wanted: np.ndarray, layout: _Layout, max_pixels: int | None) -> list[np.ndarray]:
    """The wanted frames, each (H, W, 3)."""
    frames = _decoded(path, layout, partial(av.VideoFrame.to_ndarray, format="rgb24"), set(wanted.tolist()))
    kept = [_shrink(np.ascontiguousarray(pixels), max_pixels) for pixels in frames]  # at once: 4K frames are 25 MB
    if len({frame.shape for frame in kept}) > 1:
        raise VideoError(path, "the frame size changes within the clip")
    return kept


def _decoded(path, layout: _Layout, convert: Callable[[av.VideoFrame], np.ndarray], wanted: set[int]) -> Iterator:
    """The wanted frames converted and turned upright, one by one, by decoding from the start up to the last of them."""
    found = 0
    try:
        with av.open(str(path)) as container:
            for number, frame in enumerate(container.decode(container.streams[layout.stream_index])):
                if layout.times_follow_frames and frame.pts != layout.times[number]:
                    raise VideoError(path, f"truncated or damaged: frame {number} cannot be decoded")
                if number in wanted:
                    found += 1
                    yield np.rot90(convert(frame), layout.quarter_turns)
                if found == len(wanted):
                    break
    except av.error.FFmpegError as error:
        raise VideoError(path, f"truncated or damaged: decoding stopped ({error.strerror})") from error
    if found < len(wanted):
        raise VideoError(path, f"truncated or damaged: it announces {len(layout.times)} frames, fewer can be decoded")


def _stored_luma(frame: av.VideoFrame) -> np.ndarray:
    plane = frame.reformat(format="yuv420p").planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)  # a line may be padded
    return rows[: frame.height, : frame.width].copy()


def _shrink(frame: np.ndarray, max_pixels: int | None) -> np.ndarray:
    """Frame (H, W, 3) with at most max_pixels pixels, aspect kept."""
    height, width = frame.shape[:2]
    if max_pixels is None or height * width <= max_pixels:
        return frame
    scale = (max_pixels / (height * width)) ** 0.5
    # a side cannot be below 1, so in a very long strip the other side has to keep the bound
    new_height = max(1, min(int(height * scale), max_pixels))
    new_width = max(1, min(int(width * scale), max_pixels // new_height))
    return cv2.resize(frame, (new_width, new_height), interpolation=cv2.INTER_AREA)
