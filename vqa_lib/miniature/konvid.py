"""The miniature of KoNViD-1k."""

from pathlib import Path

from vqa_lib.miniature.files import Draw, write_csv, write_file
from vqa_lib.miniature.mixes import COMPRESSED_VIDEO, ONE_TO_FIVE
from vqa_lib.miniature.world import DrawnClip, Source

SOURCES = {"konvid": Source(6, "other", "video", ((96, 54),), COMPRESSED_VIDEO, ONE_TO_FIVE)}


def write_konvid(root: Path, draw: Draw, counts: dict[str, int]) -> dict[str, DrawnClip]:
    """KoNViD-1k: `KoNViD_1k_videos/<flickr_id>.mp4`, `KoNViD_1k_metadata/KoNViD_1k_mos.csv` on 1-5."""
    rows, truth = [], {}
    for number, clip in enumerate(draw("konvid", counts["all"])):
        name = str(2999049224 + 10007 * number)
        write_file(root / "KoNViD_1k_videos" / f"{name}.mp4", clip.data)
        rows.append([name, f"{clip.mos:.4f}"])
        truth[name] = clip
    write_csv(root / "KoNViD_1k_metadata" / "KoNViD_1k_mos.csv", ["flickr_id", "mos"], rows)
    return truth
