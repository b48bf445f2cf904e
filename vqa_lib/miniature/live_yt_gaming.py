"""The miniature of LIVE-YT-Gaming."""

from pathlib import Path

from vqa_lib.miniature.files import Draw, write_file, write_mat
from vqa_lib.miniature.mixes import COMPRESSED_VIDEO, ZERO_TO_HUNDRED
from vqa_lib.miniature.world import DrawnClip, Source

SOURCES = {"live_yt_gaming": Source(11, "other", "video", ((96, 54),), COMPRESSED_VIDEO, ZERO_TO_HUNDRED)}
GAMES = ["Cubes", "RocketLanding", "MoonRally"]


def write_live_yt_gaming(root: Path, draw: Draw, counts: dict[str, int]) -> dict[str, DrawnClip]:
    """LIVE-YT-Gaming: `mp4/<game>-001.mp4` and, as re-exported, `LIVEYTGaming.mat` with `video_list` and `MOS`.

    The authors' own score file is not known.
    """
    truth = {}
    for number, clip in enumerate(draw("live_yt_gaming", counts["all"])):
        name = f"{GAMES[number % len(GAMES)]}-{number // len(GAMES) + 1:03d}"
        write_file(root / "mp4" / f"{name}.mp4", clip.data)
        truth[name] = clip
    variables = {"video_list": list(truth), "MOS": [clip.mos for clip in truth.values()]}
    write_mat(root / "LIVEYTGaming.mat", variables, "miniature of LIVE-YT-Gaming")
    return truth
