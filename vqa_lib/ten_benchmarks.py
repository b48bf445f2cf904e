"""The ten test sets of VQAThinker's Table 1, loaded together."""

from pathlib import Path

from vqa_lib.datasets import load_clips
from vqa_lib.records import ScoredClip

IN_DOMAIN = ("lsvq/test", "lsvq/test_1080p", "konvid/all", "live_vqc/all", "youtube_ugc/all")
OUT_OF_DOMAIN = ("live_yt_gaming/all", "cgvds/all", "live_yt_hfr/all", "waterloo_4k/all", "vdpve/train")
OVERALL = {"in_domain": IN_DOMAIN, "out_of_domain": OUT_OF_DOMAIN}  # averages that the table gives
OTHERS = ["youtube_ugc", "live_yt_gaming", "cgvds", "live_yt_hfr", "waterloo_4k", "vdpve"]  # nothing else reads them


def load_ten_benchmarks(data: str | Path, other_data: str | Path, limit: int | None = None) -> list[ScoredClip]:
    """Clips of the ten test sets, in the table's order.

    **Source**: VQAThinker, Table 1: five sets of the kind that it was trained on, five of other kinds.

    data: the folder that holds `lsvq/`, `konvid/` and `live_vqc/`. other_data: the one that holds the folders named in
    OTHERS. limit: at most so many clips of each set.

    Raises:
        DatasetError: a folder or file that is missing or cannot be used.

    Example:
        load_ten_benchmarks("data/miniature", "data/benchmarks", limit=200)
    """
    clips = []
    for name, split in (place.split("/") for place in IN_DOMAIN + OUT_OF_DOMAIN):
        clips += load_clips(name, Path(other_data if name in OTHERS else data) / name, split, limit)
    return clips
