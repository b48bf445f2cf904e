"""A good row of each set of generated video and of understanding, and how rows are written: for tests of readers."""

import csv
import io
import json

import pytest

from vqa_lib.datasets import DatasetError
from vqa_lib.datasets.annotations import Notes
from vqa_lib.datasets.loading import read_dataset
from vqa_lib.datasets.visionreward import SCALES
from vqa_lib.miniature.files import write_parquet, write_xlsx

PROMPT = "a red circle moves left over bricks"

FOLDERS = {  # entry of the catalogue -> its miniature
    "lgvq": "lgvq",
    "visionreward": "visionreward",
    "visionreward_questions": "visionreward",
    "visionreward_pairs": "visionreward",
    "genai_bench": "genai_bench",
    "genai_bench_800": "genai_bench_800",
    "videofeedback": "videofeedback",
    "t2vqa": "t2vqa",
    "videogen_eval": "videogen_eval",
    "vidprom": "vidprom",
    "finger": "finger",
    "finevd": "finevd",
    "finevd_questions": "finevd",
    "q_bench_video": "q_bench_video",
}


def write(root, name: str, content: str | bytes):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(name: str, root, **options) -> list:
    return read_dataset(name, root, Notes(), **options)


def parquet(name: str):
    return lambda root, rows: write_parquet(root / name, rows)


def json_lines(name: str):
    return lambda root, rows: write(root, name, "".join(json.dumps(row) + "\n" for row in rows))


def json_list(name: str):
    return lambda root, rows: write(root, name, json.dumps(rows))


def separated(name: str, separator: str):
    def lines(root, rows):
        text = "".join(separator.join(str(cell) for cell in row.values()) + "\n" for row in rows)
        write(root, name, text.encode(errors="surrogatepass"))

    return lines


