"""The miniature of KonIQ-10k."""

from pathlib import Path

import numpy as np

from vqa_lib.miniature.files import Draw, write_csv, write_file
from vqa_lib.miniature.mixes import ONE_TO_FIVE, PHOTOGRAPHS_TAKEN, ZERO_TO_HUNDRED
from vqa_lib.miniature.world import DrawnClip, Source
from vqa_lib.records import rescale

SOURCES = {
    "koniq": Source(1, "train", "image", ((112, 84),), PHOTOGRAPHS_TAKEN, ONE_TO_FIVE),
    "koniq_test": Source(2, "test", "image", ((112, 84),), PHOTOGRAPHS_TAKEN, ONE_TO_FIVE),
}


def write_koniq(root: Path, draw: Draw, counts: dict[str, int]) -> dict[str, DrawnClip]:
    """KonIQ-10k: `1024x768/*.jpg`, one CSV with the rating histogram on 1-5, one with the official sets on 0-100."""
    histogram = ["c1", "c2", "c3", "c4", "c5", "c_total"]
    scores, sets, truth = [], [], {}
    train = draw("koniq", counts["training"] + counts["validation"])
    test = draw("koniq_test", counts["test"])
    members = [("training", clip) for clip in train[: counts["training"]]]
    members += [("validation", clip) for clip in train[counts["training"] :]]
    members += [("test", clip) for clip in test]
    for number, (split, clip) in enumerate(members):
        name = f"{10004473376 + 7919 * number}.jpg"
        write_file(root / "1024x768" / name, clip.data)
        stars = np.clip(np.round(1 + 4 * clip.ratings), 1, 5).astype(int)
        bins = [int((stars == star).sum()) for star in range(1, 6)] + [len(stars)]
        on_hundred = rescale(clip.mos, ONE_TO_FIVE, ZERO_TO_HUNDRED)
        scores.append([name, *bins, f"{clip.mos:.6f}", f"{clip.sd:.6f}", f"{on_hundred:.6f}"])
        sets.append([name, *bins, f"{on_hundred:.6f}", f"{clip.sd * 25:.6f}", split])
        truth[name] = clip
    write_csv(
        root / "koniq10k_scores_and_distributions.csv", ["image_name", *histogram, "MOS", "SD", "MOS_zscore"], scores
    )
    write_csv(root / "koniq10k_distributions_sets.csv", ["image_name", *histogram, "MOS", "SD", "set"], sets)
    return truth
