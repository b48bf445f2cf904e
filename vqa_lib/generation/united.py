"""United finetuning's choices: which of a prompt's candidates wins, which loses, and what the judge learns from it.

VQ-Insight, stage 3: the generator makes N candidates a prompt; the judge compares all of them two by two; the most and
the least often preferred are a win-lose pair (eq. 8). Who judges is the caller's business: these functions take a table
of verdicts. Each two candidates are compared in both orders, because judges favour a place; that part is ours.
"""

from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

from vqa_lib.records import Pair

VERDICTS = ("first", "second", None)  # None: the judge's answer could not be read, or was a tie
Comparison = tuple[Path, Path]  # shown first, shown second
Verdicts = dict[Comparison, list[str | None]]  # several a comparison where the judge was asked more often


@dataclass(frozen=True)
class Count:
    """What a judge said of one candidate, over all of its comparisons.

    preferred, rejected: how often it was chosen, and the other. undecided: neither was.
    """

    preferred: int = 0
    rejected: int = 0
    undecided: int = 0


@dataclass(frozen=True)
class OrderBias:
    """How much the order in which two clips are shown decides.

    disagree: share of the twos, both orders of which were answered, in which the orders name different winners; 0 is
    best. first_chosen: share of answers that name the clip shown first; 0.5 is best. Both are None where there is
    nothing to take a share of. twos, answers: what the shares are of; with several verdicts a comparison, each of one
    order and its counterpart of the other are a two. undecided: verdicts that were None.
    """

    disagree: float | None
    first_chosen: float | None
    twos: int
    answers: int
    undecided: int


def count_preferences(candidates: list[Path], verdicts: Verdicts) -> dict[Path, Count]:
    """How often each candidate was preferred, over all twos in both orders; an undecided one counts for neither.

    Raises:
        ValueError: fewer than two candidates, or the same file twice; a comparison without verdict, or a verdict other
            than "first", "second" and None.
    """
    if len(candidates) < 2 or len(set(candidates)) != len(candidates):
        raise ValueError(f"a prompt needs at least two candidates, each once; got {[str(path) for path in candidates]}")
    tally = {candidate: [0, 0, 0] for candidate in candidates}
    for two in permutations(candidates, 2):
        for verdict in _verdicts(two, verdicts):
            for place, candidate in zip(("first", "second"), two, strict=True):
                tally[candidate][2 if verdict is None else int(verdict != place)] += 1
    return {candidate: Count(*counts) for candidate, counts in tally.items()}


def order_bias(verdicts: Verdicts) -> OrderBias:
    """How much the order decides, over all verdicts, of one prompt or of many.

    Raises:
        ValueError: a verdict other than "first", "second" and None.

    Example:
        >>> a, b = Path("a"), Path("b")
        >>> order_bias({(a, b): ["first"], (b, a): ["first"]}).disagree
        1.0
    """
    given = {(*two, number): verdict for two in verdicts for number, verdict in enumerate(_verdicts(two, verdicts))}
    answers = {asked: verdict for asked, verdict in given.items() if verdict is not None}
    # With both orders answered, each two comes up twice; the same place named twice is two winners.
    turned = {(one, other, number): (other, one, number) for one, other, number in answers}
    both = [asked for asked in answers if turned[asked] in answers]
    differ = sum(answers[asked] == answers[turned[asked]] for asked in both)
    firsts = sum(verdict == "first" for verdict in answers.values())
    return OrderBias(
        disagree=differ / len(both) if both else None,
        first_chosen=firsts / len(answers) if answers else None,
        twos=len(both) // 2,
        answers=len(answers),
        undecided=len(given) - len(answers),
    )


def win_lose_pair(
    name: str,
    prompt: str,
    candidates: list[Path],
    verdicts: Verdicts,
    dataset: str = "united",
    split: str = "train",
) -> Pair | None:
    """The most often against the least often preferred candidate (eq. 8), the winner first; None where all are equal.

    Ties: of those preferred equally often the less often rejected stands higher (it has more undecided comparisons);
    of those still equal the earlier in `candidates` wins, and the later loses.

    Raises:
        ValueError: as `count_preferences`.
    """
    winner, loser = _extremes(candidates, verdicts)
    return None if winner is None else Pair(name, winner, loser, "video", "first", dataset, split, prompt)


def second_preference_set(
    first_pairs: list[Pair], new_candidates: list[list[Path]], verdicts: list[Verdicts]
) -> list[Pair]:
    """The judge's own training pairs: the best of the tuned generator's new samples against the old loser, per prompt.

    The three lists go by prompt. Which clip is shown first alternates, so that the judge cannot learn a place. A prompt
    none of whose new samples stands out is left out.

    Raises:
        ValueError: lists of unequal length; an old pair without winner; as `count_preferences`.
    """
    if not len(first_pairs) == len(new_candidates) == len(verdicts):
        raise ValueError(
            f"a list of candidates and verdicts for each pair: got {len(first_pairs)} pairs, {len(new_candidates)} "
            f"lists of candidates and {len(verdicts)} of verdicts"
        )
    pairs = []
    for old, candidates, table in zip(first_pairs, new_candidates, verdicts, strict=True):
        if old.preference not in ("first", "second"):
            raise ValueError(f"{old.dataset}/{old.name}: an old pair must have a winner, got {old.preference!r}")
        loser = old.second if old.preference == "first" else old.first
        best, _ = _extremes(candidates, table)
        if best is None:
            continue
        swapped = len(pairs) % 2 == 1
        two, preference = ((loser, best), "second") if swapped else ((best, loser), "first")
        pairs.append(Pair(old.name, *two, "video", preference, old.dataset, old.split, old.prompt))
    return pairs


def _extremes(candidates: list[Path], verdicts: Verdicts) -> tuple[Path | None, Path | None]:
    """Best and worst candidate, or (None, None) where their counts are equal."""
    counts = count_preferences(candidates, verdicts)
    ranked = sorted(candidates, key=lambda candidate: (-counts[candidate].preferred, counts[candidate].rejected))
    best, worst = ranked[0], ranked[-1]
    return (None, None) if counts[best] == counts[worst] else (best, worst)


def _verdicts(two: Comparison, verdicts: Verdicts) -> list[str | None]:
    shown = f"{two[0]} against {two[1]}"
    if not verdicts.get(two):
        raise ValueError(f"no verdict on {shown}")
    for verdict in verdicts[two]:
        if verdict not in VERDICTS:
            raise ValueError(f"a verdict on {shown} must be 'first', 'second' or None, got {verdict!r}")
    return verdicts[two]
