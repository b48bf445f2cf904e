"""Many completions of few prompts: each clip is encoded once, each prompt computed once, all rows decode together.

What a row draws depends on its own random numbers alone, not on which rows are beside it: the same completions come out
however a batch is split over processes. Greedy output equals plain `generate` token for token (a test holds this).
"""

from dataclasses import dataclass

import numpy as np
import torch
from transformers import LogitsProcessorList, SuppressTokensLogitsProcessor
from transformers.generation import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from vqa_lib.models.dialogue import EncodedPrompt
from vqa_lib.models.families import core, encode_clips, prompt_positions, vision_token_ids, visual_inputs, whole
from vqa_lib.models.packing import stream
from vqa_lib.models.shared_prefix import Decoding, share_prefixes


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen. ends: token ids that end a completion. banned: ids that never occur in one.

    temperature, top_p, top_k (0: all) shape the distribution that draws are made from; without draws the likeliest
    token is taken.
    """

    max_tokens: int
    ends: tuple[int, ...]
    banned: tuple[int, ...] = ()
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0

    def processors(self, drawn: bool, device) -> LogitsProcessorList:
        """transformers' own processors in the order `generate` has them."""
        chosen = [SuppressTokensLogitsProcessor(list(self.banned), device=device)] if self.banned else []
        if drawn and self.temperature != 1:
            chosen.append(TemperatureLogitsWarper(self.temperature))
        if drawn and self.top_k:
            chosen.append(TopKLogitsWarper(self.top_k))
        if drawn and self.top_p < 1:
            chosen.append(TopPLogitsWarper(self.top_p))
        return LogitsProcessorList(chosen)


def sampling_for(tokenizer, max_tokens: int, model=None, **options) -> Sampling:
    """Sampling that ends at the tokenizer's end token, or another of the model's, and never makes a placeholder."""
    own = None if model is None else whole(model).generation_config.eos_token_id
    ends = {tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])} - {None}
    return Sampling(max_tokens, tuple(sorted(ends)), tuple(vision_token_ids(tokenizer)), **options)


def draws(keys: list[tuple[int, ...]], max_tokens: int) -> torch.Tensor:
    """Uniform numbers (rows, max_tokens), each row from its own key, such as (seed, step, row)."""
    return torch.from_numpy(np.stack([np.random.default_rng(key).random(max_tokens) for key in keys]))


def choose(scores: torch.Tensor, uniform: torch.Tensor | None) -> torch.Tensor:
    """The next token of each row: the likeliest, or the one at which the cumulated probabilities pass a draw."""
    if uniform is None:
        return scores.argmax(-1)
    cumulated = scores.double().softmax(-1).cumsum(-1)
    places = torch.searchsorted(cumulated, uniform[:, None] * cumulated[:, -1:], right=True)[:, 0]
    return places.clamp_max(scores.shape[-1] - 1)


@torch.no_grad()
def sample(
    model,
    prompts: list[EncodedPrompt],
    repeats: list[int],
    sampling: Sampling,
    uniform: torch.Tensor | None = None,
    features: list | None = None,
    tokens: int | None = None,
) -> list[list[int]]:
    """`repeats[i]` completions of prompt i, prompt after prompt, as token ids up to and including the end token.

    uniform: (sum of repeats, max_tokens) from `draws`; None decodes greedily. features: what `encode_clips` gave.
    tokens: prompts are taken in blocks whose keys and values are at most so many tokens' (or one prompt's); None for
    all at once.
    """
    share_prefixes(model)
    features = encode_clips(model, prompts) if features is None else features
    costs = [len(prompt.ids) + count * sampling.max_tokens for prompt, count in zip(prompts, repeats, strict=True)]
    made: list[list[int]] = []
    for block in _blocks(costs, tokens):
        rows = slice(len(made), len(made) + sum(repeats[block]))
        part = None if uniform is None else uniform[rows]
        made += _sample_block(model, prompts[block], repeats[block], sampling, part, features[block])
    return made


def _blocks(costs: list[int], limit: int | None) -> list[slice]:
    """Consecutive stretches whose costs add up to at most the limit."""
    starts, held = [0], 0
    for number, cost in enumerate(costs):
        if number > starts[-1] and limit is not None and held + cost > limit:
            starts.append(number)
            held = 0
        held += cost
    return [slice(start, end) for start, end in zip(starts, [*starts[1:], len(costs)], strict=True)]


def _sample_block(model, prompts, repeats, sampling: Sampling, uniform, features) -> list[list[int]]:
    owners = [number for number, count in enumerate(repeats) for _ in range(count)]
    return _decode(model, prompts, owners, None, sampling, uniform, features)[0]


