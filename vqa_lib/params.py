"""Parameters of a notebook: declared in its cell tagged `parameters`, set by profile, files and the command line.

The cell is the only declaration. Every other source is checked against it before anything runs, because papermill
passes unknown names on with a mere warning, and YAML reads 1e-6 as text.
"""

import ast
import difflib
import io
import json
import math
import re
import tokenize
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from vqa_lib.paths import project

SCALARS = {"int": int, "float": float, "str": str, "bool": bool}
LISTS = ("list[int]", "list[float]", "list[str]")
TYPES = (*SCALARS, *LISTS, "int | None", "float | None", "str | None")
Value = int | float | str | bool | list | None


class ParamsError(ValueError):
    """Parameters that cannot be used; the message names the notebook or source, the parameter and what was expected."""


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell. type: as written, one of TYPES. help: the comment behind it, "" without one."""

    name: str
    type: str
    default: Value
    help: str


def notebook_names() -> list[str]:
    """All notebooks of the checkout, as paths below `notebooks/` without suffix."""
    root = project() / "notebooks"
    paths = [path.relative_to(root).with_suffix("") for path in root.rglob("*.ipynb")]
    return sorted(path.as_posix() for path in paths if ".ipynb_checkpoints" not in path.parts)


def find_notebook(name_or_path: str | Path) -> Path:
    """The file of a notebook below `notebooks/`.

    Raises:
        ParamsError: there is none of that name; the message lists those there are.

    Example:
        find_notebook("vq_insight/stage1_image")  # also "notebooks/vq_insight/stage1_image.ipynb"
    """
    root = (project() / "notebooks").resolve()
    stem = str(name_or_path).removesuffix(".ipynb")
    for folder in (root, root.parent, Path.cwd()):
        path = (folder / f"{stem}.ipynb").resolve()
        if path.is_file() and path.is_relative_to(root):
            return path
    known = ", ".join(notebook_names()) or f"none below {root}"
    raise ParamsError(f"no notebook {str(name_or_path)!r}; the notebooks are: {known}")


def notebook_id(path: Path) -> str:
    """How run folders and params files call a notebook: its path below `notebooks/` without suffix."""
    return Path(path).resolve().relative_to((project() / "notebooks").resolve()).with_suffix("").as_posix()


def notebook_params(path: str | Path) -> dict[str, Parameter]:
    """The parameters that a notebook declares, in their order.

    Its one code cell tagged `parameters` holds lines `name: type = literal  # help` and nothing else.

    Raises:
        ParamsError: no or several such cells, or a line of another form; the message names notebook and line.

    Example:
        notebook_params("notebooks/vq_insight/stage1_image.ipynb")["seed"].default  # 0
    """
    try:
        cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
        tagged = [cell for cell in cells if "parameters" in cell.get("metadata", {}).get("tags", [])]
    except FileNotFoundError:
        raise ParamsError(f"{_shown(path)}: no such notebook") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ParamsError(f"{_shown(path)}: not a Jupyter notebook") from None
    if len(tagged) != 1 or tagged[0].get("cell_type") != "code":
        raise ParamsError(f"{_shown(path)}: expected one code cell tagged 'parameters', found {len(tagged)} cells")
    source = "".join(tagged[0]["source"])  # a string or a list of lines: the notebook format allows both
    return _parse_cell(source, f"{_shown(path)}, parameters cell")


def _parse_cell(source: str, where: str) -> dict[str, Parameter]:
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        raise ParamsError(f"{where}, line {error.lineno}: not Python ({error.msg})") from None
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    parameters = {}
    for statement in statements:
        line = f"{where}, line {statement.lineno}"
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            raise ParamsError(f"{line}: expected `name: type = literal  # help`, found `{ast.unparse(statement)}`")
        name, kind = statement.target.id, ast.unparse(statement.annotation)
        if kind not in TYPES:
            raise ParamsError(f"{line}: the type of {name} must be one of {', '.join(TYPES)}; found {kind}")
        try:
            default = ast.literal_eval(statement.value)
        except (ValueError, TypeError):
            found = ast.unparse(statement.value) if statement.value else "none"
            raise ParamsError(f"{line}: the default of {name} must be a literal, found {found}") from None
        if not _fits(default, kind):
            raise ParamsError(f"{line}: {name} is declared {kind}, but its default is {_describe(default)}")
        if name in parameters:
            raise ParamsError(f"{line}: {name} is declared twice")
        parameters[name] = Parameter(name, kind, default, comments.get(statement.end_lineno, ""))
    return parameters


def check_values(notebook: str | Path, values: dict, source: str) -> dict:
    """The values, each of the type that the notebook declares; an int for a float becomes a float.

    source: where the values come from, for the message: a file, or "-p".

    Raises:
        ParamsError: a name that the notebook does not declare, or a value of another type.
    """
    parameters = notebook_params(notebook)
    checked = {}
    for name, value in values.items():
        kind = _declared(name, parameters, source).type
        checked[name] = _convert(value, kind)
        if not _fits(checked[name], kind):
            hint = _hint(value, kind)
            raise ParamsError(f"{source}: {name}: expected {kind}, found {_describe(value)}{hint}")
    return checked


def parse_override(text: str, parameters: dict[str, Parameter]) -> tuple[str, Value]:
    """Name and value of a "name=value" from the command line, read as the declared type says.

    Lists are JSON; `null` is None where the type allows it.

    Raises:
        ParamsError: no "=", an unknown name, or text that is no value of the type.

    Example:
        >>> parse_override("beta=4e-2", {"beta": Parameter("beta", "float", 0.0, "")})
        ('beta', 0.04)
    """
    name, equals, written = text.partition("=")
    if not equals:
        raise ParamsError(f"-p: expected name=value, found {text!r}")
    name, kind = name.strip(), _declared(name.strip(), parameters, "-p").type
    if kind.endswith("None") and written == "null":
        return name, None
    base = kind.removesuffix(" | None")
    try:
        if base in LISTS:
            value = _convert(json.loads(written), base)
        elif base == "bool":
            value = {"true": True, "false": False}[written.lower()]
        else:
            value = SCALARS[base](written)
    except (ValueError, KeyError):
        value = None
    if not _fits(value, base):
        form = " as JSON" if base in LISTS else ": true or false" if base == "bool" else ""
        raise ParamsError(f"-p: {name}: expected {kind}{form}, found {written!r}")
    return name, value


def resolve_params(
    notebook: str | Path, profile: str = "tiny", overrides: Iterable[str] = (), files: Iterable[str | Path] = ()
) -> dict[str, Value]:
    """The values a run of a notebook uses, in the order of its cell; a later source overrides an earlier one.

    The cell itself; for profiles other than "tiny" `params/<notebook>.yaml`, where it exists; then
    `params/profiles/<profile>.yaml`; then `files`; then `overrides`, each "name=value". One profile serves all
    notebooks, so names in it that only other notebooks declare are passed over; all other sources are strict.

    Raises:
        ParamsError: an unknown notebook or profile, a file that is not a flat mapping, an unknown name, a wrong type.

    Example:
        resolve_params("vq_insight/stage1_image", overrides=["seed=1"])["seed"]  # 1
    """
    path = find_notebook(notebook)
    parameters = notebook_params(path)
    if profile not in profiles():
        raise ParamsError(f"unknown profile {profile!r}; the profiles are: {', '.join(profiles())}")
    folder, layers = project() / "params", []
    own, overlay = folder / f"{notebook_id(path)}.yaml", folder / "profiles" / f"{profile}.yaml"
    if profile != "tiny" and own.exists():
        layers.append((_shown(own), read_params_file(own)))
    if overlay.exists():
        layers.append((_shown(overlay), _for_notebook(read_params_file(overlay), parameters, _shown(overlay))))
    layers += [(str(file), read_params_file(file)) for file in files]
    layers += [("-p", dict([parse_override(text, parameters)])) for text in overrides]
    resolved = {name: parameter.default for name, parameter in parameters.items()}
    if "profile" in parameters:
        resolved["profile"] = profile
    for source, values in layers:
        values = check_values(path, values, source)
        # The profile decides which files are read, so none of them may name another.
        if values.get("profile", profile) != profile:
            raise ParamsError(f"{source}: profile: this run has the profile {profile!r}; choose it with --profile")
        resolved.update(values)
    return resolved


def profiles() -> list[str]:
    """The names of all profiles, `tiny` first: the notebooks' own defaults, whether or not it has a file."""
    return ["tiny", *sorted({path.stem for path in (project() / "params/profiles").glob("*.yaml")} - {"tiny"})]


