"""FineVD: 6,104 videos of a sharing site, scored overall and for five kinds of distortion (Duan et al. 2025)."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from vqa_lib.datasets.annotations import (
    AnnotationFile,
    DatasetError,
    Folder,
    Notes,
    Rows,
    annotation_rows,
    collect,
    parse_mos,
    plain_name,
    stem,
)
from vqa_lib.datasets.dataset import Dataset
from vqa_lib.datasets.downloads import VIDEOS_OPTION, clip_files, clip_name
from vqa_lib.datasets.tables import read_json_lines, read_table
from vqa_lib.records import Scale, ScoredClip

SCALE = Scale(0, 100)
ATTRIBUTES = ("color", "noise", "artifact", "blur", "temporal")
DIMENSIONS = ("overall", *ATTRIBUTES)
FOLDERS = ("videos_all/videos_all_videos", "videos_all", "videos", ".")

TABLES = {"overall": "FINEVD_metadata.csv"} | {name: f"FINEVD_MOS_{name}_metadata.csv" for name in ATTRIBUTES}
SCORE_LISTS = {"train": "*_train_mos{number}.jsonl", "test": "*_test_mos{number}.jsonl"}
SCORES_OPTIONS = {
    "annotations": "a table of your own below the root, .csv or .xlsx, with the columns vid, overall, color, noise, "
    "artifact, blur, temporal, where the scores came in another form",
    "dimensions": "what mos1, mos2 ... in the names of FineVQ's files stand for, such as 'overall,color'; without it "
    "mos1 alone is read, the overall score",
}


def read_finevd(
    root: Path,
    notes: Notes,
    videos: str | None = None,
    annotations: str | None = None,
    dimensions: str | None = None,
) -> list[ScoredClip]:
    """Videos with six scores, or those that are there; split all from the tables, train and test from the lists.

    A video needs a score in each of the files. Published scores for noise go below 0. For the options see the
    catalogue.
    """
    folder = Folder(root)

    def clip(row: dict) -> ScoredClip:
        name, scores = row["name"], row["scores"]
        return ScoredClip(
            name=name,
            path=folder.find(*clip_files(f"{name}.mp4", FOLDERS, videos)),
            kind="video",
            scores={dimension: parse_mos(score, SCALE, beyond=True) for dimension, score in scores.items()},
            scale=SCALE,
            dataset="finevd",
            split=row["split"],
        )

    rows = _score_rows(root, notes, dimensions) if annotations is None else _own_table(root, annotations, notes)
    return collect(rows, clip, notes)


def _own_table(root: Path, annotations: str, notes: Notes) -> Rows:
    file = AnnotationFile(
        plain_name(annotations), partial(read_table, columns={"vid": "vid", **{name: name for name in DIMENSIONS}})
    )
    for where, row in annotation_rows(root, [[file]], notes):
        try:
            name = video_name(row["vid"])
        except DatasetError as error:
            notes.refuse(f"{where}: {error}")
        else:
            yield where, {"name": name, "split": "all", "scores": {key: row[key] for key in DIMENSIONS}}


def _score_rows(root: Path, notes: Notes, dimensions: str | None) -> Rows:
    """The rows of the published forms: tables of CAMP-VQA or lists of FineVQ."""
    if (root / TABLES["overall"]).exists():
        splits = {"all": {dimension: [root / name] for dimension, name in TABLES.items()}}
        read = partial(read_table, columns={"name": "vid", "mos": "mos"})
    else:
        names = ["overall"] if dimensions is None else [name.strip() for name in dimensions.split(",")]
        if "overall" not in names or len(set(names)) < len(names) or not set(names) <= set(DIMENSIONS):
            raise DatasetError(
                f"the option dimensions must name some of {DIMENSIONS}, with overall, got {dimensions!r}"
            )
        splits = {
            split: {name: sorted(root.glob(list_name.format(number=number))) for number, name in enumerate(names, 1)}
            for split, list_name in SCORE_LISTS.items()
        }
        splits = {split: files for split, files in splits.items() if files["overall"]}
        read = read_json_lines
    if not splits:
        raise DatasetError(
            f"{root}: the scores are missing; expected {', '.join(TABLES.values())}, or *_train_mos1.jsonl and "
            "*_test_mos1.jsonl"
        )

    yield from _joined(root, splits, read, notes)


def _joined(root: Path, splits: dict[str, dict[str, list[Path]]], read, notes: Notes) -> Rows:
    """A row a video of the overall scores, with the scores of the other dimensions' files put to it."""
    for split, files in splits.items():
        others = {
            dimension: {name: mos for _, name, mos in _scores(root, paths, read, notes)}
            for dimension, paths in files.items()
            if dimension != "overall"
        }
        for where, name, mos in _scores(root, files["overall"], read, notes):
            missing = [dimension for dimension, scores in others.items() if name not in scores]
            if missing:
                notes.refuse(f"{where}: {name!r} has no score for {', '.join(missing)}")
                continue
            scores = {dimension: table[name] for dimension, table in others.items()}
            yield where, {"name": name, "split": split, "scores": {"overall": mos, **scores}}


def _scores(root: Path, paths: list[Path], read, notes: Notes) -> Iterator[tuple[str, str, float]]:
    seen = set()
    for path in paths:
        if not path.is_file():
            raise DatasetError(f"{path}: missing; each of the six tables is needed")
        Folder(root).find(path.relative_to(root).as_posix())  # refuses a link out of the root
        notes.files.append(path)
        for where, row in read(path, notes):
            try:
                name = video_name(row.get("name", row.get("video")))
                if name in seen:
                    raise DatasetError(f"{name!r} is listed twice")
                mos = parse_mos(row.get("mos"), SCALE, beyond=True)
            except DatasetError as error:
                notes.refuse(f"{where}: {error}")
                continue
            seen.add(name)
            yield where, name, mos


def video_name(text: object) -> str:
    """A name without its ending, and without the byte-order mark that the first name of some files has inside it."""
    return stem(clip_name(text.lstrip("\ufeff") if isinstance(text, str) else text))


COMMON = {
    "licence": "not stated; the download asks for name, organisation and purpose",
    "source": "Hugging Face IntMeGroup/FineVD for the videos",
}

FINEVD = Dataset(
    title="FineVD, scores",
    purpose="scores for five kinds of distortion",
    record=ScoredClip,
    reader=read_finevd,
    scale=SCALE,
    counts={"all": 5074, "train": None, "test": 1016},
    layout="videos_all/<vid>.mp4 (or videos_all/videos_all_videos/, videos/); FINEVD_metadata.csv and "
    "FINEVD_MOS_{color,noise,artifact,blur,temporal}_metadata.csv (CAMP-VQA), or *_{train,test}_mos1.jsonl (FineVQ)",
    tables=(),
    note="the names inside the authors' archive are not documented. CAMP-VQA's tables hold training and validation, "
    "without the 1,016 test videos. Scores for noise go down to -8.6",
    options={**VIDEOS_OPTION, **SCORES_OPTIONS},
    **COMMON,
)
