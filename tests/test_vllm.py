"""Rollouts by vLLM as far as they can be tried without it: a stand-in takes the place of the package.

It answers with the shared engine's own completions, so a run through it must end where a run without it does.
"""

import base64
import io
import sys
import threading
import types
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from peft import PeftModel, get_peft_model
from transformers import AutoModelForImageTextToText

from vqa_lib.models import vllm_rollouts, vllm_server
from vqa_lib.models.families import encode
from vqa_lib.models.loading import load_model, lora_config
from vqa_lib.models.rollouts import Sampling, sample, sampling_for
from vqa_lib.models.vllm_rollouts import RolloutError
from vqa_lib.perturb import reorder
from vqa_lib.recipes import RECIPES
from vqa_lib.training.run import GRPOSettings, read_log, train_grpo
from vqa_lib.video import FramePolicy, Frames

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

SETTINGS = GRPOSettings(
    group=4,
    queries=2,
    steps=2,
    beta=0.04,
    contrast=2,
    max_completion=28,
    learning_rate=1e-3,
    lora_rank=4,
    dtype="float32",
)


@dataclass
class Output:
    token_ids: list[int]


@dataclass
class RequestOutput:
    outputs: list[Output]


class StandIn:
    """What of `vllm.LLM` the server uses; keeps what it was asked."""

    def __init__(self, folder):
        self.folder, self.asked = folder, []
        _, self.processor = load_model(folder)

    def generate(self, prompts, parameters, lora_request, use_tqdm):
        base = AutoModelForImageTextToText.from_pretrained(self.folder)
        model = PeftModel.from_pretrained(base, lora_request.path).eval()
        outputs = []
        for prompt, parameter in zip(prompts, parameters, strict=True):
            self.asked.append((prompt, parameter, lora_request))
            (video,) = prompt["multi_modal_data"]["video"]
            (rate,) = prompt["mm_processor_kwargs"]["fps"]
            frames = Frames(video, np.arange(len(video)), len(video), rate, np.arange(len(video)) / rate)
            text = prompt["prompt"].split("<|vision_end|>")[1].split("<|im_end|>")[0]
            encoded = encode(self.processor, [(frames, "video")], text)
            uniform = torch.from_numpy(np.random.default_rng(parameter.seed).random((1, parameter.max_tokens)))
            settings = Sampling(parameter.max_tokens, tuple(parameter.stop_token_ids), tuple(parameter.logit_bias))
            outputs.append(RequestOutput([Output(sample(model, [encoded], [1], settings, uniform)[0])]))
        return outputs


@pytest.fixture
def server(monkeypatch, answering_folder):
    """The server as it runs beside vLLM, on a free port, with the stand-in; yields (address, stand-in)."""
    package, lora, request = (
        types.ModuleType("vllm"),
        types.ModuleType("vllm.lora"),
        types.ModuleType("vllm.lora.request"),
    )
    package.SamplingParams = lambda **settings: types.SimpleNamespace(**settings)
    request.LoRARequest = lambda name, number, path: types.SimpleNamespace(name=name, number=number, path=path)
    for module in (package, lora, request):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    model = StandIn(answering_folder)
    running = vllm_server.serve(model, "127.0.0.1", 0)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}", model
    running.shutdown()
    running.server_close()
    thread.join()


def test_a_run_by_the_server(server, answering_folder, videos, frame_cache, tmp_path):
    address, model = server
    settings, recipe = replace(SETTINGS, vllm=address), RECIPES["vq_insight/natural"]
    trained = train_grpo(answering_folder, videos[:4], recipe, settings, FramePolicy(count=4), tmp_path, frame_cache)
    lines = read_log(tmp_path / "log.jsonl")
    assert [line["step"] for line in lines] == [1, 2]
    assert lines[0]["grad_norm"] > 0
    assert len(model.asked) == 2 * 2 * (4 + 2)  # steps x queries x (ordered and contrast)
    assert len({parameter.seed for _, parameter, _ in model.asked}) == 24
    # The second step is sampled from the adapter that the first has changed.
    numbers = [request.number for _, _, request in model.asked]
    assert numbers == [1] * 12 + [2] * 12
    assert (trained / "adapter_model.safetensors").exists()


