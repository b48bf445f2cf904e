"""Is a recorded table what the code makes? It is made once more, in a folder of its own, and compared."""

import csv
import json
import math
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from vqa_lib.paths import results
from vqa_lib.results import RunError
from vqa_lib.workflow import planned_runs

NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


@dataclass
class Comparison:
    """Recorded tables beside those made anew.

    cells: compared. largest: difference of two numbers, as a share of the larger of 1 and the recorded one. differing:
    a line for each cell or file that differs by more than the tolerance, and for data that are not the same.
    """

    cells: int = 0
    largest: float = 0.0
    data: int = 0
    differing: list[str] = field(default_factory=list)


def verify_table(name: str, tolerance: float, work: Path, cores: int | None = None) -> Comparison:
    """Make a tiny table and all that it rests on once more, and compare it with the one in the results folder.

    Texts must be equal and annotation files the same to the last bit; numbers may differ by `tolerance` times the
    larger of 1 and the recorded one: on another processor sums are rounded otherwise, and training carries that on.

    name: of a table or figure, such as "finger/table1_granularity"; of several recorded runs that of the fewest seeds
    is taken. work: a folder for the new runs; called again, it goes on there.

    Raises:
        RunError: there is no such run of the profile tiny, or it cannot be made.
    """
    paper, _, table = name.partition("/")
    recorded = _recorded(name)
    seeds = _seeds(recorded)
    if seeds != list(range(len(seeds))):
        raise RunError(f"{recorded}: its seeds are {seeds}; expected 0, 1, ... as `vqa tables` makes them")
    command = [sys.executable, "-m", "vqa_lib.cli", "tables", paper, "--only", table, "--seeds", str(len(seeds))]
    command += [] if cores is None else ["--cores", str(cores)]
    if subprocess.run(command, env={**os.environ, "VQA_RESULTS": str(work.resolve())}).returncode:
        raise RunError(f"{name} could not be made once more: see above")
    found = Comparison()
    for run in planned_runs(paper, "tiny", seeds, [table])[0]:
        _compare_data(run.path, work / run.path.relative_to(results()), found)
    _compare_tables(recorded, work / recorded.relative_to(results()), tolerance, found)
    return found


def _recorded(name: str) -> Path:
    folders = [path.parent for path in (results() / name).glob("tiny-*/params.json")]
    if not folders:
        raise RunError(f"{results() / name}: no run of the profile tiny to compare with")
    if not any(folder.glob("tables/*.csv") for folder in folders):
        raise RunError(f"{results() / name}: it has no table")
    return min(folders, key=lambda folder: len(_seeds(folder)))


def _seeds(folder: Path) -> list[int]:
    return json.loads((folder / "params.json").read_text(encoding="utf-8"))["seeds"]


def _compare_data(old: Path, new: Path, found: Comparison) -> None:
    """Annotation files that both runs have on record."""
    before, after = (_data(folder) for folder in (old, new))
    for name in sorted(before.keys() & after.keys()):
        found.data += 1
        if before[name] != after[name]:
            found.differing.append(f"{old.parent.name}: other data: {name}")


def _data(folder: Path) -> dict[str, str]:
    record = folder / "provenance.json"
    return json.loads(record.read_text(encoding="utf-8")).get("data", {}) if record.is_file() else {}


def _compare_tables(old: Path, new: Path, tolerance: float, found: Comparison) -> None:
    names = sorted({path.name for folder in (old, new) for path in folder.glob("tables/*.csv")})
    for name in names:
        rows = [_rows(folder / "tables" / name) for folder in (old, new)]
        for number, (before, after) in enumerate(zip_longest(*rows, fillvalue=[]), 1):
            for column, (one, other) in enumerate(zip_longest(before, after, fillvalue=""), 1):
                found.cells += 1
                difference = cell_difference(one, other)
                found.largest = max(found.largest, difference if math.isfinite(difference) else 0.0)
                if difference > tolerance:
                    found.differing.append(f"{name}, row {number}, column {column}: {one!r} was {other!r} this time")


def _rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def cell_difference(one: str, other: str) -> float:
    """The largest difference of the numbers in two cells, each as a share of the larger of 1 and itself; infinite
    where the words around them differ.

    Example:
        >>> cell_difference("0.50 [0.4, 0.6], n = 9", "0.51 [0.4, 0.6], n = 9")
        0.01
        >>> cell_difference("undefined", "0.5")
        inf
    """
    if NUMBER.sub("0", one) != NUMBER.sub("0", other):
        return math.inf
    pairs = zip(map(float, NUMBER.findall(one)), map(float, NUMBER.findall(other)), strict=True)
    return round(max((abs(a - b) / max(1.0, abs(a)) for a, b in pairs), default=0.0), 12)
