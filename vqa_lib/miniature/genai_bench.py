"""The miniatures of the two benchmarks called GenAI-Bench: TIGER-Lab's votes, and the ratings of 800 prompts."""

import hashlib
from pathlib import Path

import numpy as np

from vqa_lib.miniature.files import DrawGenerated, write_file, write_json, write_parquet
from vqa_lib.miniature.generated_clips import GeneratedClip, draw_pairs, preference

VOTES = {"first": "leftvote", "second": "rightvote", "tie": "tievote", "both_bad": "bothbad_vote"}
RATERS = 3  # number of this data set's people, see `GeneratedClip.raters`


def write_genai_bench(root: Path, draw: DrawGenerated, counts: dict[str, int]) -> list[dict]:
    """GenAI-Bench: a Parquet file a split, in which links name the clips; the clips in `videos/`."""
    truth = []
    pairs = draw_pairs(draw, "generated_test", sum(counts.values()))
    for split, count in counts.items():
        members, pairs = pairs[:count], pairs[count:]
        rows = []
        for number, (left, right) in enumerate(members):
            vote = preference(left, right, with_both_bad=True)
            files = [_write_clip(root, clip) for clip in (left, right)]
            rows.append(
                {
                    "prompt": left.prompt.text,
                    "left_model": left.generator,
                    "right_model": right.generator,
                    "left_video": f"https://example.org/arena/{files[0]}",
                    "right_video": f"https://example.org/arena/{files[1]}",
                    "vote_type": VOTES[vote],
                }
            )
            truth.append(
                {
                    "dataset": "genai_bench",
                    "name": f"{split}/{number}",
                    "split": split,
                    "first": f"videos/{files[0]}",
                    "second": f"videos/{files[1]}",
                    "preference": vote,
                    "prompt": left.prompt.text,
                    "world": {"first": left.facts(), "second": right.facts()},
                }
            )
        write_parquet(root / "video_generation" / f"{split}-00000-of-00001.parquet", rows)
    return truth


def _write_clip(root: Path, clip: GeneratedClip) -> str:
    name = f"{hashlib.md5(clip.data, usedforsecurity=False).hexdigest()}.mp4"
    write_file(root / "videos" / name, clip.data)
    return name


def write_genai_bench_800(root: Path, draw: DrawGenerated, counts: dict[str, int]) -> list[dict]:
    """GenAI-Bench, 800 prompts: `GenAI-Video-800/<model>/<id>.mp4`, `genai_video.json` with three ratings a clip."""
    prompts: dict[str, dict] = {}
    truth = []
    for clip in draw("generated_test", counts["all"]):
        number = next((each for each, entry in prompts.items() if entry["prompt"] == clip.prompt.text), None)
        if number is None:
            number = f"{len(prompts):05d}"
            prompts[number] = {"id": number, "prompt": clip.prompt.text, "models": {}}
        noise = clip.raters(RATERS).normal(0, 0.1, 3)
        ratings = np.clip(np.round(1 + 4 * (clip.qualities["alignment"] + noise)), 1, 5).astype(int).tolist()
        prompts[number]["models"][clip.generator] = ratings
        path = f"GenAI-Video-800/{clip.generator}/{number}.mp4"
        write_file(root / path, clip.data)
        truth.append(
            {
                "dataset": "genai_bench_800",
                "name": f"{clip.generator}/{number}",
                "split": "all",
                "path": path,
                "scores": {"alignment": sum(ratings) / 3},
                "prompt": clip.prompt.text,
                "world": clip.facts(),
            }
        )
    write_json(root / "genai_video.json", prompts)
    return truth
