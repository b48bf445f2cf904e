"""Which distortions a description mentions: key words with their denials, a language model's JSON, FineVD's answers."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest

from vqa_lib import tables
from vqa_lib.attribution import agreement, attribute, chat_judge, keyword_judge, read_mentions
from vqa_lib.datasets.finevd import ATTRIBUTES
from vqa_lib.models.starter import describe
from vqa_lib.records import Question

NONE = dict.fromkeys(ATTRIBUTES, False)


def mentioned(text: str) -> set[str]:
    return {name for name, found in keyword_judge([text])[0].items() if found}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", set()),
        ("The video is clean, with vivid colours and natural exposure.", set()),
        ("There is strong blur and some noise.", {"blur", "noise"}),
        ("BLOCKING ARTIFACTS and Graininess", {"artifact", "noise"}),
        ("No blur, noise or flicker can be seen.", set()),
        ("There is no noise, but the picture is blurry.", {"blur"}),
        ("It is free of compression. It stutters.", {"temporal"}),
        ("It is not only blurry: a colour cast spoils it, too.", {"blur", "color"}),
        ("Strong blur, no noise.", {"blur"}),
        ("The picture lacks sharpness.", {"blur"}),
        ("It doesn't stutter, and the colours are washed out; overexposed.", {"color"}),
        ("Frames are dropped and out of order.", {"temporal"}),
        ("The blacksmith is unblurred", set()),
    ],
)
def test_key_words_and_their_denials(text, expected):
    assert mentioned(text) == expected


@pytest.mark.parametrize(
    ("strengths", "expected"),
    [
        ({"blur": 0.9, "stutter": 0.2}, {"blur", "temporal"}),
        ({"downscaling": 0.5}, {"artifact"}),
        ({"compression": 0.5, "noise": 0.5}, {"artifact", "noise"}),
        ({"exposure": 0.5}, {"color"}),
        ({"cast": 0.5}, {"color"}),
        ({"dropping": 0.5}, {"temporal"}),
        ({"jitter": 0.5}, {"temporal"}),
        ({"shuffling": 0.5}, {"temporal"}),
        ({}, set()),
    ],
)
def test_key_words_cover_what_tiny_models_say(strengths, expected):
    assert mentioned(describe(strengths, "video")) == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ('{"color": false, "noise": true, "artifact": false, "blur": true, "temporal": false}', {"noise", "blur"}),
        ('```json\n{"temporal": true, "color": false, "noise": false, "artifact": false, "blur": false}```',
         {"temporal"}),
        ('{"color": false, "noise": true, "artifact": false, "blur": true}', None),
        ('{"color": "no", "noise": true, "artifact": false, "blur": true, "temporal": false}', None),
        ('{"color": 0, "noise": true, "artifact": false, "blur": true, "temporal": false}', None),
        ("[" * 100_000, None),
        ("The video is blurred.", None),
        ("", None),
        ("null", None),
    ],
)  # fmt: skip
def test_a_reply_is_read_strictly(reply, expected):
    found = read_mentions(reply)
    assert found == (None if expected is None else {name: name in expected for name in ATTRIBUTES})


def question(video: str, dimension: str, answer: str | None) -> Question:
    return Question(
        f"distortion present/{dimension}/{video}", Path(f"{video}.mp4"), "video", "Blurred?", (), answer,
        "finevd_questions", "test", "distortion present", dimension,
    )  # fmt: skip


def answers(table: pd.DataFrame) -> list[str | None]:
    return [None if pd.isna(answer) else answer for answer in table["answer"]]


def test_answers_follow_the_descriptions_and_what_cannot_be_read_is_counted():
    asked = [question(video, name, "yes") for video in ("a", "b", "c") for name in ("blur", "noise")]
    said = {"a.mp4": "strong blur", "b.mp4": None, "c.mp4": "noise and blur"}
    table = attribute(asked, said, keyword_judge)
    assert answers(table) == ["yes", "no", None, None, "yes", "yes"]
    rows = {row["dataset"]: row for row in tables.measure_answers(table, "m", by="dimension")}
    assert set(rows) == {f"finevd_questions/test/{name}" for name in ("blur", "noise", "overall")}
    overall = rows["finevd_questions/test/overall"]
    assert overall["value"] == 0.75 and overall["n"] == 4 and overall["unparsed"] == 2
    assert rows["finevd_questions/test/noise"]["value"] == 0.5


def test_each_description_is_judged_once_and_a_judge_may_fail_to_answer():
    seen = []

    class Chat:
        def ask(self, questions, label):
            seen.extend(questions)
            return ["I cannot say." if each.endswith("Description: noise") else json.dumps(NONE) for each in questions]

    asked = [question(video, name, "no") for video in ("a", "b") for name in ("blur", "noise")]
    table = attribute(asked, {"a.mp4": "clean", "b.mp4": "noise"}, chat_judge(Chat()))
    assert len(seen) == 2 and seen[0].endswith("Description: clean")
    assert answers(table) == ["no", "no", None, None]


def test_other_questions_are_refused():
    other = Question("w/a", Path("a.mp4"), "video", "Which?", ("x", "y"), "A", "finevd_questions", "test", "type")
    with pytest.raises(ValueError, match="finevd_questions/w/a: not a question of whether"):
        attribute([other], {"a.mp4": ""}, keyword_judge)
    with pytest.raises(ValueError, match=r"there is no description of a\.mp4"):
        attribute([question("a", "blur", "yes")], {}, keyword_judge)


def test_agreement_of_two_judges():
    asked = [question(video, name, "yes") for video in "abcd" for name in ("blur", "noise")]
    said = {"a.mp4": "blur", "b.mp4": "clean", "c.mp4": "blur", "d.mp4": None}
    one = attribute(asked, said, keyword_judge)
    other = one.assign(answer=["yes", "no", "no", "no", "no", "no", None, None])
    table = agreement(one, other).set_index("dimension")
    assert table.loc["blur", "agreement"] == pytest.approx(2 / 3) and table.loc["blur", "n"] == 3
    # By hand: chance agreement (2/3 * 1/3 + 1/3 * 2/3) = 4/9, so (2/3 - 4/9) / (5/9).
    assert table.loc["blur", "kappa"] == pytest.approx(0.4)
    assert table.loc["noise", "agreement"] == 1 and math.isnan(table.loc["noise", "kappa"])
    assert table.loc["overall", "unreadable"] == 2
