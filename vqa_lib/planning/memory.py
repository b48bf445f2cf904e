"""Peak memory of a GRPO step by part, from shapes: what each phase keeps, and what it needs for a moment.

The formulas count the tensors that transformers' layers, our attention and TRL's vocabulary head really save for the
backward pass and really make on the way; only tensors are counted, in bytes. Each says which tensors it means. A
number in a comment, such as 3 x intermediate, is how many tensors of that width live together.
"""

from dataclasses import dataclass
from math import ceil

from vqa_lib.models.shared_prefix import GROWTH
from vqa_lib.planning.shapes import ModelShape, TextShape
from vqa_lib.planning.workload import Method, Rows, Workload, pass_patches

SINGLE = 4  # bytes of float32
FOUR_BITS = 0.516  # bytes a weight: nf4, an 8-bit scale every 64, a float32 scale every 256 of those
TILE_TOKENS, TILE_WORDS = 4096, 32768  # TRL's tiles of the vocabulary head
CONTEXT = 1.0e9  # bytes that a GPU's driver context, kernels and their workspaces take; empirical, from other models
SLACK = 0.10  # of the prediction: room that the allocator cannot use; empirical


@dataclass(frozen=True)
class Memory:
    """phases: phase -> part -> bytes, one process's. A step needs its largest phase, not the sum of all."""

    phases: dict[str, dict[str, float]]

    @property
    def phase(self) -> str:
        """The phase with the peak."""
        return max(self.phases, key=lambda name: sum(self.phases[name].values()))

    @property
    def peak(self) -> float:
        return sum(self.phases[self.phase].values())

    @property
    def needed(self) -> float:
        """What a GPU should have: the peak with slack, and the context."""
        return self.peak * (1 + SLACK) + CONTEXT


def predict_memory(shape: ModelShape, work: Workload, method: Method) -> Memory:
    """Peak memory of one process in a step that is not the first (then the optimiser has its states)."""
    still = resting(shape, method)
    trained = trained_bytes(shape, method)
    # Features of all prompts stay where the tower is frozen: slices of one tensor, the contrast group's with them.
    clips = work.clips + work.contrast_clips
    features = clips * work.clip.visual * shape.text.hidden * method.dtype
    kept = 0 if method.vision_trained else features
    pixels = 0 if method.gpu else clips * work.clip.pixels * SINGLE  # on a GPU they stay in the machine's memory
    seen = {"visual tokens": features, "pixels": pixels}
    phases = {
        "vision encoding": still | seen | {"activations": _encoding(shape, work, method)},
        "sampling": max((still | seen | _sampling(shape.text, block, method) for block in work.blocks()), key=_total),
    }
    pieces = list(dict.fromkeys(work.pieces()))
    seen = {"visual tokens": kept, "pixels": pixels}
    if method.beta:
        phases["reference"] = max(
            (still | seen | _reference(shape, work, piece, method) for piece in pieces), key=_total
        )
    pixels = 0 if method.gpu else work.clips * work.clip.pixels * SINGLE
    seen = {"visual tokens": kept, "pixels": pixels}
    several = len(work.pieces()) > 1
    phases["loss"] = max(
        (still | seen | moment for piece in pieces for moment in _loss(shape, work, piece, method, several)), key=_total
    )
    phases["optimiser step"] = still | seen | {"gradients": trained * (2 if method.processes > 1 else 1)}
    return Memory({phase: {part: size for part, size in parts.items() if size} for phase, parts in phases.items()})


def resting(shape: ModelShape, method: Method) -> dict[str, float]:
    """What is there all the time: weights, reference model, adapter, optimiser states, and DDP's gradient buckets."""
    text = shape.text
    packed = {"": method.dtype, "8bit": 1 + SINGLE / text.hidden, "4bit": FOUR_BITS}[method.quantize]
    weights = (shape.parameters - text.linear) * method.dtype + text.linear * packed
    adapter = trained_bytes(shape, method) if method.trained == "adapter" else 0
    return {
        "weights": weights,
        "reference model": weights if method.second_model else 0,
        "adapter": adapter,
        # AdamW's two states have the dtype of what they belong to: nothing here is kept in float32 beside bfloat16.
        "optimiser": 2 * trained_bytes(shape, method),
    }


def adapter_width(method: Method) -> int:
    """Bytes of an adapter's number: peft makes it float32, TRL bfloat16 where the base is quantised."""
    return 2 if method.quantize else SINGLE


def trained_bytes(shape: ModelShape, method: Method) -> int:
    """Bytes of the weights that learn; a gradient takes as many, each of AdamW's two states too."""
    if method.trained == "adapter":
        return method.lora_rank * shape.text.adapted * adapter_width(method)
    frozen = 0 if method.vision_trained else shape.vision.parameters
    return (shape.parameters - frozen) * method.dtype


def _encoding(shape: ModelShape, work: Workload, method: Method) -> float:
    patches = pass_patches(shape, work)
    pixels = patches / work.clip.patches * work.clip.pixels
    return pixels * method.dtype + vision_forward(shape, patches, method)


