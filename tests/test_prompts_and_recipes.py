import re
from dataclasses import replace

import numpy as np
import pytest

from vqa_lib.answers import parse_choice, parse_dimensions, parse_score
from vqa_lib.models.starter import response
from vqa_lib.perturb import DAMAGES, ORDERS, damage, reorder
from vqa_lib.prompts import PROMPTS
from vqa_lib.recipes import RECIPES, Recipe
from vqa_lib.rewards import REWARDS

# A model trained on one wording is not compared with a model trained on another: a change here is a change of method.
TEXTS = {
    "vq_insight/image": (
        "Rate the quality of the image from 0 to 100. "
        "Reason in <think> </think>, then give the score in <answer> </answer>."
    ),
    "vq_insight/natural": (
        "Rate the quality of the video from 0 to 100. "
        "Reason in <think> </think>, then give the score in <answer> </answer>."
    ),
    "vq_insight/multi_dim": (
        'The video was generated from the text "{text}". '
        "Rate its spatial quality, its temporal quality and its consistency with the text, each from 0 to 100. "
        "Reason in <think> </think>, then give the three scores in <answer> </answer>, such as "
        '<answer>{"spatial": 40.48, "temporal": 32.63, "consistency": 56.33}</answer>.'
    ),
    "vq_insight/preference": (
        'Both videos were generated from the text "{text}". Which one is better, the first, Video A, or the second, '
        "Video B? Consider visual quality, temporal consistency, dynamic degree and authenticity. "
        "Reason in <think> </think>, then choose in <answer> </answer>, such as <answer>Video A</answer>."
    ),
    "vq_insight/yes_no": "{question} Reason in <think> </think>, then answer Yes or No in <answer> </answer>.",
    "vq_insight/natural_answer": (
        "Rate the quality of the video from 0 to 100. "
        "Give only the score, in <answer> </answer>, such as <answer>63.20</answer>."
    ),
    "vq_insight/multi_dim_answer": (
        'The video was generated from the text "{text}". '
        "Rate its spatial quality, its temporal quality and its consistency with the text, each from 0 to 100. "
        "Give only the three scores, in <answer> </answer>, such as "
        '<answer>{"spatial": 40.48, "temporal": 32.63, "consistency": 56.33}</answer>.'
    ),
    "vq_insight/preference_answer": (
        'Both videos were generated from the text "{text}". Which one is better, the first, Video A, or the second, '
        "Video B? Consider visual quality, temporal consistency, dynamic degree and authenticity. "
        "Give only the choice, in <answer> </answer>, such as <answer>Video A</answer>."
    ),
    "vq_insight/yes_no_answer": "{question} Answer only Yes or No, in <answer> </answer>.",
    "vq_insight/official_natural": (
        "What is your overall rating on the quality of this video? The rating should be a score from 0 to 100, "
        "rounded to two decimal places. First output the thinking process in <think> </think> tags and then output "
        "the final answer in <answer> </answer> tags."
    ),
    "vq_insight/official_multi_dim": (
        'The video was generated from the text "{text}". Rate its spatial quality, its temporal quality and its '
        "consistency with the text. Each score should be a float from 0 to 100, rounded to two decimal places. "
        "First output the thinking process in <think> </think> tags and then output the final answer in "
        "<answer> </answer> tags, in JSON format with three scores, such as "
        '<answer>{"spatial": 40.48, "temporal": 32.63, "consistency": 56.33}</answer>.'
    ),
    "vq_insight/official_comparison": (
        'The first video is Video A and the second is Video B; both were generated from the text "{text}". Compare '
        "their visual quality, temporal consistency, dynamic degree and video authenticity. Which video is better, "
        "'Video A' or 'Video B'? First output the thinking process in <think> </think> tags and then output the final "
        "answer in <answer> </answer> tags."
    ),
    "q_insight/official_score": (
        "What is your overall rating on the quality of this picture? The rating should be a float from 1 to 5, "
        "rounded to two decimal places, with 1 for very poor and 5 for excellent quality. First output the thinking "
        "process in <think> </think> tags and then output the final answer in <answer> </answer> tags, in JSON "
        'format with the key "rating", such as <answer>{"rating": 3.42}</answer>.'
    ),
    "vqathinker": (
        "Rate the quality of the video from 1 to 5, with two decimals. "
        "Reason in <think> </think>, then give the score in <answer> </answer>, such as <answer>3.27</answer>."
    ),
    "vqathinker/no_reasoning": (
        "Rate the quality of the video from 1 to 5, with two decimals. "
        "Give only the score, in <answer> </answer>, such as <answer>3.27</answer>."
    ),
    "vqathinker/yes_no": "{question} Reason in <think> </think>, then answer Yes or No in <answer> </answer>.",
    "vqathinker/choice": (
        "{question}\n{options}\nReason in <think> </think>, then give the letter of the best answer in "
        "<answer> </answer>, such as <answer>A</answer>."
    ),
    "finger": (
        "{question} Reason in <reason> </reason>, then answer Yes or No in <answer> </answer>. "
        "The words Yes and No may stand in the answer only."
    ),
    "finger/answer": "{question} Answer Yes or No.",
    "finger/overall_level": (
        'The video was generated from the text "{text}". Rate it as a whole from 1 to 4: 1 is bad, flawed throughout, '
        "2 is poor, with clear flaws, 3 is good, with slight flaws, 4 is without flaws. Consider visual quality, "
        "temporal consistency, dynamic degree, alignment with the text and factual consistency. "
        "Give only the rating, in <answer> </answer>, such as <answer>3</answer>."
    ),
    "finger/dimension_level": (
        'The video was generated from the text "{text}". Rate each of five dimensions from 1 to 4: 1 is bad, flawed '
        "throughout, 2 is poor, with clear flaws, 3 is good, with slight flaws, 4 is without flaws. Give only the "
        'ratings, in <answer> </answer>, such as <answer>{"visual quality": 2, "temporal consistency": 3, '
        '"dynamic degree": 4, "text-to-video alignment": 1, "factual consistency": 3}</answer>.'
    ),
    "q_insight": (
        "Rate the quality of the video from 1 to 5, with two decimals. "
        "Reason in <think> </think>, then give the score as JSON in <answer> </answer>, such as "
        '<answer>{"rating": 3.42}</answer>.'
    ),
    "visualquality_r1": (
        "Rate the quality of the video from 1 to 5, with two decimals. "
        "Reason in <think> </think>, then give the score in <answer> </answer>, such as <answer>2.75</answer>."
    ),
}

