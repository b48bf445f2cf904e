"""What the starter learns of clips that a generator made: nobody drew what is wrong with them, so it is measured.

A pretrained VLM has seen generated video; a starter that has seen only the world's own clips takes blurred, melting
shapes for something else. Measures of pixels (`miniature.measures`) are put in the world's words here, so that such
clips are described, scored and compared as all others are (`models.starter_world`). Source: ours.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from vqa_lib.generation.tiny import decode, to_generator_size
from vqa_lib.miniature.distortions import SPATIAL
from vqa_lib.miniature.generated_clips import SOURCES, GeneratedClip, draw_generated
from vqa_lib.miniature.generated_prompts import WorldPrompt
from vqa_lib.miniature.lgvq import DIMENSIONS
from vqa_lib.miniature.measures import measure_clip, measure_clips
from vqa_lib.miniature.opinions import WEIGHTS
from vqa_lib.models.starter_world import WorldClip
from vqa_lib.video import FramePolicy, read_video

SPEED = 0.85  # of what moves; how far is not measured
FAINT = 0.1  # weaker flaws are not named
FLAWS = {"visual quality": ("blur", "downscaling"), "temporal consistency": ("jitter", "stutter")}


def seen_clips(
    prompts: Sequence[WorldPrompt], files: Sequence[list[Path]], policy: FramePolicy, key: int
) -> list[WorldClip]:
    """Clips of a generator, by prompt, in the world's words; those in which no shape is found are left out.

    key: one that no world has as its seed: pairs are of clips of one key and prompt.

    Example:
        seen_clips(world_prompts(0)[:2], make_candidates(generator, prompts, 4, folder), FramePolicy(count=8), 1000)
    """
    clips = []
    for prompt, paths in zip(prompts, files, strict=True):
        for path in paths:
            measured = measure_clip(read_video(path, policy).pixels, prompt)
            if "none" not in (measured["shape"], measured["colour"]):
                truth = in_the_worlds_words(measured, prompt, key)
                scores = {name: 100 * truth.qualities[of] for name, of in DIMENSIONS.items()}
                clips.append(WorldClip(path, truth, scores))
    return clips


def in_the_worlds_words(measured: dict, prompt: WorldPrompt, key: int = 0) -> GeneratedClip:
    """A clip as the world would have had to make it: what it shows, and flaws that lower its qualities as measured.

    measured: by `measure_clip`, with a shape in it. Its qualities count in shares of those of a clip without flaws. The
    first flaw of FLAWS is as strong as the quality asks; where that is not enough, there is a second one.
    """
    flaws = {}
    for quality, names in FLAWS.items():
        left = min(1.0, measured[quality] / _flawless()[quality])
        for name in names:
            strength = min(1.0, (1 - left) / WEIGHTS[name])
            if strength >= FAINT:
                flaws[name] = strength
            left /= 1 - WEIGHTS[name] * strength
    moves = measured["direction"] != "none"
    shown = {part: measured[part] for part in ("shape", "colour", "direction", "background")}
    shown |= {} if moves else {"direction": prompt.direction}
    spatial_first = {name: flaws[name] for name in sorted(flaws, key=lambda name: name not in SPATIAL)}
    return GeneratedClip(b"", (key,), prompt, "generator", shown, SPEED if moves else 0.0, spatial_first, {})


@cache
def _flawless() -> dict[str, float]:
    """What the measures say of clips without flaws, of the generator's size."""
    source = SOURCES["generated_real"]
    drawn = [draw_generated(source, 0, index) for index in range(source.prompts)]
    clips = [to_generator_size(decode(clip.data)) for clip in drawn]
    return measure_clips(clips, [clip.prompt for clip in drawn])[list(FLAWS)].median().to_dict()
