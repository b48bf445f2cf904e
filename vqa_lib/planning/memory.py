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
WEIGHTS_SPLIT = ("zero3", "fsdp")
ZERO_BUCKET = 5e8  # numbers in each of DeepSpeed's two buckets, its default
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
    whole = still | gathered(shape, method)  # where weights are divided, rollouts gather them (`_whole_model`)
    text = shape.text
    # Features of all prompts stay where the tower is frozen: slices of one tensor, the contrast group's with them.
    clips = work.clips + work.contrast_clips
    features = clips * work.clip.visual * text.hidden * method.dtype  # what the projector's linear map gave
    kept = 0 if method.vision_trained else features
    pixels = 0 if method.gpu else clips * work.clip.pixels * SINGLE  # on a GPU they stay in the machine's memory
    seen = {"visual tokens": features, "pixels": pixels}
    # One autocast region goes from encoding to the last token. Copies of the head are cached there; the loss makes
    # its own of a tile at a time.
    copied = sum(copies(shape, method)) + (text.embedding * method.dtype if _head_copied(method) else 0)
    sampling = [{"autocast's copies": copied} | _sampling(text, block, method) for block in work.blocks()]
    seeing = {"autocast's copies": copies(shape, method)[1], "activations": encoding(shape, work, method)}
    phases = {
        "vision encoding": whole | seen | seeing,
        "sampling": max((whole | seen | block for block in sampling), key=_total),
    }
    layers = still | {"gathered weights": gathered_layers(shape, method)}
    seen = {"visual tokens": kept, "pixels": pixels}
    if method.beta:
        phases["reference"] = max(
            (layers | seen | _reference(shape, work, piece, method) for piece in dict.fromkeys(work.pieces())),
            key=_total,
        )
    pixels = 0 if method.gpu else work.clips * work.clip.pixels * SINGLE
    phases |= learning(shape, work, method, {"visual tokens": kept, "pixels": pixels})
    return memory_of(phases)


def memory_of(phases: dict[str, dict[str, float]]) -> Memory:
    """Phases without the parts that take nothing."""
    return Memory({phase: {part: size for part, size in parts.items() if size} for phase, parts in phases.items()})


def learning(shape: ModelShape, work: Workload, method: Method, seen: dict[str, float]) -> dict[str, dict[str, float]]:
    """The phases of loss and optimiser. seen: what is there of the clips all the time."""
    still, trained = resting(shape, method), gradient_bytes(shape, method)
    layers = still | {"gathered weights": gathered_layers(shape, method)} | seen
    pieces = work.pieces()
    moments = (
        layers | moment
        for piece in dict.fromkeys(pieces)
        for moment in _loss(shape, work, piece, method, len(pieces) > 1)
    )
    step = still | seen | {"gradients": _held(trained, method) + _buckets(trained, method)}
    return {"loss": max(moments, key=_total), "optimiser step": step}


def resting(shape: ModelShape, method: Method) -> dict[str, float]:
    """What is there all the time: weights, reference model, adapter and optimiser states.

    What processes divide is from the descriptions of ZeRO and FSDP; unverified, for want of several GPUs.
    """
    text = shape.text
    packed = {"": method.kept, "8bit": 1 + SINGLE / text.hidden, "4bit": FOUR_BITS}[method.quantize]
    weights = (shape.parameters - text.linear) * method.kept + text.linear * packed
    weights /= method.processes if method.split in WEIGHTS_SPLIT else 1
    learnt = trained_weights(shape, method)
    states = 2 * SINGLE * learnt  # AdamW's two, as wide as what they belong to
    if method.split.startswith("zero"):
        states += SINGLE * learnt  # the float32 weights that the model's bfloat16 ones are copies of
    adapter = gradient_bytes(shape, method) if method.trained == "adapter" else 0
    return {
        "weights": weights,
        "reference model": weights if method.second_model else 0,
        "adapter": adapter / (method.processes if method.split in WEIGHTS_SPLIT else 1),
        "optimiser": 0 if method.offloaded else states / (method.processes if method.split else 1),
    }


def trained_weights(shape: ModelShape, method: Method) -> int:
    """How many weights learn."""
    if method.trained == "adapter":
        return method.lora_rank * shape.text.adapted
    return shape.parameters - (0 if method.vision_trained else shape.vision.parameters)


def gradient_width(method: Method) -> int:
    """Bytes of a number of a gradient, and of what it belongs to: float32, but for DeepSpeed's copies in bfloat16."""
    return method.kept if method.split.startswith("zero") else SINGLE


def gradient_bytes(shape: ModelShape, method: Method) -> int:
    """Bytes of all gradients."""
    return trained_weights(shape, method) * gradient_width(method)


