"""The prompts of the world: a coloured shape moves over something, as in "a red circle moves left over bricks"."""

from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

SHAPES = ("circle", "square", "triangle")
COLOURS = {
    "red": (215, 40, 40),
    "green": (40, 170, 60),
    "blue": (45, 80, 220),
    "yellow": (235, 215, 40),
    "white": (245, 245, 245),
    "black": (15, 15, 15),
}
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
# Photographs of the training pool only: generated clips show nothing of what natural video is tested on.
BACKGROUNDS = {
    "bricks": "skimage/brick.png",
    "gravel": "skimage/gravel.png",
    "stars": "skimage/hubble_deep_field.jpg",
    "a printed page": "skimage/page.png",
    "a palace": "sklearn/china.jpg",
}
ENDINGS = ("", "", "", ", filmed calmly", "; no sound")  # prompts of people have commas and semicolons


@dataclass(frozen=True)
class WorldPrompt:
    """What a generator is asked for.

    Example:
        >>> WorldPrompt("circle", "red", "left", "bricks").text
        'a red circle moves left over bricks'
    """

    shape: str
    colour: str
    direction: str
    background: str
    ending: str = ""

    @property
    def text(self) -> str:
        return f"a {self.colour} {self.shape} moves {self.direction} over {self.background}{self.ending}"


@cache
def world_prompts(seed: int) -> tuple[WorldPrompt, ...]:
    """All prompts, each once, in the order of the seed."""
    every = list(product(SHAPES, COLOURS, DIRECTIONS, BACKGROUNDS))
    order = np.random.default_rng([seed, 40]).permutation(len(every))
    return tuple(WorldPrompt(*every[number], ENDINGS[place % len(ENDINGS)]) for place, number in enumerate(order))
