"""What the starter learns of generated clips: true descriptions, judgement spoilt as told, what its eyes report."""

import re
from pathlib import Path

import numpy as np
import pytest

from vqa_lib.answers import parse_choice, parse_dimensions, reasoning_text
from vqa_lib.miniature import write_miniature
from vqa_lib.miniature.generated_clips import TIE, GeneratedClip
from vqa_lib.miniature.generated_prompts import WorldPrompt
from vqa_lib.miniature.visionreward import CHECKLIST, checklist_answers
from vqa_lib.models import starter_world
from vqa_lib.models.loading import load_model
from vqa_lib.models.starter import tokenizer_texts
from vqa_lib.models.starter_world import WorldClip, judge_pairs, judge_questions, judge_scores, noticed, sight
from vqa_lib.models.tiny import build_tokenizer
from vqa_lib.prompts import PROMPTS
from vqa_lib.records import Scale
from vqa_lib.video import FramePolicy

ASKED = WorldPrompt("circle", "red", "left", "bricks", "; no sound")
DIMENSIONS = ["spatial", "temporal", "consistency"]


def clip(strengths=None, faults=None, speed=0.8, **shown):
    shown = {"shape": "circle", "colour": "red", "direction": "left", "background": "bricks", **shown}
    truth = GeneratedClip(b"", (1,), ASKED, "oak", shown, speed, strengths or {}, faults or {})
    scores = {"spatial": 12.0, "temporal": 34.0, "alignment": 56.0}
    return WorldClip(Path("a.mp4"), truth, scores)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    write_miniature(folder, scale=1, seed=1, workers=1, names=["lgvq"])
    return starter_world.world_clips(folder)


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (clip(), "a red circle that moves far left over bricks, clean"),
        (clip(speed=0.4), "a red circle that moves slowly left over bricks, clean"),
        (clip(speed=0.05), "a red circle that stands still, not left, over bricks, clean"),
        (
            clip(shape="square", background="stars"),
            "a red square, not circle, that moves far left over stars, not bricks, clean",
        ),
        (
            clip({"blur": 0.9}, {"flicker": 0.4}, colour="blue", direction="up"),
            "a blue, not red, circle that moves far up, not left, over bricks, with strong blur and moderate flicker",
        ),
    ],
)
def test_sight(made, text):
    assert sight(made.truth) == text


def test_without_the_text_nothing_is_said_of_it():
    assert "not" not in sight(clip(colour="blue").truth, asked=False)


def test_what_is_overlooked_changes_the_qualities_and_nothing_else():
    made = clip({"blur": 1.0, "jitter": 1.0}, {"colour change": 1.0}, colour="blue").truth
    seen = noticed(made, ("blur", "colour change", "colour")).qualities
    assert seen["visual quality"] == 1.0
    assert seen["temporal consistency"] == 0.5  # jitter is noticed
    assert seen["alignment"] == pytest.approx(1.0)
    assert made.qualities["alignment"] == pytest.approx(0.75)
    assert noticed(made, ("blur", "jitter", "colour change", "colour")).qualities["overall"] == pytest.approx(1.0)
    with pytest.raises(ValueError, match=r"\['wobble'\] are neither flaws nor parts"):
        noticed(made, ("wobble",))


def test_scores_are_true_or_spoilt():
    made = [clip({"blur": 1.0})]
    random = np.random.default_rng(0)

    def scores(**options):
        return parse_dimensions(judge_scores(made, **options)(0, random), DIMENSIONS, Scale(0, 100))

    assert scores() == {"spatial": 12.0, "temporal": 34.0, "consistency": 56.0}  # what people said
    assert scores(overlooked=("noise",)) == {"spatial": 25.0, "temporal": 100.0, "consistency": 100.0}
    assert scores(overlooked=("blur",))["spatial"] == 100.0
    assert len({scores(random_share=1.0)["spatial"] for _ in range(5)}) > 1


