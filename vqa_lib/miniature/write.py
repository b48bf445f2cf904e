"""Write the miniatures to disk, each in the layout its authors publish."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from filelock import FileLock
from tqdm import tqdm

from vqa_lib.miniature import (
    cgvds,
    finevd,
    finger,
    genai_bench,
    generated_clips,
    kadid,
    koniq,
    konvid,
    lgvq,
    live_vqc,
    live_yt_gaming,
    live_yt_hfr,
    lsvq,
    prompt_lists,
    q_bench_video,
    spaq,
    t2vqa,
    vdpve,
    videofeedback,
    visionreward,
    waterloo_4k,
    youtube_ugc,
)
from vqa_lib.miniature.generated_clips import GeneratedClip, GeneratedSource, draw_generated
from vqa_lib.miniature.world import DrawnClip, Source, draw_clip

VERSION = 2  # raise it when the same seed would no longer give the same files

# name -> (writer, number of clips per split at scale 1)
MINIATURES = {
    "koniq": (koniq.write_koniq, {"training": 800, "validation": 80, "test": 200}),
    "lsvq": (lsvq.write_lsvq, {"train": 2400, "test": 300, "test_1080p": 200}),
    "konvid": (konvid.write_konvid, {"all": 200}),
    "live_vqc": (live_vqc.write_live_vqc, {"all": 200}),
    "spaq": (spaq.write_spaq, {"all": 20}),
    "kadid": (kadid.write_kadid, {"all": 18}),
    "youtube_ugc": (youtube_ugc.write_youtube_ugc, {"all": 15}),
    "live_yt_gaming": (live_yt_gaming.write_live_yt_gaming, {"all": 15}),
    "cgvds": (cgvds.write_cgvds, {"all": 15}),
    "live_yt_hfr": (live_yt_hfr.write_live_yt_hfr, {"all": 18}),
    "waterloo_4k": (waterloo_4k.write_waterloo_4k, {"all": 24}),
    "vdpve": (vdpve.write_vdpve, {"train": 16}),
    # generated video: numbers of records, in visionreward of clips and pairs, in finevd of videos
    "lgvq": (lgvq.write_lgvq, {"all": 36}),
    "visionreward": (visionreward.write_visionreward, {"train": 24, "regression": 24, "test": 12}),
    "genai_bench": (genai_bench.write_genai_bench, {"test": 12, "test_v1": 12}),
    "genai_bench_800": (genai_bench.write_genai_bench_800, {"all": 24}),
    "videofeedback": (
        videofeedback.write_videofeedback,
        {"train": 24, "test": 12, "real_train": 6, "real_test": 4},
    ),
    "t2vqa": (t2vqa.write_t2vqa, {"all": 24}),
    "videogen_eval": (prompt_lists.write_videogen_eval, {"all": 12, "t2v": 6, "i2v": 6}),
    "vidprom": (prompt_lists.write_vidprom, {"all": 12}),
    "finger": (finger.write_finger, {"train": 240, "test": 120}),
    "finevd": (finevd.write_finevd, {"train": 16, "test": 8}),
    "q_bench_video": (q_bench_video.write_q_bench_video, {"dev": 18, "test": 9}),
}
QUICKSTART = ("koniq", "lsvq", "konvid", "live_vqc")  # what the first notebooks train and test on
_MODULES = (
    *(koniq, lsvq, konvid, live_vqc, spaq, kadid, youtube_ugc),
    *(live_yt_gaming, cgvds, live_yt_hfr, waterloo_4k, vdpve),
    *(finevd, q_bench_video),
)
SOURCES = {name: source for module in _MODULES for name, source in module.SOURCES.items()}
ALL_SOURCES = {**SOURCES, **generated_clips.SOURCES}


def _draw_all(
    source: Source | GeneratedSource, seed: int, count: int, pool: ProcessPoolExecutor, label: str
) -> list[DrawnClip] | list[GeneratedClip]:
    draw = partial(draw_generated if isinstance(source, GeneratedSource) else draw_clip, source, seed)
    return list(tqdm(pool.map(draw, range(count), chunksize=16), total=count, desc=label, unit="clip"))


def folder_digest(folder: Path) -> str:
    """SHA-256 over names and contents of all files below a folder, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def write_miniature(
    folder: str | Path,
    scale: float = 1.0,
    seed: int = 0,
    workers: int | None = None,
    names: Iterable[str] = QUICKSTART,
) -> dict:
    """Write miniatures below `folder`, each in its published layout; returns the description written beside them.

    scale: multiplies the number of clips (1.0: about 4,200 clips, 45 MB in the quickstart's sets). workers: processes
    (default: one a core). names: the data sets; those that the folder already has of the same world (version, scale,
    seed) are left as they are, and stay in the description. `truth.jsonl` in each data set's folder holds what the
    published files do not say: the distortions and their strengths; for generated video all that the records must say.
    Of several processes that want the same folder one writes and the others wait.

    Raises:
        ValueError: scale is not positive, or there is no miniature of a name.
        FileExistsError: the folder holds something that is not a miniature.
    """
    folder, names = Path(folder), list(names)
    if not scale > 0:
        raise ValueError(f"scale must be positive, got {scale}")
    if unknown := [name for name in names if name not in MINIATURES]:
        raise ValueError(f"no miniature of {unknown}; known: {list(MINIATURES)}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{folder.name}.lock")):  # runs that begin together want the same data
        return _write_missing(folder, {"version": VERSION, "scale": scale, "seed": seed}, workers, names)


def _write_missing(folder: Path, wanted: dict, workers: int | None, names: list[str]) -> dict:
    description_file = folder / "miniature.json"
    description = {**wanted, "datasets": {}}
    if description_file.exists():
        found = json.loads(description_file.read_text())
        if all(found.get(key) == value for key, value in wanted.items()):
            description = found
        else:
            description_file.unlink()
    elif folder.exists() and any(path.name not in (*MINIATURES, "miniature.new") for path in folder.iterdir()):
        raise FileExistsError(f"{folder}: not empty and not a miniature; name a new folder")
    owed = [name for name in names if name not in description["datasets"]]
    if not owed:
        return description
    # Spawned, not forked: a fork of a process that has used torch may hang.
    with ProcessPoolExecutor(workers or os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for name in owed:
            description["datasets"][name] = _write_one(folder / name, name, wanted["scale"], wanted["seed"], pool)
    # Last, and in one step: what the description names is complete.
    new_file = description_file.with_suffix(".new")
    new_file.write_text(json.dumps(description, indent=2) + "\n")
    new_file.replace(description_file)
    return description


def _write_one(root: Path, name: str, scale: float, seed: int, pool: ProcessPoolExecutor) -> dict:
    write, sizes = MINIATURES[name]
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    counts = {split: max(4, round(scale * size)) for split, size in sizes.items()}
    truth = write(root, lambda source, n: _draw_all(ALL_SOURCES[source], seed, n, pool, source), counts)
    with (root / "truth.jsonl").open("w", encoding="utf-8") as file:
        if isinstance(truth, dict):
            truth = [
                {"name": clip_name, "quality": clip.quality, "mos": clip.mos, "strengths": clip.strengths}
                for clip_name, clip in truth.items()
            ]
        file.writelines(json.dumps(facts) + "\n" for facts in truth)
    return {"counts": counts, "digest": folder_digest(root)}
