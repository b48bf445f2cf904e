"""`vqa data` and `vqa check-data` on good, incomplete and hostile copies."""

import json
import shutil
import subprocess
import sys

import pytest
from test_cli import failed_with_one_line, vqa

from vqa_lib.datasets import DATASETS
from vqa_lib.datasets.check import check_dataset, report_lines
from vqa_lib.miniature import MINIATURES

KONVID = "KoNViD_1k_metadata/KoNViD_1k_mos.csv"


@pytest.fixture
def konvid(miniature, tmp_path):
    """A copy to spoil; six videos."""
    root = shutil.copytree(miniature / "konvid", tmp_path / "konvid")
    assert len(list((root / "KoNViD_1k_videos").iterdir())) == 6
    return root


def lines_of(result):
    return result.stdout.splitlines()


def test_the_catalogue_lists_every_data_set():
    blocks = vqa("data").stdout.split("\n\n")
    assert [block.split(":")[0] for block in blocks] == list(DATASETS)
    lsvq = next(block for block in blocks if block.startswith("lsvq"))
    assert "records    ScoredClip on 0-100; train 28,056, test 7,182, test_1080p 3,573" in lsvq
    for fact in ("for ", "tables ", "licence ", "from ", "layout "):
        assert all(f"\n  {fact}" in block for block in blocks)
    assert "-o score=..." in next(block for block in blocks if block.startswith("cgvds"))


def test_listing_needs_no_torch():
    code = "import sys, vqa_lib.datasets.check as check; check.catalogue_lines(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize("name", MINIATURES)
def test_every_miniature_is_complete(whole_world, name):
    report = check_dataset(name, whole_world / name, deep=True)
    assert report.complete
    assert (report.refused, report.missing, report.unreadable) == ([], [], [])
    text = "\n".join(report_lines(report))
    assert text.endswith("complete: every row was read, every file is there")
    for path in report.annotation_files:
        assert str(path.relative_to(whole_world / name)) in text


def test_a_good_copy(konvid):
    result = vqa("check-data", "konvid", konvid, "--deep")
    assert result.exit_code == 0, result.output
    lines = lines_of(result)
    assert lines[:6] == [
        f"konvid: KoNViD-1k in {konvid}",
        f"read: {KONVID}",
        "found: 6 ScoredClip records, 6 files",
        "missing: none",
        "unreadable: none",
        "refused rows: none",
    ]
    assert lines[6].endswith("on a scale of 1 to 5, higher is better")
    bins = lines[7:17]
    assert sum(int(line.split()[-1]) for line in bins) == 6
    assert bins[0].startswith("     1.00 -    1.40 |")
    assert lines[17:19] == ["splits:", "  all: 6 (published 1,200, differs)"]


def test_an_incomplete_copy(konvid):
    videos = sorted((konvid / "KoNViD_1k_videos").iterdir())
    videos[0].unlink()
    videos[1].write_bytes(videos[1].read_bytes()[:400])
    videos[2].write_bytes(b"")
    result = vqa("check-data", "konvid", konvid)
    assert result.exit_code == 1
    assert "unreadable: not looked at; --deep decodes a frame of every file" in result.stdout
    result = vqa("check-data", "konvid", konvid, "--deep")
    assert result.exit_code == 1
    lines = lines_of(result)
    assert lines[2:5] == [
        "found: 6 ScoredClip records, 5 files",
        "missing: 1",
        f"  KoNViD_1k_videos/{videos[0].name}",
    ]
    assert lines[5] == "unreadable: 2"
    assert lines[6].startswith(f"  KoNViD_1k_videos/{videos[1].name}: ")
    assert lines[7] == f"  KoNViD_1k_videos/{videos[2].name}: the file is empty (0 bytes)"
    assert lines[-1] == "NOT complete"


def test_a_hostile_copy(konvid, tmp_path):
    (tmp_path / "secret.mp4").write_text("outside")
    (konvid / "KoNViD_1k_videos" / "linked.mp4").symlink_to(tmp_path / "secret.mp4")
    bad = ["../../secret,3", "/etc/passwd,3", "linked,3", "nan,nan", "high,7", '"a\x1b[2Jb",3', "one", "..\\x,3", ",3"]
    with (konvid / KONVID).open("a") as file:
        file.write("\n".join(bad) + "\n")
    result = vqa("check-data", "konvid", konvid)
    assert result.exit_code == 1
    lines = lines_of(result)
    assert lines[2] == "found: 6 ScoredClip records, 6 files"
    start = lines.index(f"refused rows: {len(bad)}") + 1
    told = [line.removeprefix(f"  {konvid / KONVID}, ") for line in lines[start : start + len(bad)]]
    assert told == [
        "line 8: '../../secret' points outside the data set's folder",
        "line 9: '/etc/passwd' points outside the data set's folder",
        "line 10: 'KoNViD_1k_videos/linked.mp4' is a link that leaves the data set's folder",
        "line 11: the score nan is not between 1 and 5",
        "line 12: the score 7.0 is not between 1 and 5",
        "line 13: 'a\\x1b[2Jb' has a control character",
        "line 14: 1 values under 2 columns",
        "line 15: '..\\\\x' points outside the data set's folder",
        "line 16: the name is empty",
    ]
    assert "\x1b" not in result.stdout


