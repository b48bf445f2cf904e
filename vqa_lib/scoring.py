"""Score clips with a trained model: one line of JSON a clip, so that an interrupted run goes on where it stopped."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from vqa_lib.answers import parse_score
from vqa_lib.frame_cache import FrameCache
from vqa_lib.models.families import encode
from vqa_lib.models.loading import load_model
from vqa_lib.models.rollouts import draws, respond
from vqa_lib.perturb import ORDERS, reorder
from vqa_lib.prompts import PROMPTS
from vqa_lib.records import Scale, ScoredClip, rescale
from vqa_lib.results import model_digest, write_json
from vqa_lib.video import FramePolicy

BATCHES_AT_ONCE = 8  # encoded together and sorted by length; bounds the pixels in memory


def read_predictions(path: Path) -> list[dict]:
    """The finished lines of a predictions file; a last line torn by a crash is owed again, and cut off the file."""
    if not path.exists():
        return []
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) != len(text):
        path.write_bytes(whole)
    rows = []
    for number, line in enumerate(whole.decode("utf-8").split("\n")[:-1], 1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            raise ValueError(f"{path}, line {number}: not JSON; delete the file to score afresh") from None
    return rows


def score_clips(
    model,
    processor,
    clips: list[ScoredClip],
    prompt: str,
    policy: FramePolicy,
    cache: FrameCache,
    output: str | Path,
    order: str | None = None,
    batch_size: int = 32,
    max_completion: int = 768,
    seed: int = 0,
    samples: int | None = None,
    sampling: dict | None = None,
    settings: dict | None = None,
) -> pd.DataFrame:
    """Score and reasoning of every clip: greedy, or the mean over several samples from one prefilled prompt.

    output: a .jsonl file; lines already there are kept. order: None for the frames as they are, or a name in
    `perturb.ORDERS`: the same perturbed copy of a clip for every model with the same seed. samples: draw so many
    responses a clip instead, shaped by `sampling` (temperature, top_p, top_k). settings: whatever else decides the
    scores (the model's digest, say); a file made with other settings is refused, not mixed.

    Returns:
        One row a clip in the order given: dataset, split, name, mos (published scale), target (mos on the prompt's
        scale), prediction (prompt's scale; NaN where the response holds no readable score), response. With samples:
        predictions and responses are lists with one entry a sample, prediction the mean of those that can be read,
        response the first.

    Raises:
        ValueError: the output file belongs to other settings.
    """
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    scale = PROMPTS[prompt].scale
    wanted = {
        "prompt": PROMPTS[prompt].text,
        "policy": policy.as_dict(),
        "order": order,
        "seed": seed,
        "max_completion": max_completion,
        **({"samples": samples, "sampling": sampling} if samples else {}),
        **(settings or {}),
    }
    settings_file = output.with_suffix(".settings.json")
    made_with = json.loads(settings_file.read_text()) if settings_file.exists() else None
    if output.exists() and made_with != wanted:
        raise ValueError(
            f"{output} was made with other settings, or {settings_file.name} is gone; name another file or delete it"
        )
    write_json(settings_file, wanted)
    done = {(row["dataset"], row["split"], row["name"]) for row in read_predictions(output)}
    owed = [clip for clip in clips if (clip.dataset, clip.split, clip.name) not in done]
    model.eval()
    with (
        output.open("a", encoding="utf-8") as file,
        tqdm(total=len(owed), desc="scoring", unit="clip", mininterval=5) as bar,
    ):
        for start in range(0, len(owed), BATCHES_AT_ONCE * batch_size):
            block = owed[start : start + BATCHES_AT_ONCE * batch_size]
            prompts = [_encode(processor, clip, prompt, policy, cache, order, seed) for clip in block]
            by_length = sorted(range(len(block)), key=lambda number: len(prompts[number].ids))
            for first in range(0, len(block), batch_size):
                chosen = by_length[first : first + batch_size]
                asked = [prompts[number] for number in chosen]
                uniform = _draws([block[number] for number in chosen], samples, max_completion, seed)
                responses = respond(model, processor, asked, max_completion, uniform, **(sampling or {}))
                for number, texts in zip(chosen, responses, strict=True):
                    file.write(json.dumps(_row(block[number], texts, scale), ensure_ascii=False) + "\n")
                file.flush()
                bar.update(len(chosen))
    return predictions_table(output, clips)


def score_with(model_path: str | Path, *arguments, dtype: str = "float32", **options) -> pd.DataFrame:
    """Load a model and `score_clips` with it; the model's digest is kept with the predictions."""
    model, processor = load_model(model_path, dtype)
    return score_clips(model, processor, *arguments, settings={"model": model_digest(model_path)}, **options)


def _encode(processor, clip, prompt, policy, cache, order, seed):
    frames = cache.get(clip.path, clip.kind, policy)
    if order is not None:
        key = [seed, *clip.name.encode()]
        frames = reorder(frames, ORDERS[order](len(frames.pixels), np.random.default_rng(key)))
    return encode(processor, [(frames, clip.kind)], PROMPTS[prompt].text)


def _draws(clips: list[ScoredClip], samples: int | None, max_completion: int, seed: int) -> torch.Tensor | None:
    # A clip's samples depend on its name, not on what is scored beside it.
    keys = [(seed, sample, *clip.name.encode()) for clip in clips for sample in range(samples or 0)]
    return draws(keys, max_completion) if samples else None


def _row(clip: ScoredClip, responses: list[str], scale: Scale) -> dict:
    predictions = [parse_score(response, scale) for response in responses]
    read = [prediction for prediction in predictions if prediction is not None]
    row = {
        "dataset": clip.dataset,
        "split": clip.split,
        "name": clip.name,
        "mos": clip.mos,
        "target": rescale(clip.mos, clip.scale, scale),
        "prediction": sum(read) / len(read) if read else None,
        "response": responses[0],
    }
    return row if len(responses) == 1 else row | {"predictions": predictions, "responses": responses}


def predictions_table(path: str | Path, clips: list[ScoredClip] | None = None) -> pd.DataFrame:
    """A predictions file as a table, in the order of `clips` where given; unparsed predictions are NaN."""
    rows = {(row["dataset"], row["split"], row["name"]): row for row in read_predictions(Path(path))}
    chosen = rows.values() if clips is None else [rows[clip.dataset, clip.split, clip.name] for clip in clips]
    table = pd.DataFrame(chosen)
    return table.astype({"mos": float, "target": float, "prediction": float})
