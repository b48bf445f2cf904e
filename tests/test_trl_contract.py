"""What `VideoGRPOTrainer` takes for granted of TRL's private methods.

Where a test here fails after an update of TRL, read the new source of the method that it names, adapt the override in
`vqa_lib/training/grpo.py`, and run `tests/test_grpo.py`: its comparison with plain transformers is the real check.
"""

import ast
import inspect
import textwrap
from functools import partial

import pytest
import torch
import trl
from datasets import Dataset
from transformers import Trainer
from trl import GRPOConfig, GRPOTrainer
from trl.trainer.utils import RepeatSampler

from vqa_lib.models.dialogue import messages
from vqa_lib.models.loading import load_model
from vqa_lib.training.grpo import VideoGRPOTrainer

# TRL 1.16 asks models by the name that transformers 5.23 calls old; nothing of ours can change that.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

AGAIN = "read its new source, adapt vqa_lib/training/grpo.py, then run tests/test_grpo.py"

# method -> its parameters in the order in which TRL 1.16 passes them
PARAMETERS = {
    "_generate_and_score_completions": ["self", "inputs"],
    "_tokenize_prompts": ["self", "prompts"],
    "_generate_single_turn": [
        "self",
        "prompt_ids",
        "images",
        "multimodal_fields",
        "num_generations",
        "has_tool_images",
    ],
    "_calculate_rewards": ["self", "inputs", "prompts", "completions", "completion_ids_list"],
    "_get_per_token_logps_and_entropies": [
        "self",
        "model",
        "input_ids",
        "attention_mask",
        "logits_to_keep",
        "batch_size",
        "compute_entropy",
        "compute_aux_loss",
        "pixel_values",
        "image_grid_thw",
        "num_images",
        "pixel_attention_mask",
        "spatial_shapes",
        "num_tiles",
        "image_sizes",
        "token_type_ids",
        "mm_token_type_ids",
        "image_position_ids",
    ],
    "_compute_loss": ["self", "model", "inputs"],
    "training_step": ["self", "model", "inputs", "num_items_in_batch"],
    "_get_train_sampler": ["self", "dataset"],
}

# method -> how many values it returns (1: one object)
RETURNED = {
    "_generate_and_score_completions": 1,
    "_tokenize_prompts": 3,
    "_generate_single_turn": 2,
    "_calculate_rewards": 1,
    "_get_per_token_logps_and_entropies": 3,
    "_compute_loss": 1,
    "training_step": 1,
    "_get_train_sampler": 1,
}


def returned_values(function) -> set[int]:
    """How many values the return statements of a function give back, nested functions left out."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body

    def own_returns(node):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Return):
                yield len(child.value.elts) if isinstance(child.value, ast.Tuple) else 1
            elif not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                yield from own_returns(child)

    return set(own_returns(definition))


def test_the_installed_minor_version():
    assert trl.__version__.split(".")[:2] == ["1", "16"], (
        f"vqa_lib was written against TRL 1.16, installed is {trl.__version__}: for each method in PARAMETERS {AGAIN}"
    )


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_parameters_of_what_we_override(name):
    found = list(inspect.signature(getattr(GRPOTrainer, name)).parameters)
    assert found == PARAMETERS[name], f"GRPOTrainer.{name} takes other arguments now: {AGAIN}"


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_our_overrides_take_what_trl_passes(name):
    ours = inspect.signature(getattr(VideoGRPOTrainer, name))
    ours.bind(**dict.fromkeys(PARAMETERS[name]))  # raises TypeError where an argument finds no place
    positional = [p.name for p in ours.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == PARAMETERS[name][: len(positional)]


@pytest.mark.parametrize("name", sorted(RETURNED))
def test_number_of_returned_values(name):
    assert returned_values(getattr(GRPOTrainer, name)) == {RETURNED[name]}, f"GRPOTrainer.{name} returns more: {AGAIN}"


@pytest.mark.parametrize("name", ["_tokenize_prompts", "_generate_single_turn", "_get_per_token_logps_and_entropies"])
def test_our_overrides_return_as_many(name):
    assert returned_values(getattr(VideoGRPOTrainer, name)) == {RETURNED[name]}


def test_every_override_is_watched_here():
    """A new override of a method of TRL has to be added to PARAMETERS and RETURNED."""
    overridden = {
        name
        for name, value in vars(VideoGRPOTrainer).items()
        if not name.startswith("__") and callable(value) and name in vars(GRPOTrainer)
    }
    assert overridden == set(PARAMETERS) == set(RETURNED)


@pytest.mark.parametrize("name", ["_metrics", "_tokenizer", "_step", "num_generations", "reward_funcs"])
def test_attributes_that_we_use(name):
    assert f"self.{name}" in inspect.getsource(GRPOTrainer.__init__), f"GRPOTrainer has no {name} now: {AGAIN}"


def test_groups_are_told_by_their_rows():
    """Rewards find a row's group as row // num_generations: the sampler must deliver groups whole and in order."""
    numbers = list(RepeatSampler(list(range(6)), mini_repeat_count=4, batch_size=2, repeat_count=1, seed=0))
    groups = [numbers[start : start + 4] for start in range(0, len(numbers), 4)]
    assert all(len(set(group)) == 1 for group in groups)
    assert sorted(group[0] for group in groups) == list(range(6))
    source = inspect.getsource(GRPOTrainer._get_train_sampler)
    assert "mini_repeat_count=self.num_generations" in source, AGAIN


