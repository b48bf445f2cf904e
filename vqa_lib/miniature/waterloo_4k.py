"""The miniature of Waterloo IVC 4K."""

from pathlib import Path

from vqa_lib.miniature.files import Draw, write_file
from vqa_lib.miniature.mixes import ZERO_TO_HUNDRED
from vqa_lib.miniature.world import DrawnClip, Source

SIZES = {"960x540": 0.6, "1920x1080": 0.25, "3840x2160": 0.0}  # -> strength of the downscaling
VERSIONS = [(size, level) for size in SIZES for level in range(1, 5)]
_PLAN = tuple({"downscaling": SIZES[size], "compression": level / 4} for size, level in VERSIONS)
SOURCES = {"waterloo_4k": Source(14, "other", "video", ((96, 54),), {}, ZERO_TO_HUNDRED, _PLAN)}
ENCODERS = ["HEVC", "H264", "VP9", "AVS2", "AV1"]


def write_waterloo_4k(root: Path, draw: Draw, counts: dict[str, int]) -> dict[str, DrawnClip]:
    """Waterloo IVC 4K: `<encoder>_<scene>_<size>_<level>.mp4` and `scores.txt`, five fields without a header.

    All is encoded as H.264, whatever the name says; the encoders take turns.
    """
    lines, truth = [], {}
    for number, clip in enumerate(draw("waterloo_4k", counts["all"])):
        scene, version = divmod(number, len(VERSIONS))
        size, level = VERSIONS[version]
        parts = [ENCODERS[number % len(ENCODERS)], f"{scene + 1:02d}", size, str(level)]
        name = "_".join(parts)
        write_file(root / f"{name}.mp4", clip.data)
        lines.append(", ".join([*parts, f"{clip.mos:.2f}"]))
        truth[name] = clip
    write_file(root / "scores.txt", "".join(f"{line}\n" for line in lines).encode())
    return truth
