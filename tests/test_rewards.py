import random

import pytest

from vqa_lib.rewards import (
    REWARDS,
    choice_reward,
    format_reward,
    length_reward,
    multi_dim_reward,
    reason_format_reward,
    score_reward,
    temporal_reward,
)

HUNDRED = (0, 100)
AXES = ["spatial", "temporal", "consistency"]


def answer(content) -> str:
    return f"<think>seen</think><answer>{content}</answer>"


def axes(spatial, temporal, consistency) -> str:
    return answer(f'"spatial": {spatial}, "temporal": {temporal}, "consistency": {consistency}')


def one_group(scores, contrast, kind="video", truth=80.0) -> dict:
    """Columns of one group with a single score; the contrast answers are dealt out to its rows in turn."""
    size = len(scores)
    return {
        "completions": [answer(score) for score in scores],
        "contrast_completions": [[answer(score) for score in contrast[row::size]] for row in range(size)],
        "group": [7] * size,
        "kind": [kind] * size,
        "dimensions": [["overall"]] * size,
        "target": [[truth]] * size,
        "scale": [HUNDRED] * size,
    }


class TestFormat:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("<think>a</think><answer>3</answer>", 1.0),
            ("<think>a\nb</think>\n\n<answer>\n3\n</answer>", 1.0),  # line breaks anywhere
            ("  <think>a</think> <answer>3</answer>\n", 1.0),  # white space around
            ("<think></think><answer></answer>", 1.0),  # empty, but the form is there
            ("<think>a < b</think><answer>3</answer>", 1.0),
            ('<think>a</think><answer>"spatial": 40.48, "temporal": 32.63</answer>', 1.0),  # the prompt's own example
            ("<answer>3</answer>", 0.0),  # no reasoning
            ("<think>a</think>", 0.0),  # no answer
            ("<think>a</think>3", 0.0),  # no answer tags
            ("<think>a<answer>3</answer>", 0.0),  # no closing </think>
            ("<think>a</think><answer>3", 0.0),  # cut short
            ("a<think>b</think><answer>3</answer>", 0.0),  # text before
            ("<think>a</think>b<answer>3</answer>", 0.0),  # text between
            ("<think>a</think><answer>3</answer>b", 0.0),  # text after
            ("<answer>3</answer><think>a</think>", 0.0),  # wrong order
            ("<think><answer>3</think></answer>", 0.0),  # crossed
            ("<think>a<answer>2</answer></think><answer>3</answer>", 0.0),  # an answer inside the reasoning
            ("<think><think>a</think></think><answer>3</answer>", 0.0),  # nested
            ("<think>a</think><think>b</think><answer>3</answer>", 0.0),  # twice
            ("<Think>a</Think><answer>3</answer>", 0.0),  # other tags
            ("", 0.0),
            ("<" * 10**6, 0.0),
        ],
    )
    def test_truth_table(self, text, expected):
        assert format_reward([text]) == [expected]
        assert format_reward([[{"role": "assistant", "content": text}]]) == [expected]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("<think>a</think><answer>3</answer>", 1.0),
            ("<think>a\nb</think>\n\n<answer>\n3\n</answer>", 1.0),
            ("<think>a</think><think>b</think><answer>3</answer>", 1.0),  # repeats pass
            ("<think>a<answer>2</answer></think><answer>3</answer>", 1.0),
            ("<think>a</think><answer>3</answer></answer>", 1.0),
            (" <think>a</think><answer>3</answer>", 0.0),  # white space around does not
            ("<think>a</think><answer>3</answer>\n", 0.0),
            ("<think>a</think>b<answer>3</answer>", 0.0),
            ("<think>a</think>", 0.0),
            ("<think></answer>", 0.0),
            ("", 0.0),
            ("<think>" + "</think> " * 10**5, 0.0),
        ],
    )
    def test_official(self, text, expected):
        assert format_reward([text], variant="official") == [expected]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("<answer>3</answer>", 1.0),
            (" <answer>3</answer>\n", 1.0),
            ("<think>a</think><answer>3</answer>", 0.0),
            ("<answer>3", 0.0),
            ("3</answer>", 0.0),
            ("<answer>3</answer><answer>3</answer>", 0.0),
            ("", 0.0),
        ],
    )
    def test_without_reasoning(self, text, expected):
        assert format_reward([text], reasoning=None) == [expected]

    def test_official_pattern_knows_one_tag(self):
        for reasoning in (None, "reason"):
            with pytest.raises(ValueError, match="knows only <think>"):
                format_reward(["a"], reasoning=reasoning, variant="official")
        with pytest.raises(ValueError, match="'paper', 'official'"):
            format_reward(["a"], variant="ours")


