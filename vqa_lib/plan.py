"""`vqa plan`: whether a notebook's training step fits a GPU, what its memory goes into, and what to lower if not.

GRPO, supervised training, and stage 3's two parts: the judge's GRPO, and the generator's Diffusion-DPO. Everything is
predicted from shapes and the notebook's parameters; nothing is loaded.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from vqa_lib.notebook import model_path
from vqa_lib.params import find_notebook, resolve_params
from vqa_lib.planning.arithmetic import Operations, Tokens, count_operations, count_tokens
from vqa_lib.planning.generator import generator_shape, predict_generator_memory
from vqa_lib.planning.memory import CONTEXT, SLACK, Memory, predict_memory
from vqa_lib.planning.shapes import ModelShape, PlanError, model_shape
from vqa_lib.planning.supervised import (
    count_supervised_operations,
    predict_supervised_memory,
    supervised_method,
    supervised_workload,
)
from vqa_lib.planning.workload import Method, Workload, method, workload
from vqa_lib.recipes import RECIPES, Recipe
from vqa_lib.training.run import GRPOSettings
from vqa_lib.training.settings import TrainingSettings
from vqa_lib.training.sft import SFTSettings

UNITS = {"GB": 1e9, "GIB": 2**30}
FEWEST = {"max_completion": 128, "max_pixels": 50176, "frames": 4, "max_frames": 4}  # lower makes no sense on a GPU


@dataclass(frozen=True)
class Training:
    """A kind of training, by the functions that plan its step.

    needed: parameters that the notebook must have. settings: what checks them.
    """

    name: str
    needed: tuple[str, ...]
    settings: type[TrainingSettings]
    workload: Callable[[ModelShape, dict, Recipe], Workload]
    method: Callable[[dict], Method]
    memory: Callable[[ModelShape, Workload, Method], Memory]
    operations: Callable[[ModelShape, Workload, Method], Operations]


COMMON = ("model", "queries", "tokens", "lora_rank", "dtype")
GRPO = Training(
    "GRPO",
    (*COMMON, "group", "max_completion", "contrast", "beta"),
    GRPOSettings,
    workload,
    method,
    predict_memory,
    count_operations,
)
SUPERVISED = Training(
    "supervised training",
    COMMON,
    SFTSettings,
    supervised_workload,
    supervised_method,
    predict_supervised_memory,
    count_supervised_operations,
)


@dataclass(frozen=True)
class Plan:
    """A prediction. params: the notebook's, resolved. model_from: what names the model, if not the notebook itself.

    generator: of making clips and of Diffusion-DPO, where the notebook does so on the GPU; the judge is not there then.
    """

    notebook: str
    training: Training
    params: dict
    recipe: Recipe
    shape: ModelShape
    model_from: str
    work: Workload
    memory: Memory
    tokens: Tokens
    operations: Operations
    generator: Memory | None = None

    @property
    def needed(self) -> float:
        """Bytes that a GPU should have."""
        return max(part.needed for part in (self.memory, self.generator) if part is not None)


@dataclass(frozen=True)
class Change:
    """Parameters set otherwise, and what a step would then need. needed: bytes with slack and context."""

    values: dict
    needed: float


def plan_notebook(notebook: str | Path, profile: str = "tiny", overrides=(), files=()) -> Plan:
    """The prediction for one training step of a notebook on a GPU, a process.

    Raises:
        ParamsError: parameters that a run would refuse. PlanError: a notebook that does not train, or a model that
            cannot be planned.

    Example:
        plan_notebook("vq_insight/stage2_natural", "lora").memory.needed / 1e9  # GB
    """
    params, source = resolve_params(notebook, profile, overrides, files), _source(notebook)
    training = SUPERVISED if "SFTSettings.from_params" in source else GRPO
    given = {"model" if name == "judge" else name for name in params}
    if missing := [name for name in training.needed if name not in given]:
        raise PlanError(
            f"{notebook}: expected a notebook with all settings of {training.name}; it has no {', '.join(missing)}"
        )
    try:
        training.settings.from_params(params)
    except ValueError as error:  # what a run would refuse only when it begins to train
        raise PlanError(f"{notebook}: {error}") from None
    recipe = _recipe(notebook, source, params, training)
    model, model_from = _first_model(notebook, source, params, profile)
    shape = model_shape(model_path(model))
    return Plan(
        str(notebook),
        training,
        params,
        recipe,
        shape,
        model_from,
        *_predict(training, shape, params, recipe),
        _generator(params),
    )


def _predict(training: Training, shape: ModelShape, params: dict, recipe: Recipe):
    work, way = training.workload(shape, params, recipe), training.method(params)
    memory = training.memory(shape, work, way)
    return work, memory, count_tokens(work), training.operations(shape, work, way)


def _generator(params: dict) -> Memory | None:
    if "generator" not in params or params["device"] == "cpu":
        return None
    return predict_generator_memory(generator_shape(model_path(params["generator"])), params)


def _source(notebook: str | Path) -> str:
    cells = json.loads(find_notebook(notebook).read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def _recipe(notebook, source: str, params: dict, training: Training) -> Recipe:
    """The recipe that the notebook's code trains by, without the contrast group where the temporal reward is off."""
    names = [name.format_map(params) for name in re.findall(r'RECIPES\[f?"([^"]+)"\]', source)]
    names += [params[name] for name in re.findall(r"RECIPES\[(\w+)\]", source) if name in params]
    if unknown := [name for name in names if name not in RECIPES]:
        raise PlanError(f"{notebook}: there is no recipe {unknown[0]!r}")
    # One without rewards is for supervised training; where there are two, the other is what its model is asked before.
    recipes = [RECIPES[name] for name in names if bool(RECIPES[name].rewards) == (training is GRPO)]
    if len(recipes) != 1:
        raise PlanError(f'{notebook}: {training.name}: expected one RECIPES["name"] in its code, found {len(recipes)}')
    (recipe,) = recipes
    return recipe.without("temporal") if params.get("temporal") is False and "temporal" in recipe.rewards else recipe


