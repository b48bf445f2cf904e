"""Questions that a language model writes: read strictly, refused with a reason, counted."""

import json
from collections import Counter

import pytest

from vqa_lib.written_questions import (
    EXAMPLES,
    MOST,
    Report,
    WrittenQuestion,
    ask_for_questions,
    by_prompt,
    read_questions,
    read_reply,
    write_questions,
)

GOOD = {
    "entity": "cat",
    "dimension": "temporal consistency",
    "question": "Is the cat the same?",
    "polarity": "positive",
}


def reply(*items) -> str:
    return json.dumps(list(items))


@pytest.mark.parametrize(
    "text",
    [
        reply(GOOD),
        f"Here are the questions:\n```json\n{reply(GOOD)}\n```\nI hope this helps!",
        reply(GOOD)[:-2] + ",}]",
        reply(GOOD | {"dimension": "Temporal_Consistency", "polarity": "Positive"}),
        reply(GOOD | {"dimension": "temporal", "polarity": 1}),
        reply(GOOD | {"question": "  Is the   cat the same?  "}),
    ],
)
def test_forms_that_are_understood(text):
    questions, refused = read_reply("a cat", text)
    assert questions == [WrittenQuestion("a cat", "cat", "temporal consistency", "Is the cat the same?", "positive")]
    assert not refused


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "an empty reply"),
        ("  \n", "an empty reply"),
        ("I cannot help with that.", "a reply that holds no JSON list"),
        ('{"entity": "cat"}', "a reply that holds no JSON list"),
        ("[" * 100_000 + "]" * 100_000, "a reply that holds no JSON list"),
        ("[1, 2", "a reply that holds no JSON list"),
        (reply("Is it?"), "an item that is no object"),
        (reply({**GOOD, "entity": ""}), "no entity"),
        (reply({**GOOD, "entity": None}), "no entity"),
        (reply({**GOOD, "polarity": True}), "no polarity"),
        (reply({**GOOD, "polarity": "yes"}), "a polarity other than positive and negative"),
        (reply({**GOOD, "polarity": 2}), "a polarity other than positive and negative"),
        (reply({**GOOD, "dimension": "beauty"}), "an unknown dimension"),
        (reply({**GOOD, "question": "What colour is the cat?"}), "not a question of yes or no in English"),
        (reply({**GOOD, "question": "Ist die Katze dieselbe?"}), "not a question of yes or no in English"),
        (reply({**GOOD, "question": "猫は同じですか?"}), "not a question of yes or no in English"),
        (reply({**GOOD, "question": "Is the cat the same."}), "not a question of yes or no in English"),
        (reply({**GOOD, "question": "Is " + "very " * 100 + "same?"}), "a question of more than 200 letters"),
    ],
)
def test_what_is_refused_has_a_reason(text, reason):
    questions, refused = read_reply("a cat", text)
    assert questions == [] and refused == Counter({reason: 1})


def test_ten_thousand_questions_and_repeated_ones():
    many = [GOOD | {"question": f"Is cat {number} the same?"} for number in range(10_000)]
    questions, refused = read_reply("a cat", reply(*many))
    assert len(questions) == MOST and refused == Counter({f"more than {MOST} questions": 10_000 - MOST})
    questions, refused = read_reply("a cat", reply(GOOD, GOOD | {"question": "IS THE CAT the same?"}))
    assert len(questions) == 1 and refused == Counter({"a question asked before": 1})


def test_a_file_that_a_person_may_correct(tmp_path):
    questions = [
        WrittenQuestion("a cat", "cat", "dynamic degree", f"Is it {way}?", "negative") for way in ("ö", "slow")
    ]
    questions.append(WrittenQuestion("a dog", "dog", "visual quality", "Is it sharp?", "positive"))
    file = tmp_path / "questions.jsonl"
    write_questions(file, questions)
    assert read_questions(file) == questions
    assert {prompt: len(each) for prompt, each in by_prompt(questions).items()} == {"a cat": 2, "a dog": 1}
    good = file.read_text()
    for bad, message in (
        ("not json\n", "line 4: not JSON"),
        ("{}\n", "line 4: no prompt"),
        (good.splitlines()[0].replace("negative", "maybe") + "\n", "line 4: a polarity other than"),
    ):
        file.write_text(good + bad)
        with pytest.raises(ValueError, match=message):
            read_questions(file)


def test_a_language_model_is_asked_once_a_prompt_and_its_example_could_be_its_reply():
    seen = []

    def ask(requests):
        seen.extend(requests)
        return [
            reply(GOOD, {**GOOD, "polarity": "maybe"}) if "a cat" in each.splitlines()[-1] else "" for each in requests
        ]

    questions, report = ask_for_questions(["a cat", "a dog", "a cat"], ask)
    assert len(seen) == 2 and seen[0].endswith('Prompt: "a cat"\n')
    assert [each.prompt for each in questions] == ["a cat"]
    assert report.prompts == 2 and report.kept == 1 and report.without == ["a dog"]
    assert report.refused == Counter({"a polarity other than positive and negative": 1, "an empty reply": 1})
    for example in EXAMPLES.split("Prompt: ")[1:]:
        prompt, _, answer = example.partition("\n")
        kept, refused = read_reply(prompt, answer)
        assert kept and not refused


def test_the_report_says_what_was_refused():
    report = Report(prompts=2, kept=3, refused=Counter({"no entity": 2, "an empty reply": 1}), without=["a cat"])
    assert report.lines() == [
        "2 prompts, 3 questions kept, 3 refused",
        "  2 x no entity",
        "  1 x an empty reply",
        "  no question about 'a cat'",
    ]
