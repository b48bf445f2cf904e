"""How a command ends when the user can mend something."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def user_errors() -> Iterator[None]:
    """Print what the user can mend as one line, and exit with 1; anything else is a bug and keeps its traceback."""
    try:
        yield
    except Exception as error:
        # By module, because importing every class of ours would import torch. OSError: its text names the file.
        if not (type(error).__module__.startswith("vqa_lib.") or isinstance(error, OSError)):
            raise
        typer.echo(f"error: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(1) from None
