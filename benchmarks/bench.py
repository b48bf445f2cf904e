"""Ours against stock TRL, the published code's structure, and plain transformers; `make bench` runs it.

Every part measures its sides alternately in this process and writes a key of bench.json: the ratio of the medians, all
seconds, sizes and device. `memory` compares what `vqa plan` predicts with what steps needed, in bytes. Keys measured
before stay in the file unless measured again. About 20 minutes on two cores.
"""

import argparse
import gc
import json
import logging
import os
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # models are made here; nothing is downloaded
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # `rollout_func` is experimental, as we know

import torch
import transformers

from benchmarks.parts import PARTS, measure_memory
from benchmarks.plot import draw, draw_memory
from benchmarks.setting import Setting
from benchmarks.sizes import SMOKE, TWO_CORES


def quiet() -> None:
    """No warnings between the results."""
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.getLogger("accelerate").setLevel(logging.ERROR)


def read(path: Path) -> dict:
    """What a file of results holds already."""
    return json.loads(path.read_text()) if path.exists() else {}


def measure(keys: list[str], setting: Setting, rounds: int, path: Path) -> dict:
    """Measure the parts, write each to the file as soon as it is done, and return what the file holds then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for key in keys:
        work, arguments, target = PARTS[key]
        result = {**work(setting, rounds, **arguments), "target": target}
        results = read(path) | {key: result}
        path.write_text(json.dumps(results, indent=1) + "\n")
        slow, fast = (f"{name} {result['sides'][name]['median']:.2f} s" for name in result["ratio_of"])
        print(f"{key}: {result['ratio']:.2f} ({slow}, {fast})", flush=True)
        gc.collect()
        if setting.device == "cuda":
            torch.cuda.empty_cache()
    return read(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    keys = [*PARTS, "memory"]
    parser.add_argument("--only", nargs="+", choices=keys, default=keys, metavar="KEY", help=", ".join(keys))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of torch on the CPU")
    parser.add_argument("--output", type=Path, default=Path("results/bench"))
    parser.add_argument("--smoke", action="store_true", help="smallest sizes, one round: does it run at all?")
    options = parser.parse_args()
    quiet()
    torch.set_num_threads(options.threads)
    sizes, rounds = (SMOKE, 1) if options.smoke else (TWO_CORES, options.rounds)
    path = options.output / "bench.json"
    if speeds := [key for key in options.only if key in PARTS]:
        with tempfile.TemporaryDirectory() as folder:
            setting = Setting(sizes, options.device, folder)
            results = measure(speeds, setting, rounds, path)
        draw({key: results[key] for key in PARTS if key in results}, options.output)
    if "memory" in options.only:
        path.parent.mkdir(parents=True, exist_ok=True)
        result = measure_memory(options.smoke)
        path.write_text(json.dumps(read(path) | {"memory": result}, indent=1) + "\n")
        print(f"memory: {result['ratio']:.2f} of what was measured is predicted in the worst case", flush=True)
        draw_memory(result, options.output)


if __name__ == "__main__":
    main()
