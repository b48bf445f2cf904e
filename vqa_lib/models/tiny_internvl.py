"""An InternVL small enough for a laptop: the transformers classes of `OpenGVLab/InternVL3-8B-hf`, with random weights.

Nothing here is special-cased elsewhere: the folder that `build_tiny_internvl` writes is loaded by the code that loads
the published model.
"""

from pathlib import Path

import torch
from transformers import (
    GotOcr2ImageProcessor,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    InternVLVideoProcessor,
    PreTrainedTokenizerFast,
)

from vqa_lib.models.motion import (
    NORMALISATIONS,
    InternVLMotionConfig,
    InternVLMotionForConditionalGeneration,
    motion_token,
)
from vqa_lib.models.slowfast import POOLINGS, SlowFast, slow_places
from vqa_lib.models.tiny import PATCH, build_tokenizer, cosine_patches

NAMED_TOKENS = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *NAMED_TOKENS.values()]
TINY_SLOWFAST = {"motion_width": 8, "motion_depths": (1, 1, 1, 1)}
# InternVL3's ChatML: a system turn only where the caller writes one, a picture or video on a line of its own.
CHAT_TEMPLATE = """\
{%- for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\\n' }}
    {%- if message['content'] is string %}
        {{- message['content'] }}
    {%- else %}
        {%- for part in message['content'] %}
            {%- if part['type'] == 'image' %}
                {{- '<IMG_CONTEXT>\\n' }}
            {%- elif part['type'] == 'video' %}
                {{- '<video>\\n' }}
            {%- elif part['type'] == 'text' %}
                {{- part['text'] }}
            {%- endif %}
        {%- endfor %}
    {%- endif %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""


def build_processor(tokenizer: PreTrainedTokenizerFast, image_size: int, tokens_per_frame: int) -> InternVLProcessor:
    """The real processor: frames become `image_size` squares, images as many such tiles as InternVL cuts them into."""
    size = {"height": image_size, "width": image_size}
    mean, spread = map(list, NORMALISATIONS["imagenet"])
    imagenet = {"image_mean": mean, "image_std": spread}  # as InternVL3 normalises
    return InternVLProcessor(
        image_processor=GotOcr2ImageProcessor(size=size, **imagenet),
        tokenizer=tokenizer,
        video_processor=InternVLVideoProcessor(size=size, **imagenet),
        image_seq_length=tokens_per_frame,
        chat_template=CHAT_TEMPLATE,
    )


def tiny_slowfast(image_size: int) -> SlowFast:
    """A SlowFast with random weights, its normalisations set by noise, or everything would fade on its way."""
    tower = SlowFast(TINY_SLOWFAST["motion_width"], TINY_SLOWFAST["motion_depths"])
    with torch.no_grad():
        for _ in range(20):
            tower(torch.randn(4, 8, 3, image_size, image_size), slow_places(8))
    return tower.eval()


def open_eyes(model: InternVLForConditionalGeneration, frames: torch.Tensor) -> None:
    """Let the vision tower start as a spectrum: cosine filters, then what is alike for a pattern and its negative.

    As `tiny.open_eyes` for Qwen2.5-VL, for patches of one frame and an MLP without gate: two of its units a channel,
    gelu(z) and gelu(-z), add up to nearly |z|. Source: ours.

    frames: (n, 3, height, width), as the processor makes them; each filter is scaled to unit response on them.
    """
    embedding = model.model.vision_tower.embeddings.patch_embeddings.projection.weight
    bank = cosine_patches(len(embedding)).sum(2)  # over its two frames; of their differences nothing is left
    nothing = bank.flatten(1).norm(dim=1) < 1e-3
    bank[nothing] = torch.randn(int(nothing.sum()), *bank.shape[1:]) * 0.02
    responses = torch.nn.functional.conv2d(frames.float(), bank, stride=PATCH)
    mirrored = torch.cat([torch.eye(len(bank)), -torch.eye(len(bank))])
    with torch.no_grad():
        embedding.copy_(bank / responses.transpose(0, 1).flatten(1).std(1).clamp_min(1e-3)[:, None, None, None])
        model.model.vision_tower.encoder.layer[0].mlp.fc1.weight[: len(mirrored)] = mirrored


def build_tiny_internvl(
    folder: str | Path,
    texts: list[str],
    hidden: int = 128,
    layers: int = 3,
    vocabulary: int = 512,
    image_size: int = 56,
    seed: int = 0,
    motion: str | None = None,
) -> None:
    """Write an InternVL with random weights (about 1.4M parameters), its tokenizer, processor and chat template.

    A frame is (image_size / 28)^2 tokens: patches of 14 pixels, four of them shuffled into one token. Source: ours.

    Args:
        texts: what the tokenizer learns its words from (prompts and answers).
        hidden: a multiple of 64, or bitsandbytes cannot compute with the 4-bit language model.
        image_size: pixels a side, a multiple of 28.
        motion: None, or the `motion_pooling` of VQAThinker's motion branch.

    Raises:
        ValueError: a hidden or image_size that is no such multiple; another motion.
    """
    if hidden < 64 or hidden % 64:
        raise ValueError(f"hidden must be a multiple of 64, got {hidden}")
    if image_size < 2 * PATCH or image_size % (2 * PATCH):
        raise ValueError(f"image_size must be a multiple of {2 * PATCH}, got {image_size}")
    tokens_per_frame = (image_size // (2 * PATCH)) ** 2
    if motion is not None and motion not in POOLINGS:
        raise ValueError(f"motion must be None or one of {', '.join(POOLINGS)}; got {motion!r}")
    special = SPECIAL_TOKENS + ([motion_token(motion)] if motion else [])
    tokenizer = build_tokenizer(texts, vocabulary, special, extra_special_tokens=NAMED_TOKENS)
    ids = dict(zip(special, tokenizer.convert_tokens_to_ids(special), strict=True))
    torch.manual_seed(seed)
    heads = {"num_hidden_layers": layers, "num_attention_heads": 4}
    branch = {}
    if motion:
        branch = {"motion_token_id": ids[special[-1]], "motion_pooling": motion, **TINY_SLOWFAST}
    config = (InternVLMotionConfig if motion else InternVLConfig)(
        text_config={
            "model_type": "qwen2",
            "vocab_size": len(tokenizer),
            "hidden_size": hidden,
            "intermediate_size": 3 * hidden,
            **heads,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
            "bos_token_id": None,
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
        },
        vision_config={
            "hidden_size": hidden,
            "intermediate_size": 3 * hidden,
            **heads,
            "attention_bias": True,
            "image_size": image_size,
            "patch_size": PATCH,
        },
        image_token_id=ids["<IMG_CONTEXT>"],
        image_seq_length=tokens_per_frame,
        downsample_ratio=0.5,
        tie_word_embeddings=False,
        **branch,
    )
    model = (InternVLMotionForConditionalGeneration if motion else InternVLForConditionalGeneration)(config)
    if motion:
        model.model.motion_tower.load_state_dict(tiny_slowfast(image_size).state_dict())
    model.generation_config.eos_token_id = ids["<|im_end|>"]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    model.save_pretrained(folder)
    build_processor(tokenizer, image_size, tokens_per_frame).save_pretrained(folder)
