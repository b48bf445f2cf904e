"""`vqa plan`: predicted memory against real steps of the trainer, predicted arithmetic against PyTorch's counter."""

import importlib.util
import sys
from dataclasses import replace

import pytest
import torch
from peft import get_peft_model
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from vqa_lib.cli import app
from vqa_lib.generation import dpo
from vqa_lib.generation.autoencoder import encode_clips as encode_latents
from vqa_lib.generation.dpo import DPOSettings, _train, recompute_activations
from vqa_lib.generation.sampling import generate_clips, load_generator
from vqa_lib.models.families import encode, encode_clips, freeze_vision
from vqa_lib.models.loading import load_model, lora_config
from vqa_lib.models.packing import completion_log_probs
from vqa_lib.paths import PACKAGE, project
from vqa_lib.plan import advise, parse_size, plan_notebook, plan_text
from vqa_lib.planning.arithmetic import backward, forward
from vqa_lib.planning.generator import PUBLISHED_GENERATORS, generator_shape, predict_generator_memory
from vqa_lib.planning.live_tensors import LiveTensors
from vqa_lib.planning.memory import predict_memory
from vqa_lib.planning.shapes import PUBLISHED, model_shape
from vqa_lib.planning.supervised import predict_supervised_memory, supervised_method, supervised_workload
from vqa_lib.planning.workload import Method, Rows, method, workload
from vqa_lib.recipes import RECIPES

STAGE2, STAGE3 = "vq_insight/stage2_natural", "vq_insight/stage3_united"
STARTER_GENERATOR = PACKAGE / "generation" / "starter_generator"
# peft 0.21 and TRL 1.16 use names that transformers 5.23 has renamed.
RENAMED = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")


