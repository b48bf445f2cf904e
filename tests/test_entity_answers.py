"""Questions about entities: one prefix a video, the probabilities of plain transformers, rows that survive a crash."""

import json

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from vqa_lib import entity_answers
from vqa_lib.datasets import load_questions
from vqa_lib.entities import yes_no_probabilities
from vqa_lib.entity_answers import answer_entities, answer_shared, split_shared
from vqa_lib.miniature import write_miniature
from vqa_lib.models.answer_tokens import answer_step, answer_tokens
from vqa_lib.models.families import encode, encode_questions, family
from vqa_lib.models.loading import load_model
from vqa_lib.models.reference import plain_inputs
from vqa_lib.models.rollouts import respond
from vqa_lib.models.starter import tokenizer_texts
from vqa_lib.models.tiny import build_tiny_qwen
from vqa_lib.models.tiny_internvl import build_tiny_internvl
from vqa_lib.prompts import PROMPTS
from vqa_lib.video import FramePolicy

POLICY = FramePolicy(count=4)
TEXTS = ["Is it red?", "Is the outline of the circle sharp, or is it blurred? Answer Yes or No.", "Is the video calm?"]


WORDS = [*tokenizer_texts(), *["<reason> red </reason> <answer> Yes </answer>", "Yes", "No", " No"] * 100]


