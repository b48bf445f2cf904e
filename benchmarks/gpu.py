"""One command for a machine with a GPU: the losses and the steps at Qwen2.5-VL-7B's real shape, and peak memory.

    python -m benchmarks.gpu                    # 7B, bfloat16, CUDA; an 80 GB GPU, 40 GB of disk, about an hour
    python -m benchmarks.gpu --only qlora_memory
    python -m benchmarks.gpu --smoke            # the same code on a CPU at the smallest size

UNRUN ON A GPU SO FAR: only the smoke size on a CPU has been run. Weights are random: speed and memory do not depend on
their values, and nothing is downloaded. The losses train all weights, vision tower included; the steps train adapters
(rank 16), so that two sides with their optimisers fit. K = 8, 16 frames of 0.1 megapixels, 400-token completions,
gradient checkpointing. Results go to results/bench/<device name>.json.
"""

import argparse
import gc
import json
import re
import tempfile
from pathlib import Path

# First: it sets what Hugging Face libraries read when they are imported.
from benchmarks.bench import measure, quiet, read  # isort: skip

import torch

from benchmarks import ours
from benchmarks.parts import PARTS
from benchmarks.plot import draw
from benchmarks.setting import Setting
from benchmarks.sizes import SEVEN_BILLION, SMOKE_WITH_ADAPTERS
from benchmarks.timing import describe_device, seconds_of, summary
from vqa_lib.models.loading import load_model

SPEED = ["loss_8_1", "loss_4_1", "loss_1_1", "step_vs_stock", "step_vs_per_rollout"]
MEMORY = {"lora_memory": False, "qlora_memory": True}


def measure_memory(setting: Setting, four_bits: bool) -> dict:
    """Peak memory of one whole GRPO step of ours with adapters, and its seconds; the step before it warms up.

    after_loading_bytes, peak_bytes: as torch counts its own allocations; None without a GPU.
    """
    on_gpu = setting.device == "cuda"
    quantised = lambda: load_model(setting.model_folder, setting.sizes.dtype, quantize="4bit")[0]  # noqa: E731
    model = quantised() if four_bits else setting.load_model()
    loaded = torch.cuda.memory_allocated() if on_gpu else None
    clips = setting.clips(setting.sizes.queries)
    step = setting.step_with(ours.build_trainer(setting, clips, model))
    step()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    seconds = seconds_of(step)
    return {
        "peak_bytes": torch.cuda.max_memory_allocated() if on_gpu else None,
        "after_loading_bytes": loaded,
        "step": summary([seconds]),
        "sizes": setting.described(prompt=len(setting.prompt(clips[0]).ids)),
        "device": describe_device(setting.device),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    keys = [*SPEED, *MEMORY]
    parser.add_argument("--only", nargs="+", choices=keys, default=keys, metavar="KEY", help=", ".join(keys))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("results/bench"))
    parser.add_argument("--smoke", action="store_true", help="the smallest sizes on the CPU, one round")
    options = parser.parse_args()
    if not options.smoke and not torch.cuda.is_available():
        parser.error("no GPU is there; --smoke runs the same code on the CPU")
    quiet()
    device = "cpu" if options.smoke else "cuda"
    sizes, rounds = (SMOKE_WITH_ADAPTERS, 1) if options.smoke else (SEVEN_BILLION, options.rounds)
    name = re.sub(r"\W+", "-", describe_device(device)["name"]).strip("-").lower()
    path = options.output / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(sizes, device, folder)
        for key in (key for key in MEMORY if key in options.only):  # first, while the GPU is empty
            result = measure_memory(setting, MEMORY[key])
            path.write_text(json.dumps(read(path) | {key: result}, indent=1) + "\n")
            peak = result["peak_bytes"]
            print(f"{key}: {'not measured on a CPU' if peak is None else f'{peak / 2**30:.1f} GiB'}", flush=True)
            gc.collect()
            if device == "cuda":
                torch.cuda.empty_cache()
        results = measure([key for key in SPEED if key in options.only], setting, rounds, path)
    if speeds := {key: result for key, result in results.items() if key in PARTS}:
        draw(speeds, options.output, name)


if __name__ == "__main__":
    main()