def copies(shape: ModelShape, method: Method) -> tuple[int, int]:
    """Bytes of bfloat16 copies that an autocast region makes of what learns: (language model's, vision tower's).

    PyTorch keeps the copy of a float32 weight that learns from its first linear map to the end of the outermost region,
    also without gradient; with gradient the graph keeps it on. Those of other weights are dropped at once.
    """
    if not method.autocast or gradient_width(method) == method.dtype:
        return 0, 0
    if method.trained == "adapter":
        return trained_weights(shape, method) * method.dtype, 0
    vision = shape.vision
    seeing = vision.layers * vision.linear + vision.patch_weights + vision.out_weights
    return shape.text.linear * method.dtype, seeing * method.dtype if method.vision_trained else 0


def _head_copied(method: Method) -> bool:
    return method.mixed and method.trained != "adapter"


def gathered(shape: ModelShape, method: Method) -> dict[str, float]:
    """The whole model's weights beside a process's own part of them."""
    return {"gathered weights": shape.parameters * method.kept if method.split in WEIGHTS_SPLIT else 0}


def gathered_layers(shape: ModelShape, method: Method) -> float:
    """Divided weights that a forward or backward pass needs at once: two layers, and what is in none. Unverified."""
    if method.split not in WEIGHTS_SPLIT:
        return 0
    text = shape.text
    rest = text.embedding * (1 if text.tied else 2)
    return (2 * text.linear / text.layers + rest) * method.kept


def _held(gradients: float, method: Method) -> float:
    """What a process holds of all gradients between two pieces, and until the optimiser's step."""
    return gradients / (method.processes if method.split else 1)


def _buckets(gradients: float, method: Method) -> float:
    """DDP's buckets of gradients, in which processes add them up. ZeRO's are of fixed size, FSDP's of a layer's."""
    if method.split.startswith("zero"):
        return min(gradients, 2 * ZERO_BUCKET * gradient_width(method))
    return 0 if method.split or method.processes == 1 else gradients


def encoding(shape: ModelShape, work: Workload, method: Method) -> float:
    """Bytes that one pass of the vision tower without gradient makes, its pixels with them."""
    patches = pass_patches(shape, work)
    pixels = patches / work.clip.patches * work.clip.pixels
    return pixels * _in_both(method) + vision_forward(shape, patches, method)


def _in_both(method: Method) -> int:
    """Bytes of a number that is there as it was and, where that is another width, as a linear map takes it."""
    return method.dtype + (method.kept if method.mixed else 0)


def vision_forward(shape: ModelShape, patches: int, method: Method) -> float:
    """Largest moment of the vision tower without gradient, in a layer: in attention or in its MLP."""
    vision, width, wide = shape.vision, method.dtype, method.kept
    if not vision.gated:
        # The tower's and the layer's input, normed; then queries, keys, values and result; or what attention gave, once
        # more with the input added, and the MLP before and after GELU.
        mlp = 2 * wide * vision.hidden + 2 * width * vision.intermediate
        return patches * (3 * wide * vision.hidden + max(4 * width * vision.hidden, mlp))
    # Rotary positions are applied in float32: both copies, the query's result, and three parts of the key's. Between
    # the layers is what the patches' convolution gave; what is normed has the width of the norm's weights.
    twice = 0 if width == SINGLE else 2
    rotary = 4 * width + wide + (twice + 4) * SINGLE
    angles = 2 * SINGLE * vision.rotary
    # The layer's input, with attention added, normed; activated gate, up and their product.
    mlp = (2 * width + wide) * vision.hidden + width * 3 * vision.intermediate
    return patches * (angles + max(rotary * vision.hidden, mlp))


def vision_saved(shape: ModelShape, patches: int, method: Method) -> tuple[float, float]:
    """(bytes that one layer of a trained tower saves, bytes that its projector saves)."""
    vision, width = shape.vision, method.dtype
    if vision.gated:
        # Two norms: input in float32, normed, weighted (a copy for each of gate and up where that is converted). qkv
        # together, rotated q and k, result per window, all windows.
        hidden = 2 * (SINGLE + 2 * width) + (width if method.mixed else 0) + (3 + 2 + 2) * width
        inner = 4 * width
    else:
        # Two norms: input and result (converted for each of q, k, v and the MLP); q, k, v, result; what the two layer
        # scales multiply. Autocast on a GPU norms in float32.
        normed = 4 * width if method.mixed else 2 * width
        norms = 2 * (SINGLE if method.mixed or (method.gpu and method.autocast) else width)
        hidden = norms + normed + 4 * width + 2 * width
        inner = 2 * width
    layer = patches * (hidden * vision.hidden + inner * vision.intermediate)
    visual = patches / vision.merge
    norm = SINGLE + 2 * width if vision.gated else SINGLE + width
    return layer, patches * vision.hidden * norm + 2 * visual * width * vision.merge * vision.hidden


