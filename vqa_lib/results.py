"""Run folders: what one execution of one notebook leaves behind, and how others find it.

    results/<paper>/<notebook>/<profile>-seed<seed>-<hash of the params>/
        params.json  provenance.json  code.json  metrics.json  predictions/  figures/  tables/  executed.ipynb  DONE

The same params mean the same folder. DONE is written last and is the only thing that says a run is complete; it is not
committed, so a fresh clone shows the committed results but takes none of them for its own work.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from vqa_lib import __version__
from vqa_lib.code_version import changed_since, code_files
from vqa_lib.paths import project, results

# What the execution that opens a run writes to itself; all else in a run folder comes from its inputs.
WRITTEN_BY_EXECUTION = ("executed.ipynb", "papermill.log", "FAILED")
STALE = "STALE"  # a marker beside DONE's place: other code made this run, and its next execution starts afresh
FAILED = "FAILED"  # why its last execution ended without DONE, in one line
LIBRARIES = ["torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes", "av", "numpy", "scipy", "pandas"]


class RunError(RuntimeError):
    """A run that another one needs is missing; the message says which notebook makes it."""


def write_json(path: Path, content: object) -> None:
    """Write whole or not at all: a reader never sees half a file, though several processes write the same one."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    temporary.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def run_name(params: dict) -> str:
    """The folder name for resolved params: profile and seed for people, a hash of everything for machines."""
    digest = hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()[:8]
    return f"{params['profile']}-seed{params['seed']}-{digest}"


def run_path(notebook: str, params: dict) -> Path:
    """notebook: path below `notebooks/` without suffix, such as "vq_insight/stage1_image"."""
    return results() / notebook / run_name(params)


@dataclass
class RunFolder:
    """One run: its folder and the resolved params."""

    path: Path
    params: dict

    @property
    def profile(self) -> str:
        return self.params["profile"]

    @property
    def done(self) -> bool:
        return (self.path / "DONE").exists()

    @property
    def metrics(self) -> dict:
        """What the finished run's metrics.json holds."""
        return json.loads((self.path / "metrics.json").read_text(encoding="utf-8"))

    def file(self, *parts: str) -> Path:
        """A path in the folder; its parent is made."""
        path = self.path.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def finish(self, metrics: dict) -> None:
        """Write metrics.json, then the marker."""
        provenance = json.loads((self.path / "provenance.json").read_text())
        if loading := sys.modules.get("vqa_lib.datasets.loading"):  # tables read no data set, nor wait for the import
            provenance["data"] = dict(sorted(loading.READ.items()))
        provenance["seconds"] = round(time.time() - provenance.pop("started_unix"), 1)
        write_json(self.path / "provenance.json", provenance)
        write_json(self.path / "metrics.json", metrics)
        write_json(self.path / "DONE", {"finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})


def start_run(notebook: str, params: dict, inputs: dict | None = None) -> RunFolder:
    """Open the run folder for these params and record where the run comes from; it is not done until `finish`.

    A notebook executed by hand once more opens the same folder: training and scoring find their work there.
    inputs: digests of what the run reads (data sets, models). Where the folder was made from others (the stage before
    was trained anew), what came from them is deleted, and a printed line says so.
    """
    inputs = inputs or {}
    run = RunFolder(run_path(notebook, params), params)
    run.path.mkdir(parents=True, exist_ok=True)
    (run.path / "DONE").unlink(missing_ok=True)
    recorded = _recorded_inputs(run.path)
    if recorded is not None and recorded != inputs:
        changed = sorted(name for name in {*recorded, *inputs} if recorded.get(name) != inputs.get(name))
        print(f"{notebook}: its inputs have changed since it was last run ({', '.join(changed)}): starting afresh")
        _empty(run.path)
    write_json(run.path / "params.json", params)
    write_json(run.path / "provenance.json", provenance(inputs))
    _record_code(run, notebook)
    return run


def _record_code(run: RunFolder, notebook: str) -> None:
    """Write down which code the run rests on. Where other code began it, that stays on record, and a line says so."""
    record, path = run.path / "code.json", project() / "notebooks" / f"{notebook}.ipynb"
    if not path.is_file():
        return
    if not record.exists():
        write_json(record, code_files(path, run.params))
    elif names := changed_since(run.path, notebook, run.params):
        named = ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
        print(f"{notebook}: other code began this run ({named}); what it computed is kept. Afresh: vqa run --force")


def _recorded_inputs(folder: Path) -> dict | None:
    """What a run folder was made from; None where nobody began to."""
    record = folder / "provenance.json"
    return json.loads(record.read_text())["inputs"] if record.exists() else None


def _empty(folder: Path) -> None:
    """Delete a run, the record of its inputs last: killed in between, the next start finds it and goes on deleting."""
    kept = (*WRITTEN_BY_EXECUTION, "provenance.json")
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name not in kept:
            path.unlink()
    (folder / "provenance.json").unlink()


def provenance(inputs: dict) -> dict:
    """Code version, libraries, device and inputs of a run."""
    import torch  # takes seconds, and whoever only asks where runs lie need not wait for it

    return {
        "code": {"version": __version__, **_git()},
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "device": torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f"cpu, {torch.get_num_threads()} thread(s)",
        "inputs": inputs,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "started_unix": time.time(),
    }


def _git() -> dict:
    """Commit and whether the code (not the results) differs from it; empty outside a checkout."""

    def ask(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=project(), capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain", "--", ".", ":!results"))}
    except (OSError, subprocess.CalledProcessError):
        return {}


def find_runs(notebook: str, **params) -> list[RunFolder]:
    """The finished runs of a notebook whose params have these values, oldest first.

    Raises:
        RunError: there is none; the message says what to run first.
    """
    found = [run for run in finished_runs(notebook) if all(run.params.get(k) == v for k, v in params.items())]
    if not found:
        wanted = ", ".join(f"{name}={value}" for name, value in params.items())
        raise RunError(f"no finished run of {notebook} with {wanted}; make one with: vqa run {notebook}")
    return found


def find_run(notebook: str, **params) -> RunFolder:
    """The newest of `find_runs`."""
    return find_runs(notebook, **params)[-1]


def finished_runs(notebook: str) -> list[RunFolder]:
    """All finished runs of a notebook, oldest first."""
    markers = sorted((results() / notebook).glob("*/DONE"), key=lambda marker: marker.stat().st_mtime)
    return [RunFolder(marker.parent, json.loads((marker.parent / "params.json").read_text())) for marker in markers]


def model_digest(folder: str | Path) -> str:
    """SHA-256 over the weight files of a local model; a hub id is its own name."""
    weights = sorted(Path(folder).glob("*.safetensors"))
    if not weights:
        return str(folder)
    digest = hashlib.sha256()
    for path in weights:
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