def table(name: str):
    def write_table(root, rows):
        text = io.StringIO()
        writer = csv.DictWriter(text, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write(root, name, text.getvalue().encode(errors="surrogatepass"))

    return write_table


def sheet(name: str):
    return lambda root, rows: write_xlsx(
        root / name, {"Sheet1": [list(rows[0]), *(list(row.values()) for row in rows)]}
    )


def ratings(root, rows):
    """GenAI-Bench-800: an object of prompts, with the models below each."""
    content = {}
    for row in rows:
        entry = content.setdefault(str(row["id"]), {"id": row["id"], "prompt": row.get("prompt"), "models": {}})
        entry["models"][str(row.get("model"))] = row.get("ratings")
    write(root, "genai_video.json", json.dumps(content))


def with_checklist(root, rows):
    parquet("train/train-00000-of-00001.parquet")(root, rows)
    write(root, "VisionReward_video_qa.txt", 'Does it show "[[prompt]]"?\nIs it sharp?\nIs it steady?\n')


def camp_tables(root, rows):
    """FineVD: six tables of the same rows."""
    for name in ("", "MOS_color_", "MOS_noise_", "MOS_artifact_", "MOS_blur_", "MOS_temporal_"):
        table(f"FINEVD_{name}metadata.csv")(root, rows)


def turns(asked: str, answer: str) -> list[dict]:
    return [{"from": "human", "value": asked}, {"from": "gpt", "value": answer}]


CHOICE = "Please select one distortion type from below options{A:[None], B:[low saturation], C:[shaking]}Just answer."

# (entry of the catalogue, how rows are written, a good row, the annotation file)
FORMS = [
    (
        "lgvq",
        separated("MOS.txt", ";"),
        {"name": f"pika/{PROMPT}.mp4", "spatial": 40.48, "temporal": 32.63, "alignment": 56.33},
        "MOS.txt",
    ),
    (
        "lgvq",
        table("scores.csv"),
        {"model": "pika", "prompt": PROMPT, "spatial": 40.48, "temporal": 32.63, "alignment": 56.33},
        "scores.csv",
    ),
    ("t2vqa", separated("info.txt", "|"), {"name": "0001.mp4", "prompt": PROMPT, "mos": 51.5}, "info.txt"),
    (
        "visionreward",
        parquet("train/train-00000-of-00001.parquet"),
        {"video_path": "a/1.mp4", "prompt": PROMPT, "annotation": {name: 1 for name in SCALES}},
        "train/train-00000-of-00001.parquet",
    ),
    (
        "visionreward_questions",
        with_checklist,
        {"video_path": "a/1.mp4", "prompt": PROMPT, "meta_result": [1, 0, -1], "meta_mask": [1, 1, 0]},
        "train/train-00000-of-00001.parquet",
    ),
    (
        "visionreward_pairs",
        parquet("regression/train-00000-of-00001.parquet"),
        {
            "internal_id": "7",
            "prompt": PROMPT,
            "standard_answer": "tie",
            "video1_path": "1.mp4",
            "video2_path": "2.mp4",
        },
        "regression/train-00000-of-00001.parquet",
    ),
    (
        "genai_bench",
        parquet("video_generation/test_v1-00000-of-00001.parquet"),
        {
            "prompt": PROMPT,
            "left_video": "https://example.org/x/86aa85.mp4",
            "right_video": "https://example.org/x/aadd66.mp4?download=1",
            "vote_type": "bothbad_vote",
        },
        "video_generation/test_v1-00000-of-00001.parquet",
    ),
    (
        "genai_bench",
        json_list("data.json"),
        {"id": 0, "prompt": PROMPT, "video_left": "86aa85.mp4", "video_right": "aadd66.mp4", "vote_type": "rightvote"},
        "data.json",
    ),
    (
        "genai_bench_800",
        ratings,
        {"id": "00000", "prompt": PROMPT, "model": "Gen2", "ratings": [4, 5, 3]},
        "genai_video.json",
    ),
    (
        "videofeedback",
        parquet("annotated/test-00000-of-00001.parquet"),
        {
            "id": "p110367",
            "text prompt": PROMPT,
            "visual quality": 3,
            "temporal consistency": 2,
            "dynamic degree": 4,
            "text-to-video alignment": 1,
            "factual consistency": 3,
        },
        "annotated/test-00000-of-00001.parquet",
    ),
    ("videogen_eval", sheet("VGenEval_T2V.xlsx"), {"ID": 730, "Prompt": PROMPT}, "VGenEval_T2V.xlsx"),
    (
        "vidprom",
        table("VidProM_unique.csv"),
        {"uuid": "6a83eb92-faa0-572b-9e1f-67dec99b711d", "prompt": PROMPT, "time": "Sun Sep  3 12:27:44 2023"},
        "VidProM_unique.csv",
    ),
    (
        "finger",
        json_lines("finger_train.jsonl"),
        {
            "prompt": PROMPT,
            "video": "kling/00001.mp4",
            "entity": "circle",
            "dimension": "temporal consistency",
            "question": "Does the circle change its colour?",
            "polarity": "negative",
            "answer": "no",
            "reason": "It is red in every frame.",
        },
        "finger_train.jsonl",
    ),
    ("finevd", camp_tables, {"vid": "0_00_00_1357553287", "mos": 56.445}, "FINEVD_metadata.csv"),
    (
        "finevd",
        json_lines("FineVD_test_mos1.jsonl"),
        {"video": "0_00_00_1357553287.mp4", "mos": 56.445, "conversations": []},
        "FineVD_test_mos1.jsonl",
    ),
    (
        "finevd_questions",
        json_lines("yesno_test.jsonl"),
        {
            "video": "0_00_00_1357553287.mp4",
            "conversations": turns("If there is no blur in the video, please answer [No]. ...", "Yes"),
        },
        "yesno_test.jsonl",
    ),
    (
        "finevd_questions",
        json_lines("abcd_train_en.jsonl"),
        {"video": "\ufeff0_00_00_1357553287.mp4", "conversations": turns(CHOICE, "C")},
        "abcd_train_en.jsonl",
    ),
    (
        "q_bench_video",
        json_list("Q_Bench_Video_dev.json"),
        {
            "video_name": "a.mp4_cat_b.mp4.mp4",
            "question": "Which is sharper?",
            "answers": ["The first", "The second"],
            "question_type": "what/how",
            "context": "Pair-Compare-Coarse",
            "quality_concern": ["Technical"],
            "correct_choice": "B",
        },
        "Q_Bench_Video_dev.json",
    ),
]
IDS = [f"{name}-{file.rpartition('/')[2]}" for name, _, _, file in FORMS]


FORM = dict(zip(IDS, FORMS, strict=True))


def check(root, records: list) -> None:
    """Whatever was read: names are unique, files lie below the root, scores are finite."""
    assert len({record.name for record in records}) == len(records)
    for record in records:
        assert record.name
        for path in record.paths:
            assert root in path.parents
            assert ".." not in path.parts
        for score in getattr(record, "scores", {}).values():
            assert abs(score) < float("inf")


def rows_of(identifier: str, **changes) -> tuple[str, object, list[dict]]:
    name, write_rows, good, _ = FORM[identifier]
    return name, write_rows, [{**good, **changes}]


def one(root, identifier: str, **changes):
    """The only record of a row with some cells changed."""
    name, write_rows, rows = rows_of(identifier, **changes)
    write_rows(root, rows)
    (record,) = read(name, root)
    return record


def refused(root, identifier: str, message: str, **changes) -> None:
    """The row is refused, by a message that begins with the file and the row."""
    name, write_rows, rows = rows_of(identifier, **changes)
    write_rows(root, rows)
    with pytest.raises(DatasetError, match=message) as error:
        read(name, root)
    file = FORM[identifier][3]
    assert str(error.value).startswith(f"{root / file}, ")
    notes = Notes(keep_going=True)
    assert read_dataset(name, root, notes) == []
    assert notes.refused
