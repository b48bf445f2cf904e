"""Load a text-to-video generator and make clips with it: diffusers' UNet and schedulers, without its pipeline.

The pipeline class for these models is deprecated upstream, so its steps stand here: words, noise, denoising, pixels.
The same code runs the tiny generator, ModelScope-T2V, and the latter with T2V-Turbo's LoRA.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, LCMScheduler, UNet3DConditionModel
from tqdm import tqdm
from transformers import CLIPTextModel, CLIPTokenizer

from vqa_lib.generation.adapters import merge_adapter, merge_turbo_lora, with_guidance_embedding
from vqa_lib.miniature.distortions import encode_video

SCHEDULERS = {"ddim": DDIMScheduler, "lcm": LCMScheduler}


@dataclass
class Generator:
    """A loaded generator: the UNet that denoises latents, the autoencoder that turns them into pixels, the words' part.

    scheduler: the noise schedule that it was trained with.
    """

    unet: UNet3DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    scheduler: DDIMScheduler

    @property
    def pixels_a_latent(self) -> int:
        """The side of the square of pixels that one latent stands for."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)


def load_generator(
    source: str | Path, adapter: str | Path | None = None, dtype: str = "float32", device: str = "cpu"
) -> Generator:
    """A generator in diffusers' layout, from a folder or the hub, with an adapter merged in if one is named.

    adapter: a folder that `dpo.train_dpo` wrote, or T2V-Turbo's file `unet_lora.pt`; with the latter the UNet gets the
    guidance embedding that T2V-Turbo was distilled with. It is merged in float32, before weights become `dtype`.

    Raises:
        ValueError: an adapter that is none, or does not fit the generator.
        OSError: diffusers' or transformers', where a part is missing.

    Example:
        load_generator("ali-vilab/text-to-video-ms-1.7b", "unet_lora.pt", "float16", "cuda")
    """
    if adapter is not None and not Path(adapter).is_file() and not (Path(adapter) / "adapter.json").is_file():
        raise ValueError(f"adapter {adapter}: neither a file (T2V-Turbo's) nor a folder with adapter.json")
    kind = getattr(torch, dtype)
    merged_in = kind if adapter is None else torch.float32
    unet = UNet3DConditionModel.from_pretrained(source, subfolder="unet", torch_dtype=merged_in)
    if adapter is not None and Path(adapter).is_file():
        unet = with_guidance_embedding(unet)
        merge_turbo_lora(unet, adapter)
    elif adapter is not None:
        merge_adapter(unet, adapter)
    torch.nn.Module.to(unet, kind)  # diffusers' own warns of modules to be kept in float32, of which there are none
    vae = AutoencoderKL.from_pretrained(source, subfolder="vae", torch_dtype=kind)
    text_encoder = CLIPTextModel.from_pretrained(source, subfolder="text_encoder", dtype=kind)
    for part in (unet, vae, text_encoder):
        part.to(device).eval().requires_grad_(False)
    tokenizer = CLIPTokenizer.from_pretrained(source, subfolder="tokenizer")
    return Generator(unet, vae, text_encoder, tokenizer, DDIMScheduler.from_pretrained(source, subfolder="scheduler"))


@contextmanager
def borrow_generator(source: str | Path, *arguments, **options) -> Iterator[Generator]:
    """`load_generator` for the time of a `with`: after it the generator has no weights, and its memory is free.

    Also where a name still stands for it, and for other processes on the same GPU.

    Example:
        with borrow_generator(STARTER_GENERATOR, device="cuda") as generator:
            clips = generate_clips(generator, ["a red circle"], [0])
    """
    generator = load_generator(source, *arguments, **options)
    try:
        yield generator
    finally:
        for part in (generator.unet, generator.vae, generator.text_encoder):
            part.to("meta")
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


