"""Frame orders for contrast groups: the frames stay, their order changes, so nothing is decoded again."""

from dataclasses import replace

import numpy as np

from vqa_lib.video import Frames


def shuffle(count: int, random: np.random.Generator) -> np.ndarray:
    """A random order of `count` frames that is not the original one.

    Source: VQ-Insight, "Temporal Modeling Reward" (after Video-R1's T-GRPO). Some permutations equal the original
    order; for a clip of a few frames they would turn up often enough to blunt the comparison, so they are drawn again.

    Raises:
        ValueError: fewer than two frames, which have no other order.
    """
    if count < 2:
        raise ValueError(f"a contrast needs at least 2 frames, got {count}")
    while True:
        order = random.permutation(count)
        if (order != np.arange(count)).any():
            return order


ORDERS = {"shuffle": shuffle}


def reorder(frames: Frames, order: np.ndarray) -> Frames:
    """The same clip with its frames shown in another order, at the original time stamps."""
    return replace(frames, pixels=frames.pixels[order])
