"""Models with a motion branch from a plain InternVL and SlowFast, and from the authors' checkpoint."""

import re

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from vqa_lib.cli import app
from vqa_lib.models import motion_weights
from vqa_lib.models.families import core, encode, has_motion
from vqa_lib.models.loading import ModelError, load_model
from vqa_lib.models.motion_weights import add_motion_branch, convert_vqathinker, without_motion
from vqa_lib.models.packing import completion_log_probs
from vqa_lib.models.slowfast import SlowFast, load_slowfast

TINY = {"motion_width": 8, "motion_depths": (1, 1, 1, 1)}


@pytest.fixture
def slowfast(tmp_path, monkeypatch):
    """A file of the published layout, of a SlowFast small enough for tests."""
    torch.manual_seed(1)
    head = {"blocks.6.proj.weight": torch.zeros(400, 288)}
    torch.save({"model_state": SlowFast(8, (1, 1, 1, 1)).state_dict() | head}, tmp_path / "slowfast.pyth")
    monkeypatch.setattr("vqa_lib.models.slowfast.SlowFast", lambda: SlowFast(8, (1, 1, 1, 1)))
    return tmp_path / "slowfast.pyth"


@pytest.fixture
def question(make_frames):
    return [(make_frames(6, width=56), "video")], "Rate it."


def scores(model, processor, question):
    prompt = encode(processor, *question)
    return completion_log_probs(model, [prompt], [0], [torch.tensor([120, 130, 140])])[0]


def test_a_branch_for_a_plain_internvl(tiny_internvl_folder, slowfast, question, tmp_path):
    output = tmp_path / "motion"
    add_motion_branch(tiny_internvl_folder, slowfast, output, "float32", **TINY)
    model, processor = load_model(output)
    plain, plain_processor = load_model(tiny_internvl_folder)
    tower = load_slowfast(slowfast)
    own = core(model).motion_tower.state_dict()
    assert all(torch.equal(own[name], weight) for name, weight in tower.state_dict().items())
    theirs = dict(plain.named_parameters())
    for name, weight in model.named_parameters():
        if "motion" not in name:
            rows = slice(len(theirs[name]))  # the vocabulary has one placeholder more
            assert torch.equal(weight[rows], theirs[name]), name
    text = processor.tokenizer.decode(encode(processor, *question).ids)
    assert "Motion Feature: <img><motion></img>" in text
    assert "otion" not in plain_processor.tokenizer.decode(encode(plain_processor, *question).ids)
    assert torch.isfinite(scores(model, processor, question)).all()


def test_its_options_are_kept(tiny_internvl_folder, slowfast, tmp_path):
    options = {
        "motion_pooling": "chunks",
        "motion_slow": "spread",
        "motion_size": 32,
        "motion_normalisation": "kinetics",
    }
    add_motion_branch(tiny_internvl_folder, slowfast, tmp_path / "motion", "float32", **TINY, **options)
    model, processor = load_model(tmp_path / "motion")
    assert {name: getattr(model.config, name) for name in options} == options
    assert model.config.motion_token_id == processor.tokenizer.convert_tokens_to_ids("<motion_chunk>")


def authors_names(weights: dict) -> dict:
    """A model's weights under the names of the authors' checkpoint (those of InternVLChat, and their two modules)."""
    named = {}
    for name, weight in weights.items():
        for pattern, replacement in (
            (r"^lm_head", "language_model.lm_head"),
            (r"^model\.language_model\.", "language_model.model."),
            (r"^model\.multi_modal_projector\.layer_norm", "mlp1.0"),
            (r"^model\.multi_modal_projector\.linear_1", "mlp1.1"),
            (r"^model\.multi_modal_projector\.linear_2", "mlp1.3"),
            (r"^model\.motion_projector", "motion_mlp"),
            (r"^model\.motion_tower\.blocks", "slowfast_model.feature_extraction"),
            (r"^model\.vision_tower\.", "vision_model."),
            (r"embeddings\.cls_token", "embeddings.class_embedding"),
            (r"embeddings\.position_embeddings", "embeddings.position_embedding"),
            (r"patch_embeddings\.projection", "patch_embedding"),
            (r"encoder\.layer\.", "encoder.layers."),
            (r"attention\.projection_layer", "attn.proj"),
            (r"attention\.([qkv])_proj", r"attn.\1"),
            (r"lambda_(\d)", r"ls\1"),
            (r"layernorm_before", "norm1"),
            (r"layernorm_after", "norm2"),
        ):
            name = re.sub(pattern, replacement, name)
        named[name] = weight.clone()
    for name in [name for name in named if re.search(r"vision.*attn\.q\.", name)]:
        parts = [named.pop(name.replace("attn.q.", f"attn.{part}.")) for part in "qkv"]
        named[name.replace("attn.q.", "attn.qkv.")] = torch.cat(parts)
    return named


@pytest.fixture
def published(tiny_internvl_folder, slowfast, tmp_path, monkeypatch):
    """(the folder of a checkpoint in the authors' layout, the model that it should become)."""
    monkeypatch.setattr(motion_weights, "OFFICIAL", motion_weights.OFFICIAL | TINY)
    add_motion_branch(tiny_internvl_folder, slowfast, tmp_path / "truth", "float32", 3, **motion_weights.OFFICIAL)
    model, processor = load_model(tmp_path / "truth")
    weights = authors_names(model.state_dict())
    for name in ("language_model.model.embed_tokens.weight", "language_model.lm_head.weight"):
        weights[name] = weights[name][:-1].contiguous()  # theirs has no placeholder of its own
    folder = tmp_path / "published"
    folder.mkdir()
    names = sorted(weights)
    for number in range(2):  # in several files, as large checkpoints are
        save_file({name: weights[name] for name in names[number::2]}, folder / f"model-0000{number}.safetensors")
    return folder, model, processor


