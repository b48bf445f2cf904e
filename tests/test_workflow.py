"""`vqa tables`: the right runs in the right order, nothing twice, on after a kill. Real Snakemake, real kernels."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import yaml
from test_params import write_notebook

from vqa_lib.code_version import code_files
from vqa_lib.make_tables import dry_run, make_tables, plan_tables
from vqa_lib.params import ParamsError
from vqa_lib.paths import PACKAGE
from vqa_lib.results import RunError, finished_runs, write_json
from vqa_lib.workflow import finished_run, planned_runs, read_tables_file

ROOT = PACKAGE.parent
CELL = 'profile: str = "tiny"\nseed: int = 0\nthreads: int = 1'
TABLES = """runs:
  first: {notebook: paper/stage_one}
  second: {notebook: paper/stage_two, params: {bonus: false}, needs: [first]}
tables:
  table1: [second]
  table2: [second]
"""
OPEN = """from vqa_lib.results import RunFolder, run_path, write_json
run = RunFolder(run_path(NAME, PARAMS), PARAMS)
write_json(run.file("params.json"), PARAMS)
with run.file("began.txt").open("a") as file:
    file.write("once more\\n")"""
FINISH = 'import time\nwrite_json(run.path / "DONE", {"finished": time.time()})'
# Killed at its first attempt, with a checkpoint written; at the second it finds that.
SLOW = """import time
if not (run.path / "checkpoint").exists():
    (run.path / "checkpoint").write_text("half way")
    time.sleep(100)"""


def write_stage(project, name, cell, *sources):
    names = [line.split(":")[0] for line in cell.splitlines()]
    params = "{" + ", ".join(f'"{name}": {name}' for name in names) + "}"
    opening = OPEN.replace("NAME", repr(f"paper/{name}")).replace("PARAMS", params)
    write_notebook(project / "notebooks" / "paper" / f"{name}.ipynb", cell, opening, *sources, FINISH)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A checkout with two stages and a table; of another table the notebook is not written yet."""
    monkeypatch.setenv("VQA_PROJECT", str(tmp_path))
    monkeypatch.setenv("VQA_RESULTS", str(tmp_path / "results"))
    shutil.copy(ROOT / "Snakefile", tmp_path)
    (tmp_path / "params" / "tables").mkdir(parents=True)
    (tmp_path / "params" / "tables" / "paper.yaml").write_text(TABLES)
    write_stage(tmp_path, "stage_one", CELL)
    write_stage(tmp_path, "stage_two", f"{CELL}\nbonus: bool = True", SLOW)
    write_stage(tmp_path, "table1", f"{CELL}\nseeds: list[int] = [0]")
    return tmp_path


def call(*words, **options):
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "vqa_lib.cli", "tables", "paper", *words],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        **options,
    )


def finished(process, timeout=100):
    output, _ = process.communicate(timeout=timeout)
    assert process.returncode == 0, output
    return output


def test_two_seeds_are_planned_in_order(project):
    planned, left_out = planned_runs("paper", "tiny", [0, 3])
    assert [run.name for run in planned] == ["first_seed0", "first_seed3", "second_seed0", "second_seed3", "table1"]
    assert left_out == {"table2": "paper/table2"}
    first, _, second, _, table = planned
    assert second.needs == (first.path,)
    assert second.params["bonus"] is False
    assert second.command == ["vqa", "run", "paper/stage_two", "--profile", "tiny", "-p", "seed=0", "-p", "bonus=false"]
    assert len(table.needs) == 2
    assert table.params["seeds"] == [0, 3]
    output = finished(call("--seeds", "2", "--dry-run"))
    assert "left out: table2 (there is no notebook paper/table2 yet)" in output
    jobs = re.findall(r"^paper/(\w+) .* not run$", output, re.MULTILINE)
    assert jobs == ["first_seed0", "first_seed1", "second_seed0", "second_seed1", "table1"]
    assert "5 of 5 runs are to be made; none like them has run yet" in output
    assert not (project / "results" / "paper").exists()


@pytest.mark.parametrize(("cores", "given"), [(None, "all"), (3, "3")])
def test_all_cores_are_used_unless_told_otherwise(cores, given, project, monkeypatch):
    commands = []
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: commands.append(command) or SimpleNamespace(returncode=0)
    )
    make_tables(["paper"], "tiny", [0], cores)
    (command,) = commands
    assert command[command.index("--cores") + 1] == given