def read_params_file(path: str | Path) -> dict:
    """A params file: flat YAML, `name: value`, every name once.

    Raises:
        ParamsError: the file is missing or holds something else.
    """
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
        tree, values = yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path}: not a readable params file ({error})") from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{path}: not YAML ({' '.join(str(error).split())})") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ParamsError(f"{path}: expected lines `name: value`, found a {type(values).__name__}")
    seen = set()
    for key, _ in tree.value:  # the tree, because in the dict the last of two equal names has won already
        if key.value in seen:
            raise ParamsError(f"{path}, line {key.start_mark.line + 1}: {key.value} is given twice")
        seen.add(key.value)
    for name, value in values.items():
        if not isinstance(name, str) or isinstance(value, dict):
            raise ParamsError(f"{path}: {name}: expected flat lines `name: value`")
    return values


def _for_notebook(overlay: dict, parameters: dict[str, Parameter], source: str) -> dict:
    """The part of a profile that a notebook declares; a name that no notebook declares is a slip of the pen."""
    if set(overlay) - set(parameters):
        known = dict(parameters)
        for name in notebook_names():
            try:
                known.update(notebook_params(find_notebook(name)))
            except ParamsError:  # a notebook that is being written must not stop the others
                continue
        for name in overlay:
            _declared(name, known, source)
    return {name: value for name, value in overlay.items() if name in parameters}


