"""Every annotation file that a reader knows: the official ones and the re-exports give the same names and scores."""

import re
import zipfile

import pytest
from generated_forms import FOLDERS
from published_forms import FORMS, write_files

from vqa_lib.datasets import DATASETS, DatasetError, load_clips, load_pairs
from vqa_lib.datasets.annotations import Notes
from vqa_lib.datasets.forms import named_file
from vqa_lib.datasets.loading import read_dataset
from vqa_lib.datasets.waterloo_4k import clip_name
from vqa_lib.miniature.spaq import attributes
from vqa_lib.records import Pair, Scale

IDS = [f"{name}-{next(iter(files)).rpartition('/')[2]}" for name, _, files, _ in FORMS]


@pytest.mark.parametrize(("name", "options", "files", "expected"), FORMS, ids=IDS)
def test_names_scores_and_the_file_that_was_read(tmp_path, name, options, files, expected):
    write_files(tmp_path, files)
    notes = Notes()
    records = read_dataset(name, tmp_path, notes, **options)
    if name != "pairs_csv":
        found = {record.name: next(iter(record.scores.values())) for record in records}
        assert found == pytest.approx(expected)
    assert [record.name for record in records] == list(expected)
    assert notes.files == [tmp_path / file for file in files]
    assert all(record.dataset == name for record in records)
    assert {record.split for record in records} <= set(DATASETS[name].counts) | {"all", "test", "train"}


def test_every_data_set_has_its_forms_here():
    assert {name for name, *_ in FORMS} >= set(DATASETS) - set(FOLDERS)


@pytest.mark.parametrize("number", range(len(FORMS)), ids=IDS)
@pytest.mark.parametrize("change", ["bom", "crlf"])
def test_byte_order_marks_and_windows_line_ends(tmp_path, number, change):
    name, options, files, expected = FORMS[number]
    texts = {file: text for file, text in files.items() if isinstance(text, str)}
    if change == "bom":
        changed = {file: "\ufeff" + text for file, text in texts.items()}
    else:
        changed = {file: text.replace("\n", "\r\n") for file, text in texts.items()}
    write_files(tmp_path, {**files, **changed})
    assert [record.name for record in read_dataset(name, tmp_path, Notes(), **options)] == list(expected)


def test_the_official_file_comes_first(tmp_path):
    write_files(
        tmp_path, {"labels.txt": "KoNViD_1k_videos/2.mp4, -1, -1, 2\n", "KoNViD_1k_mos.csv": "flickr_id,mos\n1,3\n"}
    )
    notes = Notes()
    assert [clip.name for clip in read_dataset("konvid", tmp_path, notes)] == ["1"]
    assert notes.files == [tmp_path / "KoNViD_1k_mos.csv"]


class TestWhereFilesLie:
    @pytest.mark.parametrize(
        ("name", "options", "annotations", "places"),
        [
            (
                "youtube_ugc",
                {},
                {"labels.txt": "Vlog_360P-22a0_crf_10_ss_00_t_20.0.mp4, -1, -1, 3\n"},
                [
                    "original_videos/Vlog_360P-22a0.mkv",
                    "original_videos/Vlog_360P-22a0_crf_10_ss_00_t_20.0.mp4",
                    "Vlog_360P-22a0_crf_10_ss_00_t_20.0.MP4",
                ],
            ),
            (
                "youtube_ugc",
                {"videos": "h264"},
                {"labels.txt": "Vlog_360P-22a0_crf_10_ss_00_t_20.0.mp4, -1, -1, 3\n"},
                ["h264/Vlog_360P-22a0_crf_10_ss_00_t_20.0.mp4"],
            ),
            (
                "live_yt_gaming",
                {},
                {"LIVE-YT-Gaming_metadata.csv": "File,MOS\nA-1.mp4,3\n"},
                ["mp4/A-1.mp4", "A-1.mp4"],
            ),
            (
                "live_yt_hfr",
                {},
                {"LIVE_HFR_metadata.csv": "Filename,MOS\nA_crf_0_24fps,3\n"},
                ["A_crf_0_24fps.webm", "A_crf_0_24fps.mp4"],
            ),
            (
                "waterloo_4k",
                {"videos": "4K"},
                {"scores.txt": "AV1,1,540,1,3\n"},
                ["4K/AV1_01_960x540_1.mp4", "AV1_01_960x540_1.mkv"],
            ),
            ("vdpve", {}, {"train.txt": "A0023_01.mp4,3\n"}, ["train/A0023_01.mp4", "A0023_01.mp4"]),
        ],
    )
    def test_several_places(self, tmp_path, name, options, annotations, places):
        split = next(iter(DATASETS[name].counts))
        for number, place in enumerate(places):
            root = tmp_path / str(number)
            write_files(root, {**annotations, place: "there"})
            (clip,) = load_clips(name, root, split, **options)
            assert clip.path == root / place


