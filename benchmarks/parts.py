"""What is measured: a function for each kind of part, each returning one key of bench.json."""

import itertools
import shutil
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from benchmarks import memory, ours, per_rollout, stock
from benchmarks.setting import Setting
from benchmarks.timing import alternate, count_operations, describe_device, entry, matmul_rate
from vqa_lib.entity_grammar import grammar_questions
from vqa_lib.frame_cache import FrameCache
from vqa_lib.models.answer_tokens import answer_tokens
from vqa_lib.models.families import encode
from vqa_lib.prompts import PROMPTS
from vqa_lib.questions import filled
from vqa_lib.video import read_frames

# Largest difference of log-probabilities that still counts as the same: sums in another order, nothing more.
TOLERANCE = {"float32": 1e-4, "bfloat16": 0.5}


def measure_loss(setting: Setting, rounds: int, prompt_to_completion: int) -> dict:
    """Forward and backward of the log-probabilities of K completions of one prompt, all weights trained.

    stock: the method that TRL's loss calls, frames as images in each row. plain: transformers on video rows, the pixels
    repeated. ours: one packed stream. The prompt is `prompt_to_completion` times as long as a completion.
    arithmetic_share: operations of ours, counted, over its median seconds and the rate of the best matrix product.
    """
    (clip,) = setting.clips(1)
    trainer = stock.build_trainer(setting, [clip], loss_only=True)
    model = trainer.model.train()  # one for all three sides: they must not differ in their weights
    if setting.sizes.checkpointing:
        model.gradient_checkpointing_enable()
    prompt = setting.prompt(clip)
    length = len(prompt.ids) // prompt_to_completion
    completions = torch.randint(
        8, len(setting.processor.tokenizer), (setting.sizes.group, length), generator=torch.manual_seed(0)
    )
    completions[torch.isin(completions, torch.tensor(setting.processor.tokenizer.all_special_ids))] = 300
    rows = stock.row_inputs(setting, clip, completions)
    weight = torch.linspace(-1, 1, len(completions), device=setting.device)[:, None]
    forward = {
        "stock": lambda: stock.log_probs(trainer, rows),
        "plain": lambda: stock.plain_log_probs(model, prompt, completions),
        "ours": lambda: ours.completion_log_probs(model, [prompt], [0] * len(completions), list(completions)),
    }
    with torch.no_grad():
        difference = float((forward["plain"]() - forward["ours"]()).abs().max())
    if not difference < TOLERANCE[setting.sizes.dtype]:
        raise RuntimeError(f"ours and plain transformers differ by {difference} in log-probabilities")

    def both_passes(name: str) -> Callable[[], None]:
        def work() -> None:
            (forward[name]() * weight).mean().backward()
            model.zero_grad(set_to_none=True)

        return work

    sides = {name: both_passes(name) for name in forward}
    seconds = alternate(sides, rounds)
    result = entry(
        seconds,
        "stock",
        "ours",
        setting.described(
            completion=length,
            prompt=len(prompt.ids),
            prompt_as_images=rows["input_ids"].shape[1] - length,
            visual_tokens=int((prompt.token_types > 0).sum()),
            visual_tokens_as_images=int(rows["image_grid_thw"][: rows["num_images"][0]].prod(1).sum()) // 4,
            parameters=sum(weights.numel() for weights in model.parameters()),
            parameters_of_language_model=sum(weights.numel() for weights in model.model.language_model.parameters()),
        ),
        describe_device(setting.device),
        largest_difference=difference,
    )
    medians = {name: side["median"] for name, side in result["sides"].items()}
    rate = matmul_rate(setting.device, next(model.parameters()).dtype)
    operations = {name: count_operations(work) for name, work in sides.items()}
    result["ratio_plain"] = medians["plain"] / medians["ours"]
    result["operations"] = operations
    result["matmul_rate"] = rate
    result["arithmetic_share"] = operations["ours"] / medians["ours"] / rate
    result["arithmetic_share_of_each"] = {name: operations[name] / medians[name] / rate for name in sides}
    return result


