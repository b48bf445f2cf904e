"""Diffusion-DPO: a generator learns from pairs of its own clips which of two it should rather have made.

VQ-Insight eq. 9, Wallace et al. 2024 (arXiv 2311.12908) eq. 14:

    L = -log sigmoid( -Gamma ( (|e_w - G(x_w,t)|^2 - |e_w - G_ref(x_w,t)|^2)
                             - (|e_l - G(x_l,t)|^2 - |e_l - G_ref(x_l,t)|^2) ) )

Gamma(lambda_t) = beta T w(lambda_t) in Wallace et al., who take w constant and fold T and w into beta: their code, and
ours, has 0.5 beta in its place, the same at every noise level, and squared errors that are means over a clip's latents.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers.models import Transformer2DModel
from diffusers.models.resnet import ResnetBlock2D, TemporalConvLayer
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from torch.utils.checkpoint import checkpoint
from tqdm import tqdm

from vqa_lib.generation.adapters import adapter_weights, add_adapter, save_adapter, switch_adapter
from vqa_lib.generation.autoencoder import encode_clips
from vqa_lib.generation.sampling import Generator, borrow_generator, encode_texts
from vqa_lib.records import Pair
from vqa_lib.training.common import check_files, forget_after, widen_what_learns
from vqa_lib.video import FramePolicy, read_video

LATENTS_AT_ONCE = 2**16  # numbers that one forward takes: a tiny generator's whole step, one pair of a large one's
RECOMPUTED = (ResnetBlock2D, TemporalConvLayer, Transformer2DModel, TransformerTemporalModel)


@dataclass(frozen=True)
class DPOSettings:
    """How a generator is tuned. The defaults are for the tiny generator.

    Of 100 prompts, four clips each without guidance, 89 had a best and a worst one that differed. Tuned on these pairs,
    labelled by the world's own overall measure; change of that measure's mean on 120 clips of 60 other prompts, same
    noise, without guidance; one training each, 95 % intervals over clips:

        beta 500                        0.056 (0.039 to 0.074), its temporal consistency -0.012
        beta 2000                       0.043 (0.029 to 0.056), 0.016
        beta 500, learning rate 3e-4    0.035 (0.022 to 0.049), 0.027

    With guidance 3 the clips of one prompt hardly differ (22 pairs of 60 prompts), and there is little to learn from.

    pairs: win-lose pairs a step, drawn anew each step. beta: how far the generator may leave its reference, the less
    the larger. lora_rank: of the adapters in every linear layer and convolution. warmup: steps until the learning rate
    is reached, constant thereafter. frames: of each clip, in their order. dtype: of the frozen weights; what learns is
    float32. (bfloat16 is too coarse: what it rounds off is as large as the differences of errors that are compared.)
    """

    learning_rate: float = 1.0e-3
    pairs: int = 4
    steps: int = 100
    beta: float = 2000.0
    lora_rank: int = 16
    warmup: int = 10
    max_grad_norm: float = 1.0
    checkpoint_every: int = 25
    frames: int = 8
    dtype: str = "float32"
    seed: int = 0

    def __post_init__(self):
        for name in ("pairs", "steps", "lora_rank", "checkpoint_every", "frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "beta", "max_grad_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")


def diffusion_dpo_loss(
    policy_win: torch.Tensor,
    reference_win: torch.Tensor,
    policy_lose: torch.Tensor,
    reference_lose: torch.Tensor,
    beta: float = 5000.0,
) -> torch.Tensor:
    """The loss of each pair (n,), from the squared errors (n,) of policy and reference on both of its clips.

    -log sigmoid(-0.5 beta ((policy_win - reference_win) - (policy_lose - reference_lose))): log 2 where the policy is
    the reference, less where its error fell more, or rose less, on the winner than on the loser. Source: the module's
    docstring.

    Example:
        >>> errors = torch.tensor([0.25])
        >>> round(diffusion_dpo_loss(errors, errors, errors, errors).item(), 4)
        0.6931
    """
    margin = (policy_win - reference_win) - (policy_lose - reference_lose)
    return -torch.nn.functional.logsigmoid(-0.5 * beta * margin)


def train_dpo(
    generator_folder: str | Path, pairs: list[Pair], settings: DPOSettings, output: str | Path, device: str = "cpu"
) -> Path:
    """Tune a generator on win-lose pairs; returns the folder of the adapter, `output`/adapter, for `load_generator`.

    The reference is the generator with its adapter switched off. Policy and reference see the same noise at the same
    time, and so do winner and loser. The log is `output`/log.jsonl, one line a step: loss, implicit accuracy (share of
    pairs whose margin favours the winner), and how far the errors are from the reference's on winners and on losers.
    Called again after an interruption it goes on from the last checkpoint, to the same result; after the end it returns
    at once. What a step draws depends on the seed and its number alone. On a GPU the step's activations are computed
    anew in its backward pass (`recompute_activations`), and nothing of the generator stays there.

    Raises:
        ValueError: no pairs; one without prompt, without winner, of images, of another size than the first; unreadable
            files.

    Example:
        train_dpo(STARTER_GENERATOR, pairs, DPOSettings(steps=100), "results/dpo")
    """
    output = Path(output)
    adapter = output / "adapter"
    if (adapter / "adapter.json").exists():
        return adapter
    _check(pairs)
    with borrow_generator(generator_folder, dtype=settings.dtype, device=device) as generator:
        examples = _encode(generator, pairs, settings.frames)
        output.mkdir(parents=True, exist_ok=True)
        if generator.unet.device.type != "cpu":
            recompute_activations(generator.unet)
        _train(generator, examples, settings, output)
        facts = {"base": str(generator_folder), "rank": settings.lora_rank, "settings": asdict(settings)}
        save_adapter(generator.unet, adapter, facts)
    (output / "checkpoint.pt").unlink(missing_ok=True)
    return adapter


@torch.no_grad()
def _encode(generator: Generator, pairs: list[Pair], frames: int) -> list[tuple[torch.Tensor, ...]]:
    """Each pair's winner and loser as latents, and its prompt's words; one clip at a time, kept off the GPU."""
    clips = _read(pairs, frames, generator.pixels_a_latent)
    latents = {path: encode_clips(generator.vae, pixels[None])[0].float().cpu() for path, pixels in clips}
    words = {text: encode_texts(generator, [text])[0].cpu() for text in dict.fromkeys(pair.prompt for pair in pairs)}
    return [(latents[winner], latents[loser], words[pair.prompt]) for pair, winner, loser in _sides(pairs)]


def _sides(pairs: list[Pair]) -> list[tuple[Pair, Path, Path]]:
    """Each pair with its winner's file and its loser's."""
    return [(pair, *(pair.paths if pair.preference == "first" else pair.paths[::-1])) for pair in pairs]


def _check(pairs: list[Pair]) -> None:
    if not pairs:
        raise ValueError("there are no pairs to learn from")
    for pair in pairs:
        where = f"{pair.dataset}/{pair.name}"
        if pair.preference not in ("first", "second"):
            raise ValueError(f"{where}: a pair must have a winner, got the preference {pair.preference!r}")
        if pair.prompt is None or pair.kind != "video":
            raise ValueError(f"{where}: a pair must be of videos and have a prompt, got {pair.kind}, {pair.prompt!r}")
    check_files(pairs)


def _read(pairs: list[Pair], frames: int, side: int) -> Iterator[tuple[Path, np.ndarray]]:
    """The frames of every file, each read once."""
    policy, first = FramePolicy(count=frames), None
    for path in dict.fromkeys(path for pair in pairs for path in pair.paths):
        pixels = read_video(path, policy).pixels
        first = first or pixels.shape
        height, width = pixels.shape[1:3]
        if pixels.shape != first or height % side or width % side:
            raise ValueError(
                f"{path}: {width} x {height} pixels; expected {first[2]} x {first[1]} as in the first clip, and "
                f"multiples of {side}"
            )
        yield path, pixels


def _train(generator: Generator, examples: list[tuple], settings: DPOSettings, output: Path) -> None:
    unet, scheduler = generator.unet, generator.scheduler
    torch.manual_seed(settings.seed)  # the adapter is drawn from the global state
    add_adapter(unet, settings.lora_rank)  # dropout stays off, in the policy as in the reference
    learning = [parameter for parameter in unet.parameters() if parameter.requires_grad]
    widen_what_learns(unet)
    optimizer = torch.optim.AdamW(learning, lr=settings.learning_rate, weight_decay=0.0)
    done = _resume(unet, optimizer, output)
    with tqdm(total=settings.steps, initial=done, desc="DPO", unit="step", mininterval=5) as bar:
        for step in range(done + 1, settings.steps + 1):
            random = np.random.default_rng([settings.seed, step])
            chosen = random.choice(len(examples), settings.pairs, replace=len(examples) < settings.pairs)
            win, lose, words = (torch.stack([examples[number][part] for number in chosen]) for part in range(3))
            times = torch.from_numpy(random.integers(scheduler.config.num_train_timesteps, size=settings.pairs))
            noise = torch.randn(win.shape, generator=torch.Generator().manual_seed(int(random.integers(2**62))))
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * min(1.0, step / max(settings.warmup, 1))
            optimizer.zero_grad()
            found = add_gradients(unet, scheduler, win, lose, noise, times, words, settings.beta)
            torch.nn.utils.clip_grad_norm_(learning, settings.max_grad_norm)
            optimizer.step()
            losses, win_change, lose_change = found
            line = {
                "step": step,
                "loss": losses.mean().item(),
                "implicit_accuracy": (win_change < lose_change).float().mean().item(),
                "win_error_change": win_change.mean().item(),
                "lose_error_change": lose_change.mean().item(),
            }
            with (output / "log.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            bar.set_postfix_str(f"loss {line['loss']:.3f}", refresh=False)
            bar.update()
            if step % settings.checkpoint_every == 0:
                _checkpoint(unet, optimizer, step, output)


def recompute_activations(unet) -> None:
    """Keep only what goes into each layer for the backward pass, which then computes what is within the layer anew.

    Gradients stay the same. (diffusers' own switch, `enable_gradient_checkpointing`, refuses this class of UNet.)
    """
    for layer in unet.modules():
        if isinstance(layer, RECOMPUTED):  # nothing in them is random: an adapter's UNet has no dropout
            layer.forward = partial(checkpoint, layer.forward, use_reentrant=False, preserve_rng_state=False)


def pairs_at_once(latents: int) -> int:
    """Pairs that one forward takes, of clips of so many numbers: small ones together are faster, of large ones one."""
    return max(1, LATENTS_AT_ONCE // (2 * latents))


def add_gradients(unet, scheduler, win, lose, noise, times, words, beta: float) -> torch.Tensor:
    """Add the gradients of the mean loss of n pairs to the UNet's, with the memory of `pairs_at_once`.

    Arguments are as for `compared_errors`, on any device. Returns (3, n): the pairs' losses, and how far the policy's
    error is from the reference's on their winners and on their losers.
    """
    at_once = pairs_at_once(win[0].numel())
    parts = zip(*(each.split(at_once) for each in (win, lose, noise, times, words)), strict=True)
    found = []
    for part in parts:
        policy, reference = compared_errors(unet, scheduler, *(each.to(unet.device) for each in part))
        (policy_win, policy_lose), (reference_win, reference_lose) = policy, reference
        losses = diffusion_dpo_loss(policy_win, reference_win, policy_lose, reference_lose, beta)
        (losses.sum() / len(win)).backward()
        found.append(torch.stack([losses, policy_win - reference_win, policy_lose - reference_lose]).detach())
    return torch.cat(found, 1)


def compared_errors(unet, scheduler, win, lose, noise, times, words) -> tuple[tuple, tuple]:
    """The policy's squared errors on winners and losers, with gradient, and the reference's, the adapter switched off.

    win, lose, noise: latents (n, channels, frames, rows, columns), float32. times: (n,). words: (n, tokens, width), in
    the type of the frozen weights.
    """
    policy = _errors(unet, scheduler, win, lose, noise, times, words)
    switch_adapter(unet, on=False)
    with torch.no_grad():
        reference = _errors(unet, scheduler, win, lose, noise, times, words)
    switch_adapter(unet, on=True)
    return policy, reference


def _errors(unet, scheduler, win, lose, noise, times, words) -> tuple[torch.Tensor, torch.Tensor]:
    """Squared errors (n,), means over latents, on winners and on losers, in one forward."""
    latents, noise = torch.cat([win, lose]), torch.cat([noise, noise])
    times, words = torch.cat([times, times]), torch.cat([words, words])
    kind = scheduler.config.prediction_type
    target = scheduler.get_velocity(latents, noise, times) if kind == "v_prediction" else noise
    output = unet(scheduler.add_noise(latents, noise, times).to(words.dtype), times, words).sample
    errors = (output.to(target.dtype) - target).square().flatten(1).mean(1)
    return errors.chunk(2)


def _checkpoint(unet, optimizer, step: int, output: Path) -> None:
    """Whole or not at all."""
    temporary = output / "checkpoint.pt.part"
    torch.save({"step": step, "weights": adapter_weights(unet), "optimizer": optimizer.state_dict()}, temporary)
    os.replace(temporary, output / "checkpoint.pt")


def _resume(unet, optimizer, output: Path) -> int:
    """Take up the last checkpoint and drop the log's lines it does not know of; returns the number of steps done."""
    checkpoint = output / "checkpoint.pt"
    done = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        unet.load_state_dict(state["weights"], strict=False)
        optimizer.load_state_dict(state["optimizer"])
        done = state["step"]
    forget_after(output / "log.jsonl", done)
    return done