@pytest.fixture(scope="module")
def memory():
    """The module benchmarks/memory.py, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("memory_benchmark", project() / "benchmarks/memory.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("Qwen/Qwen2.5-VL-7B-Instruct", 8_292_166_656),
        ("Qwen/Qwen2.5-VL-3B-Instruct", 3_754_622_976),
        ("OpenGVLab/InternVL3-8B-hf", 7_944_373_760),
    ],
)
def test_published_shapes_have_as_many_parameters_as_the_published_weights(model, parameters):
    assert model in PUBLISHED
    assert model_shape(model).parameters == parameters


@pytest.mark.parametrize("folder", ["tiny_folder", "tiny_internvl_folder"])
def test_a_folder_is_counted_without_loading_it(folder, request):
    path = request.getfixturevalue(folder)
    assert model_shape(str(path)).parameters == sum(weight.numel() for weight in load_model(path)[0].parameters())


SHORT = {"max_completion": 16, "queries": 2, "group": 2, "contrast": 1}
LONG_PROMPT = {**SHORT, "frames": 16, "side": 168}


@RENAMED
@pytest.mark.parametrize(
    "changes",
    [
        {**SHORT, "tokens": 160},
        {**LONG_PROMPT, "tuning": "frozen", "tokens": 4096},
        {**LONG_PROMPT, "tuning": "lora", "tokens": 4096, "checkpointing": True, "dtype": "bfloat16"},
        {**SHORT, "tokens": 4096, "dtype": "bfloat16"},
    ],
    ids=["all weights, small pieces", "vision frozen, one piece", "lora in bfloat16, recomputed", "all in bfloat16"],
)
def test_predicted_memory_is_that_of_a_real_step(memory, changes):
    case = memory.Case("test", hidden=384, layers=7, **changes)
    entry = memory.compared(case, memory.measure(case))  # in this process: tensors are counted, not pages
    assert entry["parameters"] > 25e6
    assert 0.75 < entry["ratio"] < 1.25


@RENAMED
@pytest.mark.parametrize(
    "changes",
    [
        {"queries": 4, "tokens": 160},
        {"queries": 2, "tokens": 4096, "frames": 16, "side": 168, "tuning": "frozen"},
        {"queries": 2, "tokens": 4096, "frames": 16, "side": 168, "tuning": "lora", "checkpointing": True},
        {"queries": 4, "tokens": 4096, "dtype": "bfloat16"},
    ],
    ids=["all weights, small pieces", "vision frozen, one piece", "lora, recomputed", "all in bfloat16"],
)
def test_predicted_memory_is_that_of_a_real_supervised_step(memory, tmp_path, changes):
    case = memory.Case("test", hidden=384, layers=7, **changes)
    found = memory.measure_supervised(case)
    memory.write_model(case, tmp_path)
    shape = model_shape(str(tmp_path))
    work = supervised_workload(shape, case.params(), RECIPES["vq_insight/sft_natural"])
    work = replace(work, prompt=found["prompt_tokens"], completion=found["answer_tokens"])
    way = supervised_method(case.params(), gpu=False, checkpointing=case.checkpointing)
    predicted = predict_supervised_memory(shape, work, way, records=case.queries)
    assert 0.75 < predicted.peak / found["peak"] < 1.25


def test_every_part_grows_with_what_it_is_for():
    plan = plan_notebook(STAGE2, "lora")

    def peak(**values) -> float:
        params = plan.params | values
        work = workload(plan.shape, params, plan.recipe)
        return predict_memory(plan.shape, work, method(params)).peak

    smaller = [{"tokens": 4096}, {"max_completion": 256}, {"quantize": "4bit"}, {"quantize": "8bit"}, {"lora_rank": 4}]
    assert all(peak(**values) < peak() for values in smaller)
    assert peak(lora_rank=0) > peak(lora_rank=0, beta=0.0) > peak()
    assert peak(lora_rank=0, train_vision=True) > peak(lora_rank=0)
    assert peak(quantize="4bit") < peak(quantize="8bit")


def test_processes_share_the_rows():
    shape, params = model_shape(next(iter(PUBLISHED))), plan_notebook(STAGE2, "paper").params
    recipe = RECIPES["vq_insight/natural"]
    alone, shared = (workload(shape, params | {"processes": count}, recipe) for count in (1, 8))
    assert (alone.rows, alone.clips, alone.contrast_rows) == (64, 8, 32)
    assert (shared.rows, shared.clips, shared.contrast_rows) == (8, 1, 4)


def test_processes_divide_what_their_file_says():
    """Of p = 8.3 billion weights: 2 and 12 bytes where DeepSpeed trains, 4 and 8 elsewhere."""
    plan = plan_notebook(STAGE2, "paper")
    learnt, weights = plan.shape.parameters - plan.shape.vision.parameters, plan.shape.parameters
    learnt = weights if plan.params["train_vision"] else learnt

    def parts(file: str) -> tuple[float, float, bool]:
        way = method(plan.params | {"accelerate_config": file and f"params/accelerate/{file}.yaml"})
        memory = predict_memory(plan.shape, plan.work, way).phases
        return memory["loss"]["weights"], memory["loss"]["optimiser"], "gathered weights" in memory["sampling"]

    assert parts("") == parts("ddp") == (4 * weights, 8 * learnt, False)
    assert parts("zero2") == (2 * weights, 12 * learnt / 8, False)
    assert parts("zero3") == (2 * weights / 8, 12 * learnt / 8, True)
    assert parts("fsdp") == (4 * weights / 8, 8 * learnt / 8, True)


def test_weights_that_learn_are_float32_and_a_base_below_adapters_is_not():
    params = plan_notebook(STAGE2, "lora").params | {"dtype": "bfloat16"}
    ways = [method(params), method(params | {"lora_rank": 0}), method(params | {"lora_rank": 0, "dtype": "float16"})]
    assert [(way.kept, way.dtype, way.autocast) for way in ways] == [(2, 2, True), (4, 2, True), (4, 4, False)]


@RENAMED
@pytest.mark.parametrize("tuning", ["all", "language", "adapter"])
@pytest.mark.parametrize("family", ["qwen", "internvl"])
def test_arithmetic_is_what_pytorch_counts(memory, make_frames, tmp_path, family, tuning):
    case = memory.Case("test", family=family, hidden=256, layers=3, side=112)
    memory.write_model(case, tmp_path)
    model, processor = load_model(tmp_path)
    if tuning != "all":
        freeze_vision(model)
    if tuning == "adapter":
        model = get_peft_model(model, lora_config(8))
    frames = make_frames(8, height=112, width=112)
    prompts = [encode(processor, [(frames, "video")], "Rate it.") for _ in range(2)]
    completions = [torch.randint(20, 400, (40,)) for _ in range(6)]
    features = None
    if tuning != "all":
        with torch.no_grad():
            features = encode_clips(model, prompts)

    def in_place(_, first, second, **__) -> int:
        return 2 * first[0] * first[1] * second[1]

    # The vocabulary head sums its gradients in place, which the counter would not see.
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: in_place}) as counter:
        log_probs, _ = completion_log_probs(model, prompts, [0, 0, 0, 1, 1, 1], completions, features)
        log_probs.sum().backward()
    shape = model_shape(str(tmp_path))
    params = {"frames": 8, "max_pixels": 112 * 112, "queries": 2, "group": 3, "contrast": 0, "tokens": 4096}
    work = workload(shape, params | {"max_completion": 40}, RECIPES["vq_insight/natural"])
    piece = Rows(2, len(prompts[0].ids) - 1, 6, 41)
    way = Method(4, 4, False, tuning, 8, "", 0.01, False, 1, False, False)
    predicted = forward(shape, work.clip, piece, way) + backward(shape, work.clip, piece, way)
    assert predicted == pytest.approx(counter.get_total_flops(), rel=0.1)


def test_advice_fits_and_the_most_effective_comes_first():
    plan = plan_notebook(STAGE2, "lora")
    changes = advise(plan, 24e9)
    assert [change.needed for change in changes] == sorted(change.needed for change in changes)
    assert changes[0].values == {"quantize": "4bit", "lora_rank": 16}
    assert all(change.needed < plan.memory.needed for change in changes)
    together = advise(plan, 13e9)[-1]
    assert len(together.values) > 2
    assert together.needed < 13e9
    params = plan.params | together.values
    assert predict_memory(plan.shape, workload(plan.shape, params, plan.recipe), method(params)).needed < 13e9


def test_stage_2_is_planned_with_the_model_that_stage_1_starts_from():
    plan = plan_notebook(STAGE2, "paper")
    assert plan.params["model"] == ""
    assert plan.shape.name == "Qwen/Qwen2.5-VL-7B-Instruct"
    assert "vq_insight/stage1_image" in plan_text(plan)
    assert plan.work.contrast_rows == 4  # of 32, over 8 processes
    assert plan_notebook(STAGE2, "paper", ["temporal=false"]).work.contrast_rows == 0
    assert plan_notebook("vq_insight/stage1_image", "paper").work.contrast_rows == 0


def test_without_the_warm_up_the_model_is_the_one_that_the_notebook_names():
    plan = plan_notebook(STAGE2, "paper", ["warm_up=false", "cold_model=Qwen/Qwen2.5-VL-3B-Instruct"])
    assert (plan.shape.name, plan.model_from) == ("Qwen/Qwen2.5-VL-3B-Instruct", "")


@pytest.mark.parametrize("profile", ["lora", "paper"])
def test_supervised_training_has_neither_rollouts_nor_a_reference(profile):
    plan = plan_notebook("vq_insight/baseline_sft", profile, ["task=natural"])
    assert plan.recipe == RECIPES["vq_insight/sft_natural"]
    frozen = ["vision encoding"] if profile == "lora" else []
    assert list(plan.memory.phases) == [*frozen, "loss", "optimiser step"]
    assert "reference model" not in plan.memory.phases["loss"]
    assert plan.work.rows == plan.work.clips == plan.params["queries"]
    assert plan.memory.peak < plan_notebook(STAGE2, profile, ["processes=1", "accelerate_config="]).memory.peak
    assert "one step of supervised training" in plan_text(plan, 80e9)
    assert "sampled" not in plan_text(plan)


def test_a_prompt_about_a_pair_shows_two_clips():
    plans = [plan_notebook("vq_insight/baseline_sft", "lora", [f"task={task}"]) for task in ("multi_dim", "preference")]
    assert plans[1].work.clip.visual == 2 * plans[0].work.clip.visual == 2048


def test_the_judge_of_stage_3_is_planned_as_that_of_stage_2():
    plan, stage2 = plan_notebook(STAGE3, "lora", ["device=cpu"]), plan_notebook("vq_insight/stage2_preference", "lora")
    assert plan.shape == stage2.shape
    assert "what vq_insight/stage2_preference starts from" in plan.model_from
    assert plan.memory == stage2.memory
    assert "The generator is on the device cpu and takes nothing of the GPU." in plan_text(plan)


def test_stage_3_needs_the_larger_of_its_two_parts():
    plan = plan_notebook(STAGE3, "tiny", ["device=cuda"])
    assert plan.needed == max(plan.memory.needed, plan.generator.needed)
    assert plan.memory == plan_notebook(STAGE3, "tiny").memory  # no generator is loaded beside the judge
    text = plan_text(plan, plan.generator.needed - 1)
    assert "in float32, alone on the GPU: making clips, Diffusion-DPO" in text
    assert "lower clip_frames" in text


@pytest.mark.parametrize(("recomputed", "at_once"), [(False, 2**16), (True, 1)], ids=["together", "recomputed, alone"])
def test_predicted_memory_of_a_generator_is_that_of_real_training(tmp_path, monkeypatch, recomputed, at_once):
    monkeypatch.setattr(dpo, "LATENTS_AT_ONCE", at_once)
    pairs, rank, frames = 3, 4, 4
    params = {"generator_dtype": "float32", "adapter": "", "guidance": 3.0, "dpo_pairs": pairs, "dpo_rank": rank}
    params |= {"clip_frames": frames, "width": 80, "height": 56}
    predicted = predict_generator_memory(generator_shape(str(STARTER_GENERATOR)), params, recomputed)
    generator, tracker = load_generator(STARTER_GENERATOR), LiveTensors()
    channels, width = generator.unet.config.in_channels, generator.unet.config.cross_attention_dim
    examples = [tuple(torch.randn(*shape) for shape in ((channels, frames, 7, 10),) * 2 + ((16, width),))] * 3
    parts = [generator.unet, generator.vae, generator.text_encoder]
    for weight in [weight for part in parts for weight in part.parameters()]:
        tracker.add(weight)
    if recomputed:
        recompute_activations(generator.unet)
    with tracker:
        _train(generator, examples, DPOSettings(steps=2, pairs=pairs, lora_rank=rank), tmp_path)
    assert sum(predicted.phases["DPO step"].values()) == pytest.approx(tracker.peak, rel=0.02)


def test_predicted_memory_of_making_and_reading_clips_is_what_they_take():
    params = {"generator_dtype": "float32", "adapter": "", "guidance": 3.0, "dpo_pairs": 1, "dpo_rank": 4}
    params |= {"clip_frames": 8, "width": 80, "height": 56}
    predicted = predict_generator_memory(generator_shape(str(STARTER_GENERATOR)), params).phases
    generator, tracker = load_generator(STARTER_GENERATOR), LiveTensors()
    for part in (generator.unet, generator.vae, generator.text_encoder):
        for weight in part.parameters():
            tracker.add(weight)
    weights = tracker.now
    with tracker:
        clips = generate_clips(generator, ["a red circle"] * 8, list(range(8)), steps=1)
        making = tracker.restart()
        encode_latents(generator.vae, clips[:1])
    assert max(predicted[phase]["activations"] for phase in ("denoising", "decoding")) == pytest.approx(
        making - weights, rel=0.05
    )
    assert predicted["reading clips"]["activations"] == pytest.approx(tracker.peak - weights, rel=0.05)


def test_the_published_generator_fits_24_gb():
    """ModelScope at T2V-Turbo's size, 8 pairs a step of Diffusion-DPO."""
    params = plan_notebook(STAGE3, "qlora", ["device=cpu"]).params
    shape = PUBLISHED_GENERATORS[params["generator"]]
    assert params["dpo_pairs"] == 8
    assert predict_generator_memory(shape, params).needed < 24e9