def measure_step(setting: Setting, rounds: int, against: str, prompt_to_completion: int | None = None) -> dict:
    """A whole GRPO step: rollouts with contrast group, reference, loss, backward, optimiser; `against` and ours.

    Clips, frames, length of responses, batches and optimiser are the same on both sides. Stock TRL and ours take their
    frames from a filled cache; the published structure decodes each clip in each step. The prompt is
    `prompt_to_completion` times as long as a response; None: responses as long as the sizes say. operations_ratio:
    counted operations of both sides; a ratio of seconds beyond it comes from doing operations faster, not fewer.
    """
    clips = setting.clips(setting.sizes.queries)
    if prompt_to_completion:
        length = len(setting.prompt(clips[0]).ids) // prompt_to_completion
        setting = Setting(replace(setting.sizes, step_completion=length), setting.device, setting.folder)
    builders = {
        "stock": lambda: setting.step_with(stock.build_trainer(setting, clips)),
        "per_rollout": lambda: per_rollout.PerRolloutStep(setting, clips),
        "ours": lambda: setting.step_with(ours.build_trainer(setting, clips)),
    }
    sides = {name: builders[name]() for name in (against, "ours")}
    seconds = alternate(sides, rounds)
    sizes = setting.described(prompt=len(setting.prompt(clips[0]).ids))
    result = entry(seconds, against, "ours", sizes, describe_device(setting.device))
    result["operations"] = {name: count_operations(work) for name, work in sides.items()}
    result["operations_ratio"] = result["operations"][against] / result["operations"]["ours"]
    return result


def measure_warm_epoch(setting: Setting, rounds: int) -> dict:
    """Reading the frames of all clips: first epoch into an empty cache, a later one out of it, and without a cache.

    With either reader; the ratio is that of decord, which is the cache's own.
    """
    clips, policy = setting.clips(setting.sizes.cached_clips), setting.sizes.policy
    folders = (setting.folder / f"cache_{number}" for number in itertools.count())
    seconds = {}

    def epoch(read) -> float:
        begin = time.perf_counter()
        for clip in clips:
            read(clip)
        return time.perf_counter() - begin

    readers = ["decord", "pyav"]
    for number in range(rounds + 1):
        for reader in readers if number % 2 == 0 else reversed(readers):
            cache = FrameCache(folder := next(folders), reader=reader)
            through = lambda clip, cache=cache: cache.get(clip.path, clip.kind, policy)  # noqa: E731
            without = lambda clip, reader=reader: read_frames(clip.path, clip.kind, policy, reader)  # noqa: E731
            for side, read in (("first", through), ("later", through), ("no cache", without)):
                spent = epoch(read)
                if number:  # the first time everything is warmed up
                    seconds.setdefault(f"{side}, {reader}", []).append(spent)
            shutil.rmtree(folder)
    result = entry(
        seconds,
        "first, decord",
        "later, decord",
        setting.described(clips=len(clips), file_bytes=sum(clip.path.stat().st_size for clip in clips)),
        describe_device(setting.device),
    )
    medians = {name: side["median"] for name, side in result["sides"].items()}
    result["ratio_pyav"] = medians["first, pyav"] / medians["later, pyav"]
    return result


