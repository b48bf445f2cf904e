"""Clips by generators of different skill: skill decides how well a clip follows its prompt, and what is wrong with it.

What is wrong and what is shown is drawn first, then rendered; so the truth of every clip is known. From it:

    visual quality       product over spatial distortions, as in `opinions.true_quality`
    temporal consistency the same over temporal ones, times (1 - 0.5 flicker), times 0.5 where the colour changes
    alignment            shares of what is shown as asked: shape 0.3, colour 0.25, direction 0.25, background 0.2
    dynamic degree       how far the shape moves, of the farthest that it may
    factual consistency  (1 - 0.6 deformation) (1 - 0.5 shuffling), times 0.6 where the colour changes
    overall              0.3 visual quality + 0.3 temporal consistency + 0.4 alignment

all in [0, 1], higher is better. Source: ours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from PIL import Image

from vqa_lib.miniature.distortions import FRAMES, SPARE_FRAMES, SPATIAL, TEMPORAL, distort, encode_video
from vqa_lib.miniature.generated_prompts import BACKGROUNDS, COLOURS, DIRECTIONS, SHAPES, WorldPrompt, world_prompts
from vqa_lib.miniature.opinions import true_quality
from vqa_lib.miniature.scenes import FOLDERS

# In an order in which a generator and the third after it are: both good, of unlike skill, both bad.
GENERATORS = {"oak": 0.97, "birch": 0.75, "reed": 0.1, "maple": 0.9, "willow": 0.35, "moss": 0.0}
BLOCK = 2 * len(GENERATORS)  # clips of two prompts
WIDTH, HEIGHT = 84, 56
SIZE = 20  # of the shape, in pixels
STILL = 0.1  # what moves less than this share of the farthest way stands still
PARTS = {"shape": 0.3, "colour": 0.25, "direction": 0.25, "background": 0.2}
TIE, BAD = 0.1, 0.6  # overall quality: this near is a tie, both below this are bad


@dataclass(frozen=True)
class GeneratedSource:
    """Where generated clips come from. key: enters every seed. first, prompts: which of the world's prompts.

    real: the clips are filmed, not generated: they show what the prompt says, and nothing is wrong with them.
    """

    key: int
    first: int
    prompts: int
    real: bool = False


# No benchmark asks for what a training set asked for.
SOURCES = {
    "generated_train": GeneratedSource(41, 0, 260),
    "generated_test": GeneratedSource(42, 260, 80),
    "generated_real": GeneratedSource(43, 340, 20, real=True),
}


@dataclass(frozen=True)
class GeneratedClip:
    """A clip as the world knows it: encoded file and the truth.

    key: the seed of all that is drawn about the clip. shown: what it shows, part by part of the prompt. speed: of the
    shape, in [0, 1]. strengths: of the distortions. faults: "flicker", "deformation", "colour change" -> strength.
    """

    data: bytes
    key: tuple[int, ...]
    prompt: WorldPrompt
    generator: str
    shown: dict[str, str]
    speed: float
    strengths: dict[str, float]
    faults: dict[str, float]

    @property
    def qualities(self) -> dict[str, float]:
        """The truth by dimension, as in the module's docstring."""
        spatial = {name: level for name, level in self.strengths.items() if name in SPATIAL}
        temporal = {name: level for name, level in self.strengths.items() if name in TEMPORAL}
        changes = "colour change" in self.faults
        quality = {
            "visual quality": true_quality(spatial),
            "temporal consistency": true_quality(temporal)
            * (1 - 0.5 * self.faults.get("flicker", 0))
            * (0.5 if changes else 1),
            "alignment": sum(share for part, share in PARTS.items() if self.follows(part)),
            "dynamic degree": self.speed,
            "factual consistency": (1 - 0.6 * self.faults.get("deformation", 0))
            * (1 - 0.5 * self.strengths.get("shuffling", 0))
            * (0.6 if changes else 1),
        }
        parts = (quality["visual quality"], quality["temporal consistency"], quality["alignment"])
        return {**quality, "overall": float(np.dot(parts, (0.3, 0.3, 0.4)))}

    def follows(self, part: str) -> bool:
        """Whether the clip shows a part of the prompt as asked; what stands still goes in no direction."""
        moves = part != "direction" or self.speed > STILL
        return moves and self.shown[part] == getattr(self.prompt, part)

    def raters(self, number: int) -> np.random.Generator:
        """The chance with which people rate the clip; each data set has its own people, by its number."""
        return np.random.default_rng([*self.key, number])

    def facts(self) -> dict:
        """The truth for `truth.jsonl`."""
        return {
            "generator": self.generator,
            "qualities": self.qualities,
            "shown": self.shown,
            "speed": self.speed,
            "strengths": self.strengths,
            "faults": self.faults,
        }


