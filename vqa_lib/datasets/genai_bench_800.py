"""GenAI-Bench of Li et al. 2024, its videos: 800 prompts by 4 models, alignment rated 1-5 by three people."""

from pathlib import Path

from vqa_lib.datasets.annotations import DatasetError, Folder, Notes, Rows, collect, parse_mos, plain_name
from vqa_lib.datasets.dataset import Dataset, by_prompt
from vqa_lib.datasets.downloads import VIDEOS_OPTION, clip_files, plain_text
from vqa_lib.datasets.tables import read_json
from vqa_lib.records import Scale, ScoredClip

SCALE = Scale(1, 5)
RATERS = 3
TABLE = "genai_video.json"
FOLDERS = ("GenAI-Video-800", ".")


def _ratings(path: Path, notes: Notes) -> Rows:
    """`{"00000": {"prompt": "...", "models": {"Gen2": [4, 5, 4], ...}}, ...}`: a row a clip."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise DatasetError(f"{path}: expected an object of prompts, found {type(content).__name__}")
    for name, entry in content.items():
        where = f"{path}, entry {name!r}"
        models = entry.get("models") if isinstance(entry, dict) else None
        if not isinstance(models, dict):
            notes.refuse(f'{where}: expected {{"prompt": "...", "models": {{...}}}}')
            continue
        for model, ratings in models.items():
            row = {"id": name, "model": model, "prompt": entry.get("prompt"), "ratings": ratings}
            yield f"{where}, model {model!r}", row


def read_genai_bench_800(root: Path, notes: Notes, videos: str | None = None) -> list[ScoredClip]:
    """Clips with the mean of the three ratings and the prompt; one split, all."""
    folder, path = Folder(root), root / TABLE
    if not path.is_file():
        raise DatasetError(f"{path}: missing")
    folder.find(TABLE)  # refuses a link out of the root
    notes.files.append(path)

    def clip(row: dict) -> ScoredClip:
        name = plain_name(f"{row['model']}/{row['id']}")
        if not isinstance(row["ratings"], list) or len(row["ratings"]) != RATERS:
            raise DatasetError(f"expected {RATERS} ratings, found {row['ratings']!r}")
        ratings = [parse_mos(rating, SCALE) for rating in row["ratings"]]
        return ScoredClip(
            name=name,
            path=folder.find(*clip_files(f"{name}.mp4", FOLDERS, videos)),
            kind="video",
            scores={"alignment": sum(ratings) / RATERS},
            scale=SCALE,
            dataset="genai_bench_800",
            split="all",
            prompt=plain_text(row["prompt"], "prompt"),
        )

    return collect(_ratings(path, notes), clip, notes)


GENAI_BENCH_800 = Dataset(
    title="GenAI-Bench, 800 prompts (Li et al. 2024)",
    purpose="test of text-to-video alignment",
    record=ScoredClip,
    reader=read_genai_bench_800,
    scale=SCALE,
    counts={"all": 3200},
    licence="MIT",
    source="Hugging Face zhiqiulin/GenAI-Bench-800",
    layout="genai_video.json; GenAI-Video-800/<model>/<id>.mp4 from Floor33.zip, Gen2.zip, Modelscope.zip, Pika_v1.zip",
    tables=("FingER: Table 3",),
    note="not the GenAI-Bench of votes (genai_bench): two benchmarks have one name",
    options=VIDEOS_OPTION,
    group=by_prompt,
)
