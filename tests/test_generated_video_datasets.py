"""The readers of generated video: what each takes and refuses; of any content, see test_generated_hostile_files."""

import json

import pyarrow
import pyarrow.parquet
import pytest
from generated_forms import FORM, PROMPT, one, read, refused, rows_of, write

from vqa_lib.datasets import DatasetError, load_pairs
from vqa_lib.datasets.annotations import Notes
from vqa_lib.datasets.downloads import clip_name, plain_text
from vqa_lib.datasets.loading import read_dataset
from vqa_lib.datasets.visionreward import SCALES
from vqa_lib.miniature.files import write_parquet, write_xlsx


class TestLines:
    """Forms of text lines, whose prompts have the separator in them."""

    @pytest.mark.parametrize("prompt", ["a; b; c", "1;2;3;4", "a, b", 'a sign says "stop"', "кошка", "猫; 犬", "a  b"])
    def test_lgvq(self, tmp_path, prompt):
        clip = one(tmp_path, "lgvq-MOS.txt", name=f"pika/{prompt}.mp4")
        assert (clip.name, clip.prompt) == (f"pika/{prompt}", prompt)
        assert clip.path == tmp_path / "videos" / "pika" / f"{prompt}.mp4"
        assert clip.scores == {"spatial": 40.48, "temporal": 32.63, "alignment": 56.33}

    @pytest.mark.parametrize("prompt", ["a | b", "|", "1|2|3", "a, b", 'a sign says "stop"', "кошка"])
    def test_t2vqa(self, tmp_path, prompt):
        clip = one(tmp_path, "t2vqa-info.txt", prompt=prompt)
        assert (clip.name, clip.prompt, clip.mos) == ("0001", prompt, 51.5)

    @pytest.mark.parametrize(
        ("identifier", "text"),
        [
            ("lgvq-MOS.txt", f"\ufeffpika/{PROMPT}.mp4;40.48;32.63;56.33\r\n\r\n"),  # byte-order mark, Windows
            ("lgvq-MOS.txt", f"  pika/{PROMPT}.mp4 ; 40.48 ; 32.63;56.33"),  # padded, no last line break
            ("lgvq-MOS.txt", f"videos/pika/{PROMPT}.MP4;40.48;32.63;56.33\n"),
            ("lgvq-scores.csv", f"\ufeffname of model,text,s,t,a\r\npika,{PROMPT},40.48,32.63,56.33\r\n"),
            ("lgvq-scores.csv", f'model_name,prompt,spa,tem,ali\n"pika","{PROMPT}","40.48","32.63","56.33"\n'),
        ],
    )
    def test_spellings_of_lgvq(self, tmp_path, identifier, text):
        write(tmp_path, FORM[identifier][3], text)
        (clip,) = read("lgvq", tmp_path)
        assert (clip.prompt, clip.path.name) == (PROMPT, f"{PROMPT}.mp4")
        assert list(clip.scores.values()) == [40.48, 32.63, 56.33]

    @pytest.mark.parametrize(
        "text", ["\ufeff0001|a cat|51.5\r\n", " 0001.mp4 | a cat | 51.5 ", "0001.mp4|a cat|5.15e1"]
    )
    def test_spellings_of_t2vqa(self, tmp_path, text):
        write(tmp_path, "info.txt", text)
        (clip,) = read("t2vqa", tmp_path)
        assert (clip.name, clip.prompt, clip.mos) == ("0001", "a cat", 51.5)

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("pika/a.mp4;1;2", "expected model/prompt.mp4;spatial;temporal;alignment"),
            ("pika/a.mp4;1;2;nan", "the score nan"),
            ("pika/a.mp4;1;2;inf", "the score inf"),
            ("pika/a.mp4;1;2;", "the score '' is not a number"),
            ("pika/a.mp4;1;good;3", "the score 'good' is not a number"),
            ("../a.mp4;1;2;3", "points outside"),
            ("/etc/a.mp4;1;2;3", "points outside"),
            ("a.mp4;1;2;3", "is not model/prompt.mp4"),
            ("pika/a;1;2;3", "does not end in .mp4"),
            ("pika/a\x1b[2J.mp4;1;2;3", "has a control character"),
        ],
    )
    def test_what_lgvq_refuses(self, tmp_path, line, message):
        write(tmp_path, "MOS.txt", f"pika/good.mp4;1;2;3\n{line}\n")
        with pytest.raises(DatasetError, match=message) as error:
            read("lgvq", tmp_path)
        assert f"{tmp_path / 'MOS.txt'}, line 2: " in str(error.value)

    def test_a_clip_is_listed_once(self, tmp_path):
        write(tmp_path, "MOS.txt", "pika/a.mp4;1;2;3\npika/b.mp4;1;2;3\npika/a.MP4;1;2;3\n")
        with pytest.raises(DatasetError, match=r"line 3: 'pika/a' is listed twice"):
            read("lgvq", tmp_path)

    def test_scores_beyond_the_scale_stay(self, tmp_path):
        assert one(tmp_path, "lgvq-MOS.txt", spatial=-3.2).scores["spatial"] == -3.2
        assert one(tmp_path, "t2vqa-info.txt", mos=101.25).mos == 101.25

    def test_which_table_of_lgvq_is_asked_for(self, tmp_path):
        _, write_rows, good, _ = FORM["lgvq-scores.csv"]
        write_rows(tmp_path, [good])
        write(tmp_path, "notes.csv", "one,two\n")
        with pytest.raises(DatasetError, match=r"which of \['notes\.csv', 'scores\.csv'\] has the scores"):
            read("lgvq", tmp_path)
        assert len(read("lgvq", tmp_path, annotations="scores.csv")) == 1
        with pytest.raises(DatasetError, match="points outside"):
            read("lgvq", tmp_path, annotations="../scores.csv")


