"""VideoFeedback: generated clips, and real ones, scored 1-4 in five dimensions (He et al. 2024, VideoScore)."""

from pathlib import Path

from vqa_lib.datasets.annotations import Folder, Notes, collect, parse_mos, plain_name
from vqa_lib.datasets.dataset import Dataset, by_prompt
from vqa_lib.datasets.downloads import VIDEOS_OPTION, clip_files, plain_text, sharded_rows
from vqa_lib.records import Scale, ScoredClip

SCALE = Scale(1, 4)
DIMENSIONS = (
    "visual quality",
    "temporal consistency",
    "dynamic degree",
    "text-to-video alignment",
    "factual consistency",
)
SPLITS = {
    "train": ("annotated/train-*.parquet",),
    "test": ("annotated/test-*.parquet",),
    "real_train": ("real/train-*.parquet",),
    "real_test": ("real/test-*.parquet",),
}
ARCHIVES = {
    "train": "videos_annotated_train",
    "test": "videos_annotated_test",
    "real_train": "videos_real_train",
    "real_test": "videos_real_test",
}


def read_videofeedback(root: Path, notes: Notes, videos: str | None = None) -> list[ScoredClip]:
    """Clips with five scores and the prompt; splits train and test, and real_train and real_test for the real ones."""
    folder = Folder(root)

    def clip(row: dict) -> ScoredClip:
        name = plain_name(row["id"])
        folders = (ARCHIVES[row["split"]], "videos", ".")
        return ScoredClip(
            name=name,
            path=folder.find(*clip_files(f"{name}.mp4", folders, videos)),
            kind="video",
            scores={dimension: parse_mos(row[dimension], SCALE) for dimension in DIMENSIONS},
            scale=SCALE,
            dataset="videofeedback",
            split=row["split"],
            prompt=plain_text(row["prompt"], "prompt"),
        )

    columns = {"id": "id", "prompt": "text prompt", **{dimension: dimension for dimension in DIMENSIONS}}
    return collect(sharded_rows(root, SPLITS, columns, notes), clip, notes)


VIDEOFEEDBACK = Dataset(
    title="VideoFeedback",
    purpose="five-dimension scoring of generated video, for comparison",
    record=ScoredClip,
    reader=read_videofeedback,
    scale=SCALE,
    counts={"train": 32901, "test": 680, "real_train": 4000, "real_test": 80},
    licence="Apache-2.0",
    source="Hugging Face TIGER-Lab/VideoFeedback",
    layout="annotated/{train,test}-*.parquet, real/{train,test}-*.parquet; <id>.mp4 in videos_{annotated,real}_"
    "{train,test}/ (from the archives of these names), in videos/ or at the root",
    tables=(),
    note="the published split may share prompts between train and test; split_by_group makes one that does not",
    options=VIDEOS_OPTION,
    group=by_prompt,
)