def vision_forward(shape: ModelShape, patches: int, method: Method) -> float:
    """Largest moment of the vision tower without gradient, in a layer: in attention or in its MLP."""
    vision, width = shape.vision, method.dtype
    if not vision.gated:
        # The tower's and the layer's input, normed; then queries, keys, values and result; or what attention gave, once
        # more with the input added, and the MLP before and after GELU.
        return (
            patches * width * (3 * vision.hidden + max(4 * vision.hidden, 2 * vision.hidden + 2 * vision.intermediate))
        )
    # Rotary positions are applied in float32: both copies, the query's result, and three parts of the key's.
    copies = 0 if width == SINGLE else 2
    rotary = 5 * width + (copies + 4) * SINGLE
    angles = 2 * SINGLE * vision.rotary
    # The layer's input, with attention added, normed; activated gate, up and their product.
    mlp = width * (3 * vision.hidden + 3 * vision.intermediate)
    return patches * (angles + max(rotary * vision.hidden, mlp))


def vision_saved(shape: ModelShape, patches: int, method: Method) -> tuple[float, float]:
    """(bytes that one layer of a trained tower saves, bytes that its projector saves)."""
    vision, width = shape.vision, method.dtype
    if vision.gated:
        # Two norms: input in float32, normed, weighted. qkv together, rotated q and k, result per window, all windows.
        hidden = 2 * (SINGLE + 2 * width) + (3 + 2 + 2) * width
        inner = 4 * width
    else:
        # Two norms: input and result; q, k, v, result; what the two layer scales multiply. Autocast norms in float32.
        hidden = 2 * (SINGLE + width if method.gpu else 2 * width) + 4 * width + 2 * width
        inner = 2 * width
    layer = patches * (hidden * vision.hidden + inner * vision.intermediate)
    visual = patches / vision.merge
    norm = SINGLE + 2 * width if vision.gated else SINGLE + width
    return layer, patches * vision.hidden * norm + 2 * visual * width * vision.merge * vision.hidden


def text_forward(text: TextShape, stream: Rows, method: Method) -> float:
    """Largest moment of the language model without gradient, in a layer: in attention or in its MLP."""
    width, tokens = method.dtype, stream.tokens
    # The layer's input, with attention added, normed; activated gate, up and their product.
    mlp = tokens * (3 * text.hidden + 3 * text.intermediate)
    # Input, normed, rotated query, key and value of all; then queries of prompts or rows, gathered, with their keys and
    # values (once for each row, repeated for each head) and the result.
    flow = tokens * (3 * text.hidden + 2 * text.key_value)
    over_prompts = 4 * stream.prompts * stream.prompt * text.hidden
    own = stream.rows * (stream.prompt + stream.row)
    over_rows = tokens * text.hidden + stream.rows * stream.row * text.hidden + 2 * own * text.hidden + _mask(stream)
    return width * max(mlp, flow + max(over_prompts, over_rows))


def text_saved(text: TextShape, stream: Rows, method: Method) -> float:
    """Bytes that one layer of the language model saves for its backward pass."""
    width, tokens = method.dtype, stream.tokens
    norms = 2 * tokens * SINGLE * text.hidden  # their inputs in float32
    if method.trained == "adapter":
        inputs = _adapter_inputs(text, tokens, method)
    else:
        # Both norms' results before their weights; inputs of the linear maps: normed (2), attended, MLP's product.
        inputs = width * tokens * (2 * text.hidden + 3 * text.hidden + text.intermediate)
    # Queries and results; keys and values of prompts, and of rows with their prompt's, repeated for each head.
    attention = width * (2 * tokens * text.hidden + 2 * stream.keys * text.hidden + _mask(stream))
    return norms + inputs + attention + width * 3 * tokens * text.intermediate  # gate, activated gate, up


def _adapter_inputs(text: TextShape, tokens: int, method: Method) -> float:
    """What the seven adapters of a layer save: their inputs, and those of their second matrices."""
    autocast = method.gpu and method.dtype != SINGLE
    adapter = method.dtype if autocast else adapter_width(method)
    low = 7 * method.lora_rank * adapter * tokens
    if adapter_width(method) == method.dtype:  # the layer's own tensors: normed (2), attended, the MLP's product
        return low + tokens * method.dtype * (3 * text.hidden + text.intermediate)
    return low + tokens * adapter * (6 * text.hidden + text.intermediate)  # a converted copy for each adapter


def _mask(stream: Rows) -> int:
    """Numbers in the mask of the rows' attention."""
    return stream.rows * stream.row * (stream.prompt + stream.row)


