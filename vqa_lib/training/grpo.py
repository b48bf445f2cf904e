"""GRPO with true images and videos: TRL's trainer, its rollouts and log-probabilities taken over.

Stock TRL has no video column and, given a video, silently computes log-probabilities without it. Here each clip of a
batch is decoded and encoded once, and its prompt is computed once: prefilled for sampling, packed with its completions
for reference and loss. Overridden methods are private in TRL: `tests/test_trl_contract.py` fails when they change.
"""

import functools
import zlib
from dataclasses import dataclass

import numpy as np
import torch
from accelerate.utils import gather_object
from peft import PeftModel
from transformers import GenerationConfig
from trl import GRPOTrainer

from vqa_lib.answers import parse_score
from vqa_lib.models.dialogue import EncodedPrompt, encode, messages
from vqa_lib.models.packing import PackedRows, pack, prompt_positions
from vqa_lib.models.rollouts import (
    encode_clips,
    sample_completions,
    to_device,
    vision_token_ids,
    visual_inputs,
)
from vqa_lib.perturb import ORDERS, reorder
from vqa_lib.prompts import PROMPTS
from vqa_lib.recipes import Recipe
from vqa_lib.records import Scale, ScoredClip, rescale
from vqa_lib.rewards import REWARDS


def reward_columns(clip: ScoredClip, scale: Scale) -> dict:
    """What rewards need to know of a clip, its truth put on the scale of the prompt's answers."""
    return {
        "kind": clip.kind,
        "dimensions": list(clip.scores),
        "target": [rescale(score, clip.scale, scale) for score in clip.scores.values()],
        "scale": (scale.low, scale.high),
    }


def training_rows(clips: list[ScoredClip], recipe: Recipe) -> list[dict]:
    """Rows of the training set: no pixels, only the clip's number and what the rewards need."""
    prompt = PROMPTS[recipe.prompt]
    return [
        {"prompt": messages(clip.kind, prompt.text), "clip": number, **reward_columns(clip, prompt.scale)}
        for number, clip in enumerate(clips)
    ]


@dataclass
class Bank:
    """The distinct clips of one generation batch, encoded; `slot` numbers in the batch point into it."""

    prompts: list[EncodedPrompt]
    positions: list[torch.Tensor]
    features: list[torch.Tensor] | None  # visual tokens, kept where the vision tower is frozen


