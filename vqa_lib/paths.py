"""Where things are. Notebooks run from any working directory, so no path of theirs is relative to it."""

import os
from pathlib import Path

PACKAGE = Path(__file__).parent
STARTER = PACKAGE / "models" / "starter_weights"
STARTER_GENERATOR = PACKAGE / "generation" / "starter_generator"


def project() -> Path:
    """The checkout: VQA_PROJECT if set, else the folder around the package that holds `notebooks`, else here."""
    if chosen := os.environ.get("VQA_PROJECT"):
        return Path(chosen)
    return PACKAGE.parent if (PACKAGE.parent / "notebooks").is_dir() else Path.cwd()


def resolve(path: str | Path) -> Path:
    """A path from a params file: absolute, or relative to the checkout."""
    path = Path(path).expanduser()
    return path if path.is_absolute() else project() / path


def shown(path: str | Path) -> str:
    """A path as it is printed and recorded: relative to the checkout where it lies inside, so that records can move."""
    path = Path(path)
    return path.relative_to(project()).as_posix() if path.is_relative_to(project()) else str(path)


def results() -> Path:
    """The folder of all run folders: VQA_RESULTS if set, else `results` in the checkout."""
    return Path(os.environ.get("VQA_RESULTS") or project() / "results")


def cache() -> Path:
    """Decoded frames: VQA_CACHE if set, else the user's cache folder."""
    return Path(os.environ.get("VQA_CACHE") or Path.home() / ".cache" / "vqa-lib") / "frames"
