"""The miniature of VisionRewardDB-Video: scores and a checklist for clips, and pairs of clips."""

from pathlib import Path

from vqa_lib.datasets.visionreward import SCALES
from vqa_lib.miniature.files import DrawGenerated, write_file, write_parquet
from vqa_lib.miniature.generated_clips import GeneratedClip, draw_pairs, preference

STANDARD_ANSWERS = {"first": "video1", "second": "video2", "tie": "tie"}
RATERS = 5  # number of this data set's people, see `GeneratedClip.raters`
# Ours, of what the world knows; the published list has 64 questions.
CHECKLIST = (
    'Does the video show all that the text "[[prompt]]" asks for?',
    'Does the video show most of what the text "[[prompt]]" asks for?',
    'Does the video show some of what the text "[[prompt]]" asks for?',
    "Is the picture sharp?",
    "Is the picture free of noise?",
    "Is the light natural?",
    "Does the picture not flicker?",
    "Is the camera steady?",
    "Does the object keep its shape?",
    "Does the object keep its colour?",
    "Does the object move?",
    "Does the object move far?",
)
QUESTIONS_SKIPPED = 0.1  # share of the questions that the mask leaves out


def write_visionreward(root: Path, draw: DrawGenerated, counts: dict[str, int]) -> list[dict]:
    """VisionRewardDB-Video: `train/`, `regression/`, `test/` with a Parquet file each, the checklist, `videos/`."""
    write_file(root / "VisionReward_video_qa.txt", "".join(f"{question}\n" for question in CHECKLIST).encode())
    truth = _write_train(root, draw("generated_train", counts["train"]))
    for split, source, name in (
        ("regression", "generated_train", "regression/train-00000-of-00001.parquet"),
        ("test", "generated_test", "test/test-00000-of-00001.parquet"),
    ):
        rows = []
        for number, (first, second) in enumerate(draw_pairs(draw, source, counts[split])):
            preferred = preference(first, second, with_both_bad=False)
            paths = [f"{split}_{number:04d}_{side}.mp4" for side in (1, 2)]
            for path, clip in zip(paths, (first, second), strict=True):
                write_file(root / "videos" / path, clip.data)
            rows.append(
                {
                    "internal_id": f"{number:06d}",
                    "prompt": first.prompt.text,
                    "standard_answer": STANDARD_ANSWERS[preferred],
                    "video1_path": paths[0],
                    "video2_path": paths[1],
                }
            )
            truth.append(
                {
                    "dataset": "visionreward_pairs",
                    "name": f"{split}/{number}",
                    "split": split,
                    "first": f"videos/{paths[0]}",
                    "second": f"videos/{paths[1]}",
                    "preference": preferred,
                    "prompt": first.prompt.text,
                    "world": {"first": first.facts(), "second": second.facts()},
                }
            )
        write_parquet(root / name, rows)
    return truth


def _write_train(root: Path, clips: list[GeneratedClip]) -> list[dict]:
    rows, truth = [], []
    for number, clip in enumerate(clips):
        name, prompt = f"train_{number:05d}.mp4", clip.prompt.text
        write_file(root / "videos" / name, clip.data)
        annotation, answers = _annotation(clip), checklist_answers(clip)
        mask = (clip.raters(RATERS).random(len(CHECKLIST)) > QUESTIONS_SKIPPED).astype(int).tolist()
        rows.append(
            {
                "video_path": name,
                "internal_id": f"{number:06d}",
                "prompt": prompt,
                "url": f"https://example.org/{name}",
                "annotation": annotation,
                "meta_result": [int(answer) for answer in answers],
                "meta_mask": mask,
            }
        )
        common = {"split": "train", "path": f"videos/{name}", "prompt": prompt}
        scored = {"dataset": "visionreward", "name": name, "scores": annotation, "world": clip.facts()}
        truth.append({**common, **scored})
        for question, (text, answer, valid) in enumerate(zip(CHECKLIST, answers, mask, strict=True), 1):
            asked = {
                "dataset": "visionreward_questions",
                "name": f"{name}/{question}",
                "question": text.replace("[[prompt]]", prompt),
                "answer": "yes" if answer else "no",
            }
            if valid:
                truth.append({**common, **asked})
    write_parquet(root / "train" / "train-00000-of-00001.parquet", rows)
    return truth


def _annotation(clip: GeneratedClip) -> dict[str, int]:
    """All 21 dimensions; what the world knows nothing of has its best value."""
    levels, quality = {**clip.strengths, **clip.faults}, clip.qualities
    goodness = dict.fromkeys(SCALES, 1.0) | {
        "alignment": quality["alignment"],
        "focus": 1 - levels.get("blur", 0),
        "camera movement": 1 - levels.get("jitter", 0),
        "color": 1 - levels.get("exposure", 0),
        "lighting accurate": 1 - levels.get("exposure", 0),
        "lighting aes": 1 - levels.get("exposure", 0),
        "shape at beginning": 1.0 if clip.follows("shape") else 0.3,
        "shape throughout": 1 - levels.get("deformation", 0),
        "object motion dynamic": quality["dynamic degree"],
        "camera motion dynamic": levels.get("jitter", 0),
        "movement smoothness": 1 - max(levels.get("stutter", 0), levels.get("shuffling", 0)),
        "movement reality": quality["factual consistency"],
        "clear": 1 - max(levels.get("blur", 0), levels.get("downscaling", 0)),
        "image quality stability": 1 - levels.get("flicker", 0),
        "camera stability": 1 - levels.get("jitter", 0),
        "detail refinement": 1 - max(levels.get("noise", 0), levels.get("compression", 0)),
        "physics law": quality["factual consistency"],
    }
    return {
        dimension: round(scale.low + goodness[dimension] * (scale.high - scale.low))
        for dimension, scale in SCALES.items()
    }


def checklist_answers(clip: GeneratedClip) -> list[bool]:
    """The true answer to each question of the CHECKLIST, in its order."""
    levels, alignment = {**clip.strengths, **clip.faults}, clip.qualities["alignment"]
    return [
        alignment > 0.99,
        alignment >= 0.7,
        alignment >= 0.4,
        not {"blur", "downscaling"} & set(levels),
        "noise" not in levels,
        "exposure" not in levels,
        "flicker" not in levels,
        "jitter" not in levels,
        "deformation" not in levels,
        "colour change" not in levels,
        clip.speed > 0.1,
        clip.speed > 0.6,
    ]
