"""The starter: a tiny Qwen2.5-VL that sees distortions, answers in the format, and judges badly.

It stands in for a pretrained VLM, so that GRPO at tiny size has what it has in the papers: a model to improve. It is
made in three steps, each a function here: eyes (regress the distortion strengths of the embedded world), answers (write
a true description followed by a score that is random nine times in ten), save. A model trained on merely noisy scores
would start at its ceiling and gain nothing from GRPO.
"""

from collections.abc import Iterator

import numpy as np
import torch
from tqdm import tqdm

from vqa_lib.miniature.distortions import DISTORTIONS, TEMPORAL
from vqa_lib.models.dialogue import EncodedPrompt, batch, pixel_values
from vqa_lib.prompts import PROMPTS
from vqa_lib.records import Scale

NOUNS = {"downscaling": "pixelation", "exposure": "exposure error", "cast": "colour cast", "dropping": "frame drops"}


def level(strength: float) -> str:
    """The word for a strength in (0, 1]."""
    return "mild" if strength < 0.34 else "moderate" if strength < 0.67 else "strong"


def describe(strengths: dict[str, float], kind: str) -> str:
    """What a good observer would say of a clip.

    Example:
        >>> describe({"blur": 0.9, "stutter": 0.2}, "video")
        'The video has strong blur and mild stutter.'
    """
    found = [f"{level(strengths[name])} {NOUNS.get(name, name)}" for name in DISTORTIONS if strengths.get(name, 0) > 0]
    if not found:
        return f"The {kind} is clean."
    listed = found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"
    return f"The {kind} has {listed}."


def response(description: str, score: float) -> str:
    """A response in VQ-Insight's format."""
    return f"<think> {description} </think> <answer> {score:.2f} </answer>"


def tokenizer_texts(seed: int = 0) -> list[str]:
    """What the starter's tokenizer learns its words from: the prompts, and responses to imagined clips."""
    random = np.random.default_rng(seed)
    texts = [prompt.text for prompt in PROMPTS.values()] * 40
    texts += ["system\nYou are a helpful assistant.", "user\n", "assistant\n"] * 40
    for number in range(600):
        kind = "image" if number % 3 == 0 else "video"
        strengths = {name: random.uniform(0.05, 1) for name in random.choice(DISTORTIONS, random.integers(0, 4), False)}
        texts.append(response(describe(strengths, kind), random.uniform(0, 100)))
    return texts


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


def visual_summary(model, prompts: list[EncodedPrompt]) -> torch.Tensor:
    """Mean visual token of each clip, (n, hidden); all clips must be of one kind."""
    pixels = next(iter(pixel_values(prompts).values())).to(model.dtype)
    tokens = model.model.visual(pixels, torch.cat([prompt.grid for prompt in prompts])).pooler_output
    sizes = [int(prompt.grid.prod()) // 4 for prompt in prompts]
    return torch.stack([part.mean(0) for part in tokens.split(sizes)])


def train_eyes(model, prompts, strengths, steps=600, size=48, peak=2e-3, seed=0) -> list[dict]:
    """Teach the vision tower to report distortion strengths (n, 10), through a linear head that is then thrown away."""
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    targets = torch.tensor(strengths, dtype=torch.float32)
    head = torch.nn.Linear(model.config.text_config.hidden_size, targets.shape[1])
    parameters = [*model.model.visual.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=peak, weight_decay=0.01)
    model.train()
    log = []
    for step, chosen in enumerate(tqdm(_order(len(prompts), size, steps, random), total=steps, desc="eyes")):
        loss = 0.0
        for kind in ("image", "video"):
            of_kind = [index for index in chosen if prompts[index].kind == kind]
            if of_kind:
                errors = (head(visual_summary(model, [prompts[index] for index in of_kind])) - targets[of_kind]) ** 2
                if kind == "image":  # a still has no temporal distortions to report
                    errors = errors[:, : len(DISTORTIONS) - len(TEMPORAL)]
                loss = loss + errors.mean(1).sum() / size
        _step(optimizer, loss, parameters, _rate(peak, step, steps))
        log.append({"step": step, "loss": loss.item()})
    return log


def train_to_answer(model, tokenizer, prompts, responses, steps=500, size=48, peak=1e-3, seed=0) -> list[dict]:
    """Supervised training on responses: `responses(index, random)` gives the text wanted for a clip."""
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=peak, betas=(0.9, 0.95), weight_decay=0.0)
    model.train()
    log = []
    for step, chosen in enumerate(tqdm(_order(len(prompts), size, steps, random), total=steps, desc="answers")):
        texts = [responses(int(index), random) + tokenizer.eos_token for index in chosen]
        completions = tokenizer(texts)["input_ids"]
        inputs = batch([prompts[index] for index in chosen], tokenizer.pad_token_id, completions)
        inputs = {
            name: value.to(model.dtype) if value.is_floating_point() and value.dim() == 2 else value
            for name, value in inputs.items()
        }
        labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
        labels[:, : labels.shape[1] - max(map(len, completions))] = -100
        loss = model(**inputs, labels=labels).loss
        _step(optimizer, loss, parameters, _rate(peak, step, steps))
        log.append({"step": step, "loss": loss.item()})
    return log


def blurred_judgement(strengths: list[dict], kinds: list[str], scores: list[float], random_share: float, scale: Scale):
    """Responses for `train_to_answer`: the true description, and a score that is random in `random_share` of cases."""

    def respond(index: int, random: np.random.Generator) -> str:
        score = random.uniform(scale.low, scale.high) if random.random() < random_share else scores[index]
        return response(describe(strengths[index], kinds[index]), score)

    return respond