def test_killed_and_called_again_it_completes_and_then_does_nothing(project):
    interrupted = call()
    stage_two = project / "results" / "paper" / "stage_two"
    for _ in range(600):
        if list(stage_two.glob("*/checkpoint")):
            break
        time.sleep(0.1)
    os.killpg(interrupted.pid, signal.SIGKILL)
    interrupted.communicate()
    assert len(finished_runs("paper/stage_one")) == 1
    with pytest.raises(
        RunError, match=r"the run second of paper .* is not finished; make it with: vqa run paper/stage"
    ):
        finished_run("paper", "second", "tiny", 0)

    output = finished(call())
    assert "table1: results/paper/table1/tiny-seed0-" in output
    second = finished_run("paper", "second", "tiny", 0)
    assert (second.path / "began.txt").read_text().count("once more") == 2  # went on from its checkpoint
    (one,) = finished_runs("paper/stage_one")
    assert (one.path / "began.txt").read_text().count("once more") == 1  # was not made again
    (table,) = finished_runs("paper/table1")

    markers = {path: path.stat().st_mtime_ns for path in project.glob("results/**/DONE")}
    assert len(markers) == 3
    began = time.monotonic()
    finished(call())
    assert time.monotonic() - began < 20
    assert {path: path.stat().st_mtime_ns for path in project.glob("results/**/DONE")} == markers

    # A stage that was made anew makes what is behind it anew.
    (second.path / "DONE").write_text("of another execution")
    finished(call())
    assert (table.path / "began.txt").read_text().count("once more") == 2
    assert (second.path / "began.txt").read_text().count("once more") == 2


def test_runs_are_made_anew_with_other_weights(project):
    write_stage(project, "stage_one", f'{CELL}\nmodel: str = "weights"')
    write_stage(project, "stage_two", f"{CELL}\nbonus: bool = True")
    weights = project / "weights" / "unet" / "model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"1")
    (table,) = make_tables(["paper"], "tiny", [0], cores=1)
    assert make_tables(["paper"], "tiny", [0], cores=1) == [table]
    began = sorted((project / "results").rglob("began.txt"))
    assert [file.read_text().count("once more") for file in began] == [1, 1, 1]
    weights.write_bytes(b"2")
    os.utime(weights, (time.time() + 5,) * 2)  # file systems count in seconds
    make_tables(["paper"], "tiny", [0], cores=1)
    assert [file.read_text().count("once more") for file in began] == [2, 2, 2]


def test_weights_of_vq_insight(monkeypatch):
    monkeypatch.setenv("VQA_PROJECT", str(ROOT))
    runs = {
        run.name: [file.relative_to(ROOT).parts[1:3] for file in run.weights]
        for run in planned_runs("vq_insight", "tiny", [0])[0]
    }
    assert runs["warm_up_seed0"] == [("models", "starter_weights")]
    assert set(runs["united_seed0"]) == {("generation", "starter_generator")}
    assert runs["table1_preference"] == []


def test_a_failed_run_is_one_line_and_leaves_its_folder(project):
    write_stage(project, "stage_two", f"{CELL}\nbonus: bool = True", "(run.path / 'checkpoint').write_text('')\n1 / 0")
    process = call()
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 1
    assert "error: paper/stage_two: cell [4] failed: ZeroDivisionError" in output
    *_, failed, waiting, last = output.strip().splitlines()
    assert failed.startswith(
        "failed: paper/second_seed0: paper/stage_two: cell [4] failed: ZeroDivisionError: division"
    )
    assert waiting == "not made, because of these or because the call was ended: paper/table1"
    assert last == "error: not all tables of paper could be made; the same command goes on from here"
    assert list(project.glob("results/paper/stage_two/*/executed.ipynb"))
    assert list(project.glob("results/paper/stage_two/*/checkpoint"))
    assert not list(project.glob("results/paper/stage_two/*/DONE"))