@torch.no_grad()
def continue_prefixes(
    model,
    prefixes: list[EncodedPrompt],
    owners: list[int],
    tails: list[torch.Tensor],
    sampling: Sampling,
    watched: list[int],
    features: list | None = None,
) -> tuple[list[list[int]], torch.Tensor]:
    """The greedy completion of many questions about few videos: what the questions share is computed once.

    prefixes: what the dialogues of one video have in common. owners: the prefix of each dialogue. tails: how each goes
    on (token ids, at least one). watched: token ids whose logits are wanted.

    Returns:
        (completions, logits): token ids up to and including the end token; (B, steps, watched) the watched tokens'
        logits at each step, before anything is banned, undefined behind a completion's end.
    """
    share_prefixes(model)
    features = encode_clips(model, prefixes) if features is None else features
    return _decode(model, prefixes, owners, tails, sampling, None, features, watched)


def _decode(model, prompts, owners, tails, sampling: Sampling, uniform, features, watched=()):
    """Completions of rows that each continue a prompt, or a prompt and a tail; and the logits of watched tokens."""
    device = next(model.parameters()).device
    places = [prompt_positions(model, prompt) for prompt in prompts]
    owners = torch.tensor(owners, device=device)
    cache = _prefill(model, prompts, places, owners, tails, features)
    tokens = torch.tensor([int(prompt.ids[-1]) for prompt in prompts], device=device)[owners]
    position = torch.stack([where[:, -1] for where in places], 1).to(device)[:, owners]
    following = torch.tensor([int(where.max()) + 1 for where in places], device=device)[owners]
    if tails is not None:
        tokens = torch.tensor([int(tail[-1]) for tail in tails], device=device)
        following = following + torch.tensor([len(tail) for tail in tails], device=device)
        position = (following - 1).expand_as(position)
    uniform = None if uniform is None else uniform.to(device)
    processors, ends = sampling.processors(uniform is not None, device), torch.tensor(sampling.ends, device=device)
    made = torch.full((len(owners), sampling.max_tokens), sampling.ends[0], device=device)
    seen = torch.full((len(owners), sampling.max_tokens, len(watched)), float("nan"), device=device)
    rows = torch.arange(len(owners), device=device)  # those in the batch
    ended = torch.zeros_like(rows, dtype=torch.bool)
    for step in range(sampling.max_tokens):
        logits = _next_logits(model, tokens, position, cache).float()
        if len(watched):
            seen[rows, step] = logits[:, watched]
        tokens = choose(processors(None, logits), None if uniform is None else uniform[rows, step])
        made[rows, step] = tokens
        position = (following[rows] + step).expand_as(position)
        ended |= torch.isin(tokens, ends)
        going = (~ended).nonzero()[:, 0]
        if not len(going):
            break
        if len(going) <= 0.8 * len(rows):  # leaving rows out copies their keys: worth it for a fifth of them
            cache.keep(going)
            rows, tokens, position, ended = rows[going], tokens[going], position[:, going], ended[going]
    return [until_end(row, set(sampling.ends)) for row in made.tolist()], seen.cpu()


def respond(
    model, processor, prompts: list[EncodedPrompt], max_completion: int, uniform: torch.Tensor | None = None, **options
) -> list[list[str]]:
    """Responses to each prompt, all in one batch: the greedy one, or as many as `uniform` has rows for each.

    uniform: (prompts x samples, max_completion) from `draws`, a prompt's samples side by side. options: of `Sampling`.
    """
    sampling = sampling_for(processor.tokenizer, max_completion, model, **options)
    samples = 1 if uniform is None else len(uniform) // len(prompts)
    tokens = sample(model, prompts, [samples] * len(prompts), sampling, uniform)
    texts = processor.tokenizer.batch_decode(tokens, skip_special_tokens=True)
    return [texts[start : start + samples] for start in range(0, len(texts), samples)]


def _prefill(model, prompts, places, owners, tails, features) -> Decoding:
    """Keys and values of everything but each row's last token, which the first step takes."""
    kept, kept_rows, rows = {}, {}, []
    if tails is not None:
        begins = [
            torch.cat([prompts[owner].ids[-1:], tail]) for owner, tail in zip(owners.tolist(), tails, strict=True)
        ]
        rows = [begin[:-1] for begin in begins]
    inputs = stream(prompts, places, owners.tolist() if rows else [], rows, owners.device, kept, kept_rows)
    core(model)(**inputs, **visual_inputs(model, prompts, features), use_cache=False)
    mask = inputs["attention_mask"]["full_attention"]
    own_real = mask.rows_real if rows else torch.ones(len(owners), 0, dtype=torch.bool, device=owners.device)
    return Decoding(kept, mask.prompts_real, owners, kept_rows, own_real)


def _next_logits(model, tokens: torch.Tensor, position: torch.Tensor, cache: Decoding) -> torch.Tensor:
    position = position[..., None] if len(position) == 3 else position[0, :, None]
    states = core(model).language_model(
        inputs_embeds=core(model).get_input_embeddings()(tokens[:, None]),
        position_ids=position,
        attention_mask={"full_attention": cache},
        use_cache=False,
    )
    cache.length += 1
    return whole(model).get_output_embeddings()(states.last_hidden_state[:, 0])


def until_end(tokens: list[int], ends: set[int]) -> list[int]:
    """Tokens up to and including the first that ends a completion."""
    last = next((index for index, token in enumerate(tokens) if token in ends), len(tokens) - 1)
    return tokens[: last + 1]
