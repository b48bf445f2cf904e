"""The readers of entity questions, FineVD and Q-Bench-Video: published forms, damaged and hostile ones.

What holds for every reader is tested in test_generated_hostile_files.py.
"""

import json

import pytest
from generated_forms import CHOICE, FORM, one, read, refused, turns, write

from vqa_lib.datasets import DATASETS, DatasetError, load_questions
from vqa_lib.datasets.annotations import Notes
from vqa_lib.datasets.finevd import ATTRIBUTES, DIMENSIONS
from vqa_lib.datasets.loading import read_dataset
from vqa_lib.datasets.videofeedback import DIMENSIONS as FIVE

YES_NO, CHOICES = "finevd_questions-yesno_test.jsonl", "finevd_questions-abcd_train_en.jsonl"
TABLES, LISTS = "finevd-FINEVD_metadata.csv", "finevd-FineVD_test_mos1.jsonl"
Q_BENCH, FINGER = "q_bench_video-Q_Bench_Video_dev.json", "finger-finger_train.jsonl"


def json_lines(root, name: str, rows: list[dict]):
    return write(root, name, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


class TestFinger:
    def test_a_row(self, tmp_path):
        question = one(tmp_path, FINGER)
        assert question.path == tmp_path / "videos/kling/00001.mp4"
        assert (question.answer, question.polarity) == ("no", "no")  # negative: no speaks for the clip
        assert (question.entity, question.dimension) == ("circle", "temporal consistency")
        assert question.reason == "It is red in every frame."
        assert question.name == "kling/00001: Does the circle change its colour?"

    @pytest.mark.parametrize(
        ("changes", "field", "wanted"),
        [
            ({"answer": "Yes"}, "answer", "yes"),
            ({"polarity": "Positive"}, "polarity", "yes"),
            ({"dimension": "Dynamic Degree"}, "dimension", "dynamic degree"),
            ({"reason": None}, "reason", None),
            ({"entity": "рыжий кот"}, "entity", "рыжий кот"),
            ({"question": "Two\nlines; or, one?"}, "question", "Two\nlines; or, one?"),
        ],
    )
    def test_what_may_vary(self, tmp_path, changes, field, wanted):
        assert getattr(one(tmp_path, FINGER, **changes), field) == wanted

    @pytest.mark.parametrize("dimension", FIVE)
    def test_the_five_dimensions(self, tmp_path, dimension):
        assert one(tmp_path, FINGER, dimension=dimension).dimension == dimension

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"answer": "maybe"}, r"answer must be one of \('yes', 'no'\), found 'maybe'"),
            ({"answer": True}, "answer must be one of .*, found True"),
            ({"polarity": "yes"}, "polarity must be one of"),
            ({"polarity": 1}, "polarity must be one of"),
            ({"dimension": "beauty"}, "dimension must be one of"),
            ({"dimension": ["visual quality"]}, "dimension must be one of"),
            ({"video": "/etc/passwd"}, "points outside"),
            ({"video": "../a.mp4"}, "points outside"),
            ({"video": 7}, "the name 7 is not text"),
            ({"question": ""}, "the question '' is not a text"),
            ({"entity": None}, "the entity None is not a text"),
            ({"prompt": {}}, r"the prompt \{\} is not a text"),
            ({"reason": 3}, "the reason 3 is not a text"),
            ({"reason": "\ud800"}, "is not text in UTF-8"),
        ],
    )
    def test_what_is_refused(self, tmp_path, changes, message):
        refused(tmp_path, FINGER, message, **changes)

    def test_a_question_is_asked_of_a_clip_once(self, tmp_path):
        good = FORM[FINGER][2]
        json_lines(tmp_path, "finger_test.jsonl", [good, {**good, "video": "kling/2.mp4"}, {**good, "answer": "yes"}])
        with pytest.raises(DatasetError, match=r"finger_test\.jsonl, line 3: 'kling/00001: .*' is listed twice"):
            read("finger", tmp_path)

    def test_lines_that_are_no_objects_are_refused_one_by_one(self, tmp_path):
        good = json.dumps(FORM[FINGER][2])
        write(tmp_path, "finger_train.jsonl", f"\ufeff{good}\r\n\r\n[1]\r\n{{\r\nnull\r\n")
        notes = Notes(keep_going=True)
        assert len(read_dataset("finger", tmp_path, notes)) == 1
        path = tmp_path / "finger_train.jsonl"
        assert [line.split(": ")[0] for line in notes.refused] == [f"{path}, line {number}" for number in (3, 4, 5)]

    def test_both_splits(self, tmp_path):
        good = FORM[FINGER][2]
        json_lines(tmp_path, "finger_train.jsonl", [good])
        json_lines(tmp_path, "finger_test.jsonl", [{**good, "video": "test.mp4"}])
        write(tmp_path, "videos/test.mp4", "there")
        assert [question.split for question in read("finger", tmp_path)] == ["train", "test"]
        assert [question.path.name for question in load_questions("finger", tmp_path, "test")] == ["test.mp4"]


