"""The trainer against plain transformers, and whole runs of it on the miniature.

What is compared closely is compared in float32 on one thread; the models are tiny, the code paths are the real ones.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

from vqa_lib.datasets import load_clips
from vqa_lib.models.families import encode
from vqa_lib.models.loading import ModelError, load_model, lora_config
from vqa_lib.models.reference import plain_inputs
from vqa_lib.prompts import PROMPTS
from vqa_lib.recipes import RECIPES
from vqa_lib.records import Pair, Question, Scale, ScoredClip
from vqa_lib.rewards import REWARDS
from vqa_lib.training import common, grpo
from vqa_lib.training.grpo import VideoGRPOTrainer
from vqa_lib.training.pieces import split_rows
from vqa_lib.training.rows import answer_in, reward_columns, training_rows
from vqa_lib.training.run import GRPOSettings, read_log, train_grpo
from vqa_lib.video import FramePolicy

# TRL 1.16 asks models by the name that transformers 5.23 calls old; nothing of ours can change that.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

NATURAL, IMAGE = RECIPES["vq_insight/natural"], RECIPES["vq_insight/image"]
POLICY = FramePolicy(count=6)
SMALL = GRPOSettings(
    group=4,
    queries=2,
    tokens=600,
    steps=2,
    beta=0.04,
    contrast=2,
    max_completion=28,
    learning_rate=1e-3,
    dtype="float32",
)


class PowerCut(Exception):
    """What interrupts a run in these tests."""


def train(folder, clips, recipe, settings, output, cache, policy=POLICY):
    return train_grpo(folder, clips, recipe, settings, policy, output, cache)


def build_trainer(monkeypatch, folder, clips, settings, output, cache, recipe=NATURAL) -> VideoGRPOTrainer:
    """The trainer as `train_grpo` makes it, stopped before its first step."""
    built = []

    def stop(trainer, **_):
        built.append(trainer)
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(VideoGRPOTrainer, "train", stop)
        with pytest.raises(PowerCut):
            train(folder, clips, recipe, settings, output, cache)
    return built[0]


def keep_trainer(monkeypatch) -> list[VideoGRPOTrainer]:
    """The trainers that train from now on, for a look at them afterwards."""
    kept, whole = [], VideoGRPOTrainer.train

    def train_and_keep(trainer, **settings):
        kept.append(trainer)
        return whole(trainer, **settings)

    monkeypatch.setattr(VideoGRPOTrainer, "train", train_and_keep)
    return kept


def weights(folder) -> dict[str, torch.Tensor]:
    files = list(folder.glob("*.safetensors"))
    assert files, f"no weights in {folder}"
    return {name: value for file in files for name, value in load_file(file).items()}


def largest_difference(ours: dict, theirs: dict) -> float:
    assert ours.keys() == theirs.keys()
    return max(float((ours[name].float() - theirs[name].float()).abs().max()) for name in ours)


@pytest.fixture(scope="module")
def mixed_clips(miniature, videos, images):
    """Clips whose prompts have three lengths: small video, image, large video, small video."""
    large = load_clips("lsvq", miniature / "lsvq", "test_1080p")[0]
    return [videos[0], images[0], large, videos[1]]


# ---- log-probabilities and gradients against plain transformers ----------------------------------------------------


WAYS = [
    pytest.param({"train_vision": True}, id="all weights"),
    pytest.param({"train_vision": False}, id="frozen vision tower"),
    pytest.param({"lora_rank": 4}, id="LoRA"),
]


def plain_twin(trainer, folder, settings):
    """The same weights in a model that TRL has never touched."""
    model, _ = load_model(folder)
    if settings.lora_rank:
        model = get_peft_model(model, lora_config(settings.lora_rank))
        model.load_state_dict(trainer.model.state_dict())
    elif not settings.train_vision:
        model.model.visual.requires_grad_(False)
    return model.train()


def plain_log_probabilities(model, prompts, completions, temperature):
    inputs = plain_inputs(model, prompts, completions)
    width = max(map(len, completions))
    logits = model(**inputs).logits[:, -width - 1 : -1] / temperature
    chosen = inputs["input_ids"][:, -width:, None]
    return logits.log_softmax(-1).gather(2, chosen)[..., 0]


@pytest.mark.parametrize("ways", WAYS)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probabilities_and_gradients_equal_plain_transformers(
    monkeypatch, answering_folder, mixed_clips, frame_cache, tmp_path, ways, temperature
):
    """Stock TRL leaves the video out of exactly these numbers, without a word; ours must not."""
    settings = replace(SMALL, queries=4, beta=0.0, temperature=temperature, **ways)
    trainer = build_trainer(monkeypatch, answering_folder, mixed_clips, settings, tmp_path, frame_cache)
    torch.manual_seed(1)
    for name, parameter in trainer.model.named_parameters():
        if "lora_B" in name:  # zero at first: the adapter would change nothing
            torch.nn.init.normal_(parameter, std=0.05)

    trainer.model.train()
    rows = [trainer.train_dataset[number] for number in range(4) for _ in range(settings.group)]
    output = trainer._generate_and_score_completions(rows)
    order = torch.randperm(len(rows))  # TRL shuffles the rows between generation and loss
    ids = torch.cat([output["prompt_ids"], output["completion_ids"]], 1)[order]
    mask = torch.cat([output["prompt_mask"], output["completion_mask"]], 1)[order]
    completion_mask = output["completion_mask"][order].bool()
    width = completion_mask.size(1)

    frames = [frame_cache.get(clip.path, clip.kind, POLICY) for clip in mixed_clips]
    text = PROMPTS["vq_insight/natural"].text
    encoded = [
        encode(trainer.processing_class, [(frame, clip.kind)], text)
        for frame, clip in zip(frames, mixed_clips, strict=True)
    ]
    assert len({len(prompt.ids) for prompt in encoded}) == 3  # ragged
    prompts = [encoded[rows[row]["record"]] for row in order]
    completions = [
        tokens[kept].tolist() for tokens, kept in zip(output["completion_ids"][order], completion_mask, strict=True)
    ]
    assert len({len(completion) for completion in completions}) > 1

    model = plain_twin(trainer, answering_folder, settings)
    plain = plain_log_probabilities(model, prompts, completions, temperature)

    trainer._slots = output["slot"][order]
    ours, entropies, auxiliary = trainer._get_per_token_logps_and_entropies(
        trainer.model, ids, mask, width, compute_entropy=True
    )
    torch.testing.assert_close(ours[completion_mask], plain[completion_mask], rtol=0, atol=1e-5)
    assert entropies.shape == ours.shape
    assert auxiliary is None

    with torch.no_grad():  # in pieces, as for the reference model
        pieces, _, _ = trainer._get_per_token_logps_and_entropies(trainer.model, ids, mask, width, batch_size=3)
    torch.testing.assert_close(pieces[completion_mask], plain[completion_mask], rtol=0, atol=1e-5)

    ours[completion_mask].sum().backward()
    plain[completion_mask].sum().backward()
    found = {name: parameter.grad for name, parameter in trainer.model.named_parameters() if parameter.requires_grad}
    wanted = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert found.keys() == wanted.keys()
    has_vision = any("visual" in name for name in found)
    assert has_vision == (settings.train_vision and not settings.lora_rank)
    found_vector = torch.cat([gradient.flatten() for gradient in found.values()])
    wanted_vector = torch.cat([gradient.flatten() for gradient in wanted.values()])
    assert wanted_vector.norm() > 1e-2
    assert (found_vector - wanted_vector).norm() < 1e-5 * wanted_vector.norm()
    if has_vision:
        assert all(float(gradient.abs().max()) > 0 for name, gradient in wanted.items() if "patch_embed" in name)


def test_the_pictures_matter_to_the_log_probabilities(
    monkeypatch, answering_folder, mixed_clips, frame_cache, tmp_path
):
    """The comparison above would also pass for a model that is blind to its pictures."""
    settings = replace(SMALL, queries=4, beta=0.0)
    trainer = build_trainer(monkeypatch, answering_folder, mixed_clips, settings, tmp_path, frame_cache)
    output = trainer._generate_and_score_completions([trainer.train_dataset[0]] * 4)
    ids = torch.cat([output["prompt_ids"], output["completion_ids"]], 1)
    mask = torch.cat([output["prompt_mask"], output["completion_mask"]], 1)
    width = output["completion_ids"].size(1)
    seen = []
    (visual,) = trainer.bank.prompts[0].visuals
    for shown in (visual, replace(visual, pixels=torch.zeros_like(visual.pixels))):
        trainer.bank.prompts[0] = replace(trainer.bank.prompts[0], visuals=(shown,))
        trainer._slots = output["slot"]
        with torch.no_grad():
            seen.append(trainer._get_per_token_logps_and_entropies(trainer.model, ids, mask, width)[0])
    assert (seen[0] - seen[1]).abs().max() > 1e-3


# ---- whole runs ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def natural_run(answering_folder, videos, frame_cache, tmp_path_factory):
    output = tmp_path_factory.mktemp("natural")
    return train(answering_folder, videos[:8], NATURAL, SMALL, output, frame_cache)


@pytest.fixture(scope="module")
def lora_run(answering_folder, videos, frame_cache, tmp_path_factory):
    output = tmp_path_factory.mktemp("lora")
    settings = replace(SMALL, lora_rank=4, learning_rate=1e-2)
    return train(answering_folder, videos[:8], NATURAL, settings, output, frame_cache)


def check_log(folder, recipe, steps):
    lines = read_log(folder.parent / "log.jsonl")
    assert [line["step"] for line in lines] == list(range(1, steps + 1))
    for line in lines:
        parts = [line[f"rewards/{name}/mean"] for name in recipe.rewards]  # a recipe's own names
        assert line["reward"] == pytest.approx(sum(parts), abs=1e-5)
        assert 0 <= line["unparsed"] <= 1
        assert line["loss"] == pytest.approx(line["loss"])  # a number, not NaN
        assert 0 < line["completions/mean_length"] <= SMALL.max_completion
    return lines


class TestRuns:
    def test_natural_video(self, natural_run, answering_folder):
        lines = check_log(natural_run, NATURAL, 2)
        assert lines[0]["reward_std"] > 0
        assert lines[0]["grad_norm"] > 0
        assert lines[0]["unparsed"] < 1  # else the whole run would test nothing but the format
        assert 0 <= lines[0]["score/mean"] <= 100
        before, after = weights(answering_folder), weights(natural_run)
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert any("visual" in name for name in changed)
        assert any("visual" not in name for name in changed)

    def test_images_in_groups_of_two(self, answering_folder, images, frame_cache, tmp_path):
        settings = replace(SMALL, group=2)
        trained = train(answering_folder, images[:6], IMAGE, settings, tmp_path, frame_cache)
        lines = check_log(trained, IMAGE, 2)
        assert lines[0]["grad_norm"] > 0
        assert largest_difference(weights(answering_folder), weights(trained)) > 1e-4
        assert "rewards/temporal/mean" not in lines[0]

    def test_images_and_videos_together(self, answering_folder, mixed_clips, frame_cache, tmp_path):
        settings = replace(SMALL, queries=4, steps=1)
        lines = check_log(train(answering_folder, mixed_clips, NATURAL, settings, tmp_path, frame_cache), NATURAL, 1)
        assert lines[0]["grad_norm"] > 0

    def test_the_frozen_vision_tower_stays(self, answering_folder, videos, frame_cache, tmp_path):
        settings = replace(SMALL, train_vision=False, steps=1)
        trained = train(answering_folder, videos[:4], NATURAL, settings, tmp_path, frame_cache)
        before, after = weights(answering_folder), weights(trained)
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert changed
        assert not any("visual" in name for name in changed)

    def test_the_folder_says_how_it_was_made(self, natural_run, answering_folder):
        facts = json.loads((natural_run / "trained.json").read_text())
        assert facts["base"] == str(answering_folder)
        assert GRPOSettings(**facts["settings"]) == SMALL

    def test_the_result_loads_like_any_model(self, natural_run, encoded):
        model, _ = load_model(natural_run)
        with torch.no_grad():
            logits = model(**plain_inputs(model, encoded)).logits
        assert torch.isfinite(logits).all()

    def test_a_second_call_returns_at_once(self, monkeypatch, natural_run, answering_folder, videos, frame_cache):
        def refuse(*_, **__):
            raise AssertionError("nothing may be loaded or read")

        before = {path: path.stat().st_mtime_ns for path in natural_run.parent.rglob("*")}
        monkeypatch.setattr(common, "load_model", refuse)
        monkeypatch.setattr(common, "check_readable", refuse)
        again = train(answering_folder, videos[:8], NATURAL, SMALL, natural_run.parent, frame_cache)
        assert again == natural_run
        assert {path: path.stat().st_mtime_ns for path in natural_run.parent.rglob("*")} == before


class TestTasks:
    """Three scores with the clip's text, and pairs mixed with questions, through the same trainer."""

    def test_three_scores(self, answering_folder, videos, frame_cache, tmp_path):
        scores = {"spatial": 40.0, "temporal": 60.0, "alignment": 80.0}
        clips = [replace(clip, scores=scores, prompt="a red ball") for clip in videos[:4]]
        recipe = RECIPES["vq_insight/multi_dim"]
        trained = train(answering_folder, clips, recipe, SMALL, tmp_path, frame_cache)
        lines = check_log(trained, recipe, 2)
        assert lines[0]["unparsed"] == 1  # this model has never been asked for three scores
        assert lines[0]["rewards/multi_dim/mean"] < 0  # the paper's least value

    def test_pairs_and_questions(self, answering_folder, videos, frame_cache, tmp_path):
        pairs = [
            Pair(str(number), first.path, second.path, "video", "first", "genai_bench", "test", "a red ball")
            for number, (first, second) in enumerate(zip(videos[:2], videos[2:4], strict=True))
        ]
        asked = [
            Question(clip.name, clip.path, "video", "Is it sharp?", (), "yes", "visionreward", "train")
            for clip in videos[:2]
        ]
        recipe = RECIPES["vq_insight/preference"]
        settings = replace(SMALL, queries=4, steps=1)
        trained = train(answering_folder, pairs + asked, recipe, settings, tmp_path, frame_cache)
        (line,) = check_log(trained, recipe, 1)
        assert line["unparsed"] == 1  # and never for a choice
        assert "score/mean" not in line


