"""The first call of every notebook: checked params, seeds, threads, and the run folder its results go to."""

import os

import torch
from transformers import set_seed
from transformers.utils import logging as transformers_logging

from vqa_lib.params import check_values, notebook_params
from vqa_lib.paths import project, resolve, shown
from vqa_lib.results import RunFolder, start_run


def begin(notebook: str, namespace: dict, inputs: dict | None = None) -> RunFolder:
    """Open the run of a notebook; `namespace` is its `globals()`, from which the values of its parameters are taken.

    Sets the seed and the number of threads where the notebook has `seed` and `threads`. inputs: digests of what the
    run reads, for the record.

    Raises:
        ParamsError: a value of another type than the parameters cell declares.
    """
    path = project() / "notebooks" / f"{notebook}.ipynb"
    values = {name: namespace[name] for name in notebook_params(path)}
    params = check_values(path, values, "the notebook")
    transformers_logging.disable_progress_bar()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if "threads" in params:
        torch.set_num_threads(params["threads"])
    set_seed(params["seed"])
    run = start_run(notebook, params, inputs)
    print(f"run folder: {shown(run.path)}")
    return run


def model_path(name: str) -> str:
    """A hub id as it is; a folder of the checkout as its full path."""
    return str(resolve(name)) if resolve(name).is_dir() else name
