"""The grammar that stands in for a language model: prompts of the embedded world, simple real ones, and its limits."""

import json

import pytest

from vqa_lib.entity_grammar import Entity, entities, grammar_questions
from vqa_lib.miniature.generated_prompts import world_prompts
from vqa_lib.written_questions import read_reply


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("A brown dog runs quickly through the tall grass.", [("dog", "brown", "run quickly"), ("grass", "tall", "")]),
        ("Two children are playing in a park", [("children", "", "play"), ("park", "", "")]),
        ("an astronaut riding a white horse", [("astronaut", "", "ride"), ("horse", "white", "")]),
        ("The old man carries his bag, the bag falls", [("man", "old", "carry"), ("bag", "", "")]),
        ("a lying cat", [("cat", "lying", "")]),
        ("Beautiful!", []),
        ("", []),
        ("猫が走る", []),
    ],
)  # fmt: skip
def test_entities_of_prompts(prompt, expected):
    assert [(each.noun, " ".join(each.attributes), each.action) for each in entities(prompt)] == expected


def test_the_embedded_world_is_understood_whole():
    for prompt in world_prompts(0):
        first, *others = entities(prompt.text)
        assert first == Entity(prompt.shape, (prompt.colour,), f"move {prompt.direction}", True), prompt.text
        assert others, prompt.text


def test_questions_are_of_all_dimensions_and_pass_the_check_for_replies():
    questions = grammar_questions("a red circle moves left over grass")
    assert len({each.dimension for each in questions}) == 5
    assert {each.polarity for each in questions} == {"positive", "negative"}
    reply = json.dumps(
        [{name: getattr(each, name) for name in ("entity", "dimension", "question", "polarity")} for each in questions]
    )
    kept, refused = read_reply("a red circle moves left over grass", reply)
    assert kept == questions and not refused
    assert grammar_questions("hello") == []


def test_words_agree_in_number():
    asked = [each.question for each in grammar_questions("Two brown dogs chase an old ball over grass")]
    for question in (
        "Are the dogs sharp and clear?",
        "Are there brown dogs in the video?",
        "Do the dogs chase?",
        "Do the dogs keep their size, as they would in the real world?",
        "Is there an old ball in the video?",
        "Does the ball flicker or shake?",
        "Is there grass in the video?",
    ):
        assert question in asked
