"""Tokens and floating-point operations of a GRPO step, from shapes: two operations a weight and token, and attention's.

Attention is counted as PyTorch counts it: all pairs of its masks, though kernels leave out most of a causal mask.
"""

from dataclasses import dataclass

from vqa_lib.planning.shapes import ModelShape, TextShape
from vqa_lib.planning.workload import Clip, Method, Rows, Workload


@dataclass(frozen=True)
class Tokens:
    """Tokens that a process handles in a step. prompts, completions, contrast: distinct prompts' and what is sampled on
    them; contrast: of both on perturbed frames. prompts_in_pieces: prompt tokens of reference, and again of loss, where
    a prompt in two pieces counts twice."""

    prompts: int
    completions: int
    contrast: int
    prompts_in_pieces: int


@dataclass(frozen=True)
class Operations:
    """Floating-point operations of one process in a step. vision: without gradient; a trained tower's passes are part
    of reference and loss."""

    vision: float
    prefill: float
    decode: float
    reference: float
    loss: float

    @property
    def total(self) -> float:
        return self.vision + self.prefill + self.decode + self.reference + self.loss


def count_tokens(work: Workload) -> Tokens:
    """Tokens of a step; see `Tokens`."""
    return Tokens(
        prompts=work.clips * work.prompt,
        completions=work.rows * work.completion,
        contrast=work.contrast_clips * work.prompt + work.contrast_rows * work.completion,
        prompts_in_pieces=sum(piece.prompts for piece in work.pieces()) * work.prompt,
    )


def count_operations(shape: ModelShape, work: Workload, method: Method) -> Operations:
    """Operations of a step; see `Operations`."""
    text, clips = shape.text, work.clips + work.contrast_clips
    rows = work.rows + work.contrast_rows
    own = 2 * (text.linear + text.embedding) + 4 * text.layers * text.hidden * (work.prompt + work.completion / 2)
    pieces = work.pieces()
    reference = sum(forward(shape, work.clip, piece, method) for piece in pieces) if method.beta else 0.0
    return Operations(
        vision=clips * encoding(shape, work.clip),
        prefill=_text(text, Rows(clips, work.prompt - 1)),
        decode=rows * work.completion * own,
        reference=reference,
        loss=sum(
            forward(shape, work.clip, piece, method) + backward(shape, work.clip, piece, method) for piece in pieces
        ),
    )


def forward(shape: ModelShape, clip: Clip, piece: Rows, method: Method) -> float:
    """Operations of one pass over a piece, with its clips' encoding where the vision tower is trained."""
    seen = piece.prompts * encoding(shape, clip) if method.vision_trained else 0
    return seen + _text(shape.text, piece) + _adapters(shape.text, piece, method) + _head(shape.text, piece)


def backward(shape: ModelShape, clip: Clip, piece: Rows, method: Method) -> float:
    """Operations of a piece's backward pass: gradients of inputs, of trained weights, and what is computed again."""
    text, again = shape.text, 1 if method.checkpointing else 0
    learning = 0 if method.trained == "adapter" else 1
    linear, attention = 2 * text.linear * piece.tokens, _attention(text, piece)
    # Attention's backward pass has five products where its forward pass has two.
    operations = linear * (1 + learning + again) + attention * (2.5 + again)
    operations += _adapters(text, piece, method) * (2 + again)
    operations += _head(text, piece) * (2 + learning)  # logits are computed again
    if method.vision_trained:
        within = piece.prompts * _vision_attention(shape, clip)
        rest = piece.prompts * encoding(shape, clip) - within
        operations += rest * (2 + again) + within * (2.5 + again)
        operations -= 2 * piece.prompts * clip.patches * shape.vision.patch_weights  # pixels have no gradient
    return operations


def encoding(shape: ModelShape, clip: Clip) -> float:
    """Operations of the vision tower and projector for one clip."""
    vision = shape.vision
    a_patch = vision.layers * vision.linear + vision.patch_weights
    return 2 * (clip.patches * a_patch + clip.visual * vision.out_weights) + _vision_attention(shape, clip)


def _vision_attention(shape: ModelShape, clip: Clip) -> float:
    vision = shape.vision
    seen = vision.full_layers * clip.sequence
    seen += (vision.layers - vision.full_layers) * min(clip.sequence, vision.window or clip.sequence)
    return 4 * clip.patches * seen * vision.hidden


def _text(text: TextShape, stream: Rows) -> float:
    return 2 * text.linear * stream.tokens + _attention(text, stream)


def _attention(text: TextShape, stream: Rows) -> float:
    pairs = stream.prompts * stream.prompt**2 + stream.rows * stream.row * (stream.prompt + stream.row)
    return 4 * text.layers * text.hidden * pairs


def _adapters(text: TextShape, stream: Rows, method: Method) -> float:
    return 2 * method.lora_rank * text.adapted * stream.tokens if method.trained == "adapter" else 0


def _head(text: TextShape, stream: Rows) -> float:
    return 2 * text.embedding * stream.completions