class TestReference:
    """The KL term is taken to the model that the run started from: before the first step it is zero."""

    def check(self, folder):
        first, second = (line["kl"] for line in read_log(folder.parent / "log.jsonl"))
        assert abs(first) < 1e-6
        assert second > 1e-6

    def test_training_all_weights(self, natural_run):
        self.check(natural_run)

    def test_lora(self, lora_run):
        self.check(lora_run)

    def test_in_bfloat16(self, answering_folder, videos, frame_cache, tmp_path):
        # The default of the settings; a reference of another precision would differ by about 1e-3.
        settings = replace(SMALL, dtype="bfloat16", steps=1)
        trained = train(answering_folder, videos[:4], NATURAL, settings, tmp_path, frame_cache)
        assert abs(read_log(trained.parent / "log.jsonl")[0]["kl"]) < 1e-6

    def test_small_steps_are_not_lost_in_bfloat16(self, answering_folder, videos, frame_cache, tmp_path):
        """At the papers' learning rate a step is a fraction of what bfloat16 can add to a weight."""
        settings = replace(SMALL, dtype="bfloat16", steps=1, learning_rate=1e-6)
        trained = train(answering_folder, videos[:4], NATURAL, settings, tmp_path, frame_cache)
        before, after = weights(answering_folder), weights(trained)
        moved = torch.cat([(after[name] - before[name]).abs().flatten() for name in before if "layers" in name])
        assert {value.dtype for value in after.values()} == {torch.float32}
        assert 0.5e-6 < float(moved.median()) < 2e-6

    def test_going_on_from_an_adapter(self, lora_run, videos, frame_cache, tmp_path):
        # TRL loads the reference by the folder's name in the config: of an adapter, that is its base without it.
        self.check(train(lora_run, videos[:8], NATURAL, SMALL, tmp_path, frame_cache))


