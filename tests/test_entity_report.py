"""`vqa ask`: the tree of questions, its HTML page, and what cannot be asked."""

import math
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vqa_lib import entity_report
from vqa_lib.cli import app
from vqa_lib.entity_report import AskError, ask_video, html_page, questions_about, summary, tree_lines
from vqa_lib.models.starter import tokenizer_texts
from vqa_lib.models.tiny import build_tiny_qwen
from vqa_lib.written_questions import WrittenQuestion, write_questions

PROMPT = "a red circle moves left over <grass>"
GIVEN = [  # dimension, entity, question, polarity, response, P(Yes)
    ("visual quality", "circle", "Is it sharp?", "yes", "<reason>No blur.</reason><answer>Yes</answer>", 0.9),
    ("visual quality", "circle", "Is it noisy?", "no", "<reason>Grain & dust.</reason><answer>Yes</answer>", 0.7),
    ("dynamic degree", "circle", "Does it move?", "yes", "It", math.nan),
]


@pytest.fixture
def answered(monkeypatch, make_frames):
    """The table of GIVEN, through `ask_video`."""
    questions = questions_about(Path("clip.mp4"), PROMPT)[: len(GIVEN)]
    rows = [
        {
            **{"dataset": "asked", "split": "all", "name": str(number), "clip": "a<b>.mp4", "prompt": PROMPT},
            **dict(zip(("dimension", "entity", "question", "polarity", "response", "probability"), given, strict=True)),
            **{"true_answer": None, "answer": "yes" if "Yes" in given[4] else None},
        }
        for number, given in enumerate(GIVEN)
    ]
    monkeypatch.setattr(entity_report, "ask_videos", lambda *arguments: rows)

    class Model:
        def eval(self):
            return self

    table = ask_video(Model(), None, make_frames(2), questions)
    return table.assign(question=[given[2] for given in GIVEN])


def test_the_tree(answered):
    assert tree_lines(answered) == [
        "visual quality: 0.60",
        "  circle",
        "    0.90  Is it sharp? yes, P(Yes) 0.90",
        "          No blur.",
        "    0.30  Is it noisy? yes, P(Yes) 0.70",
        "          Grain & dust.",
        "dynamic degree: none",
        "  circle",
        "    none  Does it move? unreadable",
        "overall: none",
        "costs most:",
        '  0.17  circle, visual quality: "Is it noisy?" yes (0.70); Grain & dust.',
    ]
    scores = summary(answered)
    assert scores["visual quality"] == pytest.approx(0.6) and math.isnan(scores["overall"])
    assert set(scores) == {"visual quality", "dynamic degree", "overall"}


def test_the_page_holds_everything_and_nothing_from_elsewhere(answered, make_frames):
    page = html_page(answered, make_frames(2).pixels, "tiny <model>")
    assert page.count("data:image/jpeg;base64,") == 2
    for shown in ("a&lt;b&gt;.mp4", "over &lt;grass&gt;", "Grain &amp; dust.", "tiny &lt;model&gt;", "width: 30%"):
        assert shown in page
    assert "1 of 3 answers unreadable" in page
    assert not re.search(r"(src|href)=\"(?!data:)|https?://", page)
    assert "<li>0.17 circle, visual quality: &quot;Is it noisy?&quot; yes (0.70); Grain &amp; dust.</li>" in page
    assert page.count("<tr>") == 3 and page.count("<h2>") == 2


def test_questions_come_from_the_grammar_or_a_file(tmp_path):
    by_grammar = questions_about(Path("clip.mp4"), "a red circle moves left over grass")
    assert {question.dimension for question in by_grammar} and all(question.prompt for question in by_grammar)
    assert {question.polarity for question in by_grammar} == {"yes", "no"}
    file = tmp_path / "questions.jsonl"
    write_questions(file, [WrittenQuestion("a cat", "cat", "visual quality", "Is the cat sharp?", "positive")])
    (asked,) = questions_about(Path("clip.mp4"), "a cat", file)
    assert (asked.question, asked.polarity, asked.entity) == ("Is the cat sharp?", "yes", "cat")
    with pytest.raises(AskError, match="no question about the prompt 'a dog'"):
        questions_about(Path("clip.mp4"), "a dog", file)
    with pytest.raises(AskError, match="finds nothing to ask"):
        questions_about(Path("clip.mp4"), "hello")


@pytest.mark.parametrize("reasons", [True, False])
def test_the_command(reasons, videos, tmp_path):
    model, page = tmp_path / "model", tmp_path / "page.html"
    build_tiny_qwen(model, [*tokenizer_texts(), *["Yes", "No"] * 100], hidden=64, layers=2)
    words = ["ask", videos[0].path, "--prompt", "a red circle moves left", "--model", model, "--html", page]
    words += ["--max-completion", "4", "--reasons" if reasons else "--no-reasons"]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    assert "dynamic degree: " in result.output and "overall: " in result.output
    assert result.output.count("P(Yes)") == (0 if reasons else 10)  # a random model never reaches an answer tag
    assert page.read_text("utf-8").count("<tr>") == 10


def test_what_the_command_refuses(videos, tmp_path):
    def output(*words):
        result = CliRunner().invoke(app, ["ask", *[str(word) for word in words], "--model", "nowhere"])
        assert result.exit_code == 1
        return result.output

    assert "finds nothing to ask" in output(videos[0].path, "--prompt", "hello")
    assert "the file is missing" in output(tmp_path / "none.mp4", "--prompt", "a cat")
    assert "--html" in output(videos[0].path, "--prompt", "a cat", "--html", tmp_path / "none" / "page.html")
