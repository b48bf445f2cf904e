"""Wall-clock seconds, measured side by side: machines drift, and a ratio of neighbours in time drifts less."""

import gc
import platform
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode


def synchronize() -> None:
    """Wait for the GPU, if there is one: its work is only queued when a call returns."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds_of(work: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    gc.collect()
    synchronize()
    begin = time.perf_counter()
    work()
    synchronize()
    return time.perf_counter() - begin


def alternate(sides: dict[str, Callable[[], object]], rounds: int, warm_up: bool = True) -> dict[str, list[float]]:
    """Seconds of every side in every round: A, B, then B, A, and so on, after one unmeasured warm-up each.

    warm_up: False where the caller has run every side already.
    """
    if warm_up:
        for work in sides.values():
            work()
    seconds = {name: [] for name in sides}
    for number in range(rounds):
        order = list(sides) if number % 2 == 0 else list(reversed(sides))
        for name in order:
            seconds[name].append(seconds_of(sides[name]))
    return seconds


def summary(seconds: list[float]) -> dict:
    """Median, spread and all measurements of one side."""
    return {
        "median": statistics.median(seconds),
        "smallest": min(seconds),
        "largest": max(seconds),
        "seconds": seconds,
    }


def entry(seconds: dict[str, list[float]], slow: str, fast: str, sizes: dict, device: dict, **more) -> dict:
    """One key of bench.json: how many times longer `slow` takes than `fast`, and everything it comes from.

    ratio: of the medians. ratio_spread: the smallest and the largest ratio within one round.
    """
    sides = {name: summary(values) for name, values in seconds.items()}
    by_round = [a / b for a, b in zip(seconds[slow], seconds[fast], strict=True)]
    return {
        "ratio": sides[slow]["median"] / sides[fast]["median"],
        "ratio_of": [slow, fast],
        "ratio_spread": [min(by_round), max(by_round)],
        "rounds": len(by_round),
        "sides": sides,
        "sizes": sizes,
        "device": device,
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        **more,
    }


def describe_device(device: str) -> dict:
    """What the numbers were measured on."""
    if device == "cuda":
        name = torch.cuda.get_device_name()
        memory = torch.cuda.get_device_properties(0).total_memory
        return {"name": name, "memory_bytes": memory, "torch": torch.__version__}
    return {"name": _processor_name(), "threads": torch.get_num_threads(), "torch": torch.__version__}


def _processor_name() -> str:
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def matmul_rate(device: str, dtype: torch.dtype, smoke: bool = False) -> float:
    """Floating-point operations a second of the best square matrix product: the arithmetic limit of this machine."""
    best = 0.0
    for side in (256,) if smoke else (1024, 2048, 4096):
        left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
        left @ right
        fastest = min(seconds_of(lambda left=left, right=right: left @ right) for _ in range(5))
        best = max(best, 2 * side**3 / fastest)
    return best


def count_operations(work: Callable[[], object]) -> int:
    """Floating-point operations of matrix products and attention in one call, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()
