"""Peak memory of a step of a generator's Diffusion-DPO: not from formulas, but from the step itself on fake tensors.

PyTorch's fake mode runs the real code on tensors that have a shape and no memory, and the bytes of those alive are
counted. Its kernels are a CPU's: where a GPU's need room of their own, the prediction does not see it.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet3DConditionModel
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import CLIPTextConfig, CLIPTextModel

from vqa_lib.generation.adapters import adapter_weights, add_adapter
from vqa_lib.generation.dpo import compared_errors, diffusion_dpo_loss
from vqa_lib.planning.live_tensors import LiveTensors
from vqa_lib.planning.memory import SINGLE, Memory, memory_of
from vqa_lib.planning.shapes import PlanError

KEPT_GENERATORS = 2  # that the notebook of stage 3 has loaded beside whatever trains: the base and the tuned one
CLIPS_AT_ONCE = 8  # that `tiny.encode_clips` reads together


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


def predict_dpo_memory(shape: GeneratorShape, params: dict) -> Memory:
    """Peak memory of `dpo.train_dpo` as stage 3 calls it, in float32, in a step that is not the first.

    params: stage 3's; generator and prompts count, and clip_frames, width, height, dpo_pairs and dpo_rank.
    """
    unet, vae, text_encoder = _networks(shape)
    with torch.device("meta"):
        add_adapter(unet, params["dpo_rank"])
    adapter = sum(weight.numel() * SINGLE for weight in adapter_weights(unet).values())
    weights = generator_weights(shape)
    words = (text_encoder.config.max_position_embeddings, text_encoder.config.hidden_size)
    frames, side = params["clip_frames"], 2 ** (len(vae.config.block_out_channels) - 1)
    latents = (vae.config.latent_channels, frames, params["height"] // side, params["width"] // side)
    kept = SINGLE * params["prompts"] * (2 * torch.Size(latents).numel() + torch.Size(words).numel())
    still = {"generator": weights, "generators of the notebook": KEPT_GENERATORS * weights}
    clips = min(CLIPS_AT_ONCE, 2 * params["prompts"])
    reading = _reading(vae, (clips * frames, vae.config.in_channels, params["height"], params["width"]))
    step = _step(unet, shape.scheduler, (params["dpo_pairs"], *latents), (params["dpo_pairs"], *words))
    learning = {"adapter": adapter, "optimiser": 2 * adapter, "latents and words of all pairs": kept}
    return memory_of(
        {
            "reading clips": still | {"activations": reading},
            "DPO step": still | learning | {"activations and gradients": step},
        }
    )


def generator_weights(shape: GeneratorShape) -> int:
    """Bytes of a generator's weights in float32, in which stage 3 loads them."""
    return sum(weight.numel() * SINGLE for network in _networks(shape) for weight in network.parameters())


def _networks(shape: GeneratorShape) -> tuple[UNet3DConditionModel, AutoencoderKL, CLIPTextModel]:
    """A generator's parts without memory."""
    with torch.device("meta"):
        parts = (
            UNet3DConditionModel.from_config(shape.unet),
            AutoencoderKL.from_config(shape.vae),
            CLIPTextModel(CLIPTextConfig(**shape.text)),
        )
    return tuple(part.eval().requires_grad_(False) for part in parts)


def _fake(network: nn.Module) -> LiveTensors:
    """Make weights on no device fake ones on a CPU; within a fake mode. Returns a counter that knows them."""
    tracker = LiveTensors()
    for module in network.modules():
        for name, weight in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(torch.empty(weight.shape), requires_grad=weight.requires_grad))
            tracker.add(getattr(module, name))
    return tracker


def _reading(vae: AutoencoderKL, pixels: tuple[int, ...]) -> int:
    """Bytes that the autoencoder makes of its clips' frames, these with them."""
    with FakeTensorMode(), torch.no_grad():
        tracker = _fake(vae)
        weights = tracker.now
        with tracker:
            vae.encode(torch.empty(pixels)).latent_dist.mode()
    return tracker.peak - weights


def _step(unet: UNet3DConditionModel, scheduler: dict, latents: tuple[int, ...], words: tuple[int, ...]) -> int:
    """Bytes that a step of `dpo.train_dpo` makes beside weights and optimiser: gradients are among them."""
    with FakeTensorMode():
        tracker = _fake(unet)
        weights = tracker.now
        schedule = DDIMScheduler.from_config(scheduler)
        learning = [weight for weight in unet.parameters() if weight.requires_grad]
        with tracker:
            for weight in learning:  # the step before left its gradients
                weight.grad = torch.empty_like(weight)
            win, lose, noise = (torch.empty(latents) for _ in range(3))
            times = torch.zeros(latents[0], dtype=torch.long)
            errors = compared_errors(unet, schedule, win, lose, noise, times, torch.empty(words))
            (policy_win, policy_lose), (reference_win, reference_lose) = errors
            loss = diffusion_dpo_loss(policy_win, reference_win, policy_lose, reference_lose).mean()
            unet.zero_grad()
            loss.backward()
    return tracker.peak - weights