class TestOwnData:
    def test_csv(self, tmp_path):
        text = 'path,mos,sd,split,prompt\na.mp4,50,9,test,"a cat, asleep"\nb.JPG,60,,train,\n'
        write_files(tmp_path, {"clips.csv": text, "a.mp4": "there", "b.JPG": "there"})
        (clip,) = load_clips("csv", tmp_path, "test")
        assert (clip.kind, clip.sd, clip.prompt, clip.scale) == ("video", 9, "a cat, asleep", Scale(0, 100))
        (image,) = load_clips("csv", tmp_path, "train")
        assert (image.kind, image.sd, image.prompt) == ("image", None, None)

    def test_quotes_that_belong_to_a_prompt_stay(self, tmp_path):
        write_files(tmp_path, {"clips.csv": 'path,mos,prompt\n"a.mp4","3","""Help!"", cries\nthe ""cat"""\n'})
        (clip,) = read_dataset("csv", tmp_path, Notes())
        assert (clip.name, clip.mos, clip.prompt) == ("a.mp4", 3, '"Help!", cries\nthe "cat"')

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"low": "5", "high": "1"}, "low and high must be the ends of a scale, got '5' and '1'"),
            ({"low": "a"}, "low and high must be the ends of a scale, got 'a' and '100'"),
            ({"low": "nan"}, "low and high must be"),
            ({"file": "../clips.csv"}, "points outside the data set's folder|missing"),
            ({"high": "5"}, "line 2: the score 50.0 is not between 0.0 and 5.0"),
        ],
    )
    def test_csv_options(self, tmp_path, options, message):
        write_files(tmp_path, {"clips.csv": "path,mos\na.mp4,50\n"})
        with pytest.raises(DatasetError, match=message):
            read_dataset("csv", tmp_path, Notes(), **options)

    @pytest.mark.parametrize(
        ("word", "preference"),
        [
            ("a", "first"),
            ("A", "first"),
            ("left", "first"),
            ("second", "second"),
            ("same", "tie"),
            ("both_bad", "both_bad"),
        ],
    )
    def test_pairs(self, tmp_path, word, preference):
        text = f"a,b,preference,prompt,split\nx/1.mp4,x/2.mp4,{word},a cat,test\n"
        write_files(tmp_path, {"pairs.csv": text, "x/1.mp4": "there", "x/2.mp4": "there"})
        root = tmp_path
        (pair,) = load_pairs("pairs_csv", root, "test")
        assert pair == Pair("1", root / "x/1.mp4", root / "x/2.mp4", "video", preference, "pairs_csv", "test", "a cat")

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ("1.mp4,2.mp4,maybe", "line 2: the preference 'maybe' is none of"),
            ("1.mp4,1.mp4,a", "line 2: pairs_csv/1: a pair of '1.mp4' with itself"),
            ("1.mp4,2.png,a", "line 2: '1.mp4' and '2.png' are an image and a video"),
            ("../1.mp4,2.mp4,a", r"line 2: '\.\./1.mp4' points outside"),
            (",2.mp4,a", "line 2: the name is empty"),
        ],
    )
    def test_bad_pairs(self, tmp_path, row, message):
        write_files(tmp_path, {"pairs.csv": f"a,b,preference\n{row}\n"})
        with pytest.raises(DatasetError, match=message):
            read_dataset("pairs_csv", tmp_path, Notes())

    def test_refused_pairs_keep_the_numbers_of_the_others(self, tmp_path):
        write_files(tmp_path, {"pairs.csv": "a,b,preference\n1.mp4,2.mp4,?\n1.mp4,2.mp4,b\n"})
        notes = Notes(keep_going=True)
        assert [pair.name for pair in read_dataset("pairs_csv", tmp_path, notes)] == ["2"]

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ('{"image": ["a.mp4"]}', "expected one file in image and one score of gpt"),
            ('{"image": "a.mp4", "conversations": [{"from": "gpt", "value": 3}]}', "expected one file"),
            ('{"image": ["a.mp4"], "conversations": [{"from": "gpt", "value": "good"}]}', "'good' is not a number"),
            ('{"image": [7], "conversations": [{"from": "gpt", "value": 3}]}', "the name 7 is not text"),
            ("[]", "expected a JSON object, found list"),
            ("{", "not readable JSON"),
        ],
    )
    def test_vqathinkers_training_lines(self, tmp_path, line, message):
        write_files(tmp_path, {"train.jsonl": f"\n{line}\n"})
        with pytest.raises(DatasetError, match=rf"train\.jsonl, line 2: .*{message}"):
            read_dataset("vqathinker", tmp_path, Notes(), file="train.jsonl")