def test_true_and_shuffled_frames_arrive(server, answering_folder, videos, frame_cache, tmp_path):
    address, model = server
    settings, recipe = replace(SETTINGS, vllm=address, steps=1), RECIPES["vq_insight/natural"]
    train_grpo(answering_folder, videos[:2], recipe, settings, FramePolicy(count=4), tmp_path, frame_cache)
    shown = [frame_cache.get(clip.path, "video", FramePolicy(count=4)).pixels for clip in videos[:2]]
    sent = [prompt["multi_modal_data"]["video"][0] for prompt, _, _ in model.asked]
    ordered = [sum(np.array_equal(frames, clip) for frames in sent) for clip in shown]
    assert ordered == [4, 4]
    others = [frames for frames in sent if not any(np.array_equal(frames, clip) for clip in shown)]
    assert len(others) == 4
    for frames in others:
        assert any(np.array_equal(np.sort(frames, 0), np.sort(clip, 0)) for clip in shown)  # the same frames


def test_equals_sampling_here(server, answering_folder, make_frames, tmp_path):
    """Prompts, sampling settings and the adapter arrive as they are: the stand-in says what we would say."""
    address, stand_in = server
    model, processor = load_model(answering_folder)
    adapted = get_peft_model(model, lora_config(4))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    adapted.save_pretrained(tmp_path / "adapter")
    frames = make_frames(4, total=60, fps=30.0)
    questions = [([(frames, "video")], "Rate it."), ([(reorder(frames, np.array([3, 1, 0, 2])), "video")], "Rate it.")]
    keys, settings = [[(0, 1), (0, 2)], [(0, 3)]], sampling_for(processor.tokenizer, 10)
    found = vllm_rollouts.sample(address, tmp_path / "adapter", 0, processor, questions, keys, settings)
    seeds = [parameter.seed for _, parameter, _ in stand_in.asked]
    uniform = torch.from_numpy(np.stack([np.random.default_rng(seed).random(10) for seed in seeds]))
    prompts = [encode(processor, visuals, text) for visuals, text in questions]
    assert found == sample(adapted.eval(), prompts, [2, 1], settings, uniform)


class TestErrors:
    def ask(self, address, processor, folder, keys):
        frames = Frames(np.zeros((2, 28, 28, 3), np.uint8), np.arange(2), 2, 1.0, np.arange(2.0))
        questions = [([(frames, "video")], "Rate it.")]
        return vllm_rollouts.sample(
            address, folder, 0, processor, questions, keys, sampling_for(processor.tokenizer, 4)
        )

    def test_nobody_there(self, tiny, tmp_path):
        with pytest.raises(RolloutError, match=r"http://127\.0\.0\.1:9: no rollout server answers there"):
            self.ask("http://127.0.0.1:9", tiny[1], tmp_path, [[(0,)]])

    def test_the_servers_own_words(self, server, tiny, tmp_path):
        with pytest.raises(RolloutError, match=r"ValueError: Can't find 'adapter_config\.json'"):
            self.ask(server[0], tiny[1], tmp_path, [[(0,)]])

    def test_a_completion_is_missing(self, server, monkeypatch, tiny, tmp_path):
        monkeypatch.setattr(vllm_server, "generate", lambda *_: {"completions": []})
        with pytest.raises(RolloutError, match="0 completions for 1 rows"):
            self.ask(server[0], tiny[1], tmp_path, [[(0,)]])

    @pytest.mark.parametrize("changes", [{"vllm": "localhost:8000"}, {"vllm": "http://localhost:8000", "lora_rank": 0}])
    def test_settings(self, changes):
        with pytest.raises(ValueError, match="vllm must be the address of a rollout server, and needs lora_rank"):
            replace(SETTINGS, **changes)


def test_an_image_is_one_picture():
    buffer = io.BytesIO()
    np.save(buffer, np.full((1, 28, 28, 3), 7, np.uint8))
    visual = {"kind": "image", "frames": base64.b64encode(buffer.getvalue()).decode()}
    made = vllm_server.vllm_prompt({"dialogue": "Look", "visuals": [visual]})
    assert made["multi_modal_data"]["image"][0].shape == (28, 28, 3)
    assert "mm_processor_kwargs" not in made
