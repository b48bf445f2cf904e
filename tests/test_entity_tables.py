"""FingER's Table 1: is the advantage of questions that of the scores it is read from?"""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from made_up_runs import write_finger_run
from scipy import stats

from vqa_lib.entity_scores import SHORT, score_clips_by_entities
from vqa_lib.entity_tables import granularity_differences
from vqa_lib.predictions import predictions_table
from vqa_lib.seed_tables import differences_in_words

ROOT = Path(__file__).parents[1]


def test_differences_are_those_of_the_predictions(tmp_path, monkeypatch):
    for name in ("notebooks", "params"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.setenv("VQA_PROJECT", str(tmp_path))
    monkeypatch.setenv("VQA_RESULTS", str(tmp_path / "results"))
    folder = write_finger_run("answers_zero_shot", 0).path / "predictions"
    scored = score_clips_by_entities(predictions_table(folder / "before.jsonl")).set_index("clip")
    found = granularity_differences("tiny", [0]).set_index("minus")
    for level in ("overall level", "dimension level"):
        rated = predictions_table(folder / f"before {level}.jsonl").set_index("name")
        both = scored.loc[rated.index]  # a clip that is not asked about in every dimension has no five ratings
        columns = ["prediction"] if level == "overall level" else [f"prediction_{name}" for name in SHORT]
        srcc = [
            stats.spearmanr(values, both["target_overall"]).statistic
            for values in (both["prediction_overall"], rated[columns].mean(axis=1))
        ]
        assert found.loc[level, "difference"] == pytest.approx(srcc[0] - srcc[1])
        assert found.loc[level, "low"] <= found.loc[level, "difference"] <= found.loc[level, "high"]
        assert found.loc[level, "n"] == len(rated)


def test_sentences_count_the_seeds_that_are_sure():
    rows = [
        {"minus": "overall level", "seed": seed, "difference": difference, "low": low, "high": high}
        for seed, (difference, low, high) in enumerate([(0.2, 0.1, 0.3), (0.1, -0.1, 0.2), (-0.3, -0.4, -0.2)])
    ]
    assert differences_in_words(pd.DataFrame(rows), "Entities") == (
        "Entities minus overall level: 0.000 (-0.300 to 0.200) on average over 3 seeds; surely better in 1, "
        "surely worse in 1."
    )