@pytest.fixture(scope="module", params=["qwen", "internvl", "motion"])
def loaded(request, tmp_path_factory):
    """Tiny models whose tokenizers know Yes and No."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "qwen":
        build_tiny_qwen(folder, WORDS, hidden=64, layers=2)
    else:
        motion = "mean" if request.param == "motion" else None
        build_tiny_internvl(folder, WORDS, hidden=64, layers=2, motion=motion)
    model, processor = load_model(folder)
    return model.eval(), processor


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finger")
    write_miniature(folder, scale=0.25, seed=0, names=["finger"])
    return load_questions("finger", folder / "finger", "test")


def frames_of(clip, frame_cache):
    return [(frame_cache.get(clip.path, "video", POLICY), "video")]


def test_visuals_are_processed_once_for_all_questions(loaded, videos, frame_cache):
    _, processor = loaded
    shown = frames_of(videos[0], frame_cache)
    together, alone = encode_questions(processor, shown, TEXTS), [encode(processor, shown, text) for text in TEXTS]
    for one, other in zip(together, alone, strict=True):
        assert torch.equal(one.ids, other.ids) and torch.equal(one.token_types, other.token_types)
        assert one.visuals[0] is together[0].visuals[0]
        assert torch.equal(one.visuals[0].pixels, other.visuals[0].pixels)


def test_an_image_and_a_pair_too(tiny_folder, tiny_internvl_folder, videos, images, frame_cache):
    image = (frame_cache.get(images[0].path, "image", FramePolicy(count=1)), "image")
    for folder in (tiny_folder, tiny_internvl_folder):
        _, processor = load_model(folder)
        for shown in ([image], [*frames_of(videos[0], frame_cache), *frames_of(videos[1], frame_cache)]):
            second = encode_questions(processor, shown, TEXTS[:2])[1]
            assert torch.equal(second.ids, encode(processor, shown, TEXTS[1]).ids)


def test_answers_and_probabilities_are_those_of_plain_transformers(loaded, videos, frame_cache):
    """Two videos, asked three questions and one; each answer as if it were asked alone, without any engine."""
    model, processor = loaded
    asked = [
        encode_questions(processor, frames_of(videos[0], frame_cache), TEXTS),
        encode_questions(processor, frames_of(videos[1], frame_cache), TEXTS[1:2]),
    ]
    answers = answer_shared(model, processor, asked, False, 6)
    yes, no = answer_tokens(processor.tokenizer, "Yes"), answer_tokens(processor.tokenizer, "No")
    for prompts, of_video in zip(asked, answers, strict=True):
        for prompt, (response, chance) in zip(prompts, of_video, strict=True):
            assert [[response]] == respond(model, processor, [prompt], 6)
            with torch.no_grad():
                logits = model(**plain_inputs(model, [prompt])).logits[0, -1].double()
            assert chance == pytest.approx(yes_no_probabilities(logits.numpy(), yes, no)[0], abs=1e-5)
    chances = [chance for of_video in answers for _, chance in of_video]
    assert len({round(chance, 6) for chance in chances}) == 4


def test_with_reasons_the_probability_is_that_behind_the_tag(loaded, videos, frame_cache, monkeypatch):
    """The completion is a given one here: a tiny random model would never reach a tag."""
    model, processor = loaded
    tokenizer = processor.tokenizer
    said = tokenizer("<reason> red </reason> <answer> Yes </answer>")["input_ids"] + [tokenizer.eos_token_id]
    (prompt, other) = encode_questions(processor, frames_of(videos[0], frame_cache), TEXTS[:2])
    forced = iter(said)
    monkeypatch.setattr("vqa_lib.models.rollouts.choose", lambda scores, _: torch.full((len(scores),), next(forced)))
    (((response, chance), _),) = answer_shared(model, processor, [[prompt, other]], True, 40)
    assert response == "<reason> red </reason> <answer> Yes </answer>"
    place = [tokenizer.decode(token) for token in said].index(" Yes")
    with torch.no_grad():
        logits = model(**plain_inputs(model, [prompt], [said[:place]])).logits[0, -1].double()
    yes, no = answer_tokens(tokenizer, "Yes"), answer_tokens(tokenizer, "No")
    assert chance == pytest.approx(yes_no_probabilities(logits.numpy(), yes, no)[0], abs=1e-5)


def test_a_video_is_looked_at_once(loaded, videos, frame_cache, monkeypatch):
    model, processor = loaded
    seen, encode_visuals = [], family(model).encode_visuals
    monkeypatch.setattr(
        family(model),
        "encode_visuals",
        lambda network, visuals: seen.append(len(visuals)) or encode_visuals(network, visuals),
    )
    answer_shared(model, processor, [encode_questions(processor, frames_of(videos[0], frame_cache), TEXTS)], False, 3)
    assert seen == [1]


def test_what_dialogues_share(loaded, videos, frame_cache):
    _, processor = loaded
    prompts = encode_questions(processor, frames_of(videos[0], frame_cache), TEXTS)
    prefix, tails = split_shared(prompts)
    assert all(
        torch.equal(torch.cat([prefix.ids, tail]), prompt.ids) for tail, prompt in zip(tails, prompts, strict=True)
    )
    assert prefix.token_types.sum() == prompts[0].token_types.sum()
    (_, (tail,)) = split_shared(prompts[:1])
    assert len(tail) == 1
    (_, same) = split_shared([prompts[0], prompts[0]])
    assert [len(tail) for tail in same] == [1, 1]
    changed = prompts[0].ids.clone()
    changed[0] += 1
    with pytest.raises(ValueError, match="different visuals"):
        split_shared([prompts[0], type(prompts[0])(changed, prompts[0].token_types, prompts[0].visuals)])


def test_the_papers_sets_of_tokens():
    vocabulary = ["Yes", "yes", "YES", "ĠYes", '"Yes', "No", "no", "NO", "ĠNo", '"No']
    vocabulary += ["Yesterday", "Not", "yEs", "Ġ", "noun", "->No"]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_byte_level({word: number for number, word in enumerate(vocabulary)})
    )
    assert [vocabulary[number] for number in answer_tokens(tokenizer, "Yes")] == ["Yes", "yes", "YES", "ĠYes", '"Yes']
    assert [vocabulary[number] for number in answer_tokens(tokenizer, "No")] == ["No", "no", "NO", "ĠNo", '"No']
    with pytest.raises(ValueError, match="no token that spells 'Maybe'"):
        answer_tokens(tokenizer, "Maybe")


def _byte_level(vocabulary: dict) -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=next(iter(vocabulary))))
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


@pytest.mark.parametrize(
    ("tokens", "step"),
    [
        (["<reason>", "a", "</reason>", "<answer>", "Yes", "</answer>"], 4),
        (["<answer", ">Yes", "</answer>"], 1),
        (["<answer>", ' "', "No", '"'], 2),
        (["<answer>", "a", "</answer>", "<answer>", " No"], 4),
        (["<answer>", " "], None),
        (["Yes"], None),
        ([], None),
    ],
)
def test_where_the_answer_begins(tokens, step):
    assert answer_step(tokens) == step


def test_an_interruption_loses_no_video(loaded, questions, frame_cache, tmp_path, monkeypatch):
    model, processor = loaded
    chosen, output = questions[:30], tmp_path / "answers.jsonl"
    arguments = (model, processor, chosen, "finger/answer", POLICY, frame_cache)
    whole = answer_entities(*arguments, tmp_path / "whole.jsonl", batch_size=2, max_completion=4)
    assert whole["clip"].nunique() == 3 and len(whole) == 30
    assert whole["name"].tolist() == [question.name for question in chosen]
    assert np.isfinite(whole["probability"]).all() and whole["polarity"].isin(["yes", "no"]).all()

    asked, shared = [], entity_answers.answer_shared

    def break_off(model, processor, dialogues, *rest):
        if asked:
            raise KeyboardInterrupt
        asked.append(sum(map(len, dialogues)))
        return shared(model, processor, dialogues, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(entity_answers, "answer_shared", break_off)
        with pytest.raises(KeyboardInterrupt):
            answer_entities(*arguments, output, batch_size=2, max_completion=4)
    kept = output.read_text("utf-8").splitlines()
    assert len(kept) == asked[0] == 28
    output.write_text("\n".join([*kept[:13], kept[13][:30]]), "utf-8")  # and a torn line: the rest of a video is owed
    again = answer_entities(*arguments, output, batch_size=2, max_completion=4)
    assert again.drop(columns="probability").equals(whole.drop(columns="probability"))
    np.testing.assert_allclose(again["probability"], whole["probability"], atol=1e-5)
    assert len([json.loads(line) for line in output.read_text("utf-8").splitlines()]) == 30


def test_prompts_that_ask_something_else(tiny, questions, frame_cache, tmp_path):
    with pytest.raises(ValueError, match="needs a prompt with"):
        answer_entities(*tiny, questions[:1], "vq_insight/natural", POLICY, frame_cache, tmp_path / "a.jsonl")
    assert PROMPTS["finger"].reasoning == "reason" and PROMPTS["finger/answer"].reasoning is None
