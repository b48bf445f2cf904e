"""GRPO with true images and videos: TRL's trainer, its rollouts and log-probabilities taken over.

Stock TRL has no video column and, given a video, silently computes log-probabilities without it. Here each clip of a
batch is decoded and encoded once, and its prompt is computed once: prefilled for sampling, packed with its completions
for reference and loss. Overridden methods are private in TRL: `tests/test_trl_contract.py` fails when they change.
"""

import contextlib
import functools
import shutil
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import DistributedType, gather_object
from peft import PeftModel
from trl import GRPOTrainer
from trl.models import unwrap_model_for_generation

from vqa_lib.models import reference, rollouts, vllm_rollouts
from vqa_lib.models.dialogue import EncodedPrompt
from vqa_lib.models.families import encode, encode_clips, prompt_positions, vision_modules, visual_inputs
from vqa_lib.models.packing import pack
from vqa_lib.models.rollouts import draws, sampling_for
from vqa_lib.models.shared_prefix import share_prefixes
from vqa_lib.perturb import ORDERS, reorder
from vqa_lib.recipes import Recipe
from vqa_lib.rewards import REWARDS
from vqa_lib.training.common import NotANumber, load_weights
from vqa_lib.training.halving import HalvesPieces
from vqa_lib.training.order import OrderOfEpoch
from vqa_lib.training.pieces import split_rows
from vqa_lib.training.rows import answer_in

ENGINES = ("shared", "reference")
ROLLOUT_TOKENS = 4  # a token whose keys are kept for sampling takes a fraction of what one with gradient takes


@dataclass
class Bank:
    """The distinct clips of one generation batch, encoded; `slot` numbers in the batch point into it."""

    prompts: list[EncodedPrompt]
    positions: list[torch.Tensor]
    features: list | None  # visual tokens, kept where the vision tower is frozen


