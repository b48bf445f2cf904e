"""Load a vision-language model and its processor: a hub id or a local folder, whole, quantised or with an adapter.

A model is named by one string, which notebook parameters and `vqa score --model` take as they are:

    Qwen/Qwen2.5-VL-7B-Instruct                a hub id, or results/.../model, a folder
    ByteDance/Q-Insight//vqinsight-comp        a subfolder of a hub repository, or of a folder
    ByteDance/Q-Insight//vqinsight-comp@main   the same at a revision: a branch, a tag or a commit
"""

import json
import logging
import warnings
from pathlib import Path

import torch

# bitsandbytes, which peft imports, says on every CPU machine that it lacks an optional kernel: nothing to act on.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
# It also says in every 8-bit layer of every forward that it computes in float16, which is what 8 bits mean there.
logging.getLogger("bitsandbytes.autograd._functions").addFilter(
    lambda record: not record.getMessage().startswith("MatMul8bitLt: inputs will be cast")
)

from huggingface_hub import list_repo_files, snapshot_download  # noqa: E402
from peft import LoraConfig, PeftModel  # noqa: E402
from transformers import AutoModelForImageTextToText, AutoProcessor, BitsAndBytesConfig  # noqa: E402

from vqa_lib.models.families import family, has_motion  # noqa: E402

# Adapters go into the language model only; a plain list of names would also match the vision tower's layers.
LORA_TARGETS = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)$"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
QUANTIZATIONS = ("4bit", "8bit")
# What sees stays whole, and so does what speaks. Qwen2.5-VL has the first name, InternVL the next two. bitsandbytes
# compares whole beginnings or ends of names ("visual" alone matches nothing), and a list of ours replaces its own.
# The processor of weights published without one: sizes of a family share it.
BASE_PROCESSORS = {"qwen2_5_vl": "Qwen/Qwen2.5-VL-7B-Instruct", "internvl": "OpenGVLab/InternVL3-8B-hf"}
MODEL_FILES = ("config.json", "adapter_config.json")
UNQUANTIZED = [
    "model.visual",
    "model.vision_tower",
    "model.multi_modal_projector",
    "model.motion_tower",
    "model.motion_projector",
    "lm_head",
]


class ModelError(ValueError):
    """A model that cannot be loaded; the message names the path and what was expected."""


