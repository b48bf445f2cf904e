"""Load a vision-language model and its processor: a hub id or a local folder, whole or with an adapter."""

import json
import logging
from pathlib import Path

import torch

# bitsandbytes, which peft imports, says on every CPU machine that it lacks an optional kernel: nothing to act on.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)

from peft import LoraConfig, PeftModel  # noqa: E402
from transformers import AutoModelForImageTextToText, AutoProcessor  # noqa: E402

# Adapters go into the language model only; a plain list of names would also match the vision tower's layers.
LORA_TARGETS = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)$"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class ModelError(ValueError):
    """A model that cannot be loaded; the message names the path and what was expected."""


def load_model(path: str | Path, dtype: str = "float32", revision: str | None = None):
    """The model and its processor, on the CPU or the first GPU.

    path: a hub id, or a folder in Hugging Face format. A folder with `adapter_config.json` is loaded as its base
    model with the adapter merged in, so that training may go on from it or score with it like from any other model.

    Returns:
        (model, processor)

    Raises:
        ModelError: an unknown dtype; whatever makes the folder or hub id no model that transformers can load.
    """
    if dtype not in DTYPES:
        raise ModelError(f"dtype must be one of {sorted(DTYPES)}, got {dtype!r}")
    folder = Path(path)
    if folder.is_dir() and not any((folder / name).exists() for name in ("config.json", "adapter_config.json")):
        raise ModelError(f"{path}: neither config.json nor adapter_config.json is there; expected a model folder")
    if not folder.is_dir() and (folder.is_absolute() or str(path).startswith((".", "results/", "runs/", "data/"))):
        raise ModelError(f"{path}: no such model folder")
    try:
        model, processor = _from_pretrained(path, folder, DTYPES[dtype], revision)
    except Exception as error:  # OSError, ValueError, KeyError, SafetensorError: each library has its own
        first_line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ModelError(f"{path}: cannot be loaded as a model with its processor ({first_line})") from error
    processor.tokenizer.padding_side = "left"
    return model.to("cuda" if torch.cuda.is_available() else "cpu"), processor


def _from_pretrained(path: str | Path, folder: Path, dtype: torch.dtype, revision: str | None):
    if (folder / "adapter_config.json").exists():
        base = json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"]
        model = AutoModelForImageTextToText.from_pretrained(base, dtype=dtype)
        model = PeftModel.from_pretrained(model, folder).merge_and_unload().requires_grad_(True)
    else:
        model = AutoModelForImageTextToText.from_pretrained(path, dtype=dtype, revision=revision)
    return model, AutoProcessor.from_pretrained(path, revision=revision)


def lora_config(rank: int, alpha: int | None = None, dropout: float = 0.0) -> LoraConfig:
    """LoRA on every linear layer of the language model; alpha defaults to twice the rank."""
    return LoraConfig(
        r=rank, lora_alpha=alpha or 2 * rank, lora_dropout=dropout, target_modules=LORA_TARGETS, task_type="CAUSAL_LM"
    )
