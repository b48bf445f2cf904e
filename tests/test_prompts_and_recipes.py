import pytest

from vqa_lib.models.starter import response
from vqa_lib.perturb import ORDERS
from vqa_lib.prompts import PROMPTS
from vqa_lib.recipes import RECIPES, Recipe
from vqa_lib.records import Scale
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
    def test_the_scale_is_the_one_that_the_text_states(self, name):
        scale = PROMPTS[name].scale
        assert f"from {scale.low:g} to {scale.high:g}" in PROMPTS[name].text
        assert scale == Scale(0, 100)

    def test_none_was_dropped(self):
        assert set(TEXTS) == set(PROMPTS)


class TestRecipes:
    @pytest.mark.parametrize("name", sorted(RECIPES))
    def test_prompt_rewards_and_contrast_exist(self, name):
        recipe = RECIPES[name]
        assert recipe.prompt in PROMPTS
        assert recipe.rewards.keys() <= REWARDS.keys()
        assert recipe.contrast is None or recipe.contrast in ORDERS
        assert (recipe.contrast is not None) == ("temporal" in recipe.rewards)  # who needs the contrast has one

    def test_the_two_stages_of_vq_insight(self):
        image, natural = RECIPES["vq_insight/image"], RECIPES["vq_insight/natural"]
        assert (list(image.rewards), image.contrast) == (["format", "score"], None)
        assert (list(natural.rewards), natural.contrast) == (["format", "multi_dim", "temporal", "length"], "shuffle")

    @pytest.mark.parametrize("name", sorted(RECIPES))
    @pytest.mark.parametrize("target", [0.0, 37.25, 100.0])
    def test_a_gold_answer_earns_the_most_an_answer_can(self, name, target):
        recipe = RECIPES[name]
        gold, wrong = response("x", target), response("x", 100 - target if target != 50 else 0)
        assert gold == f"<think> x </think> <answer> {target:.2f} </answer>"
        (accuracy,) = {"score", "multi_dim"} & recipe.rewards.keys()
        for reward in ("format", accuracy):
            settings = recipe.rewards[reward]
            assert REWARDS[reward]([gold], **columns(target), **settings) == [1.0]
        assert REWARDS[accuracy]([wrong], **columns(target), **recipe.rewards[accuracy])[0] < 1.0

    @pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if recipe.contrast])
    def test_order_pays_only_where_it_helps(self, name):
        temporal = {**RECIPES[name].rewards["temporal"]}
        gold, wrong = response("x", 80), response("x", 10)
        shuffled_wrong = REWARDS["temporal"]([gold], [[wrong, wrong]], **columns(80.0), **temporal)
        shuffled_right = REWARDS["temporal"]([wrong], [[gold, gold]], **columns(80.0), **temporal)
        assert shuffled_wrong[0] > shuffled_right[0] == 0.0


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
