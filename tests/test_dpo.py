"""Diffusion-DPO: the loss in closed form, a generator that learns to prefer, resume after a kill, clear refusals."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vqa_lib.generation import dpo
from vqa_lib.generation.adapters import adapter_weights, add_adapter
from vqa_lib.generation.dpo import DPOSettings, add_gradients, diffusion_dpo_loss, recompute_activations, train_dpo
from vqa_lib.generation.sampling import generate_clips, load_generator, write_clips
from vqa_lib.generation.tiny import build_generator, world_texts
from vqa_lib.planning.live_tensors import LiveTensors
from vqa_lib.records import Pair

SETTINGS = DPOSettings(steps=6, pairs=2, lora_rank=2, learning_rate=1e-3, checkpoint_every=2, warmup=0, frames=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("generator")
    build_generator(path, world_texts()[:20], channels=(16, 16))
    return path


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Three pairs of a bright clip that wins and a dark one that loses; the winner's place alternates."""
    files = tmp_path_factory.mktemp("clips")
    random = np.random.default_rng(0)
    made = []
    for number in range(3):
        for name, low in (("win", 150), ("lose", 0)):
            clip = random.integers(low, low + 100, (1, 4, 16, 24, 3), dtype=np.uint8)
            write_clips(clip, [files / f"{name}{number}.mp4"])
        two = [files / f"win{number}.mp4", files / f"lose{number}.mp4"]
        preference = ("first", "second")[number % 2]
        first, second = two[:: 1 if preference == "first" else -1]
        made.append(Pair(str(number), first, second, "video", preference, "t", "train", "a red circle"))
    return made


def log_of(output):
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("errors", "beta", "expected"),
    [
        ((1.0, 1.0, 1.0, 1.0), 5000, math.log(2)),  # the policy is the reference
        ((0.9, 1.0, 1.1, 1.0), 10, math.log(1 + math.exp(-1.0))),  # better on the winner, worse on the loser
        ((1.1, 1.0, 0.9, 1.0), 10, math.log(1 + math.exp(1.0))),
        ((1.2, 1.0, 1.2, 1.0), 5000, math.log(2)),  # equally worse on both
        ((0.5, 1.0, 2.0, 3.0), 2, math.log(1 + math.exp(0.5))),  # better on both, but more so on the loser
    ],
)
def test_loss_in_closed_form(errors, beta, expected):
    values = [torch.tensor([value], dtype=torch.float64) for value in errors]
    assert diffusion_dpo_loss(*values, beta).item() == pytest.approx(expected)


def test_gradient_on_a_toy_model():
    """One weight w predicts w x, reference 1: the loss and its derivative by hand."""
    weight = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    win, lose, target, beta = 2.0, 3.0, 1.0, 0.4
    loss = diffusion_dpo_loss(
        (weight * win - target) ** 2,
        torch.tensor((win - target) ** 2),
        (weight * lose - target) ** 2,
        torch.tensor((lose - target) ** 2),
        beta,
    )
    loss.backward()
    margin = ((3.0 - 1) ** 2 - 1) - ((4.5 - 1) ** 2 - 4)
    slope = 2 * (3.0 - 1) * 2 - 2 * (4.5 - 1) * 3
    inside = -0.5 * beta * margin
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-inside)))
    assert weight.grad.item() == pytest.approx(-(1 - 1 / (1 + math.exp(-inside))) * -0.5 * beta * slope)


def test_it_learns_to_prefer_winners_and_its_adapter_changes_the_samples(folder, pairs, tmp_path):
    adapter = train_dpo(folder, pairs, replace(SETTINGS, steps=16, beta=500.0, pairs=3), tmp_path)
    lines = log_of(tmp_path)
    assert [line["step"] for line in lines] == list(range(1, 17))
    assert lines[0]["loss"] == pytest.approx(math.log(2))  # a fresh adapter changes nothing
    assert lines[0]["win_error_change"] == lines[0]["lose_error_change"] == 0
    assert np.mean([line["loss"] for line in lines[-6:]]) < 0.69
    assert np.mean([line["implicit_accuracy"] for line in lines[-6:]]) > 0.75
    arguments = {"prompts": ["a red circle"], "seeds": [0], "steps": 2, "frames": 4, "size": (24, 16)}
    before = generate_clips(load_generator(folder), **arguments)
    after = generate_clips(load_generator(folder, adapter), **arguments)
    assert np.abs(after.astype(int) - before).mean() > 0.5
    stamp = (adapter / "adapter.json").stat().st_mtime_ns
    assert train_dpo(folder, [], SETTINGS, tmp_path) == adapter  # done: nothing is read or trained
    assert (adapter / "adapter.json").stat().st_mtime_ns == stamp


