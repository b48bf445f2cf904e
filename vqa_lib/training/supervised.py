"""Supervised training of small models: eyes for the starter, answers for it and for the ceiling of a run."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from vqa_lib.miniature.distortions import DISTORTIONS, SPATIAL
from vqa_lib.models.dialogue import EncodedPrompt, pad
from vqa_lib.models.families import encode_visuals, vision_modules
from vqa_lib.models.reference import plain_inputs
from vqa_lib.models.slowfast import SlowFast, pool, slow_places

KIND_WEIGHT = 0.3  # of a cross-entropy (about 1.4 before training) beside a squared error (about 0.05)
PARTS = 3  # batches by length that a step is gone through in


def once(model, path: str | Path, train: Callable[[], list[dict]]) -> list[dict]:
    """What `train` does to a model, done once: the weights that it ends with and its log are kept in a file.

    path: of that file; where it exists, an interrupted run had come so far, and nothing is trained. Returns the log.

    Example:
        eyes = once(model, run.file("phases", "eyes.pt"), lambda: train_eyes(model, prompts, strengths))
    """
    path = Path(path)
    if path.exists():
        kept = torch.load(path)
        model.load_state_dict(kept["weights"])
        return kept["log"]
    log = train()
    unfinished = path.with_name(path.name + ".part")
    torch.save({"weights": model.state_dict(), "log": log}, unfinished)
    os.replace(unfinished, path)
    return log


def _order(count: int, size: int, steps: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Batches of indices: every item once before any item twice."""
    queue = np.empty(0, int)
    for _ in range(steps):
        while len(queue) < size:
            queue = np.concatenate([queue, random.permutation(count)])
        yield queue[:size]
        queue = queue[size:]


