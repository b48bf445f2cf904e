"""Put questions to a model: one line of JSON a record, so that an interrupted run goes on where it stopped."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from vqa_lib.models.dialogue import EncodedPrompt
from vqa_lib.models.loading import load_model
from vqa_lib.models.rollouts import draws, respond
from vqa_lib.predictions import cut_torn_line, without_row
from vqa_lib.records import Record
from vqa_lib.results import model_digest, write_json
from vqa_lib.video import FramePolicy

BATCHES_AT_ONCE = 8  # encoded together and sorted by length; bounds the pixels in memory


def deciding(
    text: str,
    policy: FramePolicy,
    seed: int,
    max_completion: int,
    samples: int | None,
    sampling: dict | None,
    settings: dict | None,
) -> dict:
    """What decides the answers of a file, for `claim`. text: of the prompt. settings: what the caller adds."""
    return {
        "prompt": text,
        "policy": policy.as_dict(),
        "seed": seed,
        "max_completion": max_completion,
        **({"samples": samples, "sampling": sampling} if samples else {}),
        **(settings or {}),
    }


def claim(output: str | Path, settings: dict) -> Path:
    """Write what decides the answers beside the file that they go to, and make that ready to be gone on with.

    A file made with other settings is refused.

    Raises:
        ValueError: the output file belongs to other settings.
    """
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    settings_file = output.with_suffix(".settings.json")
    made_with = json.loads(settings_file.read_text()) if settings_file.exists() else None
    if output.exists() and made_with != settings:
        raise ValueError(
            f"{output} was made with other settings, or {settings_file.name} is gone; name another file or delete it"
        )
    write_json(settings_file, settings)
    cut_torn_line(output)
    return output


def with_model(ask: Callable, model_path: str | Path, *arguments, dtype: str = "float32", image_size=None, **options):
    """Load a model and `ask` with it (`score_clips`, `compare_pairs`, ...); its digest is kept with the answers.

    dtype, image_size: of `load_model`.
    """
    model, processor = load_model(model_path, dtype, image_size=image_size)
    settings = {"model": model_digest(model_path)} | ({"image_size": image_size} if image_size else {})
    return ask(model, processor, *arguments, settings=settings, **options)


def ask_all(
    model,
    processor,
    records: Sequence[Record],
    output: Path,
    questions: Callable[[Record], list[EncodedPrompt]],
    row: Callable[[Record, list[list[str]]], dict],
    batch_size: int = 32,
    max_completion: int = 768,
    seed: int = 0,
    samples: int | None = None,
    sampling: dict | None = None,
    label: str = "scoring",
) -> None:
    """Ask each record's questions and append its row to `output`; records that have one there already are passed over.

    questions: the encoded questions about a record, as many for each. row: what is kept of a record and the responses
    to its questions (a list a question: the greedy response, or `samples` of them). batch_size: records in one batch;
    a visual that several of its questions show is encoded once.
    """
    owed = without_row(records, output)
    model.eval()
    with (
        output.open("a", encoding="utf-8") as file,
        tqdm(total=len(owed), desc=label, unit="record", mininterval=5) as bar,
    ):
        for start in range(0, len(owed), BATCHES_AT_ONCE * batch_size):
            block = owed[start : start + BATCHES_AT_ONCE * batch_size]
            asked = [questions(record) for record in block]
            by_length = sorted(range(len(block)), key=lambda number: len(asked[number][0].ids))
            for first in range(0, len(block), batch_size):
                chosen = by_length[first : first + batch_size]
                prompts = [prompt for number in chosen for prompt in asked[number]]
                each = len(prompts) // len(chosen)
                uniform = _draws([block[number] for number in chosen], each, samples, max_completion, seed)
                responses = respond(model, processor, prompts, max_completion, uniform, **(sampling or {}))
                for place, number in enumerate(chosen):
                    own = responses[place * each : (place + 1) * each]
                    file.write(json.dumps(row(block[number], own), ensure_ascii=False) + "\n")
                file.flush()
                bar.update(len(chosen))


def _draws(
    records: Sequence[Record], questions: int, samples: int | None, max_completion: int, seed: int
) -> torch.Tensor | None:
    # A record's samples depend on its name, not on what is asked beside it.
    keys = [
        (seed, sample, *record.name.encode(), question)
        for record in records
        for question in range(questions)
        for sample in range(samples or 0)
    ]
    return draws(keys, max_completion) if samples else None