def _first_model(notebook, source: str, params: dict, profile: str) -> tuple[str, str]:
    """The model that training starts from, and what names it if not the notebook itself.

    Where that is the run of an earlier stage, what that stage starts from: it has the shape of the one that it makes.
    """
    model = params.get("model") or params.get("judge") or ("" if params.get("warm_up", True) else params["cold_model"])
    if model:
        return model, ""
    found = re.search(r'find_run\("([^"]+)"', source)
    if found is None:
        raise PlanError(f"{notebook}: model: expected a hub id or a folder, found none")
    earlier = found[1]
    model, _ = _first_model(earlier, _source(earlier), resolve_params(earlier, profile), profile)
    return model, f"what {earlier} starts from, profile {profile}"


def parse_size(text: str) -> float:
    """Bytes of a size such as "24GB" (10^9 bytes) or "24GiB" (2^30).

    Raises:
        PlanError: anything else.

    Example:
        >>> parse_size("24GB")
        24000000000.0
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(GB|GiB)", text.strip(), re.IGNORECASE)
    if found is None or not float(found[1]):
        raise PlanError(f"--gpu: expected a size such as 24GB or 24GiB, got {text!r}")
    return float(found[1]) * UNITS[found[2].upper()]


def advise(plan: Plan, gpu: float) -> list[Change]:
    """What to set otherwise so that a step needs at most `gpu` bytes: single changes, the most effective first.

    Each parameter is lowered until the step fits, or as far as makes sense. Where none is enough alone, a last entry
    puts them together in that order, as many as it takes (or all, if even they are not enough).
    """
    levers = _levers(plan.params, plan.work)
    singles = [change for values in levers if (change := _lowered(plan, {}, values, gpu))]
    singles = [change for change in singles if change.needed < 0.99 * plan.memory.needed]
    singles.sort(key=lambda change: change.needed)
    if not singles or singles[0].needed <= gpu:
        return singles
    together = singles[0]
    for change in singles[1:]:
        if together.needed <= gpu:
            break
        steps = next(lever for lever in levers if lever[0].keys() == change.values.keys())
        better = _lowered(plan, together.values, steps, gpu)
        together = better if better and better.needed < together.needed else together
    return [*singles, together] if len(together.values) > len(singles[0].values) else singles


def _levers(params: dict, work: Workload) -> list[list[dict]]:
    """For each parameter that memory depends on, its lower values, the gentlest first."""
    frames = "frames" if params.get("frames") else "max_frames"
    floors = {"tokens": work.prompt + work.completion} | {
        name: FEWEST[name] for name in ("max_completion", "max_pixels", frames)
    }
    levers = []
    for name, floor in floors.items():
        value, lower = params[name], []
        while value > floor:
            value = max(floor, value // 2)
            lower.append({name: value})
        levers.append(lower)
    rank = params["lora_rank"] or 16
    if not params["lora_rank"]:
        levers.append([{"lora_rank": rank}])
    if not params.get("quantize"):
        levers.append([{"quantize": "4bit", "lora_rank": rank}])
    return [lever for lever in levers if lever]


def _lowered(plan: Plan, held: dict, steps: list[dict], gpu: float) -> Change | None:
    change = None
    for values in steps:
        together = held | values
        memory = _predict(plan.training, plan.shape, plan.params | together, plan.recipe)[1]
        change = Change(together, memory.needed)
        if memory.needed <= gpu:
            break
    return change


def plan_text(plan: Plan, gpu: float | None = None) -> str:
    """The plan as tables: memory by part, tokens, operations; with `gpu` (bytes), whether it fits and what to lower."""
    memory, work, shape = plan.memory, plan.work, plan.shape
    named = f" ({plan.model_from})" if plan.model_from else ""
    divided = plan.params.get("accelerate_config")
    unverified = f"\nHow {divided} divides memory: from its description, never measured." if divided else ""
    processes = f"each of {plan.params.get('processes') or 1} process(es)"
    lines = [
        f"{plan.notebook}, one step of {plan.training.name}, {processes}. A prediction:",
        "computed from shapes, for clips and completions as long as the parameters allow; nothing was run."
        + unverified,
        f"model: {shape.name}{named}, {shape.parameters:,} parameters ({shape.source})",
        f"prompt: {work.prompt:,} tokens, {work.clip.visual:,} of them visual",
        "",
        _memory_table(memory),
        _peak(memory),
        "",
        _tokens_table(plan.tokens, len(work.pieces()), len(work.blocks()) if plan.training is GRPO else 0),
        "",
        _operations_table(plan.operations),
        *_generator_lines(plan),
    ]
    return "\n".join(lines if gpu is None else [*lines, "", *_verdict(plan, gpu)])


def _peak(memory: Memory) -> str:
    return (
        f"peak {_gb(memory.peak)} GB in the phase: {memory.phase}; to have: {_gb(memory.needed)} GB"
        f" (with {SLACK:.0%} for the allocator and {_gb(CONTEXT)} GB for the GPU's context)"
    )


def _generator_lines(plan: Plan) -> list[str]:
    """What is predicted of the generator that a notebook tunes."""
    params = plan.params
    if "generator" not in params:
        return []
    if plan.generator is None:
        return ["", f"The generator is on the device {params['device']} and takes nothing of the GPU."]
    named = f"{params['generator']} in {params['generator_dtype']}"
    title = f"The generator {named}, alone on the GPU: making clips, Diffusion-DPO"
    return ["", title, "", _memory_table(plan.generator), _peak(plan.generator)]


def _memory_table(memory: Memory) -> str:
    parts = list(dict.fromkeys(part for phase in memory.phases.values() for part in phase))
    rows = [[part, *(_gb(phase[part]) if part in phase else "" for phase in memory.phases.values())] for part in parts]
    rows.append(["sum", *(_gb(sum(phase.values())) for phase in memory.phases.values())])
    return tabulate(rows, ["GB", *memory.phases], disable_numparse=True, colalign=_columns(len(memory.phases)))


def _tokens_table(tokens: Tokens, pieces: int, blocks: int) -> str:
    rows = [
        ("prompts, each once", tokens.prompts),
        ("prompts over the pieces", tokens.prompts_in_pieces),
        ("completions", tokens.completions),
        ("contrast: prompts and completions", tokens.contrast),
    ]
    title = f"tokens a step ({pieces} pieces{f', sampled in {blocks} blocks' if blocks else ''})"
    return tabulate([(name, f"{count:,}") for name, count in rows], [title, ""], colalign=_columns(1))


def _operations_table(operations: Operations) -> str:
    names = {"vision": "vision encoding", "prefill": "prefill", "decode": "decoding"}
    names |= {"reference": "reference", "loss": "loss, forward and backward"}
    found = {said: getattr(operations, name) for name, said in names.items()}
    rows = [(said, f"{count / 1e12:,.1f}") for said, count in found.items() if count]
    rows.append(("sum", f"{operations.total / 1e12:,.1f}"))
    return tabulate(rows, ["10^12 operations (FLOPs) a step", ""], disable_numparse=True, colalign=_columns(1))


def _verdict(plan: Plan, gpu: float) -> list[str]:
    if plan.needed <= gpu:
        return [f"fits {_gb(gpu)} GB, with {_gb(gpu - plan.needed)} GB left"]
    if plan.generator and plan.generator.needed > gpu:
        lower = f"does NOT fit {_gb(gpu)} GB: the generator needs {_gb(plan.generator.needed - gpu)} GB too much; lower"
        lines = [f"{lower} clip_frames, or width and height"]
        return lines if plan.memory.needed <= gpu else [*lines, *_advice(plan, gpu)]
    return _advice(plan, gpu)


def _advice(plan: Plan, gpu: float) -> list[str]:
    rows = [
        (
            ", ".join(f"{name}={value}" for name, value in change.values.items()),
            _gb(change.needed),
            "yes" if change.needed <= gpu else "no",
        )
        for change in advise(plan, gpu)
    ]
    table = tabulate(rows, ["set", "GB needed", "fits"], disable_numparse=True, colalign=("left", "right", "left"))
    return [f"does NOT fit {_gb(gpu)} GB: {_gb(plan.memory.needed - gpu)} GB too much. What would help:", "", table]


def _gb(size: float) -> str:
    return f"{size / 1e9:.2f}"


def _columns(numbers: int) -> tuple[str, ...]:
    return ("left", *["right"] * numbers)
