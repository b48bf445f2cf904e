"""One list of dependencies: pyproject.toml; environment.yml and the lock follow it."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
WANTED = PROJECT["dependencies"] + EXTRAS["test"] + EXTRAS["docs"]
ASKED_FOR = ["jupyterlab", "papermill", "torch", "transformers", "trl", "peft", "bitsandbytes", "decord"]


def name_of(requirement: str) -> str:
    return re.match(r"[A-Za-z0-9_.-]+", requirement)[0].lower()


def test_environment_yml_lists_what_pyproject_lists():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert [line for line in pip if line != "-e ."] == WANTED
    assert pip[-1] == "-e ."
    assert f"python{PROJECT['requires-python']}" in environment["dependencies"][0]


def test_the_promised_packages_are_dependencies():
    names = {name_of(requirement) for requirement in PROJECT["dependencies"]}
    assert names >= {*ASKED_FOR, "matplotlib", "seaborn"}


def test_the_lock_has_every_dependency_hashed_and_no_address():
    lock = (ROOT / "requirements.lock").read_text()
    locked = {match[0].lower() for match in re.finditer(r"^[A-Za-z0-9_.-]+(?===)", lock, re.MULTILINE)}
    assert {name_of(requirement).replace("_", "-") for requirement in WANTED} <= locked
    assert "://" not in lock
    entries = re.split(r"^(?=[A-Za-z0-9_.-]+==)", lock, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)
