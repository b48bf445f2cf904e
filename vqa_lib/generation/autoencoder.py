"""The tiny generator's autoencoder: diffusers' AutoencoderKL, started in closed form, its decoder then trained.

Trained from chance for minutes, an autoencoder this small learns no colours: its group normalisation throws away what
it has not yet learnt to keep. So it is started from principal components. Every stage of the encoder holds those of
2 x 2 blocks of the stage before; every stage of the decoder is the least-squares way back. Both live in the
convolutions outside the residual branches, which begin as zero. Then the decoder alone is trained: latents stay what
they are, and only the way back improves. Source: ours.
"""

import numpy as np
import torch
from diffusers import AutoencoderKL
from diffusers.models.resnet import ResnetBlock2D
from torch.nn import functional
from tqdm import tqdm

CHANNELS = (12, 16, 24, 32)  # of the levels, from pixels to latents
LATENTS = 8  # channels of the latents
COMPONENTS = (12, 16, LATENTS)  # that are kept of blocks of 2 x 2, 4 x 4 and 8 x 8 pixels
ANCHOR = 10.0  # far above what it stands beside, see `_pass_norm`
LINEAR = 4.0  # SiLU is all but linear around it
SPREAD = 0.1  # deviation of encoded latents from their mean: the decoder learns to forgive a denoiser's errors
FLOOR = 0.1  # components that vary less, in pixels of [-1, 1], stay weak: they are the finest structure
FITTED = 100  # frames that the start is made from


def build_vae(width: int) -> AutoencoderKL:
    """An untrained autoencoder. width: of its frames."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=CHANNELS,
        layers_per_block=1,
        latent_channels=LATENTS,
        norm_num_groups=1,  # of more, each would lose its own mean and contrast
        mid_block_add_attention=False,
        sample_size=width,
        scaling_factor=1.0,
    )


def to_tensor(pixels: np.ndarray) -> torch.Tensor:
    """uint8 (..., H, W, 3) to float32 (..., 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(pixels, -1, -3))).float() / 127.5 - 1


@torch.no_grad()
def start_vae(vae: AutoencoderKL, frames: torch.Tensor) -> None:
    """Set an autoencoder of `build_vae` in closed form from frames (n, 3, H, W) in [-1, 1].

    Latents then have mean 0 and, channel by channel, standard deviation 1 (fine structure: less), so that noise hides
    neither colours nor places first.
    """
    for module in vae.modules():
        if isinstance(module, ResnetBlock2D):
            module.conv2.weight.zero_(), module.conv2.bias.zero_()
    features = _start_encoder(vae.encoder, frames)
    mean, deviation = features[-1].mean((0, 2, 3)), features[-1].std((0, 2, 3)).clamp(min=FLOOR)
    latents = (features[-1] - _by_channel(mean)) / _by_channel(deviation)
    _pass_norm(vae.encoder.conv_norm_out)
    shown = _before(vae.encoder, vae.encoder.conv_out, frames)
    _clear(vae.encoder.conv_out)
    _fit(vae.encoder.conv_out, shown, latents, center=True)
    vae.encoder.conv_out.bias[LATENTS:] = 2 * np.log(SPREAD)  # the logarithm of the variance
    _carry(vae.quant_conv), _carry(vae.post_quant_conv)
    _start_decoder(vae.decoder, latents, features)


def _start_encoder(encoder, frames: torch.Tensor) -> list[torch.Tensor]:
    """Principal components level by level; returns the frames and what each level holds of them."""
    features = [frames]
    _carry(encoder.conv_in)
    for block, count in zip(encoder.down_blocks, COMPONENTS, strict=False):  # the last level has no downsampler
        for resnet in block.resnets:
            _carry(resnet.conv_shortcut)
        down = block.downsamplers[0].conv
        weight = _components(features[-1], count)
        _clear(down)
        down.weight[:count, : weight.shape[1], :2, :2] = weight
        features.append(functional.conv2d(features[-1], weight, stride=2))
    _anchor(down)
    for resnet in encoder.down_blocks[-1].resnets:
        _carry(resnet.conv_shortcut)
    return features


def _start_decoder(decoder, latents: torch.Tensor, features: list[torch.Tensor]) -> None:
    """Least squares from each level to the finer one; channels beyond those it needs stay as they were drawn."""
    _fit(decoder.conv_in, latents, features[-1], center=True)
    for block, coarse, fine in zip(decoder.up_blocks, features[:0:-1], features[-2::-1], strict=False):
        for resnet in block.resnets:
            _carry(resnet.conv_shortcut, coarse.shape[1])
        upsample = block.upsamplers[0].conv
        _fit(upsample, functional.interpolate(coarse, scale_factor=2.0), fine)
    _anchor(upsample)
    for resnet in decoder.up_blocks[-1].resnets:
        _carry(resnet.conv_shortcut)
    _pass_norm(decoder.conv_norm_out)
    _fit(decoder.conv_out, _before(decoder, decoder.conv_out, latents), features[0])


