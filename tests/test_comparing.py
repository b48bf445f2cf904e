"""Comparing pairs and answering questions: both orders, mapped back; resumed; counted where unreadable."""

import numpy as np
import pandas as pd
import pytest

from vqa_lib import tables
from vqa_lib.comparing import answer_questions, chosen_side, compare_pairs, margin
from vqa_lib.models.loading import load_model
from vqa_lib.records import Pair, Question, Scale, ScoredClip
from vqa_lib.scoring import score_clips
from vqa_lib.video import FramePolicy

POLICY = FramePolicy(count=4)
CHOICES = ("Video A", "Video B")


@pytest.fixture(scope="module")
def model(answering_folder):
    return load_model(answering_folder)


@pytest.fixture(scope="module")
def pairs(videos):
    sides = zip(videos[:10:2], videos[1:10:2], ("first", "second", "tie", "both_bad", "first"), strict=True)
    return [
        Pair(str(number), first.path, second.path, "video", preference, "own", "test", "a cat, calmly")
        for number, (first, second, preference) in enumerate(sides)
    ]


@pytest.fixture
def say(monkeypatch):
    """Let the model say what a function of (number of the prompt in its batch) gives, instead of its own words."""

    def install(response):
        seen = []

        def respond(model, processor, prompts, max_completion, uniform=None, **options):
            seen.append(prompts)
            samples = 1 if uniform is None else len(uniform) // len(prompts)
            return [[response(number, sample) for sample in range(samples)] for number in range(len(prompts))]

        monkeypatch.setattr("vqa_lib.answering.respond", respond)
        return seen

    return install


@pytest.mark.parametrize(
    ("response", "swapped", "side"),
    [
        ("<answer>Video A</answer>", False, "first"),
        ("<answer>Video B</answer>", False, "second"),
        ("<answer>Video A</answer>", True, "second"),
        ("<answer>Video B</answer>", True, "first"),
        ("<answer>b</answer>", True, "first"),
        ("<answer>both</answer>", False, None),
        ("Video A", False, None),
    ],
)
def test_a_choice_is_mapped_back_to_the_pair(response, swapped, side):
    assert chosen_side(response, CHOICES, swapped) == side


@pytest.mark.parametrize(
    ("straight", "swapped", "expected"),
    [
        (["first"], ["first"], 1.0),
        (["second"], ["second"], -1.0),
        (["first"], ["second"], 0.0),
        (["second"], ["first"], 0.0),
        (["first"], [None], None),
        ([None], ["second"], None),
        (["first", "first", "second", None], ["first", "first"], (1 / 3 + 1) / 2),
        (["first", "second"], ["second", "second"], -0.5),
    ],
)
def test_margin(straight, swapped, expected):
    assert margin(straight, swapped) == (None if expected is None else pytest.approx(expected))


def test_pairs_are_asked_in_both_orders_and_each_clip_is_encoded_once(model, pairs, frame_cache, tmp_path, say):
    seen = say(lambda number, sample: "<answer>Video A</answer>")  # always the one shown first
    table = compare_pairs(*model, pairs, "vq_insight/preference", POLICY, frame_cache, tmp_path / "a.jsonl")
    assert table["name"].tolist() == [pair.name for pair in pairs]
    assert table["preference"].tolist() == [pair.preference for pair in pairs]
    assert set(table["answer"]) == {"first"} and set(table["swapped_answer"]) == {"second"}
    assert (table["difference"] == 0).all()
    (prompts,) = seen
    for straight, swapped in zip(prompts[::2], prompts[1::2], strict=True):
        assert straight.visuals[0] is swapped.visuals[1] and straight.visuals[1] is swapped.visuals[0]
        assert straight.visuals[0] is not straight.visuals[1]
        assert "a cat, calmly" in model[1].tokenizer.decode(straight.ids)


def test_the_swapped_question_is_what_the_swapped_clips_would_be_asked(model, pairs, frame_cache, tmp_path, say):
    seen = say(lambda number, sample: "?")
    compare_pairs(*model, pairs[:1], "vq_insight/preference", POLICY, frame_cache, tmp_path / "a.jsonl")
    turned = Pair("0", pairs[0].second, pairs[0].first, "video", "first", "own", "test", pairs[0].prompt)
    compare_pairs(*model, [turned], "vq_insight/preference", POLICY, frame_cache, tmp_path / "b.jsonl")
    ours, theirs = seen[0][1], seen[1][0]
    assert ours.ids.tolist() == theirs.ids.tolist()
    for one, other in zip(ours.visuals, theirs.visuals, strict=True):
        assert np.array_equal(one.pixels, other.pixels) and one.grid.tolist() == other.grid.tolist()


