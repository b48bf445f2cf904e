"""The plain way through transformers: every completion a row of its own, its clip encoded again in every pass.

Slow, and there for anyone who doubts the shared way: `engine: reference` trains with it, and tests hold the two equal.
"""

import torch
from transformers import GenerationConfig, LogitsProcessor

from vqa_lib.models.dialogue import EncodedPrompt, pad
from vqa_lib.models.families import to_device, visual_inputs
from vqa_lib.models.rollouts import Sampling, choose, until_end


def text_inputs(prompts: list[EncodedPrompt], pad_id: int, completions: list | None = None) -> dict:
    """Ids, mask and token types: prompts padded on the left, completions (token ids, if given) on the right.

    input_ids, attention_mask, mm_token_type_ids: (B, P) or (B, P + C).
    """
    ids = pad([prompt.ids for prompt in prompts], pad_id, "left")
    mask = pad([torch.ones_like(prompt.ids) for prompt in prompts], 0, "left")
    types = pad([prompt.token_types for prompt in prompts], 0, "left")
    if completions is not None:
        tokens = [torch.as_tensor(completion, dtype=torch.long) for completion in completions]
        tail = pad(tokens, pad_id, "right")
        ids = torch.cat([ids, tail], 1)
        mask = torch.cat([mask, pad([torch.ones_like(row) for row in tokens], 0, "right")], 1)
        types = torch.cat([types, torch.zeros_like(tail)], 1)
    return {"input_ids": ids, "attention_mask": mask, "mm_token_type_ids": types}


def plain_inputs(model, prompts: list[EncodedPrompt], completions: list | None = None, features=None) -> dict:
    """The model's keyword arguments for one row a prompt; pixels, or (with `features`) encoded visuals."""
    device = next(model.parameters()).device
    inputs = text_inputs(prompts, model.config.get_text_config().pad_token_id, completions)
    inputs |= visual_inputs(model, prompts, features)
    if "image_grid_thw" not in inputs and "video_grid_thw" not in inputs:
        del inputs["mm_token_type_ids"]  # InternVL has no positions that would need them
    return to_device(inputs, device)


def completion_log_probs(
    model, prompts: list[EncodedPrompt], owners: list[int], completions: list[torch.Tensor], temperature: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """As `packing.completion_log_probs`, by one padded row a completion."""
    inputs = plain_inputs(model, [prompts[owner] for owner in owners], completions)
    width = max(map(len, completions))
    logits = model(**inputs, logits_to_keep=width + 1).logits[:, :-1].float() / temperature
    log_probs = logits.log_softmax(-1)
    targets, real = inputs["input_ids"][:, -width:], inputs["attention_mask"][:, -width:]
    chosen = log_probs.gather(-1, targets[..., None])[..., 0]
    return chosen * real, -(log_probs.exp() * log_probs).sum(-1) * real


class Draw(LogitsProcessor):
    """Makes `generate` take the tokens that `choose` takes: all others get no chance."""

    def __init__(self, uniform: torch.Tensor, start: int):
        self.uniform, self.start = uniform, start

    def __call__(self, input_ids, scores):
        chosen = choose(scores, self.uniform[:, input_ids.shape[1] - self.start].to(scores.device))
        return torch.full_like(scores, float("-inf")).scatter(1, chosen[:, None], 0.0)


@torch.no_grad()
def sample(
    model, prompts: list[EncodedPrompt], repeats: list[int], sampling: Sampling, uniform: torch.Tensor | None = None
) -> list[list[int]]:
    """As `rollouts.sample`, by plain `generate` on repeated rows."""
    rows = [prompt for prompt, count in zip(prompts, repeats, strict=True) for _ in range(count)]
    inputs = plain_inputs(model, rows)
    start, device = inputs["input_ids"].shape[1], inputs["input_ids"].device
    processors = sampling.processors(uniform is not None, device)
    if uniform is not None:
        processors.append(Draw(uniform, start))
    pad_id = model.config.get_text_config().pad_token_id
    generation = GenerationConfig(
        max_new_tokens=sampling.max_tokens, do_sample=False, eos_token_id=list(sampling.ends), pad_token_id=pad_id
    )
    tokens = model.generate(**inputs, generation_config=generation, logits_processor=processors)
    return [until_end(row, set(sampling.ends)) for row in tokens[:, start:].tolist()]