class TestVotes:
    @pytest.mark.parametrize(
        ("vote", "preference"),
        [("leftvote", "first"), ("rightvote", "second"), ("tievote", "tie"), ("bothbad_vote", "both_bad")],
    )
    @pytest.mark.parametrize("identifier", ["genai_bench-test_v1-00000-of-00001.parquet", "genai_bench-data.json"])
    def test_every_vote(self, tmp_path, identifier, vote, preference):
        pair = one(tmp_path, identifier, vote_type=vote)
        assert (pair.preference, pair.prompt) == (preference, PROMPT)
        assert (pair.first.name, pair.second.name) == ("86aa85.mp4", "aadd66.mp4")
        assert pair.split == ("test_v1" if "test_v1" in identifier else "test")

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"vote_type": "left"}, "vote_type must be one of"),
            ({"vote_type": ["leftvote"]}, "vote_type must be one of"),
            ({"vote_type": None}, "vote_type must be one of"),
            ({"prompt": ""}, "the prompt '' is not a text"),
            ({"prompt": 3}, "the prompt 3 is not a text"),
            ({"prompt": "\ud800"}, "is not text in UTF-8"),
            ({"video_left": "aadd66.mp4"}, "a pair of 'aadd66.mp4' with itself"),
            ({"video_left": "../a.mp4"}, "points outside"),
            ({"video_left": "/etc/passwd"}, "points outside"),
            ({"video_left": None}, "is not text"),
            ({"video_left": "https://example.org/a/.."}, "points outside"),
            ({"video_left": "https://example.org/"}, "the name is empty"),
        ],
    )
    def test_what_is_refused(self, tmp_path, changes, message):
        refused(tmp_path, "genai_bench-data.json", message, **changes)

    def test_both_splits_and_either(self, tmp_path):
        _, write_rows, good, file = FORM["genai_bench-test_v1-00000-of-00001.parquet"]
        write_rows(tmp_path, [good, good])
        assert [pair.name for pair in read("genai_bench", tmp_path)] == ["test_v1/0", "test_v1/1"]
        (tmp_path / file).with_name("test-00000-of-00001.parquet").write_bytes((tmp_path / file).read_bytes())
        names = [pair.name for pair in read("genai_bench", tmp_path)]
        assert names == ["test/0", "test/1", "test_v1/0", "test_v1/1"]

    def test_parquet_goes_before_the_re_export(self, tmp_path):
        for identifier in ("genai_bench-test_v1-00000-of-00001.parquet", "genai_bench-data.json"):
            _, write_rows, good, _ = FORM[identifier]
            write_rows(tmp_path, [good])
        assert [pair.split for pair in read("genai_bench", tmp_path)] == ["test_v1"]

    @pytest.mark.parametrize("folder", ["videos", "video_generation/videos", ".", "elsewhere"])
    def test_where_the_clips_lie(self, tmp_path, folder):
        _, write_rows, good, _ = FORM["genai_bench-data.json"]
        write_rows(tmp_path, [good])
        for name in ("86aa85.mp4", "aadd66.MP4"):
            write(tmp_path, f"{folder}/{name}", "there")
        options = {"videos": "elsewhere"} if folder == "elsewhere" else {}
        (pair,) = load_pairs("genai_bench", tmp_path, "test", **options)
        assert (pair.first.name, pair.second.name) == ("86aa85.mp4", "aadd66.MP4")

    def test_the_option_does_not_lead_out(self, tmp_path):
        _, write_rows, good, _ = FORM["genai_bench-data.json"]
        write_rows(tmp_path, [good])
        for videos in ("..", "/etc", "a/../.."):
            with pytest.raises(DatasetError, match="points outside"):
                read("genai_bench", tmp_path, videos=videos)

    def test_a_folder_of_clips_that_is_a_link_out(self, tmp_path):
        _, write_rows, good, _ = FORM["genai_bench-data.json"]
        write_rows(tmp_path / "root", [good])
        write(tmp_path, "outside/86aa85.mp4", "there")
        (tmp_path / "root" / "videos").symlink_to(tmp_path / "outside")
        with pytest.raises(DatasetError, match="'videos' is a link that leaves"):
            read("genai_bench", tmp_path / "root")