class TestReasonFormat:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("<reason>The wheel is round.</reason><answer>Yes</answer>", 1.0),
            ("<reason>a</reason>\n<answer> No </answer>", 1.0),
            ("<reason>There is no blur, yes sir.</reason><answer>no</answer>", 1.0),  # small letters are plain words
            ("<reason>Nothing. Yesterday.</reason><answer>Yes</answer>", 1.0),  # parts of other words
            ("<reason>Yes, it is.</reason><answer>Yes</answer>", 0.0),  # the answer is given away
            ("<reason>No blur.</reason><answer>Yes</answer>", 0.0),
            ("<reason>a</reason><answer>maybe</answer>", 0.0),
            ("<reason>a</reason><answer></answer>", 0.0),
            ("<reason>a</reason><answer>Yes and No</answer>", 0.0),
            ("<answer>Yes</answer><reason>a</reason>", 0.0),  # the wrong way round
            ("<think>a</think><answer>Yes</answer>", 0.0),  # the other papers' tags
            ("<reason>a</reason>Yes", 0.0),
            ("<reason>a<answer>Yes</answer>", 0.0),
            ("Yes", 0.0),
            ("", 0.0),
        ],
    )
    def test_truth_table(self, text, expected):
        assert reason_format_reward([text]) == [expected]


class TestScore:
    @pytest.mark.parametrize(
        ("completion", "truth", "scale", "paper", "official"),
        [
            (answer(80), 80.0, HUNDRED, 1.0, 1.0),  # gold
            (answer(60), 80.0, HUNDRED, 0.8, 0.75),
            (answer(100), 80.0, HUNDRED, 0.8, 0.75),
            (answer(100), 0.0, HUNDRED, 0.0, 0.0),  # the far end
            (answer(100), 40.0, HUNDRED, 0.4, 0.0),  # relative error past 1 is clipped
            (answer(0), 0.0, HUNDRED, 1.0, 1.0),  # a truth of 0 divides by nothing
            (answer(3), 5.0, (1, 5), 0.5, 0.6),  # the paper variant is relative to the scale
            (answer(0.5), -0.5, (-1, 1), 0.5, 0.0),  # |g| for a negative truth
            (answer('{"rating": 60}'), 80.0, HUNDRED, 0.8, 0.75),
            (answer("good"), 80.0, HUNDRED, 0.0, 0.0),  # unreadable: nought, never a guess
            (answer(101), 80.0, HUNDRED, 0.0, 0.0),  # outside the scale is unreadable
            ("80", 80.0, HUNDRED, 0.0, 0.0),  # no tags
        ],
    )
    def test_truth_table(self, completion, truth, scale, paper, official):
        columns = {"target": [[truth]], "scale": [scale]}
        assert score_reward([completion], **columns) == pytest.approx([paper])
        assert score_reward([completion], **columns, variant="official") == pytest.approx([official])

    def test_unreadable_answer_earns_the_same_every_time(self):
        columns = {"target": [[80.0]] * 100, "scale": [HUNDRED] * 100}
        assert set(score_reward([answer("?")] * 100, **columns)) == {0.0}

    def test_bad_columns(self):
        with pytest.raises(ValueError, match="one target a row"):
            score_reward([answer(1)], target=[[1.0, 2.0]], scale=[HUNDRED])
        for truth in (101.0, float("nan")):
            with pytest.raises(ValueError, match="outside the answer scale"):
                score_reward([answer(1)], target=[[truth]], scale=[HUNDRED])
        with pytest.raises(ValueError, match="'paper', 'official'"):
            score_reward([answer(1)], target=[[1.0]], scale=[HUNDRED], variant="ours")
        with pytest.raises(ValueError):
            score_reward([answer(1)] * 2, target=[[1.0]], scale=[HUNDRED])