class TestFineVdScores:
    def test_six_tables(self, tmp_path):
        clip = one(tmp_path, TABLES)
        assert list(clip.scores) == list(DIMENSIONS)
        assert set(clip.scores.values()) == {56.445}
        assert clip.split == "all"
        assert clip.path == tmp_path / "videos_all/videos_all_videos/0_00_00_1357553287.mp4"

    def test_published_scores_leave_the_scale(self, tmp_path):
        assert one(tmp_path, TABLES, mos=-8.58).scores["noise"] == -8.58

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("vid,mos\na,1\n", r"FINEVD_metadata\.csv, line 2: '0_00_00_1357553287' has no score for noise"),
            ("vid,mos\n0_00_00_1357553287,nan\n", r"FINEVD_MOS_noise_metadata\.csv, line 2: the score nan"),
            ("vid,mos\n0_00_00_1357553287,\n", r"FINEVD_MOS_noise_metadata\.csv, line 2: the score '' is not"),
            ("vid,mos\n../a,3\n", r"FINEVD_MOS_noise_metadata\.csv, line 2: '\.\./a' points outside"),
            ("vid,mos\na,3\na.mp4,3\n", r"FINEVD_MOS_noise_metadata\.csv, line 3: 'a' is listed twice"),
            ("vid\na\n", r"FINEVD_MOS_noise_metadata\.csv: the columns \['mos'\] are missing"),
            (None, r"FINEVD_MOS_noise_metadata\.csv: missing"),
        ],
    )
    def test_one_table_is_bad(self, tmp_path, content, message):
        _, write_rows, good, _ = FORM[TABLES]
        write_rows(tmp_path, [good])
        path = tmp_path / "FINEVD_MOS_noise_metadata.csv"
        path.unlink()
        if content is not None:
            path.write_text(content)
        with pytest.raises(DatasetError, match=message):
            read("finevd", tmp_path)

    def test_lists_have_the_overall_score(self, tmp_path):
        clip = one(tmp_path, LISTS)
        assert (clip.name, clip.scores, clip.split) == ("0_00_00_1357553287", {"overall": 56.445}, "test")

    def test_what_the_numbers_of_the_lists_stand_for_is_asked(self, tmp_path):
        for number, score in ((1, 10.0), (2, 20.0), (3, -1.5)):
            json_lines(tmp_path, f"x_train_mos{number}.jsonl", [{"video": "\ufeffa.mp4", "mos": score}])
        (clip,) = read("finevd", tmp_path, dimensions="overall, noise,color")
        assert clip.scores == {"overall": 10.0, "noise": 20.0, "color": -1.5}
        assert read("finevd", tmp_path)[0].scores == {"overall": 10.0}
        for bad in ("noise", "overall,beauty", "overall,overall", ""):
            with pytest.raises(DatasetError, match="the option dimensions must name some of"):
                read("finevd", tmp_path, dimensions=bad)
        with pytest.raises(DatasetError, match="'a' has no score for blur"):
            read("finevd", tmp_path, dimensions="overall,noise,color,blur")

    @pytest.mark.parametrize("mos", [None, "good", [1], {}, True, float("inf")])
    def test_what_is_refused_of_the_lists(self, tmp_path, mos):
        refused(tmp_path, LISTS, "the score", mos=mos)

    def test_a_table_of_ones_own(self, tmp_path):
        write(tmp_path, "mine.csv", "vid,overall,color,noise,artifact,blur,temporal\na.mp4,1,2,3,4,5,6\n")
        (clip,) = read("finevd", tmp_path, annotations="mine.csv")
        assert (clip.name, list(clip.scores.values())) == ("a", [1, 2, 3, 4, 5, 6])
        write(tmp_path, "mine.csv", "vid,overall,color,noise,artifact,blur,temporal\n../a,1,2,3,4,5,6\n")
        with pytest.raises(DatasetError, match=r"mine\.csv, line 2: '\.\./a' points outside"):
            read("finevd", tmp_path, annotations="mine.csv")
        with pytest.raises(DatasetError, match=r"other\.csv: missing"):
            read("finevd", tmp_path, annotations="other.csv")

    @pytest.mark.parametrize("folder", ["videos_all", "videos_all/videos_all_videos", "videos", "."])
    def test_where_the_videos_lie(self, tmp_path, folder):
        path = write(tmp_path, f"{folder}/0_00_00_1357553287.MP4", "there")
        assert one(tmp_path, TABLES).path == path