def test_unreadable_answers_are_missing_and_counted(model, pairs, frame_cache, tmp_path, say):
    say(lambda number, sample: "?" if number == 1 else f"<answer>Video {'BA'[number % 2]}</answer>")
    table = compare_pairs(*model, pairs, "vq_insight/preference", POLICY, frame_cache, tmp_path / "a.jsonl")
    assert table["difference"].isna().sum() == 1
    measured = pd.DataFrame(tables.measure_pairs(table, "m", resamples=20)).set_index("metric")
    assert (measured["unparsed"] == 1).all()
    assert measured.loc["diff", "n"] == 4


def test_samples_make_the_difference_finer(model, pairs, frame_cache, tmp_path, say):
    say(lambda number, sample: f"<answer>Video {'A' if sample == 0 else 'B'}</answer>")
    table = compare_pairs(
        *model, pairs[:2], "vq_insight/preference", POLICY, frame_cache, tmp_path / "a.jsonl", samples=4
    )
    assert table["answers"].tolist() == [["first", "second", "second", "second"]] * 2
    assert table["swapped_answers"].tolist() == [["second", "first", "first", "first"]] * 2
    assert table["difference"].tolist() == [0.0, 0.0]
    assert len(table["responses"][0]) == len(table["swapped_responses"][0]) == 4


def test_comparing_goes_on_after_an_interruption_and_refuses_other_settings(model, pairs, frame_cache, tmp_path):
    path = tmp_path / "pairs.jsonl"

    def compare(**options):
        options = {"max_completion": 12, "batch_size": 2, **options}
        return compare_pairs(*model, pairs, "vq_insight/preference", POLICY, frame_cache, path, **options)

    whole = compare()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]) + lines[2][:30])
    assert compare().equals(whole)
    assert path.read_bytes().splitlines(keepends=True)[:2] == lines[:2]
    with pytest.raises(ValueError, match="was made with other settings"):
        compare(max_completion=13)


def test_pairs_without_their_text_are_refused_before_anything_is_asked(model, pairs, frame_cache, tmp_path):
    bare = Pair("bare", pairs[0].first, pairs[0].second, "video", "first", "own", "test")
    with pytest.raises(ValueError, match="own/bare: the prompt needs the text"):
        compare_pairs(*model, [bare], "vq_insight/preference", POLICY, frame_cache, tmp_path / "a.jsonl")
    with pytest.raises(ValueError, match="a pair needs a prompt for a choice"):
        compare_pairs(*model, pairs, "vq_insight/natural", POLICY, frame_cache, tmp_path / "a.jsonl")


def test_questions_of_yes_or_no(model, videos, frame_cache, tmp_path, say):
    said = ["<answer>Yes</answer>", "<answer>no</answer>", "<answer>perhaps</answer>"]
    say(lambda number, sample: said[number])
    asked = [
        Question(str(number), clip.path, "video", "Is it sharp?", (), "yes", "own", "test")
        for number, clip in enumerate(videos[:3])
    ]
    prompt = "vq_insight/yes_no"
    table = answer_questions(*model, asked, prompt, POLICY, frame_cache, tmp_path / "a.jsonl")
    assert sorted(table["answer"].fillna("-")) == ["-", "no", "yes"]
    (row,) = tables.measure_answers(table, "m", resamples=20)
    assert (row["value"], row["n"], row["unparsed"], row["dataset"]) == (0.5, 2, 1, "own/test")
    choice = Question("c", videos[0].path, "video", "Which?", ("a", "b"), "A", "own", "test")
    with pytest.raises(ValueError, match=r"own/c: the question needs a prompt with \{options\}"):
        answer_questions(*model, [choice], prompt, POLICY, frame_cache, tmp_path / "b.jsonl")
    with pytest.raises(ValueError, match="own/0: the question needs a prompt of yes or no"):
        answer_questions(*model, asked, "vqathinker/choice", POLICY, frame_cache, tmp_path / "b.jsonl")
    with pytest.raises(ValueError, match=r"own/0: a question needs a prompt with \{question\}"):
        answer_questions(*model, asked, "vqathinker", POLICY, frame_cache, tmp_path / "b.jsonl")


def test_questions_with_options_about_one_clip_or_two(model, videos, frame_cache, tmp_path, say):
    options = ("Bad", "Fair", "Good")
    asked = [
        Question("1", videos[0].path, "video", "How is it?", options, "B", "own", "dev", "global"),
        Question("2", videos[1].path, "video", "Which?", options[:2], "A", "own", "dev", "pair", second=videos[0].path),
        Question("3", videos[2].path, "video", "How is it?", options, None, "own", "dev", "global"),
    ]
    seen = say(lambda number, sample: "<answer>c.</answer>")
    table = answer_questions(*model, asked, "vqathinker/choice", POLICY, frame_cache, tmp_path / "a.jsonl")
    shown = [model[1].tokenizer.decode(prompt.ids) for prompts in seen for prompt in prompts]
    assert sum("How is it?\nA. Bad\nB. Fair\nC. Good\nReason" in text for text in shown) == 2
    assert sum("Which?\nA. Bad\nB. Fair\nReason" in text for text in shown) == 1
    assert sorted(len(prompt.visuals) for prompts in seen for prompt in prompts) == [1, 1, 2]
    assert table["answer"].fillna("-").tolist() == ["C", "-", "C"]  # there is no C among two options
    rows = tables.measure_answers(table, "m", by="category", resamples=20)
    found = {row["dataset"]: (row["value"], row["n"], row["unparsed"]) for row in rows}
    assert found["own/dev/global"] == (0, 1, 0)  # the question without a published answer is left out
    assert found["own/dev/overall"] == (0, 1, 1)


