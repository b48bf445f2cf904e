"""Every data set that can be read, by the name it has in notebooks and on the command line."""

from vqa_lib.datasets.koniq import KONIQ
from vqa_lib.datasets.konvid import KONVID
from vqa_lib.datasets.live_vqc import LIVE_VQC
from vqa_lib.datasets.lsvq import LSVQ

DATASETS = {
    "koniq": KONIQ,
    "lsvq": LSVQ,
    "konvid": KONVID,
    "live_vqc": LIVE_VQC,
}
