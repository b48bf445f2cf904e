"""SlowFast-R50, VQAThinker's eyes for motion: few frames seen wide, all frames narrow, the second fused into the first.

Modules and weights have pytorchvideo's names, so that its published `SLOWFAST_8x8_R50.pyth` loads; the library itself
is not needed (and no longer installs everywhere). Frozen for us: what it says of a clip can be computed once and kept.
Source: Feichtenhofer et al., SlowFast Networks for Video Recognition, Table 1; VQAThinker, eq. 11.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

NARROWER = 8  # the fast pathway's channels are so many times fewer
STRIDE = 4  # of the fusion in time: so many fast frames become one of the slow pathway
SLOW, POOLINGS = ("chunks", "spread"), ("mean", "windows", "chunks")
WINDOWS_TIME = 12  # slow frames after repetition, before windows of 8
HEAD = "blocks.6."  # of the published file: Kinetics' 400 classes, which nobody needs here


class SlowFast(nn.Module):
    """What moves in clips. Defaults are SlowFast-R50's: 2048 slow and 256 fast channels.

    width: channels of the slow stem. depths: residual blocks of the four stages.

    Example:
        maps = SlowFast().eval()(frames, slow_places(8))  # of frames (1, 8, 3, 224, 224)
        pool(maps, slow_places(8))  # (1, 1, 2304)
    """

    def __init__(self, width: int = 64, depths: Sequence[int] = (3, 4, 6, 3)):
        super().__init__()
        if width < NARROWER or width % NARROWER:
            raise ValueError(f"width must be a multiple of {NARROWER}, got {width}")
        if len(depths) != 4 or min(depths) < 1:
            raise ValueError(f"depths must be four numbers of blocks, got {list(depths)}")
        self.width, self.depths = width, tuple(depths)
        narrow = width // NARROWER
        stems = (_Stem(width, (1, 7, 7)), _Stem(narrow, (5, 7, 7)))
        blocks = [_Pathways(stems, _Fusion(narrow))]
        into = (width + 2 * narrow, narrow)
        for stage, depth in enumerate(depths):
            inner = width * 2**stage
            times = (1 if stage < 2 else 3, 3)  # the slow pathway looks along time in its last two stages only
            stride = 1 if stage == 0 else 2
            pathways = (
                _Stage(into[0], inner, depth, stride, times[0]),
                _Stage(into[1], inner // NARROWER, depth, stride, times[1]),
            )
            fast = 4 * inner // NARROWER
            blocks.append(_Pathways(pathways, nn.Identity() if stage == 3 else _Fusion(fast)))
            into = (4 * inner + 2 * fast, fast)
        self.blocks = nn.ModuleList(blocks)

    @property
    def features(self) -> int:
        """Numbers that a clip becomes: slow and fast channels of the last stage."""
        return 32 * self.width + 32 * self.width // NARROWER

    def forward(self, frames: torch.Tensor, slow: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, T, 3, height, width), normalised, to maps of both pathways: (n, channels, time, rows, columns).

        slow: which of the T frames the slow pathway sees, from `slow_places`.
        """
        fast = frames.transpose(1, 2)
        pathways = [fast[:, :, list(slow)], fast]
        for block in self.blocks:
            pathways = block(pathways)
        return pathways[0], pathways[1]


