"""Reasons by a language model that knows the answer: reading, checking, the review file, and back into annotations."""

import csv
import json
import shutil

import pytest
from typer.testing import CliRunner

from vqa_lib.chat import Shown
from vqa_lib.cli import app
from vqa_lib.datasets import load_questions
from vqa_lib.miniature import write_miniature
from vqa_lib.video import FramePolicy
from vqa_lib.written_reasons import (
    LONGEST,
    WrittenReason,
    WrittenReasonsError,
    add_reasons,
    read_reason,
    read_review,
    report,
    write_reasons,
    write_review,
)

POLICY = FramePolicy(count=2, max_pixels=84 * 56)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reasons")
    write_miniature(folder, scale=0.5, seed=0, names=["finger"])
    return folder / "finger"


@pytest.fixture(scope="module")
def questions(data):
    return load_questions("finger", data, "train")


class Model:
    """Explains every answer; a reason it is to check it finds to support what `supports` says of it."""

    def __init__(self, replies=(), supports=()):
        self.replies, self.supports, self.asked = list(replies), list(supports), []

    def ask(self, requests, label=""):
        self.asked += requests
        return [self.reply(request) for request in requests]

    def reply(self, request):
        if isinstance(request, Shown):
            return self.replies.pop(0) if self.replies else f"Seen, {len(self.asked)} times."
        return self.supports.pop(0) if self.supports else "Unclear."


@pytest.mark.parametrize(
    ("reply", "answer", "reason", "problem"),
    [
        ("It is red.", "yes", "It is red.", ""),
        ("  It is\n red. ", "no", "It is red.", ""),
        ('"Yes, it is red."', "yes", "It is red.", ""),
        ("No. It turns blue.", "no", "It turns blue.", ""),
        ("Nothing moves.", "no", "Nothing moves.", ""),  # no word of refusal: it only begins with these letters
        ("No, it turns blue.", "yes", "No, it turns blue.", "it begins with the other answer"),
        ("", "yes", "", "an empty reply"),
        ("Yes.", "yes", "Yes.", "an empty reply"),
        ("...", "yes", "...", "an empty reply"),
        ("Red. " * 200, "yes", ("Red. " * 200)[:LONGEST], f"more than {LONGEST} letters"),
        ("<answer> Yes </answer>", "yes", "<answer> Yes </answer>", "tags or brackets in it"),
        ('{"reason": "red"}', "yes", '{"reason": "red"}', "tags or brackets in it"),
        ("円は赤い", "yes", "円は赤い", "not in English"),
        ("I'm sorry, I cannot see videos.", "yes", "I'm sorry, I cannot see videos.", "the model would not answer"),
    ],
)  # fmt: skip
def test_what_is_a_reason(reply, answer, reason, problem):
    assert read_reason(reply, answer) == (reason, problem)


def test_the_model_sees_the_frames_and_knows_the_answer_and_is_not_told_it_when_it_checks(questions):
    model = Model()
    rows = write_reasons(questions[:3], model.ask, POLICY)
    shown, checked = model.asked[:3], model.asked[3:]
    assert all(len(request.pictures) == 2 and request.pictures[0][:2] == b"\xff\xd8" for request in shown)
    for request, question in zip(shown, questions, strict=False):
        assert question.question in request.text and f"answered {question.answer.capitalize()}, which" in request.text
        assert question.prompt in request.text and question.dimension in request.text
    for request, row in zip(checked, rows, strict=True):
        assert row.question in request and row.reason in request and "answered" not in request
    assert [row.question for row in rows] == [question.question for question in questions[:3]]


def test_a_reason_is_kept_if_the_same_answer_follows_from_it(questions):
    asked = questions[:5]
    other = {"yes": "No", "no": "Yes"}
    supports = [asked[0].answer.upper() + ".", other[asked[1].answer], "Unclear", "Well, maybe"]
    rows = write_reasons(asked, Model([*"abcd", "<b>"], supports).ask, POLICY)
    assert [row.keep for row in rows] == ["yes", "no", "no", "no", "no"]
    assert [row.supports for row in rows] == [asked[0].answer, other[asked[1].answer].lower(), "unclear", "unclear", ""]
    assert report(rows) == [
        "5 questions, 1 reasons kept, 4 not",
        "  3 x another answer follows from it, or none",
        "  1 x tags or brackets in it",
    ]


def test_questions_without_an_answer_are_refused_before_anything_is_asked(questions):
    from dataclasses import replace

    model = Model()
    with pytest.raises(ValueError, match="needs an answer of yes or no, found None"):
        write_reasons([replace(questions[0], answer=None)], model.ask, POLICY)
    assert not model.asked


