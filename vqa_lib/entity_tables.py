"""What the table notebooks of FingER read from finished runs beside their figures."""

from collections.abc import Sequence

import pandas as pd

from vqa_lib.entity_scores import SHORT, score_clips_by_entities
from vqa_lib.metrics import paired_bootstrap
from vqa_lib.predictions import predictions_table
from vqa_lib.workflow import finished_run

LEVELS = ("overall level", "dimension level")


def granularity_differences(profile: str, seeds: Sequence[int]) -> pd.DataFrame:
    """SRCC of the overall score by questions about entities minus that by one rating, or five, on the same clips.

    Of the run answers_zero_shot, with probabilities. A clip counts where both gave a score.

    Returns: columns minus ("overall level" or "dimension level"), seed, difference (positive: entities are better),
    low, high (95 %), p, n.

    Raises:
        RunError: a run is not finished.
    """
    rows = []
    for seed in seeds:
        folder = finished_run("finger", "answers_zero_shot", profile, seed).path / "predictions"
        entities = score_clips_by_entities(predictions_table(folder / "before.jsonl").astype({"probability": float}))
        for level in LEVELS:
            rated = predictions_table(folder / f"before {level}.jsonl")
            if "prediction" not in rated:  # five ratings, of which the mean is the overall one
                ratings = rated[[f"prediction_{name}" for name in SHORT]]
                rated = rated.assign(prediction=ratings.mean(axis=1, skipna=False))
            both = entities.merge(
                rated[["dataset", "split", "name", "prediction"]].rename(columns={"name": "clip"}),
                on=["dataset", "split", "clip"],
            )
            found = paired_bootstrap(both["prediction_overall"], both["prediction"], both["target_overall"], "srcc")
            counted = both[["prediction_overall", "prediction"]].notna().all(axis=1).sum()
            rows.append({"minus": level, "seed": seed, **found._asdict(), "n": int(counted)})
    return pd.DataFrame(rows)