class VideoGRPOTrainer(GRPOTrainer):
    """TRL's GRPOTrainer on rows made by `training_rows`.

    read_frames: clip number -> (Frames, kind). recipe: see `recipes`. contrast_generations: responses per query on
    perturbed frames, where the recipe has a contrast group. The other arguments are TRL's.
    """

    def __init__(self, *args, recipe: Recipe, read_frames, contrast_generations: int, **kwargs):
        self.recipe = recipe
        self.read_frames = read_frames
        self.contrast_generations = contrast_generations if recipe.contrast else 0
        rewards = [functools.partial(REWARDS[name], **settings) for name, settings in recipe.rewards.items()]
        super().__init__(*args, reward_funcs=rewards, **kwargs)
        self.reward_func_names = list(recipe.rewards)
        self.bank: Bank | None = None
        self._rollouts: list[list[int]] = []
        self._slots: torch.Tensor | None = None
        self.vision_frozen = not any(
            parameter.requires_grad for name, parameter in self.model.named_parameters() if "visual" in name.split(".")
        )
        self.generation_config.suppress_tokens = vision_token_ids(self._tokenizer)
        self.sampling = GenerationConfig(**self.generation_config.to_dict())

    # ---- rollouts -----------------------------------------------------------------------------------------------

    def _generate_and_score_completions(self, inputs):
        rows = [dict(row) for row in inputs]  # the sampler repeats the same dict; each row gets its own columns
        numbers = list(dict.fromkeys(row["clip"] for row in rows))
        slots = [numbers.index(row["clip"]) for row in rows]
        counts = [slots.count(slot) for slot in range(len(numbers))]
        clips = [(*self.read_frames(number), rows[slots.index(slot)]) for slot, number in enumerate(numbers)]
        prompts = [self._encode(frames, kind, row) for frames, kind, row in clips]
        contrasted = [slot for slot, (_, kind, _) in enumerate(clips) if self.contrast_generations and kind == "video"]
        contrast = []
        for slot in contrasted:
            frames, kind, row = clips[slot]
            order = self._contrast_order(numbers[slot], len(frames.pixels))
            contrast.append(self._encode(reorder(frames, order), kind, row))
        # A group may span processes: each samples its share of the contrast group.
        shares = [round(counts[slot] * self.contrast_generations / self.num_generations) for slot in contrasted]
        model = self.accelerator.unwrap_model(self.model)
        was_training = model.training
        model.eval()
        with torch.no_grad():
            features = encode_clips(model, prompts + contrast)
            completions = sample_completions(model, prompts + contrast, counts + shares, self.sampling, features)
        model.train(was_training)
        places = [prompt_positions(model, prompt) for prompt in prompts]
        self.bank = Bank(prompts, places, features[: len(prompts)] if self.vision_frozen else None)
        by_slot = _split(completions[: len(rows)], counts)
        self._rollouts = [by_slot[slot].pop(0) for slot in slots]
        texts = self._tokenizer.batch_decode(completions[len(rows) :], skip_special_tokens=True)
        contrast_of = dict(zip(contrasted, _split(texts, shares), strict=True))
        for row, slot in zip(rows, slots, strict=True):
            row["contrast_completions"] = contrast_of.pop(slot, [])  # the whole share stands with the first row
        self._slots = torch.tensor(slots, device=self.accelerator.device)
        output = super()._generate_and_score_completions(rows)
        output["slot"] = self._slots
        self._slots = None
        return output

    def _encode(self, frames, kind: str, row: dict) -> EncodedPrompt:
        return encode(self.processing_class, frames, kind, row["prompt"][0]["content"][-1]["text"])

    def _contrast_order(self, number: int, count: int) -> np.ndarray:
        # From seed, step and clip alone, so that a resumed run and every process draw the same order.
        key = zlib.crc32(f"{self.args.seed} {self.state.global_step} {number}".encode())
        return ORDERS[self.recipe.contrast](count, np.random.default_rng(key))

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
        self._count_unparsed(columns)
        table = [[np.nan if value is None else value for value in column] for column in values]
        return torch.tensor(table, dtype=torch.float32, device=self.accelerator.device).T

    def _count_unparsed(self, columns: dict) -> None:
        texts = [completion[0]["content"] for completion in columns["completions"]]
        scores = [parse_score(text, Scale(*scale)) for text, scale in zip(texts, columns["scale"], strict=True)]
        read = [score for score in scores if score is not None]
        self._metrics["train"]["unparsed"].append(1 - len(read) / len(scores))
        self._metrics["train"]["score/mean"].append(float(np.mean(read)) if read else float("nan"))
        self._metrics["train"]["score/std"].append(float(np.std(read)) if read else float("nan"))

    # ---- log-probabilities and loss --------------------------------------------------------------------------------

    def _get_per_token_logps_and_entropies(
        self, model, input_ids, attention_mask, logits_to_keep, batch_size=None, compute_entropy=False, **_
    ):
        batch_size = batch_size or input_ids.size(0)
        tokens, mask = input_ids[:, -logits_to_keep:].cpu(), attention_mask[:, -logits_to_keep:].cpu().bool()
        completions = [row[kept] for row, kept in zip(tokens, mask, strict=True)]
        slots = self._slots.tolist()
        log_probabilities, entropies = [], []
        for start in range(0, len(slots), batch_size):
            part = slice(start, start + batch_size)
            packed, seen = self._packed(model, slots[part], completions[part])
            with self.accelerator.autocast():
                output = model(**packed.inputs, **seen, fused_lm_head=True)
            log_probabilities.append(_widen(packed.rows(output.log_probs), logits_to_keep))
            if compute_entropy:
                entropies.append(_widen(packed.rows(output.entropy), logits_to_keep))
        return torch.cat(log_probabilities), torch.cat(entropies) if compute_entropy else None, None

    def _packed(self, model, slots: list[int], completions: list[torch.Tensor]) -> tuple[PackedRows, dict]:
        """Packed rows and their pictures; each clip encoded once, with gradient if it is trained."""
        distinct = list(dict.fromkeys(slots))
        prompts = [self.bank.prompts[slot] for slot in distinct]
        if self.vision_frozen:
            features = [self.bank.features[slot] for slot in distinct]
        else:
            features = encode_clips(model, prompts)
        where = [self.bank.positions[slot] for slot in distinct]
        packed = pack(prompts, where, [distinct.index(slot) for slot in slots], completions).to(features[0].device)
        return packed, to_device(visual_inputs(prompts, features), features[0].device)

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        # The Trainer loads the file's names as they stand, without strictness; transformers saves Qwen2.5-VL under its
        # published names, so nothing would match and a resumed run would start from the untrained weights.
        if isinstance(self.model, PeftModel):
            return super()._load_from_checkpoint(resume_from_checkpoint, model)
        saved = type(self.model).from_pretrained(resume_from_checkpoint, dtype=self.model.dtype)
        self.model.load_state_dict(saved.state_dict())

    def _compute_loss(self, model, inputs):
        self._slots = inputs["slot"]
        try:
            return super()._compute_loss(model, inputs)
        finally:
            self._slots = None


def _widen(values: torch.Tensor, width: int) -> torch.Tensor:
    """Zeros on the right up to the batch's longest completion."""
    return torch.nn.functional.pad(values, (0, width - values.size(1)))


def _split(items: list, counts: list[int]) -> list[list]:
    """Consecutive pieces of the given lengths."""
    starts = np.cumsum([0, *counts])
    return [items[start : start + count] for start, count in zip(starts[:-1], counts, strict=True)]
