"""The miniature of VDPVE."""

from pathlib import Path

from vqa_lib.miniature.files import Draw, write_file
from vqa_lib.miniature.mixes import ZERO_TO_HUNDRED
from vqa_lib.miniature.world import DrawnClip, Source

# What each of four enhancements left to be desired; the subsets A, B, C are those of colour, shake and blur.
_PLAN = ({"noise": 0.4}, {"blur": 0.3, "exposure": 0.4}, {"exposure": 0.2}, {"jitter": 0.6, "cast": 0.5})
SOURCES = {"vdpve": Source(15, "other", "video", ((96, 54),), {}, ZERO_TO_HUNDRED, _PLAN)}


def write_vdpve(root: Path, draw: Draw, counts: dict[str, int]) -> dict[str, DrawnClip]:
    """VDPVE: `train/<subset><scene>_<method>.mp4`, `train.txt` with name and MOS (a space between: not published)."""
    lines, truth = [], {}
    for number, clip in enumerate(draw("vdpve", counts["train"])):
        scene, version = divmod(number, len(_PLAN))
        name = f"{'ABC'[scene % 3]}{23 + scene:04d}_{version + 1:02d}"
        write_file(root / "train" / f"{name}.mp4", clip.data)
        lines.append(f"{name}.mp4 {clip.mos:.4f}\n")
        truth[name] = clip
    write_file(root / "train.txt", "".join(lines).encode())
    return truth
