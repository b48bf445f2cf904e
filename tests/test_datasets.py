import json
import math
from pathlib import Path

import numpy as np
import pytest
from generated_forms import FOLDERS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from vqa_lib.datasets import DATASETS, DatasetError, load_clips, load_pairs
from vqa_lib.datasets.annotations import Notes, parse_mos, plain_name
from vqa_lib.datasets.loading import read_dataset
from vqa_lib.miniature import MINIATURES
from vqa_lib.miniature.write import SOURCES
from vqa_lib.records import Pair, Prompt, Question, Scale, ScoredClip, rescale

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


def read(name: str, root) -> list:
    return read_dataset(name, root, Notes())


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


# how far rounding in the published files may move a score
DIGITS = {
    "koniq": 6,
    "lsvq": 4,
    "konvid": 4,
    "live_vqc": 12,
    "live_yt_gaming": 12,
    "live_yt_hfr": 8,
    "youtube_ugc": 3,
    "vdpve": 4,
}


class TestMiniatures:
    @pytest.mark.parametrize("name", sorted(set(MINIATURES) - set(FOLDERS)))  # the others: test_generated_miniature
    def test_every_record_equals_the_truth(self, whole_world, name):
        root, dataset = whole_world / name, DATASETS[name]
        truth = {fact["name"]: fact["mos"] for fact in map(json.loads, (root / "truth.jsonl").read_text().splitlines())}
        (drawn_on,) = {source.scale for key, source in SOURCES.items() if key.startswith(name)}
        seen = {}
        for split in SPLITS.get(name, dataset.counts):
            for clip in load_clips(name, root, split):
                assert isinstance(clip, ScoredClip)
                assert (clip.dataset, clip.split, clip.scale) == (name, split, dataset.scale)
                assert clip.kind == ("image" if name in ("koniq", "spaq", "kadid") else "video")
                seen[clip.name] = clip.mos
        assert seen.keys() == truth.keys()
        for clip_name, mos in truth.items():
            wanted = rescale(mos, drawn_on, dataset.scale)
            assert math.isclose(seen[clip_name], wanted, rel_tol=1e-14, abs_tol=0.6 * 10 ** -DIGITS.get(name, 2))

    def test_splits_have_the_sizes_that_were_asked_for(self, miniature):
        for name, facts in json.loads((miniature / "miniature.json").read_text())["datasets"].items():
            assert list(facts["counts"]) == SPLITS[name] == list(DATASETS[name].counts)
            for split, count in facts["counts"].items():
                assert len(load_clips(name, miniature / name, split)) == count

    def test_every_data_set_has_a_miniature(self):
        assert set(DATASETS) - set(MINIATURES) - set(FOLDERS) == {"csv", "score_list", "vqathinker", "pairs_csv"}

    def test_raters_disagree_as_published(self, miniature):
        assert all(0 < clip.sd < 50 for clip in load_clips("koniq", miniature / "koniq", "test"))

    def test_a_limit_takes_the_first(self, miniature):
        clips = load_clips("lsvq", miniature / "lsvq", "train")
        assert load_clips("lsvq", miniature / "lsvq", "train", limit=3) == clips[:3]


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
        (clip,) = read("konvid", konvid(tmp_path, text))
        assert (clip.name, clip.mos) == ("123", 3.5)
        assert clip.path == tmp_path / "KoNViD_1k_videos" / "123.mp4"

    def test_a_name_that_pandas_takes_for_missing(self, tmp_path):
        names = [clip.name for clip in read("konvid", konvid(tmp_path, "flickr_id,mos\nNA,3\nnull,3\n007,3\n"))]
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
            ("flickr_id,mos\n../1,3\n", r"KoNViD_1k_mos\.csv, line 2: '\.\./1' points outside"),
            ("flickr_id,mos\na/../../1,3\n", r"KoNViD_1k_mos\.csv, line 2: .* points outside"),
            ("flickr_id,mos\n/etc/1,3\n", r"KoNViD_1k_mos\.csv, line 2: '/etc/1' points outside"),
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
            read("konvid", konvid(tmp_path, text))

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
            read("koniq", koniq(tmp_path, text))

    @pytest.mark.parametrize(
        ("text", "large", "message"),
        [
            ("name,mos\na,50\n", "name,mos\n", r"train_test\.csv: the columns \['is_test'\] are missing"),
            (
                "name,mos,is_test\na,50,yes\n",
                "name,mos\n",
                r"_test\.csv, line 2: is_test must be True or.*'yes'",
            ),
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
            read("lsvq", lsvq(tmp_path, text, large))

    @pytest.mark.parametrize(
        ("names", "scores", "message"),
        [
            (["A1.mp4"], [math.nan], r"data\.mat, entry 1: the score nan"),
            (["A1.mp4", "A2.mp4"], [50, 100.5], r"data\.mat, entry 2: the score 100\.5 is not between 0 and 100"),
            (["A1.mp4", "A2.mp4"], [50], r"data\.mat: 2 values in video_list but 1 values in mos"),
            (["A1.mp4", "A1.mp4"], [50, 50], r"data\.mat, entry 2: 'A1\.mp4' is listed twice"),
            (["../A1.mp4"], [50], r"data\.mat, entry 1: .* points outside"),
            (["/A1.mp4"], [50], r"data\.mat, entry 1: .* points outside"),
        ],
    )
    def test_live_vqc(self, tmp_path, names, scores, message):
        with pytest.raises(DatasetError, match=message):
            read("live_vqc", live_vqc(tmp_path, names, scores))

    @pytest.mark.parametrize(
        "variables",
        [
            {"mos": np.array([[50.0]])},  # no names
            {"video_list": np.array([["A1.mp4"]], dtype=object)},  # no scores
            {"video_list": np.array([["A1.mp4", "A2.mp4"]], dtype=object), "mos": np.array([[50.0, 60.0]])},  # rows
            {"video_list": np.array([["A1.mp4", None]], dtype=object)[:, :1], "mos": "text"},
        ],
    )
    def test_live_vqc_with_other_variables(self, tmp_path, variables):
        savemat(tmp_path / "data.mat", variables)
        with pytest.raises(DatasetError, match=r"data\.mat: expected MATLAB variables video_list and mos, both n x 1"):
            read("live_vqc", tmp_path)

    @pytest.mark.parametrize(
        ("variables", "message"),
        [
            ({"video_list": np.array([[1.0]]), "mos": np.array([[50.0]])}, "the name 1.0 is not text"),
            (
                {"video_list": np.array([["A1.mp4"]], dtype=object), "mos": np.array([["good"]], dtype=object)},
                "the score 'good' is not a number",
            ),
        ],
    )
    def test_live_vqc_with_other_types(self, tmp_path, variables, message):
        savemat(tmp_path / "data.mat", variables)
        with pytest.raises(DatasetError, match=rf"data\.mat, entry 1: {message}"):
            read("live_vqc", tmp_path)

    @pytest.mark.parametrize("share", [0, 0.02, 0.3, 0.6, 0.95])
    def test_live_vqc_cut_short(self, miniature, tmp_path, share):
        data = (miniature / "live_vqc" / "data.mat").read_bytes()
        (tmp_path / "data.mat").write_bytes(data[: int(share * len(data))])
        with pytest.raises(DatasetError, match=r"data\.mat"):
            read("live_vqc", tmp_path)

    @pytest.mark.parametrize(
        ("name", "file"),
        [("koniq", KONIQ), ("lsvq", LSVQ), ("konvid", KONVID), ("live_vqc", "data.mat")],
    )
    def test_no_annotation_file(self, tmp_path, name, file):
        with pytest.raises(DatasetError, match=f"{file}: missing"):
            read(name, tmp_path)

    def test_no_second_annotation_file(self, tmp_path):
        write(tmp_path, LSVQ, "name,mos,is_test\na,50,True\n")
        with pytest.raises(DatasetError, match=f"{LSVQ_LARGE}: missing"):
            read("lsvq", tmp_path)


class TestLines:
    """Errors name the line that a text editor shows."""

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("flickr_id,mos\n1,3\n2,x\n", 3),
            ("flickr_id,mos\n\n1,3\n\n\n2,x\n", 6),  # blank lines
            ("\n\nflickr_id,mos\n1,x\n", 4),  # before the header
            ("flickr_id,mos\r\n1,3\r\n\r\n2,x\r\n", 4),
            ('flickr_id,mos,note\n1,3,"a\nb\nc"\n2,x,\n', 5),  # after a cell of three lines
            ('flickr_id,note,mos\n1,"a\nb",3\n2,"a\nb",x\n3,,3\n', 4),  # a row of two lines: where it begins
        ],
    )
    def test_of_a_csv(self, tmp_path, text, line):
        with pytest.raises(DatasetError, match=rf"KoNViD_1k_mos\.csv, line {line}: the score 'x'"):
            read("konvid", konvid(tmp_path, text))

    def test_bad_rows_are_all_noted_and_good_ones_kept(self, tmp_path):
        konvid(tmp_path, "flickr_id,mos\n1,3\n2,nan\n3,4,5\n../4,3\n1,3\n\n6,3\n")
        notes = Notes(keep_going=True)
        assert [clip.name for clip in read_dataset("konvid", tmp_path, notes)] == ["1", "6"]
        path = tmp_path / KONVID
        assert notes.files == [path]
        assert notes.refused == [
            f"{path}, line 3: the score nan is not between 1 and 5",
            f"{path}, line 4: 3 values under 2 columns",
            f"{path}, line 5: '../4' points outside the data set's folder",
            f"{path}, line 6: '1' is listed twice",
        ]


