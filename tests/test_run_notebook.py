"""Executing notebooks: real kernels, tiny notebooks."""

import json

import pytest
from test_params import write_notebook

from vqa_lib.params import ParamsError, resolve_params
from vqa_lib.results import RunError, run_path
from vqa_lib.run_notebook import environment, run_notebook, tidy

CELL = 'profile: str = "tiny"\nseed: int = 0'
# Values that YAML, papermill's string escapes or the run folder's digest could change on the way to the kernel.
HARD = r"""profile: str = "tiny"
seed: int = 0
rate: float = 1.0e-6
huge: float = 1e+22
whole: float = 1.0
limit: int | None = None
loud: bool = True
texts: list[str] = ["1e-6", "null", "yes", "2024-01-01", "007", "", " a: b # c", "{x}", "say \"no\" \\n\n'ü'", "#"]
rates: list[float] = [1.0e-7, -0.0]
model: str | None = "null"
"""
FINISH = "(folder / 'DONE').write_text('')"


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = tmp_path / "a {place}"  # papermill takes paths for format strings
    folder.mkdir()
    monkeypatch.setenv("VQA_PROJECT", str(folder))
    monkeypatch.setenv("VQA_RESULTS", str(folder / "results"))
    return folder


def write(project, *sources, cell=CELL, name="book"):
    """A notebook whose cells know their run folder; returns that folder."""
    write_notebook(project / "notebooks" / "paper" / f"{name}.ipynb", cell, *sources)
    folder = run_path(f"paper/{name}", resolve_params(f"paper/{name}"))
    sources = [f"from pathlib import Path\nfolder = Path({str(folder)!r})", *sources]
    write_notebook(project / "notebooks" / "paper" / f"{name}.ipynb", cell, *sources)
    return folder


def test_success_with_hard_values(project, capfd, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    record = (
        "import json, os\nassert os.environ['TQDM_MININTERVAL'] == '10' and os.environ['MPLBACKEND'] != 'Agg'\n"
        "from vqa_lib.params import check_values, find_notebook, notebook_params\n"  # as notebook.begin, without torch
        "book = find_notebook('paper/book')\n"
        "values = check_values(book, {name: globals()[name] for name in notebook_params(book)}, 'the notebook')\n"
        "(folder / 'params.json').write_text(json.dumps(values))\n"
        "for step in range(3):\n    print(f'step {step}', flush=True)"
    )
    folder = write(project, record, FINISH, cell=HARD)
    assert run_notebook("paper/book") == folder
    # The same text gives the same digest, so the notebook would find the same run folder.
    assert (folder / "params.json").read_text() == json.dumps(resolve_params("paper/book"))
    assert not (folder / "papermill.log").exists()
    assert "step 2" in capfd.readouterr().out
    executed = json.loads((folder / "executed.ipynb").read_text())
    outputs = [output for cell in executed["cells"] for output in cell.get("outputs", [])]
    streams = [output["text"] for output in outputs if output["output_type"] == "stream"]
    assert str(project) not in json.dumps(executed["metadata"])
    assert streams == ["step 0\nstep 1\nstep 2\n"]

    before = (folder / "executed.ipynb").stat().st_mtime_ns
    assert run_notebook("notebooks/paper/book.ipynb") == folder
    assert "paper/book: done already, in " in capfd.readouterr().out
    assert (folder / "executed.ipynb").stat().st_mtime_ns == before


def test_exception_names_cell_and_copy_and_force_runs_again(project):
    folder = write(project, "raise KeyError('two\\nlines')", FINISH)
    folder.mkdir(parents=True)
    (folder / "DONE").write_text("")
    with pytest.raises(
        RunError, match=r"paper/book: cell \[\d\] failed: KeyError: .*; the executed copy is "
    ) as raised:
        run_notebook("paper/book", force=True)
    assert "\n" not in str(raised.value)
    assert str(folder / "executed.ipynb") in str(raised.value)
    assert not (folder / "DONE").exists()


def test_killed_kernel(project):
    folder = write(project, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", FINISH)
    with pytest.raises(RunError, match=r"paper/book: the kernel was killed \(probably out of memory"):
        run_notebook("paper/book")
    assert not (folder / "DONE").exists()
    assert (folder / "papermill.log").exists()


def test_no_results(project):
    write(project, "print(folder)")
    with pytest.raises(RunError, match=r"paper/book: finished without writing its results: no .*DONE"):
        run_notebook("paper/book")


def test_papermill_that_cannot_start(project, monkeypatch):
    folder = write(project, FINISH)
    monkeypatch.setattr("vqa_lib.run_notebook.PYTHON", "/bin/false")
    folder.mkdir(parents=True)
    (folder / "executed.ipynb").write_text("of an earlier attempt")
    with pytest.raises(RunError, match=r"paper/book: papermill failed: it left no message; .*papermill\.log"):
        run_notebook("paper/book")


def test_nothing_starts_with_bad_arguments(project):
    folder = write(project, FINISH)
    write_notebook(project / "notebooks" / "bare.ipynb", "seed: int = 0")
    (project / "params" / "profiles").mkdir(parents=True)
    (project / "params" / "profiles" / "large.yaml").write_text("seed: 1")
    for message, arguments in {
        "no notebook 'books'; the notebooks are: bare, paper/book": {"name_or_path": "books"},
        "unknown parameter 'sed'; did you mean seed": {"name_or_path": "paper/book", "overrides": ["sed=1"]},
        "unknown profile 'big'; the profiles are: tiny, large": {"name_or_path": "paper/book", "profile": "big"},
        "bare: its parameters cell does not declare profile": {"name_or_path": "bare"},
        "paper/book: there is no params/paper/book.yaml, so it knows the profile tiny only, not large": {
            "name_or_path": "paper/book",
            "profile": "large",
        },
    }.items():
        with pytest.raises(ParamsError, match=message):
            run_notebook(**arguments)
    assert not folder.exists()


def test_environment(monkeypatch):
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "HF_HUB_OFFLINE", "TORCHDYNAMO_DISABLE")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    tiny, large = environment("tiny"), environment("large")
    assert [tiny[name] for name in names] == ["1"] * 4
    assert not set(names) & set(large)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert environment("tiny")["OMP_NUM_THREADS"] == "4"
    assert "MKL_NUM_THREADS" not in environment("tiny")


def test_tidy(tmp_path):
    def stream(name, text):
        return {"output_type": "stream", "name": name, "text": text}

    table = {"output_type": "display_data", "data": {}, "metadata": {}}
    bar = [stream("stderr", f"\r{percent}%|") for percent in range(0, 101, 10)]
    outputs = [stream("stdout", ["a\n", "b\n"]), *bar, stream("stderr", "\n"), stream("stdout", "c\r\n"), table]
    path = tmp_path / "executed.ipynb"
    cells = [{"cell_type": "markdown"}, {"cell_type": "code", "outputs": outputs}]
    path.write_text(json.dumps({"cells": cells, "metadata": {"papermill": {"output_path": str(path), "version": "2"}}}))
    tidy(path, "paper/book")
    expected = [stream("stdout", "a\nb\n"), stream("stderr", "100%|\n"), stream("stdout", "c\r\n"), table]
    assert json.loads(path.read_text())["cells"][1]["outputs"] == expected
    paths = {"input_path": "notebooks/paper/book.ipynb", "output_path": "executed.ipynb", "version": "2"}
    assert json.loads(path.read_text())["metadata"]["papermill"] == paths
