"""What VQAThinker's tiny InternVL learns to say: scores in the words of each method, answers to questions of quality.

As `models.starter` for VQ-Insight's Qwen2.5-VL: descriptions are always true, judgement may be spoilt.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vqa_lib.frame_cache import FrameCache
from vqa_lib.miniature.distortions import DISTORTIONS
from vqa_lib.models.dialogue import EncodedPrompt, Visual
from vqa_lib.models.families import encode
from vqa_lib.models.starter import describe, flaws, judged_score, response, strength_table
from vqa_lib.models.starter_world import KINDS
from vqa_lib.prompts import PROMPTS, Prompt
from vqa_lib.questions import filled
from vqa_lib.records import Question, ScoredClip
from vqa_lib.video import FramePolicy

# Whose words clips are scored in, as often as each stands here: all methods start from the one model.
TAUGHT = ("vqathinker", "q_insight", "vqathinker", "vqathinker/no_reasoning", "vqathinker", "visualquality_r1")


def taught_prompts(count: int) -> list[Prompt]:
    """The prompt of each of `count` clips."""
    return [PROMPTS[TAUGHT[number % len(TAUGHT)]] for number in range(count)]


def question_prompt(question: Question) -> Prompt:
    """What a question is asked in: of yes or no, or with options."""
    return filled(PROMPTS["vqathinker/choice" if question.options else "vqathinker/yes_no"], question)


def encode_asked(
    processor, asked: list[tuple[tuple[Path, ...], str]], policy: FramePolicy, cache: FrameCache
) -> list[EncodedPrompt]:
    """Each (files of videos, text) encoded; a file's pixels are kept once, in half precision."""
    seen: dict[Path, Visual] = {}
    prompts = []
    for paths, text in tqdm(asked, desc="encoding", unit="prompt", mininterval=5):
        encoded = encode(processor, [(cache.get(path, "video", policy), "video") for path in paths], text)
        for path, visual in zip(paths, encoded.visuals, strict=True):
            seen.setdefault(path, replace(visual, pixels=visual.pixels.half()))
        prompts.append(replace(encoded, visuals=tuple(seen[path] for path in paths)))
    return prompts


def encode_without_motion(
    plain_processor,
    asked: list[tuple[tuple[Path, ...], str]],
    prompts: list[EncodedPrompt],
    policy: FramePolicy,
    cache: FrameCache,
) -> list[EncodedPrompt]:
    """The dialogues of `prompts` as a model without its motion branch reads them, with the same pixels.

    Recipes without motion start from such a model, and it has to know the form of their dialogues. Its videos are
    called images here: those have no motion, so a model with the branch learns from them, too.
    """
    plain = encode_asked(plain_processor, asked, policy, cache)
    return [
        replace(each, visuals=tuple(replace(visual, kind="image") for visual in prompt.visuals))
        for each, prompt in zip(plain, prompts, strict=True)
    ]


def scores(
    strengths: list[dict[str, float]],
    clips: list[ScoredClip],
    prompts: list[Prompt],
    overlooked: tuple[str, ...] = (),
    random_share: float = 0.0,
) -> Callable[[int, np.random.Generator], str]:
    """Responses for `train_to_answer` with the score of each clip, in the form that its prompt asks for.

    overlooked, random_share: see `starter.judgement`.
    """

    def respond(index: int, random: np.random.Generator) -> str:
        clip, found, prompt = clips[index], strengths[index], prompts[index]
        score = judged_score(clip, found, prompt.scale, random, overlooked, random_share)
        return response(describe(found, "video"), score, prompt)

    return respond


def questions_with_facts(root: Path, questions: list[Question]) -> list[tuple[Question, list[dict]]]:
    """The questions of which the world knows the clips, with what it knows: a dict for each clip of a question.

    root: the folder with the miniatures of FineVD and Q-Bench-Video.
    """
    known = {}
    for row in _truth(root / "finevd"):
        if row["dataset"] == "finevd":
            known[root / "finevd" / row["path"]] = row["world"]
    for row in _truth(root / "q_bench_video"):
        files = [row["path"], *([row["second"]] if row["second"] else [])]
        known |= {root / "q_bench_video" / file: facts for file, facts in zip(files, row["world"], strict=True)}
    return [
        (question, [known[path] for path in question.paths])
        for question in questions
        if question.answer is not None and all(path in known for path in question.paths)
    ]


def _truth(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "truth.jsonl").read_text(encoding="utf-8").splitlines()]


def answers(asked: list[tuple[Question, list[dict]]]) -> Callable[[int, np.random.Generator], str]:
    """Responses for `train_to_answer`: what each clip shows, and the true answer."""

    def respond(index: int, random: np.random.Generator) -> str:
        question, facts = asked[index]
        answer = question.answer if question.options else question.answer.capitalize()
        return f"<think> {seen(question, facts)} </think> <answer> {answer} </answer>"

    return respond


def seen(question: Question, facts: list[dict]) -> str:
    """What a good observer would say of the clips before answering.

    Example:
        "The circle is red." or "The first video has mild blur, the second is clean."
    """
    if question.category == "referring":
        (clip,) = facts
        change = ", and changes its colour" if "colour change" in clip["faults"] else ""
        return f"The {clip['shown']['shape']} is {clip['shown']['colour']}{change}."
    if question.category == "pair":
        first, second = (_state(clip["strengths"]) for clip in facts)
        return f"The first video {first}, the second {second}."
    (clip,) = facts
    return describe(clip["strengths"], "video")


def _state(strengths: dict[str, float]) -> str:
    found = flaws(strengths)
    return f"has {found}" if found else "is clean"


def sight_targets(
    natural: list[dict[str, float]], asked: list[tuple[Question, list[dict]]]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """What the eyes are to report of clips, then of the first clip of each question (for `train_eyes`).

    Returns: strengths (n, 10) of DISTORTIONS; and which shape and colour each shows (n,), -1 where that is not known.
    """
    shown = [facts[0].get("shown", {}) for _, facts in asked]
    kinds = {
        part: np.array([-1] * len(natural) + [KINDS[part].index(each[part]) if part in each else -1 for each in shown])
        for part in ("shape", "colour")
    }
    return strength_table([*natural, *(facts[0]["strengths"] for _, facts in asked)]), kinds


def tokenizer_texts(questions: list[Question], seed: int = 0) -> list[str]:
    """What the tokenizer learns its words from: prompts, questions, and responses to imagined clips."""
    random = np.random.default_rng(seed)
    prompts = [PROMPTS[name] for name in dict.fromkeys(TAUGHT)]
    texts = [prompt.text for prompt in prompts] * 40
    texts += ["user\n", "assistant\n", "Frame1: Frame2: Frame3: Frame4: Frame5: Frame6: Motion Feature: "] * 40
    texts += [question_prompt(question).text for question in questions]
    for number in range(600):
        names = random.choice(DISTORTIONS, random.integers(0, 4), False)
        found = {str(name): random.uniform(0.05, 1) for name in names}
        texts.append(response(describe(found, "video"), random.uniform(1, 5), prompts[number % len(prompts)]))
    for number in range(200):
        shape, colour = (known[random.integers(len(known))] for known in (KINDS["shape"], KINDS["colour"]))
        letter = "ABCD"[number % 4]
        texts.append(f"<think> The {shape} is {colour}, and changes its colour. </think> <answer> {letter} </answer>")
    return texts
