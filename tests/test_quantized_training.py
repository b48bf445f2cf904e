"""GRPO on 4-bit and 8-bit weights, both families, on a CPU: adapters learn, the weights below them stay."""

import json
from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

from vqa_lib.models.families import encode
from vqa_lib.models.loading import load_model
from vqa_lib.models.rollouts import respond
from vqa_lib.recipes import RECIPES
from vqa_lib.training.grpo import VideoGRPOTrainer
from vqa_lib.training.run import GRPOSettings, read_log, train_grpo
from vqa_lib.video import FramePolicy

# TRL 1.16 asks models by the name that transformers 5.23 calls old; nothing of ours can change that.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

# InternVL's tiny model answers nothing that parses, so only the rewards that any text earns make it learn.
RECIPE, POLICY = RECIPES["vq_insight/natural"], FramePolicy(count=4)
SMALL = GRPOSettings(
    group=4,
    queries=2,
    steps=2,
    tokens=2000,
    beta=0.04,
    contrast=2,
    max_completion=16,
    learning_rate=1e-2,
    dtype="float32",
    lora_rank=4,
    train_vision=False,
)


def stored(model) -> dict[str, torch.Tensor]:
    return {
        name: value.detach().clone()
        for name, value in model.state_dict().items()
        if isinstance(value, torch.Tensor) and "lora_" not in name
    }


@pytest.fixture(scope="module", params=["qwen", "internvl"])
def family_folder(request, answering_folder, tiny_internvl_folder):
    return {"qwen": answering_folder, "internvl": tiny_internvl_folder}[request.param]


@pytest.fixture
def watched(monkeypatch):
    """The trainer, and its weights without the adapters before the first step; rewards are drawn to differ."""
    seen = {}
    train, rewards = VideoGRPOTrainer.train, VideoGRPOTrainer._calculate_rewards

    def watch(trainer, **options):
        seen["trainer"], seen["before"] = trainer, stored(trainer.model)
        return train(trainer, **options)

    def unlike(trainer, *arguments):
        table = rewards(trainer, *arguments)
        return table + torch.arange(table.numel()).reshape(table.shape) % 5  # else a random model would learn nothing

    monkeypatch.setattr(VideoGRPOTrainer, "train", watch)
    monkeypatch.setattr(VideoGRPOTrainer, "_calculate_rewards", unlike)
    return seen


@pytest.mark.parametrize("quantize", ["4bit", "8bit"])
def test_adapters_learn_on_quantized_weights(watched, family_folder, quantize, videos, frame_cache, tmp_path):
    settings = replace(SMALL, quantize=quantize)
    trained = train_grpo(family_folder, videos[:4], RECIPE, settings, POLICY, tmp_path, frame_cache)

    trainer = watched["trainer"]
    assert trainer.ref_model is None  # reference log-probabilities come with the adapter off
    assert getattr(trainer.model.get_base_model(), f"is_loaded_in_{quantize}")
    after = stored(trainer.model)
    assert after.keys() == watched["before"].keys()
    assert all(torch.equal(value, after[name]) for name, value in watched["before"].items())

    first, second = read_log(tmp_path / "log.jsonl")
    assert abs(first["kl"]) < 1e-6
    assert second["kl"] > 1e-6
    assert first["grad_norm"] > 0

    saved = load_file(trained / "adapter_model.safetensors")
    facts = json.loads((trained / "adapter_config.json").read_text())
    assert (facts["peft_type"], facts["r"], facts["base_model_name_or_path"]) == ("LORA", 4, str(family_folder))
    assert {value.dtype for value in saved.values()} == {torch.float32}
    assert all("language_model" in name for name in saved)
    assert any(value.abs().max() > 1e-3 for name, value in saved.items() if "lora_B" in name)
    assert not (trained / "model.safetensors").exists()

    plain = PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained(family_folder), trained)
    held = {name: value for name, value in plain.state_dict().items() if "lora_" in name}
    assert {name.replace(".default", ""): value for name, value in held.items()}.keys() == saved.keys()
    assert all(torch.equal(value, saved[name.replace(".default", "")]) for name, value in held.items())
    model, processor = load_model(trained)
    prompt = encode(processor, [(frame_cache.get(videos[0].path, "video", POLICY), "video")], "Rate it.")
    assert len(respond(model, processor, [prompt], 4)[0]) == 1


@pytest.mark.parametrize("quantize", ["4bit", "8bit"])
def test_going_on_from_an_adapter_and_from_a_checkpoint(
    watched, answering_folder, quantize, videos, frame_cache, tmp_path, monkeypatch
):
    """The start is the base with the first adapter in it, quantised; the second run is cut after its first step."""
    first = train_grpo(
        answering_folder, videos[:4], RECIPE, replace(SMALL, steps=1), POLICY, tmp_path / "first", frame_cache
    )
    settings = replace(SMALL, quantize=quantize, checkpoint_every=1)
    whole = train_grpo(first, videos[:4], RECIPE, settings, POLICY, tmp_path / "whole", frame_cache)
    merged, _ = load_model(first)
    start = AutoModelForImageTextToText.from_pretrained(tmp_path / "whole" / "start", dtype=torch.float32)
    for name, value in merged.state_dict().items():
        assert torch.equal(value, start.state_dict()[name])

    compute = VideoGRPOTrainer._compute_loss

    def cut(trainer, model, inputs):
        if trainer.state.global_step == 1:
            raise KeyboardInterrupt
        return compute(trainer, model, inputs)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(VideoGRPOTrainer, "_compute_loss", cut)
        train_grpo(first, videos[:4], RECIPE, settings, POLICY, tmp_path / "cut", frame_cache)
    cut = train_grpo(first, videos[:4], RECIPE, settings, POLICY, tmp_path / "cut", frame_cache)
    ours, theirs = (load_file(folder / "adapter_model.safetensors") for folder in (cut, whole))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quantize": "2bit"}, "quantize must be \"\" or one of 4bit, 8bit; got '2bit'"),
        ({"quantize": "4bit", "lora_rank": 0}, "quantize='4bit' needs adapters: lora_rank must be at least 1"),
    ],
)
def test_settings_that_contradict_each_other(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)
