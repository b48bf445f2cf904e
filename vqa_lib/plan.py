"""`vqa plan`: whether a notebook's GRPO step fits a GPU, what its memory goes into, and what to lower if it does not.

Everything is predicted from the model's shape and the notebook's parameters; nothing is loaded or run.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from vqa_lib.notebook import model_path
from vqa_lib.params import find_notebook, resolve_params
from vqa_lib.planning.arithmetic import Operations, Tokens, count_operations, count_tokens
from vqa_lib.planning.memory import CONTEXT, SLACK, Memory, predict_memory
from vqa_lib.planning.shapes import ModelShape, PlanError, model_shape
from vqa_lib.planning.workload import Workload, method, workload
from vqa_lib.recipes import RECIPES, Recipe
from vqa_lib.training.run import GRPOSettings

NEEDED = ("model", "queries", "group", "tokens", "max_completion", "contrast", "beta", "lora_rank", "dtype")
UNITS = {"GB": 1e9, "GIB": 2**30}
FEWEST = {"max_completion": 128, "max_pixels": 50176, "frames": 4, "max_frames": 4}  # lower makes no sense on a GPU


@dataclass(frozen=True)
class Plan:
    """A prediction. params: the notebook's, resolved. model_from: what names the model, if not the notebook itself."""

    notebook: str
    params: dict
    recipe: Recipe
    shape: ModelShape
    model_from: str
    work: Workload
    memory: Memory
    tokens: Tokens
    operations: Operations


@dataclass(frozen=True)
class Change:
    """Parameters set otherwise, and what a step would then need. needed: bytes with slack and context."""

    values: dict
    needed: float


def plan_notebook(notebook: str | Path, profile: str = "tiny", overrides=(), files=()) -> Plan:
    """The prediction for one GRPO step of a notebook on a GPU, a process.

    Raises:
        ParamsError: parameters that a run would refuse. PlanError: a notebook that does not train by GRPO, or a model
            that cannot be planned.

    Example:
        plan_notebook("vq_insight/stage2_natural", "lora").memory.needed / 1e9  # GB
    """
    params = resolve_params(notebook, profile, overrides, files)
    if missing := [name for name in NEEDED if name not in params]:
        raise PlanError(f"{notebook}: expected a notebook with all GRPO settings; it has no {', '.join(missing)}")
    try:
        GRPOSettings.from_params(params)
    except ValueError as error:  # what a run would refuse only when it begins to train
        raise PlanError(f"{notebook}: {error}") from None
    source = _source(notebook)
    recipe = _recipe(notebook, source, params)
    model, model_from = params["model"], ""
    if not model:
        model, model_from = _earlier_model(notebook, source, profile)
    shape = model_shape(model_path(model))
    return Plan(str(notebook), params, recipe, shape, model_from, *_predict(shape, params, recipe))


def _predict(shape: ModelShape, params: dict, recipe: Recipe):
    work, way = workload(shape, params, recipe), method(params)
    return work, predict_memory(shape, work, way), count_tokens(work), count_operations(shape, work, way)


def _source(notebook: str | Path) -> str:
    cells = json.loads(find_notebook(notebook).read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def _recipe(notebook, source: str, params: dict) -> Recipe:
    """The recipe that the notebook's code takes, without the contrast group where the temporal reward is off."""
    names = re.findall(r'RECIPES\["([^"]+)"\]', source)
    if len(names) != 1 or names[0] not in RECIPES:
        raise PlanError(f'{notebook}: expected one RECIPES["name"] in its code, found {len(names)}')
    recipe = RECIPES[names[0]]
    return recipe.without("temporal") if params.get("temporal") is False and "temporal" in recipe.rewards else recipe


def _earlier_model(notebook, source: str, profile: str) -> tuple[str, str]:
    """The model that the notebook of the stage before starts from, which has the shape of the one it makes."""
    earlier = re.search(r'find_run\("([^"]+)"', source)
    if earlier is None:
        raise PlanError(f"{notebook}: model: expected a hub id or a folder, found none")
    return resolve_params(earlier[1], profile)["model"], f"what {earlier[1]} starts from, profile {profile}"


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
        memory = _predict(plan.shape, plan.params | together, plan.recipe)[1]
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
    lines = [
        f"{plan.notebook}, one GRPO step, each of {plan.params.get('processes') or 1} process(es). A prediction:",
        "computed from shapes, for clips and completions as long as the parameters allow; nothing was run."
        + unverified,
        f"model: {shape.name}{named}, {shape.parameters:,} parameters ({shape.source})",
        f"prompt: {work.prompt:,} tokens, {work.clip.visual:,} of them visual",
        "",
        _memory_table(memory),
        f"peak {_gb(memory.peak)} GB in the phase: {memory.phase}; to have: {_gb(memory.needed)} GB"
        f" (with {SLACK:.0%} for the allocator and {_gb(CONTEXT)} GB for the GPU's context)",
        "",
        _tokens_table(plan.tokens, len(work.pieces()), len(work.blocks())),
        "",
        _operations_table(plan.operations),
    ]
    return "\n".join(lines if gpu is None else [*lines, "", *_verdict(plan, gpu)])


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
    title = f"tokens a step ({pieces} pieces, sampled in {blocks} blocks)"
    return tabulate([(name, f"{count:,}") for name, count in rows], [title, ""], colalign=_columns(1))


def _operations_table(operations: Operations) -> str:
    names = {"vision": "vision encoding", "prefill": "prefill", "decode": "decoding"}
    names |= {"reference": "reference", "loss": "loss, forward and backward"}
    rows = [(said, f"{getattr(operations, name) / 1e12:,.1f}") for name, said in names.items()]
    rows.append(("sum", f"{operations.total / 1e12:,.1f}"))
    return tabulate(rows, ["10^12 operations (FLOPs) a step", ""], disable_numparse=True, colalign=_columns(1))


def _verdict(plan: Plan, gpu: float) -> list[str]:
    if plan.memory.needed <= gpu:
        return [f"fits {_gb(gpu)} GB, with {_gb(gpu - plan.memory.needed)} GB left"]
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
