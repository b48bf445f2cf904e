"""How large everything is that the benchmark measures: one table for two CPU cores, one for tests, one for a GPU."""

from dataclasses import dataclass, field, replace

from vqa_lib.video import FramePolicy


@dataclass(frozen=True)
class Sizes:
    """Model, clips and batches of a benchmark.

    text, vision: what goes into the two parts of a Qwen2.5-VL's configuration. dtype: of the weights. checkpointing:
    activations recomputed in the backward pass. lora_rank: of the adapters in the step, 0 trains all weights.
    frames, max_pixels: which frames of a clip the model sees. clip_size, clip_seconds, clip_fps: of the files on disk.
    group, contrast, queries: responses a query, responses a query on shuffled frames, queries a step. rows: responses
    that enter one forward of the other sides, tokens: tokens that enter one of ours. step_completion: tokens of each
    response. scoring_clips, scoring_batch, scoring_completion: clips scored, at once, with so many tokens each.
    cached_clips: clips of an epoch.
    """

    text: dict = field(hash=False)
    vision: dict = field(hash=False)
    dtype: str = "float32"
    checkpointing: bool = False
    lora_rank: int = 0
    frames: int = 8
    max_pixels: int = 128 * 28 * 28
    clip_size: tuple[int, int] = (640, 360)
    clip_seconds: float = 8.0
    clip_fps: int = 25
    group: int = 8
    contrast: int = 4
    queries: int = 2
    rows: int = 16
    tokens: int = 16384
    step_completion: int = 136
    scoring_clips: int = 32
    scoring_batch: int = 32
    scoring_completion: int = 128
    cached_clips: int = 40

    @property
    def policy(self) -> FramePolicy:
        return FramePolicy(count=self.frames, max_pixels=self.max_pixels)


# Arithmetic dominates from about this size on: 22M parameters in the layers of the language model. A visual token costs
# the vision tower 0.4 times what it costs the language model, and the vocabulary is 9 % of the language model, as in
# Qwen2.5-VL-7B (0.4 and 8 %): a heavier tower would flatter whoever encodes a video only once.
TWO_CORES = Sizes(
    text={
        "vocab_size": 4096,
        "hidden_size": 512,
        "intermediate_size": 1376,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [8, 12, 12]},
    },
    vision={
        "depth": 4,
        "hidden_size": 192,
        "intermediate_size": 512,
        "num_heads": 4,
        "out_hidden_size": 512,
        "window_size": 112,
        "fullatt_block_indexes": [1, 3],
    },
)

SMOKE = Sizes(
    text={
        "vocab_size": 768,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]},
    },
    vision={
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 4,
        "out_hidden_size": 64,
        "window_size": 112,
        "fullatt_block_indexes": [1],
    },
    frames=4,
    clip_size=(84, 56),
    clip_seconds=1.0,
    clip_fps=15,
    group=4,
    contrast=2,
    rows=8,
    step_completion=6,
    scoring_clips=3,
    scoring_batch=2,
    scoring_completion=6,
    cached_clips=2,
)

# The GPU's way of training at the size of tests; bitsandbytes wants inner widths that 64 divides.
SMOKE_WITH_ADAPTERS = replace(SMOKE, lora_rank=4, checkpointing=True, rows=4)

# Qwen2.5-VL-7B-Instruct as published; 16 frames of 0.1 megapixels and 8 + 4 responses are VQ-Insight's.
SEVEN_BILLION = Sizes(
    text={
        "vocab_size": 152064,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
    },
    vision={
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "out_hidden_size": 3584,
        "window_size": 112,
        "fullatt_block_indexes": [7, 15, 23, 31],
    },
    dtype="bfloat16",
    checkpointing=True,
    lora_rank=16,
    frames=16,
    rows=8,
    step_completion=400,
    scoring_completion=400,
)
