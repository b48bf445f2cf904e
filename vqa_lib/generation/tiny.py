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
from diffusers import DDIMScheduler, UNet3DConditionModel
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from tqdm import tqdm
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from vqa_lib.generation.autoencoder import LATENTS, build_vae
from vqa_lib.generation.sampling import Generator, tokenize
from vqa_lib.miniature import generated_clips
from vqa_lib.miniature.generated_clips import BLOCK, GENERATORS, PARTS, SOURCES, GeneratedSource, draw_generated
from vqa_lib.miniature.generated_prompts import world_prompts

FRAMES, WIDTH, HEIGHT = 8, 80, 56
WORDS = 16  # tokens of a prompt, padding included
TEXT_WIDTH = 64  # of the text encoder's states
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


def build_generator(folder: str | Path, texts: list[str], channels: tuple[int, int] = (32, 64), seed: int = 0) -> None:
    """Write an untrained generator in diffusers' folder layout.

    texts: what the tokenizer learns its words from. channels: of the UNet's two levels.
    """
    torch.manual_seed(seed)
    tokenizer = build_tokenizer(texts)
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=2 * TEXT_WIDTH,
            num_hidden_layers=1,
            num_attention_heads=4,
            max_position_embeddings=WORDS,
            projection_dim=TEXT_WIDTH,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    )
    unet = UNet3DConditionModel(
        sample_size=WIDTH // 8,
        in_channels=LATENTS,
        out_channels=LATENTS,
        down_block_types=("DownBlock3D", "CrossAttnDownBlock3D"),
        up_block_types=("CrossAttnUpBlock3D", "UpBlock3D"),
        block_out_channels=channels,
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=8,  # the width of a head, not their number
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
    save_generator(folder, Generator(unet, build_vae(WIDTH), text_encoder, tokenizer, scheduler))


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


def draw_plain_clips(count: int, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Clips that show what their prompt asks for, over grounds of one colour: the text explains nearly all of them.

    From the world's clips alone a model this small learns grounds and colours, then nothing for thousands of steps: of
    what it does not foresee, shape and direction are a tenth beside the structure of the ground. Returns as
    `draw_training_clips`.
    """
    random = np.random.default_rng(seed)
    clips, texts = [], []
    known = world_prompts(seed)[: SOURCES["generated_train"].prompts]
    for _ in tqdm(range(count), desc="drawing", unit="clip", mininterval=5):
        prompt = known[random.integers(len(known))]
        shown = {part: getattr(prompt, part) for part in PARTS}
        clip = generated_clips.render(prompt, shown, random.uniform(0.7, 1), {}, random, plain=True)
        clips.append(to_generator_size(clip[: generated_clips.FRAMES]))
        texts.append(prompt.text)
    return np.stack(clips), texts


def decode(data: bytes) -> np.ndarray:
    """The frames of an encoded clip, uint8 RGB (T, H, W, 3)."""
    with av.open(io.BytesIO(data)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def to_generator_size(pixels: np.ndarray) -> np.ndarray:
    """A clip of the world, cut to the generator's size: every other frame, the middle 80 columns."""
    left = (pixels.shape[2] - WIDTH) // 2
    return pixels[np.linspace(0, len(pixels) - 1, FRAMES).round().astype(int), :, left : left + WIDTH]


def train_denoiser(
    generator: Generator,
    latents: torch.Tensor,
    texts: list[str],
    steps: int,
    size: int = 8,
    peak: float = 2e-3,
    drop: float = 0.1,
    seed: int = 0,
    noisy: float = 1.3,
) -> list[dict]:
    """Teach UNet and text encoder to denoise: the scheduler's velocity as the target, mean squared error.

    latents: of `encode_clips`. size: clips a step. drop: share of prompts replaced by "", which classifier-free
    guidance needs. noisy: with 1 all levels of noise are as frequent, with more the high ones more so (times are
    1000 (1 - u^noisy), u uniform): what the text says is learnt there. The weights left behind are a running mean of
    the trained ones. Returns the log: loss by step.
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
    modules.eval()  # without dropout: so small a model, trained so shortly, does not overfit
    log = []
    for step in tqdm(range(steps), desc="denoiser", mininterval=5):
        chosen = random.integers(len(latents), size=size)
        words = ids[np.where(random.random(size) < drop, len(texts), chosen)]
        # spread over the steps of the noise: batches are small, and their losses would differ by chance
        even = (np.arange(size) + random.random(size)) / size
        times = torch.from_numpy((1000 * (1 - even**noisy)).astype(int).clip(0, 999))
        noise = torch.randn(latents[chosen].shape)
        disturbed = scheduler.add_noise(latents[chosen], noise, times)
        target = scheduler.get_velocity(latents[chosen], noise, times)
        loss = (unet(disturbed, times, text_encoder(words)[0]).sample - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        mean.update_parameters(modules)
        log.append({"step": step, "loss": loss.item()})
    modules.load_state_dict(mean.module.state_dict())
    return log


def world_texts() -> list[str]:
    """Every prompt of the world."""
    return [prompt.text for prompt in world_prompts(0)]
