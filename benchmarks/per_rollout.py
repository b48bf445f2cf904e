"""The published code's structure, stated again: a video is encoded for every rollout, in every pass.

After the trainer of VQ-Insight (and Video-R1, its parent): a query at a time, the clip decoded in the training step and
processed twice, in order and shuffled; pixels repeated for 8 ordered rollouts, 4 shuffled ones, 8 rows of the policy
and 8 of the reference, 28 encodings a query; logits of all positions, prompt included. Only the structure is theirs:
libraries, model, optimiser and kernels are the same as on the other sides, and the bugs are left out.
"""

import contextlib
import copy

import numpy as np
import torch
from peft import PeftModel, get_peft_model
from transformers import GenerationConfig

from benchmarks.setting import BETA, RECIPE, Setting
from vqa_lib.models.dialogue import EncodedPrompt
from vqa_lib.models.families import vision_token_ids
from vqa_lib.models.reference import plain_inputs
from vqa_lib.perturb import reorder, shuffle
from vqa_lib.prompts import PROMPTS
from vqa_lib.records import ScoredClip
from vqa_lib.rewards import REWARDS
from vqa_lib.training.rows import reward_columns
from vqa_lib.video import read_video


class PerRolloutStep:
    """One GRPO step over the clips, each time it is called."""

    def __init__(self, setting: Setting, clips: list[ScoredClip]):
        self.setting, self.clips = setting, clips
        self.model = setting.load_model().train()
        self.reference = None if setting.adapter() else copy.deepcopy(self.model).eval().requires_grad_(False)
        if setting.adapter():
            self.model = get_peft_model(self.model, setting.adapter())
        if setting.sizes.checkpointing:
            self.model.gradient_checkpointing_enable()
            self.model.enable_input_require_grads()
        weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(weights, lr=1e-6, weight_decay=0.0, fused=True)
        self.tokenizer = setting.processor.tokenizer
        self.random = np.random.default_rng(0)

    def __call__(self) -> None:
        for clip in self.clips:
            (self._loss(clip) / len(self.clips)).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _loss(self, clip: ScoredClip) -> torch.Tensor:
        sizes = self.setting.sizes
        frames = read_video(clip.path, sizes.policy)
        prompt = self.setting.prompt(clip, frames)
        order = shuffle(len(frames.pixels), self.random)
        shuffled = self.setting.prompt(clip, reorder(frames, order))
        completions = self._sample(prompt, sizes.group)
        contrast = self._sample(shuffled, sizes.contrast)
        rewards = torch.tensor(self._rewards(clip, completions, contrast), device=self.setting.device)
        advantages = (rewards - rewards.mean()) / (rewards.std() + 1e-4)
        policy = self._log_probs(self.model, prompt, completions)
        with torch.no_grad(), self._reference() as reference:
            before = self._log_probs(reference, prompt, completions)
        divergence = (before - policy).exp() - (before - policy) - 1
        gain = (policy - policy.detach()).exp() * advantages[:, None]
        return (BETA * divergence - gain).mean()

    @torch.no_grad()
    def _sample(self, prompt: EncodedPrompt, count: int) -> torch.Tensor:
        """`count` responses (count, C), each row with pixels of its own."""
        inputs = plain_inputs(self.model, [prompt] * count)
        length = self.setting.sizes.step_completion
        config = GenerationConfig(
            max_new_tokens=length,
            min_new_tokens=length,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            eos_token_id=self.tokenizer.eos_token_id,
            pad_token_id=self.tokenizer.pad_token_id,
            suppress_tokens=vision_token_ids(self.tokenizer),
        )
        self.model.eval()  # checkpointing, where it is on, would forbid the cache in training mode
        tokens = self.model.generate(**inputs, generation_config=config)
        self.model.train()
        return tokens[:, inputs["input_ids"].shape[1] :]

    def _log_probs(self, model, prompt: EncodedPrompt, completions: torch.Tensor) -> torch.Tensor:
        """Log-probabilities (K, C): logits of the whole rows, then a row at a time through the softmax."""
        rows = [prompt] * len(completions)
        inputs = plain_inputs(model, rows, completions.tolist())
        logits = model(**inputs, use_cache=False).logits[:, :-1]
        tokens = inputs["input_ids"][:, 1:]
        chosen = [row.log_softmax(-1).gather(1, ids[:, None])[:, 0] for row, ids in zip(logits, tokens, strict=True)]
        return torch.stack(chosen)[:, -completions.shape[1] :]

    @contextlib.contextmanager
    def _reference(self):
        if isinstance(self.model, PeftModel):
            with self.model.disable_adapter():
                yield self.model
        else:
            yield self.reference

    def _rewards(self, clip: ScoredClip, completions: torch.Tensor, contrast: torch.Tensor) -> list[float]:
        texts, others = (self.tokenizer.batch_decode(ids, skip_special_tokens=True) for ids in (completions, contrast))
        truth = reward_columns(clip, PROMPTS[RECIPE.prompt])
        columns = {
            "completions": [[{"role": "assistant", "content": text}] for text in texts],
            "completion_ids": completions.tolist(),
            "contrast_completions": [others, *([] for _ in texts[1:])],
            "group": [0] * len(texts),
            **{name: [value] * len(texts) for name, value in truth.items()},
        }
        return [
            sum(row)
            for row in zip(
                *(REWARDS[name](**columns, **settings) for name, settings in RECIPE.rewards.items()), strict=True
            )
        ]
