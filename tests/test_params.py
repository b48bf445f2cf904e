"""Parameters: what a cell may declare, what each source may set, and that the checkout's own files obey."""

import json
import re

import nbformat
import pytest
import yaml

from vqa_lib.params import (
    TYPES,
    Parameter,
    ParamsError,
    check_values,
    find_notebook,
    notebook_names,
    notebook_params,
    parse_override,
    profiles,
    read_params_file,
    resolve_params,
)
from vqa_lib.paths import PACKAGE

CELL = """\
# How large the run is.
profile: str = "tiny"  # size of the run
seed: int = 0
rate: float = 1.0e-3  # learning rate, # of the optimizer
count: int = 8
loud: bool = False
counts: list[int] = [1, 2]
rates: list[float] = [
    0.5,
    -1.0,
]  # several
names: list[str] = []
limit: int | None = None
bound: float | None = 2.0
model: str | None = "a # b"  # hub id
"""


def write_notebook(path, *sources, tags=("parameters",)):
    """A notebook of code cells, the first with the tags."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.cells[0].metadata["tags"] = list(tags)
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A checkout with two notebooks, a params file and two profiles."""
    monkeypatch.setenv("VQA_PROJECT", str(tmp_path))
    write_notebook(tmp_path / "notebooks" / "paper" / "one.ipynb", CELL)
    write_notebook(tmp_path / "notebooks" / "two.ipynb", 'profile: str = "tiny"\nseed: int = 0\ndepth: int = 2')
    write_notebook(tmp_path / "notebooks" / "draft.ipynb", "x = 1", tags=())
    (tmp_path / "params" / "profiles").mkdir(parents=True)
    (tmp_path / "params" / "paper").mkdir()
    (tmp_path / "params" / "paper" / "one.yaml").write_text("count: 16\nrate: 2\nlimit: 5\n")
    (tmp_path / "params" / "profiles" / "large.yaml").write_text("count: 32\ndepth: 9\n")
    (tmp_path / "params" / "profiles" / "medium.yaml").write_text("# nothing\n")
    return tmp_path


def test_cell_is_read(project):
    parameters = notebook_params(project / "notebooks" / "paper" / "one.ipynb")
    assert list(parameters)[:3] == ["profile", "seed", "rate"]
    assert parameters["seed"] == Parameter("seed", "int", 0, "")
    assert parameters["rate"] == Parameter("rate", "float", 0.001, "learning rate, # of the optimizer")
    assert parameters["rates"] == Parameter("rates", "list[float]", [0.5, -1.0], "several")
    assert parameters["model"] == Parameter("model", "str | None", "a # b", "hub id")
    assert {parameter.type for parameter in parameters.values()} == set(TYPES)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x = 1", "line 2: expected `name: type = literal"),
        ("x: int", "default of x must be a literal, found none"),
        ("x: int = y", "must be a literal, found y"),
        ("x: int = 2 * 3", "must be a literal"),
        ("x: float = float('inf')", "must be a literal"),
        ("x: float = 1e999", "declared float, but its default is float inf"),
        ("x: str = f'{y}'", "must be a literal"),
        ("x: int = True", "declared int, but its default is bool True"),
        ("x: float = 1", "declared float, but its default is int 1"),
        ("x: int = None", "its default is null"),
        ("x: list[int] = [1, 2.0]", "its default is list"),
        ("x: list[int] = (1, 2)", "its default is tuple"),
        ("x: dict = {}", "the type of x must be one of int,"),
        ("x: None | int = 1", "the type of x must be one of"),
        ("y.x: int = 1", "expected `name: type"),
        ("import os", "expected `name: type = literal  # help`, found `import os`"),
        ("print(1)", "expected `name: type"),
        ("x: int = = 1", "line 2: not Python"),
        ("%matplotlib inline", "line 2: not Python"),
        ("seed: int = 1", "line 2: seed is declared twice"),
    ],
)
def test_cell_with_anything_else(tmp_path, line, message):
    path = write_notebook(tmp_path / "book.ipynb", f"seed: int = 0\n{line}")
    with pytest.raises(ParamsError, match=re.escape(message)) as raised:
        notebook_params(path)
    assert str(path) in str(raised.value)
    assert "line 2" in str(raised.value)