def load_model(
    path: str | Path,
    dtype: str = "float32",
    revision: str | None = None,
    quantize: str | None = None,
    image_size: int | None = None,
):
    """The model and its processor, on the CPU or the current GPU.

    A folder with `adapter_config.json` is loaded as its base model with the adapter merged in, so that training may go
    on from it or score with it like from any other model. Without a processor of its own it has its base's. So has a
    subfolder: that of the published model of its family (`BASE_PROCESSORS`).

    Args:
        path: a hub id, or a folder in Hugging Face format, with //subfolder and @revision where needed.
        dtype: of the weights; of a quantised model's vision tower, projector and head, and of what it computes in.
        revision: of the hub id; the same as @revision behind it.
        quantize: None, or "4bit" (nf4 with double quantisation) or "8bit" for the linear layers of the language model.
            Such a model stays on its device and learns through an adapter only (`lora_config`).
        image_size: pixels a side of the square that an InternVL sees of each frame, where it is to be another than its
            processor's own (VQAThinker trains with 448 and scores with 560).

    Returns:
        (model, processor)

    Raises:
        ModelError: an unknown dtype or quantisation; an adapter that is to be quantised; an image_size that does not
            fit, or for a model of another family; a subfolder that is not there
            (the message lists those that are); two revisions; whatever makes the folder or hub id no model that
            transformers can load.

    Example:
        >>> model, processor = load_model("ByteDance/Q-Insight//vqinsight-comp", "bfloat16")  # doctest: +SKIP
    """
    if dtype not in DTYPES:
        raise ModelError(f"dtype must be one of {sorted(DTYPES)}, got {dtype!r}")
    if quantize is not None and quantize not in QUANTIZATIONS:
        raise ModelError(f"quantize must be None or one of {list(QUANTIZATIONS)}, got {quantize!r}")
    name, subfolder, named_revision = name_parts(path)
    if revision and named_revision and revision != named_revision:
        raise ModelError(f"{path}: names the revision {named_revision!r}, but revision={revision!r} is given too")
    revision = revision or named_revision
    folder = Path(name)
    if folder.is_dir() and not subfolder and not _holds_model(folder):
        raise ModelError(f"{path}: neither config.json nor adapter_config.json is there; expected a model folder")
    if not folder.is_dir() and (folder.is_absolute() or name.startswith((".", "results/", "runs/", "data/"))):
        raise ModelError(f"{path}: no such model folder")
    if subfolder:
        name, revision = _subfolder(name, subfolder, revision), None
        folder = Path(name)
    if quantize and _is_adapter(folder):
        raise ModelError(f"{path}: an adapter cannot be loaded in {quantize}; merge it first: vqa merge {path} OUTPUT")
    try:
        if _is_adapter(folder):
            model, processor = _merged(folder, DTYPES[dtype])
        else:
            # First, because it is small: weights for which there is no processor need not be read.
            processor = _processor(name, revision, lacking=bool(subfolder) and not _has_processor(folder))
            model = _whole(name, DTYPES[dtype], revision, quantize)
    except ModelError:
        raise
    except Exception as error:  # OSError, ValueError, KeyError, SafetensorError: each library has its own
        raise ModelError(f"{path}: cannot be loaded as a model with its processor ({_first_line(error)})") from error
    processor.tokenizer.padding_side = "left"
    if image_size is not None:
        try:
            family(processor).see_squares(model, processor, image_size)
        except ValueError as error:
            raise ModelError(f"{path}: {error}") from None
    return model, processor


def name_parts(path: str | Path) -> tuple[str, str, str | None]:
    """A model's name as hub id or folder, subfolder ("" for none) and revision (None for none).

    A folder that exists under the whole name is that folder, whatever signs its name has.

    Example:
        >>> name_parts("ByteDance/Q-Insight//vqinsight-comp@main")
        ('ByteDance/Q-Insight', 'vqinsight-comp', 'main')
        >>> name_parts("Qwen/Qwen2.5-VL-7B-Instruct")
        ('Qwen/Qwen2.5-VL-7B-Instruct', '', None)
    """
    name, _, subfolder = str(path).partition("//")
    if Path(name, subfolder).is_dir():
        return name, subfolder.strip("/"), None
    if subfolder:
        subfolder, _, revision = subfolder.partition("@")
    else:
        name, _, revision = name.partition("@")
    return name, subfolder.strip("/"), revision or None


def _subfolder(name: str, subfolder: str, revision: str | None) -> str:
    """The local folder of a subfolder's files, downloaded where it is one of a hub repository."""
    where = f"{name}//{subfolder}"
    if Path(name).is_dir():
        if revision:
            raise ModelError(f"{where}@{revision}: a folder has no revisions")
        files = [str(file.relative_to(name)) for file in Path(name).rglob("*.json")]
        folder = Path(name) / subfolder
    else:
        try:
            files = list_repo_files(name, revision=revision)
            wanted = [f"{subfolder}/{ending}" for ending in ("*.json", "*.jinja", "*.txt", "*.safetensors")]
            folder = Path(snapshot_download(name, revision=revision, allow_patterns=wanted)) / subfolder
        except Exception as error:  # no network, no such repository, no such revision, no permission
            raise ModelError(f"{where}: cannot be read from the hub ({_first_line(error)})") from error
    there = sorted({str(Path(file).parent) for file in files if Path(file).name in MODEL_FILES} - {"."})
    if subfolder not in there:
        raise ModelError(f"{where}: no such subfolder with a model; there are: {', '.join(there) or 'none'}")
    return str(folder)


