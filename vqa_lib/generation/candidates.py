"""A generator's candidates for prompts, as files; who is compared with whom; and what a judge's answers mean for it.

The steps of united finetuning between the generator and the choices in `united`. Files that are there already are not
made again, and the judge's answers are kept by `comparing.compare_pairs`: an interrupted step goes on.
"""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from vqa_lib.generation.sampling import Generator, generate_clips, write_clips
from vqa_lib.generation.united import Verdicts, second_preference_set, win_lose_pair
from vqa_lib.metrics import Metric, mean
from vqa_lib.miniature.generated_clips import TIE
from vqa_lib.miniature.generated_prompts import world_prompts
from vqa_lib.miniature.measures import measure_clips
from vqa_lib.records import Pair, Prompt
from vqa_lib.video import FramePolicy, read_video

PROMPTS_AT_ONCE = 16  # whose clips are written together: what a killed run has to make again
MEASURES = ("overall", "visual quality", "temporal consistency", "alignment")


def make_candidates(
    generator: Generator, prompts: Sequence[Prompt], count: int, folder: str | Path, seed: int = 0, **sampling
) -> list[list[Path]]:
    """`count` clips of every prompt as `folder`/<number of the prompt>_<number of the clip>.mp4; their files by prompt.

    seed: clip k of prompt n has the noise of (seed, n, k) whatever generator makes it, so that the clips of two
    generators can be set side by side. sampling: further arguments of `generate_clips`.

    Raises:
        ValueError: no prompts, or fewer than one clip a prompt.
    """
    if not prompts or count < 1:
        raise ValueError(f"needs prompts and at least one clip for each, got {len(prompts)} prompts and count={count}")
    folder = Path(folder)
    files = [[folder / f"{number:04d}_{clip}.mp4" for clip in range(count)] for number in range(len(prompts))]
    for start in range(0, len(prompts), PROMPTS_AT_ONCE):
        block = range(start, min(start + PROMPTS_AT_ONCE, len(prompts)))
        if all(path.exists() for number in block for path in files[number]):
            continue
        texts = [prompts[number].text for number in block for _ in range(count)]
        seeds = [_noise_seed(seed, number, clip) for number in block for clip in range(count)]
        clips = generate_clips(generator, texts, seeds, **sampling)
        write_clips(clips, [path for number in block for path in files[number]])
    return files


def _noise_seed(*key: int) -> int:
    return int(np.random.SeedSequence(key).generate_state(1)[0])


def list_clips(prompts: Sequence[Prompt], files: Sequence[list[Path]]) -> pd.DataFrame:
    """Which clip was made for which text: file (its name), prompt."""
    listed = [(path.name, prompt.text) for prompt, paths in zip(prompts, files, strict=True) for path in paths]
    return pd.DataFrame(listed, columns=["file", "prompt"])


def candidate_pairs(prompts: Sequence[Prompt], candidates: Sequence[list[Path]], split: str) -> list[Pair]:
    """All C(N, 2) pairs of every prompt's candidates, unlabelled; `compare_pairs` asks each in both orders."""
    return [
        Pair(f"{prompt.name}/{first.stem}-{second.stem}", first, second, "video", None, "united", split, prompt.text)
        for prompt, files in zip(prompts, candidates, strict=True)
        for first, second in combinations(files, 2)
    ]


def verdicts_of(pairs: Sequence[Pair], compared: pd.DataFrame) -> Verdicts:
    """A judge's verdicts on each order of each pair: which of the two clips, as shown, it chose; None where unreadable.

    compared: what `comparing.compare_pairs` gave for these pairs, whose answers go by the pair, not by what was shown.
    One verdict an order, or one for each of its `samples`.
    """
    verdicts: Verdicts = {}
    turned = {"first": "second", "second": "first"}
    for pair, row in zip(pairs, compared.to_dict("records"), strict=True):
        straight, swapped = (
            row[f"{order}answers"] if "answers" in row else [row[f"{order}answer"]] for order in ("", "swapped_")
        )
        verdicts[pair.first, pair.second] = [None if pd.isna(answer) else answer for answer in straight]
        verdicts[pair.second, pair.first] = [turned.get(answer) for answer in swapped]
    return verdicts


def win_lose_pairs(prompts: Sequence[Prompt], candidates: Sequence[list[Path]], verdicts: Verdicts) -> list[Pair]:
    """`united.win_lose_pair` of every prompt that has one, named like its prompt (eq. 8)."""
    pairs = [
        win_lose_pair(prompt.name, prompt.text, files, verdicts)
        for prompt, files in zip(prompts, candidates, strict=True)
    ]
    return [pair for pair in pairs if pair is not None]


def new_preferences(
    first_pairs: Sequence[Pair],
    prompts: Sequence[Prompt],
    candidates: Sequence[list[Path]],
    verdicts: Verdicts,
) -> list[Pair]:
    """`united.second_preference_set`: the best of the new candidates against the old loser, for prompts that have one.

    first_pairs: what `win_lose_pairs` gave for the earlier candidates.
    """
    by_prompt = dict(zip([prompt.name for prompt in prompts], candidates, strict=True))
    own = [by_prompt[pair.name] for pair in first_pairs]
    return second_preference_set(list(first_pairs), own, [verdicts] * len(own))


def against_base(
    prompts: Sequence[Prompt], base: Sequence[list[Path]], tuned: Sequence[list[Path]], split: str
) -> list[Pair]:
    """Clip k of a prompt by the tuned generator (first) and by the base (second), which had the same noise."""
    return [
        Pair(f"{prompt.name}/{one.stem}", one, other, "video", None, "united", split, prompt.text)
        for prompt, ours, theirs in zip(prompts, tuned, base, strict=True)
        for one, other in zip(ours, theirs, strict=True)
    ]


