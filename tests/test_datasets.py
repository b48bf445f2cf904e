import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from vqa_lib.datasets import READERS, DatasetError, load_clips
from vqa_lib.datasets.annotations import inside, parse_mos
from vqa_lib.records import Scale, ScoredClip, rescale

HUNDRED, FIVE = Scale(0, 100), Scale(1, 5)
SPLITS = {
    "koniq": ["training", "validation", "test"],
    "lsvq": ["train", "test", "test_1080p"],
    "konvid": ["all"],
    "live_vqc": ["all"],
}
KONVID = "KoNViD_1k_metadata/KoNViD_1k_mos.csv"
KONIQ = "koniq10k_distributions_sets.csv"
LSVQ, LSVQ_LARGE = "labels_train_test.csv", "labels_test_1080p.csv"


def write(root, name: str, text: str | bytes):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def konvid(root, text: str | bytes):
    return write(root, KONVID, text)


def koniq(root, text: str):
    return write(root, KONIQ, text)


def lsvq(root, text: str, large: str = "name,mos\nlarge/1,50\n"):
    return write(write(root, LSVQ, text), LSVQ_LARGE, large)


def live_vqc(root, names: list[str], scores: list[float]):
    cells = np.array([[name] for name in names] + [[None]], dtype=object)[:-1]  # the None keeps numpy from guessing
    savemat(root / "data.mat", {"video_list": cells, "mos": np.array([[float(score)] for score in scores])})
    return root


class TestMiniatures:
    @pytest.mark.parametrize(
        ("name", "published", "of_truth", "digits"),
        [
            ("koniq", HUNDRED, FIVE, 6),  # the file with the official sets holds the 1-5 ratings on 0-100
            ("lsvq", HUNDRED, HUNDRED, 4),
            ("konvid", FIVE, FIVE, 4),
            ("live_vqc", HUNDRED, HUNDRED, 12),  # MATLAB keeps double precision
        ],
    )
    def test_every_record_equals_the_truth(self, miniature, name, published, of_truth, digits):
        root = miniature / name
        lines = (root / "truth.jsonl").read_text().splitlines()
        truth = {fact["name"]: fact["mos"] for fact in map(json.loads, lines)}
        counts = json.loads((miniature / "miniature.json").read_text())["datasets"][name]["counts"]
        assert list(counts) == SPLITS[name]
        seen = {}
        for split, count in counts.items():
            clips = load_clips(name, root, split)
            assert len(clips) == count
            for clip in clips:
                assert isinstance(clip, ScoredClip)
                assert (clip.dataset, clip.split, clip.scale) == (name, split, published)
                assert clip.kind == ("image" if name == "koniq" else "video")
                assert clip.path.is_file()
                seen[clip.name] = clip.mos
        assert seen.keys() == truth.keys()
        for clip_name, mos in truth.items():
            wanted = rescale(mos, of_truth, published)
            assert math.isclose(seen[clip_name], wanted, rel_tol=1e-14, abs_tol=0.6 * 10**-digits)

    def test_raters_disagree_as_published(self, miniature):
        assert all(0 < clip.sd < 50 for clip in load_clips("koniq", miniature / "koniq", "test"))

    def test_a_limit_takes_the_first(self, miniature):
        clips = load_clips("lsvq", miniature / "lsvq", "train")
        assert load_clips("lsvq", miniature / "lsvq", "train", limit=3) == clips[:3]

    def test_a_reader_for_every_miniature(self, miniature):
        described = json.loads((miniature / "miniature.json").read_text())["datasets"]
        assert set(READERS) == set(described)


class TestForms:
    """The forms in which the same table comes: all give the same record."""

    @pytest.mark.parametrize(
        "text",
        [
            "flickr_id,mos\n123,3.5\n",
            "\ufeffflickr_id,mos\n123,3.5\n",  # byte-order mark
            "flickr_id,mos\r\n123,3.5\r\n",  # Windows
            "flickr_id,mos\n123,3.5",  # no last line break
            '"flickr_id","mos"\n"123","3.5"\n',  # quoted
            '"flickr_id", "mos"\n"123", "3.5"\n',  # quoted and padded
            "flickr_id , mos\n123 , 3.5 \n",  # padded on both sides
            "mos,flickr_id\n3.5,123\n",  # another order
            "url,flickr_id,mos\nx,123,3.5\n",  # further columns
            "flickr_id,mos\n123,3.5\n\n",  # a blank line at the end
        ],
    )
    def test_konvid(self, tmp_path, text):
        (clip,) = READERS["konvid"](konvid(tmp_path, text))
        assert (clip.name, clip.mos) == ("123", 3.5)
        assert clip.path == tmp_path / "KoNViD_1k_videos" / "123.mp4"

    def test_a_name_that_pandas_takes_for_missing(self, tmp_path):
        names = [clip.name for clip in READERS["konvid"](konvid(tmp_path, "flickr_id,mos\nNA,3\nnull,3\n007,3\n"))]
        assert names == ["NA", "null", "007"]