class TestAdapters:
    def test_saved_in_the_format_of_peft(self, lora_run):
        saved = json.loads((lora_run / "adapter_config.json").read_text())
        assert (saved["peft_type"], saved["r"], saved["lora_alpha"]) == ("LORA", 4, 8)
        names = set(load_file(lora_run / "adapter_model.safetensors"))
        assert names
        assert all("language_model" in name and "visual" not in name for name in names)
        assert not (lora_run / "model.safetensors").exists()

    def test_loading_merges_it(self, lora_run, answering_folder, encoded):
        merged, _ = load_model(lora_run)
        assert not any("lora" in name for name, _ in merged.named_parameters())
        base = AutoModelForImageTextToText.from_pretrained(answering_folder, dtype=torch.float32)
        for name, value in base.model.visual.state_dict().items():
            assert torch.equal(value, merged.model.visual.state_dict()[name])
        inputs = plain_inputs(merged, encoded)
        with torch.no_grad():
            plain = base.eval()(**inputs).logits
            adapted = PeftModel.from_pretrained(base, lora_run).eval()(**inputs).logits
            ours = merged.eval()(**inputs).logits
        torch.testing.assert_close(ours, adapted, rtol=0, atol=1e-4)
        assert (ours - plain).abs().max() > 1e-2

    def test_an_adapter_on_an_adapter_is_not_lost(self, monkeypatch, lora_run, videos, encoded, frame_cache, tmp_path):
        """The stages of a method follow each other: what the second saves must contain the first."""
        kept = keep_trainer(monkeypatch)
        settings = replace(SMALL, lora_rank=4, steps=1, beta=0.0)
        second = train(lora_run, videos[:8], NATURAL, settings, tmp_path, frame_cache)
        model, _ = load_model(second)
        inputs = plain_inputs(model, encoded)
        with torch.no_grad():
            trained = kept[0].model.eval()(**inputs).logits
            torch.testing.assert_close(model.eval()(**inputs).logits, trained, rtol=0, atol=1e-4)

    @pytest.mark.parametrize(
        ("path", "dtype", "message"),
        [
            ("nowhere", "float32", "no such model folder"),
            (".", "float32", "neither config.json nor adapter_config.json is there"),
            (".", "float8", "dtype must be one of"),
        ],
    )
    def test_what_is_not_a_model_is_named(self, tmp_path, path, dtype, message):
        with pytest.raises(ModelError, match=message):
            load_model(tmp_path / path, dtype)


