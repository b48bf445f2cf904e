import doctest
import json
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqa_lib import answers
from vqa_lib.answers import answer_text, completion_text, parse_choice, parse_dimensions, parse_score, reasoning_text
from vqa_lib.records import Scale

HUNDRED = Scale(0, 100)
FIVE = Scale(1, 5)
AXES = ["spatial", "temporal", "consistency"]


def answer(content: str) -> str:
    return f"<think>seen</think><answer>{content}</answer>"


def test_examples_in_docstrings():
    assert doctest.testmod(answers).failed == 0


def test_completion_in_both_forms_of_trl():
    assert completion_text("plain") == "plain"
    assert completion_text([{"role": "assistant", "content": "chat"}]) == "chat"
    for messages in ([], [{"role": "assistant", "content": "a"}] * 2):
        with pytest.raises(ValueError, match="one message"):
            completion_text(messages)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<answer>3</answer>", "3"),
        ("<answer></answer>", ""),  # empty is an answer, without a number
        ("<answer>1</answer> or <answer>2</answer>", "2"),  # the last
        ("<answer>1</answer> or <answer>2", "1"),  # the last complete
        ("<answer>1<answer>2</answer>", "2"),  # opened twice
        ("<answer>1</answer></answer>", "1"),  # closed twice
        ("<answer><answer>2</answer></answer>", "2"),  # nested: the inner
        ("<answer>\n3\n</answer>", "\n3\n"),  # inner white space stays
        ("</answer>3<answer>", None),  # wrong way round
        ("<answer>3", None),  # never closed
        ("3</answer>", None),  # never opened
        ("<ANSWER>3</ANSWER>", None),  # another tag
        ("3", None),
        ("", None),
    ],
)
def test_answer_text(text, expected):
    assert answer_text(text) == expected
    assert reasoning_text(text.replace("answer>", "think>")) == expected


@pytest.mark.parametrize(
    ("content", "scale", "expected"),
    [
        ("72.5", HUNDRED, 72.5),
        ("  72.5\n", HUNDRED, 72.5),
        ('"72.5"', HUNDRED, 72.5),
        ("' 72.5 '", HUNDRED, 72.5),
        ("+72", HUNDRED, 72.0),
        ("72.", HUNDRED, 72.0),
        (".5", HUNDRED, 0.5),
        ("007", HUNDRED, 7.0),
        ("0", HUNDRED, 0.0),  # both ends belong to the scale
        ("100", HUNDRED, 100.0),
        ("-0.5", Scale(-1, 1), -0.5),
        ("72/100", HUNDRED, 72.0),
        ("72 / 100.0", HUNDRED, 72.0),
        ("3.5 out of 5", FIVE, 3.5),
        ('"3.5 out of 5"', FIVE, 3.5),
        ('{"rating": 3.42}', FIVE, 3.42),  # Q-Insight's form
        (' { "rating" : "3.42" } ', FIVE, 3.42),
        ("{'score': 3.42}", FIVE, 3.42),
        ('"rating": 3.42', FIVE, 3.42),
        ('{"rating": "3.42/5"}', FIVE, 3.42),
        ("100.001", HUNDRED, None),  # outside the scale
        ("-0.001", HUNDRED, None),
        ("0.99", FIVE, None),
        ("72/10", HUNDRED, None),  # another denominator
        ("3 out of 10", FIVE, None),
        ("3 out of", FIVE, None),
        ("3 out 5", FIVE, None),
        ("3/5/5", FIVE, None),
        ("", HUNDRED, None),
        (".", HUNDRED, None),
        ("good", HUNDRED, None),
        ("score: 72", HUNDRED, None),  # words around the number
        ("72 points", HUNDRED, None),
        ("72%", HUNDRED, None),
        ("70 72", HUNDRED, None),  # several candidates
        ("70-72", HUNDRED, None),
        ("70, 72", HUNDRED, None),
        ('{"a": 70, "b": 72}', HUNDRED, None),
        ('{"a": 70, "a": 70}', HUNDRED, None),
        ("3,5", FIVE, None),  # a decimal comma reads as two numbers
        ("1e1", HUNDRED, None),  # an exponent is not a plain decimal
        ("1e999", HUNDRED, None),
        ("nan", HUNDRED, None),
        ("inf", HUNDRED, None),
        ("NaN", HUNDRED, None),
        ("0x10", HUNDRED, None),
        ("7_2", HUNDRED, None),  # float() would take it
        ("--3", HUNDRED, None),
        ("\u0667\u0662", HUNDRED, None),  # Arabic-Indic digits, which float() would take
        ("\uff17\uff12", HUNDRED, None),  # full-width digits
        ("7\u00b2", HUNDRED, None),  # a superscript
        ("\"72'", HUNDRED, None),  # quotes that do not pair
        ('"72', HUNDRED, None),
        ('{"rating": }', HUNDRED, None),
        ('{"rating": null}', HUNDRED, None),
        ('{"rating": true}', HUNDRED, None),
        ('{"rating": [72]}', HUNDRED, None),
        ('{"a": {"b": 72}}', HUNDRED, None),
        ("{72}", HUNDRED, None),
        ("{}", HUNDRED, None),
        ('{"rating": 72', HUNDRED, None),  # cut short
        ('{"rating": 72,}', HUNDRED, None),
        ("[72]", HUNDRED, None),
    ],
)
def test_parse_score(content, scale, expected):
    assert parse_score(answer(content), scale) == expected


