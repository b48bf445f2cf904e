"""Records: what they refuse, and scores from one scale to another."""

from dataclasses import replace
from pathlib import Path

import pytest

from vqa_lib.records import Pair, Prompt, Question, Scale, ScoredClip, rescale

HUNDRED, FIVE = Scale(0, 100), Scale(1, 5)


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


class TestOtherRecords:
    def test_preferences(self, tmp_path):
        files = (tmp_path / "a.mp4", tmp_path / "b.mp4")
        for preference in ("first", "second", "tie", "both_bad"):
            assert Pair("1", *files, "video", preference, "own", "all").paths == files
        with pytest.raises(ValueError, match=r"own/1: preference must be one of .*, got 'left'"):
            Pair("1", *files, "video", "left", "own", "all")
        with pytest.raises(ValueError, match=r"own/1: a pair of 'a\.mp4' with itself"):
            Pair("1", files[0], files[0], "video", "tie", "own", "all")

    @pytest.mark.parametrize(
        ("options", "answer", "message"),
        [
            ((), "yes", None),
            ((), None, None),  # not published
            (("blur", "noise"), "B", None),
            ((), "Yes", r"the answer must be one of \('yes', 'no'\), got 'Yes'"),
            (("blur", "noise"), "C", r"the answer must be one of \('A', 'B'\), got 'C'"),
            (("blur",), "A", "2 to 26 options, got 1"),
        ],
    )
    def test_answers(self, tmp_path, options, answer, message):
        def ask():
            return Question("1", tmp_path, "video", "Which?", options, answer, "own", "all")

        if message is None:
            assert ask().answer == answer
        else:
            with pytest.raises(ValueError, match=f"own/1: .*{message}"):
                ask()

    def test_a_question_about_two_clips_has_two_files(self, tmp_path):
        files = (tmp_path / "a.mp4", tmp_path / "b.mp4")
        question = Question("1", files[0], "video", "Which?", (), None, "own", "all", second=files[1])
        assert question.paths == files

    def test_a_prompt_is_not_empty(self):
        with pytest.raises(ValueError, match="own/1: the prompt is empty"):
            Prompt("1", "", "own", "all")


def test_a_swapped_pair_is_preferred_the_other_way():
    pair = Pair("7", Path("a.mp4"), Path("b.mp4"), "video", "first", "genai_bench", "test", "a cat")
    turned = pair.swapped()
    assert (turned.name, turned.first, turned.second) == ("7/swapped", Path("b.mp4"), Path("a.mp4"))
    assert (turned.preference, turned.prompt, turned.kind) == ("second", "a cat", "video")
    assert turned.swapped().preference == "first"
    for same in ("tie", "both_bad", None):
        assert replace(pair, preference=same).swapped().preference == same