class TestFineVdQuestions:
    @pytest.mark.parametrize("attribute", ATTRIBUTES)
    @pytest.mark.parametrize(("published", "answer"), [("Yes", "yes"), ("No", "no")])
    def test_is_it_there(self, tmp_path, attribute, published, answer):
        thing = {"color": "color distortion", "temporal": "temporal distortion"}.get(attribute, attribute)
        asked = f"If there is no {thing} in the video, please answer [No].If there is {thing} in it, [Yes]. "
        question = one(tmp_path, YES_NO, conversations=turns(asked, published))
        assert (question.answer, question.polarity, question.dimension) == (answer, "no", attribute)
        assert question.name == f"distortion present/{attribute}/0_00_00_1520985479".replace("1520985479", "1357553287")
        assert (question.question, question.category) == (asked.strip(), "distortion present")

    def test_which_type(self, tmp_path):
        question = one(tmp_path, CHOICES)
        assert question.question == "Please select one distortion type from below"
        assert question.options == ("None", "low saturation", "shaking")
        assert (question.answer, question.split, question.category) == ("C", "train", "distortion type")
        assert question.path.name == "0_00_00_1357553287.mp4"  # the published name begins with a byte-order mark

    def test_which_hurts_most(self, tmp_path):
        asked = "Which distortion dimension has the greatest impact on video quality, choose from the following "
        asked += "options{A:[Noise], B:[Video quality is good], C:[Color], D:[Artifact]}(Just answer the letter)"
        json_lines(tmp_path, "data/abcd2_test.jsonl", [{"video": "a.mp4", "conversations": turns(asked, "D")}])
        (question,) = read("finevd_questions", tmp_path)
        assert question.options == ("Noise", "Video quality is good", "Color", "Artifact")
        assert (question.answer, question.category) == ("D", "greatest impact")
        assert question.question.endswith("choose from the following")

    @pytest.mark.parametrize(
        ("conversations", "message"),
        [
            (None, "expected a conversation"),
            ([], "expected a conversation"),
            (["a", "b"], "expected a conversation"),
            (turns("blur?", "Yes") * 2, "expected a conversation"),
            ([{"value": "blur?"}, {}], "the answer None is not a text"),
            (turns("blur?", "Maybe"), r"the answer must be one of \('yes', 'no'\), got 'maybe'"),
            (turns("Is it good?", "Yes"), "does not name one of"),
            (turns("noise or blur?", "Yes"), "does not name one of"),
        ],
    )
    def test_what_is_refused_of_yes_and_no(self, tmp_path, conversations, message):
        refused(tmp_path, YES_NO, message, conversations=conversations)

    @pytest.mark.parametrize(
        ("asked", "answer", "message"),
        [
            (CHOICE, "D", r"the answer must be one of \('A', 'B', 'C'\), got 'D'"),
            (CHOICE, "shaking", "the answer must be one of"),
            ("Which type?", "A", "has no options"),
            ("Which options{A:[a], C:[b]}", "A", "has no options"),
            ("Which options{A:[a]}", "A", "2 to 26 options, got 1"),
            ("options{A:[a], B:[b]}", "A", "the question is empty"),
        ],
    )
    def test_what_is_refused_of_choices(self, tmp_path, asked, answer, message):
        refused(tmp_path, CHOICES, message, conversations=turns(asked, answer))

    def test_names_are_unique_in_a_category(self, tmp_path):
        good = FORM[YES_NO][2]
        other = {**good, "conversations": turns("If there is no noise in the video, answer [No].", "No")}
        json_lines(tmp_path, "yesno_test.jsonl", [good, other, good])
        with pytest.raises(DatasetError, match=r"line 3: 'distortion present/blur/0_00_00_1357553287' is listed twice"):
            read("finevd_questions", tmp_path)


