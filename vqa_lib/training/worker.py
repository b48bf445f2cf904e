"""One of the processes that train together; `processes.launch` starts it.

python -m vqa_lib.training.worker JOB ERROR: train the pickled job; the first process that fails writes its traceback.
"""

import os
import pickle
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path

import torch
from transformers.utils import logging as transformers_logging

from vqa_lib.models import loading  # noqa: F401  before anything that loads bitsandbytes, whose chatter it stops
from vqa_lib.training.run import train_here


def main(job: str, error: str) -> None:
    threading.Thread(target=_end_with_the_launcher, daemon=True).start()
    if torch.cuda.is_available():  # before anything is loaded: models go to the current device
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    transformers_logging.disable_progress_bar()
    try:
        train_here(pickle.loads(Path(job).read_bytes()))
    except Exception:
        with suppress(FileExistsError), open(error, "x") as file:  # later ones fail because the first has gone
            file.write(traceback.format_exc())
        os._exit(1)  # the others may wait in a collective, and so would the clean end of this one


def _end_with_the_launcher() -> None:
    """A notebook that is killed must not leave processes behind that go on writing to its folder."""
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