class TestVisionReward:
    TRAIN = "train/train-00000-of-00001.parquet"

    def test_each_dimension_has_its_own_range(self, tmp_path):
        for name, scale in SCALES.items():
            good = {each: 1 for each in SCALES}
            for level in (scale.low, scale.high):
                clip = one(tmp_path, "visionreward-train-00000-of-00001.parquet", annotation={**good, name: int(level)})
                assert clip.scores[name] == level
            for level in (scale.low - 1, scale.high + 1):
                refused(
                    tmp_path,
                    "visionreward-train-00000-of-00001.parquet",
                    rf"row 1: {name}: the score {level:.1f} is not between",
                    annotation={**good, name: int(level)},
                )

    @pytest.mark.parametrize(
        ("annotation", "message"),
        [
            (None, "has no dimensions"),
            ("text", "has no dimensions"),
            ({"alignment": 3}, r"the annotation lacks \['composition'"),
            ({name: None for name in SCALES}, "no dimension has a value"),
            ({name: "good" for name in SCALES}, "alignment: the score 'good' is not a number"),
            ({name: float("nan") for name in SCALES}, "alignment: the score nan"),
            ({name: True for name in SCALES}, "alignment: the score True is not a number"),
        ],
    )
    def test_what_is_refused_of_an_annotation(self, tmp_path, annotation, message):
        refused(tmp_path, "visionreward-train-00000-of-00001.parquet", message, annotation=annotation)

    def test_what_was_not_judged_is_left_out(self, tmp_path):
        annotation = {name: None if name == "letters" else 1 for name in SCALES}
        clip = one(tmp_path, "visionreward-train-00000-of-00001.parquet", annotation=annotation)
        assert list(clip.scores) == [name for name in SCALES if name != "letters"]

    @pytest.mark.parametrize("no", [0, -1])  # how a no is written is not documented
    def test_questions(self, tmp_path, no):
        name, write_rows, (row,) = rows_of("visionreward_questions-train-00000-of-00001.parquet")
        write_rows(
            tmp_path, [{**row, "meta_result": [1, no, 1]}, {**row, "video_path": "b.mp4", "meta_mask": [0, 0, 1]}]
        )
        found = [(each.name, each.question, each.answer) for each in read(name, tmp_path)]
        assert found == [
            ("a/1.mp4/1", f'Does it show "{PROMPT}"?', "yes"),
            ("a/1.mp4/2", "Is it sharp?", "no"),
            ("b.mp4/3", "Is it steady?", "no"),
        ]
        assert len(read(name, tmp_path, clips="1")) == 2
        with pytest.raises(DatasetError, match="the option clips must be a number, got 'all'"):
            read(name, tmp_path, clips="all")
        with pytest.raises(DatasetError, match=r"other\.txt: missing; the questions are expected"):
            read(name, tmp_path, checklist="other.txt")
        with pytest.raises(DatasetError, match="points outside"):
            read(name, tmp_path, checklist="../VisionReward_video_qa.txt")

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"meta_result": [1, 0]}, "2 answers and 3 in the mask for 3 questions"),
            ({"meta_mask": [1, 1, 1, 1]}, "3 answers and 4 in the mask for 3 questions"),
            ({"meta_result": None}, "None answers and 3 in the mask"),
            ({"meta_result": "yes"}, "None answers and 3 in the mask"),
            ({"meta_result": [1, 2, 1]}, r"row 1: question 2: meta_result must be 1, 0 or -1, found 2"),
            ({"meta_result": [1.5, 0.0, 1.0]}, "question 1: meta_result must be 1, 0 or -1, found 1.5"),
            ({"meta_mask": [1, 1, 7]}, "meta_mask must have 0 and 1 only"),
            ({"meta_mask": [1, None, 0]}, "meta_mask must have 0 and 1 only"),
            ({"video_path": "../1.mp4"}, "points outside"),
            ({"prompt": None}, "the prompt None is not a text"),
        ],
    )
    def test_what_is_refused_of_questions(self, tmp_path, changes, message):
        if changes.get("meta_result") == [1, 2, 1]:  # the good answer before the bad one stays
            name, write_rows, rows = rows_of("visionreward_questions-train-00000-of-00001.parquet", **changes)
            write_rows(tmp_path, rows)
            with pytest.raises(DatasetError, match=message):
                read(name, tmp_path)
            notes = Notes(keep_going=True)
            assert [each.name for each in read_dataset(name, tmp_path, notes)] == ["a/1.mp4/1"]
            assert len(notes.refused) == 1
        else:
            refused(tmp_path, "visionreward_questions-train-00000-of-00001.parquet", message, **changes)

    @pytest.mark.parametrize(("answer", "preference"), [("video1", "first"), ("video2", "second"), ("tie", "tie")])
    @pytest.mark.parametrize("folder", ["regression", "test", "monetbench"])
    def test_pairs(self, tmp_path, folder, answer, preference):
        name, _, (row,) = rows_of("visionreward_pairs-train-00000-of-00001.parquet", standard_answer=answer)
        write_parquet(tmp_path / folder / "test-00000-of-00001.parquet", [row])
        (pair,) = read(name, tmp_path)
        assert (pair.preference, pair.split) == (preference, "regression" if folder == "regression" else "test")

    @pytest.mark.parametrize("answer", ["both_bad", "", None, "Video1", 1])
    def test_an_unknown_answer(self, tmp_path, answer):
        message = "standard_answer must be one of"
        refused(tmp_path, "visionreward_pairs-train-00000-of-00001.parquet", message, standard_answer=answer)

    def test_clips_are_found_by_path_or_name(self, tmp_path):
        for place in ("videos/a/1.mp4", "videos/1.mp4", "1.mp4", "a/1.mp4"):
            root = tmp_path / place.replace("/", "_")
            write(root, place, "there")
            assert one(root, "visionreward-train-00000-of-00001.parquet").path == root / place