class TestFiles:
    """Files are found as they are spelled on disk; a link that leads out of the folder is refused by name."""

    @pytest.mark.parametrize(
        ("row", "file"),
        [
            ("123", "123.MP4"),
            ("123", "123_original_centercrop_960x540_8s.mp4"),  # the older release
            ("a clip", "a clip.mp4"),
            ("видео", "видео.Mp4"),
            ("映像 1", "映像 1.mp4"),
            ("caf\u00e9", "cafe\u0301.mp4"),  # one accent, composed and not
        ],
    )
    def test_spellings(self, tmp_path, row, file):
        konvid(tmp_path, f"flickr_id,mos\n{row},3\n")
        write(tmp_path, f"KoNViD_1k_videos/{file}", "there")
        (clip,) = load_clips("konvid", tmp_path, "all")
        assert (clip.name, clip.path.name) == (row, file)

    def test_a_link_inside_is_followed(self, tmp_path):
        konvid(tmp_path, "flickr_id,mos\n1,3\n")
        write(tmp_path, "elsewhere/1.mp4", "there")
        (tmp_path / "KoNViD_1k_videos").symlink_to(tmp_path / "elsewhere")
        assert len(load_clips("konvid", tmp_path, "all")) == 1

    def test_the_root_may_be_a_link(self, tmp_path):
        konvid(tmp_path / "disk", "flickr_id,mos\n1,3\n")
        write(tmp_path / "disk", "KoNViD_1k_videos/1.mp4", "there")
        (tmp_path / "konvid").symlink_to(tmp_path / "disk")
        assert len(load_clips("konvid", tmp_path / "konvid", "all")) == 1

    def test_a_file_that_is_a_link_out(self, tmp_path):
        konvid(tmp_path / "root", "flickr_id,mos\n1,3\n2,3\n3,3\n")
        write(tmp_path, "secret.mp4", "there")
        write(tmp_path / "root", "KoNViD_1k_videos/1.mp4", "there")
        (tmp_path / "root/KoNViD_1k_videos/2.mp4").symlink_to(tmp_path / "secret.mp4")
        (tmp_path / "root/KoNViD_1k_videos/3.mp4").symlink_to(tmp_path / "root2" / "nothing.mp4")
        notes = Notes(keep_going=True)
        assert [clip.name for clip in read_dataset("konvid", tmp_path / "root", notes)] == ["1"]
        assert [line.split(", ")[1] for line in notes.refused] == [
            "line 3: 'KoNViD_1k_videos/2.mp4' is a link that leaves the data set's folder",
            "line 4: 'KoNViD_1k_videos/3.mp4' is a link that leaves the data set's folder",
        ]

    def test_a_folder_that_is_a_link_out(self, tmp_path):
        konvid(tmp_path / "root", "flickr_id,mos\n1,3\n2,3\n")
        write(tmp_path, "outside/1.mp4", "there")
        (tmp_path / "root/KoNViD_1k_videos").symlink_to(tmp_path / "outside")
        notes = Notes(keep_going=True)
        assert read_dataset("konvid", tmp_path / "root", notes) == []
        assert len(notes.refused) == 2
        assert "'KoNViD_1k_videos' is a link that leaves" in notes.refused[0]

    def test_an_annotation_file_that_is_a_link_out(self, tmp_path):
        konvid(tmp_path / "other", "flickr_id,mos\n1,3\n")
        (tmp_path / "root/KoNViD_1k_metadata").mkdir(parents=True)
        (tmp_path / "root" / KONVID).symlink_to(tmp_path / "other" / KONVID)
        with pytest.raises(DatasetError, match="is a link that leaves the data set's folder"):
            read("konvid", tmp_path / "root")

    @pytest.mark.parametrize("name", ["a\x1b[2Jb", "a\tb", "a\x9bb"])
    def test_a_control_character(self, tmp_path, name):
        with pytest.raises(DatasetError, match=r"line 2: .* has a control character"):
            read("konvid", konvid(tmp_path, f"flickr_id,mos\n{name},3\n"))

    def test_a_name_too_long_for_the_file_system_is_missing(self, tmp_path):
        konvid(tmp_path, f"flickr_id,mos\n{'a' * 5000},3\n")
        with pytest.raises(DatasetError, match="1 of 1 files of konvid/all are missing"):
            load_clips("konvid", tmp_path, "all")


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
        with pytest.raises(DatasetError, match=r"unknown data set 'imagenet'; known: \[.*'koniq', .*'lsvq'.*\]"):
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
            clips = read("konvid", tmp_path)
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
    def test_a_name_stays_inside_or_is_refused(self, text):
        try:
            path = Path(plain_name(text))
        except DatasetError:
            return
        assert path.as_posix() == plain_name(text)
        assert not path.is_absolute()
        assert ".." not in path.parts
        assert path.name

    @given(st.one_of(st.text(max_size=8), st.none(), st.booleans(), st.integers(), st.floats(), st.floats().map(str)))
    def test_a_score_is_on_its_scale_or_refused(self, text):
        try:
            assert HUNDRED.contains(parse_mos(text, HUNDRED))
        except DatasetError as error:
            assert str(error).startswith("the score ")

    @pytest.mark.parametrize("text", ["1_0", "\uff11", "0x10", "1e", "", " 3", "3,5", "--3", True, None, [], {}, b"3"])
    def test_what_is_no_number(self, text):
        with pytest.raises(DatasetError, match="is not a number"):
            parse_mos(text, HUNDRED)

    def test_a_score_beyond_the_scale_is_asked_for(self):
        assert parse_mos("-8.58", HUNDRED, beyond=True) == -8.58
        for text in ("nan", "inf", "1e999", 10**400):
            with pytest.raises(DatasetError, match="is not between"):
                parse_mos(text, HUNDRED, beyond=True)


class TestCatalogue:
    def test_clips_are_not_loaded_as_pairs(self, tmp_path):
        with pytest.raises(DatasetError, match="lsvq holds records of the type ScoredClip, not Pair"):
            load_pairs("lsvq", tmp_path, "train")

    def test_an_unknown_option_lists_the_known(self, tmp_path):
        with pytest.raises(DatasetError, match=r"lsvq has no option \['folder'\]; known: \[\]"):
            load_clips("lsvq", tmp_path, "train", folder="videos")

    @pytest.mark.parametrize("name", DATASETS)
    def test_every_entry_says_what_a_user_needs(self, name):
        dataset = DATASETS[name]
        assert dataset.record in (ScoredClip, Pair, Question, Prompt)
        assert (dataset.scale is not None) == (dataset.record is ScoredClip)
        for text in (dataset.title, dataset.purpose, dataset.licence, dataset.source, dataset.layout):
            assert text
            assert text == text.strip()
        assert dataset.counts
