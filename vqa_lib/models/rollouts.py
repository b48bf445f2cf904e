"""Many completions of few prompts: each clip is encoded once and each prompt prefilled once.

The completions then decode together from copies of the prefilled cache. Greedy output equals plain `generate` on
repeated rows token for token (a test holds this).
"""

import torch
from transformers import DynamicCache, GenerationConfig
from transformers.modeling_outputs import BaseModelOutputWithPooling

from vqa_lib.models.dialogue import EncodedPrompt, positions, text_inputs

VISION_TOKENS = ["<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]


def vision_token_ids(tokenizer) -> list[int]:
    """Tokens a completion must never hold: a sampled placeholder makes the next forward look for a missing picture."""
    vocabulary = tokenizer.get_vocab()
    return sorted(vocabulary[token] for token in VISION_TOKENS if token in vocabulary)


def core(model):
    """The transformers model below an adapter or a wrapper, with vision tower and language model."""
    model = getattr(model, "module", model)
    return (model.get_base_model() if hasattr(model, "get_base_model") else model).model


def encode_clips(model, prompts: list[EncodedPrompt]) -> list[torch.Tensor]:
    """Visual tokens of each clip, a list of (tokens, hidden); one pass of the vision tower a kind."""
    tower = core(model)
    features: list[torch.Tensor | None] = [None] * len(prompts)
    for kind, encode in (("image", tower.get_image_features), ("video", tower.get_video_features)):
        chosen = [index for index, prompt in enumerate(prompts) if prompt.kind == kind]
        if chosen:
            parameter = next(tower.visual.parameters())
            pixels = torch.cat([prompts[index].pixels for index in chosen]).to(parameter.device, parameter.dtype)
            grids = torch.cat([prompts[index].grid for index in chosen]).to(parameter.device)
            for index, tokens in zip(chosen, encode(pixels, grids, return_dict=True).pooler_output, strict=True):
                features[index] = tokens
    return features


def visual_inputs(prompts: list[EncodedPrompt], features: list[torch.Tensor]) -> dict:
    """Keyword arguments that hand encoded clips to the model in place of their pixels."""
    outputs = {}
    for kind in ("image", "video"):
        tokens = tuple(part for prompt, part in zip(prompts, features, strict=True) if prompt.kind == kind)
        if tokens:
            outputs[kind] = BaseModelOutputWithPooling(pooler_output=tokens)
    return {"mm_encoder_outputs": outputs, **positions(prompts)}


def to_device(inputs: dict, device) -> dict:
    return {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in inputs.items()}


@torch.no_grad()
def sample_completions(
    model,
    prompts: list[EncodedPrompt],
    repeats: list[int],
    generation: GenerationConfig,
    features: list[torch.Tensor] | None = None,
) -> list[list[int]]:
    """`repeats[i]` completions of prompt i, prompt after prompt, as token ids up to and including the end token."""
    features = encode_clips(model, prompts) if features is None else features
    device = features[0].device
    text = to_device(text_inputs(prompts, generation.pad_token_id), device)
    seen = to_device(visual_inputs(prompts, features), device)
    rows = torch.repeat_interleave(torch.arange(len(prompts)), torch.tensor(repeats)).to(device)
    cache = DynamicCache(config=model.config.get_text_config())
    model(**text, **seen, past_key_values=cache, use_cache=True, logits_to_keep=1)
    cache.crop(-1)  # generate wants at least one token to run
    cache.batch_select_indices(rows)
    network = core(model)
    network.rope_deltas = network.rope_deltas[rows]
    ids = text["input_ids"][rows]
    tokens = model.generate(
        input_ids=ids,
        attention_mask=text["attention_mask"][rows],
        past_key_values=cache,
        generation_config=generation,
    )
    network.rope_deltas = None  # a stale value would be taken for the next batch's
    ends = generation.eos_token_id if isinstance(generation.eos_token_id, list) else [generation.eos_token_id]
    return [_until_end(row, set(ends)) for row in tokens[:, ids.shape[1] :].tolist()]


def respond(model, processor, prompts: list[EncodedPrompt], max_completion: int) -> list[str]:
    """The greedy response to each prompt, all in one batch."""
    tokenizer = processor.tokenizer
    generation = GenerationConfig(
        max_new_tokens=max_completion,
        do_sample=False,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        suppress_tokens=vision_token_ids(tokenizer),
    )
    tokens = sample_completions(model, prompts, [1] * len(prompts), generation)
    return tokenizer.batch_decode(tokens, skip_special_tokens=True)


def _until_end(tokens: list[int], ends: set[int]) -> list[int]:
    last = next((index for index, token in enumerate(tokens) if token in ends), len(tokens) - 1)
    return tokens[: last + 1]
