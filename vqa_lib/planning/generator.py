"""Peak memory of a generator that makes clips and learns by Diffusion-DPO: the code itself, run on fake tensors.

PyTorch's fake mode runs the real code on tensors that have a shape and no memory, and the bytes of those alive are
counted. Its kernels are a CPU's: where a GPU's need room of their own, the prediction does not see it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet3DConditionModel
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import CLIPTextConfig, CLIPTextModel

from vqa_lib.generation.adapters import adapter_weights, add_adapter
from vqa_lib.generation.dpo import DPOSettings, add_gradients, pairs_at_once, recompute_activations
from vqa_lib.planning.live_tensors import LiveTensors
from vqa_lib.planning.memory import SINGLE, Memory, memory_of
from vqa_lib.planning.shapes import PlanError
from vqa_lib.planning.workload import BYTES

CLIPS_AT_ONCE = 8  # that `sampling.generate_clips` makes together


@dataclass(frozen=True)
class GeneratorShape:
    """The config of a generator's parts."""

    name: str
    unet: dict
    vae: dict
    text: dict
    scheduler: dict


# As in the files that the hub id publishes; what stands in no dict is diffusers' own default.
PUBLISHED_GENERATORS = {
    "ali-vilab/text-to-video-ms-1.7b": GeneratorShape(
        "ali-vilab/text-to-video-ms-1.7b",
        unet={"sample_size": 32},
        vae={
            "block_out_channels": [128, 256, 512, 512],
            "down_block_types": ["DownEncoderBlock2D"] * 4,
            "up_block_types": ["UpDecoderBlock2D"] * 4,
            "layers_per_block": 2,
        },
        text={
            "vocab_size": 49408,
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 23,
            "num_attention_heads": 16,
        },
        scheduler={},
    )
}


def generator_shape(source: str) -> GeneratorShape:
    """The shape of a hub id of PUBLISHED_GENERATORS or of a folder in diffusers' layout.

    Raises:
        PlanError: another hub id, or no such folder.
    """
    if source in PUBLISHED_GENERATORS:
        return PUBLISHED_GENERATORS[source]
    files = {"unet": "config", "vae": "config", "text_encoder": "config", "scheduler": "scheduler_config"}
    paths = [Path(source) / part / f"{file}.json" for part, file in files.items()]
    if missing := [path for path in paths if not path.is_file()]:
        known = ", ".join(PUBLISHED_GENERATORS)
        raise PlanError(f"generator: expected {known} or a folder in diffusers' layout; there is no {missing[0]}")
    return GeneratorShape(source, *(json.loads(path.read_text(encoding="utf-8")) for path in paths))


def predict_generator_memory(shape: GeneratorShape, params: dict, recomputed: bool = True) -> Memory:
    """Peak memory of making clips and of `dpo.train_dpo`, in a step that is not the first, as stage 3 does them.

    params: stage 3's; generator_dtype, adapter, guidance, clip_frames, width, height, dpo_pairs and dpo_rank count.
    recomputed: whether activations are, as on GPUs.

    Raises:
        PlanError: an unknown generator_dtype.
    """
    if params["generator_dtype"] not in BYTES:
        raise PlanError(f"generator_dtype: expected one of {', '.join(BYTES)}; got {params['generator_dtype']!r}")
    dtype = getattr(torch, params["generator_dtype"])
    unet, vae, text_encoder = parts = _networks(shape)
    still = {"generator": dtype.itemsize * sum(weight.numel() for part in parts for weight in part.parameters())}
    words = (text_encoder.config.max_position_embeddings, text_encoder.config.hidden_size)
    frames, side = params["clip_frames"], 2 ** (len(vae.config.block_out_channels) - 1)
    channels, *space = vae.config.latent_channels, params["height"] // side, params["width"] // side
    latents, pixels = (channels, frames, *space), (vae.config.in_channels, params["height"], params["width"])
    embedded = params["adapter"] or unet.config.time_cond_proj_dim is not None
    shown = CLIPS_AT_ONCE * (1 if embedded or params["guidance"] == 1 else 2)

    def denoise(noisy: torch.Tensor, texts: torch.Tensor) -> None:
        unet(noisy, torch.tensor(0), texts)

    making = _made(unet, denoise, dtype, (shown, *latents), (shown, *words))
    decoding = _made(vae, lambda clip: vae.decode(clip), dtype, (frames, channels, *space))
    reading = _made(vae, lambda clip: vae.encode(clip).latent_dist.mode(), dtype, (frames, *pixels))
    with torch.device("meta"):
        add_adapter(unet, params["dpo_rank"])
    adapter = sum(weight.numel() * SINGLE for weight in adapter_weights(unet).values())
    if recomputed:
        recompute_activations(unet)
    step = _step(unet, dtype, shape.scheduler, params["dpo_pairs"], latents, words)
    return memory_of(
        {
            "denoising": still | {"activations": making},
            "decoding": still | {"activations": decoding},
            "reading clips": still | {"activations": reading},
            "DPO step": still | {"adapter": adapter, "optimiser": 2 * adapter, "activations and gradients": step},
        }
    )


def _networks(shape: GeneratorShape) -> tuple[UNet3DConditionModel, AutoencoderKL, CLIPTextModel]:
    """A generator's parts without memory."""
    with torch.device("meta"):
        parts = (
            UNet3DConditionModel.from_config(shape.unet),
            AutoencoderKL.from_config(shape.vae),
            CLIPTextModel(CLIPTextConfig(**shape.text)),
        )
    return tuple(part.eval().requires_grad_(False) for part in parts)


def _fake(network: nn.Module, dtype: torch.dtype) -> LiveTensors:
    """Make weights fake ones on a CPU, float32 where they learn; within a fake mode. Returns a counter of them."""
    tracker = LiveTensors()
    for module in network.modules():
        for name, weight in module.named_parameters(recurse=False):
            kind = torch.float32 if weight.requires_grad else dtype
            fake = nn.Parameter(torch.empty(weight.shape, dtype=kind), requires_grad=weight.requires_grad)
            setattr(module, name, fake)
            tracker.add(fake)
    return tracker


def _made(network: nn.Module, use: Callable, dtype: torch.dtype, *sizes: tuple[int, ...]) -> int:
    """Bytes that a use of a network makes without gradient, its inputs of these sizes with them."""
    with FakeTensorMode(), torch.no_grad():
        tracker = _fake(network, dtype)
        weights = tracker.now
        with tracker:
            use(*(torch.empty(size, dtype=dtype) for size in sizes))
    return tracker.peak - weights


def _step(unet, dtype: torch.dtype, scheduler: dict, pairs: int, latents: tuple[int, ...], words: tuple) -> int:
    """Bytes that a step of `dpo.train_dpo` makes beside weights and optimiser: gradients are among them."""
    pairs = min(pairs, 2 * pairs_at_once(torch.Size(latents).numel()))  # the second piece adds to the first's gradients
    with FakeTensorMode():
        tracker = _fake(unet, dtype)
        weights = tracker.now
        schedule = DDIMScheduler.from_config(scheduler)
        with tracker:
            win, lose, noise = (torch.empty(pairs, *latents) for _ in range(3))
            times, texts = torch.zeros(pairs, dtype=torch.long), torch.empty(pairs, *words, dtype=dtype)
            add_gradients(unet, schedule, win, lose, noise, times, texts, DPOSettings.beta)
    return tracker.peak - weights
