"""Predicted against measured peak memory of a GRPO step: real steps of the trainer on a CPU, its tensors counted.

A fresh process a case. What is measured is the bytes of all live tensor storages, counted at each operation (exact, the
same every time), above which the process itself also needs its libraries; `rss` beside it is what the system saw.
`python benchmarks/memory.py` runs all cases and prints what they give; `bench` runs a few (BENCH) for bench.json.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

GIVEN = {
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": "0",
    "HF_HUB_OFFLINE": "1",
    "CUDA_VISIBLE_DEVICES": "",
}


@dataclass(frozen=True)
class Case:
    """One measurement. hidden, layers, vocabulary: of both towers, see `write_model`; side: pixels of square frames.

    tuning: "full" (with the vision tower), "frozen" (vision), "lora" or "4bit" (with LoRA). The other names are those
    of `GRPOSettings`.
    """

    name: str
    family: str = "qwen"
    hidden: int = 384
    layers: int = 7
    vocabulary: int = 8192
    tuning: str = "full"
    tokens: int = 1024
    queries: int = 2
    group: int = 4
    contrast: int = 2
    max_completion: int = 64
    frames: int = 8
    side: int = 112
    dtype: str = "float32"
    checkpointing: bool = False
    beta: float = 0.01
    top_p: float = 0.95

    def params(self) -> dict:
        """The notebook parameters that say the same."""
        return {
            **{name: getattr(self, name) for name in ("tokens", "queries", "group", "contrast", "max_completion")},
            **{name: getattr(self, name) for name in ("dtype", "beta", "top_p", "frames")},
            "max_pixels": self.side**2,
            "train_vision": self.tuning == "full",
            "lora_rank": 8 if self.tuning in ("lora", "4bit") else 0,
            "quantize": "4bit" if self.tuning == "4bit" else "",
            "steps": 2,
            "checkpoint_every": 100,
        }


MIDDLE = {"hidden": 384, "layers": 7}  # about 30M parameters
LARGE = {"hidden": 640, "layers": 8}  # about 100M parameters
SMALL_PIECES = {"queries": 4, "tokens": 512}  # four, of one query each
ONE_PIECE = {"queries": 4, "tokens": 4096}
LONG_PROMPTS = {"queries": 2, "tokens": 4096, "frames": 16, "side": 224, "max_completion": 16}
CHECKPOINTED = {**MIDDLE, **ONE_PIECE, "checkpointing": True}
CASES = [
    Case("tiny, all", hidden=128, layers=3),
    Case("tiny, lora", hidden=128, layers=3, tuning="lora"),
    Case("30M, all, small pieces", **MIDDLE, **SMALL_PIECES),
    Case("30M, all, one piece", **MIDDLE, **ONE_PIECE),
    Case("30M, vision frozen, small pieces", **MIDDLE, **SMALL_PIECES, tuning="frozen"),
    Case("30M, vision frozen, one piece", **MIDDLE, **ONE_PIECE, tuning="frozen"),
    Case("30M, lora, small pieces", **MIDDLE, **SMALL_PIECES, tuning="lora"),
    Case("30M, lora, one piece", **MIDDLE, **ONE_PIECE, tuning="lora"),
    Case("30M, 4bit, small pieces", **MIDDLE, **SMALL_PIECES, tuning="4bit"),
    Case("30M, 4bit, one piece", **MIDDLE, **ONE_PIECE, tuning="4bit"),
    Case("30M, all, checkpointed", **CHECKPOINTED),
    Case("30M, lora, checkpointed", **CHECKPOINTED, tuning="lora"),
    Case("30M, all, checkpointed, bfloat16", **CHECKPOINTED, dtype="bfloat16"),
    Case("30M, lora, checkpointed, bfloat16", **CHECKPOINTED, tuning="lora", dtype="bfloat16"),
    Case("30M, all, long prompts", **MIDDLE, **LONG_PROMPTS),
    Case("30M, lora, long prompts, checkpointed", **MIDDLE, **LONG_PROMPTS, tuning="lora", checkpointing=True),
    Case("30M, all, small pieces, bfloat16", **MIDDLE, **SMALL_PIECES, dtype="bfloat16"),
    Case("30M, all, one piece, bfloat16", **MIDDLE, **ONE_PIECE, dtype="bfloat16"),
    Case("30M, all, long prompts, bfloat16", **MIDDLE, **LONG_PROMPTS, dtype="bfloat16"),
    Case("30M, vision frozen, one piece, bfloat16", **MIDDLE, **ONE_PIECE, tuning="frozen", dtype="bfloat16"),
    Case("30M, vision frozen, checkpointed, bfloat16", **CHECKPOINTED, tuning="frozen", dtype="bfloat16"),
    Case("30M, lora, one piece, bfloat16", **MIDDLE, **ONE_PIECE, tuning="lora", dtype="bfloat16"),
    Case("30M, 4bit, one piece, bfloat16", **MIDDLE, **ONE_PIECE, tuning="4bit", dtype="bfloat16"),
    Case("30M, 4bit, checkpointed, bfloat16", **CHECKPOINTED, tuning="4bit", dtype="bfloat16"),
    Case("30M InternVL, all, bfloat16", family="internvl", **MIDDLE, **SMALL_PIECES, dtype="bfloat16"),
    Case("30M InternVL, all", family="internvl", **MIDDLE, **SMALL_PIECES),
    Case("30M InternVL, lora, checkpointed", family="internvl", **CHECKPOINTED, tuning="lora"),
    Case("100M, all, small pieces", **LARGE, **SMALL_PIECES),
    Case("100M, vision frozen, one piece", **LARGE, **ONE_PIECE, tuning="frozen"),
    Case("100M, lora, small pieces", **LARGE, **SMALL_PIECES, tuning="lora"),
    Case("100M, lora, one piece", **LARGE, **ONE_PIECE, tuning="lora"),
]  # fmt: skip

SHORT = {"queries": 2, "tokens": 4096, "max_completion": 16, "group": 2, "contrast": 1, "dtype": "bfloat16"}
SMOKE = [Case("tiny, all", **SHORT | {"dtype": "float32"}, hidden=128, layers=3)]
BENCH = [
    *SMOKE,
    Case("30M, all", **MIDDLE, **SHORT),
    Case("30M, all, checkpointed", **MIDDLE, **SHORT, checkpointing=True),
    Case("30M, vision frozen", **MIDDLE, **SHORT, tuning="frozen"),
    Case("30M, lora, checkpointed", **MIDDLE, **SHORT, tuning="lora", checkpointing=True),
    Case("30M, 4bit", **MIDDLE, **SHORT, tuning="4bit"),
    Case("30M InternVL, all", family="internvl", **MIDDLE, **SHORT),
]  # fmt: skip


def measured_peak(case: Case) -> dict:
    """Peaks of a case's second GRPO step in a fresh process: bytes of live tensors, by phase too, and of the process.

    Returns:
        {"peak", "rss": bytes; "phases": phase -> bytes; "parameters", "prompt_tokens", "lengths", "seconds"}
    """
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-W", "ignore", str(Path(__file__).resolve()), "--measure", json.dumps(asdict(case))]
    environment = {**os.environ, **GIVEN, "PYTHONPATH": str(root)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{case.name}: the measurement failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def compared(case: Case, found: dict | None = None) -> dict:
    """An entry for bench.json: `ratio` is predicted / measured peak; sizes in bytes.

    found: what `measured_peak` or `measure` returned; None measures.
    """
    from vqa_lib.planning.memory import predict_memory
    from vqa_lib.planning.shapes import model_shape
    from vqa_lib.planning.workload import method, workload
    from vqa_lib.recipes import RECIPES

    found = measured_peak(case) if found is None else found
    with tempfile.TemporaryDirectory() as folder:
        write_model(case, Path(folder))
        shape = model_shape(folder)
    # The real number of prompt tokens, because a made-up tokenizer's is not what the plan's estimate is for.
    work = replace(workload(shape, case.params(), RECIPES["vq_insight/natural"]), prompt=found["prompt_tokens"])
    way = method(case.params(), gpu=False, checkpointing=case.checkpointing)
    predicted = predict_memory(shape, work, way)
    return {
        "case": case.name, "ratio": predicted.peak / found["peak"], "predicted": predicted.peak,
        "measured": found["peak"], "resident": found["rss"], "phase": predicted.phase,
        "parameters": shape.parameters, "pieces": len(work.pieces()), "device": "cpu",
        "predicted_phases": {name: sum(parts.values()) for name, parts in predicted.phases.items()},
        "measured_phases": found["phases"], "sizes": asdict(case),
    }  # fmt: skip


def entries(cases: list[Case] = CASES) -> dict:
    """What bench.json holds under `memory`: all cases, and ratio and bytes of that whose ratio is farthest from 1."""
    rows = []
    for case in cases:
        rows.append(compared(case))
        sizes = ", ".join(f"{name} {rows[-1][name] / 1e6:.1f} MB" for name in ("predicted", "measured", "resident"))
        print(f"{case.name:40} {sizes}, ratio {rows[-1]['ratio']:.3f}", file=sys.stderr, flush=True)
    worst = max(rows, key=lambda row: abs(row["ratio"] - 1))
    return {name: worst[name] for name in ("ratio", "predicted", "measured", "case", "sizes")} | {"cases": rows}


def write_model(case: Case, folder: Path) -> None:
    """A model of a case's size with random weights: a tiny one's processor and config, a larger network."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    from vqa_lib.models.starter import tokenizer_texts
    from vqa_lib.models.tiny import build_tiny_qwen
    from vqa_lib.models.tiny_internvl import build_tiny_internvl

    size = {"hidden": case.hidden, "layers": case.layers}
    if case.family == "internvl":
        build_tiny_internvl(folder, tokenizer_texts(), **size, image_size=case.side)
    else:
        build_tiny_qwen(folder, tokenizer_texts(), **size)
    config = AutoConfig.from_pretrained(folder)
    config.text_config.vocab_size = case.vocabulary
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(config)
    model.generation_config.eos_token_id = config.text_config.eos_token_id
    model.generation_config.pad_token_id = config.text_config.pad_token_id
    model.save_pretrained(folder)


