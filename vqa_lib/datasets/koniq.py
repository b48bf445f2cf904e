"""KonIQ-10k: 10,073 photographs, MOS on 0-100, official sets (Hosu et al. 2020)."""

from pathlib import Path

from vqa_lib.datasets.annotations import inside, parse_mos, read_table, row_name, unique
from vqa_lib.records import Scale, ScoredClip

SCALE = Scale(0, 100)


def read_koniq(root: Path) -> list[ScoredClip]:
    """`koniq10k_distributions_sets.csv` and `1024x768/*.jpg`; splits training, validation, test.

    That file's MOS is on 0-100 (`koniq10k_scores_and_distributions.csv` has the 1-5 form of the same ratings).
    """
    path = root / "koniq10k_distributions_sets.csv"
    table = read_table(path, ["image_name", "MOS", "SD", "set"])
    unique(table["image_name"].tolist(), path)
    clips = []
    for row, (name, mos, sd, split) in enumerate(table.itertuples(index=False)):
        where = row_name(path, row)
        clips.append(
            ScoredClip(
                name=name,
                path=inside(root / "1024x768", name, where),
                kind="image",
                scores={"overall": parse_mos(mos, SCALE, where)},
                scale=SCALE,
                dataset="koniq",
                split=split,
                sd=parse_mos(sd, SCALE, where),
            )
        )
    return clips
