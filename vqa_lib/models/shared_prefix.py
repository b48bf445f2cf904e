"""Attention in which many continuations share one prompt: the prompt attends once, each continuation to it and itself.

Two shapes go in where transformers passes a mask. `Stream` is for training and prefilling: prompts and continuations
one behind the other, without padding; attention gathers them into two batches, so no mask over the whole stream is ever
made. `Decoding` is for sampling: every row adds one token a step, and the prompt's keys and values are kept, and read,
once for all rows that share it. Both are exact: tests hold them to plain transformers.
"""

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from vqa_lib.models.families import core

NAME = "shared_prefix"
GROWTH = 64  # tokens by which the room for new keys and values grows


class Stream:
    """Where prompts and continuations stand in a stream of T tokens.

    prompts: (P, L) the places of the prompts' tokens, and which are real (rows are padded on the right). rows: (B, C)
    the same for the continuations. owners: (B,) the prompt of each continuation. places: (N,) the only places whose
    states go on to the vocabulary; None for all. kept, kept_rows: with dicts, the keys and values of prompts and
    continuations are put into them, layer by layer.
    """

    def __init__(self, prompts, rows, owners, places=None, kept: dict | None = None, kept_rows: dict | None = None):
        self.prompts, self.prompts_real = prompts
        self.rows, self.rows_real = rows
        self.owners, self.places, self.kept, self.kept_rows = owners, places, kept, kept_rows
        # Where each token of the stream stands in [all prompts | all rows], to put the two results back in order.
        gathered = torch.cat([self.prompts.flatten(), self.rows.flatten()])
        real = torch.cat([self.prompts_real.flatten(), self.rows_real.flatten()])
        self.back = torch.empty(int(real.sum()), dtype=torch.long, device=gathered.device)
        self.back[gathered[real]] = real.nonzero().flatten()
        steps = self.rows.shape[1]
        itself = torch.ones(steps, steps, dtype=torch.bool, device=gathered.device).tril()
        prompt = self.prompts_real[owners][:, None, :].expand(-1, steps, -1)
        self.seen = torch.cat([prompt, itself.expand(len(owners), -1, -1)], 2)[:, None]  # (B, 1, C, L + C)
        self.mask: torch.Tensor | None = None  # the same for the kernel, see `_mask`

    def attend(self, module, query, key, value, scaling: float) -> torch.Tensor:
        """(1, heads, T, width) to (1, T, heads, width)."""
        query, key, value = query[0], key[0], value[0]
        prompt_query, prompt_key, prompt_value = (part[:, self.prompts].transpose(0, 1) for part in (query, key, value))
        if self.kept is not None:
            self.kept[module.layer_idx] = (prompt_key, prompt_value)
        over_prompts = scaled_dot_product_attention(
            prompt_query, prompt_key, prompt_value, is_causal=True, scale=scaling, enable_gqa=True
        )
        pieces = [over_prompts.transpose(1, 2).flatten(0, 1)]
        if len(self.rows):
            own_query, own_key, own_value = (part[:, self.rows].transpose(0, 1) for part in (query, key, value))
            if self.kept_rows is not None:
                self.kept_rows[module.layer_idx] = [own_key, own_value]
            # Heads that share keys become longer queries: keys are not repeated, and any kernel takes the mask.
            rows, heads, steps, width = own_query.shape
            shared = heads // len(key)
            over_rows = scaled_dot_product_attention(
                own_query.reshape(rows, len(key), shared * steps, width),
                torch.cat([prompt_key[self.owners], own_key], 2),
                torch.cat([prompt_value[self.owners], own_value], 2),
                attn_mask=self._mask(shared, own_value.dtype),
                scale=scaling,
            )
            pieces.append(over_rows.reshape(rows, heads, steps, width).transpose(1, 2).flatten(0, 1))
        return torch.cat(pieces)[self.back][None]

    def _mask(self, shared: int, dtype: torch.dtype) -> torch.Tensor:
        """What is added to scores, made once: of a mask of yes and no every layer would make, and keep, its own."""
        if self.mask is None:
            hidden = ~self.seen.repeat(1, 1, shared, 1)
            self.mask = torch.zeros(hidden.shape, dtype=dtype, device=hidden.device).masked_fill_(hidden, float("-inf"))
        return self.mask


