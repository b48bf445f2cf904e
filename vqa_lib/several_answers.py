"""More answers for one video at test time: means and medians of samples, and the score expected from its digits.

VQAThinker names test-time scaling as future work. All samples of a video come from one prefilled prompt.
"""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from vqa_lib.answers import parse_score
from vqa_lib.metrics import paired_bootstrap, srcc
from vqa_lib.models.dialogue import EncodedPrompt
from vqa_lib.models.reference import plain_inputs
from vqa_lib.records import Scale

COMBINED = {"mean": np.nanmean, "median": np.nanmedian}


@torch.no_grad()
def expected_scores(
    model, processor, prompts: Sequence[EncodedPrompt], responses: Sequence[str], scale: Scale
) -> list[float | None]:
    """The score expected from the probabilities of the digits of each response's score. Source: ours, after Q-Align.

    At each digit of the score that a response gives, the digit is replaced by its expectation under the model, given
    all tokens before it: sum over d of d p(d), p over the digits that the scale allows there. None for a response
    without a readable score, or with one that is not written as d, d.d or d.dd.

    Raises:
        ValueError: a scale of more than one digit before the point, or a tokenizer in which digits are not single.
    """
    if scale.low < 0 or scale.high >= 10:
        raise ValueError(f"expected scores need a scale within 0 to 9, got {scale}")
    digits = processor.tokenizer.convert_tokens_to_ids(list("0123456789"))
    if any(processor.tokenizer.convert_ids_to_tokens(place) != str(d) for d, place in enumerate(digits)):
        raise ValueError("expected scores need a tokenizer in which each digit is a token")
    encoded = processor.tokenizer(list(responses), return_offsets_mapping=True)
    completions, offsets = encoded["input_ids"], encoded["offset_mapping"]
    width = max(map(len, completions))
    inputs = plain_inputs(model, list(prompts), completions)
    logits = model(**inputs, logits_to_keep=width + 1).logits[:, :-1]
    chances = logits[..., digits].float().softmax(-1).cpu()  # (n, width, 10)
    return [
        _expected(text, places, chances[row, : len(places)], scale)
        for row, (text, places) in enumerate(zip(responses, offsets, strict=True))
    ]


def _expected(text: str, places: list[tuple[int, int]], chances: torch.Tensor, scale: Scale) -> float | None:
    if parse_score(text, scale) is None:
        return None
    start = text.rfind("<answer>")
    found = re.search(r"(?<![\d.])(\d)(?:\.(\d{1,2}))?(?![\d.])", text[start:])
    if found is None:
        return None
    expected = 0.0
    for group, worth in ((1, 1.0), (2, 0.1)):
        for number in range(len(found[group] or "")):
            position = start + found.start(group) + number
            token = next(index for index, (begin, end) in enumerate(places) if begin <= position < end)
            chance = chances[token].clone()
            if group == 1:
                chance[[d for d in range(10) if not int(scale.low) <= d <= int(scale.high)]] = 0.0
                chance = chance / chance.sum()
            expected += worth * 0.1**number * float(chance @ torch.arange(10.0))
    return min(max(expected, scale.low), scale.high)


def scaling(samples: Sequence[Sequence[float | None]], targets: Sequence[float], counts: Sequence[int]) -> pd.DataFrame:
    """SRCC of the mean and of the median of the first n samples of each video, for each n of `counts`.

    samples: (videos, samples) scores, None where unreadable. Returns columns combined, samples, value, low and high
    (95 %), n (videos with a readable sample), reason (why there is no value), unparsed (samples, of those used).

    Raises:
        ValueError: a count that is below 1 or above the number of samples.
    """
    table = _as_table(samples, counts)
    rows = []
    for name in COMBINED:
        for count in counts:
            found = srcc(_combined(table, name, count), targets)
            unparsed = int(np.isnan(table[:, :count]).sum())
            rows.append({"combined": name, "samples": count, **vars(found), "unparsed": unparsed})
    return pd.DataFrame(rows)


def gains_over_one(
    samples: Sequence[Sequence[float | None]],
    single: Sequence[float | None],
    targets: Sequence[float],
    counts: Sequence[int],
) -> pd.DataFrame:
    """How much higher the SRCC of several samples is than that of one answer a video, by a paired bootstrap.

    samples, counts: as in `scaling`. single: (videos,) scores of the one answer, None where unreadable. Returns columns
    combined, samples, difference (positive: several are better), low and high (95 %), p (two-sided, of "no
    difference"), n (videos that both have a score for).

    Raises:
        ValueError: as `scaling`.

    Example:
        >>> gains_over_one([[1, 1], [2, 2], [3, 3]], [1, 3, 2], [1, 2, 3], [2])["difference"].tolist()
        [0.5, 0.5]
    """
    table = _as_table(samples, counts)
    rows = []
    for name in COMBINED:
        for count in counts:
            combined = _combined(table, name, count)
            both = int((pd.notna(pd.Series(combined)) & pd.notna(pd.Series(single))).sum())
            difference = paired_bootstrap(combined, single, targets)._asdict()
            rows.append({"combined": name, "samples": count, **difference, "n": both})
    return pd.DataFrame(rows)


def _as_table(samples: Sequence[Sequence[float | None]], counts: Sequence[int]) -> np.ndarray:
    table = np.array([[np.nan if score is None else score for score in row] for row in samples], dtype=float)
    if bad := [count for count in counts if not 1 <= count <= table.shape[1]]:
        raise ValueError(f"counts must be 1 to {table.shape[1]}, got {bad[0]}")
    return table


def _combined(table: np.ndarray, name: str, count: int) -> list[float | None]:
    """One score a video, None where none of its first samples can be read."""
    used = table[:, :count]
    read = ~np.isnan(used).all(1)
    scores = np.full(len(used), np.nan)
    scores[read] = COMBINED[name](used[read], axis=1)
    return [None if np.isnan(score) else float(score) for score in scores]
