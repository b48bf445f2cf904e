"""Undistorted clips: photographs panned and zoomed, with textured objects moving before them.

The photographs ship inside scikit-image and scikit-learn, so nothing is downloaded. Training and test scenes are
cut from different photographs: what a model scores on the test sets it has not seen in any form.
"""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import skimage
import sklearn
from PIL import Image

# No photograph stands in two pools. "other" serves the sets that are only ever tested on (KoNViD-1k, LIVE-VQC).
PHOTOGRAPHS = {
    "train": [
        "skimage/astronaut.png",
        "skimage/brick.png",
        "skimage/chelsea.png",
        "skimage/gravel.png",
        "skimage/hubble_deep_field.jpg",
        "skimage/ihc.png",
        "skimage/retina.jpg",
        "skimage/clock_motion.png",
        "skimage/page.png",
        "sklearn/china.jpg",
    ],
    "test": [
        "skimage/coffee.png",
        "skimage/camera.png",
        "skimage/grass.png",
        "skimage/motorcycle_left.png",
        "sklearn/flower.jpg",
    ],
    "other": [
        "skimage/rocket.jpg",
        "skimage/coins.png",
        "skimage/moon.png",
        "skimage/text.png",
    ],
}
FOLDERS = {
    "skimage": Path(skimage.__file__).parent / "data",
    "sklearn": Path(sklearn.__file__).parent / "datasets" / "images",
}


@cache
def photographs(pool: str) -> list[np.ndarray]:
    """The photographs of a pool as uint8 RGB arrays (H, W, 3)."""
    pictures = []
    for name in PHOTOGRAPHS[pool]:
        package, file = name.split("/")
        with Image.open(FOLDERS[package] / file) as picture:
            pictures.append(np.asarray(picture.convert("RGB")))
    return pictures


def render_scene(random: np.random.Generator, pool: str, width: int, height: int, frames: int) -> np.ndarray:
    """A clip without distortions, uint8 RGB (frames, height, width, 3)."""
    background, margin = _background(random, pool, width, height, frames)
    objects = [_moving_object(random, pool, width, height) for _ in range(random.integers(0, 4))]
    direction = random.uniform(0, 2 * np.pi)
    speed = random.uniform(0.8, 2.2) * width / 84  # pixels a frame, so that large and small clips move alike
    zoom = random.uniform(-0.012, 0.012)
    clip = np.empty((frames, height, width, 3), np.uint8)
    for t in range(frames):
        scale = np.exp(zoom * t)
        x = margin + np.cos(direction) * speed * (t - frames / 2)
        y = margin + np.sin(direction) * speed * (t - frames / 2)
        view = np.float32(
            [[1 / scale, 0, x + width / 2 * (1 - 1 / scale)], [0, 1 / scale, y + height / 2 * (1 - 1 / scale)]]
        )
        clip[t] = cv2.warpAffine(
            background,
            view,
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT,
        )
        for patch, mask, start, velocity in objects:
            _paste(clip[t], patch, mask, start + velocity * t)
    return clip


def _crop(random: np.random.Generator, pool: str, width: int, height: int) -> np.ndarray:
    """A random piece of a random photograph at the wanted size, flipped, its light changed a little."""
    photograph = np.rot90(photographs(pool)[random.integers(len(photographs(pool)))], random.integers(4))
    largest = min(photograph.shape[1] / width, photograph.shape[0] / height)
    scale = random.uniform(0.35, 1.0) * largest
    crop_width, crop_height = int(width * scale), int(height * scale)
    x = random.integers(0, photograph.shape[1] - crop_width + 1)
    y = random.integers(0, photograph.shape[0] - crop_height + 1)
    piece = cv2.resize(
        photograph[y : y + crop_height, x : x + crop_width], (width, height), interpolation=cv2.INTER_AREA
    )
    if random.random() < 0.5:
        piece = piece[:, ::-1]
    piece = piece.astype(np.float32)
    piece = (piece - piece.mean()) * random.uniform(0.7, 1.2) + random.uniform(95, 150)
    return np.clip(piece, 0, 255).astype(np.uint8)


def _background(random, pool, width, height, frames) -> tuple[np.ndarray, int]:
    margin = int(np.ceil(2.2 * width / 84 * frames / 2)) + 2  # the fastest pan stays inside the picture
    return _crop(random, pool, width + 2 * margin, height + 2 * margin), margin


def _moving_object(random, pool, width, height):
    size = int(random.integers(height // 5, height // 2))
    patch = _crop(random, pool, size, size)
    if random.random() < 0.5:  # half of the objects are tinted so that they stand out
        patch = (0.5 * patch + 0.5 * random.integers(0, 256, 3)).astype(np.uint8)
    mask = np.zeros((size, size), np.uint8)
    if random.random() < 0.5:
        cv2.circle(mask, (size // 2, size // 2), size // 2, 255, -1, cv2.LINE_AA)
    else:
        mask[:] = 255
    start = random.uniform([-size / 2, -size / 2], [width - size / 2, height - size / 2])
    velocity = random.uniform(-2.5, 2.5, 2) * width / 84
    return patch, (mask / 255.0).astype(np.float32)[..., None], start, velocity


def _paste(frame: np.ndarray, patch: np.ndarray, mask: np.ndarray, position: np.ndarray) -> None:
    height, width = frame.shape[:2]
    size = len(patch)
    x, y = (round(float(value)) for value in position)
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + size, width), min(y + size, height)
    if left >= right or top >= bottom:
        return
    inside = np.s_[top - y : bottom - y, left - x : right - x]
    area = frame[top:bottom, left:right]
    area[:] = (mask[inside] * patch[inside] + (1 - mask[inside]) * area).astype(np.uint8)