TWO = Recipe(prompt="vq_insight/natural", rewards={"format": {}, "temporal": {"alpha": 0.5}}, contrast="shuffle")


def columns(target: float, kind: str = "video", size: int = 1) -> dict:
    return {
        "target": [[target]] * size,
        "dimensions": [["overall"]] * size,
        "scale": [(0, 100)] * size,
        "kind": [kind] * size,
        "group": [0] * size,
    }


class TestPrompts:
    @pytest.mark.parametrize("name", sorted(PROMPTS))
    def test_word_for_word(self, name):
        assert PROMPTS[name].text == TEXTS[name]

    @pytest.mark.parametrize("name", sorted(PROMPTS))
    def test_the_form_of_the_answer_is_the_one_that_the_text_states(self, name):
        prompt = PROMPTS[name]
        assert (prompt.scale is None) == bool(prompt.choices)
        if prompt.scale:
            assert f"from {prompt.scale.low:g} to {prompt.scale.high:g}" in prompt.text
            assert all(f'"{dimension}"' in prompt.text for dimension in prompt.dimensions)
        assert "{options}" in prompt.text or all(choice in prompt.text for choice in prompt.choices)
        assert prompt.key is None or f'"{prompt.key}"' in prompt.text

    @pytest.mark.parametrize("name", sorted(PROMPTS))
    def test_the_example_that_the_text_shows_can_be_read(self, name):
        prompt = PROMPTS[name]
        for example in re.findall(r"<answer>[^ ].*?</answer>", prompt.text):
            if prompt.choices:
                assert parse_choice(example, prompt.choices) is not None
            elif prompt.dimensions:
                assert parse_dimensions(example, prompt.dimensions, prompt.scale) is not None
            else:
                assert parse_score(example, prompt.scale) is not None

    def test_words_are_filled_in(self):
        filled = PROMPTS["vq_insight/multi_dim"].fill(text="a {question} about a cat")
        assert 'the text "a {question} about a cat"' in filled.text
        assert '{"spatial": 40.48' in filled.text  # other braces stay
        assert replace(filled, text=PROMPTS["vq_insight/multi_dim"].text) == PROMPTS["vq_insight/multi_dim"]
        with pytest.raises(ValueError, match=r"no \{question\}"):
            PROMPTS["vqathinker"].fill(question="why")

    def test_none_was_dropped(self):
        assert set(TEXTS) == set(PROMPTS)


