"""Methods that nobody taught what people like: they score a video by how unnatural it looks.

VQAThinker's Table 1 calls them unsupervised. VIIDEO is computed here, NIQE by pyiqa, which is no dependency of this
package and downloads a file of its own. Two more of that table are not here: CLIP-IQA needs a large model's weights,
STEM has no library.
"""

import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from vqa_lib.answering import claim
from vqa_lib.predictions import predictions_table, without_row
from vqa_lib.records import ScoredClip
from vqa_lib.video import FramePolicy, VideoError, check_readable, read_luma, read_video
from vqa_lib.viideo import viideo

METHODS = ("VIIDEO", "NIQE")
NIQE_BLOCK = 96  # pixels a side; of one block alone no covariance can be estimated


def score_unsupervised(clips: Sequence[ScoredClip], method: str, output: str | Path) -> pd.DataFrame:
    """Scores of every clip by a method in METHODS; HIGHER is better: both have their sign turned.

    **Source**: VQAThinker, Table 1 and its appendix. VIIDEO sees all frames of a clip; NIQE, an image method, sees one
    a second, and these scores are averaged. Frames are seen at full size.

    output: a .jsonl file; lines already there are kept, so that an interrupted run goes on.

    Returns:
        One row a clip in the order given: dataset, split, name, mos and target (published scale), prediction (NaN where
        the method is undefined for a clip).

    Raises:
        ValueError: an unknown method; the output file belongs to other settings; for NIQE, a frame with less than two
            blocks of 96 x 96 pixels.
        VideoError: a file that cannot be read; every file is opened before the first is scored.
        RuntimeError: pyiqa is not installed, or its files are not at hand.

    Example:
        score_unsupervised(load_clips("konvid", "data/konvid", "all"), "VIIDEO", "viideo.jsonl")
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    score, settings = (_viideo, {}) if method == "VIIDEO" else _niqe()
    for path, reason in check_readable((clip.path, clip.kind) for clip in clips):
        raise VideoError(path, reason)
    output = claim(output, {"method": method, **settings})
    owed = without_row(clips, output)
    with output.open("a", encoding="utf-8") as file:
        for clip in tqdm(owed, desc=method, unit="clip", mininterval=5):
            value = score(clip.path)
            row = {"dataset": clip.dataset, "split": clip.split, "name": clip.name, "mos": clip.mos, "target": clip.mos}
            file.write(json.dumps(row | {"prediction": value if np.isfinite(value) else None}) + "\n")
            file.flush()
    return predictions_table(output, clips)


def _viideo(path: Path) -> float:
    return -viideo(read_luma(path))


def _niqe() -> tuple[Callable[[Path], float], dict]:
    """How a clip is scored by pyiqa's NIQE, and what else decides the scores."""
    try:
        pyiqa = importlib.import_module("pyiqa")
    except ImportError as error:
        raise RuntimeError(f"NIQE is pyiqa's, which cannot be imported ({error}); pip install pyiqa") from None
    try:
        metric = pyiqa.create_metric("niqe")
    except OSError as error:  # it downloads what it has not kept
        raise RuntimeError(f"pyiqa has no parameters of NIQE, and cannot download them: {error}") from error
    one_a_second = FramePolicy(count=None, fps=1.0, min_frames=1, max_frames=10**6)

    def score(path: Path) -> float:
        frames = torch.from_numpy(read_video(path, one_a_second).pixels).permute(0, 3, 1, 2)
        height, width = frames.shape[2:]
        if (height // NIQE_BLOCK) * (width // NIQE_BLOCK) < 2:
            blocks = f"two blocks of {NIQE_BLOCK} x {NIQE_BLOCK} pixels"
            raise ValueError(f"{path}: NIQE needs {blocks}, got frames of {width} x {height}")
        return -float(np.mean([metric(frame[None] / 255).item() for frame in frames]))

    return score, {"pyiqa": pyiqa.__version__}
