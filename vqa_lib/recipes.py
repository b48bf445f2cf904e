"""A recipe is what makes one method of the papers: prompt, rewards with their settings, contrast group. Data, no code.

Adding a method is adding an entry to RECIPES; a row of an ablation table is an entry that takes something out of
another one. The papers sum their rewards unweighted: what weighs them are their own factors (alpha, gamma, delta),
which are settings of the rewards.
"""

from dataclasses import dataclass, field, replace

from vqa_lib.prompts import PROMPTS, Prompt
from vqa_lib.rewards import choice_reward

CONTRASTED = ("temporal", "consistency")  # rewards that look at the contrast group


@dataclass(frozen=True)
class Recipe:
    """One training method.

    prompt: a name in `prompts.PROMPTS`, which also has the form of the answer. rewards: reward name -> its settings
    (empty: the paper's defaults), summed; none at all for supervised training on given responses. contrast: how the
    frames of the contrast group are perturbed (a name in `perturb.ORDERS`), or None for none. Responses of the contrast
    group are seen by rewards only. start: the recipe whose model it goes on from; None: the pretrained model. sampling:
    what the paper says of its rollouts, by the names of `GRPOSettings` (and top_k). motion: whether the model has
    VQAThinker's motion branch. questions: the prompt of yes-or-no questions that may be mixed among other records.
    """

    prompt: str
    rewards: dict[str, dict] = field(hash=False)
    contrast: str | None = None
    start: str | None = None
    sampling: dict[str, float] = field(hash=False, default_factory=dict)
    motion: bool = False
    questions: str | None = None

    @property
    def answer(self) -> Prompt:
        """The prompt itself, with scale, dimensions and choices of its answer."""
        return PROMPTS[self.prompt]

    def adjust(self, **settings: dict) -> "Recipe":
        """The same recipe with other settings for some rewards.

        Example:
            >>> RECIPES["vq_insight/natural"].adjust(length={"low": 12, "high": 60}).rewards["length"]
            {'low': 12, 'high': 60}

        Raises:
            ValueError: a reward that the recipe does not have.
        """
        if unknown := sorted(set(settings) - set(self.rewards)):
            raise ValueError(f"the recipe has the rewards {list(self.rewards)}, not {unknown}")
        return replace(self, rewards={name: {**old, **settings.get(name, {})} for name, old in self.rewards.items()})

    def without(self, *names: str) -> "Recipe":
        """The same recipe with rewards taken out: an ablation. A contrast group that no reward looks at goes too."""
        if unknown := sorted(set(names) - set(self.rewards)):
            raise ValueError(f"the recipe has the rewards {list(self.rewards)}, not {unknown}")
        rewards = {name: settings for name, settings in self.rewards.items() if name not in names}
        return replace(self, rewards=rewards, contrast=self.contrast if set(CONTRASTED) & set(rewards) else None)


G8 = {"group": 8}  # VQ-Insight, "Implementation Details": "The generation number N ... 8"
# VQ-Insight, stage 2. Natural video: eq. 6 with M = 1, eq. 4 and eq. 5.
NATURAL = Recipe(
    prompt="vq_insight/natural",
    rewards={"format": {}, "multi_dim": {}, "temporal": {}, "length": {}},
    contrast="shuffle",
    start="vq_insight/image",
    sampling=G8,
)
MULTI_DIM = replace(NATURAL, prompt="vq_insight/multi_dim")  # eq. 6 with M = 3
# Comparison (eq. 7). Whether its training had the temporal reward the paper leaves open: it lists the reward for all
# tasks of stage 2, and does not ablate it here, since two shuffled videos confuse the label. The official code has it.
PREFERENCE = replace(
    NATURAL,
    prompt="vq_insight/preference",
    rewards={
        "format": {},
        "choice": {},
        "temporal": {"accuracy": choice_reward},
        "length": {"accuracy": choice_reward},
    },
    questions="vq_insight/yes_no",
)
# Stage 3 goes on with the training of stage 2 on the pairs that the generator's own videos make.
UNITED = replace(PREFERENCE, start="vq_insight/preference")
# VQAThinker, eq. 10 and Table 6; the motion branch is part of the model.
VQATHINKER = Recipe(
    prompt="vqathinker",
    rewards={"format": {}, "bell": {}, "ranking": {}, "consistency": {}},
    contrast="damage",
    sampling={"group": 4, "temperature": 0.9, "top_p": 1.0, "top_k": 50, "max_completion": 2048},
    motion=True,
)
# FingER, eq. 9, "GRPO with cold-start": goes on from supervised training with reasons.
FINGER = Recipe(
    prompt="finger", rewards={"reason_format": {}, "choice": {}}, start="finger/sft_reason", sampling={"group": 16}
)