def head(text: TextShape, tokens: int, method: Method, backward: bool) -> float:
    """Bytes that the vocabulary head makes for `tokens` completion tokens: a tile of logits, and gradients."""
    rows, words = min(tokens, TILE_TOKENS), min(text.vocabulary, TILE_WORDS)
    tile = rows * TILE_WORDS * method.dtype
    # Without Triton a tile is folded in float32 tensors of its size: logits, shifted and exponentials, or, backward,
    # scaled, tempered, logarithms, probabilities, gradient and two terms of it with a mask of bytes.
    folded = 0 if method.gpu else rows * words * (7.25 if backward else 3) * SINGLE
    if not backward:
        return tile + folded
    gradient = tokens * text.hidden
    if method.trained != "adapter":
        gradient += text.embedding
    half = gradient * method.dtype if method.dtype != SINGLE else 0  # float32 sums are converted at the end
    return tile + max(folded, half) + gradient * SINGLE


def _sampling(text: TextShape, block: Rows, method: Method) -> dict[str, float]:
    """The cache at its full length, and the larger of: computing the prompts, or choosing a token in every row."""
    width = method.dtype
    prompts = block.prompts * block.prompt * 2 * text.key_value * width
    grown = ceil(block.row / GROWTH) * GROWTH
    own = block.rows * grown * 2 * text.key_value * width
    embedded = 2 * block.prompts * block.prompt * text.hidden * width  # before and after the visual tokens
    prefill = text_forward(text, Rows(block.prompts, block.prompt), method) + embedded
    # Logits in float32, and without forbidden words; then top-p sorts (values, places, probabilities, sums), or the
    # choice takes two float64 copies.
    choosing = block.rows * text.vocabulary * ((8 + 20) if method.filtered else (8 + 16))
    # One layer's scores over the prompt, hidden and not, their exponentials; the own keys that a product copies.
    scores = block.rows * block.prompt * text.heads * 3 * SINGLE + own / 2
    decoding = text.layers * own + max(choosing, scores)
    if decoding > prefill:
        return {
            "cache": text.layers * (prompts + own),
            "logits": choosing if choosing > scores else 0,
            "activations": 0 if choosing > scores else scores,
        }
    return {"cache": text.layers * prompts, "activations": prefill}


def _reference(shape: ModelShape, work: Workload, piece: Rows, method: Method) -> dict[str, float]:
    text, width = shape.text, method.dtype
    states = 2 * piece.tokens * text.hidden * width  # embedded, before and after the visual tokens
    layer = text_forward(text, piece, method) + states
    last = head(text, piece.completions, method, backward=False)
    patches = piece.prompts * work.clip.patches
    encoding = vision_forward(shape, patches, method) if method.vision_trained else 0
    pixels = piece.prompts * work.clip.pixels * width if method.vision_trained else 0
    if last + states > max(layer, encoding):
        return {"logits": last, "activations": states + pixels}
    return {"activations": max(layer, encoding) + pixels}


def _loss(shape: ModelShape, work: Workload, piece: Rows, method: Method, several: bool):
    """Moments of forward and backward of a piece that can be its peak, each as part -> bytes."""
    text, width, trained = shape.text, method.dtype, trained_bytes(shape, method)
    buckets = trained if method.processes > 1 else 0
    layer = text_saved(text, piece, method)
    stream = piece.tokens * text.hidden * width
    saved = text.layers * (stream if method.checkpointing else layer)
    final = piece.tokens * text.hidden * (SINGLE + width) + piece.completions * text.hidden * width
    embedded = stream  # before the visual tokens are put in
    vision = vision_layer = pixels = 0.0
    if method.vision_trained:
        patches = piece.prompts * work.clip.patches
        vision_layer, projector = vision_saved(shape, patches, method)
        inputs = patches * shape.vision.hidden * width
        vision = shape.vision.layers * (inputs if method.checkpointing else vision_layer) + projector
        pixels = piece.prompts * work.clip.pixels * width
        # A layer's own gradients, and under checkpointing all that it saves once more.
        vision_layer = (vision_layer if method.checkpointing else 0) + 2 * patches * width * shape.vision.intermediate
    held = {"activations": saved + final + embedded, "vision activations": vision + pixels}
    # With several pieces the gradients of earlier ones are there from the beginning.
    before = trained if several else 0
    yield held | {"gradients": before + buckets, "logits": head(text, piece.completions, method, backward=True)}
    widest = text.hidden * text.intermediate * width
    weight = 0 if method.trained == "adapter" and not method.quantize else widest  # a gradient, or weights unpacked
    moment = 2 * piece.tokens * (text.hidden + text.intermediate) * width + weight
    if method.checkpointing:
        moment += layer
    # The head's gradient is added to that of earlier pieces at once, but for tied weights, where it waits for the
    # embedding's.
    made = method.trained != "adapter" and (text.tied or not several)
    first = held | {"gradients": before + (text.embedding * width if made else 0) + buckets}
    yield first | {"activations": held["activations"] + moment}
    ended = trained - (shape.vision.parameters * width if method.vision_trained else 0)
    left = {"vision activations": vision + pixels + vision_layer, "activations": embedded}
    yield left | {"gradients": (trained if several else ended) + buckets}
    # The last layer of the stream is done: all gradients, the embedding's once more before it is added.
    if method.trained != "adapter":
        yield {"vision activations": vision + pixels, "gradients": trained + text.embedding * width + buckets}


def _total(parts: dict[str, float]) -> float:
    return sum(parts.values())