class TestMultiDim:
    columns = {"dimensions": [AXES], "target": [[50.0, 60.0, 70.0]], "scale": [HUNDRED]}  # noqa: RUF012

    @pytest.mark.parametrize(
        ("completion", "paper", "official"),
        [
            (axes(50, 60, 70), 1.0, 1.0),  # gold
            (axes(40, 60, 70), 0.9, 1 - 0.2 / 3),
            (axes(40, 54, 77), 0.77, 1 - 0.4 / 3),  # errors add up, whatever their sign
            (axes(100, 0, 0), 1 - 0.5 - 0.6 - 0.7, 0.0),  # the paper's sum can pass 1
            (answer('{"temporal": 60, "consistency": 70, "spatial": 50}'), 1.0, 1.0),  # any order
            (answer('"spatial": 50, "temporal": 60'), -2.0, 0.0),  # one missing: the least value
            (answer(50), -2.0, 0.0),
        ],
    )
    def test_truth_table(self, completion, paper, official):
        assert multi_dim_reward([completion], **self.columns) == pytest.approx([paper])
        assert multi_dim_reward([completion], **self.columns, variant="official") == pytest.approx([official])

    def test_unreadable_is_never_better_than_wrong(self):
        worst = {"dimensions": [AXES], "target": [[0.0, 0.0, 100.0]], "scale": [HUNDRED]}
        assert multi_dim_reward([axes(100, 100, 0)], **worst) == multi_dim_reward(["?"], **worst) == [-2.0]

    def test_weights(self):
        weights = {"spatial": 0.5, "temporal": 0.25, "consistency": 0.25}
        assert multi_dim_reward([axes(40, 40, 70)], **self.columns, dimension_weights=weights) == pytest.approx([0.9])
        light = dict.fromkeys(AXES, 0.1)
        assert multi_dim_reward(["?"], **self.columns, dimension_weights=light) == [0.0]  # never a bonus
        with pytest.raises(KeyError, match="spatial"):
            multi_dim_reward([axes(1, 2, 3)], **self.columns, dimension_weights={"temporal": 1.0})

    @pytest.mark.parametrize("variant", ["paper", "official"])
    def test_one_dimension_equals_score_reward(self, variant):
        completions = [answer(score) for score in (0, 12.5, 55, 80, 100, 101, "good")] + ["80"]
        columns = {"target": [[80.0]] * 8, "scale": [HUNDRED] * 8, "variant": variant}
        overall = multi_dim_reward(completions, dimensions=[["overall"]] * 8, **columns)
        assert overall == score_reward(completions, **columns)

    def test_one_dimension_by_its_name(self):
        columns = {"dimensions": [["overall"]], "target": [[80.0]], "scale": [HUNDRED]}
        assert multi_dim_reward([answer('{"overall": 60}')], **columns) == pytest.approx([0.8])
        assert multi_dim_reward([answer('{"spatial": 60}')], **columns) == [0.0]

    def test_bad_columns(self):
        for names, truth in (([], []), (AXES, [1.0])):
            with pytest.raises(ValueError, match="do not fit"):
                multi_dim_reward([axes(1, 2, 3)], dimensions=[names], target=[truth], scale=[HUNDRED])
        with pytest.raises(ValueError, match="'paper', 'official'"):
            multi_dim_reward([axes(1, 2, 3)], **self.columns, variant="Paper")


