"""Eyes that start as a power spectrum, and supervised training that encodes each clip once."""

import pytest
import torch

from vqa_lib.models import tiny_internvl
from vqa_lib.models.loading import load_model
from vqa_lib.models.reference import plain_inputs
from vqa_lib.models.slowfast import SlowFast
from vqa_lib.models.starter import encode_all, response
from vqa_lib.models.tiny import build_tiny_qwen, cosine_patches, open_eyes
from vqa_lib.paths import STARTER
from vqa_lib.training.supervised import _weights, once, train_eyes, train_motion, train_to_answer, what_is_seen
from vqa_lib.video import FramePolicy

POLICY = FramePolicy(count=4, max_pixels=84 * 56)


@pytest.fixture
def starter():
    return load_model(STARTER)


@pytest.fixture
def prompts(starter, images, videos, frame_cache):
    return encode_all(starter[1], [*images[:2], *videos[:4]], POLICY, frame_cache)


def test_eyes_start_with_the_squares_of_unit_filter_responses(tmp_path, prompts):
    build_tiny_qwen(tmp_path, ["a video"], hidden=64, layers=1)
    model, _ = load_model(tmp_path)
    patches = torch.cat([prompt.visuals[0].pixels for prompt in prompts]).float()
    open_eyes(model, patches)
    embedding = model.model.visual.patch_embed.proj.weight.flatten(1)
    responses = patches @ embedding.T
    filters = cosine_patches(64).flatten(1)
    assert torch.allclose(torch.cosine_similarity(embedding, filters), torch.ones(64), atol=1e-5)
    assert responses.std(0).median().item() == pytest.approx(1.0, abs=0.01)
    mlp = model.model.visual.blocks[0].mlp
    values = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    units = torch.nn.functional.silu(values @ mlp.gate_proj.weight.T) * (values @ mlp.up_proj.weight.T)
    assert torch.allclose(units[:, :64] + units[:, 64:128], values**2, atol=1e-5)


def test_what_is_seen_does_not_depend_on_the_question_left_out(starter, prompts):
    model, _ = starter
    with torch.no_grad():
        seen = what_is_seen(model, prompts)
        inputs = plain_inputs(model, prompts)
        inputs |= {name: inputs[name].float() for name in inputs if name.startswith("pixel_values")}
        hidden = model.model(**inputs).last_hidden_state
    visual = (inputs["mm_token_type_ids"] > 0).unsqueeze(-1)
    assert torch.allclose(seen, (hidden * visual).sum(1) / visual.sum(1), atol=1e-5)


def test_answers_are_learnt_and_the_vision_tower_stays(starter, prompts):
    model, processor = starter
    before = {name: value.clone() for name, value in model.named_parameters()}
    log = train_to_answer(
        model, processor.tokenizer, prompts, lambda index, random: response("The clip is clean.", 50), 16, 6, peak=5e-3
    )
    assert log[-1]["loss"] < log[0]["loss"] / 2
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert changed and not any("visual" in name for name in changed)


def test_the_first_loss_is_that_of_plain_transformers(starter, prompts):
    model, processor = starter
    tokenizer = processor.tokenizer
    text = response("The video has mild blur.", 71.5)
    completion = tokenizer(text + tokenizer.eos_token)["input_ids"]
    inputs = plain_inputs(model, prompts, [completion] * len(prompts))
    inputs |= {name: inputs[name].float() for name in inputs if name.startswith("pixel_values")}
    labels = inputs["input_ids"].clone()
    labels[:, : -len(completion)] = -100
    with torch.no_grad():
        plain = model(**inputs, labels=labels).loss.item()
    log = train_to_answer(model, tokenizer, prompts, lambda index, random: text, 1, size=len(prompts))
    assert log[0]["loss"] == pytest.approx(plain, rel=1e-5)


def test_eyes_learn_what_is_asked_of_them(starter, prompts):
    model, _ = starter
    strengths = torch.linspace(0, 1, len(prompts))[:, None].expand(-1, 10).numpy()
    log = train_eyes(model, prompts, strengths, steps=12, size=len(prompts), peak=2e-3)
    assert log[-1]["loss"] < log[0]["loss"] / 2


