"""Every notebook executed by papermill at smoke size, in the order a reader goes, by the code that users run."""

import json
from pathlib import Path

import nbformat
import pytest
from test_table_notebooks import TABLES

from vqa_lib.run_notebook import run_notebook

ROOT = Path(__file__).parents[1]
COMMON = ["data_scale=0.03", "queries=2", "group=2"]
STAGE = [*COMMON, "steps=2", "tokens=2000", "held_out=4"]
# In order: a stage reads the run of the stage before it, a table the runs of a stage.
SMOKE = {
    "02_starter": [
        "data_scale=0.03",
        "hidden=64",
        "layers=2",
        "eyes_steps=3",
        "more_eyes_steps=3",
        "answer_steps=3",
        "choice_steps=3",
        "generator_texts=4",
        "clips_a_prompt=3",
        "clips_to_see=2",
        "pairs_by_generator=8",
        "more_pairs_by_generator=8",
        "spoiling_steps=3",
        "clips_a_step=8",
        "generated_scale=1",
        "worlds=[1]",
        "pairs=20",
        "questions=20",
        "test_generated_scale=1",
        "held_out=8",
    ],
    "03_ceiling": ["data_scale=0.03", "steps=3", "clips_a_step=8", "held_out=4"],
    "04_generator": [
        "clips=6",
        "vae_steps=2",
        "plain_steps=2",
        "denoiser_steps=2",
        "clips_a_step=2",
        "prompts=2",
        "sampling_steps=1",
    ],
    "01_rewards_and_metrics": ["pairs=100", "videos=40", "resamples=20"],
    "00_quickstart": [*COMMON, "stage1_steps=2", "stage2_steps=2", "held_out=4"],
    "07_viewer": ["clips=4"],
    "vq_insight/stage1_image": STAGE,
    "vq_insight/stage2_natural": STAGE,
    "vq_insight/stage2_multi_dim": [*STAGE, "data_scale=1"],
    "vq_insight/stage2_preference": [*STAGE, "data_scale=1", "test_scale=1"],
    "vq_insight/stage3_united": [
        *STAGE,
        "data_scale=1",
        "test_scale=1",
        "prompts=3",
        "test_prompts=2",
        "candidates=2",
        "judge_samples=2",
        "test_clips=1",
        "sampling_steps=2",
        "dpo_steps=2",
        "dpo_pairs=1",
        "examples=6",
    ],
    "vq_insight/baseline_sft": ["data_scale=1", "queries=2", "steps=2", "tokens=2000", "held_out=4"],
    "05_motion_starter": [
        "data_scale=0.03",
        "worlds=[2]",
        "questions_scale=0.3",
        "test_scale=0.03",
        "hidden=64",
        "layers=2",
        "image_size=56",
        "motion_steps=2",
        "eyes_steps=2",
        "answer_steps=2",
        "spoiling_steps=2",
        "clips_a_step=4",
        "held_out=4",
    ],
    "vqathinker/train": [*STAGE, "contrast=1"],
    "vqathinker/sft": ["data_scale=0.03", "queries=2", "steps=2", "tokens=2000", "held_out=4"],
    "vqathinker/benchmarks": ["data_scale=0.03", "other_scale=0.1", "held_out=3"],
    "vqathinker/unsupervised": ["data_scale=0.03", "other_scale=0.1", "held_out=3"],
    "vqathinker/understanding": ["data_scale=0.3", "held_out=3"],
    "vqathinker/scaling": ["samples=2", "held_out=4"],
    "vqathinker/pseudo_ranks": [*STAGE, "videos=2"],
    "06_entity_starter": [
        "data_scale=0.5",
        "worlds=[1]",
        "test_scale=0.5",
        "answer_steps=2",
        "spoiling_steps=2",
        "size=4",
        "held_out=14",
    ],
    "finger/sft": [
        "method=finger/sft_reason",
        "data_scale=0.5",
        "queries=2",
        "steps=2",
        "tokens=2000",
        "held_out=14",
    ],
    "finger/grpo": [*STAGE, "data_scale=0.5", "held_out=14"],
    "finger/answers": ["data_scale=0.5", "held_out=28", "zero_shot=true"],
    "finger/benchmarks": [
        "data_scale=0.5",
        "held_out=12",
        "fit_share=0.5",
        "model=vqa_lib/models/entity_starter_weights",
    ],
    "finger/resolution": ["data_scale=0.5", "held_out=14", "pixels=[1176]", "rates=[2.0]"],
}
# Folders of one world and scale; where none is named, the quickstart's.
DATA = {
    "02_starter": "starter_world",
    "vq_insight/stage2_multi_dim": "generated",
    "vq_insight/stage2_preference": "generated",
    "vq_insight/stage3_united": "generated",
    "vq_insight/baseline_sft": "generated",
    "05_motion_starter": "motion_starter_world",
    "vqathinker/understanding": "understanding",
    "06_entity_starter": "entity_starter_world",
    "finger/sft": "finger",
    "finger/grpo": "finger",
    "finger/answers": "finger",
    "finger/benchmarks": "finger_benchmarks",
    "finger/resolution": "finger",
}