def test_number_outside_the_tag_is_no_answer():
    assert parse_score("72.5", HUNDRED) is None
    assert parse_score("<answer>72.5", HUNDRED) is None
    assert parse_score("72.5 <answer></answer>", HUNDRED) is None


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('"spatial": 40.48, "temporal": 32.63, "consistency": 56.33', [40.48, 32.63, 56.33]),  # the official example
        ('{"spatial": 40.48, "temporal": 32.63, "consistency": 56.33}', [40.48, 32.63, 56.33]),
        ("{'spatial': 1, 'temporal': 2, 'consistency': 3}", [1, 2, 3]),
        ('{\n  "consistency": "3/100",\n  "spatial": 1,\n  "temporal": 2\n}\n', [1, 2, 3]),  # any order, any space
        ('{"spatial": 1, "temporal": 2, "consistency": 3, "overall": 2}', [1, 2, 3]),  # another name is passed over
        ('{"spatial": 1, "temporal": 2, "consistency": 3, "overall": 999}', [1, 2, 3]),
        ('{"spatial": 1, "temporal": 2, "consistency": 3, "why": "blur"}', None),  # but has to be a number
        ('{"spatial": 1, "temporal": 2}', None),  # one missing
        ('{"spatial": 1, "temporal": 2, "consistency": 3, "spatial": 1}', None),  # one twice
        ('{"spatial": 1, "temporal": 2, "consistency": 101}', None),  # one outside the scale
        ('{"spatial": 1, "temporal": 2, "consistency": NaN}', None),
        ('{"Spatial": 1, "temporal": 2, "consistency": 3}', None),  # another name
        ('{"spatial": 1; "temporal": 2; "consistency": 3}', None),
        ('{"spatial": 1 "temporal": 2 "consistency": 3}', None),
        ('{"spatial": 1, "temporal": 2, "consistency": 3', None),  # cut short
        ("{spatial: 1, temporal: 2, consistency: 3}", None),  # no quotes
        ("1, 2, 3", None),
        ("2", None),  # one number for three dimensions
        ("", None),
    ],
)
def test_parse_dimensions(content, expected):
    scores = parse_dimensions(answer(content), AXES, HUNDRED)
    assert scores == (None if expected is None else dict(zip(AXES, expected, strict=True)))
    if scores:
        assert list(scores) == AXES  # the order asked for, whatever the answer's


def test_single_dimension_takes_a_bare_number_or_its_own_name():
    assert parse_dimensions(answer("3.5 out of 5"), ["overall"], FIVE) == {"overall": 3.5}
    assert parse_dimensions(answer('{"overall": 3.5}'), ["overall"], FIVE) == {"overall": 3.5}
    assert parse_dimensions(answer('{"temporal": 3.5}'), ["overall"], FIVE) is None
    assert parse_dimensions("3.5", ["overall"], FIVE) is None


VIDEOS = ["Video A", "Video B"]


@pytest.mark.parametrize(
    ("content", "choices", "expected"),
    [
        ("Video A", VIDEOS, "Video A"),
        ("video b", VIDEOS, "Video B"),  # upper and lower case are one
        (" Video  A.\n", VIDEOS, "Video A"),
        ('"Video A"', VIDEOS, "Video A"),
        ("'Video A.'", VIDEOS, "Video A"),
        ('"Video A".', VIDEOS, "Video A"),
        ("A", VIDEOS, "Video A"),  # the letter alone, as the official prompt asks in the same breath
        ("b.", VIDEOS, "Video B"),
        ('{"choice": "A"}', VIDEOS, "Video A"),
        ("{ 'better' : 'Video B' }", VIDEOS, "Video B"),
        ('"choice": "A"', VIDEOS, "Video A"),  # braces may be missing, as in the other forms
        ("tie", [*VIDEOS, "tie"], "tie"),
        ("Yes", ["Yes", "No"], "Yes"),
        ("no.", ["Yes", "No"], "No"),
        ("C", ["A", "B", "C", "D"], "C"),
        ("Clip", VIDEOS, None),
        ("Video", VIDEOS, None),
        ("Video C", VIDEOS, None),
        ("Video A or Video B", VIDEOS, None),  # several
        ("Video A, Video A", VIDEOS, None),
        ("I choose Video A", VIDEOS, None),  # words around it
        ("Yes and no", ["Yes", "No"], None),
        ("not sure", ["Yes", "No"], None),
        ("better", ["A is better", "B is better"], None),  # a last word that does not tell
        ('{"choice": "A"', VIDEOS, None),  # cut short
        ("{A}", VIDEOS, None),
        ('{"A"}', VIDEOS, None),
        ('{"choice": }', VIDEOS, None),
        ('{"choice": {"x": "A"}}', VIDEOS, None),
        ("\"A'", VIDEOS, None),  # quotes that do not pair
        ("\uff21", VIDEOS, None),  # a full-width A
        ("..", VIDEOS, None),
        ("", VIDEOS, None),
    ],
)
def test_parse_choice(content, choices, expected):
    assert parse_choice(answer(content), choices) == expected
    assert parse_choice(content, choices) is None  # no tags