def _step(optimizer, parameters: list, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()


def _rate(peak: float, step: int, steps: int, warm_up: int = 50) -> float:
    """Linear warm-up, then cosine down to a twentieth of the peak."""
    progress = max(0.0, (step - warm_up) / max(1, steps - warm_up))
    return peak * min(1.0, (step + 1) / warm_up) * (0.05 + 0.95 * 0.5 * (1 + np.cos(np.pi * progress)))


def what_is_seen(model, prompts: list[EncodedPrompt]) -> torch.Tensor:
    """Mean hidden state of the language model over a clip's visual tokens, (n, hidden).

    Taken behind the language model because Qwen's vision tower never looks across more than two frames: only here can
    a frozen or shuffled clip show. The question, which these states cannot see, is left out.
    """
    shown = [_without_question(prompt) for prompt in prompts]
    hidden = model.model(**plain_inputs(model, shown)).last_hidden_state
    visual = (pad([prompt.token_types for prompt in shown], 0, "left") > 0).unsqueeze(-1)
    return (hidden * visual).sum(1) / visual.sum(1)


def _without_question(prompt: EncodedPrompt) -> EncodedPrompt:
    end = int(prompt.token_types.nonzero().max()) + 1
    return replace(prompt, ids=prompt.ids[:end], token_types=prompt.token_types[:end])


def train_eyes(
    model,
    prompts: list[EncodedPrompt],
    strengths: np.ndarray,
    steps: int = 600,
    size: int = 48,
    peak: float = 2e-3,
    seed: int = 0,
    kinds: dict[str, np.ndarray] | None = None,
) -> list[dict]:
    """Teach a model to see, through linear heads that are then thrown away.

    strengths: (n, k) of what is wrong with each clip, the ten distortions first; NaN where that does not apply to a
    clip. kinds: name -> (n,) integers, which of several things a clip shows (a shape, say), -1 where it shows none.
    size: clips a step. peak: highest learning rate. Returns the loss of every step: mean squared error of the
    strengths, and with kinds KIND_WEIGHT times the mean of their cross-entropies.
    """
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    targets = torch.tensor(strengths, dtype=torch.float32)
    wanted = {name: torch.tensor(numbers) for name, numbers in (kinds or {}).items()}
    widths = [targets.shape[1], *(int(numbers.max()) + 1 for numbers in wanted.values())]
    head = torch.nn.Linear(model.config.text_config.hidden_size, sum(widths))
    parameters = [*model.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=peak, weight_decay=0.01)
    model.train()
    log = []
    reported = torch.isfinite(targets)
    # A still has no temporal distortions to report.
    stills = [number for number, prompt in enumerate(prompts) if prompt.visuals[0].kind == "image"]
    reported[stills, len(SPATIAL) : len(DISTORTIONS)] = False
    targets = targets.nan_to_num()
    for step, chosen in enumerate(
        tqdm(_order(len(prompts), size, steps, random), total=steps, desc="eyes", mininterval=5)
    ):
        said, *guesses = head(what_is_seen(model, [prompts[index] for index in chosen])).split(widths, 1)
        errors = (said - targets[chosen]) ** 2
        loss = (errors * reported[chosen]).sum() / reported[chosen].sum()
        # Summed and divided by the whole batch: a batch in which no clip shows anything costs nothing.
        for guess, numbers in zip(guesses, wanted.values(), strict=True):
            mistaken = cross_entropy(guess, numbers[chosen], ignore_index=-1, reduction="sum") / size
            loss = loss + KIND_WEIGHT / len(wanted) * mistaken
        optimizer.zero_grad()
        loss.backward()
        _step(optimizer, parameters, _rate(peak, step, steps))
        log.append({"step": step, "loss": loss.item()})
    return log


def train_motion(
    tower: SlowFast,
    videos: list[torch.Tensor],
    strengths: np.ndarray,
    steps: int = 500,
    size: int = 32,
    peak: float = 2e-3,
    seed: int = 0,
) -> list[dict]:
    """Teach SlowFast to see, through a linear head that is then thrown away; it ends frozen, in eval mode.

    What Kinetics is to the published weights. videos: (T, 3, height, width) each, all alike, as the processor made
    them. strengths: (n, k) of what is wrong with each. Returns the mean squared error of every step.
    """
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    targets = torch.tensor(strengths, dtype=torch.float32)
    head = torch.nn.Linear(tower.features, targets.shape[1])
    tower.requires_grad_(True).train()
    parameters = [*tower.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=peak, weight_decay=0.01)
    places, log = slow_places(len(videos[0])), []
    for step, chosen in enumerate(
        tqdm(_order(len(videos), size, steps, random), total=steps, desc="motion", mininterval=5)
    ):
        maps = tower(torch.stack([videos[index] for index in chosen]).float(), places)
        loss = ((head(pool(maps, places)[:, 0]) - targets[chosen]) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        _step(optimizer, parameters, _rate(peak, step, steps))
        log.append({"step": step, "loss": loss.item()})
    tower.eval().requires_grad_(False)
    return log


@torch.no_grad()
def _encode_once(model, prompts: list[EncodedPrompt], size: int = 64) -> list[tuple[torch.Tensor, ...]]:
    """Visual tokens of each prompt's visuals; a visual that several prompts show is encoded once."""
    distinct = list({id(visual): visual for prompt in prompts for visual in prompt.visuals}.values())
    starts = tqdm(range(0, len(distinct), size), desc="encoding", mininterval=5)
    encoded = (tokens for start in starts for tokens in encode_visuals(model, distinct[start : start + size]))
    features = {id(visual): tokens.clone() for visual, tokens in zip(distinct, encoded, strict=True)}
    return [tuple(features[id(visual)] for visual in prompt.visuals) for prompt in prompts]


def train_to_answer(
    model,
    tokenizer,
    prompts: list[EncodedPrompt],
    responses: Callable[[int, np.random.Generator], str],
    steps: int = 500,
    size: int = 48,
    peak: float = 1e-3,
    seed: int = 0,
    decisive: float = 1.0,
) -> list[dict]:
    """Supervised training on responses: `responses(index, random)` gives the text wanted for a prompt.

    The language model learns; the vision tower stays as it is, so each visual is encoded once. decisive: weight of the
    tokens that judge, digits and what stands from <answer> on, beside 1 for all others: of a choice with its reasons
    one token in eighty says which video is better. Returns the loss (weighted mean cross-entropy of response tokens) of
    every step.
    """
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    features = _encode_once(model, prompts)
    eyes = {id(value) for module in vision_modules(model) for value in module.parameters()}
    parameters = [value for value in model.parameters() if id(value) not in eyes]
    optimizer = torch.optim.AdamW(parameters, lr=peak, betas=(0.9, 0.95), weight_decay=0.0)
    model.train()
    log = []
    for step, chosen in enumerate(
        tqdm(_order(len(prompts), size, steps, random), total=steps, desc="answers", mininterval=5)
    ):
        texts = [responses(int(index), random) + tokenizer.eos_token for index in chosen]
        encoded = tokenizer(texts, return_offsets_mapping=True)
        completions = encoded["input_ids"]
        weights = [_weights(*row, decisive) for row in zip(texts, encoded["offset_mapping"], strict=True)]
        total = sum(map(sum, weights))
        optimizer.zero_grad()
        loss = 0.0
        # Prompts of one task are about as long: batches by length hold little padding.
        by_length = np.argsort([len(prompts[index].ids) for index in chosen], kind="stable")
        for part in np.array_split(by_length, min(PARTS, len(by_length))):
            shown = [chosen[place] for place in part]
            inputs = plain_inputs(
                model,
                [prompts[index] for index in shown],
                [completions[place] for place in part],
                [features[index] for index in shown],
            )
            share = _response_loss(model, inputs, [weights[place] for place in part]) / total
            share.backward()
            loss += share.item()
        _step(optimizer, parameters, _rate(peak, step, steps))
        log.append({"step": step, "loss": loss})
    return log


def _weights(text: str, offsets: list[tuple[int, int]], decisive: float) -> list[float]:
    """The weight of each token of a response, given which of its characters each token stands for."""
    answer = text.find("<answer>")
    return [
        decisive if 0 <= answer < end or any(letter.isdigit() for letter in text[start:end]) else 1.0
        for start, end in offsets
    ]


def _response_loss(model, inputs: dict, weights: list[list[float]]) -> torch.Tensor:
    """Weighted cross-entropy summed over the responses, with which the rows end."""
    width = max(map(len, weights))
    logits = model(**inputs, logits_to_keep=width + 1).logits[:, :-1]
    labels = inputs["input_ids"][:, -width:]
    padded = torch.tensor([row + [0.0] * (width - len(row)) for row in weights], device=labels.device)
    losses = cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), reduction="none")
    return (losses * padded.flatten()).sum()
