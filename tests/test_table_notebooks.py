"""The notebooks of tables and figures, executed on made-up runs of two seeds."""

import json
import re
import shutil

import pandas as pd
import pytest
from made_up_runs import write_finger_run, write_run, write_vqathinker_run

from vqa_lib.paths import PACKAGE
from vqa_lib.results import RunError
from vqa_lib.run_notebook import run_notebook
from vqa_lib.workflow import finished_run, read_tables_file

ROOT = PACKAGE.parent
# Notebook -> the tables and figures that it must save.
TABLES = {
    "vq_insight/table1_preference": ["table1", "differences", "order_bias", "diff"],
    "vq_insight/table2_multi_dim": ["table2", "differences", "srcc"],
    "vq_insight/table3_natural": ["table3", "differences", "table3_all_metrics", "order_awareness", "srcc"],
    "vq_insight/table4_ablation": ["table4", "whole_against_rows", "agreement", "srcc"],
    "vq_insight/table5_ablation": ["table5", "whole_against_rows", "agreement", "diff"],
    "vq_insight/table6_generator": ["generator", "gains", "table6"],
    "vq_insight/figure3_reasoning": ["reasoning", "right"],
    "vq_insight/figure4_frames": ["frames", "clips"],
    "vqathinker/table1_benchmarks": ["table1", "averages", "differences", "srcc"],
    "vqathinker/table2_attribution": ["table2", "differences", "accuracy"],
    "vqathinker/table3_description": ["table3", "differences", "accuracy"],
    "vqathinker/table4_ablation": ["table4", "table8", "whole_against_rows", "agreement", "srcc"],
    "vqathinker/table7_sft": ["table7", "differences", "agreement", "srcc"],
    "vqathinker/table_beyond": ["scaling", "gains", "pseudo_ranks", "differences"],
    "vqathinker/figure4_damages": ["damages"],
    "vqathinker/figure5_reasoning": ["reasoning"],
    "finger/table1_granularity": ["table1", "differences", "srcc"],
    "finger/table2_protocols": ["table2", "differences", "srcc"],
    "finger/table3_benchmarks": ["table3", "differences", "benchmarks"],
    "finger/figure3_resolution": ["resolution", "accuracy"],
    "finger/figure4_reasons": ["reasons"],
}
SEEDS = (0, 1)


