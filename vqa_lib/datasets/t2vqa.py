"""T2VQA-DB: 10,000 generated clips, one MOS on 0-100 (Kou et al. 2024)."""

from functools import partial
from pathlib import Path

from vqa_lib.datasets.annotations import AnnotationFile, Folder, Notes, annotation_rows, collect, parse_mos, stem
from vqa_lib.datasets.dataset import Dataset, by_prompt
from vqa_lib.datasets.downloads import VIDEOS_OPTION, clip_files, clip_name, plain_text
from vqa_lib.datasets.tables import read_lines
from vqa_lib.records import Scale, ScoredClip

SCALE = Scale(0, 100)
FOLDERS = ("videos", "T2VQA-DB", "T2VQA-DB/videos", ".")


def _line(line: str) -> dict | None:
    """A prompt may have the separator in it: it goes from the first to the last of the line."""
    name, _, rest = line.partition("|")
    prompt, found, mos = rest.rpartition("|")
    return {"name": name.strip(), "prompt": prompt.strip(), "mos": mos.strip()} if found else None


_LIST = partial(read_lines, parse=_line, expected="filename|prompt|mos")
FORMS = [[AnnotationFile("info.txt", _LIST)], [AnnotationFile("T2VQA-DB/info.txt", _LIST)]]


def read_t2vqa(root: Path, notes: Notes, videos: str | None = None) -> list[ScoredClip]:
    """Clips with one MOS and the prompt; one split, all."""
    folder = Folder(root)

    def clip(row: dict) -> ScoredClip:
        name = stem(clip_name(row["name"]))  # some lists leave the ending out
        return ScoredClip(
            name=name,
            path=folder.find(*clip_files(f"{name}.mp4", FOLDERS, videos)),
            kind="video",
            # as in the other sets of these authors, a few scores may leave the scale
            scores={"overall": parse_mos(row["mos"], SCALE, beyond=True)},
            scale=SCALE,
            dataset="t2vqa",
            split="all",
            prompt=plain_text(row["prompt"], "prompt"),
        )

    return collect(annotation_rows(root, FORMS, notes), clip, notes)


T2VQA = Dataset(
    title="T2VQA-DB",
    purpose="scoring of generated video, for comparison",
    record=ScoredClip,
    reader=read_t2vqa,
    scale=SCALE,
    counts={"all": 10000},
    licence="not stated",
    source="GitHub QMME/T2VQA: link to the archive",
    layout="info.txt (filename|prompt|mos without a header); the clips in videos/, T2VQA-DB/ or beside info.txt",
    tables=(),
    note="the authors split at random, 80:20, with ten seeds; ours is by prompt",
    options=VIDEOS_OPTION,
    group=by_prompt,
)
