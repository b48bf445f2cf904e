"""Clips of a generator in the world's words: what is shown is what is recognised, and qualities are those measured."""

import numpy as np
import pytest

from vqa_lib.generation.sampling import write_clips
from vqa_lib.generation.tiny import draw_plain_clips
from vqa_lib.miniature.generated_prompts import WorldPrompt, world_prompts
from vqa_lib.models.starter_generator import _flawless, in_the_worlds_words, seen_clips
from vqa_lib.models.starter_world import sight
from vqa_lib.video import FramePolicy

PROMPT = WorldPrompt("circle", "red", "left", "bricks")
SHOWN = {"shape": "square", "colour": "red", "direction": "left", "background": "bricks"}


@pytest.mark.parametrize("share", [1.0, 0.9, 0.6, 0.25])
def test_qualities_are_those_measured(share):
    measured = {**SHOWN, **{name: share * value for name, value in _flawless().items()}}
    clip = in_the_worlds_words(measured, PROMPT)
    for name in _flawless():
        # weaker than FAINT is not named; two flaws go down to a fifth
        assert clip.qualities[name] == pytest.approx(share, abs=0.08), name
    assert clip.qualities["alignment"] == pytest.approx(0.7)  # all but the shape
    assert "red square, not circle, that moves far left over bricks" in sight(clip)


def test_better_than_flawless_is_clean():
    clip = in_the_worlds_words({**SHOWN, **dict.fromkeys(_flawless(), 1.0)}, PROMPT)
    assert sight(clip).endswith("clean")


def test_what_stands_still_goes_nowhere():
    clip = in_the_worlds_words({**SHOWN, **_flawless(), "direction": "none"}, PROMPT)
    assert not clip.follows("direction")
    assert "stands still" in sight(clip)


def test_clips_without_a_shape_are_left_out(tmp_path):
    pixels, texts = draw_plain_clips(1)
    (prompt,) = [prompt for prompt in world_prompts(0) if prompt.text == texts[0]]
    noise = np.random.default_rng(0).integers(90, 110, pixels.shape).astype(np.uint8)
    files = [tmp_path / "shape.mp4", tmp_path / "none.mp4"]
    write_clips(np.concatenate([pixels, noise]), files)
    (found,) = seen_clips([prompt], [files], FramePolicy(count=8), key=1000)
    assert found.path == files[0]
    assert found.truth.shown["colour"] == prompt.colour
    assert found.truth.key == (1000,)
    assert set(found.scores) == {"spatial", "temporal", "alignment"}
