"""The first call of every notebook: checked params, seeds, threads, and the run folder its results go to."""

import os
import random
import sys

import numpy as np

from vqa_lib.params import check_values, notebook_params
from vqa_lib.paths import project, resolve, shown
from vqa_lib.results import RunFolder, start_run


def begin(notebook: str, namespace: dict, inputs: dict | None = None) -> RunFolder:
    """Open the run of a notebook; `namespace` is its `globals()`, from which the values of its parameters are taken.

    Sets the seed and the number of threads where the notebook has `seed` and `threads`; of torch, where the notebook
    has imported it: tables need neither torch nor the seconds that it takes. inputs: digests of what the run reads, for
    the record.

    Raises:
        ParamsError: a value of another type than the parameters cell declares.
    """
    path = project() / "notebooks" / f"{notebook}.ipynb"
    values = {name: namespace[name] for name in notebook_params(path)}
    params = check_values(path, values, "the notebook")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    random.seed(params["seed"])
    np.random.seed(params["seed"])
    if "torch" in sys.modules:
        _prepare_torch(params)
    run = start_run(notebook, params, inputs)
    print(f"run folder: {shown(run.path)}")
    return run


def _prepare_torch(params: dict) -> None:
    import torch
    from transformers import set_seed
    from transformers.utils import logging

    logging.disable_progress_bar()
    if "threads" in params:
        torch.set_num_threads(params["threads"])
    set_seed(params["seed"])


def model_path(name: str) -> str:
    """A hub id as it is; a folder of the checkout as its full path."""
    return str(resolve(name)) if resolve(name).is_dir() else name
