"""The miniature of SPAQ."""

from pathlib import Path

from vqa_lib.miniature.files import Draw, write_file, write_xlsx
from vqa_lib.miniature.mixes import PHOTOGRAPHS_TAKEN, ZERO_TO_HUNDRED
from vqa_lib.miniature.world import DrawnClip, Source

SOURCES = {"spaq": Source(8, "other", "image", ((112, 84),), PHOTOGRAPHS_TAKEN, ZERO_TO_HUNDRED)}
# attribute -> the distortions that spoil it
ATTRIBUTES = {
    "Brightness": ["exposure"],
    "Colorfulness": ["cast"],
    "Contrast": ["exposure", "compression"],
    "Noisiness": ["noise"],
    "Sharpness": ["blur", "downscaling"],
}


def write_spaq(root: Path, draw: Draw, counts: dict[str, int]) -> dict[str, DrawnClip]:
    """SPAQ: `TestImage/00001.jpg`, `Annotations/MOS and Image attribute scores.xlsx`, all scores on 0-100."""
    rows, truth = [["Image name", "MOS", *ATTRIBUTES]], {}
    for number, clip in enumerate(draw("spaq", counts["all"]), 1):
        name = f"{number:05d}.jpg"
        write_file(root / "TestImage" / name, clip.data)
        rows.append([name, round(clip.mos, 2), *attributes(clip.strengths).values()])
        truth[name] = clip
    write_xlsx(root / "Annotations" / "MOS and Image attribute scores.xlsx", {"Sheet1": rows})
    return truth


def attributes(strengths: dict[str, float]) -> dict[str, float]:
    """The five attribute scores (0-100, higher is better): 90 less what the distortions take."""
    return {
        attribute: round(90 - 80 * max(strengths.get(name, 0) for name in spoilers), 2)
        for attribute, spoilers in ATTRIBUTES.items()
    }