# ---- the contrast group --------------------------------------------------------------------------------------------


class TestContrast:
    @pytest.fixture
    def watched(self, monkeypatch):
        """What the temporal reward is given, which prompts are encoded, and which rows enter the loss."""
        seen = {"rewards": [], "encoded": [], "trained": []}
        temporal, encode_clips, loss = REWARDS["temporal"], grpo.encode_clips, VideoGRPOTrainer._compute_loss

        def watch_reward(completions, **columns):
            seen["rewards"].append({"completions": completions, **columns})
            return temporal(completions, **columns)

        def watch_encoding(model, prompts):
            if not torch.is_grad_enabled():
                seen["encoded"].append(prompts)
            return encode_clips(model, prompts)

        def watch_loss(trainer, model, inputs):
            seen["trained"].append((trainer.bank, inputs))
            return loss(trainer, model, inputs)

        monkeypatch.setitem(REWARDS, "temporal", watch_reward)
        monkeypatch.setattr(grpo, "encode_clips", watch_encoding)
        monkeypatch.setattr(VideoGRPOTrainer, "_compute_loss", watch_loss)
        return seen

    @pytest.mark.parametrize("contrast", [1, 2, 5])
    def test_its_responses_reach_rewards_and_nothing_else(
        self, watched, answering_folder, videos, frame_cache, tmp_path, contrast
    ):
        settings = replace(SMALL, steps=1, beta=0.0, contrast=contrast)
        train(answering_folder, videos[:2], NATURAL, settings, tmp_path, frame_cache)
        (columns,) = watched["rewards"]
        assert len(columns["completions"]) == settings.queries * settings.group
        assert columns["group"] == [0] * 4 + [1] * 4
        for number in (0, 1):
            rows = [row for row in range(8) if columns["group"][row] == number]
            responses = [text for row in rows for text in columns["contrast_completions"][row]]
            assert len(responses) == contrast
            assert all(isinstance(text, str) and "<|" not in text for text in responses)
            assert len({str(columns["target"][row]) for row in rows}) == 1  # a group is one query
        assert sum(len(inputs["completion_ids"]) for _, inputs in watched["trained"]) == 8

    def test_training_sees_the_frames_in_order(self, watched, answering_folder, videos, frame_cache, tmp_path):
        settings = replace(SMALL, steps=1, beta=0.0)
        train(answering_folder, videos[:2], NATURAL, settings, tmp_path, frame_cache)
        _, processor = load_model(answering_folder)
        text = PROMPTS["vq_insight/natural"].text
        ordered = [encode(processor, [(frame_cache.get(c.path, "video", POLICY), "video")], text) for c in videos[:2]]
        by_pixels = {prompt.visuals[0].pixels.numpy().tobytes() for prompt in ordered}
        assert len(by_pixels) == 2
        for bank, inputs in watched["trained"]:
            assert {prompt.visuals[0].pixels.numpy().tobytes() for prompt in bank.prompts} == by_pixels
            for row, slot in zip(inputs["prompt_ids"], inputs["slot"].tolist(), strict=True):
                assert row[-len(bank.prompts[slot].ids) :].tolist() == bank.prompts[slot].ids.tolist()

    def test_shuffled_frames_differ_in_what_the_model_is_given(
        self, watched, answering_folder, videos, frame_cache, tmp_path
    ):
        train(answering_folder, videos[:2], NATURAL, replace(SMALL, steps=1, beta=0.0), tmp_path, frame_cache)
        first, second, first_shuffled, second_shuffled = watched["encoded"][0]
        for ordered, shuffled in ((first, first_shuffled), (second, second_shuffled)):
            assert torch.equal(shuffled.ids, ordered.ids)
            (shuffled,), (ordered,) = shuffled.visuals, ordered.visuals
            assert not torch.equal(shuffled.pixels, ordered.pixels)
            assert torch.equal(shuffled.pixels.flatten().sort()[0], ordered.pixels.flatten().sort()[0])  # same frames
            assert shuffled.seconds_per_grid == ordered.seconds_per_grid

    def test_its_order_follows_from_seed_step_and_clip_alone(
        self, monkeypatch, answering_folder, videos, frame_cache, tmp_path
    ):
        """So that all processes of a step, and a resumed run, shuffle alike whatever else has drawn numbers."""
        trainer = build_trainer(monkeypatch, answering_folder, videos[:2], SMALL, tmp_path, frame_cache)
        visual = (frame_cache.get(videos[0].path, "video", FramePolicy(count=12)), "video")
        first = trainer._contrast_order(0, 0, visual).tolist()
        torch.rand(3)
        np.random.random(3)  # the global state that other code draws from
        assert trainer._contrast_order(0, 0, visual).tolist() == first
        assert trainer._contrast_order(1, 0, visual).tolist() != first
        assert trainer._contrast_order(0, 1, visual).tolist() != first  # the second video of a pair
        trainer.state.global_step += 1
        assert trainer._contrast_order(0, 0, visual).tolist() != first

    def test_images_have_none(self, watched, answering_folder, mixed_clips, frame_cache, tmp_path):
        settings = replace(SMALL, queries=4, steps=1, beta=0.0)
        train(answering_folder, mixed_clips, NATURAL, settings, tmp_path, frame_cache)
        (columns,) = watched["rewards"]
        sizes = {"image": 0, "video": 0}
        for kind, responses in zip(columns["kind"], columns["contrast_completions"], strict=True):
            sizes[kind] += len(responses)
        assert sizes == {"image": 0, "video": 3 * settings.contrast}
        assert [prompt.visuals[0].kind for prompt in watched["encoded"][0][4:]] == ["video"] * 3

    def test_a_recipe_without_the_reward_samples_none(self, watched, answering_folder, videos, frame_cache, tmp_path):
        settings = replace(SMALL, steps=1, beta=0.0)
        train(answering_folder, videos[:2], NATURAL.without("temporal"), settings, tmp_path, frame_cache)
        assert len(watched["encoded"][0]) == 2
        assert watched["rewards"] == []


