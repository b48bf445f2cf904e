"""Loading for both families: quantised, with adapters, and merged."""

import json
import logging
import shutil
import warnings

import numpy as np
import pytest
import torch
from bitsandbytes.nn import Linear4bit, Linear8bitLt
from peft import PeftModel, get_peft_model, prepare_model_for_kbit_training
from torch import nn
from transformers import AutoModelForImageTextToText, AutoProcessor
from typer.testing import CliRunner

from vqa_lib.cli import app
from vqa_lib.models.loading import ModelError, load_model, lora_config, merge_adapter

# peft 0.21 reads a name that transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

PROJECTIONS = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
LINEAR = {"4bit": Linear4bit, "8bit": Linear8bitLt}
# Relative error of the logits, as measured with Qwen and InternVL: 4-bit 9.1 % and 13.4 %, 8-bit 0.7 % and 1.0 %.
NEAR = {"4bit": 0.2, "8bit": 0.02}


@pytest.fixture(scope="module", params=["qwen", "internvl"])
def family_folder(request, tiny_folder, tiny_internvl_folder):
    return {"qwen": tiny_folder, "internvl": tiny_internvl_folder}[request.param]


@pytest.fixture(scope="module")
def inputs(family_folder):
    """An image and a question, as arguments of the model."""
    processor = AutoProcessor.from_pretrained(family_folder)
    dialogue = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Rate the image."}]}]
    text = processor.apply_chat_template(dialogue, add_generation_prompt=True, tokenize=False)
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 56, 56), dtype=np.uint8))
    return processor(text=[text], images=[image], return_tensors="pt")


def logits(model, inputs):
    with torch.no_grad():
        return model.eval()(**inputs).logits.float()


def train_step(model, inputs):
    """One step on the loss; the names of the parameters that got a gradient other than nought."""
    model.train()
    optimizer = torch.optim.SGD((weight for weight in model.parameters() if weight.requires_grad), 0.1)
    model(**inputs, labels=inputs["input_ids"]).loss.backward()
    reached = {name for name, weight in model.named_parameters() if weight.grad is not None and weight.grad.any()}
    optimizer.step()
    optimizer.zero_grad()
    return reached


def linear_layers(model):
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}


@pytest.mark.parametrize("quantize", LINEAR)
class TestQuantized:
    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_language_model_is_quantized_and_nothing_else(self, family_folder, quantize, dtype):
        model, processor = load_model(family_folder, dtype, quantize=quantize)
        layers = linear_layers(model)
        quantized = {name for name, layer in layers.items() if type(layer) is LINEAR[quantize]}
        assert quantized == {name for name in layers if "language_model" in name}
        assert len(quantized) == 7 * 2  # two layers
        for name in set(layers) - quantized:
            assert type(layers[name]) is nn.Linear
            assert layers[name].weight.dtype == getattr(torch, dtype)
        assert "lm_head" in layers
        assert any("vis" in name for name in set(layers) - quantized)
        assert processor.tokenizer.padding_side == "left"

    def test_four_bits_are_nf4_with_double_quantization_computed_in_dtype(self, family_folder, quantize):
        model, _ = load_model(family_folder, "bfloat16", quantize=quantize)
        config = model.config.quantization_config
        if quantize == "8bit":
            assert (config.load_in_8bit, config.load_in_4bit) == (True, False)
        else:
            assert (config.bnb_4bit_quant_type, config.bnb_4bit_use_double_quant) == ("nf4", True)
            assert config.bnb_4bit_compute_dtype == torch.bfloat16

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_forward_is_near_that_in_full_precision(self, family_folder, inputs, quantize, dtype):
        full = logits(load_model(family_folder)[0], inputs)
        error = logits(load_model(family_folder, dtype, quantize=quantize)[0], inputs) - full
        assert 0 < error.norm() / full.norm() < NEAR[quantize]

    @pytest.mark.parametrize("prepare", [False, True])
    def test_adapters_learn_before_and_after_generating(self, family_folder, inputs, quantize, prepare):
        model, _ = load_model(family_folder, quantize=quantize)
        if prepare:
            model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
        model = get_peft_model(model, lora_config(4))
        adapters = {name for name, weight in model.named_parameters() if weight.requires_grad}
        assert len(adapters) == 2 * 7 * 2
        assert all("lora_" in name for name in adapters)
        first = train_step(model, inputs)
        assert first == {name for name in adapters if "lora_B" in name}  # A has no gradient while B is nought
        before = logits(model, inputs)
        generated = model.generate(**inputs, max_new_tokens=3, do_sample=False)
        assert generated.shape[1] > inputs["input_ids"].shape[1]
        assert train_step(model, inputs) == adapters  # fails where 4-bit weights were packed for AVX512
        assert (logits(model, inputs) - before).abs().max() > 1e-4

    def test_says_nothing(self, family_folder, inputs, quantize, caplog):
        with caplog.at_level(logging.INFO, logger="bitsandbytes"):
            logits(load_model(family_folder, quantize=quantize)[0], inputs)
        assert not [record for record in caplog.records if record.name.startswith("bitsandbytes")]

    def test_adapter_is_to_be_merged_first(self, tmp_path, quantize):
        (tmp_path / "adapter_config.json").write_text("{}")
        with pytest.raises(ModelError, match=f"cannot be loaded in {quantize}; merge it first: vqa merge {tmp_path}"):
            load_model(tmp_path, quantize=quantize)