MOST = {
    "format": 1.0,
    "reason_format": 1.0,
    "score": 1.0,
    "multi_dim": 1.0,
    "threshold": 1.0,
    "choice": 1.0,
    "bell": 0.8,
    "ranking": 1.001,
    "temporal": 0.3,
    "consistency": 0.6,
    "length": 0.1,
}
TRAINED = [name for name, recipe in RECIPES.items() if recipe.rewards]


def respond(recipe: Recipe, answer: str) -> str:
    """A response in the form that the recipe's prompt asks for."""
    tag = re.search("<(think|reason)>", recipe.answer.text)
    reasoning = f"<{tag[1]}>sharp</{tag[1]}>" if tag else ""
    return f"{reasoning}<answer>{answer}</answer>"


def gold_and_wrong(recipe: Recipe) -> list[tuple[str, str, dict]]:
    """For two clips: the right response, a wrong one, and the truth."""
    prompt = recipe.answer
    if prompt.choices:
        first, second = prompt.choices
        truth = {"choices": list(prompt.choices)}
        return [
            (respond(recipe, first), respond(recipe, second), {**truth, "choice": first}),
            (respond(recipe, second), respond(recipe, first), {**truth, "choice": second}),
        ]
    low, high = prompt.scale.low, prompt.scale.high
    names = prompt.dimensions or ("overall",)
    found = []
    for share, other in ((0.8125, 0.0), (0.1875, 1.0)):
        right, wrong = (low + part * (high - low) for part in (share, other))
        texts = [
            respond(
                recipe, ", ".join(f'"{name}": {value:.4f}' for name in names) if prompt.dimensions else f"{value:.4f}"
            )
            for value in (right, wrong)
        ]
        truth = {"target": [right] * len(names), "dimensions": list(names), "scale": (low, high)}
        found.append((*texts, truth))
    return found


def totals(recipe: Recipe, clips, texts: list[str], contrast: list[str]) -> dict[str, list[float]]:
    """What each reward gives to two rollouts a clip."""
    rows = [
        {**truth, "kind": "video", "group": number, "completion_ids": [1] * 400}
        for number, (_, _, truth) in enumerate(clips)
        for _ in range(2)
    ]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    columns |= {"completions": texts, "contrast_completions": [[text] for text in contrast]}
    return {name: REWARDS[name](**columns, **settings) for name, settings in recipe.rewards.items()}