def _processor(name: str, revision: str | None, lacking: bool):
    if not lacking:
        return AutoProcessor.from_pretrained(name, revision=revision)
    kind = json.loads((Path(name) / "config.json").read_text()).get("model_type")
    if kind not in BASE_PROCESSORS:
        raise ModelError(f"{name}: has no processor, and no base is known for a model of type {kind!r}")
    base = BASE_PROCESSORS[kind]
    try:
        return AutoProcessor.from_pretrained(base)
    except Exception as error:
        reason = _first_line(error)
        raise ModelError(
            f"{name}: has no processor, and that of its base {base} cannot be loaded ({reason})"
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def merge_adapter(adapter: str | Path, output: str | Path, dtype: str = "bfloat16") -> None:
    """Write an adapter's base model with the adapter merged in, and its processor, as a model folder of its own.

    Args:
        adapter: a folder with `adapter_config.json`, which names the base.
        output: a new or empty folder.
        dtype: what the base is loaded, merged and written in, also after training on a quantised base.

    Raises:
        ModelError: a folder that holds no adapter; an output that is not empty; whatever `load_model` refuses.
    """
    adapter, output = Path(adapter), Path(output)
    if not _is_adapter(adapter):
        raise ModelError(f"{adapter}: no adapter_config.json is there; expected the folder of an adapter")
    check_new_folder(output)
    model, processor = load_model(adapter, dtype)
    model.save_pretrained(output)
    processor.save_pretrained(output)


def check_new_folder(folder: Path) -> None:
    """Raises ModelError for a folder to write a model to that is neither new nor empty."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ModelError(f"{folder}: is there already; expected a new or an empty folder")


def _holds_model(folder: Path) -> bool:
    return any((folder / name).exists() for name in MODEL_FILES)


def _has_processor(folder: Path) -> bool:
    return any(folder.glob("*processor_config.json"))


def _is_adapter(folder: Path) -> bool:
    return (folder / "adapter_config.json").exists()


def _device() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def _whole(path: str | Path, dtype: torch.dtype, revision: str | None, quantize: str | None = None):
    if quantize is None:
        return AutoModelForImageTextToText.from_pretrained(path, dtype=dtype, revision=revision).to(_device())
    model = AutoModelForImageTextToText.from_pretrained(
        path,
        dtype=dtype,
        revision=revision,
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=quantize == "4bit",
            load_in_8bit=quantize == "8bit",
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
            llm_int8_skip_modules=UNQUANTIZED,
        ),
        device_map={"": _device()},  # bitsandbytes forbids moving the model afterwards
    )
    if _device().type == "cpu":
        # With AVX512-BF16 the first forward in eval mode packs 4-bit weights for inference, for good: the next training
        # step then fails ("a view of a leaf Variable that requires grad is being used in an in-place operation").
        for module in model.modules():
            if hasattr(module, "support_avx512bf16_for_cpu"):
                module.support_avx512bf16_for_cpu = False
    return model


def _merged(folder: Path, dtype: torch.dtype):
    facts = json.loads((folder / "adapter_config.json").read_text())
    base, revision = facts["base_model_name_or_path"], facts.get("revision")
    model = _whole(base, dtype, revision)
    with warnings.catch_warnings():  # peft 0.21 reads a name that transformers 5.23 has renamed
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        model = PeftModel.from_pretrained(model, folder).merge_and_unload().requires_grad_(True)
    if _has_processor(folder):
        return model, AutoProcessor.from_pretrained(folder)
    return model, AutoProcessor.from_pretrained(base, revision=revision)  # peft alone saves no processor


def lora_config(rank: int, alpha: int | None = None, dropout: float = 0.0, model=None) -> LoraConfig:
    """LoRA on every linear layer of the language model, of either family; alpha defaults to twice the rank.

    model: the one that is to be adapted. The projector of a motion branch learns whole, and is saved with the adapter.
    """
    return LoraConfig(
        r=rank,
        lora_alpha=alpha or 2 * rank,
        lora_dropout=dropout,
        target_modules=LORA_TARGETS,
        modules_to_save=["motion_projector"] if model is not None and has_motion(model) else None,
        task_type="CAUSAL_LM",
    )
