"""LIVE-VQC: 585 mobile videos, MOS on 0-100, no official split (Sinno and Bovik 2018)."""

from pathlib import Path

from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from vqa_lib.datasets.annotations import DatasetError, inside, parse_mos, require, unique
from vqa_lib.records import Scale, ScoredClip

SCALE = Scale(0, 100)


def read_live_vqc(root: Path) -> list[ScoredClip]:
    """`data.mat` (variables `video_list` and `mos`, n x 1) and `Video/A001.mp4 ...`; one split, all."""
    path = require(root / "data.mat", "a MATLAB file with the variables video_list and mos")
    try:
        variables = loadmat(path, variable_names=["video_list", "mos"])
        names = [str(cell[0]) for (cell,) in variables["video_list"]]
        scores = [float(score) for (score,) in variables["mos"]]
    except (MatReadError, OSError, ValueError, KeyError, IndexError, TypeError, NotImplementedError) as error:
        raise DatasetError(f"{path}: expected MATLAB variables video_list and mos, both n x 1 ({error})") from error
    if len(names) != len(scores):
        raise DatasetError(f"{path}: {len(names)} names in video_list but {len(scores)} values in mos")
    unique(names, path)
    clips = []
    for row, (name, mos) in enumerate(zip(names, scores, strict=True)):
        where = f"{path}, entry {row + 1}"
        clips.append(
            ScoredClip(
                name=name,
                path=inside(root / "Video", name, where),
                kind="video",
                scores={"overall": parse_mos(mos, SCALE, where)},
                scale=SCALE,
                dataset="live_vqc",
                split="all",
            )
        )
    return clips