class TestRecipes:
    @pytest.mark.parametrize("name", sorted(RECIPES))
    def test_what_it_names_exists(self, name):
        recipe = RECIPES[name]
        assert recipe.prompt in PROMPTS
        assert recipe.rewards.keys() <= REWARDS.keys()
        assert recipe.contrast is None or recipe.contrast in ORDERS
        needs_contrast = bool({"temporal", "consistency"} & recipe.rewards.keys())
        assert (recipe.contrast is not None) == needs_contrast  # who needs the contrast has one
        assert recipe.start is None or recipe.start in RECIPES
        assert recipe.sampling.keys() <= {"group", "temperature", "top_p", "top_k", "max_completion"}

    def test_the_two_stages_of_vq_insight(self):
        image, natural = RECIPES["vq_insight/image"], RECIPES["vq_insight/natural"]
        assert (image.rewards, image.contrast) == ({"format": {}, "score": {}}, None)
        assert natural.rewards == {"format": {}, "multi_dim": {}, "temporal": {}, "length": {}}
        assert list(natural.rewards) == ["format", "multi_dim", "temporal", "length"]
        assert natural.contrast == "shuffle"

    @pytest.mark.parametrize(
        ("name", "rewards", "start", "motion"),
        [
            ("vq_insight/table4_a", ["format", "multi_dim", "temporal", "length"], None, False),
            ("vq_insight/table4_b", ["format", "multi_dim", "length"], "vq_insight/image", False),
            ("vq_insight/table4_c", ["format", "multi_dim", "temporal"], "vq_insight/image", False),
            ("vq_insight/multi_dim", ["format", "multi_dim", "temporal", "length"], "vq_insight/image", False),
            ("vq_insight/table5_e", ["format", "choice", "temporal"], "vq_insight/table5_e_stage2", False),
            ("vq_insight/table5_f", ["format", "choice", "temporal", "length"], "vq_insight/image", False),
            ("vq_insight/united", ["format", "choice", "temporal", "length"], "vq_insight/preference", False),
            ("vqathinker/ranking", ["format", "ranking"], None, True),
            ("vqathinker/regression", ["format", "bell"], None, True),
            ("vqathinker/no_consistency", ["format", "bell", "ranking"], None, True),
            ("vqathinker/no_motion", ["format", "bell", "ranking"], None, False),
            ("vqathinker/no_reasoning", ["format", "bell", "ranking", "consistency"], None, True),
            ("vqathinker", ["format", "bell", "ranking", "consistency"], None, True),
            ("finger/zero", ["reason_format", "choice"], None, False),
            ("finger", ["reason_format", "choice"], "finger/sft_reason", False),
        ],
    )
    def test_rows_of_the_ablation_tables(self, name, rewards, start, motion):
        recipe = RECIPES[name]
        assert (list(recipe.rewards), recipe.start, recipe.motion) == (rewards, start, motion)

    @pytest.mark.parametrize("name", TRAINED)
    def test_gold_answers_earn_the_most_there_is(self, name):
        recipe = RECIPES[name]
        clips = gold_and_wrong(recipe)
        gold = [right for right, _, _ in clips for _ in range(2)]
        wrong = [other for _, other, _ in clips for _ in range(2)]
        best = totals(recipe, clips, gold, contrast=wrong)
        for reward, values in best.items():
            assert values == pytest.approx([MOST[reward]] * 4, abs=1e-5), reward
        for row in range(4):
            for bad in (wrong[row], "no tags", respond(recipe, "?"), gold[row].replace("<answer>", "")):
                texts = [*gold[:row], bad, *gold[row + 1 :]]
                got = totals(recipe, clips, texts, contrast=wrong)
                assert sum(values[row] for values in got.values()) < sum(MOST[reward] for reward in recipe.rewards)

    @pytest.mark.parametrize("target", [0.0, 37.25, 100.0])
    def test_the_starters_response_is_gold(self, target):
        for name in ("vq_insight/image", "vq_insight/natural"):
            recipe = RECIPES[name]
            gold, wrong = response("x", target), response("x", 100 - target if target != 50 else 0)
            assert gold == f"<think> x </think> <answer> {target:.2f} </answer>"
            (accuracy,) = {"score", "multi_dim"} & recipe.rewards.keys()
            for reward in ("format", accuracy):
                assert REWARDS[reward]([gold], **columns(target), **recipe.rewards[reward]) == [1.0]
            assert REWARDS[accuracy]([wrong], **columns(target), **recipe.rewards[accuracy])[0] < 1.0

    @pytest.mark.parametrize("name", [name for name in TRAINED if RECIPES[name].contrast])
    def test_order_pays_only_where_it_helps(self, name):
        recipe = RECIPES[name]
        clips = gold_and_wrong(recipe)
        gold = [right for right, _, _ in clips for _ in range(2)]
        wrong = [other for _, other, _ in clips for _ in range(2)]
        (reward,) = {"temporal", "consistency"} & recipe.rewards.keys()
        assert totals(recipe, clips, gold, contrast=wrong)[reward] == pytest.approx([MOST[reward]] * 4)
        assert totals(recipe, clips, wrong, contrast=gold)[reward] == [0.0] * 4


