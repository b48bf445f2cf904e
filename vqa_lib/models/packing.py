"""One stream for prompts and all their completions: each prompt is computed once, however many completions it has.

    [prompt 1 | prompt 2 | ... | last token of its prompt, completion 1 | last token of its prompt, completion 2 | ...]

Every completion sees its prompt and itself, at the positions it would have alone, so log-probabilities and gradients
are those of separate rows (tests hold both to 1e-5). A prompt's last token stands with its completions, because it
predicts their first token. Nothing is padded: all arithmetic but attention's is done for real tokens only.
"""

from dataclasses import dataclass

import torch
from trl.kernels import ChunkedLogProbFunction

from vqa_lib.models.dialogue import EncodedPrompt, pad
from vqa_lib.models.families import core, prompt_positions, visual_inputs, whole
from vqa_lib.models.shared_prefix import Stream, share_prefixes

VOCABULARY_CHUNK = 32768  # words whose logits are in memory at once


@dataclass(frozen=True)
class Packed:
    """Model inputs for one stream, and where the B completions' tokens stand among its N completion tokens.

    inputs: input_ids (1, T), position_ids (3 or 1, 1, T), attention_mask (a `Stream`), shift_labels (1, N). index:
    (B, C) into the N log-probabilities. real: (B, C) False for padding.
    """

    inputs: dict
    index: torch.Tensor
    real: torch.Tensor

    def rows(self, per_token: torch.Tensor) -> torch.Tensor:
        """Values (1, N) of the completion tokens as (B, C), zero where a completion has ended."""
        return per_token[0][self.index] * self.real


def stream(
    prompts: list[EncodedPrompt],
    places: list[torch.Tensor],
    owners: list[int],
    rows: list[torch.Tensor],
    device,
    kept: dict | None = None,
    kept_rows: dict | None = None,
) -> dict:
    """Model inputs: prompts without their last token, then rows that each begin with the last token of their prompt.

    places: the prompts' `prompt_positions`. owners: the prompt of each row. A row's last token predicts nothing here,
    so the vocabulary is asked about all its tokens but that one. kept, kept_rows: see
    `Stream`.
    """
    ids = [prompt.ids[:-1] for prompt in prompts] + rows
    ends = torch.tensor([len(part) for part in ids]).cumsum(0).tolist()
    spans = [torch.arange(end - len(part), end) for end, part in zip(ends, ids, strict=True)]
    of_prompts, of_rows = spans[: len(prompts)], spans[len(prompts) :]
    positions = [where[:, :-1] for where in places]
    for owner, row in zip(owners, rows, strict=True):
        last, following = places[owner][:, -1:], int(places[owner].max()) + 1
        positions.append(torch.cat([last, (following + torch.arange(len(row) - 1)).expand(len(last), -1)], 1))
    position_ids = torch.cat(positions, 1)[:, None].to(device)
    mask = Stream(
        prompts=_padded(of_prompts, device),
        rows=_padded(of_rows, device),
        owners=torch.tensor(owners, dtype=torch.long, device=device),
        places=torch.cat([torch.empty(0, dtype=torch.long), *(span[:-1] for span in of_rows)]).to(device),
        kept=kept,
        kept_rows=kept_rows,
    )
    return {
        "input_ids": torch.cat(ids)[None].to(device),
        "position_ids": position_ids if len(position_ids) == 3 else position_ids[0],
        "attention_mask": {"full_attention": mask},
    }


def _padded(spans: list[torch.Tensor], device) -> tuple[torch.Tensor, torch.Tensor]:
    if not spans:
        return torch.empty(0, 0, dtype=torch.long, device=device), torch.empty(0, 0, dtype=torch.bool, device=device)
    real = pad([torch.ones_like(span, dtype=torch.bool) for span in spans], False, "right")
    return pad(spans, 0, "right").to(device), real.to(device)


def pack(
    prompts: list[EncodedPrompt], places: list[torch.Tensor], owners: list[int], completions: list[torch.Tensor], device
) -> Packed:
    """Pack completions (token ids, unpadded) behind their prompts; see `stream`."""
    rows = [torch.cat([prompts[owner].ids[-1:], tokens]) for owner, tokens in zip(owners, completions, strict=True)]
    sizes = torch.tensor([len(tokens) for tokens in completions])
    steps = torch.arange(int(sizes.max()))
    real = steps[None] < sizes[:, None]
    index = ((sizes.cumsum(0) - sizes)[:, None] + steps[None]).masked_fill(~real, 0)
    inputs = stream(prompts, places, owners, rows, device) | {"shift_labels": torch.cat(completions)[None].to(device)}
    return Packed(inputs, index.to(device), real.to(device))


def completion_log_probs(
    model,
    prompts: list[EncodedPrompt],
    owners: list[int],
    completions: list[torch.Tensor],
    features: list | None = None,
    temperature: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of each completion token given its prompt, and the entropy there; with gradient.

    prompts: distinct prompts. owners: the prompt of each completion. completions: token ids, unpadded. features: what
    `encode_clips` gave, for a frozen vision tower; None encodes here, each clip once, with gradient.

    Returns:
        (log-probabilities, entropies), both (B, C), zero behind a completion's end.
    """
    share_prefixes(model)
    device = next(model.parameters()).device
    packed = pack(prompts, [prompt_positions(model, prompt) for prompt in prompts], owners, completions, device)
    targets = packed.inputs.pop("shift_labels")
    states = core(model)(**packed.inputs, **visual_inputs(model, prompts, features), use_cache=False).last_hidden_state
    head = whole(model).get_output_embeddings()
    options = (temperature, VOCABULARY_CHUNK, None, 1.0, ("log_probs", "entropy"))
    log_probs, entropies, *_ = ChunkedLogProbFunction.apply(states[0], head.weight, head.bias, targets[0], *options)
    return packed.rows(log_probs[None]), packed.rows(entropies[None])