def test_order_bias_and_ties_are_measured():
    rows = [
        ("first", "first", "first", 1.0),  # right in both orders
        ("second", "first", "second", 0.0),  # always the one shown first
        ("tie", "first", "second", 0.0),
        ("both_bad", "second", "second", -1.0),
    ]
    columns = ["preference", "answer", "swapped_answer", "difference"]
    table = pd.DataFrame(rows, columns=columns).assign(dataset="own", split="test", response="")
    measured = pd.DataFrame(tables.measure_pairs(table, "m", resamples=20)).set_index("metric")["value"]
    assert measured["diff"] == 0.5
    assert measured["tau"] == 0.5
    assert measured["orders_disagree"] == 0.5
    assert measured["shown_first_chosen"] == 6 / 8  # A B, A A, A A, B A


def scored(videos, count):
    scores = {"alignment": 2.0, "spatial": 3.0, "temporal": 5.0}
    return [
        ScoredClip(f"c{number}", clip.path, "video", scores, Scale(1, 5), "own", "test", prompt="a red dog")
        for number, clip in enumerate(videos[:count])
    ]


def test_several_dimensions_in_one_response(model, videos, frame_cache, tmp_path, say):
    answers = ['{"temporal": 90, "consistency": 10, "spatial": 40}', '{"temporal": 90, "spatial": 40}']
    seen = say(lambda number, sample: f"<answer>{answers[number % 2]}</answer>")
    table = score_clips(*model, scored(videos, 2), "vq_insight/multi_dim", POLICY, frame_cache, tmp_path / "a.jsonl")
    assert "mos" not in table
    assert table[["target_spatial", "target_temporal", "target_consistency"]].iloc[0].tolist() == [50.0, 100.0, 25.0]
    assert table["prediction_consistency"].isna().tolist() in ([False, True], [True, False])
    assert all("a red dog" in model[1].tokenizer.decode(prompt.ids) for prompt in seen[0])
    assert [name for name in tables.by_dimension(table)] == ["spatial", "temporal", "consistency"]


def test_samples_of_several_dimensions_are_averaged(model, videos, frame_cache, tmp_path, say):
    say(lambda number, sample: f'<answer>{{"spatial": {10 * sample}, "temporal": 1, "consistency": 2}}</answer>')
    table = score_clips(
        *model, scored(videos, 1), "vq_insight/multi_dim", POLICY, frame_cache, tmp_path / "a.jsonl", samples=3
    )
    assert table.loc[0, "prediction_spatial"] == 10.0
    assert [scores["spatial"] for scores in table.loc[0, "predictions"]] == [0.0, 10.0, 20.0]


def test_dimensions_that_the_prompt_does_not_ask_for_are_refused(model, videos, frame_cache, tmp_path):
    clip = ScoredClip("x", videos[0].path, "video", {"overall": 3.0}, Scale(1, 5), "own", "test", prompt="a dog")
    with pytest.raises(ValueError, match=r"own/x: has scores for \['overall'\]"):
        score_clips(*model, [clip], "vq_insight/multi_dim", POLICY, frame_cache, tmp_path / "a.jsonl")


def test_measure_gives_each_dimension_and_their_mean():
    random = np.random.default_rng(0)
    truth = {name: random.uniform(0, 100, 40) for name in ("spatial", "temporal")}
    table = pd.DataFrame({"dataset": "own", "split": "test", "name": range(40), "response": ""})
    for name, values in truth.items():
        table[f"target_{name}"] = values
        table[f"prediction_{name}"] = values if name == "spatial" else -values
    table.loc[0, ["prediction_spatial", "prediction_temporal"]] = np.nan
    measured = pd.DataFrame(tables.measure(table, "m", resamples=20)).set_index(["dataset", "metric"])
    assert measured.loc[("own/test/spatial", "srcc"), "value"] == pytest.approx(1.0)
    assert measured.loc[("own/test/temporal", "krcc"), "value"] == pytest.approx(-1.0)
    assert measured.loc[("own/test/mean", "srcc"), "value"] == pytest.approx(0.0)
    assert (measured["unparsed"] == 1).all()
    assert measured.loc[("own/test/mean", "plcc"), "n"] == 39
