"""Which runs the tables of a paper are made from: `params/tables/<paper>.yaml`, read by the Snakefile and by tables.

A run is named there once; its folder follows from the notebook, the profile and the seed, so that whoever orders runs
and whoever reads them mean the same folder. Nothing here imports torch: a call that finds nothing to do takes seconds.
"""

import json
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from vqa_lib.params import ParamsError, notebook_names, profiles, resolve_params
from vqa_lib.paths import project, resolve
from vqa_lib.results import RunError, RunFolder, run_path

STARTS = ("model", "cold_model", "judge", "generator")  # parameters that name a model: a folder, or on a hub


@dataclass(frozen=True)
class PlannedRun:
    """One execution of one notebook.

    paper: whose file of tables. name: as in that file, with the seed where it has one. params: all of the notebook's,
    resolved. overrides: those of them that are set, each "name=value". needs: the run folders that it reads.
    """

    paper: str
    name: str
    notebook: str
    profile: str
    params: dict
    overrides: tuple[str, ...]
    needs: tuple[Path, ...] = ()

    @property
    def path(self) -> Path:
        return run_path(self.notebook, self.params)

    @property
    def weights(self) -> list[Path]:
        """Files of the local models that it starts from: with other weights it is to be made anew."""
        folders = [resolve(self.params[name]) for name in STARTS if self.params.get(name)]
        return [file for folder in folders for file in sorted(folder.rglob("*.safetensors"))]

    @property
    def gpus(self) -> int:
        """How many GPUs it takes; at tiny size none."""
        return 0 if self.is_table or self.profile == "tiny" else self.params.get("processes", 1)

    @property
    def is_table(self) -> bool:
        """Whether it only reads runs."""
        return only_reads(self.notebook)

    @property
    def command(self) -> list[str]:
        """As one would type it."""
        words = ["vqa", "run", self.notebook, "--profile", self.profile]
        return words + [word for override in self.overrides for word in ("-p", override)]


def only_reads(notebook: str) -> bool:
    """Whether a notebook is a table's or a figure's, by its name: it shows runs and makes none."""
    return Path(notebook).name.startswith(("table", "figure"))


def papers() -> list[str]:
    """The papers whose tables can be made."""
    return sorted(path.stem for path in (project() / "params/tables").glob("*.yaml"))


def read_tables_file(paper: str) -> dict[str, dict]:
    """The runs and tables of a paper, as its file has them: {"runs": name -> entry, "tables": name -> runs}.

    Raises:
        ParamsError: an unknown paper, an unknown key, or a run that is needed and not named; the message says which.

    Example:
        read_tables_file("vq_insight")["tables"]["table6_generator"]  # ["united"]
    """
    if paper not in papers():
        raise ParamsError(f"no tables of a paper {paper!r}; there are those of: {', '.join(papers()) or 'none'}")
    where = f"params/tables/{paper}.yaml"
    content = yaml.safe_load((project() / where).read_text(encoding="utf-8"))
    if not isinstance(content, dict) or set(content) != {"runs", "tables"}:
        raise ParamsError(f"{where}: expected the two keys runs and tables")
    runs = content["runs"]
    for name, entry in runs.items():
        if not isinstance(entry, dict) or "notebook" not in entry or set(entry) - {"notebook", "params", "needs"}:
            raise ParamsError(f"{where}: runs: {name}: expected notebook, and maybe params and needs; found {entry}")
    needing = {name: entry.get("needs", []) for name, entry in runs.items()}
    named_before = set()
    for name, needed in [*needing.items(), *content["tables"].items()]:
        if unknown := [other for other in needed if other not in named_before]:
            raise ParamsError(f"{where}: {name} needs {', '.join(unknown)}, which no run above it is called")
        if name in runs:
            named_before.add(name)
    return content


def planned_run(paper: str, name: str, profile: str, seed: int) -> PlannedRun:
    """A run of the paper's file, by its name there.

    Raises:
        ParamsError: an unknown paper, name or profile, or a parameter that the notebook does not declare.
    """
    runs = read_tables_file(paper)["runs"]
    if name not in runs:
        raise ParamsError(f"params/tables/{paper}.yaml has no run {name!r}; it has: {', '.join(runs)}")
    entry = runs[name]
    needs = tuple(planned_run(paper, other, profile, seed).path for other in entry.get("needs", []))
    return _planned(
        paper, f"{name}_seed{seed}", entry["notebook"], profile, {"seed": seed, **entry.get("params", {})}, needs
    )


def _planned(paper: str, name: str, notebook: str, profile: str, values: dict, needs: tuple[Path, ...]) -> PlannedRun:
    overrides = tuple(
        f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in values.items()
    )
    return PlannedRun(paper, name, notebook, profile, resolve_params(notebook, profile, overrides), overrides, needs)


def planned_runs(
    paper: str, profile: str, seeds: Sequence[int], only: Collection[str] | None = None
) -> tuple[list[PlannedRun], dict[str, str]]:
    """All runs and tables of a paper, each behind those it needs; and the tables left out: name -> missing notebook.

    A table is left out while a notebook that it rests on is not written yet; what no table needs is not run. only: the
    tables with these names, None for all.

    Raises:
        ParamsError: as `planned_run`; or seeds that are none or given twice.
    """
    if not seeds or len(set(seeds)) != len(seeds):
        raise ParamsError(f"seeds: expected one or more different whole numbers, found {list(seeds)}")
    if profile not in profiles():
        raise ParamsError(f"unknown profile {profile!r}; the profiles are: {', '.join(profiles())}")
    content, written = read_tables_file(paper), set(notebook_names())
    runs, used, left_out, tables = content["runs"], set(), {}, []
    chosen = {name: shown for name, shown in content["tables"].items() if only is None or name in only}
    for table, shown in chosen.items():
        behind = _with_needs(shown, runs)
        lacking = [
            name for name in [f"{paper}/{table}", *(runs[one]["notebook"] for one in behind)] if name not in written
        ]
        if lacking:
            left_out[table] = lacking[0]
            continue
        used |= set(behind)
        read = tuple(planned_run(paper, one, profile, seed).path for one in shown for seed in seeds)
        tables.append(_planned(paper, table, f"{paper}/{table}", profile, {"seeds": list(seeds)}, read))
    made = [planned_run(paper, name, profile, seed) for name in runs if name in used for seed in seeds]
    return made + tables, left_out


def _with_needs(names: Sequence[str], runs: dict[str, dict]) -> list[str]:
    found = list(names)
    for name in found:  # grows while it is gone through
        found += [other for other in runs[name].get("needs", []) if other not in found]
    return found


def finished_run(paper: str, name: str, profile: str, seed: int) -> RunFolder:
    """The finished run of that name.

    Raises:
        RunError: it is not finished; the message names the command that makes it.
    """
    planned = planned_run(paper, name, profile, seed)
    run = RunFolder(planned.path, planned.params)
    if not run.done:
        content = read_tables_file(paper)
        made_for_a_table = any(name in _with_needs(shown, content["runs"]) for shown in content["tables"].values())
        at_once = f"   or all at once: make tables PAPER={paper} PROFILE={profile}" if made_for_a_table else ""
        raise RunError(
            f"the run {name} of {paper} (profile {profile}, seed {seed}) is not finished; make it with: "
            f"{shlex.join(planned.command)}{at_once}"
        )
    return run
