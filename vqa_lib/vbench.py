"""Read what VBench says of a generator: its result files, and the three averages of its leaderboard.

VBench itself runs in an environment of its own (its pinned torch does not fit ours); only its result files come here.
Source of ranges and weights: VBench's `scripts/constant.py` and `scripts/cal_final_score.py`.
"""

import json
import math
from pathlib import Path

# dimension -> lowest and highest score on the leaderboard, which become 0 and 1
QUALITY = {
    "subject_consistency": (0.1462, 1.0),
    "background_consistency": (0.2615, 1.0),
    "temporal_flickering": (0.6293, 1.0),
    "motion_smoothness": (0.706, 0.9975),
    "aesthetic_quality": (0.0, 1.0),
    "imaging_quality": (0.0, 1.0),
    "dynamic_degree": (0.0, 1.0),
}
SEMANTIC = {
    "object_class": (0.0, 1.0),
    "multiple_objects": (0.0, 1.0),
    "human_action": (0.0, 1.0),
    "color": (0.0, 1.0),
    "spatial_relationship": (0.0, 1.0),
    "scene": (0.0, 0.8222),
    "appearance_style": (0.0009, 0.2855),
    "temporal_style": (0.0, 0.364),
    "overall_consistency": (0.0, 0.364),
}
HALF_WEIGHT = "dynamic_degree"
QUALITY_SHARE = 4 / 5  # of the overall score; the rest is semantic


class VBenchError(ValueError):
    """Result files that cannot be used; the message names the file or folder and the dimension."""


def read_vbench(folder: str | Path) -> dict[str, float]:
    """The scores of one generator by dimension, from all `*_eval_results.json` in a folder.

    Each file is {dimension: [score, list of videos]}. The score of imaging quality is on 0 to 100 in older versions of
    VBench and on 0 to 1 in newer ones; here it is on 0 to 1, as all others.

    Raises:
        VBenchError: no such files, a file of another form, or a dimension that two files score differently.

    Example:
        read_vbench("vbench/base")["motion_smoothness"]  # 0.97
    """
    files = sorted(Path(folder).glob("*_eval_results.json"))
    if not files:
        raise VBenchError(f"{folder}: no VBench results (*_eval_results.json)")
    scores = {}
    for file in files:
        try:
            found = {name: float(result[0]) for name, result in json.loads(file.read_text(encoding="utf-8")).items()}
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            raise VBenchError(f"{file}: expected {{dimension: [score, list of videos]}}") from None
        for name, score in found.items():
            if name not in {**QUALITY, **SEMANTIC}:
                raise VBenchError(f"{file}: {name}: not a dimension of VBench's text-to-video suite")
            score = score / 100 if name == "imaging_quality" and score > 1 else score
            if not (math.isfinite(score) and 0 <= score <= 1):
                raise VBenchError(f"{file}: {name}: expected a score from 0 to 1, found {score}")
            if scores.setdefault(name, score) != score:
                raise VBenchError(f"{file}: {name}: another file of the folder says {scores[name]}, this one {score}")
    return scores


def vbench_averages(scores: dict[str, float]) -> dict[str, float]:
    """Quality, semantic and overall score of the leaderboard, each about 0 to 1, higher is better.

    Each dimension is put on its range; quality is the mean of 7 dimensions (the dynamic degree weighs half), semantic
    of 9, overall (4 quality + 1 semantic) / 5. The official script takes 0 for a dimension that is missing; here
    that is an error.

    Raises:
        VBenchError: a dimension is missing.

    Example:
        >>> best = {name: high for name, (low, high) in {**QUALITY, **SEMANTIC}.items()}
        >>> vbench_averages(best)
        {'overall': 1.0, 'quality': 1.0, 'semantic': 1.0}
    """
    if missing := [name for name in (*QUALITY, *SEMANTIC) if name not in scores]:
        raise VBenchError(f"the averages need all 16 dimensions of VBench; missing: {', '.join(missing)}")
    quality, semantic = _weighted(scores, QUALITY), _weighted(scores, SEMANTIC)
    overall = QUALITY_SHARE * quality + (1 - QUALITY_SHARE) * semantic
    return {"overall": overall, "quality": quality, "semantic": semantic}


def _weighted(scores: dict[str, float], ranges: dict[str, tuple[float, float]]) -> float:
    weights = {name: 0.5 if name == HALF_WEIGHT else 1.0 for name in ranges}
    total = sum(weights[name] * (scores[name] - low) / (high - low) for name, (low, high) in ranges.items())
    return total / sum(weights.values())