class TestTemporal:
    # Truth 80 on 0 to 100: a score is correct (above 0.9) strictly between 70 and 90.
    @pytest.mark.parametrize(
        ("ordered", "shuffled", "expected"),
        [
            ([80, 80, 80, 80], [80, 80, 80, 80], 0.3),  # 1 > 0.8
            ([80, 80, 80, 80, 20], [80, 80], 0.0),  # 0.8 > 0.8 * 1 fails: the bound is strict
            ([80, 80, 20, 20], [80, 20], 0.3),  # 0.5 > 0.4
            ([80, 20, 20, 20], [80, 20], 0.0),  # 0.25 > 0.4 fails
            ([80, 20], [20, 20], 0.3),  # 0.5 > 0: the wrong rollout gets it too
            ([20, 20], [20, 20], 0.0),  # 0 > 0 fails: nobody correct, no bonus
            ([71, 89], [20], 0.3),  # inside the bounds of "correct"
            ([60, 100], [20], 0.0),  # outside them
            ([20, "good"], [80], 0.0),  # an unreadable answer is not correct
        ],
    )
    def test_paper(self, ordered, shuffled, expected):
        assert temporal_reward(**one_group(ordered, shuffled)) == [expected] * len(ordered)

    def test_correct_above_is_strict(self):
        columns = one_group([100.0], [0.0], truth=50.0)  # accuracy exactly 0.5
        assert temporal_reward(**columns, correct_above=0.49) == [0.3]
        assert temporal_reward(**columns, correct_above=0.5) == [0.0]

    @pytest.mark.parametrize(
        ("ordered", "shuffled", "expected"),
        [
            ([80, 80], [80, 80], [0.3, 0.3]),
            ([80, 0], [20], [0.3, 0.0]),  # mean 0.5 >= 0.8 * 0.25; accuracy 0 gets none
            ([64, 64], [80], [0.3, 0.3]),  # 0.8 >= 0.8 * 1: the bound belongs to it
            ([63, 64], [80], [0.0, 0.0]),  # just under
            ([0, 0], [0], [0.0, 0.0]),  # 0 >= 0, but no accuracy above 0.1
            ([16, 4], [4], [0.3, 0.0]),  # accuracy 0.2 and 0.05
        ],
    )
    def test_official(self, ordered, shuffled, expected):
        columns = one_group(ordered, shuffled)
        assert temporal_reward(**columns, variant="official") == expected

    def test_parameters(self):
        columns = one_group([80, 20], [80, 80])  # 0.5 against 1
        assert temporal_reward(**columns) == [0.0, 0.0]
        assert temporal_reward(**columns, mu=0.4) == [0.3, 0.3]
        assert temporal_reward(**columns, mu=0.4, alpha=0.7) == [0.7, 0.7]
        assert temporal_reward(**columns, correct_above=0.1) == [0.3, 0.3]
        assert temporal_reward(**one_group([20, 80], [0]), correct_above=0.5, variant="official") == [0.0, 0.3]

    def test_any_accuracy_reward_will_do(self):
        def contains_80(completions, **_):
            return [float("80" in completion) for completion in completions]

        assert temporal_reward(**one_group([80, 20], [80, 20, 20, 20]), accuracy=contains_80) == [0.3, 0.3]

    def test_contrast_set_is_the_union_over_the_rows(self):
        columns = one_group([80, 80, 20, 20], [])
        columns["contrast_completions"] = [[answer(80)], [], [], [answer(80), answer(80)]]  # w_rand = 1 > 0.5 / 0.8
        assert temporal_reward(**columns) == [0.0] * 4
        columns["contrast_completions"] = [[answer(80)], [], [], [answer(20), answer(20)]]  # w_rand = 1/3
        assert temporal_reward(**columns) == [0.3] * 4

    def test_missing_contrast_is_a_bug(self):
        with pytest.raises(ValueError, match="group 7 has no contrast completions"):
            temporal_reward(**one_group([80, 80], []))

    @pytest.mark.parametrize("variant", ["paper", "official"])
    def test_images_get_no_bonus_and_need_no_contrast(self, variant):
        assert temporal_reward(**one_group([80, 80], [], kind="image"), variant=variant) == [0.0, 0.0]

    def test_groups_do_not_touch_each_other(self):
        video, hopeless, image = one_group([80, 80], [20]), one_group([20, 20], [80]), one_group([80], [], "image")
        columns = {name: video[name] + hopeless[name] + image[name] for name in video}
        columns["group"] = [3, 3, 1, 1, 2]
        expected = [0.3, 0.3, 0.0, 0.0, 0.0]
        assert temporal_reward(**columns) == expected
        order = list(range(5))
        for seed in range(10):
            random.Random(seed).shuffle(order)
            shuffled = {name: [values[row] for row in order] for name, values in columns.items()}
            assert temporal_reward(**shuffled) == [expected[row] for row in order]

    def test_unknown_variant(self):
        with pytest.raises(ValueError, match="'paper', 'official'"):
            temporal_reward(**one_group([80], [80]), variant="t-grpo")