def test_the_rest_goes_on_and_a_killed_kernel_is_named_as_such(project):
    write_stage(project, "stage_one", CELL, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    write_stage(project, "other", CELL)
    (project / "params" / "tables" / "paper.yaml").write_text(
        TABLES.replace("tables:\n", "  other: {notebook: paper/other}\ntables:\n").replace(
            "[second]", "[second, other]"
        )
    )
    process = call()
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 1
    (line,) = (line for line in output.splitlines() if line.startswith("failed: "))
    assert line.startswith("failed: paper/first_seed0: paper/stage_one: the kernel was killed (probably out of memory")
    assert "paper/second_seed0, paper/table1" in output
    assert len(finished_runs("paper/other")) == 1


def test_runs_that_other_code_made_are_made_anew_and_nothing_else(project, capsys):
    write_stage(project, "stage_two", f"{CELL}\nbonus: bool = True", "x = 1")
    write_stage(project, "other", CELL)
    more = TABLES.replace("tables:\n", "  other: {notebook: paper/other}\ntables:\n")
    (project / "params" / "tables" / "paper.yaml").write_text(more.replace("[second]", "[second, other]"))
    make_tables(["paper"], "tiny", [0], cores=1)
    began = sorted((project / "results").rglob("began.txt"))
    assert [file.read_text().count("once more") for file in began] == [1, 1, 1, 1]
    for run in planned_runs("paper", "tiny", [0])[0]:  # made by code that is on record
        write_json(run.path / "code.json", code_files(project / "notebooks" / f"{run.notebook}.ipynb", run.params))

    write_stage(project, "stage_two", f"{CELL}\nbonus: bool = True", "x = 1  # a word changes nothing")
    assert dry_run(["paper"], "tiny", [0], cores=1) == ["0 of 4 runs are to be made"]
    write_stage(project, "stage_two", f"{CELL}\nbonus: bool = True", "x = 2")
    lines = dry_run(["paper"], "tiny", [0], cores=1)
    assert [" ".join(line.split()[:2]) + ":" + line.split("  ")[-1] for line in lines[1:-1]] == [
        "paper/second_seed0 paper/stage_two:other code: notebooks/paper/stage_two.ipynb",
        "paper/table1 paper/table1:behind: second_seed0",
    ]
    assert make_tables(["paper"], "tiny", [0], cores=1, keep_code=True)
    assert [file.read_text().count("once more") for file in began] == [1, 1, 1, 1]

    make_tables(["paper"], "tiny", [0], cores=1)
    assert (
        "made by other code, is made anew: paper/second_seed0 (notebooks/paper/stage_two.ipynb)"
        in capsys.readouterr().out
    )
    times = {file.parent.parent.name: file.read_text().count("once more") for file in began}
    assert times == {"other": 1, "stage_one": 1, "stage_two": 1, "table1": 2}  # stage_two's folder was emptied before


KUBECTL = """#!/bin/sh
# A Kubernetes of one node: it keeps what it is asked to make, runs it beside this process, and knows how it ended.
cd {folder}
if [ "$1" = create ]; then
    number=$(ls | wc -l)
    cat > job-$number.yaml
    script=$(sed -n 's/.*command: \\[bash, "\\(.*\\)"\\]/\\1/p' job-$number.yaml)
    log={folder}/job-$number.log code={folder}/job-$number.code
    (cd {project}; bash "$script" > $log 2>&1; echo $? > $code) > /dev/null 2>&1 &
    echo job.batch/job-$number
else
    name=${{2#job.batch/}}
    [ -f $name.yaml ] || exit 0
    code=$(cat $name.code 2> /dev/null)
    case "$code" in "") echo "$name " ;; 0) echo "$name SuccessCriteriaMet Complete" ;; *) echo "$name Failed" ;; esac
fi
"""


@pytest.fixture
def kubectl(project, tmp_path, monkeypatch):
    """The profile for Kubernetes in the project, and a kubectl on the path; returns the folder of its Jobs."""
    shutil.copytree(ROOT / "params/clusters/kubernetes", project / "params/clusters/kubernetes")
    jobs, tools = tmp_path / "jobs", tmp_path / "tools"
    jobs.mkdir()
    tools.mkdir()
    (tools / "kubectl").write_text(KUBECTL.format(folder=jobs, project=project))
    (tools / "kubectl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    return jobs


def test_runs_are_jobs_of_kubernetes(project, kubectl):
    write_stage(project, "stage_two", f"{CELL}\nbonus: bool = True")
    finished(call("--cluster", "kubernetes"), timeout=300)  # each Job starts Snakemake once more
    jobs = [yaml.safe_load(path.read_text()) for path in sorted(kubectl.glob("*.yaml"))]
    assert len(jobs) == 3 and all(job["apiVersion"] == "batch/v1" and job["kind"] == "Job" for job in jobs)
    (container,) = jobs[0]["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["requests"] == {"cpu": "1", "memory": "65536Mi"}
    assert container["resources"]["limits"] == {"memory": "65536Mi", "nvidia.com/gpu": "0"}
    assert len(finished_runs("paper/table1")) == 1


def test_an_unknown_cluster_is_named(project, kubectl):
    with pytest.raises(ParamsError, match="no cluster 'theirs': expected one of kubernetes, or a folder"):
        make_tables(["paper"], "tiny", [0], cluster="theirs")


def test_a_job_of_kubernetes_that_fails_or_vanishes_is_told(kubectl):
    def status(name: str) -> str:
        command = ["sh", ROOT / "params/clusters/kubernetes/status.sh", f"job.batch/{name}"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    (kubectl / "job-0.yaml").touch()
    assert (status("job-0"), status("gone")) == ("running", "failed")
    (kubectl / "job-0.code").write_text("137\n")
    assert status("job-0") == "failed"
    (kubectl.parent / "tools" / "kubectl").write_text("#!/bin/sh\nexit 1\n")  # no answer
    assert status("job-0") == "running"


@pytest.mark.parametrize("name", ["slurm", "generic", "kubernetes"])
def test_profiles_of_clusters_can_be_read(name):
    content = yaml.safe_load((ROOT / "params" / "clusters" / name / "config.yaml").read_text())
    assert content["executor"] in ("slurm", "cluster-generic") and content["jobs"] > 0


def test_a_run_asks_for_as_many_gpus_as_it_has_processes(monkeypatch):
    monkeypatch.setenv("VQA_PROJECT", str(ROOT))
    runs = {run.name: run for run in planned_runs("vq_insight", "paper", [0])[0]}
    assert runs["natural_seed0"].gpus == runs["natural_seed0"].params["processes"] == 8
    assert runs["table3_natural"].gpus == 0
    assert {run.gpus for run in planned_runs("vq_insight", "tiny", [0])[0]} == {0}


def test_one_table_and_what_it_rests_on(monkeypatch):
    monkeypatch.setenv("VQA_PROJECT", str(ROOT))
    planned = plan_tables(["vq_insight", "finger"], "tiny", [0], ["figure3_resolution"])
    assert [run.name for run in planned] == ["resolution_seed0", "figure3_resolution"]
    with pytest.raises(ParamsError, match="no table table9 of finger; there are: figure3_resolution, "):
        plan_tables(["finger"], "tiny", [0], ["table9"])


def test_several_papers_are_one_graph(project):
    write_stage(project, "stage_two", f"{CELL}\nbonus: bool = True")
    (project / "params" / "tables" / "book.yaml").write_text(
        "runs:\n  first: {notebook: book/only}\ntables:\n  table1: [first]\n"
    )
    for name in ("only", "table1"):
        path = project / "notebooks" / "book"
        path.mkdir(exist_ok=True)
        write_stage(project, name, f"{CELL}\nseeds: list[int] = [0]")
        shutil.move(project / "notebooks" / "paper" / f"{name}.ipynb", path / f"{name}.ipynb")
        text = (path / f"{name}.ipynb").read_text()
        (path / f"{name}.ipynb").write_text(text.replace(f"paper/{name}", f"book/{name}"))
    write_stage(project, "table1", f"{CELL}\nseeds: list[int] = [0]")
    made = make_tables(["book", "paper"], "tiny", [0], cores=2)
    assert [(run.paper, run.name) for run in made] == [("book", "table1"), ("paper", "table1")]
    assert all((run.path / "DONE").exists() for run in made)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("papers", "tiny", [0]), "no tables of a paper 'papers'; there are those of: paper"),
        (("paper", "huge", [0]), "unknown profile 'huge'; the profiles are: tiny"),
        (("paper", "tiny", []), "seeds: expected one or more different whole numbers"),
        (("paper", "tiny", [1, 1]), "seeds: expected one or more different whole numbers"),
    ],
)
def test_what_is_not_there_is_one_clear_error(project, arguments, message):
    with pytest.raises(ParamsError, match=message):
        planned_runs(*arguments)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("needs: [first]", "needs: [fist]", "second needs fist, which no run above it is called"),
        ("needs: [first]", "need: [first]", "second: expected notebook, and maybe params and needs"),
        ("bonus: false", "bonsu: false", "unknown parameter 'bonsu'; did you mean bonus"),
        ("tables:", "table:", "expected the two keys runs and tables"),
    ],
)
def test_a_slip_in_the_file_is_one_clear_error(project, old, new, message):
    (project / "params" / "tables" / "paper.yaml").write_text(TABLES.replace(old, new))
    with pytest.raises(ParamsError, match=message):
        planned_runs("paper", "tiny", [0])


def test_every_notebook_of_vq_insight_has_its_place(monkeypatch):
    monkeypatch.setenv("VQA_PROJECT", str(ROOT))
    content = read_tables_file("vq_insight")
    placed = {run["notebook"] for run in content["runs"].values()}
    placed |= {f"vq_insight/{table}" for table in content["tables"]}
    written = {f"vq_insight/{path.stem}" for path in (ROOT / "notebooks/vq_insight").glob("*.ipynb")}
    assert written <= placed


@pytest.mark.parametrize("profile", ["tiny", "qlora", "lora", "paper"])
def test_the_plan_of_vq_insight_fits_its_notebooks(profile, monkeypatch):
    monkeypatch.setenv("VQA_PROJECT", str(ROOT))
    planned, _ = planned_runs("vq_insight", profile, [0, 1])
    place = {run.path: number for number, run in enumerate(planned)}
    assert len(place) == len(planned)  # no two have the same folder
    assert all(place[path] < number for number, run in enumerate(planned) for path in run.needs)
    assert json.dumps([run.params for run in planned])
