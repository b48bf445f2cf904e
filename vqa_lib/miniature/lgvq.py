"""The miniature of LGVQ."""

from pathlib import Path

from vqa_lib.miniature.files import DrawGenerated, write_file
from vqa_lib.miniature.mixes import ZERO_TO_HUNDRED
from vqa_lib.miniature.opinions import opinions

DIMENSIONS = {"spatial": "visual quality", "temporal": "temporal consistency", "alignment": "alignment"}
RATERS = 1  # number of this data set's people, see `GeneratedClip.raters`


def write_lgvq(root: Path, draw: DrawGenerated, counts: dict[str, int]) -> list[dict]:
    """LGVQ: `videos/<model>/<prompt>.mp4`, `MOS.txt` with `name;spatial;temporal;alignment`, model by model."""
    lines, truth = [], []
    for clip in sorted(draw("generated_train", counts["all"]), key=lambda clip: clip.generator):
        name = f"{clip.generator}/{clip.prompt.text}"
        random = clip.raters(RATERS)
        scores = {ours: opinions(clip.qualities[of], ZERO_TO_HUNDRED, random)[0] for ours, of in DIMENSIONS.items()}
        write_file(root / "videos" / f"{name}.mp4", clip.data)
        lines.append(";".join([f"{name}.mp4", *(f"{score:.4f}" for score in scores.values())]))
        truth.append(
            {
                "dataset": "lgvq",
                "name": name,
                "split": "all",
                "path": f"videos/{name}.mp4",
                "scores": scores,
                "prompt": clip.prompt.text,
                "world": clip.facts(),
            }
        )
    write_file(root / "MOS.txt", "".join(f"{line}\n" for line in lines).encode())
    return truth
