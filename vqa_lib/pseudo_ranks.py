"""Videos to rank without asking anybody: copies of a clip, spoiled more and more, whose order is known.

VQAThinker names large-scale synthetic distortions with pseudo-labels as future work; this is the smallest form of it.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vqa_lib.miniature.distortions import DISTORTIONS, FRAMES, SPARE_FRAMES, distort, encode_video
from vqa_lib.records import Scale, ScoredClip
from vqa_lib.video import FramePolicy, read_video

PSEUDO = Scale(1, 5)  # of the pseudo-labels: 5 for the clip as it is, 1 for its worst copy


def spoiled_copies(
    videos: Iterable[str | Path],
    folder: str | Path,
    levels: Sequence[float] = (0.0, 0.33, 0.66, 1.0),
    max_pixels: int | None = None,
    seed: int = 0,
) -> list[ScoredClip]:
    """Write copies of each video, spoiled by one distortion drawn for it, at several levels.

    A label is 5 - 4 level: it says nothing of how good a copy is, but copies of one video follow their labels in order,
    and over many videos a copy of a higher level is worse on average. Train on it with the ranking reward alone.
    Copies that are there already are kept. A copy is two seconds of 15 frames.

    Args:
        videos: files; no score of theirs is known or asked for.
        folder: where the copies go.
        levels: of the distortion, in [0, 1]; 0 is the clip as it is.
        max_pixels: pixels a frame of a copy; larger videos are shrunk.
        seed: of the distortions.

    Raises:
        ValueError: levels outside [0, 1], or fewer than two different ones.
        VideoError: a video that cannot be read.

    Example:
        copies = spoiled_copies(Path("my_videos").glob("*.mp4"), "data/pseudo")
    """
    if len(set(levels)) < 2 or len(set(levels)) < len(levels) or not all(0 <= level <= 1 for level in levels):
        raise ValueError(f"levels must be two or more different numbers in [0, 1], got {list(levels)}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    policy = FramePolicy(count=FRAMES, max_pixels=max_pixels)
    records = []
    for number, video in enumerate(tqdm(list(videos), desc="spoiling", unit="video", mininterval=5)):
        random = np.random.default_rng([seed, number])
        distortion = str(random.choice(DISTORTIONS))
        names = [f"{number:05d}_{distortion}_{round(100 * level):03d}" for level in levels]
        if not all((folder / f"{name}.mp4").exists() for name in names):
            _write(video, policy, distortion, levels, [folder / f"{name}.mp4" for name in names], [seed, number])
        for name, level in zip(names, levels, strict=True):
            label = {"overall": PSEUDO.high - (PSEUDO.high - PSEUDO.low) * level}
            records.append(ScoredClip(name, folder / f"{name}.mp4", "video", label, PSEUDO, "pseudo", "train"))
    return records


def _write(video, policy: FramePolicy, distortion: str, levels: Sequence[float], files: list[Path], key) -> None:
    shown = read_video(video, policy).pixels
    height, width = (side - side % 2 for side in shown.shape[1:3])  # H.264 takes even sides only
    # Dropped frames jump ahead of the clip's end, where a copy stands still.
    scene = np.concatenate([shown, np.repeat(shown[-1:], SPARE_FRAMES, 0)])[:, :height, :width]
    for level, file in zip(levels, files, strict=True):
        strengths = {distortion: level} if level else {}
        data = encode_video(distort(scene, strengths, np.random.default_rng(key)), strengths)
        unfinished = file.with_suffix(".part")
        unfinished.write_bytes(data)
        os.replace(unfinished, file)
