"""Every data set that can be read, by the name it has in notebooks and on the command line."""

from vqa_lib.datasets.cgvds import CGVDS
from vqa_lib.datasets.community import CSV, PAIRS_CSV, SCORE_LIST, VQATHINKER
from vqa_lib.datasets.kadid import KADID
from vqa_lib.datasets.koniq import KONIQ
from vqa_lib.datasets.konvid import KONVID
from vqa_lib.datasets.live_vqc import LIVE_VQC
from vqa_lib.datasets.live_yt_gaming import LIVE_YT_GAMING
from vqa_lib.datasets.live_yt_hfr import LIVE_YT_HFR
from vqa_lib.datasets.lsvq import LSVQ
from vqa_lib.datasets.spaq import SPAQ
from vqa_lib.datasets.vdpve import VDPVE
from vqa_lib.datasets.waterloo_4k import WATERLOO_4K
from vqa_lib.datasets.youtube_ugc import YOUTUBE_UGC

DATASETS = {
    # images
    "koniq": KONIQ,
    "spaq": SPAQ,
    "kadid": KADID,
    # natural video
    "lsvq": LSVQ,
    "konvid": KONVID,
    "live_vqc": LIVE_VQC,
    "youtube_ugc": YOUTUBE_UGC,
    "live_yt_gaming": LIVE_YT_GAMING,
    "cgvds": CGVDS,
    "live_yt_hfr": LIVE_YT_HFR,
    "waterloo_4k": WATERLOO_4K,
    "vdpve": VDPVE,
    # anyone's own
    "csv": CSV,
    "score_list": SCORE_LIST,
    "vqathinker": VQATHINKER,
    "pairs_csv": PAIRS_CSV,
}