# ---- engines and pieces --------------------------------------------------------------------------------------------


def reproducible(folder) -> list[dict]:
    lines = read_log(folder.parent / "log.jsonl")
    return [{name: value for name, value in line.items() if name != "step_time"} for line in lines]


@pytest.mark.parametrize(
    "changes",
    [{"engine": "reference"}, {"tokens": 1}, {"tokens": 10**6}],
    ids=["reference", "a row a piece", "at once"],
)
@pytest.mark.parametrize("way", [{}, {"train_vision": False}, {"lora_rank": 4}], ids=["all", "frozen vision", "LoRA"])
def test_a_run_is_the_same_whichever_way_it_is_computed(
    answering_folder, mixed_clips, frame_cache, tmp_path, changes, way
):
    # Adam divides a gradient by its size: where it is all rounding, the step is noise as large as the learning rate.
    settings = replace(SMALL, queries=4, learning_rate=1e-4, **way)
    plain = train(answering_folder, mixed_clips, NATURAL, settings, tmp_path / "one", frame_cache)
    other = train(answering_folder, mixed_clips, NATURAL, replace(settings, **changes), tmp_path / "two", frame_cache)
    assert largest_difference(weights(plain), weights(other)) < 1e-5
    for ours, theirs in zip(reproducible(plain), reproducible(other), strict=True):
        for name in ours:
            if "clip_ratio" not in name and name not in ("entropy", "kl"):  # means over pieces, not over tokens
                assert ours[name] == pytest.approx(theirs[name], abs=1e-4, nan_ok=True), name