def test_a_step_does_nothing_beside_what_ours_does():
    """`training_step` is replaced whole: Trainer's does rollouts, loss and backward, TRL's counts steps and time."""
    source = inspect.getsource(GRPOTrainer.training_step)
    for statement in ("self._step += 1", "self._current_train_step_time", 'self._metrics["train"]["step_time"]'):
        assert statement in source, AGAIN
    source = inspect.getsource(Trainer.training_step)
    for statement in (
        "self._prepare_inputs(inputs)",
        "self.compute_loss(",
        "self.accelerator.backward(loss, **kwargs)",
    ):
        assert statement in source, AGAIN


def test_extra_entries_of_the_batch_are_split_with_it():
    """`slot` rides along in the batch that TRL shuffles and splits."""
    source = inspect.getsource(GRPOTrainer._prepare_inputs)
    assert "shuffle_sequence_dict" in source, AGAIN
    assert "split_tensor_dict" in source, AGAIN


def test_stock_trl_forgets_the_video(tiny_folder, make_frames, tmp_path):
    """Why we override: given a video, TRL samples with it and takes log-probabilities without it, and says nothing.

    Where this fails, TRL has learnt videos: then look whether the overrides of log-probabilities are still needed.
    """
    model, processor = load_model(tiny_folder)
    seen = {True: set(), False: set()}  # with gradient, as in the loss, and without, as in sampling

    def watch(module, positional, inputs):
        seen[torch.is_grad_enabled()] |= {name for name, value in inputs.items() if value is not None}

    model.model.register_forward_pre_hook(watch, with_kwargs=True)
    frames = make_frames(4)
    video = torch.from_numpy(frames.pixels).permute(0, 3, 1, 2)
    prompt = messages(["video"], "Rate it.")
    prompt[0]["content"][0]["video"] = video
    rows = Dataset.from_list([{"number": number} for number in range(2)])
    rows.set_transform(lambda batch: {"prompt": [prompt for _ in batch["number"]]})
    config = GRPOConfig(
        output_dir=str(tmp_path),
        use_cpu=True,
        bf16=False,
        activation_checkpointing=False,
        per_device_train_batch_size=2,
        num_generations=2,
        max_completion_length=4,
        max_steps=1,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        log_multimodal=False,
        chat_template_kwargs={"processor_kwargs": {"video_metadata": [frames.metadata] * 2}},
    )
    reward = partial(lambda completions, **_: [float(row) for row in range(len(completions))])
    GRPOTrainer(model, reward, args=config, train_dataset=rows, processing_class=processor).train()
    pictures = {"pixel_values_videos", "mm_encoder_outputs"}
    assert "input_ids" in seen[True]
    assert seen[False] & pictures
    assert not seen[True] & pictures
