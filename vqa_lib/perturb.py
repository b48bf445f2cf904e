"""Frame orders for contrast groups: frames change places, repeat or go, so nothing is decoded again."""

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


def local_shuffle(count: int, random: np.random.Generator, window: int = 4) -> np.ndarray:
    """Frames shuffled within consecutive windows; those behind the last whole window stay.

    Source: VQAThinker, supplement, "Local Shuffle" (w = 4).
    """
    order = np.arange(count)
    for start in range(0, count - window + 1, window):
        random.shuffle(order[start : start + window])
    return order


def reverse(count: int, random: np.random.Generator) -> np.ndarray:
    """The last frame first. Source: VQAThinker, supplement, "Reverse"."""
    return np.arange(count)[::-1]


def jitter(count: int, random: np.random.Generator) -> np.ndarray:
    """Each frame replaced by itself or a neighbour, kept within the clip. Source: VQAThinker, supplement, "Jitter"."""
    return np.clip(np.arange(count) + random.integers(-1, 2, count), 0, count - 1)


def duplicate(count: int, random: np.random.Generator) -> np.ndarray:
    """One frame put in n more times at a random place, n others dropped, the length kept.

    Source: VQAThinker, supplement, "Duplicate"; n from 1 to 3 as in the official code, fewer in a very short clip.
    """
    copies = int(random.integers(1, min(3, count - 1) + 1))
    kept = np.sort(random.choice(count, count - copies, replace=False))
    return np.insert(kept, random.integers(len(kept) + 1), [random.integers(count)] * copies)


def drop(count: int, random: np.random.Generator) -> np.ndarray:
    """n frames gone, the others closed up.

    Source: VQAThinker, supplement, "Random Drop": shorter by n; n from 1 to 3 as in the official code, which shows
    black frames in their place instead.
    """
    gone = int(random.integers(1, min(3, count - 1) + 1))
    return np.sort(random.choice(count, count - gone, replace=False))


DAMAGES = (shuffle, local_shuffle, reverse, jitter, duplicate, drop)


def damage(count: int, random: np.random.Generator) -> np.ndarray:
    """One of DAMAGES, drawn at random, that changes the clip.

    Source: VQAThinker, supplement: "we randomly apply one of the temporal perturbation methods". A draw that changes
    nothing (a jitter of noughts) is drawn again.

    Raises:
        ValueError: fewer than two frames, which cannot be damaged.
    """
    if count < 2:
        raise ValueError(f"a contrast needs at least 2 frames, got {count}")
    while True:
        order = DAMAGES[random.integers(len(DAMAGES))](count, random)
        if not np.array_equal(order, np.arange(count)):
            return order


ORDERS = {"shuffle": shuffle, "damage": damage}


def reorder(frames: Frames, order: np.ndarray) -> Frames:
    """The same clip with its frames shown in another order, at the original time stamps; fewer frames end sooner."""
    kept = len(order)
    return replace(frames, pixels=frames.pixels[order], indices=frames.indices[:kept], seconds=frames.seconds[:kept])
