"""Supervised training of small models: eyes for the starter, answers for it and for the ceiling of a run."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from tqdm import tqdm

from vqa_lib.miniature.distortions import TEMPORAL
from vqa_lib.models.dialogue import EncodedPrompt
from vqa_lib.models.families import encode_clips
from vqa_lib.models.reference import plain_inputs


def _order(count: int, size: int, steps: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Batches of indices: every item once before any item twice."""
    queue = np.empty(0, int)
    for _ in range(steps):
        while len(queue) < size:
            queue = np.concatenate([queue, random.permutation(count)])
        yield queue[:size]
        queue = queue[size:]


def _step(optimizer, loss: torch.Tensor, parameters: list, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    loss.backward()
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
    inputs = plain_inputs(model, [_without_question(prompt) for prompt in prompts])
    hidden = model.model(**inputs).last_hidden_state
    visual = (inputs["mm_token_type_ids"] > 0).unsqueeze(-1)
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
) -> list[dict]:
    """Teach a model to see: distortion strengths (n, 10) through a linear head that is then thrown away.

    size: clips a step. peak: highest learning rate. Returns the loss (mean squared error) of every step.
    """
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    targets = torch.tensor(strengths, dtype=torch.float32)
    head = torch.nn.Linear(model.config.text_config.hidden_size, targets.shape[1])
    parameters = [*model.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=peak, weight_decay=0.01)
    model.train()
    log = []
    # A still has no temporal distortions to report.
    reported = torch.ones_like(targets)
    reported[
        [number for number, prompt in enumerate(prompts) if prompt.visuals[0].kind == "image"], -len(TEMPORAL) :
    ] = 0
    for step, chosen in enumerate(
        tqdm(_order(len(prompts), size, steps, random), total=steps, desc="eyes", mininterval=5)
    ):
        errors = (head(what_is_seen(model, [prompts[index] for index in chosen])) - targets[chosen]) ** 2
        loss = (errors * reported[chosen]).sum() / reported[chosen].sum()
        _step(optimizer, loss, parameters, _rate(peak, step, steps))
        log.append({"step": step, "loss": loss.item()})
    return log


@torch.no_grad()
def _encode_once(model, prompts: list[EncodedPrompt], size: int = 64) -> list[tuple[torch.Tensor, ...]]:
    starts = tqdm(range(0, len(prompts), size), desc="encoding", mininterval=5)
    encoded = (part for start in starts for part in encode_clips(model, prompts[start : start + size]))
    return [tuple(tokens.clone() for tokens in part) for part in encoded]


def train_to_answer(
    model,
    tokenizer,
    prompts: list[EncodedPrompt],
    responses: Callable[[int, np.random.Generator], str],
    steps: int = 500,
    size: int = 48,
    peak: float = 1e-3,
    seed: int = 0,
) -> list[dict]:
    """Supervised training on responses: `responses(index, random)` gives the text wanted for a clip.

    The language model learns; the vision tower stays as it is, so each clip is encoded once. Returns the loss
    (cross-entropy per response token) of every step.
    """
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    features = _encode_once(model, prompts)
    parameters = [value for name, value in model.named_parameters() if "visual" not in name.split(".")]
    optimizer = torch.optim.AdamW(parameters, lr=peak, betas=(0.9, 0.95), weight_decay=0.0)
    model.train()
    log = []
    for step, chosen in enumerate(
        tqdm(_order(len(prompts), size, steps, random), total=steps, desc="answers", mininterval=5)
    ):
        texts = [responses(int(index), random) + tokenizer.eos_token for index in chosen]
        completions = tokenizer(texts)["input_ids"]
        shown = [prompts[index] for index in chosen]
        inputs = plain_inputs(model, shown, completions, [features[index] for index in chosen])
        labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
        labels[:, : labels.shape[1] - max(map(len, completions))] = -100
        loss = model(**inputs, labels=labels).loss
        _step(optimizer, loss, parameters, _rate(peak, step, steps))
        log.append({"step": step, "loss": loss.item()})
    return log