class TestLength:
    @pytest.mark.parametrize(
        ("length", "paper", "official"),
        [
            (319, 0.0, 0.0),
            (320, 0.0, 0.2),
            (321, 0.1, 0.2),
            (511, 0.1, 0.2),
            (512, 0.0, 0.2),
            (513, 0.0, 0.0),
            (0, 0.0, 0.0),
        ],
    )
    def test_bounds(self, length, paper, official):
        columns = {**one_group([80, 80], []), "completion_ids": [[1] * length] * 2}
        assert length_reward(**columns) == [paper] * 2
        assert length_reward(**columns, variant="official") == [official] * 2

    @pytest.mark.parametrize(
        ("scores", "expected"),
        [
            ([80, 80, 80], [0.2, 0.2, 0.2]),
            ([80, 20, 4], [0.2, 0.2, 0.0]),  # accuracy 0.05 gets none
            ([80, 4, 4], [0.0, 0.0, 0.0]),  # a single one above 0.1 gets none either
            ([80, "good", 80], [0.2, 0.0, 0.2]),
        ],
    )
    def test_official_needs_two_fair_answers(self, scores, expected):
        columns = {**one_group(scores, []), "completion_ids": [[1] * 400] * 3}
        assert length_reward(**columns, variant="official") == expected
        assert length_reward(**columns) == [0.1] * 3  # the paper's does not look at the answer

    def test_official_counts_within_the_group(self):
        columns = {**one_group([80, 80, 80], []), "completion_ids": [[1] * 400] * 3, "group": [1, 2, 1]}
        assert length_reward(**columns, variant="official") == [0.2, 0.0, 0.2]

    def test_parameters(self):
        ids = [[1] * 5, [1] * 9]
        assert length_reward(["a", "b"], ids, gamma=0.5, low=4, high=8) == [0.5, 0.0]
        columns = {**one_group([80, 80], []), "completion_ids": ids}
        assert length_reward(**columns, gamma=0.5, low=5, high=8, variant="official") == [0.5, 0.0]

    def test_unknown_variant(self):
        with pytest.raises(ValueError, match="'paper', 'official'"):
            length_reward(["a"], [[1]], variant=None)


