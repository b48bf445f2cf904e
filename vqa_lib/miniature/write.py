"""Write the miniatures to disk, each in the layout its authors publish."""

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from scipy.io import savemat
from tqdm import tqdm

from vqa_lib.miniature.world import DrawnClip, Source, draw_clip
from vqa_lib.records import Scale, rescale

VERSION = 1  # raise it when the same seed would no longer give the same files

# How often each distortion occurs. LSVQ's three sets share one mix; the test-only sets have their own.
WEB_VIDEO = {
    "downscaling": 0.18, "blur": 0.22, "noise": 0.22, "exposure": 0.15, "cast": 0.12, "compression": 0.3,
    "stutter": 0.18, "dropping": 0.08, "jitter": 0.15, "shuffling": 0.15,
}  # fmt: skip
PHOTOGRAPHS_TAKEN = {
    "downscaling": 0.25,
    "blur": 0.35,
    "noise": 0.3,
    "exposure": 0.25,
    "cast": 0.2,
    "compression": 0.35,
}
COMPRESSED_VIDEO = {"downscaling": 0.3, "blur": 0.3, "noise": 0.1, "compression": 0.55, "stutter": 0.15, "jitter": 0.2}
MOBILE_VIDEO = {
    "blur": 0.2,
    "noise": 0.4,
    "exposure": 0.4,
    "cast": 0.25,
    "stutter": 0.25,
    "jitter": 0.4,
    "dropping": 0.2,
}

ZERO_TO_HUNDRED = Scale(0, 100)
ONE_TO_FIVE = Scale(1, 5)
LANDSCAPE = ((84, 56),)
SOURCES = {
    "koniq": Source(1, "train", "image", ((112, 84),), PHOTOGRAPHS_TAKEN, ONE_TO_FIVE),
    "koniq_test": Source(2, "test", "image", ((112, 84),), PHOTOGRAPHS_TAKEN, ONE_TO_FIVE),
    "lsvq_train": Source(3, "train", "video", LANDSCAPE, WEB_VIDEO, ZERO_TO_HUNDRED),
    "lsvq_test": Source(4, "test", "video", LANDSCAPE, WEB_VIDEO, ZERO_TO_HUNDRED),
    "lsvq_1080p": Source(5, "test", "video", ((168, 112),), WEB_VIDEO, ZERO_TO_HUNDRED),
    "konvid": Source(6, "other", "video", ((96, 54),), COMPRESSED_VIDEO, ONE_TO_FIVE),
    "live_vqc": Source(7, "other", "video", ((84, 56), (56, 84), (84, 56), (96, 54)), MOBILE_VIDEO, ZERO_TO_HUNDRED),
}


def _draw_all(source: Source, seed: int, count: int, pool: ProcessPoolExecutor | None, label: str) -> list[DrawnClip]:
    draw = partial(draw_clip, source, seed)
    drawn = pool.map(draw, range(count), chunksize=16) if pool else map(draw, range(count))
    return list(tqdm(drawn, total=count, desc=label, unit="clip"))


