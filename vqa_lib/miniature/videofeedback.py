"""The miniature of VideoFeedback."""

from pathlib import Path

import numpy as np

from vqa_lib.miniature.files import DrawGenerated, write_file, write_parquet

# published dimension -> the world's
DIMENSIONS = {
    "visual quality": "visual quality",
    "temporal consistency": "temporal consistency",
    "dynamic degree": "dynamic degree",
    "text-to-video alignment": "alignment",
    "factual consistency": "factual consistency",
}
SOURCES_OF = {"annotated": "generated_train", "real": "generated_real"}
RATERS = 4  # number of this data set's people, see `GeneratedClip.raters`


def write_videofeedback(root: Path, draw: DrawGenerated, counts: dict[str, int]) -> list[dict]:
    """VideoFeedback: `annotated/` and `real/` with Parquet files for train and test, clips in a folder an archive."""
    truth = []
    for kind, source in SOURCES_OF.items():
        splits = (
            {"train": "train", "test": "test"} if kind == "annotated" else {"train": "real_train", "test": "real_test"}
        )
        clips = draw(source, sum(counts[split] for split in splits.values()))
        for part, split in splits.items():
            members, clips = clips[: counts[split]], clips[counts[split] :]
            rows = []
            for number, clip in enumerate(members):
                name = f"{'p' if kind == 'annotated' else 'r'}{part[1]}{100000 + number}"
                noise = clip.raters(RATERS).normal(0, 0.08, len(DIMENSIONS))
                levels = [clip.qualities[of] for of in DIMENSIONS.values()] + noise
                scores = dict(
                    zip(DIMENSIONS, np.clip(np.round(1 + 3 * levels), 1, 4).astype(int).tolist(), strict=True)
                )
                path = f"videos_{kind}_{part}/{name}.mp4"
                write_file(root / path, clip.data)
                rows.append(
                    {
                        "id": name,
                        "images": [f"{name}_{frame:02d}.jpg" for frame in range(8)],
                        "text prompt": clip.prompt.text,
                        "video link": f"https://example.org/{name}.mp4",
                        **scores,
                        "conversations": [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}],
                    }
                )
                truth.append(
                    {
                        "dataset": "videofeedback",
                        "name": name,
                        "split": split,
                        "path": path,
                        "scores": scores,
                        "prompt": clip.prompt.text,
                        "world": clip.facts(),
                    }
                )
            write_parquet(root / kind / f"{part}-00000-of-00001.parquet", rows)
    return truth