def test_no_or_several_cells(tmp_path):
    path = write_notebook(tmp_path / "book.ipynb", "x: int = 1", tags=())
    with pytest.raises(ParamsError, match=r"book.ipynb: expected one code cell tagged 'parameters', found 0"):
        notebook_params(path)
    notebook = nbformat.read(write_notebook(path, "x: int = 1", "y: int = 1"), 4)
    notebook.cells[1].metadata["tags"] = ["parameters"]
    nbformat.write(notebook, path)
    with pytest.raises(ParamsError, match="found 2"):
        notebook_params(path)
    for text in ("no json", "[]", '{"cells": 3}'):
        path.write_text(text)
        with pytest.raises(ParamsError, match=r"book.ipynb: not a Jupyter notebook"):
            notebook_params(path)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("seed", 3, 3),
        ("rate", 2, 2.0),
        ("rate", 1e-6, 1e-6),
        ("rates", [1, 2.5], [1.0, 2.5]),
        ("bound", 1, 1.0),
        ("bound", None, None),
        ("limit", None, None),
        ("names", ["a"], ["a"]),
        ("loud", True, True),
    ],
)
def test_values_that_fit(project, name, value, expected):
    checked = check_values(project / "notebooks" / "paper" / "one.ipynb", {name: value}, "here")
    assert checked == {name: expected}
    assert repr(checked[name]) == repr(expected)  # 1 == 1.0 and True == 1 would pass above


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("seed", True, "here: seed: expected int, found bool True"),
        ("seed", 1.0, "expected int, found float 1.0"),
        ("seed", None, "expected int, found null"),
        ("rate", "1e-6", "expected float, found str '1e-6'; write 1.0e-6"),
        ("rate", "2.5e3", "write 2.5e+3"),
        ("bound", "1E6", "write 1.0e+6"),
        ("rate", True, "expected float, found bool True"),
        ("rate", float("nan"), "expected float, found float nan"),
        ("loud", 1, "expected bool, found int 1"),
        ("profile", 7, "expected str, found int 7; put it in quotes"),
        ("names", "a", "expected list[str], found str 'a'"),
        ("names", [1], "expected list[str], found list [1]"),
        ("counts", [1, True], "expected list[int]"),
        ("limit", 1.5, "expected int | None, found float 1.5"),
        ("sede", 1, "here: unknown parameter 'sede'; did you mean seed?"),
        ("zzz", 1, "unknown parameter 'zzz'; known: profile, seed"),
    ],
)
def test_values_that_do_not_fit(project, name, value, message):
    with pytest.raises(ParamsError, match=re.escape(message)):
        check_values(project / "notebooks" / "paper" / "one.ipynb", {name: value}, "here")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed=007", 7),
        ("seed=-1", -1),
        ("rate=1e-6", 1e-6),
        ("rate=2", 2.0),
        ("loud=True", True),
        ("loud=false", False),
        ("profile=null", "null"),
        ("model=null", None),
        ("model=a=b, c", "a=b, c"),
        ("model=", ""),
        ("limit=null", None),
        ("limit=4", 4),
        ("bound=3", 3.0),
        ("counts=[3]", [3]),
        ("rates=[1, 2.5]", [1.0, 2.5]),
        ('names=["x"]', ["x"]),
    ],
)
def test_override(project, text, expected):
    name, value = parse_override(text, notebook_params(project / "notebooks" / "paper" / "one.ipynb"))
    assert name == text.partition("=")[0]
    assert repr(value) == repr(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed", "-p: expected name=value, found 'seed'"),
        ("sed=1", "-p: unknown parameter 'sed'; did you mean seed?"),
        ("seed=1.0", "-p: seed: expected int, found '1.0'"),
        ("seed=null", "expected int, found 'null'"),
        ("rate=nan", "expected float, found 'nan'"),
        ("rate=fast", "expected float, found 'fast'"),
        ("loud=1", "expected bool: true or false, found '1'"),
        ("counts=3", "expected list[int] as JSON, found '3'"),
        ("counts=[1.5]", "expected list[int] as JSON"),
        ("counts=1,2", "expected list[int] as JSON"),
        ("limit=none", "expected int | None, found 'none'"),
    ],
)
def test_override_that_does_not_fit(project, text, message):
    with pytest.raises(ParamsError, match=re.escape(message)):
        parse_override(text, notebook_params(project / "notebooks" / "paper" / "one.ipynb"))


def test_sources_override_each_other_in_order(project):
    def values(*names, **arguments):
        resolved = resolve_params("paper/one", **arguments)
        return [resolved[name] for name in names]

    file = project / "mine.yaml"
    file.write_text("seed: 4\ncount: 64\n")
    other = project / "other.yaml"
    other.write_text("seed: 5\n")
    assert values("profile", "seed", "count", "rate") == ["tiny", 0, 8, 0.001]
    assert values("profile", "count", "rate", "limit", profile="large") == ["large", 32, 2.0, 5]
    assert values("profile", "count", profile="medium") == ["medium", 16]
    assert values("seed", "count", profile="large", files=[file]) == [4, 64]
    assert values("seed", "count", files=[file, other], overrides=["count=1", "count=2"]) == [5, 2]
    tiny = project / "params" / "profiles" / "tiny.yaml"
    tiny.write_text("count: 3\n")
    assert values("profile", "count", "rate") == ["tiny", 3, 0.001]
    assert profiles() == ["tiny", "large", "medium"]
    tiny.unlink()
    assert resolve_params("two", "large") == {"profile": "large", "seed": 0, "depth": 9}
    assert list(resolve_params("paper/one", "large")) == list(notebook_params(find_notebook("paper/one")))