@pytest.mark.parametrize("quantize", ["2bit", "", 4])
def test_unknown_quantization_names_the_choices(tiny_folder, quantize):
    with pytest.raises(ModelError, match=r"quantize must be None or one of \['4bit', '8bit'\], got "):
        load_model(tiny_folder, quantize=quantize)


def test_adapters_are_in_every_projection_of_the_language_model_and_nowhere_else(family_folder):
    model, _ = load_model(family_folder)
    wanted = {
        name
        for name in linear_layers(model)
        if "language_model.layers" in name and name.rsplit(".", 1)[-1] in PROJECTIONS
    }
    assert len(wanted) == len(PROJECTIONS) * model.config.text_config.num_hidden_layers
    adapted = get_peft_model(model, lora_config(4))
    found = {
        name.removeprefix("base_model.model.").removesuffix(".lora_A")
        for name, _ in adapted.named_modules()
        if name.endswith(".lora_A")
    }
    assert found == wanted


@pytest.fixture
def adapter(family_folder, inputs, tmp_path):
    """A folder as peft's `save_pretrained` writes it, its adapter far from nought."""
    model = get_peft_model(load_model(family_folder)[0], lora_config(4))
    torch.manual_seed(0)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weight, std=0.1)
    model.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


class TestMerge:
    def test_merged_is_base_with_adapter_as_plain_peft_loads_it(self, family_folder, adapter, inputs, tmp_path):
        base = AutoModelForImageTextToText.from_pretrained(family_folder)
        without = logits(base, inputs)
        expected = logits(PeftModel.from_pretrained(base, adapter), inputs)
        merge_adapter(adapter, tmp_path / "merged", "float32")
        merged = AutoModelForImageTextToText.from_pretrained(tmp_path / "merged")
        assert (expected - without).abs().max() > 1e-2
        assert (logits(merged, inputs) - expected).abs().max() < 1e-5
        assert (logits(load_model(adapter)[0], inputs) - expected).abs().max() < 1e-5
        assert not (tmp_path / "merged" / "adapter_config.json").exists()

    def test_processor_is_the_adapters_own_or_else_its_bases(self, family_folder, adapter, tmp_path):
        template = AutoProcessor.from_pretrained(family_folder).chat_template
        merge_adapter(adapter, tmp_path / "of_base", "float32")
        assert AutoProcessor.from_pretrained(tmp_path / "of_base").chat_template == template
        processor = AutoProcessor.from_pretrained(family_folder)
        processor.chat_template = "{{ 'own' }}"
        processor.save_pretrained(adapter)
        merge_adapter(adapter, tmp_path / "own", "float32")
        assert AutoProcessor.from_pretrained(tmp_path / "own").chat_template == "{{ 'own' }}"

    @pytest.mark.parametrize("quantize", LINEAR)
    def test_adapter_of_a_quantized_model_is_merged_into_its_whole_base(
        self, family_folder, inputs, tmp_path, quantize
    ):
        model = get_peft_model(load_model(family_folder, quantize=quantize)[0], lora_config(4))
        train_step(model, inputs)
        model.save_pretrained(tmp_path / "adapter")
        merge_adapter(tmp_path / "adapter", tmp_path / "merged", "float32")
        base = AutoModelForImageTextToText.from_pretrained(family_folder)
        expected = logits(PeftModel.from_pretrained(base, tmp_path / "adapter"), inputs)
        assert (logits(load_model(tmp_path / "merged")[0], inputs) - expected).abs().max() < 1e-5
        layers = linear_layers(load_model(tmp_path / "merged", quantize=quantize)[0]).values()
        assert sum(type(layer) is LINEAR[quantize] for layer in layers) == 14

    def test_command_writes_bfloat16(self, adapter, tmp_path):
        output = tmp_path / "merged"
        output.mkdir()  # empty: nothing is lost
        with warnings.catch_warnings(action="error"):  # a user is shown none
            result = CliRunner().invoke(app, ["merge", str(adapter), str(output)])
        assert (result.exit_code, result.stdout) == (0, f"model: {output}\n")
        assert json.loads((output / "config.json").read_text())["dtype"] == "bfloat16"
        assert load_model(output, "bfloat16")[0].lm_head.weight.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("adapter", "output", "options", "message"),
    [
        ("whole", "new", [], "{adapter}: no adapter_config.json is there; expected the folder of an adapter"),
        ("nowhere", "new", [], "{adapter}: no adapter_config.json is there; expected the folder of an adapter"),
        ("adapter", "whole", [], "{output}: is there already; expected a new or an empty folder"),
        ("adapter", "file", [], "{output}: is there already; expected a new or an empty folder"),
        ("adapter", "new", ["--dtype", "int4"], "dtype must be one of ['bfloat16', 'float16', 'float32'], got 'int4'"),
        ("adapter", "new", [], "{adapter}: cannot be loaded as a model with its processor ("),
    ],
)
def test_what_cannot_be_merged_is_one_line(tiny_folder, tmp_path, adapter, output, options, message):
    shutil.copytree(tiny_folder, tmp_path / "whole")
    (tmp_path / "file").write_text("")
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")  # names no base
    adapter, output = tmp_path / adapter, tmp_path / output
    result = CliRunner().invoke(app, ["merge", str(adapter), str(output), *options])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {message.format(adapter=adapter, output=output)}")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "file").read_text() == ""
