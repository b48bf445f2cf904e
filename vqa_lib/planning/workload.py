"""What one process goes through in a GRPO step: prompts, completions, pieces and blocks, in tokens."""

from dataclasses import dataclass, replace
from math import ceil

import yaml

from vqa_lib.models.internvl import FRAMES_A_PASS
from vqa_lib.models.qwen import PATCHES_A_PASS
from vqa_lib.models.rollouts import _blocks
from vqa_lib.paths import resolve
from vqa_lib.planning.shapes import ModelShape, PlanError, VisionShape
from vqa_lib.prompts import PROMPTS
from vqa_lib.recipes import Recipe
from vqa_lib.training.common import weights_dtype
from vqa_lib.training.grpo import ROLLOUT_TOKENS
from vqa_lib.training.pieces import split_rows
from vqa_lib.training.run import GRPOSettings

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
CHARACTERS_A_TOKEN, TEMPLATE_TOKENS, FRAME_LABEL_TOKENS = 4, 30, 8  # empirical: Qwen's tokenizer and chat template


@dataclass(frozen=True)
class Clip:
    """What a clip is to a model, or the two of a pair together.

    patches: that the vision tower takes. sequence: of them, those that attend to each other. visual: tokens it becomes.
    labels: text tokens beside them. pixels: numbers that the processor makes of it.
    """

    patches: int
    sequence: int
    visual: int
    labels: int
    pixels: int


@dataclass(frozen=True)
class Method:
    """How a step is done.

    dtype: bytes a number in what linear maps take and give. kept: bytes a weight outside of quantised layers, and a
    number between the language model's layers. autocast: whether bfloat16 is what linear maps make of other numbers.
    trained: "all", "language" (vision frozen) or "adapter". quantize: "", "4bit" or "8bit". beta: weight of the KL
    term. filtered: whether top_p sorts the vocabulary. gpu: whether kernels are those of a GPU. split: what processes
    divide among them: "" (rows only), "zero2", "zero3" or "fsdp". offloaded: the optimiser's states are off the GPU.
    """

    dtype: int
    kept: int
    autocast: bool
    trained: str
    lora_rank: int
    quantize: str
    beta: float
    checkpointing: bool
    processes: int
    filtered: bool
    gpu: bool
    split: str = ""
    offloaded: bool = False

    @property
    def mixed(self) -> bool:
        """Whether weights and the stream between layers are wider than what linear maps compute in."""
        return self.kept > self.dtype

    @property
    def vision_trained(self) -> bool:
        return self.trained == "all"

    @property
    def second_model(self) -> bool:
        """Whether TRL keeps a reference model beside the policy; with an adapter that is switched off instead."""
        return self.beta != 0 and self.trained != "adapter"


@dataclass(frozen=True)
class Rows:
    """A stream: `prompts` of `prompt` tokens and `rows` of `row` tokens that continue them (see `packing`)."""

    prompts: int
    prompt: int
    rows: int = 0
    row: int = 0

    @property
    def tokens(self) -> int:
        return self.prompts * self.prompt + self.rows * self.row

    @property
    def keys(self) -> int:
        """Keys that attention reads, each row's own copy of its prompt's counted."""
        return self.prompts * self.prompt + self.rows * (self.prompt + self.row)

    @property
    def completions(self) -> int:
        """Tokens whose log-probabilities are wanted: all of a row but its last."""
        return self.rows * (self.row - 1)


