"""VIIDEO against the same formulas written out block by block, and what it says of bad input."""

import numpy as np
import pytest
from scipy.ndimage import correlate, gaussian_filter
from scipy.special import gamma

from vqa_lib.viideo import viideo

SHAPES = np.arange(0.2, 5 + 1e-9, 0.01)
RATIOS = gamma(2 / SHAPES) ** 2 / (gamma(1 / SHAPES) * gamma(3 / SHAPES))


def fit(block):
    """Shape and both widths of an asymmetric generalised Gaussian, of one block; none where a side of it is empty."""
    if not ((block < 0).any() and (block > 0).any()):
        return [np.nan] * 3
    left, right = np.sqrt(np.mean(block[block < 0] ** 2)), np.sqrt(np.mean(block[block > 0] ** 2))
    ratio = left / right
    wanted = np.mean(np.abs(block)) ** 2 / np.mean(block**2) * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    shape = SHAPES[np.argmin((RATIOS - wanted) ** 2)]
    width = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return [shape, left * width, right * width]


def blocks(image):
    rows, columns = (-(-size // 18) for size in image.shape)
    padded = np.zeros((rows * 18 + 16, columns * 18 + 16))
    padded[8 : 8 + image.shape[0], 8 : 8 + image.shape[1]] = image
    return [
        padded[row * 18 : row * 18 + 34, column * 18 : column * 18 + 34]
        for row in range(rows)
        for column in range(columns)
    ]


def written_out(frames):
    offsets = np.arange(7) - 3
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * (7 / 6) ** 2))
    window /= window.sum()
    features = []
    for first, second in zip(frames[::2], frames[1::2], strict=False):
        signal, scales = first - second, []
        for _ in range(2):
            mean = correlate(signal, window, mode="nearest")
            spread = np.sqrt(np.abs(correlate(signal**2, window, mode="nearest") - mean**2))
            normal = (signal - mean) / (spread + 1)
            shifted = [np.roll(normal, shift, (0, 1)) for shift in ((1, 0), (0, 1), (1, 1), (1, -1))]
            fits = [[fit(block) for block in blocks(normal * each)] for each in shifted]
            scales.append(np.concatenate(fits, axis=1))
            signal = mean
        features.append(scales)
    changes = np.abs(np.diff(np.array(features), axis=0))  # (changes, scales, blocks, 12)
    gap = len(changes) // 10
    agreement = []
    for start in range(0, len(changes), max(1, int(np.floor(gap / 2 + 0.5)))):
        rows = changes[start : start + gap + 1].transpose(0, 2, 1, 3).reshape(-1, 2, 12)
        fine, coarse = rows[np.isfinite(rows).all(axis=(1, 2))].transpose(1, 0, 2)
        agreement.append(np.mean([np.corrcoef(fine[:, each], coarse[:, each])[0, 1] for each in range(12)]))
    return np.mean(agreement) + np.mean(np.abs(np.roll(agreement, 1) - agreement))


@pytest.mark.parametrize("shape", [(24, 54, 72), (15, 56, 84), (67, 37, 55)])  # with whole blocks, short, a gap of 3
def test_it_is_the_formula_written_out(shape):
    frames = gaussian_filter(np.random.default_rng(0).uniform(0, 255, shape), (1, 1.5, 1.5))
    assert viideo(frames) == pytest.approx(written_out(frames), abs=1e-12)


def test_frames_may_come_one_by_one_and_as_bytes():
    frames = np.random.default_rng(1).integers(0, 256, (12, 36, 54), dtype=np.uint8)
    assert viideo(iter(frames)) == viideo(frames.astype(float))


def test_a_block_in_which_nothing_changes_does_not_count():
    random = np.random.default_rng(2)
    frames = gaussian_filter(random.uniform(0, 255, (24, 108, 72)), (1, 1, 1))
    frames[:, 54:] = 100.0
    fits = [fit(block) for block in blocks(frames[0] - frames[1])]
    assert sum(np.isnan(values[0]) for values in fits) == 8  # of 24: those that no border joins to the moving half
    assert viideo(frames) == pytest.approx(written_out(frames), abs=1e-12)


@pytest.mark.parametrize("frames", [np.zeros((0, 36, 36)), np.zeros((3, 36, 36)), np.full((24, 36, 36), 9.0)])
def test_too_short_or_still_is_undefined(frames):
    assert np.isnan(viideo(frames))
