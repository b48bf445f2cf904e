"""The miniature of FingER-Instruct-60k, in the form that `vqa_lib.datasets.finger` defines."""

from dataclasses import asdict
from pathlib import Path

from vqa_lib.miniature.entity_questions import entity_questions
from vqa_lib.miniature.files import DrawGenerated, write_file, write_json_lines

SOURCES_OF = {"train": "generated_train", "test": "generated_test"}
QUESTIONS = 14  # of a clip


def write_finger(root: Path, draw: DrawGenerated, counts: dict[str, int]) -> list[dict]:
    """FingER-Instruct-60k: `finger_train.jsonl`, `finger_test.jsonl`, clips in `videos/<model>/<number>.mp4`."""
    truth = []
    for split, source in SOURCES_OF.items():
        rows = []
        for number, clip in enumerate(draw(source, -(-counts[split] // QUESTIONS))):
            name = f"{clip.generator}/{split}_{number:05d}"
            write_file(root / "videos" / f"{name}.mp4", clip.data)
            for each in entity_questions(clip)[: counts[split] - len(rows)]:
                asked = asdict(each)
                rows.append({"prompt": clip.prompt.text, "video": f"{name}.mp4", **asked})
                truth.append(
                    {
                        **asked,
                        "dataset": "finger",
                        "name": f"{name}: {each.question}",
                        "split": split,
                        "path": f"videos/{name}.mp4",
                        "prompt": clip.prompt.text,
                        "polarity": "yes" if each.polarity == "positive" else "no",
                        "world": clip.facts(),
                    }
                )
        write_json_lines(root / f"finger_{split}.jsonl", rows)
    return truth
