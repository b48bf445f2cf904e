"""The world's measures of a clip's pixels agree with the truth that the world drew."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from vqa_lib.generation.tiny import decode, to_generator_size
from vqa_lib.miniature.generated_clips import (
    GENERATORS,
    STILL,
    GeneratedSource,
    draw_generated,
    draw_ground,
    draw_shape,
)
from vqa_lib.miniature.generated_prompts import BACKGROUNDS, COLOURS, DIRECTIONS, SHAPES, WorldPrompt
from vqa_lib.miniature.measures import MEASURES, measure_clip

PROMPT = WorldPrompt("circle", "red", "left", "bricks")


def drawn(prompt: WorldPrompt, width: int = 84, height: int = 56, frames: int = 8, seed: int = 0) -> np.ndarray:
    """A clip without flaws that follows the prompt."""
    ground = draw_ground(prompt.background, np.random.default_rng(seed), width, height)
    clip = np.stack([ground] * frames)
    size = np.array([width, height])
    way = 0.5 * size * DIRECTIONS[prompt.direction]
    for frame, time in zip(clip, np.linspace(-0.5, 0.5, frames), strict=True):
        draw_shape(frame, prompt.shape, size / 2 + way * time, 20 * width / 84, COLOURS[prompt.colour])
    return clip


@pytest.fixture(scope="module")
def clips():
    return [draw_generated(GeneratedSource(91, 0, 260), seed, index) for seed in range(6) for index in range(12, 24)]


@pytest.mark.parametrize("at_generator_size", [False, True])
def test_measures_order_clips_as_the_truth_does(clips, at_generator_size):
    pixels = [decode(clip.data) for clip in clips]
    if at_generator_size:
        pixels = [to_generator_size(clip) for clip in pixels]
    measured = [measure_clip(shown, clip.prompt) for shown, clip in zip(pixels, clips, strict=True)]
    for name, bound in (("visual quality", 0.6), ("temporal consistency", 0.5), ("alignment", 0.75), ("overall", 0.75)):
        truth = [clip.qualities[name] for clip in clips]
        assert spearmanr([found[name] for found in measured], truth).statistic > bound, name
    for part in ("shape", "colour", "direction", "background"):
        shown = [clip.shown[part] if part != "direction" or clip.speed > STILL else "none" for clip in clips]
        agree = [found[part] == known for found, known in zip(measured, shown, strict=True)]
        assert np.mean(agree) > 0.7, part
        skilled = [same for same, clip in zip(agree, clips, strict=True) if GENERATORS[clip.generator] > 0.8]
        assert np.mean(skilled) > 0.9, part
    assert all(0 <= found[name] <= 1 for found in measured for name in MEASURES)


@pytest.mark.parametrize("size", [(84, 56), (80, 56)])
def test_every_part_is_recognised_in_clean_clips(size):
    for number in range(12):
        prompt = WorldPrompt(
            SHAPES[number % 3], list(COLOURS)[number % 6], list(DIRECTIONS)[number % 4], list(BACKGROUNDS)[number % 5]
        )
        found = measure_clip(drawn(prompt, *size, seed=number), prompt)
        assert {part: found[part] for part in ("shape", "colour", "direction")} == {
            part: getattr(prompt, part) for part in ("shape", "colour", "direction")
        }
        assert found["alignment"] >= 0.8
        assert min(found[name] for name in MEASURES) > 0.7


def test_alignment_is_the_sum_of_the_parts_that_follow():
    clip = drawn(PROMPT)
    assert measure_clip(clip, PROMPT)["alignment"] == pytest.approx(1.0)
    assert measure_clip(clip, WorldPrompt("square", "red", "left", "bricks"))["alignment"] == pytest.approx(0.7)
    assert measure_clip(clip, WorldPrompt("square", "blue", "left", "bricks"))["alignment"] == pytest.approx(0.45)
    assert measure_clip(clip[::-1], PROMPT)["alignment"] == pytest.approx(0.75)
    assert measure_clip(clip[::-1], PROMPT)["direction"] == "right"
    assert measure_clip(clip[[0] * 8], PROMPT)["direction"] == "none"


def test_each_flaw_lowers_its_own_measure():
    clip = drawn(PROMPT)
    clean = measure_clip(clip, PROMPT)
    random = np.random.default_rng(0)
    noisy = np.clip(clip + random.normal(0, 30, clip.shape), 0, 255).astype(np.uint8)
    assert measure_clip(noisy, PROMPT)["visual quality"] < 0.7 * clean["visual quality"]
    flicker = np.clip(clip * (1 + 0.3 * (-1.0) ** np.arange(8))[:, None, None, None], 0, 255).astype(np.uint8)
    for spoilt in (clip[[0, 5, 2, 7, 4, 1, 6, 3]], flicker):
        assert measure_clip(spoilt, PROMPT)["temporal consistency"] < 0.75 * clean["temporal consistency"]
    changed = np.concatenate([clip[:4], drawn(WorldPrompt("circle", "blue", "left", "bricks"))[4:]])
    assert measure_clip(changed, PROMPT)["temporal consistency"] < 0.6 * clean["temporal consistency"]
    assert measure_clip(changed, PROMPT)["colour"] == "red"


def test_a_clip_without_a_shape_follows_in_nothing_but_its_ground():
    ground = np.stack([draw_ground("bricks", np.random.default_rng(0), 84, 56)] * 8)
    found = measure_clip(ground, PROMPT)
    assert (found["shape"], found["colour"], found["direction"], found["background"]) == ("none",) * 3 + ("bricks",)
    assert found["visual quality"] == found["temporal consistency"] == 0
    assert found["overall"] == pytest.approx(0.4 * 0.2)


@pytest.mark.parametrize(
    "pixels", [np.zeros((8, 56, 84, 3)), np.zeros((1, 56, 84, 3), np.uint8), np.zeros((8, 56, 84), np.uint8)]
)
def test_other_pixels_are_refused(pixels):
    with pytest.raises(ValueError, match=r"uint8 \(T >= 2, H, W, 3\)"):
        measure_clip(pixels, PROMPT)