def text_forward(text: TextShape, stream: Rows, method: Method) -> float:
    """Largest moment of the language model without gradient, in a layer: in attention or in its MLP."""
    width, wide, tokens = method.dtype, method.kept, stream.tokens
    # The layer's input, with attention added, normed; activated gate, up and their product.
    mlp = tokens * (3 * wide * text.hidden + 3 * width * text.intermediate)
    # Input, normed, rotated query, key and value of all; then queries of prompts or rows, gathered, with their keys and
    # values (once for each row) and the result. Queries and keys are as wide as the angles that
    # rotate them, which is the stream's width, until attention converts them.
    both = _in_both(method)
    flow = tokens * (3 * wide * text.hidden + (wide + width) * text.key_value)
    over_prompts = (both + width) * stream.prompts * stream.prompt * (text.hidden + text.key_value)
    own = stream.rows * (stream.prompt + stream.row)
    over_rows = tokens * text.hidden * width + both * stream.rows * stream.row * text.hidden
    over_rows += (both + width) * own * text.key_value
    return max(mlp, flow + max(over_prompts, over_rows)) + mask(text, stream, method)


def text_saved(text: TextShape, stream: Rows, method: Method) -> float:
    """Bytes that one layer of the language model saves for its backward pass."""
    width, tokens = method.dtype, stream.tokens
    norms = 2 * tokens * SINGLE * text.hidden  # their inputs in float32
    if method.trained == "adapter":
        inputs = _adapter_inputs(text, tokens, method)
    else:
        # Both norms' results before their weights; inputs of the linear maps: normed (2, or where it is converted a
        # copy for each of q, k, v, gate and up), attended, MLP's product.
        normed = 5 if method.mixed else 2
        inputs = tokens * (2 * method.kept * text.hidden + width * ((normed + 1) * text.hidden + text.intermediate))
    # Queries and results; keys and values of prompts, and of rows with their prompt's.
    attention = width * (2 * tokens * text.hidden + 2 * stream.keys * text.key_value)
    return norms + inputs + attention + width * 3 * tokens * text.intermediate  # gate, activated gate, up


def _adapter_inputs(text: TextShape, tokens: int, method: Method) -> float:
    """What the seven adapters of a layer save: their inputs, and those of their second matrices."""
    width = method.dtype if method.autocast else SINGLE
    low = 7 * method.lora_rank * width * tokens
    # peft makes its input float32 like the adapter, and autocast bfloat16 again, a copy for each adapter. On quantised
    # layers it leaves that to autocast, as long as it is a GPU's.
    left = method.quantize and method.gpu and method.autocast
    if method.dtype == SINGLE or left:  # the layer's own tensors: normed (2), attended, the MLP's product
        return low + tokens * width * (3 * text.hidden + text.intermediate)
    return low + tokens * width * (6 * text.hidden + text.intermediate)


def mask(text: TextShape, stream: Rows, method: Method) -> float:
    """Bytes of the mask of the rows' attention, one for all layers: for all heads that share a key, and a byte."""
    shared = text.hidden // text.key_value
    return stream.rows * stream.row * (stream.prompt + stream.row) * (shared * method.dtype + 1)


def head(text: TextShape, tokens: int, method: Method, backward: bool) -> float:
    """Bytes that the vocabulary head makes for `tokens` completion tokens: a tile of logits, and gradients."""
    rows, words = min(tokens, TILE_TOKENS), min(text.vocabulary, TILE_WORDS)
    tile = rows * TILE_WORDS * method.dtype
    if method.mixed:  # states and words of the tile, converted
        tile += (rows + words) * text.hidden * method.dtype
    # Without Triton a tile is folded in float32 tensors of its size: logits, shifted and exponentials, or, backward,
    # scaled, tempered, logarithms, probabilities, gradient and two terms of it with a mask of bytes.
    folded = 0 if method.gpu else rows * words * (7.25 if backward else 3) * SINGLE
    if not backward:
        return tile + folded
    gradient = tokens * text.hidden
    if method.trained != "adapter":
        gradient += text.embedding
    half = gradient * method.kept if method.kept != SINGLE else 0  # float32 sums are converted at the end
    return tile + max(folded, half) + gradient * SINGLE