class TestErrors:
    """Each names the file and, where there is one, the line (the header is line 1)."""

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", r"KoNViD_1k_mos\.csv.*(readable|missing)"),  # empty file
            ("flickr_id\n1\n", r"KoNViD_1k_mos\.csv: the columns \['mos'\] are missing; found \['flickr_id'\]"),
            ("flickr_id;mos\n1;3\n", r"KoNViD_1k_mos\.csv: the columns \['flickr_id', 'mos'\] are missing"),
            ("flickr_id,mos\n1,3\n2,nan\n", r"KoNViD_1k_mos\.csv, line 3: the score nan is not between 1 and 5"),
            ("flickr_id,mos\n1,3\n2,inf\n", r"KoNViD_1k_mos\.csv, line 3: the score inf is not between 1 and 5"),
            ("flickr_id,mos\n1,\n", r"KoNViD_1k_mos\.csv, line 2: the score"),
            ("flickr_id,mos\n1,good\n", r"KoNViD_1k_mos\.csv, line 2: the score 'good' is not a number"),
            ("flickr_id,mos\n1,5.01\n", r"KoNViD_1k_mos\.csv, line 2: the score 5\.01 is not between 1 and 5"),
            ("flickr_id,mos\n1,0.99\n", r"KoNViD_1k_mos\.csv, line 2: the score 0\.99 is not between 1 and 5"),
            ("flickr_id,mos\n1,3\n2,3\n1,3\n", r"KoNViD_1k_mos\.csv, line 4: '1' is listed twice"),
            ("flickr_id,mos\n../1,3\n", r"KoNViD_1k_mos\.csv, line 2: '\.\./1\.mp4' points outside"),
            ("flickr_id,mos\na/../../1,3\n", r"KoNViD_1k_mos\.csv, line 2: .* points outside"),
            ("flickr_id,mos\n/etc/1,3\n", r"KoNViD_1k_mos\.csv, line 2: '/etc/1\.mp4' points outside"),
            ("flickr_id,mos\n..\\1,3\n", r"KoNViD_1k_mos\.csv, line 2: .* points outside"),  # Windows' separator
            ("flickr_id,mos\n,3\n", r"KoNViD_1k_mos\.csv, line 2: .*empty"),  # no name
            ('flickr_id,mos\n" ",3\n', r"KoNViD_1k_mos\.csv, line 2: .*empty"),
            ("flickr_id,mos\n1\n", r"KoNViD_1k_mos\.csv, line 2"),  # too few values
            ("flickr_id,mos\n1,3,5\n", r"KoNViD_1k_mos\.csv, line 2"),  # too many, as with a decimal comma
            ('flickr_id,mos\n"1,3\n', r"KoNViD_1k_mos\.csv: not a readable CSV"),  # quote never closed
            (b"flickr_id,mos\n\xff\xfe,3\n", r"KoNViD_1k_mos\.csv: not a readable CSV"),  # not UTF-8
        ],
    )
    def test_konvid(self, tmp_path, text, message):
        with pytest.raises(DatasetError, match=message):
            READERS["konvid"](konvid(tmp_path, text))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("image_name,MOS,SD\na.jpg,50,3\n", r"distributions_sets\.csv: the columns \['set'\] are missing"),
            ("image_name,MOS,SD,set\na.jpg,101,3,test\n", r"sets\.csv, line 2: the score 101\.0 is not between 0"),
            ("image_name,MOS,SD,set\na.jpg,50,wide,test\n", r"sets\.csv, line 2: .*'wide' is not a number"),
            ("image_name,MOS,SD,set\n,50,3,test\n", r"sets\.csv, line 2: .*empty"),
            ("image_name,MOS,SD,set\n../a.jpg,50,3,test\n", r"sets\.csv, line 2: '\.\./a\.jpg' points outside"),
            (
                "image_name,MOS,SD,set\na.jpg,50,3,test\na.jpg,50,3,test\n",
                r"sets\.csv, line 3: 'a\.jpg' is listed twice",
            ),
        ],
    )
    def test_koniq(self, tmp_path, text, message):
        with pytest.raises(DatasetError, match=message):
            READERS["koniq"](koniq(tmp_path, text))

    @pytest.mark.parametrize(
        ("text", "large", "message"),
        [
            ("name,mos\na,50\n", "name,mos\n", r"train_test\.csv: the columns \['is_test'\] are missing"),
            ("name,mos,is_test\na,50,yes\n", "name,mos\n", r"train_test\.csv: is_test must be True or False.*'yes'"),
            ("name,mos,is_test\na,50,\n", "name,mos\n", r"train_test\.csv.*is_test"),  # not a training clip by default
            ("name,mos,is_test\na,-1,True\n", "name,mos\n", r"train_test\.csv, line 2: the score -1\.0"),
            ("name,mos,is_test\n,50,True\n", "name,mos\n", r"train_test\.csv, line 2: .*empty"),
            ("name,mos,is_test\na,50,True\n", "name,mos\n/b,50\n", r"test_1080p\.csv, line 2: .*points outside"),
            (
                "name,mos,is_test\na,50,True\n",
                "name,mos\nb,50\nb,50\n",
                r"test_1080p\.csv, line 3: 'b' is listed twice",
            ),
        ],
    )
    def test_lsvq(self, tmp_path, text, large, message):
        with pytest.raises(DatasetError, match=message):
            READERS["lsvq"](lsvq(tmp_path, text, large))

    @pytest.mark.parametrize(
        ("names", "scores", "message"),
        [
            (["A1.mp4"], [math.nan], r"data\.mat, entry 1: the score nan"),
            (["A1.mp4", "A2.mp4"], [50, 100.5], r"data\.mat, entry 2: the score 100\.5 is not between 0 and 100"),
            (["A1.mp4", "A2.mp4"], [50], r"data\.mat: 2 names in video_list but 1 values in mos"),
            (["A1.mp4", "A1.mp4"], [50, 50], r"data\.mat, .*'A1\.mp4' is listed twice"),
            (["../A1.mp4"], [50], r"data\.mat, entry 1: .* points outside"),
            (["/A1.mp4"], [50], r"data\.mat, entry 1: .* points outside"),
        ],
    )
    def test_live_vqc(self, tmp_path, names, scores, message):
        with pytest.raises(DatasetError, match=message):
            READERS["live_vqc"](live_vqc(tmp_path, names, scores))

    @pytest.mark.parametrize(
        "variables",
        [
            {"mos": np.array([[50.0]])},  # no names
            {"video_list": np.array([["A1.mp4"]], dtype=object)},  # no scores
            {"video_list": np.array([["A1.mp4", "A2.mp4"]], dtype=object), "mos": np.array([[50.0, 60.0]])},  # rows
            {"video_list": np.array([[1.0]]), "mos": np.array([[50.0]])},  # numbers for names
            {"video_list": np.array([["A1.mp4"]], dtype=object), "mos": np.array([["good"]], dtype=object)},
        ],
    )
    def test_live_vqc_with_other_variables(self, tmp_path, variables):
        savemat(tmp_path / "data.mat", variables)
        with pytest.raises(DatasetError, match=r"data\.mat: expected MATLAB variables video_list and mos, both n x 1"):
            READERS["live_vqc"](tmp_path)

    @pytest.mark.parametrize("share", [0, 0.02, 0.3, 0.6, 0.95])
    def test_live_vqc_cut_short(self, miniature, tmp_path, share):
        data = (miniature / "live_vqc" / "data.mat").read_bytes()
        (tmp_path / "data.mat").write_bytes(data[: int(share * len(data))])
        with pytest.raises(DatasetError, match=r"data\.mat"):
            READERS["live_vqc"](tmp_path)

    @pytest.mark.parametrize(
        ("name", "file"),
        [("koniq", KONIQ), ("lsvq", LSVQ), ("konvid", KONVID), ("live_vqc", "data.mat")],
    )
    def test_no_annotation_file(self, tmp_path, name, file):
        with pytest.raises(DatasetError, match=f"{file}: missing"):
            READERS[name](tmp_path)

    def test_no_second_annotation_file(self, tmp_path):
        write(tmp_path, LSVQ, "name,mos,is_test\na,50,True\n")
        with pytest.raises(DatasetError, match=f"{LSVQ_LARGE}: missing"):
            READERS["lsvq"](tmp_path)


