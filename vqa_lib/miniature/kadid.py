"""The miniature of KADID-10k."""

from pathlib import Path

from vqa_lib.miniature.files import Draw, write_csv, write_file
from vqa_lib.miniature.mixes import ONE_TO_FIVE
from vqa_lib.miniature.world import DrawnClip, Source

# number of the distortion in file names -> ours; at levels 1, 3 and 5 of 5
TYPES = {1: "blur", 10: "compression", 11: "noise"}
VERSIONS = [(number, level) for number in TYPES for level in (1, 3, 5)]
_PLAN = ({}, *({TYPES[number]: level / 5} for number, level in VERSIONS))  # the scene as it was comes first
SOURCES = {"kadid": Source(9, "other", "image", ((112, 84),), {}, ONE_TO_FIVE, _PLAN, ".png")}


def write_kadid(root: Path, draw: Draw, counts: dict[str, int]) -> dict[str, DrawnClip]:
    """KADID-10k: `images/I01.png` the scene, `images/I01_01_01.png` a distortion at a level, `dmos.csv` on 1-5."""
    rows, truth = [], {}
    scenes = -(-counts["all"] // len(VERSIONS))
    clips = iter(draw("kadid", scenes * len(_PLAN)))
    for scene in range(1, scenes + 1):
        reference = f"I{scene:02d}.png"
        write_file(root / "images" / reference, next(clips).data)
        for number, level in VERSIONS:
            clip, name = next(clips), f"I{scene:02d}_{number:02d}_{level:02d}.png"
            if len(rows) < counts["all"]:
                write_file(root / "images" / name, clip.data)
                rows.append([name, reference, f"{clip.mos:.2f}", f"{clip.sd**2:.3f}"])
                truth[name] = clip
    write_csv(root / "dmos.csv", ["dist_img", "ref_img", "dmos", "var"], rows)
    return truth