MILLION = 10**6
HOSTILE = {
    "brackets": "<" * MILLION,
    "unclosed": "<answer>" * (MILLION // 8),
    "nested": "<answer>" * (MILLION // 17) + "</answer>" * (MILLION // 17),
    "digits": answer("9" * MILLION),
    "decimals": answer("1." + "9" * MILLION + "x"),
    "spaces": answer("3" + " " * MILLION + "x"),
    "quoted spaces": answer('"3' + " " * MILLION + "x"),
    "spaces in a pair": answer('"a":' + " " * MILLION + "x"),
    "spaces after out of": answer("3 out" + " " * MILLION + "of" + " " * MILLION + "x"),
    "quotes": answer('"' * MILLION),
    "braces": answer("{" * MILLION + "}" * MILLION),
    "brackets in an answer": answer("[" * MILLION),
    "commas": answer('"a": 1,' * (MILLION // 7)),
    "letters": answer("A " * (MILLION // 2)),
    "full stops": answer("A" + "." * MILLION),
    "spaces in a choice": answer("Video" + " " * MILLION + "x"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_megabyte_takes_linear_time(name):
    text = HOSTILE[name]
    start = time.process_time()
    assert parse_score(text, HUNDRED) is None
    assert parse_dimensions(text, AXES, HUNDRED) is None
    assert parse_choice(text, VIDEOS) is None
    reasoning_text(text)
    assert time.process_time() - start < 2  # about 0.1 s; quadratic would be minutes


def test_long_number_inside_the_scale():
    assert parse_score(answer("0." + "9" * MILLION), Scale(0, 1)) == 1.0
    assert parse_score(answer("0" * MILLION + "7"), HUNDRED) == 7.0


PIECES = st.sampled_from(["<answer>", "</answer>", "<think>", "{", "}", '"', "'", ":", ",", "/", "out of", "spatial"])


@settings(deadline=None)  # a busy machine is not a failure
@given(st.lists(st.one_of(PIECES, st.text(max_size=5), st.floats().map(str), st.integers().map(str))).map("".join))
def test_any_string_gives_a_score_in_the_scale_or_none(text):
    for candidate in (text, answer(text)):
        score = parse_score(candidate, FIVE)
        assert score is None or FIVE.contains(score)
        scores = parse_dimensions(candidate, ["spatial"], FIVE)
        assert scores is None or FIVE.contains(scores["spatial"])
        assert reasoning_text(candidate) is None or isinstance(reasoning_text(candidate), str)


@settings(deadline=None)  # a busy machine is not a failure
@given(st.lists(st.integers(0, 10_000), min_size=3, max_size=3), st.booleans())
def test_what_json_writes_is_read_back(hundredths, braces):
    truth = {name: hundredth / 100 for name, hundredth in zip(AXES, hundredths, strict=True)}
    content = json.dumps(truth)
    assert parse_dimensions(answer(content if braces else content[1:-1]), AXES, HUNDRED) == truth


WEIRD = [
    *(
        "<answer>",
        "</answer>",
        "<think>",
        "</think>",
        "<reason>",
        "<",
        ">",
        "{",
        "}",
        "[",
        '"',
        "'",
        ":",
        ",",
        ".",
        "/",
    ),
    *("out of", "nan", "inf", "-inf", "1e999", "-1e-999", "9" * 400, "0." + "3" * 400, "+-3", "1_0", "0x1f", "1,5"),
    *("\u0663", "\uff13", "\u0967", "\u00b2", "\u2460", "\u0000", "\u2028", "\ud800", "\U0001f600"),
    *("Video A", "video b", "Yes", "No", "spatial", '"spatial": 3', " ", "\n", "\t", "<" * 500),
]


def test_100_000_adversarial_strings():
    """None crashes, none takes over a millisecond a kilobyte, and what is read lies in the scale."""
    draw = random.Random(0)
    taken = 0
    size = 0
    for number in range(100_000):
        text = "".join(draw.choices(WEIRD, k=draw.randrange(1, 12)))
        if number % 2:
            text = answer(text)
        start = time.process_time()
        score, scores = parse_score(text, FIVE), parse_dimensions(text, AXES, FIVE)
        choice, _ = parse_choice(text, VIDEOS), reasoning_text(text)
        taken += time.process_time() - start
        size += len(text)
        assert score is None or FIVE.contains(score)
        assert scores is None or list(scores) == AXES
        assert choice is None or choice in VIDEOS
    # Four parsers; measured over all, since one string is too short to time. About 0.05 ms a kilobyte.
    assert taken < 4 * size / 1024 / 1000