def test_split_rows():
    rows = split_rows([2, 0, 1, 0, 2], [100, 100, 300], [10, 20, 30, 40, 50], tokens=220)
    assert rows == [[1, 3], [2], [0], [4]]  # the last prompt is longer than a piece: its rows go alone
    assert split_rows([0] * 4, [100], [10] * 4, tokens=1000) == [[0, 1, 2, 3]]
    assert split_rows([0] * 4, [100], [10] * 4, tokens=1000, at_least=3) == [[0], [1], [2, 3]]
    assert split_rows([0], [100], [10], tokens=1000, at_least=3) == [[0]]


# ---- interruptions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"lora_rank": 4}], ids=["all weights", "LoRA"])
def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(
    monkeypatch, answering_folder, videos, frame_cache, tmp_path, changes
):
    """Cut in step 4, after a checkpoint at step 2: step 3 is done twice and must leave no trace."""
    settings = replace(SMALL, steps=5, checkpoint_every=2, schedule="linear", warmup=1, **changes)
    clips = videos[:6]  # three steps an epoch: the checkpoint lies inside one, the end in the next
    whole = train(answering_folder, clips, NATURAL, settings, tmp_path / "whole", frame_cache)

    compute_loss = VideoGRPOTrainer._compute_loss

    def fail(trainer, model, inputs):
        if trainer.state.global_step == 3:
            raise PowerCut
        return compute_loss(trainer, model, inputs)

    with monkeypatch.context() as patch:
        patch.setattr(VideoGRPOTrainer, "_compute_loss", fail)
        with pytest.raises(PowerCut):
            train(answering_folder, clips, NATURAL, settings, tmp_path / "cut", frame_cache)
    assert not (tmp_path / "cut" / "model" / "trained.json").exists()
    assert [line["step"] for line in read_log(tmp_path / "cut" / "log.jsonl")] == [1, 2, 3]

    cut = train(answering_folder, clips, NATURAL, settings, tmp_path / "cut", frame_cache)
    assert largest_difference(weights(whole), weights(cut)) < 1e-6

    for ours, theirs in zip(reproducible(cut), reproducible(whole), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5, nan_ok=True)
    check_samples(tmp_path / "cut", NATURAL, settings, clips)