class Decoding:
    """Rows that decode together from prefilled prompts.

    prefix: layer -> keys and values (P, key heads, L, width) of the prompts. prompts_real: (P, L) which of them are
    real. owners: (B,) the prompt of each row. own: layer -> keys and values (B, key heads, C, width) of what the rows
    have already of their own (a question, say), and own_real: (B, C) which of it is real.
    """

    def __init__(
        self, prefix: dict, prompts_real: torch.Tensor, owners: torch.Tensor, own: dict, own_real: torch.Tensor
    ):
        # Laid out once as matrix products read them; otherwise every step would copy them.
        self.prefix = {layer: tuple(part.contiguous() for part in pair) for layer, pair in prefix.items()}
        self.prompts_real = prompts_real
        self.own: dict[int, list[torch.Tensor]] = own
        self.length = own_real.shape[1]  # places that every row has filled already
        self.own_hidden = None if own_real.all() else ~own_real
        self._group(owners)

    def _group(self, owners: torch.Tensor) -> None:
        """Rows of one prompt side by side, (P, G), so that its keys are read once for all of them."""
        self.owners = owners
        counts = torch.bincount(owners, minlength=len(self.prompts_real))
        width = int(counts.max())
        order = torch.argsort(owners, stable=True)
        within = torch.arange(len(owners), device=owners.device) - (counts.cumsum(0) - counts)[owners[order]]
        self.home = torch.empty_like(owners)
        self.home[order] = owners[order] * width + within
        self.members = torch.zeros(len(counts) * width, dtype=torch.long, device=owners.device)
        self.members[self.home] = torch.arange(len(owners), device=owners.device)
        self.hidden = None if self.prompts_real.all() else ~self.prompts_real[:, None, None, :]

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows only; prompts that none of them needs are dropped too."""
        needed, owners = torch.unique(self.owners[rows], return_inverse=True)
        if len(needed) < len(self.prompts_real):
            self.prefix = {layer: tuple(part[needed] for part in pair) for layer, pair in self.prefix.items()}
            self.prompts_real = self.prompts_real[needed]
        self.own = {layer: [part[rows] for part in pair] for layer, pair in self.own.items()}
        self.own_hidden = None if self.own_hidden is None else self.own_hidden[rows]
        self._group(owners)

    def attend(self, module, query, key, value, scaling: float) -> torch.Tensor:
        """(B, heads, 1, width) to (B, 1, heads, width)."""
        own_key, own_value = self._append(module.layer_idx, key, value)
        rows, heads, _, width = query.shape
        key_heads = key.shape[1]
        query = query.reshape(rows, key_heads, heads // key_heads, width)
        prompt_key, prompt_value = self.prefix[module.layer_idx]
        prompts = len(prompt_key)
        # (P, key heads, G x heads per key head, width)
        grouped = query[self.members].reshape(prompts, -1, key_heads, heads // key_heads, width)
        grouped = grouped.transpose(1, 2).reshape(prompts, key_heads, -1, width)
        over_prompt, weight_prompt = _softmax_part(grouped, prompt_key, prompt_value, scaling, self.hidden)
        shape = (prompts, key_heads, -1, heads // key_heads)
        over_prompt, weight_prompt = (
            part.reshape(*shape, part.shape[-1]).transpose(1, 2).flatten(0, 1)[self.home]
            for part in (over_prompt, weight_prompt)
        )
        hidden = None
        if self.own_hidden is not None:  # padding of the questions; every token decoded since is real
            hidden = torch.nn.functional.pad(self.own_hidden, (0, own_key.shape[2] - self.own_hidden.shape[1]))[
                :, None, None
            ]
        over_own, weight_own = _softmax_part(query, own_key, own_value, scaling, hidden)
        # Two softmaxes over parts of the keys make the softmax over all by their normalisers.
        share = torch.sigmoid(weight_prompt - weight_own)
        mixed = over_prompt * share + over_own * (1 - share)
        return mixed.to(value.dtype).reshape(rows, 1, heads, width)

    def _append(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if layer not in self.own:
            self.own[layer] = [part.new_empty(*part.shape[:2], 0, part.shape[3]) for part in (key, value)]
        pair = self.own[layer]
        for number, part in enumerate((key, value)):
            if self.length == pair[number].shape[2]:
                more = part.new_empty(*part.shape[:2], GROWTH, part.shape[3])
                pair[number] = torch.cat([pair[number], more], 2)
            pair[number][:, :, self.length] = part[:, :, 0]
        return pair[0][:, :, : self.length + 1], pair[1][:, :, : self.length + 1]


def _softmax_part(query, key, value, scaling: float, hidden=None) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention over some of the keys, and the logarithm of its normaliser, both in float32."""
    scores = ((query * scaling) @ key.transpose(-1, -2)).float()
    if hidden is not None:
        scores.masked_fill_(hidden, float("-inf"))
    largest = scores.amax(-1, keepdim=True)
    weights = scores.sub_(largest).exp_()
    total = weights.sum(-1, keepdim=True)
    return (weights.to(value.dtype) @ value).float() / total, largest + total.log()


def attention(module, query, key, value, attention_mask, scaling=None, **arguments):
    """transformers' attention function: our two shapes, and plain SDPA for every other mask."""
    if isinstance(attention_mask, Stream | Decoding):
        return attention_mask.attend(module, query, key, value, scaling), None
    return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **arguments)


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


def share_prefixes(model) -> None:
    """Let a model understand `Stream` and `Decoding`; with any other mask it computes what it did before."""
    network = core(model)
    config = network.language_model.config
    if config._attn_implementation != NAME:
        config._attn_implementation = NAME
        network.register_forward_hook(_only_asked_for, with_kwargs=True)


def _only_asked_for(network, arguments, keywords, output):
    """States that no completion token needs never reach the vocabulary projection."""
    mask = keywords.get("attention_mask")
    stream = mask.get("full_attention") if isinstance(mask, dict) else None
    if isinstance(stream, Stream) and stream.places is not None:
        output.last_hidden_state = output.last_hidden_state[:, stream.places]
    return output
