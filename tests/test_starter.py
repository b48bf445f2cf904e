"""The starter: committed weights that load like any model, words for what is wrong, judgement spoilt as documented."""

import numpy as np
import pytest

from vqa_lib.answers import parse_score, reasoning_text
from vqa_lib.comparing import answer_questions, compare_pairs
from vqa_lib.datasets import load_clips, load_pairs, load_questions
from vqa_lib.miniature import write_miniature
from vqa_lib.models.loading import load_model
from vqa_lib.models.starter import describe, judgement, level, response, strength_table, true_strengths
from vqa_lib.paths import STARTER
from vqa_lib.records import Scale
from vqa_lib.scoring import score_clips
from vqa_lib.video import FramePolicy

SCALE = Scale(0, 100)
POLICY = FramePolicy(count=8, max_pixels=84 * 56)
OPTIONS = {"max_completion": 136}


@pytest.fixture(scope="module")
def starter():
    return load_model(STARTER)


def test_committed_weights_are_small_and_answer_in_the_format(starter, videos, frame_cache, tmp_path):
    assert (STARTER / "model.safetensors").stat().st_size <= 4_000_000
    prompt = "vq_insight/natural"
    table = score_clips(*starter, videos[:20], prompt, POLICY, frame_cache, tmp_path / "scores.jsonl", **OPTIONS)
    assert table["prediction"].notna().mean() >= 0.9
    assert table["response"].map(reasoning_text).notna().all()
    assert table["prediction"].nunique() > 1  # it looks at the clips


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated")
    write_miniature(folder, scale=1, seed=0, workers=1, names=["lgvq", "visionreward"])
    return folder


def test_it_scores_generated_clips_on_three_dimensions(starter, generated, frame_cache, tmp_path):
    clips = load_clips("lgvq", generated / "lgvq", "all")  # of good and bad generators
    prompt = "vq_insight/multi_dim"
    table = score_clips(*starter, clips, prompt, POLICY, frame_cache, tmp_path / "scores.jsonl", **OPTIONS)
    for name in ("spatial", "temporal", "consistency"):
        assert table[f"prediction_{name}"].notna().mean() >= 0.9
        assert table[f"prediction_{name}"].nunique() > 1


def test_it_chooses_between_two_videos(starter, generated, frame_cache, tmp_path):
    pairs = load_pairs("visionreward_pairs", generated / "visionreward", "test")
    prompt = "vq_insight/preference"
    table = compare_pairs(*starter, pairs, prompt, POLICY, frame_cache, tmp_path / "pairs.jsonl", **OPTIONS)
    assert table["difference"].notna().mean() >= 0.9
    assert set(table["answer"].dropna()) == {"first", "second"}
    assert table["response"].str.contains("Video B shows").mean() >= 0.9  # both are described


def test_it_answers_yes_or_no(starter, generated, frame_cache, tmp_path):
    questions = load_questions("visionreward_questions", generated / "visionreward", "train", 40)
    prompt = "vq_insight/yes_no"
    table = answer_questions(*starter, questions, prompt, POLICY, frame_cache, tmp_path / "answers.jsonl", **OPTIONS)
    assert table["answer"].notna().mean() >= 0.9
    assert set(table["answer"].dropna()) == {"yes", "no"}


@pytest.mark.parametrize(
    ("strength", "word"),
    [(0.1, "mild"), (0.339, "mild"), (0.34, "moderate"), (0.669, "moderate"), (0.67, "strong"), (1.0, "strong")],
)
def test_level(strength, word):
    assert level(strength) == word


@pytest.mark.parametrize(
    ("strengths", "text"),
    [
        ({}, "The video is clean."),
        ({"blur": 0.5}, "The video has moderate blur."),
        ({"stutter": 0.9, "cast": 0.1}, "The video has mild colour cast and strong stutter."),  # in the world's order
        ({"noise": 0.9, "blur": 0.9, "jitter": 0.9}, "The video has strong blur, strong noise and strong jitter."),
        ({"blur": 0.0}, "The video is clean."),  # a strength of nought is none
    ],
)
def test_describe(strengths, text):
    assert describe(strengths, "video") == text


def test_response_parses_back():
    text = response("The video is clean.", 12.345)
    assert parse_score(text, SCALE) == 12.35 or parse_score(text, SCALE) == 12.34
    assert reasoning_text(text).strip() == "The video is clean."


def test_truth_of_a_miniature_is_found_for_every_clip(miniature, videos, images):
    clips = [*videos[:3], *images[:3]]
    table = strength_table(true_strengths(miniature, clips))
    assert table.shape == (6, 10)
    assert ((table >= 0) & (table <= 1)).all()


def test_judgement_true_spoilt_and_random(videos):
    random = np.random.default_rng(0)
    strengths = [{"blur": 1.0, "jitter": 1.0}]

    def score(**options):
        return parse_score(judgement(strengths, videos[:1], SCALE, **options)(0, random), SCALE)

    assert score() == pytest.approx(videos[0].mos, abs=0.006)  # two decimals
    assert score(overlooked=("blur",)) == 50.0  # jitter alone: 1 - 0.5
    assert score(overlooked=("blur", "jitter")) == 100.0
    assert len({score(random_share=1.0) for _ in range(5)}) == 5
