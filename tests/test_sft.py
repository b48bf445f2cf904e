"""Supervised finetuning: what is written as truth, the loss against plain transformers, whole runs, interruptions."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from out_of_memory import run_out
from safetensors.torch import load_file

from vqa_lib.answers import parse_choice, parse_dimensions, parse_score
from vqa_lib.datasets.videofeedback import DIMENSIONS
from vqa_lib.models.families import encode
from vqa_lib.models.loading import load_model
from vqa_lib.models.reference import plain_inputs
from vqa_lib.prompts import PROMPTS
from vqa_lib.recipes import RECIPES, Recipe
from vqa_lib.records import Pair, Question, Scale, ScoredClip, rescale
from vqa_lib.training import common, sft
from vqa_lib.training.common import NotANumber, read_log, visuals_of
from vqa_lib.training.responses import true_response
from vqa_lib.training.rows import question_of
from vqa_lib.training.sft import SFTSettings, VideoSFTTrainer, train_sft
from vqa_lib.video import FramePolicy

# peft 0.21 reads a name that transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

NATURAL, PREFERENCE = RECIPES["vq_insight/sft_natural"], RECIPES["vq_insight/sft_preference"]
POLICY = FramePolicy(count=4)
SMALL = SFTSettings(queries=2, steps=2, tokens=400, learning_rate=1e-3, dtype="float32")


class PowerCut(Exception):
    """What interrupts a run in these tests."""


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found = {name: value for file in folder.glob("*.safetensors") for name, value in load_file(file).items()}
    assert found
    return found


def largest_difference(ours: dict, theirs: dict) -> float:
    assert ours.keys() == theirs.keys()
    return max(float((ours[name].float() - theirs[name].float()).abs().max()) for name in ours)


# ---- what is to be written -----------------------------------------------------------------------------------------

FILE = Path("a.mp4")
CLIP = ScoredClip("a", FILE, "video", {"overall": 4.0}, Scale(1, 5), "konvid", "all")
THREE = ScoredClip(
    "b", FILE, "video", {"spatial": 40, "temporal": 5, "alignment": 102}, Scale(0, 100), "lgvq", "all", None, "a cat"
)
FIVE = ScoredClip(
    "f", FILE, "video", dict(zip(DIMENSIONS, (1.0, 2.0, 3.0, 4.0, 1.5), strict=True)), Scale(1, 4), "finger", "test"
)
PAIR = Pair("c", FILE, Path("b.mp4"), "video", "second", "genai_bench", "test", "a cat")
ASKED = Question("d", FILE, "video", "Is it sharp?", (), "no", "visionreward_questions", "train")


@pytest.mark.parametrize(
    ("record", "recipe", "reasoning", "expected"),
    [
        (CLIP, "vq_insight/sft_natural", None, "<answer> 75.00 </answer>"),
        (CLIP, "vqathinker/sft", None, "<answer> 4.00 </answer>"),
        (CLIP, "q_insight", "sharp", '<think> sharp </think> <answer> {"rating": 4.00} </answer>'),
        (
            THREE,
            "vq_insight/sft_multi_dim",
            None,
            '<answer> {"spatial": 40.00, "temporal": 5.00, "consistency": 100.00} </answer>',
        ),
        (PAIR, "vq_insight/sft_preference", None, "<answer> Video B </answer>"),
        (ASKED, "vq_insight/sft_preference", None, "<answer> No </answer>"),
        (ASKED, "finger/sft", None, "No"),
        (ASKED, "finger/sft_reason", "a blur", "<reason> a blur </reason> <answer> No </answer>"),
    ],
)
def test_true_responses(record, recipe, reasoning, expected):
    assert true_response(record, question_of(record, RECIPES[recipe]), reasoning) == expected


@pytest.mark.parametrize("name", sorted(PROMPTS))
def test_a_true_response_is_read_as_the_truth(name):
    """Of every prompt but those that ask for no tags, which no parser reads."""
    prompt = PROMPTS[name]
    rated = FIVE if len(prompt.dimensions) == 5 else THREE
    record = ASKED if "{question}" in prompt.text else PAIR if prompt.choices else rated if prompt.dimensions else CLIP
    record = replace(ASKED, options=("sharp", "blurred"), answer="B") if "{options}" in prompt.text else record
    text = true_response(record, prompt, "sharp" if prompt.reasoning else None)
    if name == "finger/answer":
        assert text == "No"
    elif prompt.choices:
        assert parse_choice(text, prompt.choices) == prompt.choices[1]
    elif prompt.dimensions:
        scores = FIVE.scores if record is FIVE else {"spatial": 40, "temporal": 5, "consistency": 100}
        assert parse_dimensions(text, prompt.dimensions, prompt.scale) == scores
    else:
        assert parse_score(text, prompt.scale) == rescale(CLIP.mos, CLIP.scale, prompt.scale)


@pytest.mark.parametrize(
    ("prompt", "reasoning", "message"),
    [
        ("vq_insight/natural", None, "konvid/a: the prompt asks for reasoning in <think>, and none is given"),
        ("vq_insight/natural_answer", "sharp", "konvid/a: reasoning is given, but the prompt asks for the answer"),
    ],
)
def test_prompt_and_reasons_belong_together(prompt, reasoning, message):
    with pytest.raises(ValueError, match=message):
        true_response(CLIP, PROMPTS[prompt], reasoning)


# ---- loss and gradient against plain transformers --------------------------------------------------------------------


def build_trainer(monkeypatch, folder, records, recipe, settings, output, cache) -> VideoSFTTrainer:
    """The trainer as `train_sft` makes it, stopped before its first step."""
    built = []

    def stop(trainer, **_):
        built.append(trainer)
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(VideoSFTTrainer, "train", stop)
        with pytest.raises(PowerCut):
            train_sft(folder, records, recipe, settings, POLICY, output, cache)
    return built[0]


@pytest.fixture(scope="module", params=["qwen", "internvl"])
def folder(request, tiny_folder, tiny_internvl_folder):
    return {"qwen": tiny_folder, "internvl": tiny_internvl_folder}[request.param]


@pytest.fixture(scope="module")
def pairs_and_questions(videos):
    pairs = [
        Pair(str(number), first.path, second.path, "video", "first", "genai_bench", "test", "a red ball")
        for number, (first, second) in enumerate(zip(videos[:2], videos[2:4], strict=True))
    ]
    asked = Question(videos[0].name, videos[0].path, "video", "Is it sharp?", (), "yes", "visionreward", "train")
    return [*pairs, asked]


@pytest.mark.parametrize("tokens", [1, 10**6], ids=["a record a piece", "at once"])
@pytest.mark.parametrize(
    "way",
    [{"train_vision": True}, {"train_vision": False}, {"lora_rank": 4}],
    ids=["all weights", "frozen vision", "LoRA"],
)
def test_loss_and_gradient_equal_those_of_plain_labels(
    monkeypatch, folder, pairs_and_questions, frame_cache, tmp_path, way, tokens
):
    settings = replace(SMALL, tokens=tokens, **way)
    trainer = build_trainer(monkeypatch, folder, pairs_and_questions, PREFERENCE, settings, tmp_path, frame_cache)
    model, processor = trainer.model, trainer.processing_class
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # zero at first: the adapter would change nothing
            torch.nn.init.normal_(parameter, std=0.05)

    def gradients() -> torch.Tensor:
        found = [parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None]
        model.zero_grad()
        return torch.cat(found)

    questions = [question_of(record, PREFERENCE) for record in pairs_and_questions]
    prompts = [
        encode(processor, visuals_of(record, POLICY, frame_cache), question.text)
        for record, question in zip(pairs_and_questions, questions, strict=True)
    ]
    responses = [
        processor.tokenizer(true_response(record, question) + processor.tokenizer.eos_token)["input_ids"]
        for record, question in zip(pairs_and_questions, questions, strict=True)
    ]
    assert len({len(prompt.ids) for prompt in prompts}) > 1  # ragged
    inputs = plain_inputs(model, prompts, responses)
    labels = torch.full_like(inputs["input_ids"], -100)
    width = max(map(len, responses))  # responses are padded on the right, prompts on the left
    for row, response in enumerate(responses):
        start = labels.shape[1] - width
        labels[row, start : start + len(response)] = torch.tensor(response)
        assert inputs["input_ids"][row, start : start + len(response)].tolist() == response
    plain = model.train()(**inputs, labels=labels).loss
    plain.backward()
    wanted = gradients()

    loss = trainer.training_step(model, {"records": [0, 1, 2]})
    torch.testing.assert_close(loss, plain.detach(), rtol=0, atol=1e-5)
    found = gradients()
    assert wanted.norm() > 1e-2
    assert (found - wanted).norm() < 1e-5 * wanted.norm()
    if trainer.vision_frozen:  # what was kept of the clips serves as well
        again = trainer.training_step(model, {"records": [0, 1, 2]})
        torch.testing.assert_close(again, loss, rtol=0, atol=1e-6)


# ---- whole runs ------------------------------------------------------------------------------------------------------


def train(folder, records, settings, output, cache, recipe=NATURAL, **options):
    return train_sft(folder, records, recipe, settings, POLICY, output, cache, **options)


@pytest.fixture(scope="module")
def natural_run(tiny_folder, videos, frame_cache, tmp_path_factory):
    settings = replace(SMALL, steps=12, queries=4, train_vision=False, learning_rate=5e-3)
    return train(tiny_folder, videos[:4], settings, tmp_path_factory.mktemp("natural"), frame_cache)


class TestRuns:
    def test_it_learns_and_says_so(self, natural_run, tiny_folder):
        lines = read_log(natural_run.parent / "log.jsonl")
        assert [line["step"] for line in lines] == list(range(1, 13))
        assert lines[-1]["loss"] < 0.6 * lines[0]["loss"]
        before, after = weights(tiny_folder), weights(natural_run)
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert changed
        assert not any("visual" in name for name in changed)

    def test_the_folder_is_a_model_that_says_how_it_was_made(self, natural_run, tiny_folder, encoded):
        facts = json.loads((natural_run / "trained.json").read_text())
        assert facts["base"] == str(tiny_folder)
        assert SFTSettings(**facts["settings"]).steps == 12
        model, _ = load_model(natural_run)
        with torch.no_grad():
            assert torch.isfinite(model(**plain_inputs(model, encoded)).logits).all()

    def test_a_second_call_returns_at_once(self, monkeypatch, natural_run, tiny_folder, videos, frame_cache):
        def refuse(*_, **__):
            raise AssertionError("nothing may be loaded or read")

        monkeypatch.setattr(common, "load_model", refuse)
        monkeypatch.setattr(common, "check_readable", refuse)
        assert train(tiny_folder, videos[:4], SMALL, natural_run.parent, frame_cache) == natural_run

    @pytest.mark.parametrize(("kept", "times"), [(2**30, 1), (0, 3)], ids=["kept", "no room"])
    def test_a_frozen_tower_encodes_a_clip_once(
        self, monkeypatch, tiny_folder, videos, frame_cache, tmp_path, kept, times
    ):
        seen = []
        encode_clips = sft.encode_clips
        monkeypatch.setattr(sft, "encode_clips", lambda model, prompts: seen.append(1) or encode_clips(model, prompts))
        monkeypatch.setattr(sft, "KEPT_BYTES", kept)
        settings = replace(SMALL, steps=None, epochs=3, train_vision=False)
        train(tiny_folder, videos[:4], settings, tmp_path, frame_cache)
        assert len(seen) == 4 * times
        assert len(read_log(tmp_path / "log.jsonl")) == 6

    def test_what_a_frozen_tower_has_seen_is_kept_without_pixels(
        self, monkeypatch, tiny_folder, videos, frame_cache, tmp_path
    ):
        settings = replace(SMALL, train_vision=False)
        trainer = build_trainer(monkeypatch, tiny_folder, videos[:1], NATURAL, settings, tmp_path, frame_cache)
        (visual,) = trainer._example(0).prompt.visuals
        assert visual.pixels.untyped_storage().nbytes() == 0
        assert trainer.kept_bytes > 0

    def test_the_vision_tower_learns_too(self, tiny_folder, videos, frame_cache, tmp_path):
        trained = train(tiny_folder, videos[:3], replace(SMALL, steps=None, epochs=1), tmp_path, frame_cache)
        assert len(read_log(tmp_path / "log.jsonl")) == 2  # two records, and the one that is left
        before, after = weights(tiny_folder), weights(trained)
        assert any("visual" in name and not torch.equal(before[name], after[name]) for name in before)

    def test_with_reasons(self, monkeypatch, tiny_folder, videos, frame_cache, tmp_path):
        recipe = Recipe(prompt="vq_insight/natural", rewards={})
        seen = []
        read = VideoSFTTrainer._example

        def watch(trainer, number):
            example = read(trainer, number)
            seen.append(trainer.processing_class.tokenizer.decode(example.response))
            return example

        monkeypatch.setattr(VideoSFTTrainer, "_example", watch)
        settings = replace(SMALL, steps=1)
        train(tiny_folder, videos[:2], settings, tmp_path, frame_cache, recipe, reasons=lambda clip: f"of {clip.name}")
        assert len(seen) == 2
        for text in seen:
            assert text.startswith("<think> of ")
            assert text.endswith("</answer><|im_end|>")

    def test_small_steps_are_not_lost_in_bfloat16(self, tiny_folder, videos, frame_cache, tmp_path):
        settings = replace(SMALL, dtype="bfloat16", steps=1, learning_rate=1e-6)
        before, after = weights(tiny_folder), weights(train(tiny_folder, videos[:2], settings, tmp_path, frame_cache))
        moved = torch.cat([(after[name] - before[name]).abs().flatten() for name in before if "layers" in name])
        assert 0.5e-6 < float(moved.median()) < 2e-6

    @pytest.mark.parametrize("quantize", ["", "4bit"])
    def test_adapters(self, tiny_folder, videos, frame_cache, tmp_path, quantize):
        settings = replace(SMALL, lora_rank=4, quantize=quantize, learning_rate=1e-2)
        trained = train(tiny_folder, videos[:4], settings, tmp_path, frame_cache)
        names = weights(trained)
        assert all("language_model" in name for name in names)
        assert {value.dtype for value in names.values()} == {torch.float32}
        assert any(bool(value.any()) for name, value in names.items() if "lora_B" in name)
        model, _ = load_model(trained)
        assert not any("lora" in name for name, _ in model.named_parameters())


@pytest.mark.parametrize("call", [1, 2])  # 2: a gradient is there already, and must go
def test_out_of_memory_halves_the_pieces_and_changes_nothing_else(
    monkeypatch, tiny_folder, videos, frame_cache, tmp_path, capfd, call
):
    settings = replace(SMALL, queries=4, tokens=200)
    whole = train(tiny_folder, videos[:4], settings, tmp_path / "whole", frame_cache)
    run_out(monkeypatch, VideoSFTTrainer, "_summed_loss", {call})
    capfd.readouterr()
    short = train(tiny_folder, videos[:4], settings, tmp_path / "short", frame_cache)
    printed = [line for line in capfd.readouterr().out.splitlines() if "memory" in line]
    assert printed == ["step 1: out of memory; going on with tokens=100"]
    assert largest_difference(weights(whole), weights(short)) < 1e-5
    logs = [read_log(model.parent / "log.jsonl") for model in (whole, short)]
    assert [line["loss"] for line in logs[0]] == pytest.approx([line["loss"] for line in logs[1]], abs=1e-5)


def test_out_of_memory_twice_in_a_step_ends_with_advice(monkeypatch, tiny_folder, videos, frame_cache, tmp_path):
    run_out(monkeypatch, VideoSFTTrainer, "_summed_loss", {1, 2})
    with pytest.raises(RuntimeError, match=r"step 1: out of memory: lower tokens \(now 200\), max_pixels, or frames"):
        train(tiny_folder, videos[:4], SMALL, tmp_path, frame_cache)


@pytest.mark.parametrize("changes", [{}, {"lora_rank": 4}], ids=["all weights", "LoRA"])
def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(
    monkeypatch, tiny_folder, videos, frame_cache, tmp_path, changes
):
    """Cut in step 4, after a checkpoint at step 2: step 3 is done twice and must leave no trace."""
    settings = replace(SMALL, steps=5, checkpoint_every=2, schedule="linear", warmup=1, **changes)
    clips = videos[:6]  # three steps an epoch: the checkpoint lies inside one, the end in the next
    whole = train(tiny_folder, clips, settings, tmp_path / "whole", frame_cache)
    training_step, order = VideoSFTTrainer.training_step, []

    def fail(trainer, model, inputs, *rest):
        if trainer.state.global_step == 3:
            raise PowerCut
        return training_step(trainer, model, inputs, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(VideoSFTTrainer, "training_step", fail)
        with pytest.raises(PowerCut):
            train(tiny_folder, clips, settings, tmp_path / "cut", frame_cache)
    assert not (tmp_path / "cut" / "model" / "trained.json").exists()
    assert [line["step"] for line in read_log(tmp_path / "cut" / "log.jsonl")] == [1, 2, 3]

    def watch(trainer, model, inputs, *rest):
        order.extend(inputs["records"])
        return training_step(trainer, model, inputs, *rest)

    monkeypatch.setattr(VideoSFTTrainer, "training_step", watch)
    cut = train(tiny_folder, clips, settings, tmp_path / "cut", frame_cache)
    assert len(order) == 6  # steps 3 to 5
    assert largest_difference(weights(whole), weights(cut)) < 1e-6
    for ours, theirs in zip(
        read_log(tmp_path / "cut" / "log.jsonl"), read_log(tmp_path / "whole" / "log.jsonl"), strict=True
    ):
        assert ours == pytest.approx(theirs, abs=1e-5)


# ---- what is refused -----------------------------------------------------------------------------------------------


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"queries": 0}, "queries must be at least 1, got 0"),
            ({"tokens": 0}, "tokens must be at least 1, got 0"),
            ({"quantize": "2bit"}, "quantize must be"),
            ({"quantize": "4bit"}, "lora_rank must be at least 1, got 0"),
        ],
    )
    def test_settings(self, changes, message):
        with pytest.raises(ValueError, match=message):
            replace(SMALL, **changes)

    @pytest.mark.parametrize(
        ("recipe", "count", "message"),
        [
            (NATURAL, 0, "no records"),
            (RECIPES["vq_insight/natural"], 2, "the prompt asks for reasoning in <think>"),
            (PREFERENCE, 2, "a scored clip needs a prompt for scores"),
        ],
    )
    def test_before_anything_is_loaded(self, monkeypatch, videos, frame_cache, tmp_path, recipe, count, message):
        monkeypatch.setattr(sft, "start_model", None)
        with pytest.raises(ValueError, match=message):
            train("no model", videos[:count], SMALL, tmp_path / "run", frame_cache, recipe)
        assert not (tmp_path / "run").exists()

    def test_unreadable_files_are_named(self, videos, frame_cache, tmp_path):
        gone = replace(videos[0], path=tmp_path / "gone.mp4")
        with pytest.raises(ValueError, match=r"1 of 2 files cannot be read:\n.*gone.mp4: the file is missing"):
            train("no model", [videos[1], gone], SMALL, tmp_path / "run", frame_cache)

    def test_a_loss_that_is_no_number_names_the_step(self, monkeypatch, tiny_folder, videos, frame_cache, tmp_path):
        nothing = torch.tensor(float("nan"), requires_grad=True)
        monkeypatch.setattr(VideoSFTTrainer, "_summed_loss", lambda *_: nothing)
        with pytest.raises(NotANumber, match=r"step 1: the loss is nan; the step's records: \['lsvq/"):
            train(tiny_folder, videos[:2], SMALL, tmp_path / "run", frame_cache)