def test_pairs_one_after_the_other_learn_what_they_learn_together(folder, pairs, tmp_path, monkeypatch):
    """In float64: AdamW makes steps of any gradient's size, that of a rounding error of float32 too."""
    monkeypatch.setattr(dpo, "widen_what_learns", torch.nn.Module.double)
    adapters, logs = [], []
    for at_once in (2**16, 1):
        monkeypatch.setattr(dpo, "LATENTS_AT_ONCE", at_once)
        adapter = train_dpo(folder, pairs, replace(SETTINGS, pairs=3, dtype="float64"), tmp_path / str(at_once))
        adapters.append(load_file(adapter / "adapter.safetensors"))
        logs.append([line["loss"] for line in log_of(tmp_path / str(at_once))])
    together, alone = adapters
    assert any(weight.abs().max() > 1e-3 for name, weight in together.items() if "lora_B" in name)
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-6)
    assert logs[1] == pytest.approx(logs[0], rel=1e-6)


def learnt(folder, dtype="float32", recomputed=False) -> tuple[torch.Tensor, torch.Tensor, int]:
    """A step of two pairs on an adapter that has learnt a little: its gradients, what it returns, its peak of bytes."""
    generator = load_generator(folder, dtype=dtype)
    unet, random = generator.unet, torch.Generator().manual_seed(0)
    add_adapter(unet, 4)
    exact = torch.promote_types(getattr(torch, dtype), torch.float32)
    for name, weight in adapter_weights(unet).items():
        size = 0.1 if "lora_A" in name else 0.002
        unet.get_parameter(name).data = size * torch.randn(weight.shape, generator=random).to(exact)
    if recomputed:
        recompute_activations(unet)
    clips = [torch.randn(2, unet.config.in_channels, 4, 8, 8, generator=random).to(exact) for _ in range(3)]
    words = torch.randn(2, 16, unet.config.cross_attention_dim, generator=random).to(getattr(torch, dtype))
    with LiveTensors() as tracker:
        found = add_gradients(unet, generator.scheduler, *clips, torch.tensor([200, 800]), words, 5000.0)
    gradients = [weight.grad.flatten() for weight in unet.parameters() if weight.requires_grad]
    return torch.cat(gradients), found, tracker.peak


def test_gradients_of_pairs_one_after_the_other_are_those_of_all_together(folder, monkeypatch):
    together, losses, most = learnt(folder, "float64")
    monkeypatch.setattr(dpo, "LATENTS_AT_ONCE", 1)
    alone, same, less = learnt(folder, "float64")
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-6 * together.abs().max().item())
    torch.testing.assert_close(same, losses, rtol=1e-6, atol=1e-9)
    assert less < 0.75 * most


def test_recomputed_activations_give_the_same_gradients_with_less_memory(folder):
    (plain, _, most), (recomputed, _, less) = learnt(folder), learnt(folder, recomputed=True)
    assert plain.norm() > 0.1
    torch.testing.assert_close(recomputed, plain, rtol=0, atol=0)
    assert less < 0.5 * most


def test_frozen_weights_may_be_float16_but_not_bfloat16(folder):
    """The errors' changes, times half of beta = 5000, are what the loss hears."""
    exact, half, coarse = (learnt(folder, dtype) for dtype in ("float32", "float16", "bfloat16"))
    assert half[0].dtype == torch.float32
    assert torch.cosine_similarity(exact[0], half[0], 0) > 0.99
    near, far = ((other[1] - exact[1])[1:].abs().max() for other in (half, coarse))
    assert near < 1e-4 < far