class TestRatings:
    @pytest.mark.parametrize(
        ("ratings", "message"),
        [
            ([4, 5], "expected 3 ratings, found"),
            (4, "expected 3 ratings, found 4"),
            (None, "expected 3 ratings, found None"),
            ([4, 5, 6], "the score 6.0 is not between 1 and 5"),
            ([4, 5, True], "the score True is not a number"),
            ([4, 5, None], "the score None is not a number"),
            ([4, 5, float("nan")], "the score nan"),
        ],
    )
    def test_what_is_refused(self, tmp_path, ratings, message):
        refused(tmp_path, "genai_bench_800-genai_video.json", message, ratings=ratings)

    @pytest.mark.parametrize("content", ["[]", "3", '{"1": 3}', '{"1": {"prompt": "a"}}', '{"1": {"models": [1]}}'])
    def test_another_shape(self, tmp_path, content):
        write(tmp_path, "genai_video.json", content)
        with pytest.raises(DatasetError, match=r"genai_video\.json.*expected"):
            read("genai_bench_800", tmp_path)

    def test_the_mean_of_three(self, tmp_path):
        clip = one(tmp_path, "genai_bench_800-genai_video.json")
        assert (clip.name, clip.scores) == ("Gen2/00000", {"alignment": 4.0})
        assert clip.path == tmp_path / "GenAI-Video-800/Gen2/00000.mp4"

    @pytest.mark.parametrize("name", ["../1", "/1", "a/../../1"])
    def test_ids_that_lead_out(self, tmp_path, name):
        refused(tmp_path, "genai_bench_800-genai_video.json", "points outside", model="..", id=name.lstrip("/"))

    @pytest.mark.parametrize("level", [0, 5, None, 2.0**60])
    def test_videofeedback_is_on_1_to_4(self, tmp_path, level):
        changes = {"visual quality": level}
        refused(tmp_path, "videofeedback-test-00000-of-00001.parquet", "the score", **changes)

    @pytest.mark.parametrize("folder", ["videos_annotated_test", "videos", "."])
    def test_where_videofeedback_has_its_clips(self, tmp_path, folder):
        path = write(tmp_path, f"{folder}/p110367.mp4", "there")
        assert one(tmp_path, "videofeedback-test-00000-of-00001.parquet").path == path


