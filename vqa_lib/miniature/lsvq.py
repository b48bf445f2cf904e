"""The miniature of LSVQ."""

from pathlib import Path

from vqa_lib.miniature.files import Draw, write_csv, write_file
from vqa_lib.miniature.mixes import WEB_VIDEO, ZERO_TO_HUNDRED
from vqa_lib.miniature.world import DrawnClip, Source

LANDSCAPE = ((84, 56),)
SOURCES = {
    "lsvq_train": Source(3, "train", "video", LANDSCAPE, WEB_VIDEO, ZERO_TO_HUNDRED),
    "lsvq_test": Source(4, "test", "video", LANDSCAPE, WEB_VIDEO, ZERO_TO_HUNDRED),
    "lsvq_1080p": Source(5, "test", "video", ((168, 112),), WEB_VIDEO, ZERO_TO_HUNDRED),
}


def write_lsvq(root: Path, draw: Draw, counts: dict[str, int]) -> dict[str, DrawnClip]:
    """LSVQ: `<name>.mp4` in batch folders, `labels_train_test.csv` (38 columns), `labels_test_1080p.csv` (37)."""
    patches = [
        f"{side}_p{number}" for number in (1, 2, 3) for side in ("left", "right", "top", "bottom", "start", "end")
    ]
    columns = [
        "name",
        "p1",
        "p2",
        "p3",
        "height",
        "width",
        "mos_p1",
        "mos_p2",
        "mos_p3",
        "mos",
        "frame_number",
        "fn_last_frame",
    ]
    columns += [*patches, "top_vid", "left_vid", "bottom_vid", "right_vid", "start_vid", "end_vid"]
    truth = {}

    def rows(source: str, count: int, batch: str, is_test: list[str]) -> list[list]:
        table = []
        for number, clip in enumerate(draw(source, count)):
            name = f"{batch}{1 + number % 3}/{100 + number}"
            write_file(root / f"{name}.mp4", clip.data)
            truth[name] = clip
            width, height = clip.size
            frames = 15
            boxes = [
                [0, width // 2, 0, height // 2, 0, frames],
                [0, width, 0, height, 0, 5],
                [0, width // 2, 0, height, 0, 5],
            ]
            score = f"{clip.mos:.4f}"
            table.append(
                [name, *boxes, height, width, score, score, score, score, frames, f"{name}/image_{frames:05d}"]
                + [number for box in boxes for number in box]
                + [0, 0, height, width, 0, frames, *is_test, "True"]
            )
        return table

    labels = rows("lsvq_train", counts["train"], "yfcc-batch", ["False"])
    labels += rows("lsvq_test", counts["test"], "ia-batch", ["True"])
    write_csv(root / "labels_train_test.csv", [*columns, "is_test", "is_valid"], labels)
    large = rows("lsvq_1080p", counts["test_1080p"], "yfcc-batch1", [])
    write_csv(root / "labels_test_1080p.csv", [*columns, "is_valid"], large)
    return truth