def test_resumed_after_a_kill_it_ends_the_same(folder, pairs, tmp_path, monkeypatch):
    whole = train_dpo(folder, pairs, SETTINGS, tmp_path / "whole")
    errors, calls = dpo._errors, []

    def killed(*arguments):
        calls.append(1)
        if len(calls) == 10:  # two calls a step: in step 5, after the checkpoint of step 4
            raise KeyboardInterrupt
        return errors(*arguments)

    monkeypatch.setattr(dpo, "_errors", killed)
    with pytest.raises(KeyboardInterrupt):
        train_dpo(folder, pairs, SETTINGS, tmp_path / "torn")
    monkeypatch.undo()
    assert not (tmp_path / "torn" / "adapter").exists()
    with (tmp_path / "torn" / "log.jsonl").open("a") as file:
        file.write('{"step": 5, "loss": 9.0}\n{"step": 6, "lo')  # a line beyond the checkpoint, and a torn one
    torn = train_dpo(folder, pairs, SETTINGS, tmp_path / "torn")
    assert log_of(tmp_path / "torn") == log_of(tmp_path / "whole")
    assert (torn / "adapter.safetensors").read_bytes() == (whole / "adapter.safetensors").read_bytes()


def test_winner_and_loser_policy_and_reference_see_the_same_noise_and_time(folder, pairs, tmp_path, monkeypatch):
    seen, errors = [], dpo._errors

    def watched(unet, scheduler, win, lose, noise, times, words):
        hook = unet.register_forward_pre_hook(lambda _, inputs: seen.append([part.detach().clone() for part in inputs]))
        result = errors(unet, scheduler, win, lose, noise, times, words)
        hook.remove()
        return result

    monkeypatch.setattr(dpo, "_errors", watched)
    train_dpo(folder, pairs, replace(SETTINGS, steps=1), tmp_path)
    policy, reference = seen
    for one, other in zip(policy, reference, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    noisy, times, words = policy
    assert torch.equal(*times.chunk(2))
    assert torch.equal(*words.chunk(2))
    assert not torch.equal(*noisy.chunk(2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preference": "tie"}, "t/0: a pair must have a winner, got the preference 'tie'"),
        ({"prompt": None}, "t/0: a pair must be of videos and have a prompt, got video, None"),
        ({"kind": "image"}, "t/0: a pair must be of videos and have a prompt, got image"),
    ],
)
def test_pairs_that_teach_nothing_are_refused(folder, pairs, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        train_dpo(folder, [replace(pairs[0], **change)], SETTINGS, tmp_path)


def test_files_are_checked_before_anything_starts(folder, pairs, tmp_path):
    with pytest.raises(ValueError, match="there are no pairs"):
        train_dpo(folder, [], SETTINGS, tmp_path)
    missing = replace(pairs[0], first=tmp_path / "missing.mp4")
    with pytest.raises(ValueError, match=r"1 of 6 files cannot be read:\n.*missing.mp4: the file is missing"):
        train_dpo(folder, [missing, *pairs[1:]], SETTINGS, tmp_path)
    write_clips(np.zeros((1, 4, 16, 32, 3), np.uint8), [tmp_path / "wide.mp4"])
    wide = replace(pairs[0], first=tmp_path / "wide.mp4")
    with pytest.raises(ValueError, match=r"24 x 16 pixels; expected 32 x 16 as in the first clip"):
        train_dpo(folder, [wide], SETTINGS, tmp_path)
    assert not list(tmp_path.glob("log.jsonl"))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("steps", 0, "steps must be at least 1, got 0"),
        ("lora_rank", 0, "lora_rank must be at least 1, got 0"),
        ("beta", 0.0, "beta must be above 0, got 0.0"),
        ("learning_rate", -1.0, "learning_rate must be above 0, got -1.0"),
    ],
)
def test_settings_are_checked(name, value, message):
    with pytest.raises(ValueError, match=message):
        DPOSettings(**{name: value})