def test_no_notebook_is_forgotten():
    found = {
        str(path.relative_to(ROOT / "notebooks").with_suffix("")) for path in (ROOT / "notebooks").rglob("*.ipynb")
    }
    assert found == set(SMOKE) | set(TABLES)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, warm_python):
    """Results and data of the smoke runs, in a folder that all of them share: later notebooks read earlier runs."""
    folder = tmp_path_factory.mktemp("notebooks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VQA_RESULTS", str(folder / "results"))
        patch.setenv("VQA_CACHE", str(folder / "cache"))
        yield folder


@pytest.mark.parametrize("notebook", SMOKE)
def test_notebook_runs(notebook, workplace):
    overrides = list(SMOKE[notebook])
    if any(part.startswith("data_scale") for part in overrides):
        overrides.append(f"data={workplace / DATA.get(notebook, 'miniature')}")
    if notebook == "02_starter":
        overrides += [f"output={workplace / 'starter'}", f"test_data={workplace / 'miniature'}", "test_scale=0.03"]
        overrides.append(f"test_generated={workplace / 'generated'}")
    if notebook in ("vq_insight/stage2_preference", "vq_insight/stage3_united"):
        overrides.append(f"test_data={workplace / 'generated'}")
    if notebook == "04_generator":
        overrides.append(f"output={workplace / 'generator'}")
    if notebook == "05_motion_starter":
        overrides += [f"output={workplace / 'motion_starter'}", f"test_data={workplace / 'miniature'}"]
    if notebook == "06_entity_starter":
        overrides += [f"output={workplace / 'entity_starter'}", f"test_data={workplace / 'finger'}"]
    if notebook in ("finger/sft", "finger/resolution"):
        overrides.append(f"model={workplace / 'entity_starter'}")
    if notebook == "vqathinker/pseudo_ranks":
        overrides.append(f"copies={workplace / 'copies'}")
    if notebook in ("vqathinker/train", "vqathinker/sft", "vqathinker/pseudo_ranks"):
        overrides.append(f"model={workplace / 'motion_starter'}")
    if notebook in ("vqathinker/benchmarks", "vqathinker/unsupervised"):
        overrides.append(f"other_data={workplace / 'benchmarks'}")
    if notebook == "vqathinker/scaling":
        overrides.append(f"data={workplace / 'miniature'}")
    check_run(run_notebook(notebook, "tiny", overrides, []))


@pytest.mark.parametrize("method", ["vqathinker/no_motion", "q_insight"])
def test_vqathinker_is_trained_and_scored_by_other_recipes(method, workplace):
    data = f"data={workplace / 'miniature'}"
    overrides = [*SMOKE["vqathinker/train"], data, f"model={workplace / 'motion_starter'}", f"method={method}"]
    check_run(run_notebook("vqathinker/train", "tiny", overrides, []))
    overrides = [*SMOKE["vqathinker/benchmarks"], data, f"other_data={workplace / 'benchmarks'}", f"method={method}"]
    check_run(run_notebook("vqathinker/benchmarks", "tiny", [*overrides, "zero_shot=true"], []))


@pytest.mark.parametrize(("task", "scale"), [("natural", "0.03"), ("preference", "1")])
def test_the_supervised_baseline_takes_the_other_tasks(task, scale, workplace):
    overrides = [*SMOKE["vq_insight/baseline_sft"], f"task={task}", f"data_scale={scale}", "test_scale=1"]
    overrides += [f"data={workplace / ('miniature' if task == 'natural' else 'generated')}"]
    overrides += [f"test_data={workplace / 'generated'}"]
    check_run(run_notebook("vq_insight/baseline_sft", "tiny", overrides, []))


def check_run(run: Path) -> None:
    assert (run / "DONE").exists()
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics
    executed = nbformat.read(run / "executed.ipynb", 4)
    code = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [output for cell in code for output in cell.outputs if output.output_type == "error"]
    tables = list((run / "tables").glob("*.md"))
    assert tables, "no table was saved"
    assert all("Profile: tiny." in table.read_text() for table in tables)
    assert list((run / "figures").glob("*.png")), "no figure was saved"
