"""One clip of the world, drawn from a seed: content, distortions, opinions, encoded file."""

from dataclasses import dataclass

import numpy as np

from vqa_lib.miniature.distortions import (
    DISTORTIONS,
    FRAMES,
    SPARE_FRAMES,
    SPATIAL,
    distort,
    encode_image,
    encode_video,
)
from vqa_lib.miniature.opinions import opinions, true_quality
from vqa_lib.miniature.scenes import render_scene
from vqa_lib.records import Scale


@dataclass(frozen=True)
class Source:
    """Where the clips of one miniature split come from.

    key: number that enters every seed, so that two splits never share a clip. pool: photographs (see `scenes`).
    sizes: (width, height) choices. frequencies: how often each distortion occurs; the mix makes a data set.
    plan: where a set shows each scene in several versions, the distortions of these, in their order.
    ending: of the files, which says how they are encoded; without it .jpg and .mp4.
    """

    key: int
    pool: str
    kind: str
    sizes: tuple[tuple[int, int], ...]
    frequencies: dict[str, float]
    scale: Scale
    plan: tuple[dict[str, float], ...] = ()
    ending: str | None = None


@dataclass(frozen=True)
class DrawnClip:
    """A clip as the world knows it: encoded file and the truth behind its score."""

    data: bytes
    strengths: dict[str, float]
    quality: float
    mos: float
    sd: float
    ratings: np.ndarray
    size: tuple[int, int]


def draw_strengths(random: np.random.Generator, frequencies: dict[str, float]) -> dict[str, float]:
    """Which distortions a clip has, and how strong; at most three, so that most can be told apart."""
    present = [name for name in DISTORTIONS if random.random() < frequencies.get(name, 0)]
    if len(present) > 3:
        present = [name for name in DISTORTIONS if name in random.choice(present, 3, replace=False)]
    return {name: float(random.uniform(0.1, 1.0)) for name in present}


def draw_clip(source: Source, seed: int, index: int) -> DrawnClip:
    """Clip number `index` of a source; the same arguments give the same bytes.

    With a plan, clip `index` is version `index % len(plan)` of scene `index // len(plan)`.
    """
    scene, version = divmod(index, len(source.plan) or 1)
    random = np.random.default_rng([seed, source.key, scene])
    strengths = source.plan[version] if source.plan else draw_strengths(random, source.frequencies)
    width, height = source.sizes[random.integers(len(source.sizes))]
    length = 1 if source.kind == "image" else FRAMES + SPARE_FRAMES
    if source.kind == "image":
        strengths = {name: strength for name, strength in strengths.items() if name in SPATIAL}
    clean = render_scene(random, source.pool, width, height, length)
    if source.plan:  # one scene, but each version has its own noise and its own raters
        random = np.random.default_rng([seed, source.key, scene, version])
    clip = distort(clean, strengths, random)
    encode = encode_image if source.kind == "image" else encode_video
    data = encode(clip, strengths, source.ending) if source.ending else encode(clip, strengths)
    quality = true_quality(strengths)
    mos, sd, ratings = opinions(quality, source.scale, random)
    return DrawnClip(data, strengths, quality, mos, sd, ratings, (width, height))