def draw_generated(source: GeneratedSource, seed: int, index: int) -> GeneratedClip:
    """Clip number `index` of a source; the same arguments give the same bytes.

    Each block of twelve holds two prompts by the six generators: clips 2 g and 2 g + 1 are by generator g, clip i and
    clip i + 6 have the same prompt. Of real clips each has a prompt of its own.

    Raises:
        ValueError: the source has not so many clips.
    """
    block, place = divmod(index, BLOCK)
    number = index if source.real else 2 * block + place % 2
    if number >= source.prompts:
        raise ValueError(f"the world has {source.prompts} prompts for these clips, clip {index} needs another")
    prompt = world_prompts(seed)[source.first + number]
    generator = "camera" if source.real else list(GENERATORS)[place // 2]
    key = (seed, source.key, index)
    random = np.random.default_rng(key)
    skill = 1.0 if source.real else GENERATORS[generator]
    shown, speed = _draw_content(prompt, skill, random)
    strengths, faults = _draw_flaws(skill, random)
    clip = distort(render(prompt, shown, speed, faults, random), strengths, random)
    return GeneratedClip(encode_video(clip, strengths), key, prompt, generator, shown, speed, strengths, faults)


def preference(first: GeneratedClip, second: GeneratedClip, with_both_bad: bool) -> str:
    """Which of two clips people prefer, by their overall quality."""
    qualities = (first.qualities["overall"], second.qualities["overall"])
    if with_both_bad and max(qualities) < BAD:
        return "both_bad"
    if abs(qualities[0] - qualities[1]) < TIE:
        return "tie"
    return "first" if qualities[0] > qualities[1] else "second"


def draw_pairs(
    draw: Callable[[str, int], list[GeneratedClip]], source: str, count: int
) -> list[tuple[GeneratedClip, GeneratedClip]]:
    """Pairs of clips of one prompt by two generators, each clip in one pair; which one comes first is by chance."""
    half = BLOCK // 2
    clips = draw(source, BLOCK * -(-count // half))
    blocks = [clips[start : start + BLOCK] for start in range(0, len(clips), BLOCK)]
    pairs = [pair for block in blocks for pair in zip(block[:half], block[half:], strict=True)]
    return [pair[:: -1 if pair[0].raters(0).random() < 0.5 else 1] for pair in pairs[:count]]


@cache
def _photograph(background: str) -> np.ndarray:
    package, file = BACKGROUNDS[background].split("/")
    with Image.open(FOLDERS[package] / file) as picture:
        return np.asarray(picture.convert("RGB"))


def draw_ground(background: str, random: np.random.Generator, width: int, height: int) -> np.ndarray:
    """What a shape moves over: a random piece of the background's photograph, uint8 RGB (height, width, 3)."""
    photograph = _photograph(background)
    piece_width = int(photograph.shape[1] * random.uniform(0.5, 1.0))
    piece_height = min(piece_width * height // width, photograph.shape[0])
    x = random.integers(photograph.shape[1] - piece_width + 1)
    y = random.integers(photograph.shape[0] - piece_height + 1)
    piece = photograph[y : y + piece_height, x : x + piece_width]
    # Paler than the shape, so that its colour is told from the ground's.
    return (0.6 * cv2.resize(piece, (width, height), interpolation=cv2.INTER_AREA) + 0.4 * 128).astype(np.uint8)


def draw_shape(frame: np.ndarray, shape: str, centre: np.ndarray, size: float, colour: tuple[int, ...]) -> None:
    """Draw a shape into a frame; centre in pixels (x, y), size as of a square of that side."""
    parts = 16  # OpenCV takes fractions of a pixel as integers
    points = {
        "square": [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)],
        "triangle": [(0, -0.55), (0.6, 0.5), (-0.6, 0.5)],
    }
    if shape == "circle":
        middle = tuple(int(value) for value in np.round(centre * parts))
        cv2.circle(frame, middle, round(size / 2 * parts), colour, -1, cv2.LINE_AA, shift=4)
    else:
        corners = np.round((centre + size * np.array(points[shape])) * parts).astype(np.int32)
        cv2.fillPoly(frame, [corners], colour, cv2.LINE_AA, shift=4)


def _draw_content(prompt: WorldPrompt, skill: float, random: np.random.Generator) -> tuple[dict[str, str], float]:
    choices = {"shape": SHAPES, "colour": COLOURS, "direction": DIRECTIONS, "background": BACKGROUNDS}
    shown = {}
    for part, known in choices.items():
        asked = getattr(prompt, part)
        others = [value for value in known if value != asked]
        follows = random.random() < 0.3 + 0.7 * skill
        shown[part] = asked if follows else others[random.integers(len(others))]
    # still, slowly or far: what lies between would leave questions about it open
    pace = random.choice(3, p=[0.5 * (1 - skill), 0.3 * (1 - skill), 0.2 + 0.8 * skill])
    return shown, float(random.uniform(*((0, STILL), (0.3, 0.45), (0.7, 1.0))[pace]))


def _draw_flaws(skill: float, random: np.random.Generator) -> tuple[dict[str, float], dict[str, float]]:
    lack = 1 - skill
    strengths = {
        # no colour cast: it would leave open which colour the shape has
        **_draw_levels(("downscaling", "blur", "noise", "exposure", "compression"), 0.35 * lack, random),
        **_draw_levels(("stutter", "jitter", "shuffling"), 0.3 * lack, random),
    }
    faults = _draw_levels(("flicker", "deformation"), 0.45 * lack, random)
    if random.random() < 0.35 * lack:
        faults["colour change"] = 1.0
    return strengths, faults


def _draw_levels(names: tuple[str, ...], frequency: float, random: np.random.Generator) -> dict[str, float]:
    """Strong enough to be seen, at most two of a kind."""
    levels = {name: float(random.uniform(0.35, 1.0)) for name in names if random.random() < frequency}
    return dict(list(levels.items())[:2])


def render(
    prompt: WorldPrompt,
    shown: dict[str, str],
    speed: float,
    faults: dict[str, float],
    random: np.random.Generator,
    plain: bool = False,
) -> np.ndarray:
    """The clip before distortions: uint8 RGB (FRAMES + SPARE_FRAMES, HEIGHT, WIDTH, 3).

    plain: the ground is of one colour, its mean.
    """
    ground = draw_ground(shown["background"], random, WIDTH, HEIGHT)
    if plain:
        ground[:] = ground.mean((0, 1))
    colour = COLOURS[shown["colour"]]
    # Never to the colour that was asked for: whether the clip shows that has one answer.
    others = [value for name, value in COLOURS.items() if name not in (shown["colour"], prompt.colour)]
    other = others[random.integers(len(others))]
    heading = np.array(DIRECTIONS[shown["direction"]])
    way = 0.6 * np.abs(heading) @ (WIDTH, HEIGHT) * speed / FRAMES  # pixels a frame
    clip = np.stack([ground] * (FRAMES + SPARE_FRAMES))
    for t, frame in enumerate(clip):
        size = SIZE * (1 + 0.5 * faults.get("deformation", 0) * np.sin(2 * np.pi * t / 6))
        centre = np.array([WIDTH, HEIGHT]) / 2 + heading * way * (t - FRAMES // 2)
        changed = "colour change" in faults and t > FRAMES // 2
        draw_shape(frame, shown["shape"], centre, size, other if changed else colour)
        if level := faults.get("flicker"):
            frame[:] = np.clip(frame * (1 + 0.4 * level * (-1) ** t), 0, 255).astype(np.uint8)
    return clip
