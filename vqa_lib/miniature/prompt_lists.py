"""The miniatures of the sets that hold prompts alone: VideoGen-Eval and VidProM.

Their prompts are those whose clips the other sets hold, in the same order.
"""

import uuid
from pathlib import Path

import numpy as np

from vqa_lib.miniature.files import DrawGenerated, write_csv, write_xlsx
from vqa_lib.miniature.generated_clips import SOURCES
from vqa_lib.miniature.generated_prompts import world_prompts


def _prompts(draw: DrawGenerated, source: str, count: int) -> list[str]:
    """The first prompts of a source, in the world of one of its clips."""
    seed, *_ = draw(source, 1)[0].key
    first = SOURCES[source].first
    return [prompt.text for prompt in world_prompts(seed)[first : first + count]]


def write_videogen_eval(root: Path, draw: DrawGenerated, counts: dict[str, int]) -> list[dict]:
    """VideoGen-Eval: three spreadsheets, in the first of which headings and blank rows stand between the prompts."""
    texts = _prompts(draw, "generated_train", max(counts["all"], counts["t2v"] + counts["i2v"]))
    rows: list[list] = [["Scenario", "Type", "ID", "Text Prompt"]]
    truth = []
    for number, text in enumerate(texts[: counts["all"]], 1):
        if number % 5 == 1:
            rows += [[f"Scenario {number // 5 + 1}"], []]
        rows.append([None, "Motion", number, text])
        truth.append({"dataset": "videogen_eval", "name": f"all/{number}", "split": "all", "text": text})
    write_xlsx(root / "prompts.xlsx", {"Sheet1": rows})
    for split, members in (("t2v", texts[: counts["t2v"]]), ("i2v", texts[counts["t2v"] :][: counts["i2v"]])):
        rows = [["ID", "Prompt"], *([number, text] for number, text in enumerate(members, 730))]
        write_xlsx(root / f"VGenEval_{split.upper()}.xlsx", {"Sheet1": rows})
        truth += [
            {"dataset": "videogen_eval", "name": f"{split}/{number}", "split": split, "text": text}
            for number, text in rows[1:]
        ]
    return truth


def write_vidprom(root: Path, draw: DrawGenerated, counts: dict[str, int]) -> list[dict]:
    """VidProM: `VidProM_unique.csv` with nine columns, of which the last six say how harmful a prompt is."""
    harms = ["toxicity", "obscene", "identity_attack", "insult", "threat", "sexual_explicit"]
    rows, truth = [], []
    for number, text in enumerate(_prompts(draw, "generated_train", counts["all"])):
        name = str(uuid.UUID(bytes=np.random.default_rng([50, number]).bytes(16), version=4))
        rows.append([name, text, f"Sun Sep  3 12:{number % 60:02d}:44 2023", *["0.0001"] * len(harms)])
        truth.append({"dataset": "vidprom", "name": name, "split": "all", "text": text})
    write_csv(root / "VidProM_unique.csv", ["uuid", "prompt", "time", *harms], rows)
    return truth
