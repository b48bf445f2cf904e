"""The miniature of LIVE-YT-HFR."""

from pathlib import Path

from vqa_lib.miniature.files import Draw, write_csv, write_file
from vqa_lib.miniature.mixes import ZERO_TO_HUNDRED
from vqa_lib.miniature.world import DrawnClip, Source

# (compression, frame rate) in file names -> what it does to the clip
VERSIONS = {
    (0, 120): {},
    (0, 60): {"stutter": 0.1},
    (0, 24): {"stutter": 0.5},
    (63, 120): {"compression": 1.0},
    (63, 60): {"compression": 1.0, "stutter": 0.1},
    (63, 24): {"compression": 1.0, "stutter": 0.5},
}
SOURCES = {
    "live_yt_hfr": Source(13, "other", "video", ((96, 54),), {}, ZERO_TO_HUNDRED, tuple(VERSIONS.values()), ".webm")
}
SCENES = ["1Runner", "3Runners", "Flips", "Hurdles", "bobblehead"]


def write_live_yt_hfr(root: Path, draw: Draw, counts: dict[str, int]) -> dict[str, DrawnClip]:
    """LIVE-YT-HFR: `<scene>_crf_<level>_<rate>fps.webm` (VP9) and, as re-exported, `LIVE_HFR_metadata.csv`.

    The authors' own score file is not known.
    """
    versions, rows, truth = list(VERSIONS), [], {}
    for number, clip in enumerate(draw("live_yt_hfr", counts["all"])):
        scene, version = divmod(number, len(versions))
        level, rate = versions[version]
        name = f"{SCENES[scene % len(SCENES)]}{scene // len(SCENES) or ''}_crf_{level}_{rate}fps"
        write_file(root / f"{name}.webm", clip.data)
        rows.append([name, f"{clip.mos:.8f}", 3840, 2160, "yuv420p10le", rate])
        truth[name] = clip
    columns = ["Filename", "MOS", "width", "height", "pixfmt", "framerate"]
    write_csv(root / "LIVE_HFR_metadata.csv", columns, rows)
    return truth