def measure(case: Case) -> dict:
    """What `measured_peak` returns; to be called in a process of its own."""
    import gc
    import time

    import torch
    from datasets import Dataset

    from vqa_lib.models.families import freeze_vision
    from vqa_lib.models.loading import load_model, lora_config
    from vqa_lib.planning.live_tensors import LiveTensors
    from vqa_lib.recipes import RECIPES
    from vqa_lib.records import Scale, ScoredClip
    from vqa_lib.training.common import weights_dtype, widen_what_learns
    from vqa_lib.training.grpo import VideoGRPOTrainer
    from vqa_lib.training.rows import training_rows
    from vqa_lib.training.run import GRPOSettings, grpo_config

    tracker, phases, lengths, prompt_tokens = LiveTensors(), {}, [], []

    class Measured(VideoGRPOTrainer):
        def _step_in_pieces(self, model, inputs):
            gc.collect()
            phases.clear()
            tracker.restart()
            loss = super()._step_in_pieces(model, inputs)
            phases["loss"] = tracker.restart()
            return loss

        def _sample(self, *arguments):
            made = super()._sample(*arguments)
            lengths[:] = map(len, made[0])
            phases["sampling"] = tracker.restart()
            return made

        def _get_per_token_logps_and_entropies(self, *arguments, **keywords):
            made = super()._get_per_token_logps_and_entropies(*arguments, **keywords)
            if not torch.is_grad_enabled():
                prompt_tokens[:] = [len(prompt.ids) for prompt in self.bank.prompts]
                phases["reference"] = tracker.restart()
            return made

    settings = GRPOSettings.from_params(case.params())
    recipe = RECIPES["vq_insight/natural"]
    clips = [
        ScoredClip(f"{number}", Path(f"{number}.mp4"), "video", {"overall": 50.0}, Scale(0, 100), "lsvq", "train")
        for number in range(case.queries)
    ]
    with tempfile.TemporaryDirectory() as folder:
        write_model(case, Path(folder) / "model")
        kept_in = weights_dtype(settings)
        model, processor = load_model(str(Path(folder) / "model"), kept_in, quantize=settings.quantize or None)
        if case.tuning == "frozen":
            freeze_vision(model)
        config = grpo_config(settings, Path(folder))
        config.activation_checkpointing = config.gradient_checkpointing = case.checkpointing
        trainer = Measured(
            model=model, args=config, train_dataset=Dataset.from_list(training_rows(clips, recipe)),
            processing_class=processor, peft_config=lora_config(8) if settings.lora_rank else None, recipe=recipe,
            read_visuals=lambda number: [(made_up_frames(case, number), "video")], contrast_generations=case.contrast,
            tokens=case.tokens,
        )  # fmt: skip
        widen_what_learns(trainer.model)
        add_weights(tracker, trainer.model, trainer.ref_model)
        held = tracker.restart()
        gc.collect()
        baseline = _resident() - held
        began = time.perf_counter()
        with tracker:
            trainer.train()
        phases["optimiser"] = tracker.peak
        seconds = time.perf_counter() - began
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - baseline
    parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
    return {
        "peak": max(phases.values()), "phases": phases, "rss": rss, "held": held, "parameters": parameters,
        "prompt_tokens": prompt_tokens[0], "lengths": lengths, "seconds": round(seconds, 1),
    }  # fmt: skip