class TestOneSetOnly:
    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ("HEVC_01_960x540_1", "HEVC_01_960x540_1"),
            ("H.264_1_540p_1", "H264_01_960x540_1"),
            ("av1_20_2160_4", "AV1_20_3840x2160_4"),
        ],
    )
    def test_waterloos_names(self, text, name):
        assert clip_name(text) == name

    @pytest.mark.parametrize("text", ["", "HEVC_01_960x540", "MPEG2_01_960x540_1", "HEVC_01_720p_1", "HEVC_x_540p_1"])
    def test_waterloos_other_names(self, text):
        with pytest.raises(DatasetError, match="is not <encoder>_<scene>_<size>_<level>"):
            clip_name(text)

    def test_spaqs_attributes(self, whole_world):
        root = whole_world / "spaq"
        dimensions = "overall,brightness,colorfulness,contrast,noisiness,sharpness"
        clips = load_clips("spaq", root, "all", dimensions=dimensions)
        assert all(list(clip.scores) == dimensions.split(",") for clip in clips)
        assert attributes({"blur": 1.0})["Sharpness"] == 10
        with pytest.raises(DatasetError, match=r"spaq has no dimensions \['beauty'\]"):
            load_clips("spaq", root, "all", dimensions="beauty")

    def test_konvids_scores_by_vqathinker_are_twenty_times_the_published(self, tmp_path):
        rows = '{"annotations": [{"image_id": "1.mp4", "score": "101"}]}'
        write_files(tmp_path, {"Konvid-1k_total_ds_score.json": rows})
        with pytest.raises(DatasetError, match=r"entry 1: the score 101\.0 is not between 20 and 100"):
            read_dataset("konvid", tmp_path, Notes())

    def test_a_named_file_needs_both_columns_or_none(self):
        with pytest.raises(DatasetError, match="name_column and score_column go together"):
            named_file("a.csv", "name", None)