def _sampling(text: TextShape, block: Rows, method: Method) -> dict[str, float]:
    """The cache at its full length, and the larger of: computing the prompts, or choosing a token in every row."""
    width = method.kept + method.dtype  # keys are as wide as the angles that rotate them, values as linear maps
    prompts = block.prompts * block.prompt * text.key_value * width
    grown = ceil(block.row / GROWTH) * GROWTH
    own = block.rows * grown * text.key_value * width
    embedded = 2 * block.prompts * block.prompt * text.hidden * method.kept  # before and after the visual tokens
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
    text, width = shape.text, method.kept
    states = 2 * piece.tokens * text.hidden * width  # embedded, before and after the visual tokens
    layer = text_forward(text, piece, method) + states
    last = head(text, piece.completions, method, backward=False)
    patches = piece.prompts * work.clip.patches
    encoding = vision_forward(shape, patches, method) if method.vision_trained else 0
    pixels = piece.prompts * work.clip.pixels * _in_both(method) if method.vision_trained else 0
    copied = 0 if method.trained == "adapter" else sum(copies(shape, method))  # adapters are switched off
    if last + states > max(layer, encoding):
        return {"logits": last, "activations": states + pixels, "autocast's copies": copied}
    return {"activations": max(layer, encoding) + pixels, "autocast's copies": copied}


def _loss(shape: ModelShape, work: Workload, piece: Rows, method: Method, several: bool):
    """Moments of forward and backward of a piece that can be its peak, each as part -> bytes."""
    text, width, wide, trained = shape.text, method.dtype, method.kept, gradient_bytes(shape, method)
    buckets = _buckets(trained, method)
    layer = text_saved(text, piece, method)
    stream = piece.tokens * text.hidden * wide
    saved = text.layers * (stream if method.checkpointing else layer)
    final = piece.tokens * text.hidden * (SINGLE + wide) + piece.completions * text.hidden * wide
    embedded = stream  # before the visual tokens are put in
    vision = vision_layer = pixels = 0.0
    if method.vision_trained:
        patches = piece.prompts * work.clip.patches
        vision_layer, projector = vision_saved(shape, patches, method)
        inputs = patches * shape.vision.hidden * (width if shape.vision.gated else wide)
        vision = shape.vision.layers * (inputs if method.checkpointing else vision_layer) + projector
        pixels = piece.prompts * work.clip.pixels * _in_both(method)
        # A layer's own gradients, and under checkpointing all that it saves once more.
        vision_layer = (vision_layer if method.checkpointing else 0) + 2 * patches * width * shape.vision.intermediate
    resident = saved + final + embedded + mask(text, piece, method)
    held = {"activations": resident, "vision activations": vision + pixels}
    # With several pieces the gradients of earlier ones are there from the beginning. FSDP keeps them whole until the
    # last piece, in which alone processes add them up.
    before = 0 if not several else trained if method.split == "fsdp" else _held(trained, method)
    copied, vision_copied = copies(shape, method)
    # The end of the forward pass, in which autocast has copies of all weights.
    last = head(text, piece.completions, method, backward=False)
    yield held | {"gradients": before + buckets, "logits": last, "autocast's copies": copied + vision_copied}
    if method.checkpointing:  # then they go with the region, and come again layer by layer
        copied, vision_copied = copied / text.layers, vision_copied / shape.vision.layers
    last = head(text, piece.completions, method, backward=True)
    left = 0 if method.checkpointing else copied + vision_copied
    yield held | {"gradients": before + buckets, "logits": last, "autocast's copies": left}
    # A weight's gradient as a linear map makes it, and converted; or weights unpacked.
    widest = text.hidden * text.intermediate * _in_both(method)
    weight = 0 if method.trained == "adapter" and not method.quantize else widest
    moment = 2 * piece.tokens * (text.hidden * wide + text.intermediate * width) + weight
    if method.checkpointing:
        moment += layer
    # The head's gradient is added to that of earlier pieces at once, but for tied weights, where it waits for the
    # embedding's.
    made = method.trained != "adapter" and (text.tied or not several)
    first = held | {"gradients": before + (text.embedding * wide if made else 0) + buckets}
    copied_now = copied if method.checkpointing else copied + vision_copied
    yield first | {"activations": held["activations"] + moment, "autocast's copies": copied_now}
    ended = _held(trained - (shape.vision.parameters * gradient_width(method) if method.vision_trained else 0), method)
    left = {"vision activations": vision + pixels + vision_layer, "activations": embedded}
    left["autocast's copies"] = vision_copied
    yield left | {"gradients": (before if several else ended) + buckets}
    # The last layer of the stream is done: all gradients, the embedding's once more before it is added.
    if method.trained != "adapter":
        gradients = (before if several else _held(trained, method)) + text.embedding * wide + buckets
        yield {
            "vision activations": vision + pixels,
            "gradients": gradients,
            "autocast's copies": left["autocast's copies"],
        }


def _total(parts: dict[str, float]) -> float:
    return sum(parts.values())
