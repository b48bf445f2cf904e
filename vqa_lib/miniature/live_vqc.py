"""The miniature of LIVE-VQC."""

from pathlib import Path

from vqa_lib.miniature.files import Draw, write_file, write_mat
from vqa_lib.miniature.mixes import MOBILE_VIDEO, ZERO_TO_HUNDRED
from vqa_lib.miniature.world import DrawnClip, Source

SIZES = ((84, 56), (56, 84), (84, 56), (96, 54))
SOURCES = {"live_vqc": Source(7, "other", "video", SIZES, MOBILE_VIDEO, ZERO_TO_HUNDRED)}


def write_live_vqc(root: Path, draw: Draw, counts: dict[str, int]) -> dict[str, DrawnClip]:
    """LIVE-VQC: `Video/A001.mp4`, `data.mat` (MATLAB 5) with `video_list` (n x 1 cell) and `mos` (n x 1)."""
    truth = {f"A{number + 1:03d}.mp4": clip for number, clip in enumerate(draw("live_vqc", counts["all"]))}
    for name, clip in truth.items():
        write_file(root / "Video" / name, clip.data)
    variables = {"video_list": list(truth), "mos": [clip.mos for clip in truth.values()]}
    write_mat(root / "data.mat", variables, "miniature of LIVE-VQC")
    return truth
