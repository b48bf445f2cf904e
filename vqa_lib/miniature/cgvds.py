"""The miniature of CGVDS."""

from pathlib import Path

from vqa_lib.miniature.files import Draw, write_csv, write_file
from vqa_lib.miniature.mixes import ONE_TO_FIVE, SEVEN_POINTS
from vqa_lib.miniature.world import DrawnClip, Source
from vqa_lib.records import rescale

# (size, frame rate, kbit/s) in file names -> what it does to the picture
VERSIONS = {
    ("1280x720", 60, 6000): {},
    ("1280x720", 30, 4000): {"stutter": 0.2},
    ("1280x720", 60, 1000): {"compression": 0.6},
    ("640x480", 60, 2000): {"downscaling": 0.4, "compression": 0.3},
    ("640x480", 20, 300): {"downscaling": 0.4, "compression": 0.9, "stutter": 0.4},
}
SOURCES = {"cgvds": Source(12, "other", "video", ((96, 54),), {}, SEVEN_POINTS, tuple(VERSIONS.values()))}
GAMES = ["Cubes", "RocketLanding", "MoonRally", "Maze", "Harbour"]
RATINGS = ["VQ_EC", "VF_EC", "VU_EC", "VD_EC", "AC_EC", "VQ_ACR", "VF_ACR", "VU_ACR", "VD_ACR", "AC_ACR"]


def write_cgvds(root: Path, draw: Draw, counts: dict[str, int]) -> dict[str, DrawnClip]:
    """CGVDS: `<Game>_30s_<WxH>_<fps>_<kbps>_h264_nvenc.mp4` and, as re-exported, `CGVDS_metadata.csv`.

    There MOS is VQ_ACR (1-5); VQ_EC is on 1-7. The authors' own spreadsheet is not known.
    """
    versions, rows, truth = list(VERSIONS), [], {}
    for number, clip in enumerate(draw("cgvds", counts["all"])):
        scene, version = divmod(number, len(versions))
        size, rate, bits = versions[version]
        repeat = scene // len(GAMES) or ""  # more scenes than games: Cubes, ..., Cubes1
        name = f"{GAMES[scene % len(GAMES)]}{repeat}_30s_{size}_{rate}_{bits}_h264_nvenc"
        write_file(root / f"{name}.mp4", clip.data)
        seven = f"{clip.mos:.2f}"
        five = f"{rescale(clip.mos, SEVEN_POINTS, ONE_TO_FIVE):.2f}"
        rows.append([f"{name}.mp4", five, *size.split("x"), rate, bits, *[seven] * 5, *[five] * 5, name.split("_")[0]])
        truth[name] = clip
    columns = ["File", "MOS", "width", "height", "framerate", "Bitrate", *RATINGS, "Content"]
    write_csv(root / "CGVDS_metadata.csv", columns, rows)
    return truth