class TestPrompts:
    @pytest.mark.parametrize(
        "prompt",
        ['a sign says "stop"', '"quoted"? no', "a,b;c|d", "two\nlines", "кошка на крыше", "猫", "=1+1", "NA"],
    )
    def test_vidprom_keeps_them_as_they_are(self, tmp_path, prompt):
        assert one(tmp_path, "vidprom-VidProM_unique.csv", prompt=prompt).text == prompt

    def test_vidprom_has_a_smaller_file(self, tmp_path):
        _, write_rows, good, file = FORM["vidprom-VidProM_unique.csv"]
        write_rows(tmp_path, [good])
        (tmp_path / file).rename(tmp_path / "VidProM_semantic_unique.csv")
        assert [prompt.text for prompt in read("vidprom", tmp_path)] == [PROMPT]

    @pytest.mark.parametrize(
        ("changes", "message"),
        [({"prompt": ""}, "the prompt '' is not a text"), ({"uuid": " "}, "the uuid '' is not a text")],
    )
    def test_what_vidprom_refuses(self, tmp_path, changes, message):
        refused(tmp_path, "vidprom-VidProM_unique.csv", message, **changes)

    def test_videogen_eval_has_headings_and_blank_rows(self, tmp_path):
        rows = [["Scenario", "Type", "ID", "Text Prompt"], ["Human", "Face", 1, "a face"], [], [None, "Two people"]]
        rows += [[None, None, 2, "two; people, talking"], ["", "", "", ""]]
        write_xlsx(tmp_path / "docs/specifc_model/prompts/prompts.xlsx", {"Sheet1": rows})
        write_xlsx(tmp_path / "VGenEval_I2V.xlsx", {"Sheet1": [["ID", "Prompt"], [1, "a face"]]})
        found = [(prompt.name, prompt.text, prompt.split) for prompt in read("videogen_eval", tmp_path)]
        assert found == [
            ("all/1", "a face", "all"),
            ("all/2", "two; people, talking", "all"),
            ("i2v/1", "a face", "i2v"),
        ]

    def test_a_prompt_without_a_number(self, tmp_path):
        refused(tmp_path, "videogen_eval-VGenEval_T2V.xlsx", "has no ID", ID=None)