def _write_csv(path: Path, header: list[str], rows: list[list]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def _write_file(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def write_koniq(
    root: Path, draw: Callable[[str, int], list[DrawnClip]], counts: dict[str, int]
) -> dict[str, DrawnClip]:
    """KonIQ-10k: `1024x768/*.jpg`, one CSV with the rating histogram on 1-5, one with the official sets on 0-100."""
    histogram = ["c1", "c2", "c3", "c4", "c5", "c_total"]
    scores, sets, truth = [], [], {}
    train = draw("koniq", counts["training"] + counts["validation"])
    test = draw("koniq_test", counts["test"])
    members = [("training", clip) for clip in train[: counts["training"]]]
    members += [("validation", clip) for clip in train[counts["training"] :]]
    members += [("test", clip) for clip in test]
    for number, (split, clip) in enumerate(members):
        name = f"{10004473376 + 7919 * number}.jpg"
        _write_file(root / "1024x768" / name, clip.data)
        stars = np.clip(np.round(1 + 4 * clip.ratings), 1, 5).astype(int)
        bins = [int((stars == star).sum()) for star in range(1, 6)] + [len(stars)]
        on_hundred = rescale(clip.mos, ONE_TO_FIVE, ZERO_TO_HUNDRED)
        scores.append([name, *bins, f"{clip.mos:.6f}", f"{clip.sd:.6f}", f"{on_hundred:.6f}"])
        sets.append([name, *bins, f"{on_hundred:.6f}", f"{clip.sd * 25:.6f}", split])
        truth[name] = clip
    _write_csv(
        root / "koniq10k_scores_and_distributions.csv", ["image_name", *histogram, "MOS", "SD", "MOS_zscore"], scores
    )
    _write_csv(root / "koniq10k_distributions_sets.csv", ["image_name", *histogram, "MOS", "SD", "set"], sets)
    return truth


def write_lsvq(root: Path, draw: Callable[[str, int], list[DrawnClip]], counts: dict[str, int]) -> dict[str, DrawnClip]:
    """LSVQ: `<name>.mp4` in batch folders, `labels_train_test.csv` (38 columns), `labels_test_1080p.csv` (37)."""
    patches = [
        f"{side}_p{number}" for number in (1, 2, 3) for side in ("left", "right", "top", "bottom", "start", "end")
    ]
    columns = [
        "name",
        "p1",
        "p2",
        "p3",
        "height",
        "width",
        "mos_p1",
        "mos_p2",
        "mos_p3",
        "mos",
        "frame_number",
        "fn_last_frame",
    ]
    columns += [*patches, "top_vid", "left_vid", "bottom_vid", "right_vid", "start_vid", "end_vid"]
    truth = {}

    def rows(source: str, count: int, batch: str, is_test: list[str]) -> list[list]:
        table = []
        for number, clip in enumerate(draw(source, count)):
            name = f"{batch}{1 + number % 3}/{100 + number}"
            _write_file(root / f"{name}.mp4", clip.data)
            truth[name] = clip
            width, height = clip.size
            frames = 15
            boxes = [
                [0, width // 2, 0, height // 2, 0, frames],
                [0, width, 0, height, 0, 5],
                [0, width // 2, 0, height, 0, 5],
            ]
            score = f"{clip.mos:.4f}"
            table.append(
                [name, *boxes, height, width, score, score, score, score, frames, f"{name}/image_{frames:05d}"]
                + [number for box in boxes for number in box]
                + [0, 0, height, width, 0, frames, *is_test, "True"]
            )
        return table

    labels = rows("lsvq_train", counts["train"], "yfcc-batch", ["False"])
    labels += rows("lsvq_test", counts["test"], "ia-batch", ["True"])
    _write_csv(root / "labels_train_test.csv", [*columns, "is_test", "is_valid"], labels)
    large = rows("lsvq_1080p", counts["test_1080p"], "yfcc-batch1", [])
    _write_csv(root / "labels_test_1080p.csv", [*columns, "is_valid"], large)
    return truth


def write_konvid(
    root: Path, draw: Callable[[str, int], list[DrawnClip]], counts: dict[str, int]
) -> dict[str, DrawnClip]:
    """KoNViD-1k: `KoNViD_1k_videos/<flickr_id>.mp4`, `KoNViD_1k_metadata/KoNViD_1k_mos.csv` on 1-5."""
    rows, truth = [], {}
    for number, clip in enumerate(draw("konvid", counts["all"])):
        name = str(2999049224 + 10007 * number)
        _write_file(root / "KoNViD_1k_videos" / f"{name}.mp4", clip.data)
        rows.append([name, f"{clip.mos:.4f}"])
        truth[name] = clip
    _write_csv(root / "KoNViD_1k_metadata" / "KoNViD_1k_mos.csv", ["flickr_id", "mos"], rows)
    return truth


def write_live_vqc(
    root: Path, draw: Callable[[str, int], list[DrawnClip]], counts: dict[str, int]
) -> dict[str, DrawnClip]:
    """LIVE-VQC: `Video/A001.mp4`, `data.mat` (MATLAB 5) with `video_list` (n x 1 cell) and `mos` (n x 1)."""
    truth = {f"A{number + 1:03d}.mp4": clip for number, clip in enumerate(draw("live_vqc", counts["all"]))}
    for name, clip in truth.items():
        _write_file(root / "Video" / name, clip.data)
    names = np.array([[name] for name in truth], dtype=object)
    path = root / "data.mat"
    savemat(path, {"video_list": names, "mos": np.array([[clip.mos] for clip in truth.values()])})
    with path.open("r+b") as file:  # the header carries the time of writing: the same seed must give the same bytes
        file.write(b"MATLAB 5.0 MAT-file, miniature of LIVE-VQC".ljust(116))
    return truth


# name -> (writer, number of clips per split at scale 1)
MINIATURES = {
    "koniq": (write_koniq, {"training": 800, "validation": 80, "test": 200}),
    "lsvq": (write_lsvq, {"train": 2400, "test": 300, "test_1080p": 200}),
    "konvid": (write_konvid, {"all": 200}),
    "live_vqc": (write_live_vqc, {"all": 200}),
}


def folder_digest(folder: Path) -> str:
    """SHA-256 over names and contents of all files below a folder, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def write_miniature(folder: str | Path, scale: float = 1.0, seed: int = 0, workers: int | None = None) -> dict:
    """Write every miniature below `folder`, each in its published layout; returns the description written beside them.

    scale: multiplies the number of clips (1.0: about 4,200 clips, 45 MB). workers: processes (default: one a core).
    A folder that already holds the same world (version, scale, seed) is left as it is. `truth.jsonl` in each data
    set's folder holds what the published files do not say: the distortions and their strengths.

    Raises:
        ValueError: scale is not positive.
        FileExistsError: the folder holds something that is not a miniature.
    """
    folder = Path(folder)
    wanted = {"version": VERSION, "scale": scale, "seed": seed}
    description_file = folder / "miniature.json"
    if not scale > 0:
        raise ValueError(f"scale must be positive, got {scale}")
    if description_file.exists():
        description = json.loads(description_file.read_text())
        if all(description.get(key) == value for key, value in wanted.items()):
            return description
        description_file.unlink()
    elif folder.exists() and any(path.name not in MINIATURES for path in folder.iterdir()):
        raise FileExistsError(f"{folder}: not empty and not a miniature; name a new folder")
    description = {**wanted, "datasets": {}}
    # Spawned, not forked: a fork of a process that has used torch may hang.
    with ProcessPoolExecutor(workers or os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for name, (write, sizes) in MINIATURES.items():
            root = folder / name
            shutil.rmtree(root, ignore_errors=True)
            root.mkdir(parents=True)
            counts = {split: max(4, round(scale * size)) for split, size in sizes.items()}
            truth = write(root, lambda source, n: _draw_all(SOURCES[source], seed, n, pool, source), counts)
            with (root / "truth.jsonl").open("w", encoding="utf-8") as file:
                for clip_name, clip in truth.items():
                    facts = {"name": clip_name, "quality": clip.quality, "mos": clip.mos, "strengths": clip.strengths}
                    file.write(json.dumps(facts) + "\n")
            description["datasets"][name] = {"counts": counts, "digest": folder_digest(root)}
    description_file.write_text(json.dumps(description, indent=2) + "\n")
    return description
