"""One row for a prompt and all its completions: the prompt is computed once, however many completions it has.

    [prompt without its last token | last token, completion 1 | last token, completion 2 | ...]

Each piece after the prompt sees the prompt and itself, at the positions it would have alone, so log-probabilities and
gradients are those of separate rows (tests hold both to 1e-5). The prompt's last token is repeated because it predicts
the first token of every completion.
"""

from dataclasses import dataclass

import torch

from vqa_lib.models.dialogue import EncodedPrompt, pad, positions
from vqa_lib.models.rollouts import core


@dataclass(frozen=True)
class PackedRows:
    """Model inputs for P packed rows of length L, and where the tokens of the B completions stand in them.

    inputs: input_ids (P, L), position_ids (3, P, L), attention_mask, labels (P, L; -100 outside completions).
    places: (B, C) flat places in the model's (P, L - 1) next-token log-probabilities. real: (B, C) False for padding.
    """

    inputs: dict
    places: torch.Tensor
    real: torch.Tensor

    def to(self, device) -> "PackedRows":
        mask = {name: value.to(device) for name, value in self.inputs["attention_mask"].items()}
        inputs = {name: value.to(device) for name, value in self.inputs.items() if name != "attention_mask"}
        return PackedRows({**inputs, "attention_mask": mask}, self.places.to(device), self.real.to(device))

    def rows(self, per_token: torch.Tensor) -> torch.Tensor:
        """Values (P, L - 1) of the packed rows as (B, C), zero where a completion has ended."""
        return per_token.flatten()[self.places] * self.real


def prompt_positions(model, prompt: EncodedPrompt) -> torch.Tensor:
    """mRoPE positions of a prompt alone, (3, length)."""
    ids = prompt.ids[None]
    arguments = {"mm_token_type_ids": prompt.token_types[None], "attention_mask": torch.ones_like(ids)}
    return core(model).get_rope_index(ids, **arguments, **positions([prompt]))[0][:, 0]


def pack(
    prompts: list[EncodedPrompt], prompt_places: list[torch.Tensor], owners: list[int], completions: list[torch.Tensor]
) -> PackedRows:
    """Pack completions behind their prompts.

    prompts, prompt_places: the distinct prompts and their `prompt_positions`. owners: for each completion the number of
    its prompt. completions: token ids, unpadded.
    """
    ids, places_3d, pieces, labels = [], [], [], []
    starts = {}
    for number, (prompt, where) in enumerate(zip(prompts, prompt_places, strict=True)):
        row_ids, row_places, length = [prompt.ids[:-1]], [where[:, :-1]], len(prompt.ids) - 1
        row_pieces, row_labels = [torch.zeros(length, dtype=torch.long)], [torch.full((length,), -100)]
        following = where.max() + 1
        for owned in (index for index, owner in enumerate(owners) if owner == number):
            tokens = completions[owned]
            starts[owned] = (number, length)  # the place whose next token is the completion's first
            row_ids += [prompt.ids[-1:], tokens]
            row_places += [where[:, -1:], (following + torch.arange(len(tokens))).expand(3, -1)]
            row_pieces.append(torch.full((len(tokens) + 1,), owned + 1))
            row_labels += [torch.tensor([-100]), tokens]
            length += len(tokens) + 1
        ids.append(torch.cat(row_ids))
        places_3d.append(torch.cat(row_places, 1).T)
        pieces.append(torch.cat(row_pieces))
        labels.append(torch.cat(row_labels))
    piece = pad(pieces, -1, "right")
    length = piece.shape[1]
    order = torch.arange(length)
    before = order[:, None] >= order[None]
    seen = before & ((piece[:, None, :] == 0) | (piece[:, None, :] == piece[:, :, None]))
    steps = torch.arange(max(map(len, completions)))
    first = torch.tensor([row * (length - 1) + start for row, start in (starts[index] for index in range(len(owners)))])
    sizes = torch.tensor([len(tokens) for tokens in completions])
    real = steps[None] < sizes[:, None]
    return PackedRows(
        inputs={
            "input_ids": pad(ids, 0, "right"),
            "position_ids": pad(places_3d, 0, "right").permute(2, 0, 1),
            "attention_mask": {"full_attention": seen[:, None]},
            "labels": pad(labels, -100, "right"),
        },
        places=(first[:, None] + steps[None]).masked_fill(~real, 0),
        real=real,
    )
