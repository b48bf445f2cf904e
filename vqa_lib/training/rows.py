"""Rows of the training set: records with their questions, and what the rewards need to know of them."""

from vqa_lib.models.dialogue import messages
from vqa_lib.prompts import PROMPTS
from vqa_lib.recipes import Recipe
from vqa_lib.records import Scale, ScoredClip, rescale


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
        {
            "prompt": messages([clip.kind], prompt.text),
            "clip": number,
            "name": f"{clip.dataset}/{clip.split}/{clip.name}",
            **reward_columns(clip, prompt.scale),
        }
        for number, clip in enumerate(clips)
    ]