class TestLoadClips:
    def test_missing_files_are_counted_and_the_first_ten_named(self, tmp_path):
        konvid(tmp_path, "flickr_id,mos\n" + "".join(f"clip{number:02d},3\n" for number in range(14)))
        for number in (0, 5):
            write(tmp_path, f"KoNViD_1k_videos/clip{number:02d}.mp4", "there")
        with pytest.raises(DatasetError) as error:
            load_clips("konvid", tmp_path, "all")
        message = str(error.value)
        assert "12 of 14 files of konvid/all are missing" in message
        named = [number for number in range(14) if f"KoNViD_1k_videos/clip{number:02d}.mp4" in message]
        assert named == [1, 2, 3, 4, 6, 7, 8, 9, 10, 11]

    def test_a_limit_does_not_ask_for_files_beyond_it(self, tmp_path):
        konvid(tmp_path, "flickr_id,mos\n1,3\n2,3\n")
        write(tmp_path, "KoNViD_1k_videos/1.mp4", "there")
        assert [clip.name for clip in load_clips("konvid", tmp_path, "all", limit=1)] == ["1"]

    def test_an_unknown_split_lists_the_known(self, miniature):
        with pytest.raises(
            DatasetError, match=r"koniq has no split 'train'; found \['test', 'training', 'validation'\]"
        ):
            load_clips("koniq", miniature / "koniq", "train")

    def test_a_split_without_clips(self, tmp_path):
        with pytest.raises(DatasetError, match=r"konvid has no split 'all'; found \[\]"):
            load_clips("konvid", konvid(tmp_path, "flickr_id,mos\n"), "all")

    def test_a_row_without_a_split_is_an_error_not_a_crash(self, tmp_path):
        koniq(tmp_path, "image_name,MOS,SD,set\na.jpg,50,3,\nb.jpg,50,3,test\n")
        with pytest.raises(DatasetError):
            load_clips("koniq", tmp_path, "training")

    def test_an_unknown_data_set_lists_the_known(self, tmp_path):
        with pytest.raises(DatasetError, match=r"unknown data set 'imagenet'; known: \['koniq', .*'lsvq'\]"):
            load_clips("imagenet", tmp_path, "train")

    def test_no_folder(self, tmp_path):
        with pytest.raises(DatasetError, match="nowhere: no such folder; lsvq is expected there"):
            load_clips("lsvq", tmp_path / "nowhere", "train")