def test_review_and_back_into_annotations(questions, data, tmp_path):
    right = [question.answer for question in questions[:3]]
    rows = write_reasons(questions[:4], Model(supports=[*right, "Unclear"]).ask, POLICY)
    review = tmp_path / "review.csv"
    write_review(review, rows)
    edited = list(csv.DictReader(review.read_text("utf-8-sig").splitlines()))
    assert [row["keep"] for row in edited] == ["no", "yes", "yes", "yes"]  # what needs eyes comes first
    edited[0] |= {"reason": "  A person wrote this, with a comma.", "keep": "YES"}
    edited[1]["keep"] = "no"
    with review.open("w", newline="") as file:
        writer = csv.DictWriter(file, edited[0])
        writer.writeheader()
        writer.writerows(edited)
    root = tmp_path / "finger"
    shutil.copytree(data, root)
    add_reasons(review, data, "train", root / "finger_train.jsonl")
    reasons = [question.reason for question in load_questions("finger", root, "train")]
    assert reasons[:4] == [None, rows[1].reason, rows[2].reason, "A person wrote this, with a comma."]
    assert set(reasons[4:]) == {None}
    before, after = ((folder / "finger_train.jsonl").read_text().splitlines() for folder in (data, root))
    assert [json.loads(line) | {"reason": None} for line in after] == [
        json.loads(line) | {"reason": None} for line in before
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keep": "maybe"}, "row 2: answer and keep must be yes or no, found yes, maybe"),
        ({"answer": "perhaps"}, "row 2: answer and keep must be yes or no, found perhaps, yes"),
        ({"reason": ""}, "row 2: this reason cannot be kept: an empty reply"),
        ({"reason": "No, it is not."}, "row 2: this reason cannot be kept: it begins with the other answer"),
    ],
)
def test_a_review_file_with_slips_is_named_by_row(tmp_path, change, message):
    review = tmp_path / "review.csv"
    write_review(review, [WrittenReason("a", "Is it?", "yes", "It is.", "yes", "yes")])
    (row,) = csv.DictReader(review.read_text("utf-8-sig").splitlines())
    write_review(review, [WrittenReason(**(row | change))])
    with pytest.raises(WrittenReasonsError, match=message):
        read_review(review)


def test_review_files_of_other_annotations_are_refused(tmp_path, data, questions):
    review, out = tmp_path / "review.csv", tmp_path / "out.jsonl"
    row = WrittenReason("nowhere", "Is it?", "yes", "It is.", "yes", "yes")
    write_review(review, [row])
    with pytest.raises(WrittenReasonsError, match="'Is it\\?' of nowhere is not among the annotations"):
        add_reasons(review, data, "train", out)
    write_review(review, [row, row])
    with pytest.raises(WrittenReasonsError, match="row 3: this question of nowhere stood above already"):
        add_reasons(review, data, "train", out)
    clip = questions[0].name.removesuffix(f": {questions[0].question}")
    other = "no" if questions[0].answer == "yes" else "yes"
    write_review(review, [WrittenReason(clip, questions[0].question, other, "It is.", other, "yes")])
    with pytest.raises(WrittenReasonsError, match=f"is answered {questions[0].answer} in the annotations"):
        add_reasons(review, data, "train", out)
    review.write_text("clip,question\n")
    with pytest.raises(WrittenReasonsError, match="no column answer, keep, problem, reason, supports"):
        add_reasons(review, data, "train", out)
    assert not out.exists()


def test_commands(data, tmp_path, monkeypatch):
    from vqa_lib import chat

    class Endpoint(Model):
        use = chat.ChatUse(prompt_tokens=7, completion_tokens=3)

    monkeypatch.setattr(chat.ChatModel, "from_environment", lambda *_, **__: Endpoint(supports=["Yes."] * 1000))
    run = CliRunner().invoke
    review, out = tmp_path / "review.csv", tmp_path / "finger_test.jsonl"
    wrote = run(app, ["reasons", str(data), "--out", str(review), "--split", "test", "--frames", "1"])
    assert wrote.exit_code == 0, wrote.output
    rows = read_review(review)
    kept = sum(row.answer == "yes" for row in rows)
    assert f"{len(rows)} questions, {kept} reasons kept" in wrote.output and "7 tokens read, 3 written" in wrote.output
    put_in = run(app, ["add-reasons", str(review), str(data), "--split", "test", "--out", str(out)])
    assert put_in.exit_code == 0 and f"annotations: {out}" in put_in.output
    assert sum(json.loads(line)["reason"] is not None for line in out.read_text().splitlines()) == kept
    nowhere = run(app, ["reasons", str(data), "--out", str(tmp_path / "no" / "review.csv")])
    assert nowhere.exit_code == 1 and "folder that exists" in nowhere.output