class TestDamage:
    @pytest.mark.parametrize("mode", DAMAGES)
    @pytest.mark.parametrize("count", [2, 3, 6, 12])
    def test_frames_come_from_the_clip(self, mode, count):
        for seed in range(50):
            order = mode(count, np.random.default_rng(seed))
            assert set(order) <= set(range(count))
            gone = count - len(order)
            assert 1 <= gone <= min(3, count - 1) if mode.__name__ == "drop" else gone == 0

    def test_each_mode_as_the_paper_has_it(self):
        orders = {mode.__name__: mode(10, np.random.default_rng(1)) for mode in DAMAGES}
        assert sorted(orders["shuffle"]) == list(range(10))
        local = orders["local_shuffle"]
        assert (sorted(local[:4]), sorted(local[4:8]), list(local[8:])) == ([0, 1, 2, 3], [4, 5, 6, 7], [8, 9])
        assert list(orders["reverse"]) == list(range(9, -1, -1))
        assert abs(orders["jitter"] - np.arange(10)).max() == 1
        assert max(np.bincount(orders["duplicate"])) in (2, 3, 4)
        assert (np.diff(orders["drop"]) > 0).all()

    def test_always_changes_the_clip_and_uses_every_mode(self, make_frames):
        draws = [damage(6, np.random.default_rng(seed)) for seed in range(200)]
        assert not any(np.array_equal(order, np.arange(6)) for order in draws)
        assert len({len(order) for order in draws}) == 4  # whole, and 1 to 3 frames gone
        frames = make_frames(6)
        shorter = reorder(frames, next(order for order in draws if len(order) == 4))
        assert len(shorter.pixels) == len(shorter.indices) == len(shorter.seconds) == 4
        assert np.array_equal(damage(2, np.random.default_rng(0)), damage(2, np.random.default_rng(0)))
        with pytest.raises(ValueError, match="at least 2 frames"):
            damage(1, np.random.default_rng(0))


class TestChanges:
    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            ({}, {"format": {}, "temporal": {"alpha": 0.5}}),
            ({"format": {"a": 1}}, {"format": {"a": 1}, "temporal": {"alpha": 0.5}}),  # added
            ({"temporal": {"alpha": 0.1}}, {"format": {}, "temporal": {"alpha": 0.1}}),  # replaced
            ({"temporal": {"mu": 1}}, {"format": {}, "temporal": {"alpha": 0.5, "mu": 1}}),  # the others stay
        ],
    )
    def test_adjust(self, settings, expected):
        adjusted = TWO.adjust(**settings)
        assert adjusted.rewards == expected
        assert list(adjusted.rewards) == list(TWO.rewards)
        assert (adjusted.prompt, adjusted.contrast) == (TWO.prompt, TWO.contrast)

    @pytest.mark.parametrize(
        ("names", "rewards", "contrast"),
        [
            ([], ["format", "temporal"], "shuffle"),
            (["format"], ["temporal"], "shuffle"),
            (["temporal"], ["format"], None),  # nobody is left to look at the contrast group: it is not sampled
            (["format", "temporal"], [], None),
        ],
    )
    def test_without(self, names, rewards, contrast):
        ablated = TWO.without(*names)
        assert (list(ablated.rewards), ablated.contrast) == (rewards, contrast)

    @pytest.mark.parametrize("change", [lambda: TWO.adjust(lenght={}), lambda: TWO.without("lenght")])
    def test_a_reward_that_is_not_there_is_an_error(self, change):
        with pytest.raises(ValueError, match=r"the recipe has the rewards \['format', 'temporal'\], not \['lenght'\]"):
            change()

    def test_the_recipe_itself_never_changes(self):
        TWO.adjust(temporal={"alpha": 9}).without("format")
        assert TWO.rewards == {"format": {}, "temporal": {"alpha": 0.5}}
