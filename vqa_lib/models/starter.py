"""The starter: a tiny Qwen2.5-VL that sees distortions, answers in the format, and judges badly.

It stands in for a pretrained VLM, so that GRPO at tiny size has what it has in the papers: a model to improve. It is
made in steps (`training.supervised`): eyes (regress the distortion strengths of the embedded world), answers (write a
true description and a true score), then spoilt judgement (keep the descriptions, but overlook some distortions when
scoring, and score at random now and then, so that rollouts differ). A model trained on merely noisy scores
would start at its ceiling and gain nothing from GRPO.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vqa_lib.frame_cache import FrameCache
from vqa_lib.miniature.distortions import DISTORTIONS
from vqa_lib.miniature.opinions import true_quality
from vqa_lib.models.dialogue import EncodedPrompt
from vqa_lib.models.families import encode
from vqa_lib.prompts import PROMPTS, Prompt
from vqa_lib.records import Scale, ScoredClip, rescale
from vqa_lib.video import FramePolicy

NOUNS = {"downscaling": "pixelation", "exposure": "exposure error", "cast": "colour cast", "dropping": "frame drops"}


def level(strength: float) -> str:
    """The word for a strength in (0, 1]."""
    return "mild" if strength < 0.34 else "moderate" if strength < 0.67 else "strong"


def flaws(strengths: dict[str, float]) -> str:
    """What is wrong with a clip, in words; "" where nothing is.

    Example:
        >>> flaws({"blur": 0.9, "stutter": 0.2, "flicker": 0.5})
        'strong blur, mild stutter and moderate flicker'
    """
    known = [*DISTORTIONS, *(name for name in strengths if name not in DISTORTIONS)]
    found = [f"{level(strengths[name])} {NOUNS.get(name, name)}" for name in known if strengths.get(name, 0) > 0]
    return " and ".join(filter(None, [", ".join(found[:-1]), *found[-1:]]))


def describe(strengths: dict[str, float], kind: str) -> str:
    """What a good observer would say of a clip.

    Example:
        >>> describe({"blur": 0.9, "stutter": 0.2}, "video")
        'The video has strong blur and mild stutter.'
    """
    found = flaws(strengths)
    return f"The {kind} has {found}." if found else f"The {kind} is clean."


def response(description: str, score: float, prompt: Prompt = PROMPTS["vq_insight/natural"]) -> str:
    """A response in the form that a prompt asks for.

    Example:
        >>> response("The video is clean.", 4.5, PROMPTS["q_insight"])
        '<think> The video is clean. </think> <answer> {"rating": 4.50} </answer>'
        >>> response("The video is clean.", 4.5, PROMPTS["vqathinker/no_reasoning"])
        '<answer> 4.50 </answer>'
    """
    answer = f'{{"{prompt.key}": {score:.2f}}}' if prompt.key else f"{score:.2f}"
    reasons = f"<think> {description} </think> " if prompt.reasoning else ""
    return f"{reasons}<answer> {answer} </answer>"


def tokenizer_texts(seed: int = 0) -> list[str]:
    """What the starter's tokenizer learns its words from: the prompts, and responses to imagined clips."""
    random = np.random.default_rng(seed)
    texts = [PROMPTS[name].text for name in ("vq_insight/image", "vq_insight/natural")] * 40
    texts += ["system\nYou are a helpful assistant.", "user\n", "assistant\n"] * 40
    for number in range(600):
        kind = "image" if number % 3 == 0 else "video"
        strengths = {name: random.uniform(0.05, 1) for name in random.choice(DISTORTIONS, random.integers(0, 4), False)}
        texts.append(response(describe(strengths, kind), random.uniform(0, 100)))
    return texts


def true_strengths(root: Path, clips: list[ScoredClip]) -> list[dict[str, float]]:
    """What is wrong with each clip of a miniature, from the `truth.jsonl` beside the published files."""
    truth = {}
    for dataset in {clip.dataset for clip in clips}:
        for line in (root / dataset / "truth.jsonl").read_text(encoding="utf-8").splitlines():
            facts = json.loads(line)
            truth[dataset, facts["name"]] = facts["strengths"]
    return [truth[clip.dataset, clip.name] for clip in clips]


def strength_table(strengths: list[dict[str, float]]) -> np.ndarray:
    """Strengths as an array (n, 10) in the order of DISTORTIONS, 0 where a clip does not have one."""
    return np.array([[clip.get(name, 0.0) for name in DISTORTIONS] for clip in strengths])


def encode_all(processor, clips: list[ScoredClip], policy: FramePolicy, cache: FrameCache) -> list[EncodedPrompt]:
    """Every clip with its scoring prompt; pixels in half precision, since all of them are kept in memory."""
    prompts = []
    for clip in tqdm(clips, desc="encoding", unit="clip", mininterval=5):
        prompt = PROMPTS["vq_insight/image" if clip.kind == "image" else "vq_insight/natural"]
        encoded = encode(processor, [(cache.get(clip.path, clip.kind, policy), clip.kind)], prompt.text)
        (visual,) = encoded.visuals
        prompts.append(replace(encoded, visuals=(replace(visual, pixels=visual.pixels.half()),)))
    return prompts


def judgement(
    strengths: list[dict[str, float]],
    clips: list[ScoredClip],
    scale: Scale,
    overlooked: tuple[str, ...] = (),
    random_share: float = 0.0,
) -> Callable[[int, np.random.Generator], str]:
    """Responses for `train_to_answer`: the true description of a clip, and a score that may be spoilt in two ways.

    overlooked: distortions that are described but do not lower the score: a judge with the wrong priorities.
    random_share: share of scores drawn at random instead. With neither, the scores are the true MOS: the ceiling that a
    GRPO run is held against.
    """

    def respond(index: int, random: np.random.Generator) -> str:
        clip, found = clips[index], strengths[index]
        return response(describe(found, clip.kind), judged_score(clip, found, scale, random, overlooked, random_share))

    return respond


def judged_score(
    clip: ScoredClip,
    strengths: dict[str, float],
    scale: Scale,
    random: np.random.Generator,
    overlooked: tuple[str, ...] = (),
    random_share: float = 0.0,
) -> float:
    """The score that a judge gives a clip; see `judgement`."""
    if random.random() < random_share:
        return random.uniform(scale.low, scale.high)
    if overlooked:
        noticed = {name: strength for name, strength in strengths.items() if name not in overlooked}
        return scale.low + (scale.high - scale.low) * true_quality(noticed)
    return rescale(clip.mos, clip.scale, scale)