class TestChoice:
    @pytest.mark.parametrize(
        ("content", "right", "expected"),
        [
            ("Video A", "Video A", 1.0),
            ("video a.", "Video A", 1.0),
            ("A", "Video A", 1.0),
            ("Video B", "Video A", 0.0),
            ("tie", "Video A", 0.0),
            ("Video A or Video B", "Video A", 0.0),
            ("", "Video A", 0.0),
        ],
    )
    def test_truth_table(self, content, right, expected):
        columns = {"choice": [right], "choices": [["Video A", "Video B"]]}
        assert choice_reward([answer(content)], **columns) == [expected]
        assert choice_reward([content], **columns) == [0.0]  # no tags

    def test_yes_and_no(self):
        columns = {"choice": ["Yes", "No"], "choices": [["Yes", "No"]] * 2}
        assert choice_reward([answer("yes"), answer("yes")], **columns) == [1.0, 0.0]

    def test_the_right_one_has_to_be_possible(self):
        with pytest.raises(ValueError, match="'tie' is not among the choices"):
            choice_reward([answer("A")], choice=["tie"], choices=[["A", "B"]])

    def test_as_accuracy_of_the_temporal_and_length_rewards(self):
        columns = {
            "completions": [answer("A"), answer("B")],
            "contrast_completions": [[answer("B")], [answer("B")]],
            "group": [0, 0],
            "kind": ["video"] * 2,
            "choice": ["A"] * 2,
            "choices": [["A", "B"]] * 2,
            "completion_ids": [[1] * 400] * 2,
            "accuracy": choice_reward,
        }
        assert temporal_reward(**columns) == [0.3, 0.3]  # 0.5 > 0.8 * 0
        assert temporal_reward(**columns, variant="official") == [0.3, 0.0]
        assert length_reward(**columns, variant="official") == [0.0, 0.0]  # a single right one
        columns["completions"] = [answer("A")] * 2
        assert length_reward(**columns, variant="official") == [0.2, 0.2]


@pytest.mark.parametrize("variant", ["paper", "official"])
@pytest.mark.parametrize("name", [name for name in REWARDS if name not in ("choice", "reason_format")])
def test_one_signature_row_order_and_gold(name, variant):
    """Every reward takes the same columns, moves with its rows, and gives gold answers the most."""
    scores = [80, 20, "good", 79, 4, 80, 55, 100]
    columns = {**one_group(scores, [20, 30, 80, 20]), "completion_ids": [[1] * length for length in range(316, 324)]}
    columns["group"] = [1, 1, 2, 2, 1, 2, 1, 2]
    columns["target"] = [[80.0] if number == 1 else [70.0] for number in columns["group"]]
    columns["contrast_completions"] = [[answer(20)]] * 8
    columns["prompts"] = ["rate it"] * 8  # TRL passes what nobody asked for, too
    columns["choice"], columns["choices"] = [None] * 8, [None] * 8
    values = REWARDS[name](**columns, variant=variant)
    assert len(values) == 8

    order = [5, 2, 7, 0, 3, 6, 1, 4]
    moved = {column: [cells[row] for row in order] for column, cells in columns.items()}
    assert REWARDS[name](**moved, variant=variant) == pytest.approx([values[row] for row in order])

    gold = {**columns, "completions": [answer(truth) for (truth,) in columns["target"]]}
    best = REWARDS[name](**{**gold, "completion_ids": [[1] * 400] * 8}, variant=variant)
    assert all(least <= most for least, most in zip(values, best, strict=True))
    assert len(set(best)) == 1


def test_choices_move_with_their_rows_too():
    texts = ["<reason>a</reason><answer>Yes</answer>", "<reason>a</reason><answer>No</answer>", "Yes"]
    columns = {"choice": ["Yes", "Yes", "No"], "choices": [["Yes", "No"]] * 3}
    assert choice_reward(texts, **columns) == [1.0, 0.0, 0.0]
    assert reason_format_reward(texts, **columns) == [1.0, 1.0, 0.0]
    turned = {name: cells[::-1] for name, cells in columns.items()}
    assert choice_reward(texts[::-1], **turned) == [0.0, 0.0, 1.0]
    assert reason_format_reward(texts[::-1], **turned) == [0.0, 1.0, 1.0]
