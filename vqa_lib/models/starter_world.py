"""What the starter learns of generated clips: what they show, and to score them, compare them, answer questions.

As for natural clips (`models.starter`): descriptions are always true, judgement may be spoilt. A spoilt judge overlooks
some flaws, and some parts of the text that the clip was to follow; it describes them, but they change no answer.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vqa_lib.frame_cache import FrameCache
from vqa_lib.miniature.distortions import DISTORTIONS
from vqa_lib.miniature.generated_clips import PARTS, STILL, TIE, GeneratedClip
from vqa_lib.miniature.generated_prompts import (
    BACKGROUNDS,
    COLOURS,
    DIRECTIONS,
    ENDINGS,
    SHAPES,
    WorldPrompt,
    world_prompts,
)
from vqa_lib.miniature.lgvq import DIMENSIONS
from vqa_lib.miniature.visionreward import CHECKLIST, checklist_answers
from vqa_lib.models.dialogue import EncodedPrompt
from vqa_lib.models.families import encode
from vqa_lib.models.starter import flaws, strength_table
from vqa_lib.prompts import PROMPTS
from vqa_lib.video import FramePolicy

FAULTS = ("flicker", "deformation", "colour change")
KINDS = {"shape": tuple(SHAPES), "colour": tuple(COLOURS), "direction": tuple(DIRECTIONS), "ground": tuple(BACKGROUNDS)}
ANSWERS = {"spatial": "spatial", "temporal": "temporal", "alignment": "consistency"}  # score -> key of the answer


@dataclass(frozen=True)
class WorldClip:
    """A generated clip of a miniature: its file, the truth of it (without the file's bytes), its scores (0 to 100)."""

    path: Path
    truth: GeneratedClip
    scores: dict[str, float]


def world_clips(folder: Path) -> list[WorldClip]:
    """The clips of the miniature LGVQ below `folder`, with all that the world knows of them."""
    seed = json.loads((folder / "miniature.json").read_text())["seed"]
    asked = {prompt.text: prompt for prompt in world_prompts(seed)}
    clips = []
    for line in (folder / "lgvq" / "truth.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        facts = {name: row["world"][name] for name in ("generator", "shown", "speed", "strengths", "faults")}
        truth = GeneratedClip(data=b"", key=(seed,), prompt=asked[row["prompt"]], **facts)
        clips.append(WorldClip(folder / "lgvq" / row["path"], truth, row["scores"]))
    return clips


def draw_world_pairs(clips: list[WorldClip], count: int, seed: int = 0) -> list[tuple[WorldClip, WorldClip]]:
    """Pairs of clips of one world and prompt of which one is clearly better; which comes first is by chance."""
    random = np.random.default_rng(seed)
    by_prompt: dict = {}
    for clip in clips:
        by_prompt.setdefault((clip.truth.key, clip.truth.prompt), []).append(clip)
    pairs = [pair for group in by_prompt.values() for pair in combinations(group, 2)]
    pairs = [(a, b) for a, b in pairs if abs(_overall(a.truth) - _overall(b.truth)) >= TIE]
    chosen = random.permutation(len(pairs))[:count]
    return [pairs[number][:: 1 if random.random() < 0.5 else -1] for number in chosen]


def draw_questions(clips: list[WorldClip], count: int, seed: int = 0) -> list[tuple[WorldClip, int]]:
    """Questions of VisionReward's miniature checklist, as (clip, its number): half are answered yes, half no."""
    random = np.random.default_rng(seed)
    by_answer: dict[bool, list] = {True: [], False: []}
    for clip in clips:
        for number, answer in enumerate(checklist_answers(clip.truth)):
            by_answer[answer].append((clip, number))
    return [
        questions[place]
        for questions in by_answer.values()
        for place in random.permutation(len(questions))[: count // 2]
    ]


def sight(clip: GeneratedClip, asked: bool = True) -> str:
    """What a clip shows, and, where the text is part of the question, what it should show instead.

    Each part is held against the text where it is named: a model this small cannot list afterwards what differed.

    Example:
        "a blue, not red, circle that moves far up, not left, over bricks, with strong blur"
    """

    def said(part: str, words: str) -> str:
        return f"{words}, not {getattr(clip.prompt, part)}," if asked and not clip.follows(part) else words

    shown = clip.shown
    moves = f"moves {'slowly' if clip.speed < 0.6 else 'far'} {shown['direction']}"
    levels = {**clip.strengths, **clip.faults}
    return (
        f"a {said('colour', shown['colour'])} {said('shape', shown['shape'])} that "
        f"{said('direction', moves if clip.speed > STILL else 'stands still')} "
        f"over {said('background', shown['background']).removesuffix(',')}, "
        f"{'with ' + flaws(levels) if levels else 'clean'}"
    )


def wish(prompt: WorldPrompt) -> str:
    """The text that a clip was to follow, repeated: what stands close by is easily compared with what is seen.

    Without it a model of this size does not learn to look the text's words up in the question.
    """
    return f"The text: {replace(prompt, ending='').text}."


def noticed(clip: GeneratedClip, overlooked: tuple[str, ...]) -> GeneratedClip:
    """The clip as a judge sees it who overlooks some flaws, and some parts of the text.

    Raises:
        ValueError: a name that is neither.
    """
    known = (*DISTORTIONS, *FAULTS, *PARTS)
    if unknown := sorted(set(overlooked) - set(known)):
        raise ValueError(f"{unknown} are neither flaws nor parts of the text; known: {list(known)}")
    return replace(
        clip,
        strengths={name: level for name, level in clip.strengths.items() if name not in overlooked},
        faults={name: level for name, level in clip.faults.items() if name not in overlooked},
        shown={part: getattr(clip.prompt, part) if part in overlooked else what for part, what in clip.shown.items()},
    )


def _overall(clip: GeneratedClip) -> float:
    return clip.qualities["overall"]


def scores_response(clip: GeneratedClip, scores: dict[str, float]) -> str:
    """A response to `vq_insight/multi_dim`: the clip described, and scores as whole numbers."""
    answer = ", ".join(f'"{ANSWERS[name]}": {score:.0f}' for name, score in scores.items())
    return f"<think> {wish(clip.prompt)} The video shows {sight(clip)}. </think> <answer>{{{answer}}}</answer>"


def choice_response(clips: Sequence[GeneratedClip], marks: Sequence[int], choice: str) -> str:
    """A response to `vq_insight/preference`: each clip described and marked from 0 to 99, so that a choice has reasons.

    Without marks a model of this size describes both clips rightly, and chooses by chance; with marks from 0 to 9 half
    of them are alike, and the choice falls to the place.
    """
    seen = " ".join(
        f"Video {name} shows {sight(clip)}, worth {mark}." for name, clip, mark in zip("AB", clips, marks, strict=True)
    )
    return f"<think> {wish(clips[0].prompt)} {seen} </think> <answer>{choice}</answer>"


def question_response(clip: GeneratedClip, question: str, answer: bool) -> str:
    """A response to `vq_insight/yes_no`; only a question that holds the text lets the clip be held against it."""
    asked = "[[prompt]]" in question
    seen = f"{wish(clip.prompt)} The video shows" if asked else "The video shows"
    return f"<think> {seen} {sight(clip, asked)}. </think> <answer>{'Yes' if answer else 'No'}</answer>"


# Judgements are functions for `train_to_answer`; without overlooked and random_share they are the truth.


def judge_scores(clips: list[WorldClip], overlooked: tuple[str, ...] = (), random_share: float = 0.0) -> Callable:
    """Responses with the three scores of a clip; a random share of scores are drawn at random."""

    def respond(index: int, random: np.random.Generator) -> str:
        clip = clips[index]
        seen = noticed(clip.truth, overlooked).qualities
        scores = {name: 100 * seen[of] for name, of in DIMENSIONS.items()} if overlooked else clip.scores
        scores = {
            name: random.uniform(0, 100) if random.random() < random_share else score for name, score in scores.items()
        }
        return scores_response(clip.truth, scores)

    return respond


def judge_pairs(
    pairs: list[tuple[WorldClip, WorldClip]], overlooked: tuple[str, ...] = (), random_share: float = 0.0
) -> Callable:
    """Responses with the better one of two clips, by overall quality; the random share is of marks drawn at random."""

    def respond(index: int, random: np.random.Generator) -> str:
        clips = [clip.truth for clip in pairs[index]]
        worth = [_overall(noticed(clip, overlooked)) for clip in clips]
        if random.random() < random_share:
            worth = random.random(2).tolist()
        marks = [min(99, int(100 * value)) for value in worth]
        # By the marks, as far as they tell: reason and choice never contradict each other.
        ahead = marks[0] - marks[1] or worth[0] - worth[1] or random.random() - 0.5
        return choice_response(clips, marks, PROMPTS["vq_insight/preference"].choices[0 if ahead > 0 else 1])

    return respond


def judge_questions(questions: list[tuple[WorldClip, int]], random_share: float = 0.0) -> Callable:
    """Responses with yes or no."""

    def respond(index: int, random: np.random.Generator) -> str:
        clip, number = questions[index]
        answer = checklist_answers(clip.truth)[number]
        if random.random() < random_share:
            answer = random.random() < 0.5
        return question_response(clip.truth, CHECKLIST[number], answer)

    return respond


def mix(*tasks: tuple[list[EncodedPrompt], Callable]) -> tuple[list[EncodedPrompt], Callable]:
    """Several (prompts, judgement) as one, for `train_to_answer`."""
    starts = np.cumsum([0, *(len(prompts) for prompts, _ in tasks)])

    def respond(index: int, random: np.random.Generator) -> str:
        task = int(np.searchsorted(starts, index, side="right")) - 1
        return tasks[task][1](index - int(starts[task]), random)

    return [prompt for prompts, _ in tasks for prompt in prompts], respond


class Asker:
    """Encodes questions about generated clips; each clip's pixels are kept once, in half precision."""

    def __init__(self, processor, policy: FramePolicy, cache: FrameCache):
        self.processor, self.policy, self.cache = processor, policy, cache
        self.seen: dict = {}

    def _ask(self, clips: tuple[WorldClip, ...], text: str) -> EncodedPrompt:
        frames = [(self.cache.get(clip.path, "video", self.policy), "video") for clip in clips]
        encoded = encode(self.processor, frames, text)
        for clip, visual in zip(clips, encoded.visuals, strict=True):
            if clip.path not in self.seen:
                self.seen[clip.path] = replace(visual, pixels=visual.pixels.half())
        return replace(encoded, visuals=tuple(self.seen[clip.path] for clip in clips))

    def scores(self, clips: list[WorldClip]) -> list[EncodedPrompt]:
        """The question for three scores, for every clip."""
        prompt = PROMPTS["vq_insight/multi_dim"]
        return [
            self._ask((clip,), prompt.fill(text=clip.truth.prompt.text).text)
            for clip in tqdm(clips, desc="clips to score", mininterval=5)
        ]

    def pairs(self, pairs: list[tuple[WorldClip, WorldClip]]) -> list[EncodedPrompt]:
        """The question which of two clips is better, for every pair."""
        prompt = PROMPTS["vq_insight/preference"]
        return [
            self._ask(pair, prompt.fill(text=pair[0].truth.prompt.text).text)
            for pair in tqdm(pairs, desc="pairs", mininterval=5)
        ]

    def questions(self, questions: list[tuple[WorldClip, int]]) -> list[EncodedPrompt]:
        """A question of the checklist about each clip."""
        prompt = PROMPTS["vq_insight/yes_no"]
        return [
            self._ask((clip,), prompt.fill(question=question_text(clip, number)).text)
            for clip, number in tqdm(questions, desc="questions", mininterval=5)
        ]


def question_text(clip: WorldClip, number: int) -> str:
    """A question of the checklist with the clip's text filled in, as `visionreward_questions` has it."""
    return CHECKLIST[number].replace("[[prompt]]", clip.truth.prompt.text)


def sight_targets(natural: list[dict[str, float]], clips: list[WorldClip]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """What the eyes are to report of natural clips (their strengths), then of generated ones.

    Returns: strengths (n, 14) of DISTORTIONS, FAULTS and speed, NaN where a natural clip has no such thing; and which
    shape, colour, direction and ground each shows (n,), -1 for natural ones, for direction also where it stands still.
    """
    empty = np.full((len(natural), len(FAULTS) + 1), np.nan)
    empty[:, 0] = 0.0  # natural clips do not flicker
    ours = [[*(clip.truth.faults.get(name, 0.0) for name in FAULTS), clip.truth.speed] for clip in clips]
    strengths = strength_table([*natural, *(clip.truth.strengths for clip in clips)])
    parts = {"shape": "shape", "colour": "colour", "direction": "direction", "ground": "background"}
    kinds = {
        name: np.array(
            [-1] * len(natural)
            + [
                -1 if name == "direction" and clip.truth.speed <= STILL else known.index(clip.truth.shown[parts[name]])
                for clip in clips
            ]
        )
        for name, known in KINDS.items()
    }
    return np.concatenate([strengths, np.concatenate([empty, np.array(ours).reshape(-1, len(FAULTS) + 1)])], 1), kinds


def world_texts(seed: int = 0) -> list[str]:
    """What the tokenizer learns of the world: its prompts, and responses to imagined clips."""
    random = np.random.default_rng(seed)
    texts = []
    for number in range(1200):
        asked, shown = (
            {part: known[random.integers(len(known))] for part, known in zip(PARTS, KINDS.values(), strict=True)}
            for _ in range(2)
        )
        prompt = WorldPrompt(**asked, ending=ENDINGS[number % len(ENDINGS)])
        names = random.choice([*DISTORTIONS, *FAULTS], random.integers(0, 4), False)
        levels = {str(name): random.uniform(0.1, 1) for name in names}
        faults = {name: level for name, level in levels.items() if name in FAULTS}
        strengths = {name: level for name, level in levels.items() if name not in FAULTS}
        clip = GeneratedClip(b"", (), prompt, "", shown, random.uniform(0, 1), strengths, faults)
        question = CHECKLIST[number % len(CHECKLIST)]
        filled = question.replace("[[prompt]]", prompt.text)
        texts += [
            PROMPTS["vq_insight/multi_dim"].fill(text=prompt.text).text,
            scores_response(clip, dict.fromkeys(ANSWERS, random.uniform(0, 100))),
            PROMPTS["vq_insight/preference"].fill(text=prompt.text).text,
            choice_response((clip, clip), random.integers(0, 100, 2), "Video A" if number % 2 else "Video B"),
            PROMPTS["vq_insight/yes_no"].fill(question=filled).text,
            question_response(clip, question, number % 2 == 0),
        ]
    return texts
