"""How long reading LSVQ takes, and how much memory: 38,811 rows of 38 columns as published, an empty file a video.

Fails where it takes more than 2 seconds or 500 MB. Run with `make bench`.
"""

import csv
import resource
import sys
import tempfile
import time
from pathlib import Path

from vqa_lib.datasets.annotations import Notes
from vqa_lib.datasets.loading import find_dataset, missing_files, read_dataset

SECONDS, MEGABYTES = 2.0, 500


def write_copy(root: Path) -> None:
    """The two label files of LSVQ at their published lengths, and the files they name."""
    counts = find_dataset("lsvq").counts
    boxes = [f"[{part}, 527, 421, 709, 0, 200]" for part in (15, 16, 17)]
    columns = ["name", "p1", "p2", "p3", "height", "width", "mos_p1", "mos_p2", "mos_p3", "mos", "frame_number"]
    columns += ["fn_last_frame", *(f"box{number}" for number in range(24))]

    def rows(prefix: str, count: int, ending: list[str]):
        for number in range(count):
            name = f"{prefix}-batch{1 + number % 24}/{number}"
            (root / name).parent.mkdir(exist_ok=True)
            (root / f"{name}.mp4").touch()
            scores = [f"{20 + number % 60 + part / 10:.4f}" for part in range(4)]
            middle = [720, 1280, *scores, 200, f"{name}/image_00200", *range(24)]
            yield [name, *boxes, *middle, *ending]

    with (root / "labels_train_test.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*columns, "is_test", "is_valid"])
        writer.writerows(rows("yfcc", counts["train"], ["False", "True"]))
        writer.writerows(rows("ia", counts["test"], ["True", "True"]))
    with (root / "labels_test_1080p.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*columns, "is_valid"])
        writer.writerows(rows("large", counts["test_1080p"], ["True"]))


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        write_copy(Path(folder))
        begin = time.perf_counter()
        records = read_dataset("lsvq", folder, Notes())
        read = time.perf_counter() - begin
        missing = len(missing_files(records))
        looked = time.perf_counter() - begin - read
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    print(f"{len(records):,} records read in {read:.2f} s (limit {SECONDS} s)")
    print(f"{missing:,} missing files told in {looked:.2f} s more")
    print(f"peak memory of the process {memory:.0f} MB (limit {MEGABYTES} MB)")
    return int(read > SECONDS or memory > MEGABYTES)


if __name__ == "__main__":
    sys.exit(main())
