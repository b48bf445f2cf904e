"""GenAI-Bench of TIGER-Lab: votes of GenAI-Arena's visitors between two generated clips (Jiang et al. 2024)."""

from pathlib import Path

from vqa_lib.datasets.annotations import Folder, Notes, Rows
from vqa_lib.datasets.dataset import Dataset, by_prompt
from vqa_lib.datasets.downloads import VIDEOS_OPTION, read_pairs, sharded_rows
from vqa_lib.datasets.tables import read_json, read_objects
from vqa_lib.records import Pair

VOTES = {"leftvote": "first", "rightvote": "second", "tievote": "tie", "bothbad_vote": "both_bad"}
FOLDERS = ("videos", "video_generation/videos", ".")
RE_EXPORT = "data.json"
SPLITS = {
    "test": ("video_generation/test-*.parquet", "test-*.parquet"),
    "test_v1": ("video_generation/test_v1-*.parquet", "test_v1-*.parquet"),
}


def _rows(root: Path, notes: Notes) -> Rows:
    path = root / RE_EXPORT
    if path.is_file() and not any(list(root.glob(pattern)) for patterns in SPLITS.values() for pattern in patterns):
        Folder(root).find(RE_EXPORT)  # refuses a link out of the root
        notes.files.append(path)
        columns = {"prompt": "prompt", "first": "video_left", "second": "video_right", "answer": "vote_type"}
        for number, (where, row) in enumerate(read_objects(path, notes, read_json(path), columns)):
            yield where, {**row, "split": "test", "number": number}
        return
    columns = {"prompt": "prompt", "first": "left_video", "second": "right_video", "answer": "vote_type"}
    yield from sharded_rows(root, SPLITS, columns, notes)


def read_genai_bench(root: Path, notes: Notes, videos: str | None = None) -> list[Pair]:
    """Pairs named by split and row; splits test and test_v1, or test alone from the re-export."""
    return read_pairs("genai_bench", _rows(root, notes), VOTES, "vote_type", FOLDERS, root, notes, videos)


GENAI_BENCH = Dataset(
    title="GenAI-Bench, video (TIGER-Lab)",
    purpose="test of preference comparison",
    record=Pair,
    reader=read_genai_bench,
    scale=None,
    counts={"test": None, "test_v1": 1069},
    licence="CC-BY-4.0",
    source="Hugging Face TIGER-Lab/GenAI-Bench, configuration video_generation; the clips behind the links in it",
    layout="video_generation/test-*.parquet and test_v1-*.parquet, or data.json (UnifiedReward); the clips by their "
    "names in videos/ or at the root",
    tables=("VQ-Insight: Table 1",),
    note="votes left, right, tie and both bad; the re-export of UnifiedReward has 1,889 pairs. Not the GenAI-Bench of "
    "800 prompts (genai_bench_800): two benchmarks have one name",
    options=VIDEOS_OPTION,
    group=by_prompt,
)