@torch.no_grad()
def generate_clips(
    generator: Generator,
    prompts: list[str],
    seeds: list[int],
    scheduler: str = "ddim",
    steps: int = 8,
    guidance: float = 3.0,
    frames: int = 8,
    size: tuple[int, int] = (80, 56),
    batch: int = 8,
) -> np.ndarray:
    """One clip a prompt: uint8 RGB (n, frames, height, width, 3). Defaults are the tiny generator's.

    seeds: one a clip; its noise depends on nothing else, so a clip can be made again alone. (Sums are rounded by batch:
    a value of a pixel may then differ by one.) scheduler: "ddim", or "lcm" for generators distilled to few steps
    (T2V-Turbo: 4 to 8 steps, guidance 7.5, 16 frames of 256 x 256). guidance: given to the UNet as an embedding where
    it has one (w * 1000 in sines and cosines); else classifier-free, two passes a step, one where guidance is 1.
    size: width and height in pixels. batch: clips at a time.

    Raises:
        ValueError: unequal numbers of prompts and seeds, an unknown scheduler, steps or batch below 1, a size that
            latents do not fill.
    """
    side = generator.pixels_a_latent
    if len(prompts) != len(seeds):
        raise ValueError(f"a seed for each prompt: got {len(prompts)} prompts and {len(seeds)} seeds")
    if scheduler not in SCHEDULERS:
        raise ValueError(f"scheduler must be one of {', '.join(SCHEDULERS)}; got {scheduler!r}")
    if min(steps, batch, frames) < 1:
        raise ValueError(f"steps, batch and frames must be at least 1, got {steps}, {batch} and {frames}")
    if size[0] % side or size[1] % side:
        raise ValueError(f"width and height must be multiples of {side}, got {size[0]} x {size[1]}")
    clips = []
    for start in tqdm(range(0, len(prompts), batch), desc="generating", unit="batch", mininterval=5):
        shape = (frames, size[1] // side, size[0] // side)
        chosen = slice(start, start + batch)
        latents = _denoise(generator, prompts[chosen], seeds[chosen], scheduler, steps, guidance, shape)
        clips += [_pixels(generator.vae, clip) for clip in latents]
    return np.stack(clips) if clips else np.zeros((0, frames, size[1], size[0], 3), np.uint8)


def _denoise(generator, prompts, seeds, scheduler, steps, guidance, shape) -> torch.Tensor:
    """Scaled latents (n, channels, frames, rows, columns)."""
    unet = generator.unet
    schedule = SCHEDULERS[scheduler].from_config(generator.scheduler.config)
    schedule.set_timesteps(steps)
    embedded = unet.config.time_cond_proj_dim is not None
    twice = not embedded and guidance != 1
    words = encode_texts(generator, prompts)
    if twice:
        words = torch.cat([encode_texts(generator, [""]).expand_as(words), words])
    condition = guidance_embedding(guidance, unet.config.time_cond_proj_dim).to(words) if embedded else None
    condition = condition.expand(len(prompts), -1) if embedded else None
    draws = [torch.Generator().manual_seed(seed) for seed in seeds]
    noise = [torch.randn(unet.config.in_channels, *shape, generator=draw) for draw in draws]
    latents = torch.stack(noise).to(words) * schedule.init_noise_sigma
    step_options = {"generator": draws} if scheduler == "lcm" else {}  # the one that adds noise on its way
    for time in schedule.timesteps:
        shown = torch.cat([latents, latents]) if twice else latents
        output = unet(schedule.scale_model_input(shown, time), time, words, timestep_cond=condition).sample
        if twice:
            without, with_words = output.chunk(2)
            output = without + guidance * (with_words - without)
        latents = schedule.step(output, time, latents, **step_options).prev_sample
    return latents


def tokenize(tokenizer: CLIPTokenizer, texts: list[str]) -> torch.Tensor:
    """Token ids (n, the tokenizer's longest), padded and cut as ModelScope's pipeline does."""
    length = tokenizer.model_max_length
    return tokenizer(texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt")["input_ids"]


def encode_texts(generator: Generator, texts: list[str]) -> torch.Tensor:
    """The text encoder's last hidden states (n, tokens, width)."""
    ids = tokenize(generator.tokenizer, texts)
    return generator.text_encoder(ids.to(generator.text_encoder.device))[0]


def guidance_embedding(guidance: float, width: int) -> torch.Tensor:
    """Guidance as LCM's UNets take it, (1, width): sines, then cosines, of guidance * 1000 over width / 2 frequencies.

    Source: `get_w_embedding` of latent consistency models, and of T2V-Turbo's pipeline.
    """
    half = width // 2
    frequencies = torch.exp(torch.arange(half) * -(np.log(10000.0) / (half - 1)))
    angles = guidance * 1000.0 * frequencies
    return torch.cat([angles.sin(), angles.cos()])[None]


def _pixels(vae: AutoencoderKL, latents: torch.Tensor) -> np.ndarray:
    """A clip's scaled latents (channels, frames, rows, columns) as uint8 (frames, H, W, 3)."""
    decoded = vae.decode(latents.transpose(0, 1) / vae.config.scaling_factor).sample
    return ((decoded.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def write_clips(clips: np.ndarray, paths: list[Path], frame_rate: int = 4) -> None:
    """Write clips (n, T, H, W, 3) uint8 as H.264 in .mp4, one file each; folders are made.

    Raises:
        ValueError: unequal numbers of clips and paths.
    """
    if len(clips) != len(paths):
        raise ValueError(f"a path for each clip: got {len(clips)} clips and {len(paths)} paths")
    for clip, path in zip(clips, paths, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_video(clip, {}, rate=Fraction(frame_rate)))