class VideoGRPOTrainer(HalvesPieces, GRPOTrainer):
    """TRL's GRPOTrainer on rows made by `training_rows`.

    read_visuals: record number -> [(Frames, kind), ...], what its prompt shows. recipe: see `recipes`.
    contrast_generations: responses per query on perturbed frames, where the recipe has a contrast group. tokens: at
    most so many in one forward with gradient; a step is gone through in pieces of that size. engine: "shared" computes
    each prompt once, "reference" goes the plain way. vllm: address of a `vllm_server` that samples in this
    process's place. The other arguments are TRL's; a process's batch is a whole step.
    """

    also_lower = "max_pixels, frames, max_completion, or group"

    def __init__(
        self,
        *args,
        recipe: Recipe,
        read_visuals,
        contrast_generations: int,
        tokens: int,
        engine: str = "shared",
        vllm: str = "",
        **kwargs,
    ):
        if engine not in ENGINES:
            raise ValueError(f"engine must be one of {', '.join(ENGINES)}; got {engine!r}")
        self.recipe = recipe
        self.read_visuals = read_visuals
        self.contrast_generations = contrast_generations if recipe.contrast else 0
        self.tokens = tokens
        self.engine = engine
        self.vllm = vllm
        rewards = [functools.partial(REWARDS[name], **settings) for name, settings in recipe.rewards.items()]
        super().__init__(*args, reward_funcs=rewards, **kwargs)
        if self.args.gradient_accumulation_steps != 1 or self.args.steps_per_generation != 1:
            raise ValueError("a batch is a whole step: gradient_accumulation_steps and steps_per_generation must be 1")
        self.reward_func_names = list(recipe.rewards)
        self.bank: Bank | None = None
        self._rollouts: list[list[int]] = []
        self._slots: torch.Tensor | None = None
        self._rewarded: list[dict] = []
        vision = [parameter for module in vision_modules(self.model) for parameter in module.parameters()]
        self.vision_frozen = not any(parameter.requires_grad for parameter in vision)
        shape = {name: getattr(self.args, name) for name in ("temperature", "top_p", "top_k")}
        self.sampling = sampling_for(self._tokenizer, self.args.max_completion_length, self.model, **shape)

    # ---- order of clips ---------------------------------------------------------------------------------------------

    def _get_train_sampler(self, dataset=None):
        return OrderOfEpoch(super()._get_train_sampler(dataset), lambda: self.state.global_step)

    # ---- rollouts -----------------------------------------------------------------------------------------------

    def _generate_and_score_completions(self, inputs):
        rows = [dict(row) for row in inputs]  # the sampler repeats the same dict; each row gets its own columns
        numbers = list(dict.fromkeys(row["record"] for row in rows))
        slots = [numbers.index(row["record"]) for row in rows]
        shown = [self.read_visuals(number) for number in numbers]
        texts = [rows[slots.index(slot)]["prompt"][0]["content"][-1]["text"] for slot in range(len(numbers))]
        first = self.accelerator.process_index * len(rows)
        places = [(first + row) % self.num_generations for row in range(len(rows))]  # within each row's group
        wanted = [(slot, (numbers[slot], 0, place)) for slot, place in zip(slots, places, strict=True)]
        perturbed, owned = self._contrast(shown, numbers, slots, places)
        wanted += [(len(shown) + number, key) for _, number, key in owned]
        asked = list(zip(shown + list(perturbed.values()), texts + [texts[slot] for slot in perturbed], strict=True))
        prompts = [encode(self.processing_class, visuals, text) for visuals, text in asked]
        completions, features = self._sample(prompts, asked, wanted)
        self.bank = Bank(
            prompts=prompts[: len(shown)],
            positions=[prompt_positions(self.model, prompt) for prompt in prompts[: len(shown)]],
            features=features[: len(shown)] if self.vision_frozen and features else None,
        )
        self._rollouts = completions[: len(rows)]
        for row in rows:
            row["contrast_completions"] = []
        for (slot, _, _), ids in zip(owned, completions[len(rows) :], strict=True):
            text = self._tokenizer.decode(ids, skip_special_tokens=True)
            rows[slots.index(slot)]["contrast_completions"].append(text)  # all of a clip stand with its first row
        self._slots = torch.tensor(slots, device=self.accelerator.device)
        output = super()._generate_and_score_completions(rows)
        output["slot"] = self._slots
        self._slots = None
        return output

    def _contrast(self, shown, numbers, slots, places) -> tuple[dict[int, list], list]:
        """Perturbed visuals by slot; for each response on them its slot, their number and the key of its draws.

        A group may span processes: its k-th contrast response is made where the matching ordered response is.
        """
        perturbed: dict[int, list] = {}
        for slot, visuals in enumerate(shown):
            if self.contrast_generations and all(kind == "video" for _, kind in visuals):
                orders = [self._contrast_order(numbers[slot], *pair) for pair in enumerate(visuals)]
                pairs = zip(visuals, orders, strict=True)
                perturbed[slot] = [(reorder(frames, order), kind) for (frames, kind), order in pairs]
        number_of = {slot: number for number, slot in enumerate(perturbed)}
        owned = [
            (slot, number_of[slot], (numbers[slot], 1, response))
            for slot, place in zip(slots, places, strict=True)
            for response in range(self.contrast_generations)
            if slot in perturbed and response * self.num_generations // self.contrast_generations == place
        ]
        return perturbed, owned

    def _contrast_order(self, number: int, position: int, visual) -> np.ndarray:
        # From seed, step and clip alone, so that a resumed run and every process draw the same order.
        key = zlib.crc32(f"{self.args.seed} {self.state.global_step} {number} {position}".encode())
        return ORDERS[self.recipe.contrast](len(visual[0].pixels), np.random.default_rng(key))

    def _sample(self, prompts: list[EncodedPrompt], asked: list, wanted: list) -> tuple[list[list[int]], list | None]:
        """A completion for each (prompt, key of its draws), and the prompts' visual tokens.

        asked: the visuals and the text that each prompt encodes, for another program that encodes them itself.
        """
        by_prompt = sorted(range(len(wanted)), key=lambda number: wanted[number][0])
        repeats = [sum(prompt == number for prompt, _ in wanted) for number in range(len(prompts))]
        step = (self.args.seed, self.state.global_step)
        keys = [step + wanted[number][1] for number in by_prompt]
        uniform = draws(keys, self.sampling.max_tokens)
        with self._whole_model() as model, torch.no_grad(), self.accelerator.autocast():
            model.eval()
            features = encode_clips(model, prompts) if self.engine == "shared" else None
            if self.vllm:
                by_question, rest = [], iter(keys)
                for count in repeats:
                    by_question.append([next(rest) for _ in range(count)])
                made = self._sample_by_vllm(asked, by_question)
            elif self.engine == "shared":
                made = rollouts.sample(
                    model, prompts, repeats, self.sampling, uniform, features, ROLLOUT_TOKENS * self.tokens
                )
            else:
                made = reference.sample(model, prompts, repeats, self.sampling, uniform)
            model.train()
        completions = dict(zip(by_prompt, made, strict=True))
        return [completions[number] for number in range(len(wanted))], features

    def _sample_by_vllm(self, asked: list, keys: list) -> list[list[int]]:
        folder = Path(self.args.output_dir) / "vllm" / f"step-{self.state.global_step}"
        if self.accelerator.is_main_process:
            shutil.rmtree(folder.parent, ignore_errors=True)
            self.accelerator.unwrap_model(self.model).save_pretrained(folder)
        self.accelerator.wait_for_everyone()
        return vllm_rollouts.sample(
            self.vllm, folder, self.state.global_step, self.processing_class, asked, keys, self.sampling
        )

    @contextlib.contextmanager
    def _whole_model(self):
        """The model with all its weights on this process, where they are otherwise split (ZeRO-3, FSDP)."""
        with unwrap_model_for_generation(
            self.model_wrapped, self.accelerator, gather_deepspeed3_params=self.args.ds3_gather_for_generation
        ) as model:
            if not self.is_fsdp_enabled:
                yield model
                return
            from torch.distributed.fsdp import FullyShardedDataParallel as Sharded

            with Sharded.summon_full_params(self.model_wrapped, recurse=True, writeback=False):
                # Its wrappers would exchange weights in every forward, but processes sample for different lengths.
                wrappers = Sharded.fsdp_modules(self.model_wrapped)
                for wrapper in wrappers:
                    wrapper.forward = wrapper.module.__call__
                try:
                    yield model
                finally:
                    for wrapper in wrappers:
                        del wrapper.forward

    def _tokenize_prompts(self, prompts):
        return [self.bank.prompts[slot].ids.tolist() for slot in self._slots.tolist()], None, {}

    def _generate_single_turn(self, prompt_ids, images, multimodal_fields, num_generations, has_tool_images=False):
        return self._rollouts, None

    # ---- rewards over the global batch -----------------------------------------------------------------------------

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
        local = [
            {
                **{key: value for key, value in row.items() if key != "prompt"},
                "completions": text,
                "completion_ids": ids,
            }
            for row, text, ids in zip(inputs, completions, completion_ids_list, strict=True)
        ]
        rows = gather_object(local)
        columns = {key: [row[key] for row in rows] for key in rows[0]}
        group = [number // self.num_generations for number in range(len(rows))]
        values = [reward(group=group, **columns) for reward in self.reward_funcs]
        self._note_answers(rows, values)
        table = [[np.nan if value is None else value for value in column] for column in values]
        return torch.tensor(table, dtype=torch.float32, device=self.accelerator.device).T

    def _note_answers(self, rows: list[dict], values: list[list]) -> None:
        """The log's share of unreadable answers, and what they say; and the step's rows for an error message."""
        texts = [row["completions"][0]["content"] for row in rows]
        self._rewarded = [
            {"record": row["record"], "name": row["name"], "response": text}
            | dict(zip(self.recipe.rewards, found, strict=True))
            for row, text, *found in zip(rows, texts, *values, strict=True)
        ]
        answers = [(answer_in(text, row), row["choices"]) for text, row in zip(texts, rows, strict=True)]
        metrics = self._metrics["train"]
        metrics["unparsed"].append(sum(answer is None for answer, _ in answers) / len(answers))
        scores = [answer for answer, _ in answers if isinstance(answer, float)]
        if any(choices is None for _, choices in answers):
            metrics["score/mean"].append(float(np.mean(scores)) if scores else float("nan"))
            metrics["score/std"].append(float(np.std(scores)) if scores else float("nan"))
        chosen = [answer == choices[0] for answer, choices in answers if choices is not None and answer is not None]
        if chosen:  # of two equally good videos the first should be chosen half the time
            metrics["first_chosen"].append(sum(chosen) / len(chosen))

    def latest_group(self) -> dict:
        """The group that the last step began with.

        Returns: record, its number; rewards, the components' names; responses, each with its text, its rewards in
        that order (None where a component does not apply) and its advantage.
        """
        group, names = self._rewarded[: self.num_generations], list(self.recipe.rewards)
        responses = [
            {"response": row["response"], "rewards": [row[name] for name in names], "advantage": advantage}
            for row, advantage in zip(group, self._logs["advantages"], strict=False)  # these are of the whole step
        ]
        return {"record": group[0]["record"], "rewards": names, "responses": responses}

    # ---- log-probabilities -------------------------------------------------------------------------------------------

    def _get_per_token_logps_and_entropies(
        self, model, input_ids, attention_mask, logits_to_keep, batch_size=None, compute_entropy=False, **_
    ):
        tokens, mask = input_ids[:, -logits_to_keep:].cpu(), attention_mask[:, -logits_to_keep:].cpu().bool()
        completions = [row[kept] for row, kept in zip(tokens, mask, strict=True)]
        slots = self._slots.tolist()
        # With gradient these rows are one piece of a step already.
        whole_batch = [list(range(len(slots)))]
        pieces = whole_batch if torch.is_grad_enabled() else self._pieces(slots, [len(row) for row in completions])
        log_probs, entropies = torch.zeros(2, *tokens.shape, device=self.accelerator.device)
        for rows in pieces:
            parts = self._piece_log_probs(model, [slots[row] for row in rows], [completions[row] for row in rows])
            widened = [torch.nn.functional.pad(part, (0, logits_to_keep - part.size(1))) for part in parts]
            if pieces is whole_batch:
                log_probs, entropies = widened
            else:
                log_probs[rows], entropies[rows] = widened
        return log_probs, entropies if compute_entropy else None, None

    def _piece_log_probs(self, model, slots: list[int], completions: list[torch.Tensor]):
        """(log-probabilities, entropies), (rows, longest completion) each; each clip is encoded once, or was before."""
        distinct = list(dict.fromkeys(slots))
        owners = [distinct.index(slot) for slot in slots]
        prompts = [self.bank.prompts[slot] for slot in distinct]
        with self.accelerator.autocast():
            if self.engine == "reference":
                return reference.completion_log_probs(model, prompts, owners, completions, self.temperature)
            share_prefixes(model)
            places = [self.bank.positions[slot] for slot in distinct]
            packed = pack(prompts, places, owners, completions, self.accelerator.device)
            features = [self.bank.features[slot] for slot in distinct] if self.vision_frozen else None
            seen = visual_inputs(model, prompts, features)
            output = model(**packed.inputs, **seen, fused_lm_head=True)
        entropy = output.log_probs * 0 if output.entropy is None else output.entropy  # TRL's reference model has none
        return packed.rows(output.log_probs), packed.rows(entropy)

    def _pieces(self, slots: list[int], lengths: list[int]) -> list[list[int]]:
        """Pieces of the local rows within the token budget, equally many on every process."""
        prompts = [len(prompt.ids) for prompt in self.bank.prompts]
        if self.engine == "reference":  # every row has its own copy of the prompt
            prompts, slots = [prompts[slot] for slot in slots], list(range(len(slots)))
        needed = len(split_rows(slots, prompts, lengths, self.tokens))
        counts = self.accelerator.gather(torch.tensor([needed], device=self.accelerator.device))
        return split_rows(slots, prompts, lengths, self.tokens, at_least=int(counts.max()))

    # ---- the step --------------------------------------------------------------------------------------------------

    def training_step(self, model, inputs, num_items_in_batch):
        started = time.perf_counter()
        model.train()
        loss = self._step_that_fits(model, inputs)
        self._step += 1
        self._metrics["train"]["step_time"].append(time.perf_counter() - started)
        return loss

    def _forget_step(self) -> None:
        self._metrics["train"].clear()

    def _step_in_pieces(self, model, inputs) -> torch.Tensor:
        """Rollouts, then loss and gradients piece by piece; the gradient is that of the whole batch at once."""
        batch = self._prepare_inputs(inputs)
        pieces = self._pieces(batch["slot"].tolist(), batch["completion_mask"].sum(1).tolist())
        total = torch.zeros((), device=self.accelerator.device)
        for number, rows in enumerate(pieces):
            last = number == len(pieces) - 1
            self.accelerator.gradient_state._set_sync_gradients(last)
            deepspeed = self.accelerator.distributed_type == DistributedType.DEEPSPEED
            quiet = contextlib.nullcontext() if last or deepspeed else self.accelerator.no_sync(model)
            with quiet:
                loss = self._compute_loss(model, _rows(batch, rows)) * (len(rows) / len(batch["slot"]))
                self._check_number(loss)
                self.accelerator.backward(loss, **({"scale_wrt_gas": False} if deepspeed else {}))
            total += loss.detach()
        return total

    def _compute_loss(self, model, inputs):
        self._slots = inputs["slot"]
        try:
            return super()._compute_loss(model, inputs)
        finally:
            self._slots = None

    def _check_number(self, loss: torch.Tensor) -> None:
        if not torch.isfinite(loss):
            step, listed = self.state.global_step + 1, "\n".join(str(row) for row in self._rewarded)
            raise NotANumber(f"step {step}: the loss is {loss.item()}; the step's responses:\n{listed}")

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        if isinstance(self.model, PeftModel):
            return super()._load_from_checkpoint(resume_from_checkpoint, model)
        load_weights(self.model, resume_from_checkpoint)


def _rows(batch: dict, rows: list[int]) -> dict:
    """Some rows of a batch; what is not a row's stays."""
    count = len(batch["slot"])
    chosen = torch.tensor(rows, device=batch["slot"].device)
    return {
        name: value[chosen] if isinstance(value, torch.Tensor) and value.dim() and len(value) == count else value
        for name, value in batch.items()
    }