def test_choices_are_true_or_spoilt():
    pair = (clip({"blur": 1.0}), clip({"jitter": 0.4}))
    choices = PROMPTS["vq_insight/preference"].choices
    random = np.random.default_rng(0)

    def choose(**options):
        return parse_choice(judge_pairs([pair], **options)(0, random), choices)

    assert choose() == "Video B"
    assert choose(overlooked=("blur",)) == "Video A"
    assert {choose(overlooked=("blur", "jitter")) for _ in range(20)} == set(choices)  # nothing tells them apart
    assert {choose(random_share=1.0) for _ in range(20)} == set(choices)


def test_the_better_mark_is_chosen():
    pair = (clip({"blur": 1.0}), clip({"jitter": 0.4}))
    random = np.random.default_rng(0)
    for share in (0.0, 1.0):
        for _ in range(20):
            text = judge_pairs([pair], random_share=share)(0, random)
            first, second = (int(mark) for mark in re.findall(r"worth (\d+)\.", text))
            if first != second:
                choices = PROMPTS["vq_insight/preference"].choices
                assert parse_choice(text, choices) == choices[first < second]


@pytest.mark.parametrize("number", range(len(CHECKLIST)))
def test_questions_are_answered_rightly(number):
    made = clip({"blur": 1.0}, speed=0.05)
    text = judge_questions([(made, number)])(0, np.random.default_rng(0))
    assert (parse_choice(text, ("Yes", "No")) == "Yes") == checklist_answers(made.truth)[number]
    assert ("not" in reasoning_text(text)) == ("[[prompt]]" in CHECKLIST[number])


def test_a_world_is_read_with_its_truth(world):
    assert len(world) == 36
    for each in world:
        assert each.path.is_file() and set(each.scores) == {"spatial", "temporal", "alignment"}
        assert each.path.stem == each.truth.prompt.text
        assert abs(each.scores["alignment"] / 100 - each.truth.qualities["alignment"]) < 0.2  # people are noisy


def test_pairs_have_one_text_and_one_better_clip(world):
    pairs = starter_world.draw_world_pairs(world, 30)
    assert len(pairs) == 30
    for first, second in pairs:
        assert first.truth.prompt == second.truth.prompt and first.path != second.path
        assert abs(first.truth.qualities["overall"] - second.truth.qualities["overall"]) >= TIE
    assert pairs == starter_world.draw_world_pairs(world, 30)


def test_half_of_the_questions_are_answered_yes(world):
    questions = starter_world.draw_questions(world, 40)
    answers = [checklist_answers(each.truth)[number] for each, number in questions]
    assert (len(answers), sum(answers)) == (40, 20)


def test_targets_of_the_eyes(world):
    strengths, kinds = starter_world.sight_targets([{"blur": 0.5}], world)
    assert strengths.shape == (37, 14)
    assert strengths[0, 10] == 0 and np.isnan(strengths[0, 11:]).all()  # natural: no flicker, the rest unknown
    assert np.isfinite(strengths[1:]).all()
    assert all(numbers[0] == -1 for numbers in kinds.values())
    still = np.array([each.truth.speed <= 0.1 for each in world])
    assert ((kinds["direction"][1:] == -1) == still).all()
    assert (kinds["colour"][1:] >= 0).all()


def test_mixed_tasks_answer_for_their_own_prompts():
    prompts, respond = starter_world.mix(
        (["a", "b"], lambda index, random: f"first {index}"), (["c"], lambda index, random: f"second {index}")
    )
    assert prompts == ["a", "b", "c"]
    assert [respond(index, None) for index in range(3)] == ["first 0", "first 1", "second 0"]


def test_each_clip_is_kept_once_however_often_it_is_asked_about(world, tiny_folder, frame_cache):
    _, processor = load_model(tiny_folder)
    asker = starter_world.Asker(processor, FramePolicy(count=4), frame_cache)
    (scored,) = asker.scores(world[:1])
    ((first, second),) = [prompt.visuals for prompt in asker.pairs([(world[6], world[0])])]
    assert second is scored.visuals[0] and first is not second
    assert world[0].truth.prompt.text in processor.tokenizer.decode(scored.ids)


def test_words_of_the_world_are_single_tokens():
    tokenizer = build_tokenizer(tokenizer_texts() + starter_world.world_texts(), 768)
    assert len(tokenizer(" a red circle that moves slowly left over bricks").tokens()) == 9