def _declared(name: str, parameters: dict[str, Parameter], source: str) -> Parameter:
    if name in parameters:
        return parameters[name]
    close = difflib.get_close_matches(name, parameters)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(parameters)}"
    raise ParamsError(f"{source}: unknown parameter {name!r}; {hint}")


def _fits(value: object, kind: str) -> bool:
    if kind in LISTS:
        return isinstance(value, list) and all(_fits(item, kind[5:-1]) for item in value)
    if kind.endswith(" | None"):
        return value is None or _fits(value, kind.removesuffix(" | None"))
    # `type`, not isinstance: True is an int to Python
    return type(value) is SCALARS[kind] and (kind != "float" or math.isfinite(value))


def _convert(value: object, kind: str) -> object:
    """Ints as floats where floats are declared, so that 1 and 1.0 give the same run folder."""
    if kind == "list[float]" and isinstance(value, list):
        return [_convert(item, "float") for item in value]
    return float(value) if kind.startswith("float") and type(value) is int else value


def _describe(value: object) -> str:
    return "null" if value is None else f"{type(value).__name__} {value!r}"


def _hint(value: object, kind: str) -> str:
    """YAML 1.1 wants a dot and a sign in 1.0e-6, and quotes around text that looks like something else."""
    match = re.fullmatch(r"([+-]?\d+)(\.\d*)?[eE]([+-]?)(\d+)", value) if isinstance(value, str) else None
    if match and "float" in kind:
        whole, fraction, sign, exponent = match.groups()
        return f"; write {whole}{fraction or '.0'}e{sign or '+'}{exponent}"
    return "; put it in quotes" if kind.startswith("str") and not isinstance(value, list | dict | None) else ""


def _shown(path: str | Path) -> str:
    """A path as messages show it: relative to the checkout where it lies inside."""
    resolved, root = Path(path).resolve(), project().resolve()
    return resolved.relative_to(root).as_posix() if resolved.is_relative_to(root) else str(path)
