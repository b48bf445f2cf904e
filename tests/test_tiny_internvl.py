"""The tiny InternVL: the published classes, frames and images that it sees, and what was saved is what is loaded."""

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    InternVLForConditionalGeneration,
    InternVLProcessor,
)

from vqa_lib.models.families import encode
from vqa_lib.models.loading import ModelError, load_model
from vqa_lib.models.packing import completion_log_probs
from vqa_lib.models.tiny_internvl import build_tiny_internvl

DIALOGUE = "<|im_start|>user\n{visual}\nRate it.<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def internvl(tiny_internvl_folder):
    model = AutoModelForImageTextToText.from_pretrained(tiny_internvl_folder)
    return model.eval(), AutoProcessor.from_pretrained(tiny_internvl_folder)


def question(kind):
    return [{"role": "user", "content": [{"type": kind}, {"type": "text", "text": "Rate it."}]}]


def encoded(processor, kind, pixels):
    """The model's arguments for frames (T, 3, H, W), or for an image (3, H, W)."""
    text = processor.apply_chat_template(question(kind), add_generation_prompt=True, tokenize=False)
    return processor(text=[text], **{f"{kind}s": [pixels]}, return_tensors="pt")


def pixels(*shape):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


def answer(model, inputs):
    return model.generate(**inputs, max_new_tokens=5, do_sample=False)[0, inputs["input_ids"].shape[1] :]


def test_classes_are_those_of_the_published_model(internvl):
    model, processor = internvl
    assert isinstance(model, InternVLForConditionalGeneration)
    assert isinstance(processor, InternVLProcessor)
    assert type(processor.image_processor).__name__ == "GotOcr2ImageProcessor"
    assert type(processor.video_processor).__name__ == "InternVLVideoProcessor"
    assert model.config.text_config.model_type == "qwen2"
    assert processor.tokenizer.padding_side == "left"


def test_template_is_chatml_with_the_system_turn_optional(internvl):
    _, processor = internvl
    text = processor.apply_chat_template(question("video"), add_generation_prompt=True, tokenize=False)
    assert text == DIALOGUE.format(visual="<video>")
    turns = [{"role": "system", "content": "Be brief."}, *question("image"), {"role": "assistant", "content": "3"}]
    assert processor.apply_chat_template(turns, tokenize=False) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\n<IMG_CONTEXT>\nRate it.<|im_end|>\n<|im_start|>assistant\n3<|im_end|>\n"
    )


def test_video_of_four_frames_is_four_tokens_a_frame_and_answered(internvl):
    model, processor = internvl
    inputs = encoded(processor, "video", pixels(4, 3, 56, 84))
    assert inputs["pixel_values"].shape == (4, 3, 56, 56)
    frames = "\n".join(f"Frame{number}: <img>{'<IMG_CONTEXT>' * 4}</img>" for number in range(1, 5))
    assert processor.tokenizer.decode(inputs["input_ids"][0]) == DIALOGUE.format(visual=frames)
    completion = answer(model, inputs)
    assert 1 <= len(completion) <= 5
    assert completion.max() < len(processor.tokenizer)
    shuffled = encoded(processor, "video", pixels(4, 3, 56, 84).flip(0))
    with torch.no_grad():
        change = model(**inputs).logits[0, -1] - model(**shuffled).logits[0, -1]
    assert change.abs().max() > 1e-4  # it looks at the frames, and at their order


@pytest.mark.parametrize(("width", "tiles"), [(56, 1), (84, 7)])  # 3 x 2 tiles and a thumbnail
def test_image_is_tiled_and_answered(internvl, width, tiles):
    model, processor = internvl
    inputs = encoded(processor, "image", pixels(3, 56, width))
    assert inputs["pixel_values"].shape == (tiles, 3, 56, 56)
    assert (inputs["input_ids"] == model.config.image_token_id).sum() == 4 * tiles
    assert 1 <= len(answer(model, inputs)) <= 5


def test_saved_is_loaded(internvl, tmp_path):
    model, processor = internvl
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again = AutoModelForImageTextToText.from_pretrained(tmp_path).state_dict()
    assert again.keys() == model.state_dict().keys()
    assert all(torch.equal(again[name], weight) for name, weight in model.state_dict().items())
    before = encoded(processor, "video", pixels(4, 3, 56, 84))
    after = encoded(AutoProcessor.from_pretrained(tmp_path), "video", pixels(4, 3, 56, 84))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_same_seed_writes_the_same_model(tmp_path):
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        build_tiny_internvl(tmp_path / name, ["a few words"], hidden=64, layers=1, image_size=84, seed=seed)
    one, two, other = (AutoModelForImageTextToText.from_pretrained(tmp_path / name) for name in ("one", "two", "other"))
    assert torch.equal(one.lm_head.weight, two.lm_head.weight)
    assert not torch.equal(one.lm_head.weight, other.lm_head.weight)
    assert one.config.image_seq_length == 9


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"hidden": 96}, "hidden must be a multiple of 64, got 96"),
        ({"image_size": 70}, "image_size must be a multiple of 28, got 70"),
    ],
)
def test_sizes_that_cannot_work_are_refused(tmp_path, size, message):
    with pytest.raises(ValueError, match=message):
        build_tiny_internvl(tmp_path / "model", ["a"], **size)
    assert not (tmp_path / "model").exists()


def test_frames_of_another_size(tiny_internvl_folder, tiny_folder, make_frames):
    shown = [(make_frames(3, width=84), "video"), (make_frames(1, width=84), "image")]
    counts, states = {}, {}
    for size in (None, 56, 84):
        model, processor = load_model(tiny_internvl_folder, image_size=size)
        prompt = encode(processor, shown, "Rate them.")
        counts[size] = int(prompt.token_types.sum())
        assert prompt.visuals[0].pixels.shape[-2:] == (size or 56, size or 56)
        states[size] = completion_log_probs(model, [prompt], [0], [torch.tensor([120, 130])])[0]
    assert counts == {None: 4 * 4, 56: 4 * 4, 84: 4 * 9}
    assert torch.equal(states[None], states[56])
    assert torch.isfinite(states[84]).all() and not torch.equal(states[84], states[56])
    with pytest.raises(ModelError, match="image_size must be a multiple of 28, got 60"):
        load_model(tiny_internvl_folder, image_size=60)
    with pytest.raises(ModelError, match="image_size is for InternVL"):
        load_model(tiny_folder, image_size=56)