def test_bad_sources(project):
    file = project / "mine.yaml"

    def fails(message, text="", **arguments):
        file.write_text(text)
        with pytest.raises(ParamsError, match=message):
            resolve_params("paper/one", **{"files": [file], **arguments})

    fails("unknown profile 'huge'; the profiles are: tiny, large, medium", profile="huge")
    fails(r"mine\.yaml: unknown parameter 'cuont'; did you mean count or counts\?", "cuont: 1")
    fails(r"mine\.yaml: rate: expected float, found str '1e-6'; write 1\.0e-6", "rate: 1e-6")
    fails(r"mine\.yaml: profile: this run has the profile 'tiny'; choose it with --profile", "profile: large")
    fails("-p: profile: this run has the profile 'large'", profile="large", overrides=["profile=tiny"])
    fails("missing.yaml: not a readable params file", files=[project / "missing.yaml"])
    overlay = project / "params" / "profiles" / "large.yaml"
    overlay.write_text("depht: 1")
    fails(r"params/profiles/large\.yaml: unknown parameter 'depht'; did you mean depth", profile="large")
    overlay.write_text("count: many\ndepth: 9")
    fails(r"params/profiles/large\.yaml: count: expected int, found str 'many'", profile="large")
    (project / "params" / "paper" / "one.yaml").write_text("depth: 1")
    fails(r"params/paper/one\.yaml: unknown parameter 'depth'", profile="medium")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", r"expected lines `name: value`, found a list"),
        ("word", "found a str"),
        ("a: {b: 1}", "a: expected flat lines"),
        ("on: 1", "True: expected flat lines"),
        ("a: 1\nb: 2\na: 3", "line 3: a is given twice"),
        ("a: [1", "not YAML"),
        ("a: !!python/object:os.system x", "not YAML"),
    ],
)
def test_files_that_are_not_flat_yaml(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError, match=message) as raised:
        read_params_file(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_notebooks_are_found(project, monkeypatch):
    path = (project / "notebooks" / "paper" / "one.ipynb").resolve()
    names = ["paper/one", "paper/one.ipynb", "notebooks/paper/one.ipynb", "./notebooks/paper/one", path]
    assert [find_notebook(name) for name in names] == [path] * len(names)
    monkeypatch.chdir(project / "notebooks" / "paper")
    assert find_notebook("one.ipynb") == path
    assert notebook_names() == ["draft", "paper/one", "two"]
    write_notebook(project / "outside.ipynb", CELL)
    for name in ("one/paper", "paper", "outside", "../outside"):
        with pytest.raises(ParamsError, match=f"no notebook '{name}'; the notebooks are: draft, paper/one, two"):
            find_notebook(name)


# The checkout's own notebooks and params files.
ROOT = PACKAGE.parent
NOTEBOOKS = [path for path in sorted(ROOT.glob("notebooks/**/*.ipynb")) if ".ipynb_checkpoints" not in path.parts]
CONFIGS = {"profiles", "accelerate", "tables", "clusters"}  # for all notebooks, for accelerate, for `vqa tables`
PARAMS_FILES = [path for path in sorted(ROOT.glob("params/**/*.yaml")) if not CONFIGS & set(path.parts)]


@pytest.fixture
def checkout(monkeypatch):
    monkeypatch.setenv("VQA_PROJECT", str(ROOT))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook(path, checkout):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    parameters = notebook_params(path)
    assert parameters["profile"].default == "tiny"
    assert parameters["seed"].type == "int"
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            assert not cell["outputs"], source
            assert cell["execution_count"] is None, source
            assert not re.search(r"^\s*(async\s+)?(def|class)\s", source, re.MULTILINE), source


@pytest.mark.parametrize("path", PARAMS_FILES, ids=lambda path: path.stem)
def test_every_params_file(path, checkout):
    notebook = find_notebook(path.relative_to(ROOT / "params").with_suffix(""))
    check_values(notebook, read_params_file(path), str(path))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_profile_of_every_notebook(path, checkout):
    for profile in profiles():
        assert resolve_params(path, profile)["profile"] == profile
    # Opened by hand and run by `vqa run`, a notebook has the same params and so the same run folder.
    assert resolve_params(path) == {name: parameter.default for name, parameter in notebook_params(path).items()}


def test_yaml_reads_small_floats_as_the_message_says():
    assert yaml.safe_load("[1e-6, 1.0e-6, 1.0e6, 1.0e+6]") == ["1e-6", 1e-6, "1.0e6", 1e6]
