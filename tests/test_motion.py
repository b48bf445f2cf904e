"""InternVL with VQAThinker's motion branch. That the engine is exact for it, too, `test_engine` holds."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_grpo import SMALL, train, weights

from vqa_lib.datasets import load_clips
from vqa_lib.models import motion
from vqa_lib.models.families import core, encode, encode_clips, has_motion, without_pixels
from vqa_lib.models.loading import load_model, lora_config
from vqa_lib.models.packing import completion_log_probs
from vqa_lib.models.slowfast import pool, slow_places
from vqa_lib.models.starter import tokenizer_texts
from vqa_lib.models.tiny_internvl import build_tiny_internvl
from vqa_lib.perturb import reorder
from vqa_lib.recipes import RECIPES
from vqa_lib.rewards import REWARDS
from vqa_lib.training.sft import SFTSettings, train_sft
from vqa_lib.video import FramePolicy

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
POLICY = FramePolicy(count=6)
ANSWER = [torch.tensor([120, 130, 140])]


@pytest.fixture
def loaded(tiny_motion_folder):
    return load_model(tiny_motion_folder)


@pytest.fixture
def prompt(loaded, make_frames):
    return encode(loaded[1], [(make_frames(6, width=56), "video")], "Rate it.")


@pytest.fixture
def counted(monkeypatch):
    """How many clips SlowFast has seen since then."""
    motion._KNOWN.clear()
    seen, watch = [], motion.InternVLMotionModel._watch
    monkeypatch.setattr(
        motion.InternVLMotionModel, "_watch", lambda model, videos: seen.append(len(videos)) or watch(model, videos)
    )
    return seen


def log_probs(model, prompt, features=None):
    return completion_log_probs(model, [prompt], [0], ANSWER, features)[0]


def test_a_videos_prompt_ends_with_its_motion(loaded, prompt, make_frames):
    model, processor = loaded
    text = processor.tokenizer.decode(prompt.ids)
    assert text.count("<motion>") == 1
    assert "Motion Feature: <img><motion></img>\nRate it." in text
    assert text.index("Frame6") < text.index("Motion Feature")
    assert int((prompt.ids == model.config.motion_token_id).sum()) == 1
    image = encode(processor, [(make_frames(1, width=56), "image")], "Rate it.")
    assert "otion" not in processor.tokenizer.decode(image.ids)
    two = encode(processor, [(make_frames(4, width=56), "video")] * 2, "Compare.")
    assert processor.tokenizer.decode(two.ids).count("<motion>") == 2


def test_the_motion_token_reaches_the_language_model(loaded, prompt, monkeypatch):
    model, _ = loaded
    whole = log_probs(model, prompt)
    monkeypatch.setattr(core(model), "motion_of", lambda videos: torch.zeros(1, 288))
    assert (log_probs(model, prompt) - whole).abs().max() > 1e-4


def test_gradients_reach_the_projector_and_never_slowfast(loaded, prompt):
    model, _ = loaded
    model.requires_grad_(True).train()
    assert not core(model).motion_tower.training
    log_probs(model, prompt).sum().backward()
    assert all(weight.grad.abs().max() > 0 for weight in core(model).motion_projector.parameters())
    assert not any(weight.requires_grad for weight in core(model).motion_tower.parameters())
    assert all(weight.grad is None for weight in core(model).motion_tower.parameters())


def test_features_are_computed_once_and_are_those_of_slowfast(loaded, prompt, counted):
    model, _ = loaded
    pixels = prompt.visuals[0].pixels
    direct = pool(core(model).motion_tower(pixels[None], slow_places(6)), slow_places(6))[0]
    first, again = (core(model).motion_of([pixels]) for _ in range(2))
    torch.testing.assert_close(first, direct)
    assert torch.equal(first, again)
    turned = core(model).motion_of([pixels.flip(0), pixels])
    assert not torch.equal(turned[0], turned[1])
    log_probs(model, prompt)
    log_probs(model, prompt, encode_clips(model, [prompt]))
    assert counted == [1, 1]  # the clip, and the clip turned round


def test_policy_and_reference_share_features_and_other_weights_do_not(tiny_motion_folder, loaded, prompt, counted):
    model, _ = loaded
    other, _ = load_model(tiny_motion_folder)
    videos = [prompt.visuals[0].pixels]
    core(model).motion_of(videos)
    core(other).motion_of(videos)
    assert counted == [1]
    changed, _ = load_model(tiny_motion_folder)
    core(changed).motion_tower.blocks[0].multipathway_blocks[0].conv.weight.data.mul_(2)
    assert not torch.equal(core(changed).motion_of(videos), core(model).motion_of(videos))
    assert counted == [1, 1]


def test_memory_is_bounded(loaded, counted, monkeypatch):
    monkeypatch.setattr(motion, "KEPT_BYTES", 3 * 288 * 4)
    videos = [torch.rand(4, 3, 56, 56) for _ in range(5)]
    network = core(loaded[0])
    together = network.motion_of(videos)
    assert together.shape == (5, 288)
    assert len(motion._KNOWN) == 3
    torch.testing.assert_close(network.motion_of(videos[:1]), together[:1])


def test_saved_is_loaded(loaded, prompt, tmp_path):
    model, processor = loaded
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again, _ = load_model(tmp_path)
    assert has_motion(again)
    one, other = model.state_dict(), again.state_dict()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert any("running_var" in name for name in one)
    assert torch.equal(log_probs(again, prompt), log_probs(model, prompt))


def test_a_token_for_each_chunk(tmp_path, make_frames):
    build_tiny_internvl(tmp_path, tokenizer_texts(), hidden=64, layers=2, motion="chunks")
    model, processor = load_model(tmp_path)
    prompt = encode(processor, [(make_frames(6, width=56), "video")], "Rate it.")
    assert int((prompt.ids == model.config.motion_token_id).sum()) == 2
    pixels = prompt.visuals[0].pixels
    features = core(model).motion_of([pixels])
    assert features.shape == (2, 288)
    whole = pool(core(model).motion_tower(pixels[None], slow_places(6)), slow_places(6))
    torch.testing.assert_close(features.mean(0), whole[0, 0])
    assert torch.isfinite(log_probs(model, prompt)).all()


def test_size_and_normalisation_that_slowfast_sees(loaded, monkeypatch):
    network, video = core(loaded[0]), torch.randn(4, 3, 56, 56)
    seen = []
    watch = network.motion_tower.forward
    monkeypatch.setattr(
        network.motion_tower, "forward", lambda videos, slow: seen.append(videos) or watch(videos, slow)
    )
    monkeypatch.setattr(network.config, "motion_normalisation", "kinetics")
    network._watch(video[None])
    raw = (
        video * torch.tensor([0.229, 0.224, 0.225])[:, None, None] + torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    )
    torch.testing.assert_close(seen[0][0], (raw - 0.45) / 0.225)
    monkeypatch.setattr(network.config, "motion_size", 32)
    network._watch(video[None])
    assert seen[1].shape == (1, 4, 3, 32, 32)


def test_what_does_not_fit(loaded, prompt, tmp_path):
    model, _ = loaded
    with pytest.raises(ValueError, match="1 places for 2 motion features"):
        core(model)(input_ids=prompt.ids[None], motion_features=torch.zeros(2, 288))
    with pytest.raises(ValueError, match="motion_pooling must be one of mean, windows, chunks; got 'many'"):
        motion.InternVLMotionConfig(motion_pooling="many")
    with pytest.raises(ValueError, match="motion must be None or one of mean, windows, chunks; got 'two'"):
        build_tiny_internvl(tmp_path, ["a"], motion="two")


def test_slowfast_never_learns(tiny_motion_folder):
    """Nor is it shared among processes as what learns: a group of them would wait for its gradients."""
    model, _ = load_model(tiny_motion_folder)
    model.requires_grad_(True)
    for network in (load_model(tiny_motion_folder)[0], model):
        learning = {name for name, weight in network.named_parameters() if weight.requires_grad}
        assert not any("motion_tower" in name for name in learning)
        assert {name for name, _ in network.named_parameters() if "motion_projector" in name} <= learning


def test_the_projector_learns_beside_an_adapter(loaded):
    assert lora_config(4, model=loaded[0]).modules_to_save == ["motion_projector"]
    assert lora_config(4).modules_to_save is None


@pytest.mark.parametrize("changes", [{}, {"lora_rank": 4}, {"lora_rank": 4, "quantize": "4bit"}], ids=str)
def test_grpo(tiny_motion_folder, miniature, frame_cache, tmp_path, monkeypatch, changes, counted):
    # Random weights answer nothing that a real reward could tell apart.
    longer = lambda completions, **_: [float(len(one[0]["content"])) for one in completions]  # noqa: E731
    monkeypatch.setitem(REWARDS, "format", longer)
    clips = load_clips("lsvq", miniature / "lsvq", "train")[:4]
    recipe = RECIPES["vqathinker"]
    settings = replace(SMALL, steps=2, train_vision=not changes, **changes)
    folder = train(tiny_motion_folder, clips, recipe, settings, tmp_path / "run", frame_cache, POLICY)
    made, start = weights(folder), weights(tiny_motion_folder)
    projector = [name for name in made if "motion_projector" in name]
    if changes:
        assert len(projector) == 6  # saved with the adapter
    else:
        assert all(torch.equal(made[name], start[name]) for name in start if "motion_tower" in name)
        assert all(not torch.equal(made[name], start[name]) for name in projector if name.endswith("weight"))
    again, _ = load_model(folder) if "quantize" not in changes else (None, None)
    assert again is None or has_motion(again)
    assert sum(counted) <= 4 + 2 * 2  # every clip once, and its perturbed copy of each step


@pytest.mark.parametrize("train_vision", [True, False])  # a frozen tower's clips are kept without their pixels
def test_sft(tiny_motion_folder, miniature, frame_cache, tmp_path, train_vision):
    clips = load_clips("lsvq", miniature / "lsvq", "train")[:4]
    settings = SFTSettings(steps=4, queries=2, learning_rate=1e-3, dtype="float32", train_vision=train_vision)
    folder = train_sft(tiny_motion_folder, clips, RECIPES["vqathinker/sft"], settings, POLICY, tmp_path, frame_cache)
    made, start = weights(folder), weights(tiny_motion_folder)
    changed = {name for name in made if not torch.equal(made[name], start[name])}
    assert any("motion_projector" in name for name in changed)
    assert not any("motion_tower" in name for name in changed)
    assert train_vision == any("vision_tower" in name for name in changed)


def test_a_clip_kept_without_its_pixels_is_the_same_to_the_model(loaded, prompt):
    model, _ = loaded
    kept = replace(prompt, visuals=tuple(without_pixels(model, visual) for visual in prompt.visuals))
    assert all(visual.pixels.numel() == 0 for visual in kept.visuals)
    features = encode_clips(model, [prompt])
    assert torch.equal(log_probs(model, kept, features), log_probs(model, prompt, features))
    both = completion_log_probs(model, [prompt, kept], [0, 1], ANSWER * 2, features * 2)[0]
    torch.testing.assert_close(both[0], both[1])


@pytest.mark.parametrize(("recipe", "fixture", "message"), [
    ("vqathinker", "tiny_internvl_folder", "the recipe needs a model with VQAThinker's motion branch"),
    ("vqathinker/no_motion", "tiny_motion_folder", "the model has a motion branch, and the recipe is"),
])  # fmt: skip
def test_recipe_and_model_must_fit(request, miniature, frame_cache, tmp_path, recipe, fixture, message):
    clips = load_clips("lsvq", miniature / "lsvq", "train")[:4]
    with pytest.raises(ValueError, match=message):
        train(request.getfixturevalue(fixture), clips, RECIPES[recipe], SMALL, tmp_path, frame_cache, POLICY)


def test_vllm_does_not_know_it(tiny_motion_folder, miniature, frame_cache, tmp_path):
    clips = load_clips("lsvq", miniature / "lsvq", "train")[:4]
    settings = replace(SMALL, lora_rank=4, vllm="http://localhost:1")
    with pytest.raises(ValueError, match="vLLM does not know the motion branch"):
        train(tiny_motion_folder, clips, RECIPES["vqathinker"], settings, tmp_path, frame_cache, POLICY)


def test_perturbed_frames_move_differently(loaded, make_frames):
    model, processor = loaded
    frames = make_frames(6, width=56)
    prompts = [
        encode(processor, [(reorder(frames, np.array(order)), "video")], "Rate it.")
        for order in ([0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [0, 1, 2])
    ]
    whole, turned, fewer = (core(model).motion_of([one.visuals[0].pixels]) for one in prompts)
    assert not torch.allclose(whole, turned, rtol=1e-3)
    assert not torch.allclose(whole, fewer, rtol=1e-3)