def made_up_frames(case: Case, number: int):
    """Noise of a case's size."""
    import numpy as np

    from vqa_lib.video import Frames

    generator = np.random.default_rng(number)
    pixels = generator.integers(0, 256, (case.frames, case.side, case.side, 3), dtype=np.uint8)
    indices = np.arange(case.frames)
    return Frames(pixels, indices, case.frames, 2.0, indices / 2.0)


def add_weights(tracker, *networks) -> None:
    """Count the weights and buffers of networks (or None)."""
    for network in networks:
        for tensor in [] if network is None else [*network.parameters(), *network.buffers()]:
            tracker.add(tensor)
            tensor.sum()  # read from the file that it is mapped to


def measure_supervised(case: Case) -> dict:
    """Peak of live tensors of two steps of supervised training in this process; the second has optimiser states.

    Returns:
        {"peak": bytes; "prompt_tokens", "answer_tokens"}
    """
    from peft import get_peft_model

    from vqa_lib.models.families import encode, freeze_vision
    from vqa_lib.models.loading import load_model, lora_config
    from vqa_lib.planning.live_tensors import LiveTensors
    from vqa_lib.training.common import weights_dtype, widen_what_learns
    from vqa_lib.training.sft import SFTSettings, VideoSFTTrainer, sft_arguments

    tracker, settings = LiveTensors(), SFTSettings.from_params(case.params())
    answer = "<answer> 63.20 </answer>"
    with tempfile.TemporaryDirectory() as folder:
        write_model(case, Path(folder) / "model")
        model, processor = load_model(str(Path(folder) / "model"), weights_dtype(settings))
        if settings.lora_rank:
            model = get_peft_model(model, lora_config(settings.lora_rank))
            if case.checkpointing:
                model.enable_input_require_grads()
            widen_what_learns(model)
        elif not settings.train_vision:
            freeze_vision(model)
        arguments = sft_arguments(settings, Path(folder))
        arguments.activation_checkpointing = arguments.gradient_checkpointing = case.checkpointing

        def read_example(number: int):
            return encode(processor, [(made_up_frames(case, number), "video")], "How good is it?"), answer

        trainer = VideoSFTTrainer(
            model=model, args=arguments, train_dataset=[{"record": n, "name": str(n)} for n in range(case.queries)],
            processing_class=processor, read_example=read_example, tokens=case.tokens,
        )  # fmt: skip
        example = trainer._example(0)
        trainer.kept.clear()
        add_weights(tracker, trainer.model)
        with tracker:
            trainer.train()
    return {
        "peak": tracker.peak, "prompt_tokens": len(example.prompt.ids), "answer_tokens": len(example.response),
    }  # fmt: skip


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(Case(**json.loads(sys.argv[2])))))
    else:
        print(json.dumps({"memory": entries()}, indent=2))