class TestSpreadsheets:
    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ([["Image name", "MOS"], ["1.jpg", None], ["2.jpg", 3]], "line 2: the score '' is not a number"),
            ([["Image name", "MOS"], [], ["1.jpg", "=1+1"]], "line 3: the score '' is not a number"),  # not computed
            ([["Image name", "MOS"], ["1.jpg", True]], "line 2: the score 'True' is not a number"),
            ([["Image name"], ["1.jpg"]], r"the columns \['MOS'\] are missing; found \['Image name'\]"),
            ([["Image name", "MOS"], ["1.jpg", 3, 4]], "line 2: 3 values under 2 columns"),
            ([], r"the columns \['Image name', 'MOS'\] are missing; found \[\]"),
        ],
    )
    def test_bad_cells(self, tmp_path, rows, message):
        write_files(tmp_path, {"MOS and Image attribute scores.xlsx": {"S": rows}})
        with pytest.raises(DatasetError, match=message):
            read_dataset("spaq", tmp_path, Notes())

    @pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"Image name,MOS\n"])
    def test_what_is_no_spreadsheet(self, tmp_path, data):
        write_files(tmp_path, {"MOS and Image attribute scores.xlsx": data})
        with pytest.raises(DatasetError, match=r"scores\.xlsx: not a readable spreadsheet \(BadZipFile"):
            read_dataset("spaq", tmp_path, Notes())

    def test_a_missing_sheet(self, tmp_path):
        write_files(tmp_path, {"MOS_for_YouTube_UGC_dataset.xlsx": {"diff2": [["vid", "MOS full"]]}})
        with pytest.raises(DatasetError, match=r"no sheet 'MOS'; found \['diff2'\]"):
            read_dataset("youtube_ugc", tmp_path, Notes())

    def test_one_that_unpacks_to_gigabytes(self, tmp_path, monkeypatch):
        monkeypatch.setattr("vqa_lib.datasets.tables._UNPACKED_LIMIT", 1000)
        write_files(tmp_path, {"MOS and Image attribute scores.xlsx": {"S": [["Image name", "MOS"]]}})
        with pytest.raises(DatasetError, match="unpacks to more than 1,000 bytes"):
            read_dataset("spaq", tmp_path, Notes())

    @pytest.mark.parametrize("place", ["A99999999", "XFD1048576"])
    def test_a_cell_that_claims_to_stand_far_down(self, tmp_path, place):
        file = tmp_path / "MOS and Image attribute scores.xlsx"
        write_files(tmp_path, {file.name: {"S": [["Image name", "MOS"], ["1.jpg", 3]]}})
        with zipfile.ZipFile(file) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        row = re.search(r"\d+", place)[0].encode()
        cell = b'<row r="%b"><c r="%b" t="n"><v>5</v></c></row></sheetData>' % (row, place.encode())
        sheet = "xl/worksheets/sheet1.xml"
        members[sheet] = members[sheet].replace(b"</sheetData>", cell)
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        with pytest.raises(DatasetError, match="more than 100,000 rows"):
            read_dataset("spaq", tmp_path, Notes())

    def test_the_same_rows_give_the_same_bytes(self, tmp_path):
        for name in ("a.xlsx", "b.xlsx"):
            write_files(tmp_path, {name: {"S": [["x", 1.5]]}})
        assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()


class TestColumns:
    @pytest.mark.parametrize("header", ["File,MOS", "file,mos", "FILE, Mos", '"File","MOS"', "MOS_,File"])
    def test_spelling(self, tmp_path, header):
        row = "50,A-1.mp4" if header.startswith("MOS") else "A-1.mp4,50"
        write_files(tmp_path, {"LIVE-YT-Gaming_metadata.csv": f"{header}\n{row}\n"})
        (clip,) = read_dataset("live_yt_gaming", tmp_path, Notes())
        assert (clip.name, clip.mos) == ("A-1", 50)

    def test_the_exact_spelling_is_preferred(self, tmp_path):
        write_files(tmp_path, {"LIVE-YT-Gaming_metadata.csv": "File,mos,MOS\nA-1.mp4,10,50\n"})
        (clip,) = read_dataset("live_yt_gaming", tmp_path, Notes())
        assert clip.mos == 50

    def test_a_column_that_stands_twice(self, tmp_path):
        write_files(tmp_path, {"LIVE-YT-Gaming_metadata.csv": "File,MOS,MOS\nA-1.mp4,10,50\n"})
        with pytest.raises(DatasetError, match="the column 'MOS' stands 2 times in the header"):
            read_dataset("live_yt_gaming", tmp_path, Notes())