def test_a_training_on_images_has_one_frame():
    assert plan_notebook("vq_insight/stage1_image", "paper").work.clip.visual == 320


def test_command_says_what_fits_and_what_does_not():
    def run(*arguments) -> str:
        done = CliRunner().invoke(app, ["plan", STAGE2, "--profile", "lora", *arguments])
        assert done.exit_code == 0, done.output
        return done.output

    assert "fits 80.00 GB" in run("--gpu", "80GB")
    refused = run("--gpu", "16GB")
    assert "does NOT fit" in refused
    assert "quantize=4bit" in refused
    assert "prediction" in run()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([STAGE2, "--gpu", "24"], "--gpu: expected a size such as 24GB or 24GiB, got '24'"),
        ([STAGE2, "-p", "model=someone/else"], "model: expected a folder with config.json or one of"),
        ([STAGE2, "-p", "tokns=1"], "unknown parameter 'tokns'; did you mean tokens"),
        (["vq_insight/table3_natural"], "expected a notebook with all settings of GRPO; it has no model"),
        ([STAGE2, "-p", "dtype=int8"], "dtype: expected one of float32"),
        ([STAGE2, "-p", "processes=2", "-p", "accelerate_config=none.yaml"], "accelerate_config: none.yaml: cannot"),
        ([STAGE2, "-p", "group=1"], "group must be at least 2"),
        (["vq_insight/baseline_sft", "-p", "task=all"], "there is no recipe 'vq_insight/all'"),
        (["vq_insight/baseline_sft", "-p", "tokens=0"], "tokens must be at least 1"),
        ([STAGE3, "-p", "device=cuda", "-p", "generator_dtype=half"], "generator_dtype: expected one of float32"),
        ([STAGE3, "-p", "device=cuda", "-p", "generator=none"], "or a folder in diffusers' layout; there is no"),
    ],
)
def test_bad_input_is_one_error(arguments, said):
    done = CliRunner().invoke(app, ["plan", *arguments])
    assert done.exit_code == 1
    assert said in done.output


def test_sizes():
    assert parse_size("24GiB") == 24 * 2**30
    assert parse_size("40 gb") == 40e9


def test_a_completion_longer_than_the_budget_is_a_piece_of_its_own():
    plan = plan_notebook(STAGE2, "lora")
    assert {piece.rows for piece in replace(plan.work, tokens=100).pieces()} == {1}
