"""VIIDEO: what a video is worth by the regularity of its frame differences alone; it learnt from no video.

**Source**: Mittal, Saad and Bovik, "A Completely Blind Video Integrity Oracle", IEEE TIP 2016, and the code that they
released. In a natural video the differences of neighbouring frames, locally normalised, change over time in step at two
scales; distortions disturb that.
"""

from collections.abc import Iterable
from functools import cache

import numpy as np
from scipy.ndimage import correlate1d
from scipy.special import gamma

BLOCK = 18  # pixels a side; as released (the authors' own table has blocks of 72)
BORDER = 8  # pixels that a block looks beyond its edges; outside of the frame there are zeros
NEIGHBOURS = ((1, 0), (0, 1), (1, 1), (1, -1))
PIXELS = (BLOCK + 2 * BORDER) ** 2  # that a block sees
SHAPES = np.arange(20, 501) / 100  # of an asymmetric generalised Gaussian, as the release searches them
RATIOS = gamma(2 / SHAPES) ** 2 / (gamma(1 / SHAPES) * gamma(3 / SHAPES))
HALFWAY = (RATIOS[1:] + RATIOS[:-1]) / 2
WIDTHS = np.sqrt(gamma(1 / SHAPES) / gamma(3 / SHAPES))
_OFFSETS = np.arange(7) - 3
KERNEL = np.exp(-(_OFFSETS**2) / (2 * (7 / 6) ** 2))
KERNEL /= KERNEL.sum()


def viideo(frames: Iterable[np.ndarray]) -> float:
    """The VIIDEO score of a video, about 0 to 1.5; LOWER is better.

    frames: grey, (H, W), values 0 to 255, every frame of the video in order; two are held in memory at a time. Frames
    are taken two by two; where the release would have no window at all (less than 22 frames), windows hold one change.

    Returns:
        The score; NaN where it is undefined: less than four frames, or nothing that moves or changes.

    Example:
        noise = np.random.default_rng(0).normal(128, 20, (24, 54, 72))
        viideo(noise)
    """
    frames = iter(frames)
    features = np.array([_pair_features(*pair) for pair in zip(frames, frames, strict=False)])
    if len(features) < 2:
        return float("nan")
    changes = np.abs(np.diff(features, axis=0))  # (changes, blocks, scales, 12)
    gap = len(changes) // 10
    step = max(1, int(gap / 2 + 0.5))
    windows = (changes[start : start + gap + 1] for start in range(0, len(changes), step))
    agreement = np.array([value for window in windows if (value := _agreement(window)) is not None])
    jumps = np.abs(np.roll(agreement, 1) - agreement)
    defined = [values[np.isfinite(values)] for values in (agreement, jumps)]
    return float(sum(values.mean() for values in defined)) if all(map(len, defined)) else float("nan")


def _pair_features(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Of the difference of two frames: (blocks, 2 scales, 4 neighbours x shape and both widths); not finite: no fit."""
    signal = first.astype(np.float64) - second
    scales = []
    for _ in range(2):
        mean = _blurred(signal)
        spread = np.sqrt(np.abs(_blurred(signal**2) - mean**2))
        normal = (signal - mean) / (spread + 1)
        fits = [_fits(normal * np.roll(normal, shift, (0, 1))) for shift in NEIGHBOURS]
        scales.append(np.concatenate(fits, axis=1))
        signal = mean
    return np.stack(scales, axis=1)


def _blurred(image: np.ndarray) -> np.ndarray:
    return correlate1d(correlate1d(image, KERNEL, 0, mode="nearest"), KERNEL, 1, mode="nearest")


def _fits(product: np.ndarray) -> np.ndarray:
    """An asymmetric generalised Gaussian fitted to each block of (H, W) by its moments: (blocks, 3)."""
    squares, mean = product**2, _block_sums(np.abs(product)) / PIXELS
    tails = [(_block_sums(squares * side), _block_sums(side)) for side in (product < 0, product > 0)]
    square_mean = (tails[0][0] + tails[1][0]) / PIXELS
    with np.errstate(divide="ignore", invalid="ignore"):
        left, right = (np.sqrt(total / count) for total, count in tails)
        ratio = left / right
        wanted = mean**2 / square_mean * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    nearest = np.searchsorted(HALFWAY, wanted)
    return np.stack([SHAPES[nearest], left * WIDTHS[nearest], right * WIDTHS[nearest]], axis=-1).reshape(-1, 3)


def _block_sums(values: np.ndarray) -> np.ndarray:
    """Sums over blocks that overlap by their borders: (H, W) -> (rows, columns)."""
    rows, columns = (_blocks(size) for size in values.shape)
    return rows @ values @ columns.T


@cache
def _blocks(size: int) -> np.ndarray:
    """Which of `size` pixels in a line each block sees: (blocks, size)."""
    starts, pixels = np.arange(0, size, BLOCK)[:, None], np.arange(size)
    return ((pixels >= starts - BORDER) & (pixels < starts + BLOCK + BORDER)).astype(np.float64)


def _agreement(changes: np.ndarray) -> float | None:
    """How the changes of a window go together at the two scales: the mean correlation over features; None: no block."""
    rows = changes.reshape(-1, *changes.shape[-2:])
    rows = rows[np.isfinite(rows).all(axis=(1, 2))]
    if not len(rows):
        return None
    fine, coarse = (rows[:, scale] - rows[:, scale].mean(axis=0) for scale in range(2))
    with np.errstate(divide="ignore", invalid="ignore"):
        correlations = (fine * coarse).sum(0) / np.sqrt((fine**2).sum(0) * (coarse**2).sum(0))
    return float(correlations.mean())