def _components(features: torch.Tensor, count: int) -> torch.Tensor:
    """The convolution (count, channels, 2, 2) to the principal components of 2 x 2 blocks, as averages, not sums."""
    channels = features.shape[1]
    blocks = functional.unfold(features, 2, stride=2).transpose(1, 2).flatten(0, 1).double()
    _, vectors = torch.linalg.eigh(blocks.T @ blocks)  # ascending
    return 0.5 * vectors.T.flip(0)[:count].float().view(-1, channels, 2, 2)


def _fit(conv: torch.nn.Conv2d, inputs: torch.Tensor, targets: torch.Tensor, center: bool = False) -> None:
    """Set a 3 x 3 convolution's first rows to the least squares from inputs to targets. center: its middle alone."""
    (given, wanted), side = (inputs.shape[1], targets.shape[1]), 1 if center else 3
    rows = functional.unfold(inputs, side, padding=side // 2).transpose(1, 2).flatten(0, 1).double()
    rows = torch.cat([rows, torch.ones(len(rows), 1, dtype=rows.dtype)], 1)
    square = rows.T @ rows
    square += 1e-6 * square.diagonal().mean() * torch.eye(len(square), dtype=rows.dtype)
    solution = torch.linalg.solve(square, rows.T @ targets.permute(0, 2, 3, 1).flatten(0, 2).double()).T.float()
    conv.weight[:wanted].zero_()
    middle = slice(1, 2) if center else slice(None)
    conv.weight[:wanted, :given, middle, middle] = solution[:, :-1].reshape(wanted, given, side, side)
    conv.bias[:wanted] = solution[:, -1]


def _carry(conv: torch.nn.Conv2d | None, rows: int | None = None) -> None:
    """Let a convolution hand its inputs on: all of its rows, those without an input as zero, or the first ones."""
    if conv is not None:
        conv.weight[:rows].zero_(), conv.bias[:rows].zero_()
        middle = conv.kernel_size[0] // 2
        for channel in range(min(rows or conv.in_channels, *conv.weight.shape[:2])):
            conv.weight[channel, channel, middle, middle] = 1


def _clear(conv: torch.nn.Conv2d) -> None:
    conv.weight.zero_(), conv.bias.zero_()


def _anchor(conv: torch.nn.Conv2d) -> None:
    """Make its last two channels large constants of opposite sign, see `_pass_norm`."""
    conv.weight[-2:].zero_()
    conv.bias[-2:] = torch.tensor([ANCHOR, -ANCHOR])


def _pass_norm(norm: torch.nn.GroupNorm) -> None:
    """Make normalisation and the SiLU behind it all but linear.

    With two large constants of opposite sign among its channels the mean is near 0 and the deviation near a constant,
    whatever the picture shows; so brightness and contrast are not lost.
    """
    norm.weight.fill_(1)
    norm.bias.fill_(LINEAR)


def _by_channel(values: torch.Tensor) -> torch.Tensor:
    return values[:, None, None]


def _before(module: torch.nn.Module, layer: torch.nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """What reaches a layer of a module that is given the inputs."""
    seen = []
    hook = layer.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    module(inputs)
    hook.remove()
    return seen[0]


def train_vae(
    vae: AutoencoderKL, clips: np.ndarray, steps: int, size: int = 8, peak: float = 2e-3, seed: int = 0
) -> list[dict]:
    """Start an autoencoder from frames of `clips`, then teach its decoder more of them: squared error.

    size: frames a step. Returns the log: loss by step, the squared error of pixels in [-1, 1].
    """
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    drawn = random.integers(len(clips), size=FITTED), random.integers(clips.shape[1], size=FITTED)
    start_vae(vae, to_tensor(clips[drawn]))
    vae.requires_grad_(False)
    learning = [*vae.decoder.requires_grad_(True).parameters()]
    for last in (vae.decoder.conv_norm_out, vae.decoder.conv_out):  # every step would shift the brightness
        last.requires_grad_(False)
    optimizer = torch.optim.AdamW(learning, lr=peak, betas=(0.9, 0.99), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=steps, pct_start=0.1)
    log = []
    for step in tqdm(range(steps), desc="autoencoder", mininterval=5):
        chosen = random.integers(len(clips), size=size), random.integers(clips.shape[1], size=size)
        frames = to_tensor(clips[chosen])
        with torch.no_grad():
            latents = vae.encode(frames).latent_dist.sample()
        error = (vae.decode(latents).sample - frames).square().mean()
        optimizer.zero_grad()
        error.backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        schedule.step()
        log.append({"step": step, "loss": error.item()})
    return log


@torch.no_grad()
def encode_clips(vae: AutoencoderKL, clips: np.ndarray, size: int = 8) -> torch.Tensor:
    """Scaled latents (n, channels, T, H/8, W/8) of clips uint8 (n, T, H, W, 3), `size` clips at a time."""
    parts = []
    for start in range(0, len(clips), size):
        frames = to_tensor(clips[start : start + size])
        latents = vae.encode(frames.flatten(0, 1).to(vae.device, vae.dtype)).latent_dist.mode()
        parts.append(latents.unflatten(0, frames.shape[:2]).transpose(1, 2) * vae.config.scaling_factor)
    return torch.cat(parts)
