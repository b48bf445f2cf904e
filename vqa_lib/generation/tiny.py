"""A text-to-video generator small enough for one CPU core: ModelScope's classes and folder layout, tiny sizes.

    unet/ UNet3DConditionModel   vae/ AutoencoderKL   text_encoder/ CLIPTextModel   tokenizer/   scheduler/

It makes 8 frames of 80 x 56 pixels at 4 a second. The text encoder has no pretraining to rest on, so it learns together
with the UNet. Nothing here is special-cased elsewhere: `sampling.load_generator` reads the folder that
`build_generator` writes by the code that reads `ali-vilab/text-to-video-ms-1.7b`. Source: ours.
"""

import copy
import io
import json
from pathlib import Path

import av
import diffusers
import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet3DConditionModel
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from tqdm import tqdm
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from vqa_lib.generation.sampling import Generator, tokenize
from vqa_lib.miniature.generated_clips import BLOCK, GENERATORS, GeneratedSource, draw_generated
from vqa_lib.miniature.generated_prompts import world_prompts

FRAMES, WIDTH, HEIGHT = 8, 80, 56
WORDS = 16  # tokens of a prompt, padding included
SPECIAL_TOKENS = ["<|startoftext|>", "<|endoftext|>"]


def build_tokenizer(texts: list[str]) -> CLIPTokenizer:
    """CLIP's byte-level BPE with a vocabulary learnt from `texts`: every word of them becomes one token."""
    blank = CLIPTokenizer().backend_tokenizer
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=SPECIAL_TOKENS[1]))
    tokenizer.normalizer, tokenizer.pre_tokenizer = blank.normalizer, blank.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=800,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    return CLIPTokenizer(vocab=model["vocab"], merges=merges, model_max_length=WORDS)


def build_generator(folder: str | Path, texts: list[str], channels: tuple[int, int] = (24, 48), seed: int = 0) -> None:
    """Write an untrained generator in diffusers' folder layout.

    texts: what the tokenizer learns its words from. channels: of the UNet's two levels.
    """
    torch.manual_seed(seed)
    tokenizer = build_tokenizer(texts)
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=WORDS,
            projection_dim=32,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 16, 32, 32),
        layers_per_block=1,
        latent_channels=6,
        norm_num_groups=8,
        sample_size=WIDTH,
    )
    unet = UNet3DConditionModel(
        sample_size=WIDTH // 8,
        in_channels=6,
        out_channels=6,
        down_block_types=("DownBlock3D", "CrossAttnDownBlock3D"),
        up_block_types=("CrossAttnUpBlock3D", "UpBlock3D"),
        block_out_channels=channels,
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=32,
        attention_head_dim=2,  # the width of a head: 24 heads of 2 at the second level
    )
    # v-prediction down to pure noise: with epsilon a model this small keeps the brightness of the noise it starts from
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=True,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )
    save_generator(folder, Generator(unet, vae, text_encoder, tokenizer, scheduler))


def save_generator(folder: str | Path, generator: Generator, dtype: str = "float16") -> Path:
    """Write the five parts and the index that names their classes; returns the folder. dtype: of what is written."""
    folder, kind = Path(folder), getattr(torch, dtype)
    parts = {
        "scheduler": generator.scheduler,
        "text_encoder": copy.deepcopy(generator.text_encoder).to(kind),
        "tokenizer": generator.tokenizer,
        "unet": copy.deepcopy(generator.unet).to(kind),
        "vae": copy.deepcopy(generator.vae).to(kind),
    }
    index = {"_class_name": "TextToVideoSDPipeline", "_diffusers_version": diffusers.__version__}
    for name, part in parts.items():
        part.save_pretrained(folder / name)
        _forget_origin(folder / name / "config.json")
        library = "diffusers" if type(part).__module__.startswith("diffusers") else "transformers"
        index[name] = [library, type(part).__name__]
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return folder


