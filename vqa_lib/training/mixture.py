"""Several lists of records as one training set, mixed by weight."""

from collections.abc import Mapping, Sequence

import numpy as np

from vqa_lib.records import Pair, Record


def decided_pairs(pairs: Sequence[Pair], both_orders: bool = False) -> list[Pair]:
    """The pairs of which people preferred one clip, in their order; with both_orders all of them once more, swapped.

    A choice between two (VQ-Insight, eq. 7) knows no tie. That each pair may be shown both ways is ours.

    Example:
        >>> decided_pairs(load_pairs("visionreward_pairs", folder, "regression"), both_orders=True)  # doctest: +SKIP
    """
    decided = [pair for pair in pairs if pair.preference in ("first", "second")]
    return decided + [pair.swapped() for pair in decided if both_orders]


def mix_records(
    parts: Mapping[str, tuple[Sequence[Record], float]], count: int | None = None, seed: int = 0
) -> list[Record]:
    """Records of several lists in shares by weight, in an order by the seed.

    parts: name -> (records, weight). count: how many in all; None for as many as the lists allow at these weights, none
    of them twice, the list that runs out first being used up. A list is drawn from without repeats as long as it lasts,
    then anew. The numbers of the parts add up to count (rounded by largest remainder).

    Source: ours; VQ-Insight mixes 2k pairs and 1k questions, weights 2 and 1, and does not say how.

    Raises:
        ValueError: no part, an empty list, a weight that is not positive, a count under 1.

    Example:
        >>> mixed = mix_records({"pairs": (pairs, 2), "questions": (questions, 1)}, seed=0)  # doctest: +SKIP
    """
    if not parts:
        raise ValueError("there is nothing to mix")
    for name, (records, weight) in parts.items():
        if not records or not weight > 0:
            raise ValueError(f"{name}: needs records and a positive weight, got {len(records)} and {weight}")
    if count is not None and count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    weights = np.array([weight for _, weight in parts.values()], dtype=float)
    lists = [records for records, _ in parts.values()]
    if count is None:
        rounds = min(len(records) / weight for records, weight in zip(lists, weights, strict=True))
        numbers = np.floor(rounds * weights + 1e-9).astype(int)
    else:
        exact = count * weights / weights.sum()
        numbers = np.floor(exact).astype(int)
        numbers[np.argsort(numbers - exact, kind="stable")[: count - numbers.sum()]] += 1
    random = np.random.default_rng(seed)
    mixed = []
    for records, number in zip(lists, numbers, strict=True):
        rounds = -(-int(number) // len(records))
        places = np.concatenate([np.empty(0, int), *(random.permutation(len(records)) for _ in range(rounds))])
        mixed += [records[place] for place in places[:number]]
    return [mixed[place] for place in random.permutation(len(mixed))]
