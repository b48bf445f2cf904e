"""Which code a run rests on: the rewards of its recipe and no other, and nothing that only people read."""

import ast
import shutil

import pytest

from vqa_lib import code_version
from vqa_lib.code_version import changed, code_files
from vqa_lib.paths import PACKAGE
from vqa_lib.workflow import planned_runs

NOTEBOOKS = PACKAGE.parent / "notebooks"
REWARDS = ("bell", "choice", "consistency", "format", "length", "ranking", "score", "temporal", "threshold")


def rewards_of(name, **params):
    files = code_files(NOTEBOOKS / f"{name}.ipynb", params)
    return {reward for reward in REWARDS if f"vqa_lib/rewards/{reward}.py" in files}


@pytest.mark.parametrize(
    ("name", "params", "rewards"),
    [
        ("finger/grpo", {"method": "finger"}, {"choice", "format", "score"}),
        ("finger/sft", {"method": "finger/sft"}, set()),
        ("vqathinker/train", {"method": "vqathinker"}, {"bell", "consistency", "format", "ranking", "score"}),
        ("vqathinker/train", {"method": "vqathinker/ranking"}, {"format", "ranking", "score"}),
        ("vq_insight/baseline_sft", {"task": "preference"}, {"format", "choice", "temporal", "length", "score"}),
        ("finger/table2_protocols", {}, set()),
        ("01_rewards_and_metrics", {}, set(REWARDS)),
    ],
)
def test_a_run_rests_on_the_rewards_of_its_recipe(name, params, rewards):
    assert rewards_of(name, **params) <= rewards
    assert rewards_of(name, **params) >= rewards - {"score"}  # some rewards read an answer as the score reward does


def test_tables_rest_on_what_is_published_and_not_on_training():
    files = code_files(NOTEBOOKS / "finger/table1_granularity.ipynb", {})
    assert "vqa_lib/published/finger_table1.csv" in files and "notebooks/finger/table1_granularity.ipynb" in files
    assert "vqa_lib/seed_tables.py" in files and not any(name.startswith("vqa_lib/training") for name in files)


def test_training_rests_on_the_trainer():
    files = code_files(NOTEBOOKS / "finger/grpo.ipynb", {"method": "finger"})
    assert {"vqa_lib/training/grpo.py", "vqa_lib/models/shared_prefix.py", "vqa_lib/video.py"} <= set(files)


def digest(text):
    return code_version._digest(code_version._without_words(ast.parse(text)).encode())


def test_words_and_layout_do_not_count_and_code_does():
    one = '"""Module."""\n\n\ndef f(x):\n    """Double."""\n    return 2 * x  # twice\n'
    assert digest(one) == digest("def f(x):\n    return (2 *\n        x)\n")
    assert digest(one) != digest(one.replace("2 *", "3 *"))
    assert digest("x = ''") != digest("x = 'a'")


def test_parameters_do_not_count_and_cells_do(tmp_path):
    path = tmp_path / "grpo.ipynb"
    shutil.copy(NOTEBOOKS / "finger/grpo.ipynb", path)
    before = code_files(path, {"method": "finger"})
    path.write_text(path.read_text().replace("steps: int | None = 160", "steps: int | None = 161"))
    assert code_files(path, {"method": "finger"}) == before
    path.write_text(path.read_text().replace("train_grpo(start", "train_grpo(first"))
    assert changed(before, code_files(path, {"method": "finger"})) == ["notebooks/grpo.ipynb"]


def test_touching_one_reward_concerns_only_what_depends_on_it():
    """The runs of three papers: those of Q-Insight among VQAThinker's rest on the threshold reward."""
    touched = {
        f"{paper}/{run.name}"
        for paper in ("vq_insight", "vqathinker", "finger")
        for run in planned_runs(paper, "tiny", [0])[0]
        if "vqa_lib/rewards/threshold.py" in code_files(NOTEBOOKS / f"{run.notebook}.ipynb", run.params)
    }
    assert touched == {f"vqathinker/{run}q_insight_seed0" for run in ("train_", "", "understanding_")}