def check_samples(run, recipe, settings, clips):
    """One whole group a step, each response with its rewards and an advantage that is the group's own."""
    samples = read_log(run / "samples.jsonl")
    assert [sample["step"] for sample in samples] == list(range(1, settings.steps + 1))
    files = {f"{clip.dataset}/{clip.name}": [str(clip.path)] for clip in clips}
    for sample in samples:
        assert sample["clips"] == files[sample["name"]] and sample["kind"] == "video"
        assert sample["rewards"] == list(recipe.rewards)
        assert len(sample["responses"]) == settings.group
        totals = np.array([sum(value or 0 for value in row["rewards"]) for row in sample["responses"]])
        wanted = (totals - totals.mean()) / (totals.std(ddof=1) + 1e-4)  # TRL's, of the "group"
        assert [row["advantage"] for row in sample["responses"]] == pytest.approx(wanted.tolist(), abs=1e-3)


# ---- what is refused before anything starts ------------------------------------------------------------------------


class TestRefusals:
    @pytest.fixture(autouse=True)
    def nothing_is_loaded(self, monkeypatch):
        def refuse(*_, **__):
            raise AssertionError("the model was loaded before the clips were checked")

        monkeypatch.setattr(common, "load_model", refuse)

    def test_bad_clips_are_named(self, answering_folder, videos, frame_cache, tmp_path):
        torn, gone = tmp_path / "torn.mp4", tmp_path / "gone.mp4"
        torn.write_bytes(videos[0].path.read_bytes()[:1000])
        clips = [*videos[:4], replace(videos[0], path=torn), replace(videos[0], path=gone)]
        with pytest.raises(ValueError, match="2 of 6 files cannot be read") as error:
            train(answering_folder, clips, NATURAL, SMALL, tmp_path / "run", frame_cache)
        assert str(torn) in str(error.value)
        assert f"{gone}: the file is missing" in str(error.value)
        assert not (tmp_path / "run").exists()

    def test_too_few_clips(self, answering_folder, videos, frame_cache, tmp_path):
        with pytest.raises(ValueError, match="1 clips are too few for steps of 2 queries"):
            train(answering_folder, videos[:1], NATURAL, SMALL, tmp_path / "run", frame_cache)
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize(
        ("recipe", "reason"),
        [
            ("finger/sft", "has no rewards"),
            ("vq_insight/preference", "a scored clip needs a prompt for scores"),
            ("vq_insight/multi_dim", "the prompt needs the text"),
        ],
    )
    def test_a_recipe_that_cannot_be_trained_yet(self, answering_folder, videos, frame_cache, tmp_path, recipe, reason):
        with pytest.raises(ValueError, match=reason):
            train(answering_folder, videos, RECIPES[recipe], SMALL, tmp_path / "run", frame_cache)
        assert not (tmp_path / "run").exists()

    def test_a_contrast_recipe_without_contrast_responses(self, answering_folder, videos, frame_cache, tmp_path):
        with pytest.raises(ValueError, match="contrast must be >= 1, got 0"):
            train(answering_folder, videos, NATURAL, replace(SMALL, contrast=0), tmp_path / "run", frame_cache)
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"group": 1}, "group must be at least 2"),  # nothing to compare a response with
        ({"group": 0}, "group must be at least 1"),
        ({"queries": 0}, "queries must be at least 1"),
        ({"tokens": 0}, "tokens must be at least 1"),
        ({"engine": "fast"}, "engine must be one of shared, reference; got 'fast'"),
        ({"max_completion": 0}, "max_completion must be at least 1"),
        ({"checkpoint_every": 0}, "checkpoint_every must be at least 1"),
    ],
)
def test_settings_that_contradict_each_other(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)


# ---- rows, log -----------------------------------------------------------------------------------------------------