class TestParquet:
    FILE = "regression/train-00000-of-00001.parquet"

    def good(self, root, count=1):
        _, write_rows, (row,) = rows_of("visionreward_pairs-train-00000-of-00001.parquet")
        write_rows(root, [row] * count)
        return (root / self.FILE).read_bytes()

    @pytest.mark.parametrize("share", [0, 0.02, 0.3, 0.6, 0.95, 0.999])
    def test_cut_short(self, tmp_path, share):
        data = self.good(tmp_path)
        (tmp_path / self.FILE).write_bytes(data[: int(share * len(data))])
        with pytest.raises(DatasetError, match=r"train-00000-of-00001\.parquet: not readable Parquet"):
            read("visionreward_pairs", tmp_path)

    def test_a_missing_column_is_named(self, tmp_path):
        table = pyarrow.table({"prompt": ["a"], "video1_path": ["1.mp4"]})
        (tmp_path / "test").mkdir()
        pyarrow.parquet.write_table(table, tmp_path / "test/test-00000-of-00001.parquet")
        with pytest.raises(DatasetError, match=r"the columns \['standard_answer', 'video2_path'\] are missing"):
            read("visionreward_pairs", tmp_path)

    def test_a_folder_in_place_of_the_file(self, tmp_path):
        (tmp_path / self.FILE).mkdir(parents=True)
        with pytest.raises(DatasetError, match="not readable Parquet"):
            read("visionreward_pairs", tmp_path)

    def test_rows_are_numbered_over_batches_and_files(self, tmp_path):
        self.good(tmp_path, 1500)
        name, _, (row,) = rows_of("visionreward_pairs-train-00000-of-00001.parquet", standard_answer="neither")
        write_parquet(tmp_path / "regression/train-00001-of-00002.parquet", [row])
        with pytest.raises(DatasetError, match=r"train-00001-of-00002\.parquet, row 1: standard_answer"):
            read(name, tmp_path)
        notes = Notes(keep_going=True)
        assert [pair.name for pair in read_dataset(name, tmp_path, notes)][-1] == "regression/1499"

    def test_prompts_with_anything_in_them(self, tmp_path):
        for prompt in ("a;b", "a,b", "two\nlines", "猫", '"'):
            pair = one(tmp_path, "visionreward_pairs-train-00000-of-00001.parquet", prompt=prompt)
            assert pair.prompt == prompt


class TestNames:
    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ("a.mp4", "a.mp4"),
            ("./a//b.mp4", "a/b.mp4"),
            ("https://example.org/x/a.mp4", "a.mp4"),
            ("HTTP://example.org/a.mp4?x=/../b#c", "a.mp4"),
        ],
    )
    def test_of_a_path_or_a_link(self, text, name):
        assert clip_name(text) == name

    @pytest.mark.parametrize("text", ["", " ", None, 3, [], "\ud800"])
    def test_what_is_no_text(self, text):
        with pytest.raises(DatasetError, match=r"the prompt .* is not"):
            plain_text(text, "prompt")

    def test_json_of_windows(self, tmp_path):
        write(
            tmp_path,
            "data.json",
            "\ufeff" + json.dumps([FORM["genai_bench-data.json"][2]], indent=1).replace("\n", "\r\n"),
        )
        assert len(read("genai_bench", tmp_path)) == 1
