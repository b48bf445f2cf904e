"""KoNViD-1k: 1,200 videos, MOS on 1-5, no official split (Hosu et al. 2017)."""

from pathlib import Path

from vqa_lib.datasets.annotations import inside, parse_mos, read_table, row_name, unique
from vqa_lib.records import Scale, ScoredClip

SCALE = Scale(1, 5)


def read_konvid(root: Path) -> list[ScoredClip]:
    """`KoNViD_1k_metadata/KoNViD_1k_mos.csv` and `KoNViD_1k_videos/<flickr_id>.mp4`; one split, all."""
    path = root / "KoNViD_1k_metadata" / "KoNViD_1k_mos.csv"
    table = read_table(path, ["flickr_id", "mos"])
    unique(table["flickr_id"].tolist(), path)
    clips = []
    for row, (name, mos) in enumerate(zip(table["flickr_id"], table["mos"], strict=True)):
        where = row_name(path, row)
        clips.append(
            ScoredClip(
                name=name,
                path=inside(root / "KoNViD_1k_videos", f"{name}.mp4", where),
                kind="video",
                scores={"overall": parse_mos(mos, SCALE, where)},
                scale=SCALE,
                dataset="konvid",
                split="all",
            )
        )
    return clips