def test_truth_is_put_on_the_scale_of_the_answers(tmp_path):
    scores = {"spatial": 2.0, "temporal": 5.0, "alignment": 5.1}
    clip = ScoredClip("a", tmp_path, "video", scores, Scale(1, 5), "lgvq", "all", prompt="a cat")
    columns = reward_columns(clip, PROMPTS["vq_insight/multi_dim"])
    assert columns == {
        "kind": "video",
        "dimensions": ["spatial", "temporal", "consistency"],
        "target": [25.0, 100.0, 100.0],  # the last lies beyond its scale, as a few published scores do
        "scale": (0, 100),
        "choice": None,
        "choices": None,
    }


class TestRows:
    CLIP = ScoredClip("a", Path("a.mp4"), "video", {"overall": 3.0}, Scale(1, 5), "konvid", "all")
    PAIR = Pair("7", Path("a.mp4"), Path("b.mp4"), "video", "second", "genai_bench", "test", "a cat")
    ASKED = Question("1", Path("a.mp4"), "video", "Is it sharp?", (), "yes", "visionreward", "train")

    def test_pairs_and_questions_together(self):
        first, second = training_rows([self.PAIR, self.ASKED], RECIPES["vq_insight/preference"])
        kinds = [part["type"] for part in first["prompt"][0]["content"]]
        assert kinds == ["video", "video", "text"]
        assert '"a cat"' in first["prompt"][0]["content"][-1]["text"]
        assert (first["choice"], first["choices"]) == ("Video B", ["Video A", "Video B"])
        assert [part["type"] for part in second["prompt"][0]["content"]] == ["video", "text"]
        assert second["prompt"][0]["content"][-1]["text"].startswith("Is it sharp? ")
        assert (second["choice"], second["choices"], second["target"]) == ("Yes", ["Yes", "No"], None)

    @pytest.mark.parametrize(
        ("text", "row", "answer"),
        [
            ("<answer>70</answer>", {"choices": None, "dimensions": ["overall"], "scale": (0, 100)}, 70.0),
            ("<answer>170</answer>", {"choices": None, "dimensions": ["overall"], "scale": (0, 100)}, None),
            (
                '<answer>{"spatial": 1, "temporal": 2}</answer>',
                {"choices": None, "dimensions": ["spatial", "temporal"], "scale": (0, 100)},
                {"spatial": 1.0, "temporal": 2.0},
            ),
            ("<answer>Video B</answer>", {"choices": ["Video A", "Video B"]}, "Video B"),
            ("<answer>both</answer>", {"choices": ["Video A", "Video B"]}, None),
        ],
    )
    def test_answers(self, text, row, answer):
        assert answer_in(text, row) == answer

    @pytest.mark.parametrize(
        ("record", "recipe", "message"),
        [
            (CLIP, "vq_insight/preference", "konvid/a: a scored clip needs a prompt for scores"),
            (CLIP, "vq_insight/multi_dim", "konvid/a: the prompt needs the text"),
            (replace(CLIP, prompt="a cat"), "vq_insight/multi_dim", r"konvid/a: has scores for \['overall'\]"),
            (PAIR, "vq_insight/natural", "genai_bench/7: a pair needs a prompt for a choice"),
            (replace(PAIR, preference="tie"), "vq_insight/preference", "and one video that is preferred"),
            (replace(PAIR, prompt=None), "vq_insight/preference", "genai_bench/7: the prompt needs the text"),
            (ASKED, "vq_insight/natural", "visionreward/1: the recipe asks no yes-or-no questions"),
            (replace(ASKED, answer=None), "vq_insight/preference", "or this is none with an answer"),
        ],
    )
    def test_what_does_not_fit(self, record, recipe, message):
        with pytest.raises(ValueError, match=message):
            training_rows([record], RECIPES[recipe])


def test_rows_hold_no_pixels(videos, images):
    rows = training_rows([videos[0], images[0]], NATURAL)
    assert [row["record"] for row in rows] == [0, 1]
    assert [row["prompt"][0]["content"][0] for row in rows] == [{"type": "video"}, {"type": "image"}]
    assert len(json.dumps(rows)) < 2000


class TestReadLog:
    def test_a_line_torn_by_a_crash_is_left_out(self, tmp_path):
        (tmp_path / "log.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"st')
        assert read_log(tmp_path / "log.jsonl") == [{"step": 1}, {"step": 2}]

    def test_damage_elsewhere_is_an_error(self, tmp_path):
        (tmp_path / "log.jsonl").write_text('{"step": 1}\n{"st\n{"step": 3}\n')
        with pytest.raises(ValueError, match="line 2: not JSON"):
            read_log(tmp_path / "log.jsonl")

    def test_no_log_yet(self, tmp_path):
        assert read_log(tmp_path / "log.jsonl") == []