class TestHostileRows:
    cell = st.one_of(
        st.text(alphabet=st.characters(codec="utf-8"), max_size=12),
        st.sampled_from(
            ["", "3", "1e999", "nan", "-0", "..", "/", "../x", "\\", '"', '"3"', "NA", "\x00", "\r", "\ufeff"]
        ),
    )

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
    @given(rows=st.lists(st.lists(cell, max_size=4).map(",".join), max_size=4))
    def test_give_records_or_a_dataset_error(self, tmp_path, rows):
        konvid(tmp_path, "\n".join(["flickr_id,mos", *rows]))
        try:
            clips = READERS["konvid"](tmp_path)
        except DatasetError:
            return
        for clip in clips:
            assert isinstance(clip.name, str)
            assert clip.name
            assert FIVE.contains(clip.mos)
            assert tmp_path in clip.path.parents
            assert ".." not in clip.path.parts
        assert len({clip.name for clip in clips}) == len(clips)

    @given(st.text(max_size=20))
    def test_a_path_stays_inside_or_is_refused(self, relative):
        try:
            path = inside(Path("root"), relative, "here")
        except DatasetError as error:
            assert str(error).startswith("here: ")
        else:
            assert path.parts[0] == "root"
            assert ".." not in path.parts

    @given(st.one_of(st.text(max_size=8), st.none(), st.floats().map(str)))
    def test_a_score_is_on_its_scale_or_refused(self, text):
        try:
            assert HUNDRED.contains(parse_mos(text, HUNDRED, "here"))
        except DatasetError as error:
            assert str(error).startswith("here: ")


class TestScales:
    @pytest.mark.parametrize(
        ("score", "source", "target", "expected"),
        [
            (1, FIVE, HUNDRED, 0),
            (5, FIVE, HUNDRED, 100),
            (3, FIVE, HUNDRED, 50),
            (25, HUNDRED, FIVE, 2),
            (25, Scale(0, 100, higher_is_better=False), HUNDRED, 75),  # a DMOS turned round
            (3, FIVE, FIVE, 3),
        ],
    )
    def test_rescale(self, score, source, target, expected):
        assert rescale(score, source, target) == expected

    def test_a_scale_has_a_direction(self):
        with pytest.raises(ValueError, match="low < high"):
            Scale(5, 1)

    def test_a_clip_is_an_image_or_a_video(self, tmp_path):
        with pytest.raises(ValueError, match="lsvq/a: kind must be 'image' or 'video', got 'audio'"):
            ScoredClip("a", tmp_path, "audio", {"overall": 1.0}, HUNDRED, "lsvq", "train")

    def test_one_score_is_asked_of_a_clip_with_two(self, tmp_path):
        clip = ScoredClip("a", tmp_path, "video", {"spatial": 1.0, "temporal": 2.0}, HUNDRED, "lsvq", "train")
        with pytest.raises(ValueError, match="not one score"):
            _ = clip.mos