def _forget_origin(path: Path) -> None:
    """Take out the folder that diffusers notes a part was loaded from: it means nothing on another machine."""
    if path.exists():
        config = json.loads(path.read_text(encoding="utf-8"))
        config.pop("_name_or_path", None)
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def draw_training_clips(count: int, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Clips of the miniature world for a generator to learn from: uint8 (count, 8, 56, 80, 3) and their prompts.

    Prompts are those of `generated_train`. One clip in three is by any of the six generators, good or bad; the others
    are by the good ones, so that following the prompt is the rule: what is learnt is better than chance, not perfect.
    """
    random = np.random.default_rng(seed)
    clips, texts = [], []
    good = [number for number, skill in enumerate(GENERATORS.values()) if skill >= 0.9]
    for number in tqdm(range(count), desc="drawing", unit="clip", mininterval=5):
        generator = int(random.choice(good if number % 3 else len(GENERATORS)))
        block = int(random.integers(130))
        source = GeneratedSource(1000 + number, 0, 260)  # a key of its own: no clip of a data set comes again
        clip = draw_generated(source, seed, BLOCK * block + 2 * generator + int(random.integers(2)))
        clips.append(to_generator_size(decode(clip.data)))
        texts.append(clip.prompt.text)
    return np.stack(clips), texts


def decode(data: bytes) -> np.ndarray:
    """The frames of an encoded clip, uint8 RGB (T, H, W, 3)."""
    with av.open(io.BytesIO(data)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def to_generator_size(pixels: np.ndarray) -> np.ndarray:
    """A clip of the world, cut to the generator's size: every other frame, the middle 80 columns."""
    left = (pixels.shape[2] - WIDTH) // 2
    return pixels[np.linspace(0, len(pixels) - 1, FRAMES).round().astype(int), :, left : left + WIDTH]


def to_tensor(pixels: np.ndarray) -> torch.Tensor:
    """uint8 (..., H, W, 3) to float32 (..., 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(pixels, -1, -3))).float() / 127.5 - 1


def train_vae(
    vae: AutoencoderKL, clips: np.ndarray, steps: int, size: int = 8, peak: float = 3e-3, seed: int = 0
) -> list[dict]:
    """Teach the autoencoder single frames of `clips`: squared error, and a little KL so that latents stay compact.

    size: frames a step. Every channel of the latents it then gives has mean 0 and standard deviation 1. Returns the
    log: loss by step, the squared error of pixels in [-1, 1].
    """
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=peak, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=steps, pct_start=0.1)
    vae.train()
    log = []
    for step in tqdm(range(steps), desc="autoencoder", mininterval=5):
        chosen = random.integers(len(clips), size=size), random.integers(clips.shape[1], size=size)
        frames = to_tensor(clips[chosen])
        latents = vae.encode(frames).latent_dist
        error = (vae.decode(latents.sample()).sample - frames).square().mean()
        loss = error + 1e-4 * latents.kl().mean() / latents.mean[0].numel()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        log.append({"step": step, "loss": error.item()})
    vae.eval()
    vae.register_to_config(scaling_factor=1.0)
    _normalise(vae, encode_clips(vae, clips[:200]))
    return log


@torch.no_grad()
def _normalise(vae: AutoencoderKL, latents: torch.Tensor) -> None:
    """Shift and scale each channel of the latents, in the 1 x 1 convolutions around them: pixels stay as they are.

    One `scaling_factor` for all channels leaves some weak: noise would hide them first, and a denoiser overlook them.
    """
    mean, deviation = latents.mean((0, 2, 3, 4)), latents.std((0, 2, 3, 4))
    leave, enter = vae.quant_conv, vae.post_quant_conv
    channels = len(mean)
    leave.weight[:channels] /= deviation[:, None, None, None]
    leave.bias[:channels] = (leave.bias[:channels] - mean) / deviation
    leave.bias[channels:] -= 2 * deviation.log()
    enter.bias += enter.weight[:, :, 0, 0] @ mean
    enter.weight *= deviation[None, :, None, None]


@torch.no_grad()
def encode_clips(vae: AutoencoderKL, clips: np.ndarray, size: int = 8) -> torch.Tensor:
    """Scaled latents (n, 4, T, H/8, W/8) of clips uint8 (n, T, H, W, 3), `size` clips at a time."""
    parts = []
    for start in range(0, len(clips), size):
        frames = to_tensor(clips[start : start + size])
        latents = vae.encode(frames.flatten(0, 1).to(vae.device, vae.dtype)).latent_dist.mode()
        parts.append(latents.unflatten(0, frames.shape[:2]).transpose(1, 2) * vae.config.scaling_factor)
    return torch.cat(parts)


def train_denoiser(
    generator: Generator,
    latents: torch.Tensor,
    texts: list[str],
    steps: int,
    size: int = 8,
    peak: float = 3e-3,
    drop: float = 0.1,
    seed: int = 0,
) -> list[dict]:
    """Teach UNet and text encoder to denoise: the scheduler's velocity as the target, mean squared error.

    latents: of `encode_clips`. size: clips a step. drop: share of prompts replaced by "", which classifier-free
    guidance needs. The weights left behind are a running mean of the trained ones. Returns the log: loss by step.
    """
    unet, text_encoder, scheduler = generator.unet, generator.text_encoder, generator.scheduler
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    ids = tokenize(generator.tokenizer, [*texts, ""])
    modules = torch.nn.ModuleList([text_encoder, unet]).requires_grad_(True)
    parameters = list(modules.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=peak, betas=(0.9, 0.99), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=steps, pct_start=0.1)
    mean = torch.optim.swa_utils.AveragedModel(modules, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995))
    modules.train()
    log = []
    for step in tqdm(range(steps), desc="denoiser", mininterval=5):
        chosen = random.integers(len(latents), size=size)
        words = ids[np.where(random.random(size) < drop, len(texts), chosen)]
        # spread over the steps of the noise: batches are small, and their losses would differ by chance
        times = torch.from_numpy(((np.arange(size) + random.random(size)) / size * 1000).astype(int))
        noise = torch.randn(latents[chosen].shape)
        noisy = scheduler.add_noise(latents[chosen], noise, times)
        target = scheduler.get_velocity(latents[chosen], noise, times)
        loss = (unet(noisy, times, text_encoder(words)[0]).sample - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        mean.update_parameters(modules)
        log.append({"step": step, "loss": loss.item()})
    modules.load_state_dict(mean.module.state_dict())
    modules.eval()
    return log


def world_texts() -> list[str]:
    """Every prompt of the world."""
    return [prompt.text for prompt in world_prompts(0)]