class TestQBenchVideo:
    GOOD = FORM[Q_BENCH][2]

    def test_a_pair(self, tmp_path):
        question = one(tmp_path, Q_BENCH)
        assert (question.path.name, question.second.name) == ("a.mp4", "b.mp4")
        assert (question.category, question.dimension, question.answer) == ("pair", "Technical", "B")
        assert question.options == ("The first", "The second")
        assert question.name == "dev/1"

    @pytest.mark.parametrize(
        ("context", "category"),
        [
            ("Single-Global", "global"),
            ("Global", "global"),
            (["Single-Referring"], "referring"),
            ("Single-referring", "referring"),
            (None, None),
            ("something new", None),
        ],
    )
    def test_categories(self, tmp_path, context, category):
        question = one(tmp_path, Q_BENCH, video_name="a.mp4", context=context)
        assert (question.category, question.second) == (category, None)

    @pytest.mark.parametrize("context", ["Pair-Compare-Fine", "Joint", ["Pair", "Joint-Coarse"]])
    def test_pairs(self, tmp_path, context):
        assert one(tmp_path, Q_BENCH, context=context).category == "pair"

    @pytest.mark.parametrize("published", ["B", "B.", " B "])
    def test_the_answer_is_a_letter(self, tmp_path, published):
        assert one(tmp_path, Q_BENCH, correct_choice=published).answer == "B"

    def test_the_answer_may_be_unpublished(self, tmp_path):
        row = {key: value for key, value in self.GOOD.items() if key != "correct_choice"}
        write(tmp_path, "Q_Bench_Video_test.json", json.dumps([row]))
        (question,) = read("q_bench_video", tmp_path)
        assert (question.answer, question.split) == (None, "test")

    @pytest.mark.parametrize("kind", ["open_ended", ["open_ended"], "what/how, open_ended", ["AIGC", "Open-ended"]])
    def test_open_ended_questions_are_left_out(self, tmp_path, kind):
        open_ended = {"video_name": "a.mp4", "question": "Describe it.", "question_type": kind}
        write(tmp_path, "Q_Bench_Video_dev.json", json.dumps([open_ended, self.GOOD]))
        assert [question.name for question in read("q_bench_video", tmp_path)] == ["dev/2"]

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"answers": None}, "answers must be a list, found None"),
            ({"answers": "A"}, "answers must be a list, found 'A'"),
            ({"answers": ["one"]}, "2 to 26 options, got 1"),
            ({"answers": ["one", 2]}, "the option 2 is not a text"),
            ({"correct_choice": "C"}, r"the answer must be one of \('A', 'B'\), got 'C'"),
            ({"correct_choice": 1}, "the correct_choice 1 is not a text"),
            ({"question": None}, "the question None is not a text"),
            ({"video_name": None}, "the video_name None is not a text"),
            ({"video_name": "../a.mp4_cat_b.mp4.mp4"}, "points outside"),
            ({"video_name": "a.mp4_cat_../b.mp4.mp4"}, "points outside"),
            ({"video_name": "a.mp4_cat_b"}, "the name is empty"),
            ({"video_name": "a.mp4"}, "does not fit a name of 1 videos"),
            ({"context": "Single-Global"}, "does not fit a name of 2 videos"),
            ({"context": {"a": 1}}, "is not a text"),
            ({"quality_concern": [1]}, "is not a text"),
        ],
    )
    def test_what_is_refused(self, tmp_path, changes, message):
        refused(tmp_path, Q_BENCH, message, **changes)

    @pytest.mark.parametrize("kind", [{"a": 1}, [3], 3])
    def test_a_question_type_of_a_wrong_kind(self, tmp_path, kind):
        refused(tmp_path, Q_BENCH, "is not a text", question_type=kind)

    def test_entries_that_are_no_objects_are_refused(self, tmp_path):
        write(tmp_path, "Q_Bench_Video_dev.json", json.dumps([3, self.GOOD]))
        notes = Notes(keep_going=True)
        assert len(read_dataset("q_bench_video", tmp_path, notes)) == 1
        assert notes.refused == [f"{tmp_path / 'Q_Bench_Video_dev.json'}, entry 1: expected an object, found int"]


def test_questions_about_one_video_stay_together(tmp_path):
    for identifier in (YES_NO, CHOICES):
        _, write_rows, good, _ = FORM[identifier]
        write_rows(tmp_path, [good])
    questions = read("finevd_questions", tmp_path)
    assert len(questions) == 2
    assert len({DATASETS["finevd_questions"].group(question) for question in questions}) == 1
