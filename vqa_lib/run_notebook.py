"""Execute one notebook by papermill, in a process of its own, into the run folder of its parameters.

papermill's own report is not trusted: it warns where a name is unknown, and calls a notebook completed whose kernel was
killed. Parameters are checked before (`params`), and a run counts only if the notebook wrote its DONE marker.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import yaml

from vqa_lib.params import ParamsError, find_notebook, notebook_id, resolve_params
from vqa_lib.paths import PACKAGE, project
from vqa_lib.results import FAILED, STALE, RunError, run_path, write_json
from vqa_lib.workflow import only_reads

KILLED = (137, 138, 143)  # by a shell's count, papermill's code for a dead kernel, SIGTERM
PYTHON = sys.executable  # that papermill and the kernel run in
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def run_notebook(
    name_or_path: str | Path,
    profile: str = "tiny",
    overrides: Iterable[str] = (),
    files: Iterable[str | Path] = (),
    force: bool = False,
) -> Path:
    """Execute a notebook, unless its run folder is complete already; returns the run folder.

    Where it fails, a line in the file FAILED of the run folder says why.

    overrides, files: as in `params.resolve_params`. What the notebook prints appears on standard output while it runs;
    the executed copy is `executed.ipynb` in the run folder. An unfinished run goes on from its checkpoints and
    predictions. force: empty the run folder and execute from the start.

    Raises:
        ParamsError: the notebook or a parameter is unknown or unfit, or the notebook has no values for the profile;
            nothing was executed.
        RunError: a cell failed, the kernel was killed, or the notebook ended without its DONE marker.

    Example:
        run_notebook("vq_insight/stage1_image", overrides=["seed=1"])
    """
    notebook = find_notebook(name_or_path)
    params = resolve_params(notebook, profile, overrides, files)
    name = notebook_id(notebook)
    if profile != "tiny" and not only_reads(name) and not (project() / "params" / f"{name}.yaml").exists():
        # Its defaults would run a miniature under the name of something larger.
        raise ParamsError(f"{name}: there is no params/{name}.yaml, so it knows the profile tiny only, not {profile}")
    if missing := {"profile", "seed"} - set(params):
        raise ParamsError(f"{name}: its parameters cell does not declare {' and '.join(sorted(missing))}")
    folder = run_path(name, params)
    done, executed, log = folder / "DONE", folder / "executed.ipynb", folder / "papermill.log"
    if done.exists() and not force:
        print(f"{name}: done already, in {folder}")
        return folder
    if force or (folder / STALE).exists():
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    for path in (done, executed, log):  # so that what is there afterwards comes from this execution
        path.unlink(missing_ok=True)
    # It says so until this execution ends: whoever is killed here cannot say it afterwards.
    (folder / FAILED).write_text(f"{name}: still running, or killed before it could say why\n")
    print(f"{name}: running in {folder}", flush=True)
    try:
        _execute(notebook, name, folder, params)
    except RunError as error:
        (folder / FAILED).write_text(f"{error}\n", encoding="utf-8")
        raise
    (folder / FAILED).unlink()
    return folder


def _execute(notebook: Path, name: str, folder: Path, params: dict) -> None:
    """Execute it, and raise RunError unless it wrote its DONE marker."""
    done, executed, log = folder / "DONE", folder / "executed.ipynb", folder / "papermill.log"
    code = _papermill(notebook, executed, log, params)
    if executed.exists() and code >= 0:  # a papermill that was itself killed may leave half a file
        tidy(executed, name)
    if code in KILLED or code < 0:
        raise RunError(
            f"{name}: the kernel was killed (probably out of memory: use less of it, such as a smaller batch or fewer "
            f"frames); as far as it came: {executed}"
        )
    if code != 0:
        raise RunError(f"{name}: {_failure(executed, log)}")
    if not done.exists():
        raise RunError(f"{name}: finished without writing its results: no {done}; the executed copy is {executed}")
    log.unlink()


def environment(profile: str) -> dict[str, str]:
    """The environment variables of the notebook's process."""
    variables = dict(os.environ)
    variables.pop("MPLBACKEND", None)  # with another than the inline one, figures would not appear in the notebook
    variables["TQDM_MININTERVAL"] = "10"  # every refresh is stored in the executed notebook until it ends
    variables["TOKENIZERS_PARALLELISM"] = "false"
    variables["VQA_PROJECT"] = str(project().resolve())
    # The kernel imports the package that this process runs, installed or not.
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]))
    if profile == "tiny":
        variables["HF_HUB_OFFLINE"] = "1"
        # bitsandbytes asks for its functions to be compiled as it is imported: the compiler alone takes four seconds.
        variables["TORCHDYNAMO_DISABLE"] = "1"
        if "OMP_NUM_THREADS" not in variables:  # one thread sums in one order: the same numbers on every machine
            variables.update(dict.fromkeys(ONE_THREAD, "1"))
    return variables


def _papermill(notebook: Path, executed: Path, log: Path, params: dict) -> int:
    """The exit code of papermill; its own messages go to `log`, the notebook's output to standard output."""
    with tempfile.TemporaryDirectory() as temporary, log.open("wb") as errors:
        file = Path(temporary) / "params.yaml"
        # PyYAML writes 1.0e-06, which YAML reads as a float; JSON's 1e-06 would arrive as text.
        file.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
        # papermill takes both paths for format strings
        source, target = (str(path.resolve()).replace("{", "{{").replace("}", "}}") for path in (notebook, executed))
        command = [PYTHON, "-m", "papermill", source, target, "-k", "python3", "-f", str(file)]
        command += ["--start-timeout", "300", "--no-progress-bar", "--stdout-file", "-", "--stderr-file", "-"]
        variables = environment(params["profile"])
        return subprocess.run(command, stdin=subprocess.DEVNULL, stderr=errors, env=variables).returncode


def tidy(executed: Path, name: str) -> None:
    """Join neighbouring stream outputs, keep of a progress bar what it showed last, and take out this machine's paths.

    name: of the notebook, below `notebooks/`.
    """
    notebook = json.loads(executed.read_text(encoding="utf-8"))
    notebook["metadata"]["papermill"] |= {"input_path": f"notebooks/{name}.ipynb", "output_path": executed.name}
    for cell in notebook["cells"]:
        joined = []
        for output in cell.get("outputs", []):
            if output["output_type"] == "stream":
                output["text"] = "".join(output["text"])  # a string or a list of lines: the format allows both
                if joined and joined[-1]["output_type"] == "stream" and joined[-1]["name"] == output["name"]:
                    joined[-1]["text"] += output["text"]
                    continue
            joined.append(output)
        for output in joined:
            if output["output_type"] == "stream":
                output["text"] = re.sub(r"[^\n]*\r(?=[^\n])", "", output["text"])
        if "outputs" in cell:
            cell["outputs"] = joined
    write_json(executed, notebook)


def _failure(executed: Path, log: Path) -> str:
    """One line on what went wrong: the failed cell's exception, else the last line that papermill wrote."""
    cells = json.loads(executed.read_text(encoding="utf-8"))["cells"] if executed.exists() else []
    for cell in cells:
        for output in cell.get("outputs", []):
            if output["output_type"] == "error":
                message = " ".join(f"{output['ename']}: {output['evalue']}".split())
                return f"cell [{cell.get('execution_count')}] failed: {message[:1000]}; the executed copy is {executed}"
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"papermill failed: {lines[-1] if lines else 'it left no message'}; its messages are in {log}"
