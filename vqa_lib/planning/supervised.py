"""A step of supervised training on true answers: one forward and backward of every record, no rollouts, no reference.

What a piece of the step needs and does is what a piece of a GRPO step does; see `memory` and `arithmetic`.
"""

from dataclasses import replace

from vqa_lib.planning.arithmetic import Operations, count_operations
from vqa_lib.planning.memory import SINGLE, Memory, encoding, learning, memory_of, resting
from vqa_lib.planning.shapes import ModelShape
from vqa_lib.planning.workload import Method, Workload, method, workload
from vqa_lib.prompts import PROMPTS, Prompt
from vqa_lib.recipes import Recipe
from vqa_lib.training.sft import KEPT_BYTES

CHARACTERS_AN_ANSWER_TOKEN = 2  # empirical: a digit, a bracket and a quotation mark are tokens of their own


def supervised_workload(shape: ModelShape, params: dict, recipe: Recipe) -> Workload:
    """A step of supervised training: every record's prompt, and its true answer behind it; nothing is sampled."""
    answer = answer_tokens(PROMPTS[recipe.prompt])
    return workload(shape, params | {"group": 1, "contrast": 0, "max_completion": answer}, recipe)


def answer_tokens(prompt: Prompt) -> int:
    """Tokens of a true answer without reasoning, its end token counted; an estimate."""
    named = "".join(f'"{name}": 100.00, ' for name in prompt.dimensions)
    answer = f"<answer> {named or max(prompt.choices, key=len, default='100.00')} </answer>"
    return len(answer) // CHARACTERS_AN_ANSWER_TOKEN + 1


def supervised_method(params: dict, **options) -> Method:
    """`workload.method` without a reference model."""
    return method(params | {"beta": 0.0}, **options)


def predict_supervised_memory(shape: ModelShape, work: Workload, method: Method, records: int | None = None) -> Memory:
    """Peak memory of a step of supervised training that is not the first; `work` is of `supervised_workload`.

    records: that are trained on. A frozen tower's visual tokens are kept from one epoch to the next, up to a limit;
    None counts that limit, which fewer records do not reach.
    """
    still, text = resting(shape, method), shape.text
    a_record = work.clip.visual * text.hidden * method.dtype
    every = KEPT_BYTES + work.clips * a_record
    kept = 0 if method.vision_trained else every if records is None else min(records * a_record, every)
    seen, phases = {"visual tokens": kept}, {}
    if not method.vision_trained:  # record by record, and what is kept has no pixels
        one = replace(work, clips=1, contrast_clips=0)
        pixels = 0 if method.gpu else work.clip.pixels * SINGLE
        phases["vision encoding"] = still | seen | {"pixels": pixels, "activations": encoding(shape, one, method)}
    elif not method.gpu:
        seen["pixels"] = work.clips * work.clip.pixels * SINGLE
    return memory_of(phases | learning(shape, work, method, seen))


def count_supervised_operations(shape: ModelShape, work: Workload, method: Method) -> Operations:
    """Operations of a step of supervised training in the first epoch; later ones find a frozen tower's work done."""
    every = count_operations(shape, work, method)
    return replace(every, vision=0.0 if method.vision_trained else every.vision, prefill=0.0, decode=0.0, reference=0.0)