def test_only_the_first_ten_missing_are_named(tmp_path):
    (tmp_path / "clips.csv").write_text("path,mos\n" + "".join(f"{number}.mp4,3\n" for number in range(25)))
    lines = report_lines(check_dataset("csv", tmp_path))
    start = lines.index("missing: 25")
    assert lines[start + 1 : start + 12] == [f"  {number}.mp4" for number in range(10)] + ["  ... and 15 more"]


def test_options_reach_the_reader(whole_world):
    root = whole_world / "cgvds"
    seven, five = check_dataset("cgvds", root), check_dataset("cgvds", root, score="VQ_ACR")
    assert {(clip.scale.low, clip.scale.high) for clip in seven.records} == {(1, 7)}
    assert {(clip.scale.low, clip.scale.high) for clip in five.records} == {(1, 5)}
    assert vqa("check-data", "cgvds", root, "-o", "score=VQ_ACR").exit_code == 0
    message = failed_with_one_line(vqa("check-data", "cgvds", root, "-o", "socre=VQ_ACR"))
    assert "cgvds has no option ['socre']; known: ['annotations'," in message
    assert "cgvds has no score 'best'" in failed_with_one_line(vqa("check-data", "cgvds", root, "-o", "score=best"))
    assert vqa("check-data", "cgvds", root, "-o", "score").exit_code == 2


def test_pairs_are_counted_by_preference(tmp_path):
    (tmp_path / "pairs.csv").write_text("a,b,preference\na.mp4,b.mp4,a\nb.mp4,c.mp4,B\na.mp4,c.mp4,left\n")
    for name in "abc":
        (tmp_path / f"{name}.mp4").write_text("there")
    report = check_dataset("pairs_csv", tmp_path)
    assert report.complete
    lines = report_lines(report)
    assert "found: 3 Pair records, 3 files" in lines
    assert "preferences: first 2, second 1" in lines


def test_scores_beyond_the_scale_are_told(tmp_path):
    from vqa_lib.datasets.check import Report
    from vqa_lib.records import Scale, ScoredClip

    clips = [
        ScoredClip(str(mos), tmp_path, "video", {"noise": mos}, Scale(0, 100), "csv", "all") for mos in (-8.58, 50, 71)
    ]
    lines = report_lines(Report("csv", tmp_path, [], clips, [], [], None))
    assert "noise: -8.58 to 71, on a scale of 0 to 100, higher is better; 1 beyond the scale" in lines
    assert sum(int(line.split()[-1]) for line in lines if "|" in line) == 3


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / KONVID).unlink(), "KoNViD_1k_mos.csv: missing; expected one of: KoNViD_1k_metadata/"),
        (lambda root: (root / KONVID).write_bytes(b"\xff\xfe\x00"), "KoNViD_1k_mos.csv: not a readable CSV"),
        (lambda root: (root / KONVID).write_text("a,b\n"), "the columns ['flickr_id', 'mos'] are missing"),
        (shutil.rmtree, "no such folder"),
    ],
)
def test_what_cannot_be_read_at_all_is_one_line(konvid, spoil, message):
    spoil(konvid)
    assert message in failed_with_one_line(vqa("check-data", "konvid", konvid))


def test_an_empty_annotation_file_is_not_complete(konvid):
    (konvid / KONVID).write_text("flickr_id,mos\n")
    result = vqa("check-data", "konvid", konvid)
    assert result.exit_code == 1
    assert "found: 0 ScoredClip records, 0 files" in result.stdout


def test_files_are_checked_in_several_processes(miniature):
    from vqa_lib.datasets import load_clips
    from vqa_lib.video import check_readable

    clips = load_clips("lsvq", miniature / "lsvq", "train")
    items = [(clip.path, "video") for clip in clips] + [(miniature / "miniature.json", "video")]
    assert len(items) >= 64
    assert check_readable(items, workers=2) == check_readable(items) != []


def test_vqathinkers_form_is_named(tmp_path):
    rows = [{"image_id": "1.mp4", "ann_type": "score", "score": "64.4"}]
    (tmp_path / "Konvid-1k_total_ds_score.json").write_text(json.dumps({"annotations": rows}))
    assert "read: Konvid-1k_total_ds_score.json" in report_lines(check_dataset("konvid", tmp_path))