def measure_scoring(setting: Setting, rounds: int) -> dict:
    """Clips scored greedily: batched by `score_clips`, and one at a time by plain `generate`; the same answers."""
    clips = setting.clips(setting.sizes.scoring_clips)
    for clip in clips:
        setting.frames(clip)  # into the cache: decoding is another part
    model = setting.load_model().eval()
    outputs = (setting.folder / f"predictions_{number}.jsonl" for number in itertools.count())
    sides = {
        "one at a time": lambda: stock.score(model, setting, clips),
        "ours": lambda: ours.score(model, setting, clips, next(outputs)),
    }
    texts = {name: work() for name, work in sides.items()}  # the warm-up too
    same = sum(a == b for a, b in zip(*texts.values(), strict=True))
    # In 16 bits the largest of two nearly equal logits may change with the size of the batch.
    if setting.sizes.dtype == "float32" and (same < len(clips) or not all(texts["ours"])):
        raise RuntimeError(f"only {same} of {len(clips)} answers are the same on both sides")
    seconds = alternate(sides, rounds, warm_up=False)
    sizes = setting.described(prompt=len(setting.prompt(clips[0]).ids))
    result = entry(seconds, "one at a time", "ours", sizes, describe_device(setting.device), same_answers=same)
    result["clips_a_second"] = {name: len(clips) / side["median"] for name, side in result["sides"].items()}
    return result


def measure_entities(setting: Setting, rounds: int, questions: int) -> dict:
    """FingER's questions about a clip, answered without reasons: one at a time by plain `generate`, and all at once.

    Frames come from a filled cache on both sides. largest_difference: of P(Yes) between them.
    """
    (clip,) = setting.clips(1)
    prompt = "A girl in a yellow raincoat jumps over a puddle while a black dog sleeps under a tree"
    about = [each.about(clip.path, clip.name, "bench", "test") for each in grammar_questions(prompt)[:questions]]
    if len(about) < questions:
        raise RuntimeError(f"the grammar has {len(about)} questions about {prompt!r}, {questions} are to be asked")
    texts = [filled(PROMPTS["finger/answer"], question).text for question in about]
    tokenizer, model = setting.processor.tokenizer, setting.load_model().eval()
    setting.frames(clip)  # into the cache: decoding is another part
    yes, no = answer_tokens(tokenizer, "Yes"), answer_tokens(tokenizer, "No")
    sides = {
        "one at a time": lambda: stock.answer(model, setting, clip, texts, [*yes, *no]),
        "ours": lambda: ours.answer(model, setting, clip, about),
    }
    plain, shared = (work() for work in sides.values())  # the warm-up too
    chances = plain.softmax(1)[:, : len(yes)].sum(1)
    difference = float((chances - torch.tensor(shared)).abs().max())
    if setting.sizes.dtype == "float32" and not difference < 1e-5:
        raise RuntimeError(f"P(Yes) of ours and of plain transformers differ by {difference}")
    seconds = alternate(sides, rounds, warm_up=False)
    length = len(encode(setting.processor, [(setting.frames(clip), clip.kind)], texts[0]).ids)
    sizes = setting.described(prompt=length, questions=questions)
    device = describe_device(setting.device)
    return entry(seconds, "one at a time", "ours", sizes, device, largest_difference=difference)


def measure_memory(smoke: bool) -> dict:
    """Predicted and counted peak memory of GRPO steps, always on the CPU; ratio: predicted / counted, the worst case's.

    Bytes are counted, not timed: every round would give the same.
    """
    return memory.entries(memory.SMOKE if smoke else memory.BENCH) | {"device": describe_device("cpu")}


# key of bench.json -> (what measures it, its further arguments, the least ratio aimed at on two CPU cores or None)
PARTS = {
    "loss_8_1": (measure_loss, {"prompt_to_completion": 8}, 3.0),
    "loss_4_1": (measure_loss, {"prompt_to_completion": 4}, 2.0),
    "loss_1_1": (measure_loss, {"prompt_to_completion": 1}, None),
    "step_vs_stock": (measure_step, {"against": "stock"}, 2.5),
    "step_vs_per_rollout": (measure_step, {"against": "per_rollout"}, 4.0),
    "step_vs_per_rollout_8_1": (measure_step, {"against": "per_rollout", "prompt_to_completion": 8}, 4.0),
    "warm_epoch": (measure_warm_epoch, {}, 20.0),
    "scoring": (measure_scoring, {}, 3.0),
    "entities": (measure_entities, {"questions": 18}, 8.0),
}
