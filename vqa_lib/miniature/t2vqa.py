"""The miniature of T2VQA-DB."""

from pathlib import Path

from vqa_lib.miniature.files import DrawGenerated, write_file
from vqa_lib.miniature.mixes import ZERO_TO_HUNDRED
from vqa_lib.miniature.opinions import opinions

RATERS = 2  # number of this data set's people, see `GeneratedClip.raters`


def write_t2vqa(root: Path, draw: DrawGenerated, counts: dict[str, int]) -> list[dict]:
    """T2VQA-DB: `videos/0000.mp4 ...`, `info.txt` with `name|prompt|mos`."""
    lines, truth = [], []
    for number, clip in enumerate(draw("generated_train", counts["all"])):
        name = f"{number:04d}"
        mos = opinions(clip.qualities["overall"], ZERO_TO_HUNDRED, clip.raters(RATERS))[0]
        write_file(root / "videos" / f"{name}.mp4", clip.data)
        lines.append(f"{name}.mp4|{clip.prompt.text}|{mos:.4f}")
        truth.append(
            {
                "dataset": "t2vqa",
                "name": name,
                "split": "all",
                "path": f"videos/{name}.mp4",
                "scores": {"overall": mos},
                "prompt": clip.prompt.text,
                "world": clip.facts(),
            }
        )
    write_file(root / "info.txt", "".join(f"{line}\n" for line in lines).encode())
    return truth
