"""The reference: a page a subject, from the docstrings of its modules."""

from vqa_lib.paths import PACKAGE

# Subpackages are pages of their own; these are the modules beside them, in the order in which data goes.
SUBJECTS = {
    "rewards": ("Rewards", ["rewards"]),
    "metrics": ("Metrics", ["metrics", "metrics_files"]),
    "datasets": ("Data sets", ["datasets"]),
    "records": ("Records and frames", ["records", "video", "frame_cache", "perturb", "pseudo_ranks"]),
    "training_data": ("Recipes, prompts, answers", ["recipes", "prompts", "questions", "answers"]),
    "models": ("Models and rollouts", ["models"]),
    "training": ("Training", ["training"]),
    "planning": ("Planning memory", ["plan", "planning"]),
    "generation": ("Generators", ["generation", "vbench"]),
    "predictions": (
        "Predictions",
        ["answering", "scoring", "score_files", "comparing", "several_answers", "predictions", "ten_benchmarks",
         "unsupervised", "viideo", "attribution"],
    ),
    "entities": (
        "Entity questions",
        ["entity_grammar", "written_questions", "written_reasons", "entity_answers", "entities", "calibration",
         "entity_scores", "entity_defects", "entity_report", "entity_benchmarks", "entity_tables"],
    ),
    "chat": ("Chat models", ["chat", "local_chat"]),
    "notebooks": ("Notebooks and parameters", ["params", "notebook", "run_notebook", "paths"]),
    "results": ("Run folders and workflow", ["results", "workflow", "make_tables", "run_states", "code_version"]),
    "tables": ("Tables and figures", ["tables", "seed_tables", "figures", "reward_figures", "shown_clips"]),
    "report": ("Report, viewers, trace, verify", ["report", "viewing", "trace", "verify"]),
    "miniature": ("The miniature world", ["miniature"]),
}  # fmt: skip
COMMANDS = {"cli", "commands"}  # commands.md describes them


def navigation() -> dict:
    """The section of the site."""
    return {
        "Reference": ["reference/index.md", *({title: f"reference/{name}.md"} for name, (title, _) in SUBJECTS.items())]
    }


def pages() -> dict[str, str]:
    """An index and a page a subject; every module of the package is on exactly one."""
    listed = [module for _, modules in SUBJECTS.values() for module in modules]
    wanted = set(children("")) - COMMANDS
    if sorted(listed) != sorted(wanted):
        raise ValueError(f"reference_pages.SUBJECTS: expected each module once, {set(listed) ^ wanted} differ")
    index = ["# Reference", "", "Every public function and class, by subject, from its docstring. Names that begin "
             "with an underscore are left out.", "", "| subject | modules |", "|---|---|"]  # fmt: skip
    made = {}
    for name, (title, modules) in SUBJECTS.items():
        below = [full for module in modules for full in with_children(module)]
        index.append(f"| [{title}]({name}.md) | {', '.join(f'`{module}`' for module in modules)} |")
        blocks = [f"::: vqa_lib.{module}\n" for module in below]
        made[f"reference/{name}.md"] = f"# {title}\n\n" + "\n".join(blocks)
    return {"reference/index.md": "\n".join(index) + "\n", **made}


def children(package: str) -> list[str]:
    """The modules and subpackages of a subpackage ("": of the whole package) that have a docstring to show."""
    folder = PACKAGE / package.replace(".", "/")
    names = [path.stem for path in folder.glob("*.py")] + [path.parent.name for path in folder.glob("*/__init__.py")]
    return sorted(name for name in names if name != "__init__")


def with_children(module: str) -> list[str]:
    """A module; a subpackage with its modules behind it. An empty __init__.py has nothing to show."""
    folder = PACKAGE / module.replace(".", "/")
    if not folder.is_dir():
        return [module]
    own = [module] if (folder / "__init__.py").stat().st_size else []
    return own + [full for name in children(module) for full in with_children(f"{module}.{name}")]