def win_rate(compared: pd.DataFrame) -> Metric:
    """Share of pairs that the first clip wins, a judge's two orders counting half each; 0.5: neither is better.

    compared: of pairs that `against_base` named. Each prompt counts once, and the interval is over prompts: clips of
    one prompt are alike.
    """
    answered = compared.dropna(subset="difference")
    won = answered["difference"].astype(float) / 2 + 0.5
    return mean(won.groupby(answered["name"].str.rpartition("/")[0]).mean())


def measured_by_world(prompts: Sequence[Prompt], files: Sequence[list[Path]], policy: FramePolicy) -> pd.DataFrame:
    """What the embedded world's own measures say of clips of its prompts (`miniature.measures`), a row a file.

    Columns: the measures, file, prompt (its name).

    Raises:
        ValueError: a prompt that is not the world's: only its own clips have a truth that pixels can be held against.
    """
    known = {prompt.text: prompt for prompt in world_prompts(0)}
    if unknown := [prompt.text for prompt in prompts if prompt.text not in known]:
        raise ValueError(f"the embedded world has no prompt {unknown[0]!r}: its measures are for its own prompts")
    flat = [(prompt, path) for prompt, paths in zip(prompts, files, strict=True) for path in paths]
    clips = [read_video(path, policy).pixels for _, path in flat]
    measured = measure_clips(clips, [known[prompt.text] for prompt, _ in flat])
    return measured.assign(file=[str(path) for _, path in flat], prompt=[prompt.name for prompt, _ in flat])


def labelled_by_world(pairs: Sequence[Pair], measured: pd.DataFrame) -> list[Pair]:
    """Pairs whose clips' measured overall quality differs by more than a tie (0.1), with the better one preferred."""
    overall = dict(zip(measured["file"], measured["overall"], strict=True))
    labelled = []
    for pair in pairs:
        ahead = overall[str(pair.first)] - overall[str(pair.second)]
        if abs(ahead) > TIE:
            preference = "first" if ahead > 0 else "second"
            labelled.append(Pair(pair.name, *pair.paths, pair.kind, preference, pair.dataset, pair.split, pair.prompt))
    return labelled


def right_choices(labelled: Sequence[Pair], compared: dict[str, pd.DataFrame]) -> list[dict]:
    """How often judges choose the clip that the world calls better, and what the last judge has above the first.

    labelled: of `labelled_by_world`. compared: a judge's name -> its table of `comparing.compare_pairs`, in which there
    may be other pairs, too. Where a judge is undecided, or its answers cannot be read, a pair counts half. Each prompt
    counts once, and intervals (95 %) are over prompts.

    Returns:
        Rows of judge, value (in [0, 1]; 0.5 is chance), low, high, n (prompts), reason (why there is no value: fewer
        than two prompts), pairs, unparsed (pairs without a readable answer to one of the orders). The last row,
        "LAST - FIRST", is the difference, prompt by prompt.

    Raises:
        ValueError: a judge that did not compare one of the pairs.
    """
    wanted = pd.DataFrame({"name": [pair.name for pair in labelled], "truth": [pair.preference for pair in labelled]})
    right, rows = {}, []
    for judge, table in compared.items():
        asked = wanted.merge(table[["name", "difference"]], on="name", how="left", indicator=True)
        if (asked["_merge"] != "both").any():
            raise ValueError(f"{judge} did not compare {asked.loc[asked['_merge'] != 'both', 'name'].iloc[0]}")
        margin = asked["difference"].astype(float)
        toward = np.sign(margin.fillna(0)) * np.where(asked["truth"] == "first", 1, -1)
        right[judge] = (0.5 + toward / 2).groupby(asked["name"].str.rpartition("/")[0]).mean()
        rows.append(_row_of_mean(judge, right[judge]) | {"pairs": len(asked), "unparsed": int(margin.isna().sum())})
    first, last = next(iter(right)), list(right)[-1]
    gain = _row_of_mean(f"{last} - {first}", right[last] - right[first])
    return [*rows, gain | {"pairs": len(wanted), "unparsed": max(row["unparsed"] for row in rows)}]


def _row_of_mean(judge: str, values: pd.Series) -> dict:
    return {"judge": judge, **vars(mean(values))}


def measure_generators(measured: dict[str, pd.DataFrame]) -> list[dict]:
    """Mean of each measure for each generator: model, measure, value, low, high, n, reason (why there is no value).

    measured: a generator's `measured_by_world`. n: prompts, over which the 95 % interval is; their clips are averaged.
    """
    return _rows_of_means({model: _by_prompt(table) for model, table in measured.items()})


def gains_over_base(measured: dict[str, pd.DataFrame]) -> list[dict]:
    """What each generator has above the first one, as `measure_generators`; an interval above 0 says "better".

    Differences are taken prompt by prompt, from clips of the same noise: much narrower than two intervals side by side.

    Raises:
        ValueError: generators that were not measured on the same prompts.
    """
    base, *others = measured
    by_prompt = {model: _by_prompt(table) for model, table in measured.items()}
    for model in others:
        if not by_prompt[model].index.equals(by_prompt[base].index):
            raise ValueError(f"{model} and {base} were not measured on the same prompts")
    return _rows_of_means({model: by_prompt[model] - by_prompt[base] for model in others})


def _by_prompt(table: pd.DataFrame) -> pd.DataFrame:
    return table.groupby("prompt")[list(MEASURES)].mean()


def _rows_of_means(tables: dict[str, pd.DataFrame]) -> list[dict]:
    rows = []
    for model, table in tables.items():
        for measure in MEASURES:
            rows.append({"model": model, "measure": measure, **vars(mean(table[measure]))})
    return rows