@pytest.fixture(scope="module")
def project(tmp_path_factory, warm_python):
    """A checkout with all notebooks, results of two made-up seeds of every run, and nothing of this machine's."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("notebooks", "params"):
        shutil.copytree(ROOT / name, folder / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VQA_PROJECT", str(folder))
        patch.setenv("VQA_RESULTS", str(folder / "results"))
        patch.setenv("VQA_CACHE", str(folder / "cache"))
        for name in read_tables_file("vq_insight")["runs"]:
            if name != "warm_up":
                for seed in SEEDS:
                    write_run(name, seed)
        for name in read_tables_file("vqathinker")["runs"]:
            for seed in SEEDS:
                write_vqathinker_run(name, seed)
        for name in read_tables_file("finger")["runs"]:
            for seed in SEEDS:
                write_finger_run(name, seed)
        yield folder


@pytest.mark.parametrize("notebook", TABLES)
def test_table_notebook_runs(notebook, project):
    run = run_notebook(notebook, overrides=["seeds=[0, 1]"])
    for name in TABLES[notebook]:
        saved = {path.suffix for path in run.glob(f"*/{name}.*")}
        assert saved in ({".csv", ".md", ".tex"}, {".csv", ".pdf", ".png"}, {".csv", ".md", ".tex", ".pdf", ".png"})
    assert list(run.glob("figures/*.png"))
    assert json.loads((run / "metrics.json").read_text())["runs"]
    if notebook.split("/")[1].startswith("table"):
        assert "Profile: tiny." in (run / "tables" / f"{TABLES[notebook][0]}.md").read_text()


def table(notebook, name):
    run = run_notebook(notebook, overrides=["seeds=[0, 1]"])
    return pd.read_csv(run / "tables" / f"{name}.csv", dtype=str, keep_default_na=False)


def test_a_row_a_seed_and_the_mean_stand_below_the_papers(project):
    shown = table("vq_insight/table1_preference", "table1")
    assert len(shown[shown["whose"] == "VQ-Insight, Table 1"]) == 8 * 2
    ours = shown[(shown["method"] == "VQ-Insight (stage 2)") & (shown["metric"] == "tau")]
    assert ours["whose"].unique().tolist() == ["ours, tiny"]
    assert ours["seed"].tolist() == ["0", "1", "mean of 2"]
    for column in ("genai_bench/votes", "visionreward_pairs/test"):
        assert all(re.fullmatch(r"\d+\.\d\d [\[(].*[\])], n = \d+", cell) for cell in ours[column])
    mean, *single = (float(cell.split()[0]) for cell in ours["genai_bench/votes"][::-1])
    assert mean == pytest.approx(sum(single) / 2, abs=0.02)
    assert shown["method"].nunique() == 8 + 5


def test_natural_video_has_the_means_and_does_without_the_optional_runs(project):
    shown = table("vq_insight/table3_natural", "table3")
    ours = shown[shown["whose"] == "ours, tiny"]
    assert ours["method"].nunique() == 5
    assert ours.groupby(["method", "metric"])["seed"].agg(list).tolist() == [["0", "1", "mean of 2"]] * 10
    assert len(table("vq_insight/table3_natural", "order_awareness")) == len(SEEDS)  # not of the Q-Insight-style runs

    marker = finished_run("vq_insight", "natural_q_insight", "tiny", 1).path / "DONE"
    marker.unlink()
    folder = run_notebook("vq_insight/table3_natural", overrides=["seeds=[0, 1]"], force=True)
    shown = pd.read_csv(folder / "tables" / "table3.csv", dtype=str)
    ours = shown.loc[shown["whose"] == "ours, tiny", "method"]
    assert list(dict.fromkeys(ours)) == ["zero-shot after the image warm-up", "SFT", "VQ-Insight"]
    marker.write_text("{}")


def test_the_figure_says_why_its_pair_was_chosen(project):
    def shown(*overrides):
        run = run_notebook("vq_insight/figure3_reasoning", overrides=["seeds=[0, 1]", *overrides])
        return json.loads((run / "metrics.json").read_text())

    chosen = shown()
    assert chosen["why"].startswith("chosen because it is the first of ")
    other, whole = chosen["responses"]
    assert whole["judge"] == "VQ-Insight (stage 2)"
    assert whole["answer"] == whole["preference"] != other["answer"]
    assert shown("number=1")["why"] == "chosen by its number, 1"


def test_the_ablation_says_which_signs_agree(project):
    run = run_notebook("vq_insight/table4_ablation", overrides=["seeds=[0, 1]"])
    words = json.loads((run / "metrics.json").read_text())["in words"]
    # The made-up whole misses by half as much as the made-up rows.
    assert words.splitlines()[0].startswith("(a) without warm-up: agrees with the paper's sign in PLCC, KRCC, SRCC")
    differences = table("vq_insight/table4_ablation", "whole_against_rows")
    assert len(differences) == 3 * 3 * (len(SEEDS) + 1)  # and their mean
    assert set(differences["n"]) == {"40"}


def test_niqe_stands_in_table_1_where_it_was_run(project):
    shown = table("vqathinker/table1_benchmarks", "table1")
    ours = shown[(shown["whose"] == "ours, tiny") & (shown["metric"] == "SRCC")]
    assert ours.groupby("method").size().to_dict() == dict.fromkeys(
        ["NIQE", "VIIDEO", "zero-shot (what training starts from)", "Q-Insight", "VisualQuality-R1", "VQAThinker"], 3
    )
    assert {"VIIDEO", "NIQE"} <= set(table("vqathinker/table1_benchmarks", "differences")["row"])

    marker = finished_run("vqathinker", "niqe", "tiny", 1).path / "DONE"
    marker.unlink()
    with pytest.raises(RunError, match=r"make it with: vqa run vqathinker/unsupervised .* baseline=NIQE$"):
        finished_run("vqathinker", "niqe", "tiny", 1)
    folder = run_notebook("vqathinker/table1_benchmarks", overrides=["seeds=[0, 1]"], force=True)
    without = pd.read_csv(folder / "tables" / "table1.csv", dtype=str, keep_default_na=False)
    assert set(ours["method"]) - set(without.loc[without["whose"] == "ours, tiny", "method"]) == {"NIQE"}
    assert without.loc[without["method"] == "NIQE", "whose"].unique().tolist() == ["VQAThinker, Table 1"]
    marker.write_text("{}")


def test_vqathinkers_tables_have_all_test_sets_and_their_averages(project):
    shown = table("vqathinker/table1_benchmarks", "table1")
    ours = shown[(shown["whose"] == "ours, tiny") & (shown["method"] == "VQAThinker") & (shown["metric"] == "SRCC")]
    assert ours["seed"].tolist() == ["0", "1", "mean of 2"]
    places = [name for name in shown if "/" in name]
    assert len(places) == 12 and all(cell for name in places for cell in ours[name])
    assert "n = 60" in ours["overall/in_domain"].iloc[0]
    rows = table("vqathinker/table4_ablation", "whole_against_rows")
    assert len(rows) == 5 * 10 * 2 * (len(SEEDS) + 1)
    attribution = table("vqathinker/table2_attribution", "table2")
    ours = attribution[attribution["whose"] == "ours, tiny"]
    assert ours["method"].nunique() == 4 and all(ours["finevd/test/overall"])
    described = table("vqathinker/table3_description", "table3")
    ours = described[described["whose"] == "ours, tiny"]
    assert all(ours["q_bench_video/dev/global"]) and all(ours["q_bench_video/dev/overall"])
    for notebook, places in {"vqathinker/table2_attribution": 6, "vqathinker/table3_description": 3}.items():
        differences = table(notebook, "differences")
        assert len(differences) == 3 * places * (len(SEEDS) + 1)
        whole = differences[differences["dataset"].str.endswith("/overall") & differences["row"].str.startswith("zero")]
        assert whole["surely"].tolist() == ["better", "better", "better in 2, worse in 0 of 2"]


def test_fingers_tables_are_in_percent_and_say_what_is_sure(project):
    shown = table("finger/table2_protocols", "table2")
    ours = shown[(shown["whose"] == "ours, tiny") & (shown["method"] == "FingER + GRPO, with probability")]
    assert ours["metric"].tolist() == ["accuracy"] * 3 + ["SRCC"] * 3 + ["PLCC"] * 3
    best = ours[(ours["metric"] == "accuracy") & (ours["seed"] == "0")]["finger/test/overall"].iloc[0]
    assert 88 < float(best.split()[0]) <= 100
    differences = table("finger/table2_protocols", "differences")
    assert len(differences) == 2 * 4 * (len(SEEDS) + 1)
    assert (differences[differences["of"] == "FingER + GRPO"]["low"].astype(float) > 0).all()
    granularity = table("finger/table1_granularity", "table1")
    ours = granularity[granularity["whose"] == "ours, tiny"]
    assert ours["method"].nunique() == 6
    differences = table("finger/table1_granularity", "differences")
    assert differences["minus"].tolist() == ["overall level"] * 3 + ["dimension level"] * 3
    assert (differences["n"].astype(int) > 0).all() and differences["difference"].astype(float).notna().all()
    differences = table("finger/table3_benchmarks", "differences")
    assert len(differences) == (1 + 2 + 3 + 4) * 4 * (len(SEEDS) + 1)
    best = differences[(differences["of"] == "FingER + GRPO") & (differences["metric"] == "plcc")]
    assert (best["low"].astype(float) > 0).all()
    levels = ours[ours["method"] == "overall level"]
    assert set(levels["metric"]) == {"SRCC", "PLCC"} and all(levels["finger/test/overall"])


def test_vbench_results_stand_beside_the_papers(project, tmp_path):
    from vqa_lib.vbench import QUALITY, SEMANTIC

    for model in ("base", "dpo", "united"):
        (tmp_path / model).mkdir()
        scores = {name: [high, []] for name, (_, high) in {**QUALITY, **SEMANTIC}.items()}
        (tmp_path / model / "results_eval_results.json").write_text(json.dumps(scores))
    run = run_notebook("vq_insight/table6_generator", overrides=[f"vbench={tmp_path}"])
    shown = pd.read_csv(run / "tables" / "table6.csv", dtype=str)
    assert shown[shown["whose"] == "ours, tiny"]["overall"].tolist() == ["1.0000"] * 3
    assert shown.loc[shown["method"] == "VQ-Insight", "overall"].tolist() == ["0.8185"]
    # Runs on real prompts have no measures of the world; their VBench results are shown all the same.
    plain = run_notebook("vq_insight/table6_generator", overrides=[f"vbench={tmp_path}", "world_measures=false"])
    assert pd.read_csv(plain / "tables" / "table6.csv", dtype=str).equals(shown)
    assert not list(plain.glob("*/gains.*"))


def test_a_missing_run_is_one_line_with_its_command(project):
    with pytest.raises(RunError, match="vqa run vq_insight/stage2_multi_dim --profile tiny -p seed=7"):
        run_notebook("vq_insight/table2_multi_dim", overrides=["seeds=[7]"])
