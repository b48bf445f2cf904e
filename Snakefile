"""The order of the notebooks: one rule a run of `params/tables/<paper>.yaml`. Called by `vqa tables`
(`make tables`, `make reproduce`).

A rule's output is the DONE marker of the run folder alone: Snakemake deletes the outputs of a job before it starts and
when it fails, and checkpoints and predictions must outlive both.
"""

import shlex
import sys

from vqa_lib.run_states import expected_seconds, urgency
from vqa_lib.workflow import planned_runs

seeds = [int(seed) for seed in config["seeds"]]
only = config["only"] or None
planned = [run for paper in config["papers"] for run in planned_runs(paper, config["profile"], seeds, only)[0]]
seconds = {run.path: expected_seconds(run) or 1.0 for run in planned}
urgent = urgency(planned, seconds)


rule tables:
    input:
        [str(run.path / "DONE") for run in planned if run.is_table],
    localrule: True


for run in planned:

    rule:
        name:
            f"{run.paper}_{run.name}"
        input:
            [str(folder / "DONE") for folder in run.needs] + [str(file) for file in run.weights],
        output:
            str(run.path / "DONE"),
        params:
            command=shlex.join([sys.executable, "-m", "vqa_lib.cli", *run.command[1:]]),
        priority: round(urgent[run.path])
        threads: run.params.get("threads", 1)
        resources:
            gpu=run.gpus,
            # `vqa tables` grants one on one machine: one run at a time, whether it takes one GPU or all.
            gpu_run=1 if run.gpus else 0,
        shell:
            "{params.command}"
