"""Every data set that can be read, by the name it has in notebooks and on the command line."""

from vqa_lib.datasets.cgvds import CGVDS
from vqa_lib.datasets.community import CSV, PAIRS_CSV, SCORE_LIST, VQATHINKER
from vqa_lib.datasets.finevd import FINEVD
from vqa_lib.datasets.finevd_questions import FINEVD_QUESTIONS
from vqa_lib.datasets.finger import FINGER
from vqa_lib.datasets.genai_bench import GENAI_BENCH
from vqa_lib.datasets.genai_bench_800 import GENAI_BENCH_800
from vqa_lib.datasets.kadid import KADID
from vqa_lib.datasets.koniq import KONIQ
from vqa_lib.datasets.konvid import KONVID
from vqa_lib.datasets.lgvq import LGVQ
from vqa_lib.datasets.live_vqc import LIVE_VQC
from vqa_lib.datasets.live_yt_gaming import LIVE_YT_GAMING
from vqa_lib.datasets.live_yt_hfr import LIVE_YT_HFR
from vqa_lib.datasets.lsvq import LSVQ
from vqa_lib.datasets.q_bench_video import Q_BENCH_VIDEO
from vqa_lib.datasets.spaq import SPAQ
from vqa_lib.datasets.t2vqa import T2VQA
from vqa_lib.datasets.vdpve import VDPVE
from vqa_lib.datasets.videofeedback import VIDEOFEEDBACK
from vqa_lib.datasets.videogen_eval import VIDEOGEN_EVAL
from vqa_lib.datasets.vidprom import VIDPROM
from vqa_lib.datasets.visionreward import VISIONREWARD, VISIONREWARD_PAIRS, VISIONREWARD_QUESTIONS
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
    # generated video
    "lgvq": LGVQ,
    "visionreward": VISIONREWARD,
    "visionreward_questions": VISIONREWARD_QUESTIONS,
    "visionreward_pairs": VISIONREWARD_PAIRS,
    "genai_bench": GENAI_BENCH,
    "genai_bench_800": GENAI_BENCH_800,
    "videofeedback": VIDEOFEEDBACK,
    "t2vqa": T2VQA,
    "videogen_eval": VIDEOGEN_EVAL,
    "vidprom": VIDPROM,
    "finger": FINGER,
    # understanding
    "finevd": FINEVD,
    "finevd_questions": FINEVD_QUESTIONS,
    "q_bench_video": Q_BENCH_VIDEO,
    # anyone's own
    "csv": CSV,
    "score_list": SCORE_LIST,
    "vqathinker": VQATHINKER,
    "pairs_csv": PAIRS_CSV,
}
