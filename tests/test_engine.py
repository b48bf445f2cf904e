"""The shared engine against plain transformers, for every combination it is made for.

In float32 on one thread; log-probabilities within 1e-5, gradients within 1e-5 of their norm, greedy tokens equal.
"""

import numpy as np
import pytest
import torch
from peft import get_peft_model

from vqa_lib.models import packing, reference
from vqa_lib.models.families import encode, encode_clips, freeze_vision, whole
from vqa_lib.models.loading import load_model, lora_config
from vqa_lib.models.rollouts import draws, sample, sampling_for
from vqa_lib.models.shared_prefix import Stream

# peft asks models by the name that transformers 5.23 calls old; nothing of ours can change that.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

FAMILY_FOLDERS = ["tiny_folder", "tiny_internvl_folder", "tiny_motion_folder"]


@pytest.fixture(params=FAMILY_FOLDERS, ids=["Qwen2.5-VL", "InternVL", "InternVL with motion"])
def folder(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def make_prompts(make_frames):
    """A function that encodes questions about videos, images, pairs and both together."""

    def make(processor, *names):
        wide, tall, square = {"width": 84}, {"height": 84, "width": 56}, {"width": 56}
        shown = {
            "video": [(make_frames(4, **wide), "video")],
            "image": [(make_frames(1, **tall), "image")],
            "pair": [(make_frames(6, fps=15.0, **square), "video"), (make_frames(2, **tall), "video")],
            "image and video": [(make_frames(1, **square), "image"), (make_frames(4, **wide), "video")],
        }
        texts = {"video": "Rate it.", "image": "How good is the image, from 0 to 100?", "pair": "Which is better?"}
        return [encode(processor, shown[name], texts.get(name, "Compare.")) for name in names]

    return make


def load(folder, way: str, quantize: str | None = None):
    """A model made to train in one of the ways, its language model with weights large enough to matter."""
    model, processor = load_model(folder, quantize=quantize)
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1 and "language_model" in name and parameter.is_floating_point():
            torch.nn.init.normal_(parameter, std=0.12)
    if way == "frozen vision":
        freeze_vision(model)
    if way == "LoRA":
        model = get_peft_model(model, lora_config(4))
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
    return model.train(), processor


def random_completions(processor, owners: list[int], seed: int = 0) -> list[torch.Tensor]:
    random, vocabulary = np.random.default_rng(seed), len(processor.tokenizer)
    return [torch.from_numpy(random.integers(100, vocabulary - 5, random.integers(1, 24))) for _ in owners]


def results(model, log_probs, entropies):
    """What is compared: log-probabilities, entropies, and the gradient of a sum with unequal weights."""
    model.zero_grad()
    weights = torch.linspace(-1, 1, log_probs.numel()).view_as(log_probs)
    ((log_probs * weights).sum() + 0.1 * (entropies * weights).sum()).backward()
    gradients = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    return log_probs.detach(), entropies.detach(), gradients


def check_equal(ours, plain, tolerance: float = 1e-5):
    torch.testing.assert_close(ours[0], plain[0], rtol=0, atol=tolerance)
    torch.testing.assert_close(ours[1], plain[1], rtol=0, atol=tolerance)
    assert ours[2].keys() == plain[2].keys()
    assert plain[2]
    difference = sum(float((ours[2][name] - plain[2][name]).square().sum()) for name in plain[2]) ** 0.5
    norm = sum(float(value.square().sum()) for value in plain[2].values()) ** 0.5
    assert norm > 1e-2
    assert difference < tolerance * norm


@pytest.mark.parametrize("way", ["all weights", "frozen vision", "LoRA"])
@pytest.mark.parametrize(
    "names", [["video"], ["image"], ["pair"], ["image", "video", "pair", "image and video"]], ids=" | ".join
)
def test_log_probabilities_and_gradients(folder, make_prompts, way, names):
    model, processor = load(folder, way)
    prompts = make_prompts(processor, *names)
    owners = [number for number in range(len(names)) for _ in range(3 - number % 2)][::-1]  # not in order, unequal
    completions = random_completions(processor, owners)
    plain = results(model, *reference.completion_log_probs(model, prompts, owners, completions, temperature=0.8))
    features = None if way == "all weights" else encode_frozen(model, prompts)
    ours = results(model, *packing.completion_log_probs(model, prompts, owners, completions, features, temperature=0.8))
    check_equal(ours, plain)
    vision = any("visual" in name or "vision_tower" in name for name in plain[2])
    assert vision == (way == "all weights")


def encode_frozen(model, prompts):
    with torch.no_grad():
        return encode_clips(model, prompts)


@pytest.mark.parametrize("way", ["all weights", "LoRA"])
def test_with_gradient_checkpointing(folder, make_prompts, way):
    model, processor = load(folder, way)
    prompts = make_prompts(processor, "video", "pair")
    owners = [0, 1, 0, 1, 1]
    completions = random_completions(processor, owners)
    features = None if way == "all weights" else encode_frozen(model, prompts)
    plain = results(model, *packing.completion_log_probs(model, prompts, owners, completions, features))
    whole(model).activation_checkpointing_enable()
    forwards = []
    layer = whole(model).model.language_model.layers[0].mlp
    layer.register_forward_pre_hook(lambda *_: forwards.append(torch.is_grad_enabled()))
    ours = results(model, *packing.completion_log_probs(model, prompts, owners, completions, features))
    check_equal(ours, plain)
    assert len(forwards) == 2  # computed again in the backward


@pytest.mark.parametrize("quantize", ["4bit", "8bit"])
def test_quantised(folder, make_prompts, quantize):
    """Quantised layers round activations too, so the two ways agree to their noise and not to 1e-5."""
    model, processor = load(folder, "LoRA", quantize)
    prompts = make_prompts(processor, "video", "pair")
    owners = [0, 1, 0, 1]
    completions = random_completions(processor, owners)
    features = encode_frozen(model, prompts)
    plain = results(model, *reference.completion_log_probs(model, prompts, owners, completions))
    ours = results(model, *packing.completion_log_probs(model, prompts, owners, completions, features))
    check_equal(ours, plain, 1e-4 if quantize == "4bit" else 0.05)
    assert all("lora" in name for name in ours[2])


@pytest.mark.parametrize("drawn", [False, True], ids=["greedy", "drawn"])
def test_rollouts(folder, make_prompts, drawn):
    model, processor = load(folder, "LoRA")
    model.eval()
    prompts = make_prompts(processor, "image", "pair", "video")
    settings = sampling_for(processor.tokenizer, 20, temperature=1.1, top_p=0.95)
    uniform = draws([(3, number) for number in range(6)], 20) if drawn else None
    ours = sample(model, prompts, [3, 1, 2], settings, uniform)
    assert ours == reference.sample(model, prompts, [3, 1, 2], settings, uniform)
    assert len({tuple(row) for row in ours}) >= (5 if drawn else 3)


def test_the_order_of_rows_does_not_matter(folder, make_prompts):
    model, processor = load(folder, "frozen vision")
    prompts = make_prompts(processor, "video", "image")
    owners = [0, 1, 0, 1, 0]
    completions = random_completions(processor, owners)
    order = [3, 0, 4, 2, 1]
    with torch.no_grad():
        one, _ = packing.completion_log_probs(model, prompts, owners, completions)
        other, _ = packing.completion_log_probs(
            model, prompts, [owners[row] for row in order], [completions[row] for row in order]
        )
    torch.testing.assert_close(other, one[order], rtol=0, atol=1e-6)


def test_completions_do_not_see_each_other(folder, make_prompts):
    model, processor = load(folder, "frozen vision")
    prompts = make_prompts(processor, "video")
    first, second, third = random_completions(processor, [0, 0, 0])
    with torch.no_grad():
        one, _ = packing.completion_log_probs(model, prompts, [0, 0], [first, second])
        other, _ = packing.completion_log_probs(model, prompts, [0, 0], [first, third])
    torch.testing.assert_close(other[0, : len(first)], one[0, : len(first)], rtol=0, atol=1e-6)


def test_no_mask_over_the_whole_stream(make_prompts, tiny):
    """Memory: what is kept for attention grows with one completion's length, not with the square of the stream's."""
    _, processor = tiny
    model, _ = tiny
    (prompt,) = make_prompts(processor, "video")
    places = [packing.prompt_positions(model, prompt)]
    for count in (1, 8):
        completions = [torch.full((50,), 200)] * count
        inputs = packing.pack([prompt], places, [0] * count, completions, "cpu").inputs
        mask = inputs["attention_mask"]["full_attention"]
        assert isinstance(mask, Stream)
        assert inputs["input_ids"].shape == (1, len(prompt.ids) - 1 + count * 51)
        assert mask.seen.numel() == count * 51 * (len(prompt.ids) - 1 + 51)


def test_only_completion_tokens_reach_the_vocabulary(tiny, make_prompts):
    model, processor = tiny
    prompts = make_prompts(processor, "video", "image")
    seen = []
    packing.share_prefixes(model)
    model.model.register_forward_hook(lambda module, inputs, output: seen.append(output.last_hidden_state.shape[1]))
    packing.completion_log_probs(model, prompts, [0, 1], [torch.full((7,), 200), torch.full((4,), 200)])
    assert seen == [11]


def test_other_masks_are_left_alone(tiny, encoded):
    """A model that has learnt to share prefixes answers plain calls as before."""
    model, _ = tiny
    inputs = reference.plain_inputs(model, encoded)
    with torch.no_grad():
        before = model(**inputs).logits
        packing.share_prefixes(model)
        after = model(**inputs).logits
    real = inputs["attention_mask"].bool()
    assert torch.equal(before[real], after[real])