RECIPES = {
    # VQ-Insight. Stage 1, "Image Scoring Warm-up": "a format reward and a image scoring reward".
    "vq_insight/image": Recipe(prompt="vq_insight/image", rewards={"format": {}, "score": {}}, sampling=G8),
    "vq_insight/natural": NATURAL,
    "vq_insight/multi_dim": MULTI_DIM,
    "vq_insight/preference": PREFERENCE,
    "vq_insight/yes_no": replace(PREFERENCE, prompt="vq_insight/yes_no"),  # the auxiliary questions of eq. 7
    "vq_insight/united": UNITED,
    # Its Table 4: multi-dimension scoring; (d) is vq_insight/multi_dim.
    "vq_insight/table4_a": replace(MULTI_DIM, start=None),  # no warm-up
    "vq_insight/table4_b": MULTI_DIM.without("temporal"),
    "vq_insight/table4_c": MULTI_DIM.without("length"),
    # Its Table 5: preference; (g) is vq_insight/united. Without the length reward both stages are.
    "vq_insight/table5_e_stage2": PREFERENCE.without("length"),
    "vq_insight/table5_e": replace(UNITED.without("length"), start="vq_insight/table5_e_stage2"),
    "vq_insight/table5_f": PREFERENCE,  # no united finetuning
    # "Qwen-SFT" of its Tables 1 and 2, of which the paper says no more: true answers without reasoning.
    "vq_insight/sft_natural": Recipe(prompt="vq_insight/natural_answer", rewards={}),
    "vq_insight/sft_multi_dim": Recipe(prompt="vq_insight/multi_dim_answer", rewards={}),
    "vq_insight/sft_preference": Recipe(
        prompt="vq_insight/preference_answer", rewards={}, questions="vq_insight/yes_no_answer"
    ),
    # VQAThinker and its Tables 4, 7 and 8, rows in the order of Table 8; the last row is vqathinker.
    "vqathinker": VQATHINKER,
    "vqathinker/ranking": VQATHINKER.without("bell", "consistency"),
    "vqathinker/regression": VQATHINKER.without("ranking", "consistency"),
    "vqathinker/no_consistency": VQATHINKER.without("consistency"),
    "vqathinker/no_motion": replace(VQATHINKER.without("consistency"), motion=False),
    "vqathinker/no_reasoning": replace(VQATHINKER.adjust(format={"reasoning": None}), prompt="vqathinker/no_reasoning"),
    "vqathinker/sft": Recipe(prompt="vqathinker/no_reasoning", rewards={}, motion=True),
    # FingER and the rows of its Tables 2 and 3.
    "finger": FINGER,
    "finger/zero": replace(FINGER, start=None),
    "finger/sft": Recipe(prompt="finger/answer", rewards={}),
    "finger/sft_reason": Recipe(prompt="finger", rewards={}),
    # The baselines that VQAThinker trains on its videos; group sizes as in their official code. VisualQuality-R1 counts
    # a tie as half.
    "q_insight": Recipe(prompt="q_insight", rewards={"format": {}, "threshold": {}}, sampling={"group": 8}),
    "visualquality_r1": Recipe(
        prompt="visualquality_r1", rewards={"format": {}, "ranking": {"variant": "official"}}, sampling={"group": 6}
    ),
}
