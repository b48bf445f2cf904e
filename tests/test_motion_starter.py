"""What VQAThinker's tiny starter is taught: forms of answers, true descriptions, and dialogues without motion."""

import numpy as np
import pytest
import torch

from vqa_lib.answers import parse_score, reasoning_text
from vqa_lib.datasets import load_clips, load_questions
from vqa_lib.miniature import write_miniature
from vqa_lib.models import motion_starter, starter
from vqa_lib.models.loading import load_model
from vqa_lib.models.motion_weights import without_motion
from vqa_lib.models.reference import plain_inputs
from vqa_lib.paths import PACKAGE
from vqa_lib.prompts import PROMPTS
from vqa_lib.rewards import format_reward
from vqa_lib.scoring import score_clips
from vqa_lib.video import FramePolicy

WEIGHTS, POLICY = PACKAGE / "models" / "motion_starter_weights", FramePolicy(count=6, max_pixels=9600)


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    root = tmp_path_factory.mktemp("questions")
    write_miniature(root, scale=1, seed=2, names=["finevd", "q_bench_video"])
    asked = load_questions("finevd_questions", root / "finevd", "train")
    asked += load_questions("q_bench_video", root / "q_bench_video", "dev")
    return motion_starter.questions_with_facts(root, asked)


def test_scores_have_the_form_of_each_method(miniature, videos):
    prompts = motion_starter.taught_prompts(len(videos))
    assert {prompt.text for prompt in prompts} == {PROMPTS[name].text for name in motion_starter.TAUGHT}
    truth, random = starter.true_strengths(miniature, videos), np.random.default_rng(0)
    respond = motion_starter.scores(truth, videos, prompts)
    for index, (clip, prompt) in enumerate(zip(videos[:12], prompts, strict=False)):
        response = respond(index, random)
        assert format_reward([response], reasoning=prompt.reasoning) == [1.0]
        if not prompt.key:
            assert parse_score(response, prompt.scale) == pytest.approx(1 + clip.mos / 25, abs=0.01)


def test_answers_are_true_and_say_what_is_seen(questions):
    respond, random = motion_starter.answers(questions), np.random.default_rng(0)
    kinds = set()
    for index, (question, facts) in enumerate(questions):
        response = respond(index, random)
        assert f"<answer> {question.answer if question.options else question.answer.capitalize()} </answer>" in response
        said = reasoning_text(response).strip()
        kinds.add(question.category)
        if question.category == "referring":
            assert facts[0]["shown"]["colour"] in said
        if question.category == "pair":
            assert said.startswith("The first video") and ", the second" in said
    assert {"global", "referring", "pair", "distortion present"} <= kinds


def test_what_the_eyes_are_to_report(miniature, videos, questions):
    truth = starter.true_strengths(miniature, videos)
    strengths, kinds = motion_starter.sight_targets(truth, questions)
    assert strengths.shape == (len(videos) + len(questions), 10)
    assert all((shown[: len(videos)] == -1).all() for shown in kinds.values())
    assert any((shown >= 0).any() for shown in kinds.values())


def test_dialogues_without_motion_are_those_of_the_plain_model(videos, frame_cache, tmp_path):
    model, processor = load_model(WEIGHTS)
    plain, plain_processor = load_model(without_motion(WEIGHTS, tmp_path / "plain"))
    asked = [((clip.path,), PROMPTS["vqathinker"].text) for clip in videos[:2]]
    whole = motion_starter.encode_asked(processor, asked, POLICY, frame_cache)
    still = motion_starter.encode_without_motion(plain_processor, asked, whole, POLICY, frame_cache)
    theirs = motion_starter.encode_asked(plain_processor, asked, POLICY, frame_cache)
    for one, other, full in zip(still, theirs, whole, strict=True):
        assert torch.equal(one.ids, other.ids) and len(one.ids) < len(full.ids)
        assert torch.equal(one.visuals[0].pixels, full.visuals[0].pixels)
    with torch.no_grad():
        expected = plain(**plain_inputs(plain, theirs)).logits[:, -1]
        # In one batch with a dialogue that has its motion feature.
        together = model(**plain_inputs(model, [whole[0], *still])).logits[:, -1]
    torch.testing.assert_close(together[1:], expected, rtol=0, atol=1e-4)


def test_the_committed_starter_speaks_and_judges_badly(miniature, frame_cache, tmp_path):
    test = load_clips("lsvq", miniature / "lsvq", "test")
    for folder in (WEIGHTS, without_motion(WEIGHTS, tmp_path / "plain")):
        model, processor = load_model(folder)
        for prompt in set(motion_starter.TAUGHT):
            file = tmp_path / folder.name / f"{prompt.replace('/', '_')}.jsonl"
            table = score_clips(model, processor, test, prompt, POLICY, frame_cache, file, max_completion=96)
            assert table["prediction"].notna().mean() > 0.8, (folder, prompt)
