"""The miniature of YouTube-UGC."""

from pathlib import Path

from vqa_lib.miniature.files import Draw, write_file, write_xlsx
from vqa_lib.miniature.mixes import ONE_TO_FIVE, WEB_VIDEO
from vqa_lib.miniature.world import DrawnClip, Source

SIZES = ((84, 56), (96, 54))
SOURCES = {"youtube_ugc": Source(10, "other", "video", SIZES, WEB_VIDEO, ONE_TO_FIVE, ending=".mkv")}
CATEGORIES = ["Animation", "Gaming", "HowTo", "Sports", "Vlog"]
COLUMNS = ["vid", "category", "resolution", "x_Subjects", "MOS full"]
COLUMNS += ["MOS chunk00", "MOS chunk05", "MOS chunk10", "std full"]


def write_youtube_ugc(root: Path, draw: Draw, counts: dict[str, int]) -> dict[str, DrawnClip]:
    """YouTube-UGC: `original_videos/<vid>.mkv` and, beside them, the workbook whose sheet MOS has the scores on 1-5."""
    rows, truth = [COLUMNS], {}
    for number, clip in enumerate(draw("youtube_ugc", counts["all"])):
        category = CATEGORIES[number % len(CATEGORIES)]
        name = f"{category}_360P-{0x1B3 + 4099 * number:04x}"
        write_file(root / "original_videos" / f"{name}.mkv", clip.data)
        mos = round(clip.mos, 3)
        rows.append([name, category, 360, 20, mos, mos, mos, mos, round(clip.sd, 3)])
        truth[name] = clip
    write_xlsx(root / "original_videos" / "MOS_for_YouTube_UGC_dataset.xlsx", {"MOS": rows})
    return truth