@dataclass(frozen=True)
class Workload:
    """A step of one process, every completion as long as it may be and every clip as large as its limits allow.

    prompt: tokens. clips, rows: distinct prompts, and completions on them; contrast_*: those on perturbed frames.
    tokens: the token budget of a piece.
    """

    clip: Clip
    prompt: int
    clips: int
    rows: int
    contrast_clips: int
    contrast_rows: int
    completion: int
    tokens: int

    def pieces(self) -> list[Rows]:
        """The streams of reference and loss, as the trainer splits them."""
        slots = [row * self.clips // self.rows for row in range(self.rows)]
        split = split_rows(slots, [self.prompt] * self.clips, [self.completion] * self.rows, self.tokens)
        return [
            Rows(len({slots[row] for row in piece}), self.prompt - 1, len(piece), self.completion + 1)
            for piece in split
        ]

    def blocks(self) -> list[Rows]:
        """The prompts that are sampled from together; a row's tokens are its completion's."""
        repeats = []
        for clips, rows in ((self.clips, self.rows), (self.contrast_clips, self.contrast_rows)):
            repeats += [rows // clips + (number < rows % clips) for number in range(clips)]
        costs = [self.prompt + count * self.completion for count in repeats]
        return [
            Rows(len(repeats[block]), self.prompt - 1, sum(repeats[block]), self.completion)
            for block in _blocks(costs, ROLLOUT_TOKENS * self.tokens)
        ]


def pass_patches(shape: ModelShape, work: Workload) -> int:
    """Patches that the vision tower takes in one pass without gradient."""
    clips = work.clips + work.contrast_clips
    if shape.vision.image:
        return min(clips * work.clip.patches, FRAMES_A_PASS * work.clip.sequence)
    return min(clips, max(1, PATCHES_A_PASS // work.clip.patches)) * work.clip.patches


def clip_of(shape: ModelShape, kind: str, params: dict, shown: int = 1) -> Clip:
    """The largest clip that a notebook's frame parameters let through; `shown`: how many of them stand in a prompt."""
    clip = _clip(shape.vision, kind, params)
    sizes = {name: shown * getattr(clip, name) for name in ("patches", "visual", "labels", "pixels")}
    return replace(clip, **sizes)


def _clip(vision: VisionShape, kind: str, params: dict) -> Clip:
    frames = 1 if kind == "image" else params.get("frames") or params["max_frames"]
    if vision.image:
        patches = (vision.image // vision.patch) ** 2
        labels = FRAME_LABEL_TOKENS * frames
        pixels = frames * 3 * vision.image**2
        return Clip(frames * (patches + 1), patches + 1, frames * patches // vision.merge, labels, pixels)
    steps = ceil(frames / vision.temporal)
    sequence = max(1, params["max_pixels"] // (vision.merge * vision.patch**2)) * vision.merge
    pixels = 3 * vision.temporal * vision.patch**2
    return Clip(steps * sequence, sequence, steps * sequence // vision.merge, 0, steps * sequence * pixels)


def workload(shape: ModelShape, params: dict, recipe: Recipe, text_tokens: int | None = None) -> Workload:
    """One process's share of a step.

    params: a notebook's, by name. text_tokens: of the prompt beside its visual tokens; None estimates them.
    """
    prompt = PROMPTS[recipe.prompt]
    kind = "image" if "image" in recipe.prompt.split("/") else "video"
    shown = 2 if "Video B" in prompt.choices else 1  # a question about one video, mixed with pairs, is smaller
    clip = clip_of(shape, kind, params, shown)
    processes, rows = params.get("processes") or 1, params["queries"] * params["group"]
    text = len(prompt.text) // CHARACTERS_A_TOKEN + TEMPLATE_TOKENS if text_tokens is None else text_tokens
    share = rows // processes
    clips = ceil(share / params["group"])
    contrast = params["contrast"] if recipe.contrast else 0
    return Workload(
        clip=clip,
        prompt=clip.visual + clip.labels + text,
        clips=clips,
        rows=share,
        contrast_clips=clips if contrast else 0,
        contrast_rows=ceil(share * contrast / params["group"]),
        completion=params["max_completion"],
        tokens=params["tokens"],
    )


def method(params: dict, gpu: bool = True, checkpointing: bool | None = None) -> Method:
    """How a notebook's parameters do a step. checkpointing: None is as `grpo_config` has it: on GPUs.

    Raises:
        PlanError: an unknown dtype; an accelerate_config that cannot be read, or that divides otherwise.
    """
    if params["dtype"] not in BYTES:
        raise PlanError(f"dtype: expected one of {', '.join(BYTES)}; got {params['dtype']!r}")
    settings = GRPOSettings.from_params(params)
    autocast = settings.dtype == "bfloat16"
    split, offloaded = _division(settings.accelerate_config)
    # DeepSpeed makes the model's own weights bfloat16, and keeps what they are copies of among the optimiser's states.
    kept = BYTES["bfloat16" if split.startswith("zero") and autocast else weights_dtype(settings)]
    return Method(
        dtype=2 if autocast else kept,
        kept=kept,
        autocast=autocast,
        trained="adapter" if settings.lora_rank else "all" if settings.train_vision else "language",
        lora_rank=settings.lora_rank,
        quantize=settings.quantize,
        beta=settings.beta,
        checkpointing=gpu if checkpointing is None else checkpointing,
        processes=settings.processes,
        filtered=settings.top_p < 1,
        gpu=gpu,
        split=split,
        offloaded=offloaded,
    )


def _division(accelerate_config: str) -> tuple[str, bool]:
    """`Method`'s split and offloaded, of a file for `accelerate launch`."""
    if not accelerate_config:
        return "", False
    try:
        config = yaml.safe_load(resolve(accelerate_config).read_text())
        kind, deepspeed = config["distributed_type"], config.get("deepspeed_config", {})
        sharded = config.get("fsdp_config", {}).get("fsdp_sharding_strategy")
    except (OSError, yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        raise PlanError(f"accelerate_config: {accelerate_config}: cannot be read ({error})") from error
    found = f"{kind}, {deepspeed.get('zero_stage', sharded)}" if deepspeed or sharded else str(kind)
    ways = {"MULTI_GPU": "", "DEEPSPEED, 2": "zero2", "DEEPSPEED, 3": "zero3", "FSDP, FULL_SHARD": "fsdp"}
    if found not in ways:
        raise PlanError(f"accelerate_config: {accelerate_config}: expected one of {list(ways)}, got {found!r}")
    return ways[found], deepspeed.get("offload_optimizer_device", "none") != "none"