def slow_places(count: int, way: str = "chunks") -> list[int]:
    """Which of `count` frames the slow pathway sees.

    way: "chunks": the first of each chunk (VQAThinker, eq. 11); "spread": evenly from the first to the last frame (its
    official code). The paper has chunks of three frames. The published network fuses in steps of four, so that only one
    number of chunks fits: 2 for the paper's 6 training frames, as it says, but 3 for its 12 at inference, where three
    frames a chunk would make 4; the official code has 3 there, too.

    Example:
        >>> slow_places(6), slow_places(12), slow_places(12, "spread")
        ([0, 3], [0, 4, 8], [0, 5, 11])
    """
    if count < 1:
        raise ValueError(f"expected at least one frame, got {count}")
    if way not in SLOW:
        raise ValueError(f"the slow pathway's frames must be one of {', '.join(SLOW)}; got {way!r}")
    chunks = (count - 1) // STRIDE + 1
    if way == "spread":
        return torch.linspace(0, count - 1, chunks).long().tolist()
    return [chunk * count // chunks for chunk in range(chunks)]


def pool(maps: tuple[torch.Tensor, torch.Tensor], slow: Sequence[int], way: str = "mean") -> torch.Tensor:
    """Maps of both pathways as motion features, (n, tokens, features).

    way: "mean": one token, the average over time and place. "windows": one token as the official code of VQAThinker
    makes it, with the network's own windows (8 or 32 frames, 7 x 7) moved over maps whose frames are repeated to fill
    them; the average of the windows' averages counts the middle more than the edges. "chunks": one token for each slow
    frame, with the fast frames from it to the next.
    """
    if way not in POOLINGS:
        raise ValueError(f"motion pooling must be one of {', '.join(POOLINGS)}; got {way!r}")
    wide, narrow = maps
    if way == "windows":
        repeats = max(1, WINDOWS_TIME // wide.shape[2])
        pooled = [_by_windows(part, time, repeats) for part, time in ((wide, 8), (narrow, 32))]
        return torch.cat(pooled, 1)[:, None]
    wide, narrow = wide.mean((3, 4)), narrow.mean((3, 4))  # (n, channels, time)
    if way == "mean":
        return torch.cat([wide.mean(2), narrow.mean(2)], 1)[:, None]
    ends = [*slow[1:], narrow.shape[2]]
    chunks = [narrow[:, :, start:end].mean(2) for start, end in zip(slow, ends, strict=True)]
    return torch.cat([wide, torch.stack(chunks, 2)], 1).transpose(1, 2)


def _by_windows(maps: torch.Tensor, time: int, repeats: int) -> torch.Tensor:
    """(n, channels, T, rows, columns) to (n, channels): the mean of the means of all windows of time x 7 x 7."""
    frames, rows, columns = maps.shape[2:]
    shares = [_shares(frames * repeats, time).reshape(frames, repeats).sum(1), _shares(rows, 7), _shares(columns, 7)]
    return torch.einsum("nctij,t,i,j->nc", maps, *(share.to(maps) for share in shares))


def _shares(length: int, window: int) -> torch.Tensor:
    """What each place counts in the mean of the means of all windows; these are at most as long as there are places."""
    window = min(window, length)
    covered = torch.zeros(length)
    for start in range(length - window + 1):
        covered[start : start + window] += 1
    return covered / covered.sum()


def load_slowfast(path: str | Path) -> SlowFast:
    """SlowFast-R50 with the published weights, in eval mode and frozen.

    path: pytorchvideo's `SLOWFAST_8x8_R50.pyth`, a dict whose "model_state" holds the weights.

    Raises:
        ValueError: a file that is none of that layout.
    """
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
        kept = {name: weight for name, weight in weights.items() if not name.startswith(HEAD)}
        model = SlowFast()
        model.load_state_dict(kept)
    except Exception as error:  # torch, pickle, zipfile and KeyError each have their own
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ValueError(f"{path}: expected pytorchvideo's SLOWFAST_8x8_R50.pyth ({reason})") from error
    return model.eval().requires_grad_(False)


class _Pathways(nn.Module):
    """A stage of both pathways, and the fusion behind it."""

    def __init__(self, pathways: Sequence[nn.Module], fusion: nn.Module):
        super().__init__()
        self.multipathway_blocks = nn.ModuleList(pathways)
        self.multipathway_fusion = fusion

    def forward(self, pathways: list[torch.Tensor]) -> list[torch.Tensor]:
        stages = zip(self.multipathway_blocks, pathways, strict=True)
        return self.multipathway_fusion([stage(pathway) for stage, pathway in stages])


class _Fusion(nn.Module):
    """The fast pathway in the slow one's time, as further channels of it."""

    def __init__(self, fast: int):
        super().__init__()
        self.conv_fast_to_slow = _convolution(fast, 2 * fast, (7, 1, 1), (STRIDE, 1, 1))
        self.norm = nn.BatchNorm3d(2 * fast)

    def forward(self, pathways: list[torch.Tensor]) -> list[torch.Tensor]:
        slow, fast = pathways
        return [torch.cat([slow, self.norm(self.conv_fast_to_slow(fast)).relu()], 1), fast]


class _Stem(nn.Module):
    def __init__(self, width: int, kernel: tuple[int, int, int]):
        super().__init__()
        self.conv = _convolution(3, width, kernel, (1, 2, 2))
        self.norm = nn.BatchNorm3d(width)
        self.pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.pool(self.norm(self.conv(pixels)).relu())


class _Stage(nn.Module):
    def __init__(self, into: int, inner: int, depth: int, stride: int, time: int):
        super().__init__()
        blocks = [_Block(into if number == 0 else 4 * inner, inner, stride, time, number) for number in range(depth)]
        self.res_blocks = nn.Sequential(*blocks)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.res_blocks(states)


class _Block(nn.Module):
    """A bottleneck beside a shortcut; the first of a stage has a convolution in its shortcut."""

    def __init__(self, into: int, inner: int, stride: int, time: int, number: int):
        super().__init__()
        step = (1, stride, stride) if number == 0 else (1, 1, 1)
        if number == 0:
            self.branch1_conv = _convolution(into, 4 * inner, (1, 1, 1), step)
            self.branch1_norm = nn.BatchNorm3d(4 * inner)
        self.branch2 = _Bottleneck(into, inner, step, time)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        shortcut = self.branch1_norm(self.branch1_conv(states)) if hasattr(self, "branch1_conv") else states
        return (shortcut + self.branch2(states)).relu()


class _Bottleneck(nn.Module):
    def __init__(self, into: int, inner: int, step: tuple[int, int, int], time: int):
        super().__init__()
        self.conv_a = _convolution(into, inner, (time, 1, 1), (1, 1, 1))
        self.norm_a = nn.BatchNorm3d(inner)
        self.conv_b = _convolution(inner, inner, (1, 3, 3), step)
        self.norm_b = nn.BatchNorm3d(inner)
        self.conv_c = _convolution(inner, 4 * inner, (1, 1, 1), (1, 1, 1))
        self.norm_c = nn.BatchNorm3d(4 * inner)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        states = self.norm_a(self.conv_a(states)).relu()
        states = self.norm_b(self.conv_b(states)).relu()
        return self.norm_c(self.conv_c(states))


def _convolution(into: int, out: int, kernel: tuple, stride: tuple) -> nn.Conv3d:
    return nn.Conv3d(into, out, kernel, stride, tuple(side // 2 for side in kernel), bias=False)