def test_the_names_are_those_that_were_published(published):
    from safetensors import safe_open

    names = set()
    for file in published[0].iterdir():
        with safe_open(file, "pt") as weights:
            names |= set(weights.keys())
    for name in (
        "vision_model.embeddings.class_embedding",
        "vision_model.encoder.layers.0.attn.qkv.weight",
        "vision_model.encoder.layers.1.ls2",
        "mlp1.3.bias",
        "motion_mlp.1.weight",
        "slowfast_model.feature_extraction.4.multipathway_blocks.1.res_blocks.0.branch2.norm_c.running_mean",
        "language_model.model.layers.0.self_attn.q_proj.bias",
        "language_model.lm_head.weight",
    ):
        assert name in names


def test_the_authors_checkpoint(published, tiny_internvl_folder, question, tmp_path):
    folder, model, processor = published
    convert_vqathinker(folder, tiny_internvl_folder, tmp_path / "converted", "float32")
    converted, converted_processor = load_model(tmp_path / "converted")
    assert (converted.config.motion_slow, converted.config.motion_pooling) == ("spread", "windows")
    torch.testing.assert_close(
        scores(converted, converted_processor, question), scores(model, processor, question), rtol=0, atol=1e-6
    )


def test_a_checkpoint_that_does_not_fit(published, tiny_internvl_folder, tmp_path):
    folder, _, _ = published
    with pytest.raises(ModelError, match=r"no \*\.safetensors are there"):
        convert_vqathinker(tmp_path, tiny_internvl_folder, tmp_path / "a")
    save_file({"optimizer.step": torch.zeros(1)}, folder / "z.safetensors")
    with pytest.raises(ModelError, match=r"1 weights belong to nothing, such as optimizer\.step"):
        convert_vqathinker(folder, tiny_internvl_folder, tmp_path / "b")
    save_file({"motion_mlp.1.bias": torch.zeros(3)}, folder / "z.safetensors")
    with pytest.raises(ModelError, match=r"model\.motion_projector\.1\.bias has the shape \(3,\), not \(64,\)"):
        convert_vqathinker(folder, tiny_internvl_folder, tmp_path / "c")
    (folder / "model-00001.safetensors").unlink()
    (folder / "z.safetensors").unlink()
    with pytest.raises(ModelError, match=r"\d+ weights are missing, such as "):
        convert_vqathinker(folder, tiny_internvl_folder, tmp_path / "d")


def test_bases_and_outputs_that_are_none(tiny_folder, tiny_internvl_folder, slowfast, tmp_path):
    with pytest.raises(ModelError, match="expected an InternVL in transformers' own format, found 'qwen2_5_vl'"):
        add_motion_branch(tiny_folder, slowfast, tmp_path / "a")
    with pytest.raises(ModelError, match="expected a new or an empty folder"):
        add_motion_branch(tiny_internvl_folder, slowfast, tiny_folder)
    with pytest.raises(ModelError, match="dtype must be one of"):
        add_motion_branch(tiny_internvl_folder, slowfast, tmp_path / "a", "float8")
    with pytest.raises(ModelError, match=r"expected pytorchvideo's SLOWFAST_8x8_R50\.pyth"):
        add_motion_branch(tiny_internvl_folder, tmp_path / "none.pyth", tmp_path / "a")


def test_commands(published, tiny_internvl_folder, slowfast, tmp_path):
    runner = CliRunner()
    arguments = [str(tiny_internvl_folder), str(slowfast), str(tmp_path / "a"), "--pooling", "many"]
    failed = runner.invoke(app, ["add-motion", *arguments])
    assert (failed.exit_code, failed.stderr) == (
        1,
        "error: motion_pooling must be one of mean, windows, chunks; got 'many'\n",
    )
    command = [str(published[0]), str(tiny_internvl_folder), str(tmp_path / "b"), "--dtype", "float32"]
    done = runner.invoke(app, ["convert-vqathinker", *command])
    assert (done.exit_code, done.stdout) == (0, f"model: {tmp_path / 'b'}\n")
    assert load_model(tmp_path / "b")[0].config.model_type == "internvl_motion"


def test_without_its_branch_a_model_is_the_plain_one_that_is_left(tiny_motion_folder, question, make_frames, tmp_path):
    folder = without_motion(tiny_motion_folder, tmp_path / "plain")
    model, processor = load_model(folder)
    whole, whole_processor = load_model(tiny_motion_folder)
    assert not has_motion(model) and has_motion(whole)
    text = processor.tokenizer.decode(encode(processor, *question).ids)
    assert "otion" not in text and "Frame6: <img>" in text
    # An image has no motion: of it both say the same.
    still = [(make_frames(1, width=56), "image")], "Rate it."
    assert torch.equal(scores(model, processor, still), scores(whole, whole_processor, still))
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert without_motion(tiny_motion_folder, folder) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    with pytest.raises(ModelError, match="has no motion branch"):
        without_motion(folder, tmp_path / "again")
