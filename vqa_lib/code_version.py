"""Which code a run rests on, so that a change of code makes anew what depends on it and nothing else.

A run depends on its notebook, on the modules that the notebook imports and on those that these import; of the rewards
on those of its recipe (its parameter `method`, or the recipes that it names), of the published tables on those that it
names. A name may be put together from parameters, as f"vq_insight/{task}". Comments, docstrings and layout do not
count, nor does the parameters cell, whose values are a run's own.
"""

import ast
import hashlib
import json
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

from vqa_lib.paths import PACKAGE, project

REWARDS_PACKAGE = "vqa_lib.rewards"
BOOKKEEPING = ("vqa_lib.code_version",)  # it looks at all rewards and computes nothing of a run


def code_files(notebook: Path, params: dict) -> dict[str, str]:
    """Each file that a run of the notebook rests on -> the digest of what it does.

    **Source**: ours. notebook: an .ipynb of the checkout. Names are relative to the checkout or the package's parent.

    Example:
        code_files(Path("notebooks/finger/grpo.ipynb"), {"method": "finger"})["vqa_lib/rewards/choice.py"]
    """
    trees = [ast.parse(source) for source in _cells(notebook)]
    texts = {text for tree in trees for text in _texts(tree, params)}
    modules = _closure(frozenset(name for tree in trees for name in _imports(tree)))
    if REWARDS_PACKAGE in modules:
        modules |= _closure(_reward_modules([params["method"]] if "method" in params else texts))
    files = {file.relative_to(PACKAGE.parent).as_posix(): _digest_of(file) for file in map(_file, modules) if file}
    for name in texts:
        table = PACKAGE / "published" / f"{name}.csv"
        if "/" not in name and table.is_file():
            files[f"vqa_lib/published/{name}.csv"] = _digest(table.read_bytes())
    whole = "\n".join(_without_words(tree) for tree in trees)
    return dict(sorted(files.items())) | {f"notebooks/{_below_notebooks(notebook)}": _digest(whole.encode())}


def changed_since(folder: Path, notebook: str, params: dict) -> list[str]:
    """The files by which a run folder's code differs from today's; none where its code is not on record.

    notebook: path below `notebooks/` without suffix.

    Raises:
        ValueError: its record cannot be read; the message names the file.
    """
    record, path = folder / "code.json", project() / "notebooks" / f"{notebook}.ipynb"
    if not record.is_file() or not path.is_file():
        return []
    try:
        recorded = json.loads(record.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{record}: not readable JSON ({error})") from None
    return changed(recorded, code_files(path, params))


def first_of(names: list[str]) -> str:
    """To be read.

    Example:
        >>> first_of(["a.py"]), first_of(["a.py", "b.py", "c.py"])
        ('a.py', 'a.py and 2 more')
    """
    return names[0] + (f" and {len(names) - 1} more" if names[1:] else "")


def changed(recorded: dict[str, str], now: dict[str, str]) -> list[str]:
    """The files by which two versions differ.

    Example:
        >>> changed({"a.py": "1", "b.py": "2"}, {"a.py": "1", "b.py": "3", "c.py": "4"})
        ['b.py', 'c.py']
    """
    return sorted(name for name in {*recorded, *now} if recorded.get(name) != now.get(name))


def _below_notebooks(notebook: Path) -> str:
    folder = project().resolve() / "notebooks"
    path = notebook.resolve()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def _cells(notebook: Path) -> Iterator[str]:
    """The code of the cells, without the parameters cell and without what Python cannot read: lines for Jupyter."""
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code" and "parameters" not in cell["metadata"].get("tags", []):
            lines = "".join(cell["source"]).splitlines()
            yield "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _texts(tree: ast.AST, params: dict) -> set[str]:
    """The texts in code, and those that f-strings put together from parameters."""
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and _is_text(node.value)}
    return texts | {_filled(node, params) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)}


def _filled(text: ast.JoinedStr, params: dict) -> str:
    """An f-string with the values of parameters; what is no parameter is left out."""
    values = [part.value if isinstance(part, ast.FormattedValue) else part for part in text.values]
    return "".join(
        str(params.get(part.id, "") if isinstance(part, ast.Name) else getattr(part, "value", "")) for part in values
    )


def _imports(tree: ast.AST) -> set[str]:
    """The modules of this package that code imports, at its top or inside functions, and the packages around them."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    named = [name.split(".") for name in found if name.split(".")[0] == "vqa_lib"]
    return {".".join(parts[:length]) for parts in named for length in range(1, len(parts) + 1)}


@cache
def _closure(names: frozenset[str]) -> frozenset[str]:
    """Modules with all that they import in turn; the rewards' package names every reward and does not count as that."""
    found, waiting = set(), list(names)
    while waiting:
        name = waiting.pop()
        if name not in found and name not in BOOKKEEPING and _file(name):
            found.add(name)
            if name != REWARDS_PACKAGE:
                waiting += _imports_of(name)
    return frozenset(found)


def _reward_modules(names: Collection[str]) -> frozenset[str]:
    """The modules of the rewards of the recipes among names, or of all where none is a recipe."""
    from vqa_lib.recipes import RECIPES
    from vqa_lib.rewards import REWARDS

    recipes = [RECIPES[name] for name in names if name in RECIPES]
    used = {reward for recipe in recipes for reward in recipe.rewards} if recipes else set(REWARDS)
    return frozenset(REWARDS[name].__module__ for name in used)


@cache
def _file(module: str) -> Path | None:
    path = PACKAGE.parent.joinpath(*module.split("."))
    places = [path.with_suffix(".py"), path / "__init__.py"]
    return next((place for place in places if place.is_file()), None)


@cache
def _imports_of(module: str) -> frozenset[str]:
    return frozenset(_imports(ast.parse(_file(module).read_text(encoding="utf-8"))))


@cache
def _digest_of(file: Path) -> str:
    return _digest(_without_words(ast.parse(file.read_text(encoding="utf-8"))).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _without_words(tree: ast.AST) -> str:
    """What code does, as text: comments and layout are no part of a syntax tree, docstrings are taken out."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and body:
            first = body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and _is_text(first.value.value):
                node.body = body[1:]
    return ast.dump(tree)