def test_both_for_internvl_with_motion(tiny_motion_folder, images, videos, frame_cache):
    model, processor = load_model(tiny_motion_folder)
    prompts = encode_all(processor, [*images[:2], *videos[:4]], POLICY, frame_cache)
    with torch.no_grad():
        together, alone = what_is_seen(model, prompts), torch.cat([what_is_seen(model, [one]) for one in prompts])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
    # Of the video's places one is its motion's, and the last of what is seen.
    frames = int((prompts[-1].ids == model.config.image_token_id).sum())
    assert int(prompts[-1].token_types.sum()) == frames + 1
    strengths = torch.linspace(0, 1, len(prompts))[:, None].expand(-1, 10).numpy()
    log = train_eyes(model, prompts, strengths, steps=12, size=len(prompts), peak=2e-3)
    assert log[-1]["loss"] < log[0]["loss"] / 2
    before = {name: value.clone() for name, value in model.named_parameters()}
    train_to_answer(model, processor.tokenizer, prompts, lambda index, random: "Clean.", 2, len(prompts))
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert any("motion_projector" in name for name in changed)
    assert not any(part in name for name in changed for part in ("vision_tower", "multi_modal", "motion_tower"))


def test_internvls_eyes_start_with_unit_filter_responses(tiny_internvl_folder):
    model, _ = load_model(tiny_internvl_folder)
    torch.manual_seed(0)
    frames = torch.randn(8, 3, 56, 56)
    tiny_internvl.open_eyes(model, frames)
    tower = model.model.vision_tower
    embedding = tower.embeddings.patch_embeddings.projection
    responses = torch.nn.functional.conv2d(frames, embedding.weight, stride=14)
    torch.testing.assert_close(responses.transpose(0, 1).flatten(1).std(1), torch.ones(64))
    values = torch.randn(5, 64)
    units = torch.nn.functional.gelu(values @ tower.encoder.layer[0].mlp.fc1.weight[:128].T)
    together = units[:, :64] + units[:, 64:]
    assert (together - values.abs()).abs().max() < 0.35
    torch.testing.assert_close(together, together.abs())


def test_motion_is_learnt_and_then_frozen():
    torch.manual_seed(0)
    tower = SlowFast(8, (1, 1, 1, 1))
    strengths = torch.rand(24, 2)
    still = torch.rand(24, 1, 3, 32, 32).expand(-1, 6, -1, -1, -1)
    videos = list(still + strengths[:, :1, None, None, None] * torch.randn(24, 6, 1, 1, 1))  # flicker
    log = train_motion(tower, videos, strengths[:, :1].numpy(), steps=80, size=12)
    assert sum(row["loss"] for row in log[-10:]) < sum(row["loss"] for row in log[:10]) / 2
    assert not tower.training
    assert not any(weight.requires_grad for weight in tower.parameters())


def test_tokens_that_judge_weigh_more(starter, prompts):
    tokenizer = starter[1].tokenizer
    text = "<think> Video A shows blur, worth 7. </think> <answer>Video A</answer>"
    encoded = tokenizer(text, return_offsets_mapping=True)
    weights = _weights(text, encoded["offset_mapping"], 4.0)
    tokens = zip(encoded["offset_mapping"], weights, strict=True)
    heavy = "".join(text[start:end] for (start, end), weight in tokens if weight == 4)
    assert heavy.replace(" ", "") == "7<answer>VideoA</answer>"
    assert set(weights) == {1.0, 4.0}


def test_the_weighted_loss_is_a_weighted_mean(starter, prompts):
    model, processor = starter
    tokenizer = processor.tokenizer
    text = response("The video has mild blur.", 71.5)
    encoded = tokenizer(text + tokenizer.eos_token, return_offsets_mapping=True)
    weights = torch.tensor(_weights(text, encoded["offset_mapping"], 4.0))
    inputs = plain_inputs(model, prompts, [encoded["input_ids"]] * len(prompts))
    inputs |= {name: inputs[name].float() for name in inputs if name.startswith("pixel_values")}
    with torch.no_grad():
        log_probs = model(**inputs).logits[:, -len(weights) - 1 : -1].log_softmax(-1)
    wanted = inputs["input_ids"][:, -len(weights) :, None]
    plain = -(log_probs.gather(-1, wanted)[..., 0] * weights).sum() / (len(prompts) * weights.sum())
    log = train_to_answer(model, tokenizer, prompts, lambda index, random: text, 1, size=len(prompts), decisive=4.0)
    assert log[0]["loss"] == pytest.approx(plain.item(), rel=1e-5)


def test_what_is_kept_of_training_is_not_trained_again(starter, prompts, tmp_path):
    model, processor = starter
    text = response("The video is clean.", 50)

    def train() -> list[dict]:
        return train_to_answer(model, processor.tokenizer, prompts, lambda index, random: text, 2, size=len(prompts))

    log = once(model, tmp_path / "answers.pt", train)
    learnt = {name: value.clone() for name, value in model.state_dict().items()}
    train()
    assert not all(torch.equal(value, learnt[name]) for name, value in model.state_dict().items())
    assert once(model, tmp_path / "answers.pt", lambda: pytest.fail("trained again")) == log
    assert all(torch.equal(value, learnt[name]) for name, value in model.state_dict().items())
