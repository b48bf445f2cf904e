"""Keep sampled frames on disk, so that every epoch after the first decodes nothing.

One uncompressed .npz per clip and policy, in one folder that several processes may share. The module holds no frames in
memory. An entry that is gone or damaged is decoded again; a folder that cannot be written raises OSError.
"""

import hashlib
import os
import time
import uuid
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
from filelock import FileLock

from vqa_lib.video import FramePolicy, Frames, read_frames, require_file

FORMAT = 1  # part of every key: raise it when the reading of frames changes, so that old entries are not used
EDGE_BYTES = 2**20
STALE_SECONDS = 3600


def content_digest(path) -> str:
    """A hash that changes when the file does: size, modification time, first and last MiB.

    Not of the whole content, which would cost more than decoding: an edit in the middle that keeps size and
    modification time goes unnoticed. A copy with another modification time counts as another file.
    Raises VideoError for a missing or empty file.

    Example:
        content_digest("clip.mp4")  # "5f3c..." (64 hex digits)
    """
    require_file(path)
    status = os.stat(path)
    digest = hashlib.sha256(f"{status.st_size} {status.st_mtime_ns} ".encode())
    with open(path, "rb") as file:
        digest.update(file.read(EDGE_BYTES))
        file.seek(max(EDGE_BYTES, status.st_size - EDGE_BYTES))
        digest.update(file.read(EDGE_BYTES))
    return digest.hexdigest()


class FrameCache:
    """Frames of clips under `folder`, at most `max_bytes` of them; the least recently used go first.

    Safe for threads and processes. `hits` and `misses` count the calls of this process (several threads of one process
    may lose a count). The total size lives in a file beside the entries, so that a call lists the folder only where the
    bound is reached. A clip whose frames alone exceed max_bytes is decoded each time.

    Example:
        cache = FrameCache("cache", max_bytes=2 * 2**30)
        frames = cache.get("clip.mp4", "video", FramePolicy(count=8))
    """

    def __init__(self, folder, max_bytes: int = 20 * 2**30, reader: str = "decord"):
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self.reader = reader
        self.hits = 0
        self.misses = 0
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock():
            self._make_room()  # counts what is there, and obeys a bound that was lowered

    def get(self, path, kind: str, policy: FramePolicy) -> Frames:
        """The frames of a clip, from the folder or else decoded and stored. Raises VideoError as read_frames does."""
        entry = self.entry_path(path, kind, policy)
        frames = _load(entry)
        if frames is not None:
            self.hits += 1
            return frames
        self.misses += 1
        frames = read_frames(path, kind, policy, self.reader)
        self._store(entry, frames)
        return frames

    def entry_path(self, path, kind: str, policy: FramePolicy) -> Path:
        """Where the frames of this clip are kept: named by file content, kind, policy and reader."""
        parts = (FORMAT, content_digest(path), kind, policy.digest(), self.reader)
        return self.folder / (hashlib.sha256(repr(parts).encode()).hexdigest()[:40] + ".npz")

    def _lock(self) -> FileLock:
        return FileLock(self.folder / "lock")  # a new one each time: a kept one cannot be sent to worker processes

    def _store(self, entry: Path, frames: Frames) -> None:
        temporary = self.folder / f"{uuid.uuid4().hex}.tmp"
        try:
            with open(temporary, "xb") as file:
                np.savez(
                    file,
                    pixels=frames.pixels,
                    indices=frames.indices,
                    total=frames.total,
                    fps=frames.fps,
                    seconds=frames.seconds,
                )
            size = temporary.stat().st_size
            if size > self.max_bytes:
                return
            with self._lock():
                os.replace(temporary, entry)
                total = self._read_total() + size  # an entry written twice counts twice, until the next listing
                if total > self.max_bytes:
                    self._make_room(keep=entry)
                else:
                    self._write_total(total)
        finally:
            temporary.unlink(missing_ok=True)

    def _make_room(self, keep: Path | None = None) -> None:
        """List the folder and, above the bound, remove the oldest entries but `keep`. The caller holds the lock."""
        entries = []
        for file in self.folder.glob("*.npz"):
            status = file.stat()
            entries.append((status.st_mtime_ns, status.st_size, file))
        for file in self.folder.glob("*.tmp"):
            with suppress(FileNotFoundError):  # its writer may finish meanwhile
                if time.time() - file.stat().st_mtime > STALE_SECONDS:
                    file.unlink()  # left by a process that was killed while writing
        total = sum(size for _, size, _ in entries)
        if total > self.max_bytes:
            for _, size, file in sorted(entries):
                if total <= 0.9 * self.max_bytes:  # some slack, or every later call would list the folder
                    break
                if file != keep:
                    file.unlink(missing_ok=True)
                    total -= size
        self._write_total(total)

    def _read_total(self) -> int:
        try:
            return int((self.folder / "total").read_text())
        except (FileNotFoundError, ValueError):  # removed by hand, or emptied by a crash of the machine
            return self.max_bytes  # makes the caller list the folder

    def _write_total(self, total: int) -> None:
        temporary = self.folder / "total.new"  # one writer at a time, by the lock
        temporary.write_text(str(total))
        os.replace(temporary, self.folder / "total")


def _load(entry: Path) -> Frames | None:
    """The frames of an entry, or None where it is missing, torn or damaged (the zip format has check sums)."""
    try:
        with open(entry, "rb") as file, np.load(file, allow_pickle=False) as arrays:  # np.load(path) leaks on damage
            frames = Frames(
                pixels=arrays["pixels"],
                indices=arrays["indices"],
                total=int(arrays["total"]),
                fps=float(arrays["fps"]),
                seconds=arrays["seconds"],
            )
        os.utime(entry)  # the mark of use that decides what is removed first
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile):
        return None
    return frames
