"""A recipe is what makes one method of the papers: prompt, rewards with their settings, contrast group. Data, no code.

Adding a method is adding an entry to RECIPES.
"""

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Recipe:
    """One training method.

    prompt: a name in `prompts.PROMPTS`. rewards: reward name -> its settings (empty: the paper's defaults), summed.
    contrast: how the frames of the contrast group are perturbed ("shuffle"), or None for none. Responses of
    the contrast group are seen by rewards only.
    """

    prompt: str
    rewards: dict[str, dict] = field(hash=False)
    contrast: str | None = None

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
        """The same recipe with rewards taken out: an ablation. Without the temporal reward no contrast is sampled."""
        if unknown := sorted(set(names) - set(self.rewards)):
            raise ValueError(f"the recipe has the rewards {list(self.rewards)}, not {unknown}")
        rewards = {name: settings for name, settings in self.rewards.items() if name not in names}
        return replace(self, rewards=rewards, contrast=self.contrast if "temporal" in rewards else None)


RECIPES = {
    # Stage 1, "Image Scoring Warm-up": "a format reward and a image scoring reward".
    "vq_insight/image": Recipe(prompt="vq_insight/image", rewards={"format": {}, "score": {}}),
    # Stage 2, natural video: eq. 6 with M = 1, eq. 4 and eq. 5.
    "vq_insight/natural": Recipe(
        prompt="vq_insight/natural",
        rewards={"format": {}, "multi_dim": {}, "temporal": {}, "length": {}},
        contrast="shuffle",
    ),
}
