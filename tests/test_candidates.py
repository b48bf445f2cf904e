"""The steps between the generator and the choices of united finetuning: files, pairs, verdicts, measures."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vqa_lib import tables
from vqa_lib.generation import candidates as clips
from vqa_lib.generation.sampling import load_generator
from vqa_lib.generation.tiny import build_generator, save_generator, world_texts
from vqa_lib.miniature.generated_prompts import world_prompts
from vqa_lib.records import Pair, Prompt
from vqa_lib.video import FramePolicy, read_video

SMALL = {"steps": 2, "frames": 4, "size": (24, 16)}
PROMPTS = [Prompt(f"p{number}", prompt.text, "vidprom", "all") for number, prompt in enumerate(world_prompts(0)[:3])]
POLICY = FramePolicy(count=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("generator")
    build_generator(path, world_texts()[:40], channels=(16, 16))
    return path


@pytest.fixture(scope="module")
def generator(folder):
    return load_generator(folder)


def files(*names):
    return [Path(name) for name in names]


class TestMakeCandidates:
    def test_files_by_prompt_and_noise_of_their_own(self, generator, tmp_path):
        made = clips.make_candidates(generator, PROMPTS, 2, tmp_path / "all", seed=3, **SMALL)
        assert [[path.name for path in two] for two in made] == [
            ["0000_0.mp4", "0000_1.mp4"],
            ["0001_0.mp4", "0001_1.mp4"],
            ["0002_0.mp4", "0002_1.mp4"],
        ]
        first, second = (read_video(path, POLICY).pixels for path in made[0])
        assert first.shape == (4, 16, 24, 3)
        assert not np.array_equal(first, second)
        # A prompt's clips do not depend on what is made beside them.
        alone = clips.make_candidates(generator, PROMPTS[:1], 2, tmp_path / "alone", seed=3, **SMALL)
        assert np.abs(read_video(alone[0][1], POLICY).pixels.astype(int) - second.astype(int)).max() <= 3

    def test_what_is_there_stays(self, generator, tmp_path, monkeypatch):
        monkeypatch.setattr(clips, "PROMPTS_AT_ONCE", 1)
        made = clips.make_candidates(generator, PROMPTS, 1, tmp_path, **SMALL)
        before = [path.stat().st_mtime_ns for (path,) in made]
        made[1][0].unlink()
        clips.make_candidates(generator, PROMPTS, 1, tmp_path, **SMALL)
        after = [path.stat().st_mtime_ns for (path,) in made]
        assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, True]

    def test_nothing_to_make(self, generator, tmp_path):
        with pytest.raises(ValueError, match="at least one clip for each, got 3 prompts and count=0"):
            clips.make_candidates(generator, PROMPTS, 0, tmp_path)


def test_all_pairs_of_a_prompt_and_none_across_prompts():
    pairs = clips.candidate_pairs(PROMPTS[:2], [files("a", "b", "c"), files("d", "e")], "base")
    assert [(pair.first.name, pair.second.name) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c"), ("d", "e")]
    assert {pair.preference for pair in pairs} == {None}
    assert [pair.prompt for pair in pairs] == [PROMPTS[0].text] * 3 + [PROMPTS[1].text]
    assert len({pair.name for pair in pairs}) == 4


def test_verdicts_go_by_what_was_shown():
    a, b, c = files("a", "b", "c")
    pairs = clips.candidate_pairs(PROMPTS[:1], [[a, b, c]], "base")
    # a beats b in both orders; of a and c the clip shown first wins; of b and c one order is unreadable.
    answers = {"answer": ["first", "first", None], "swapped_answer": ["first", "second", "second"]}
    assert clips.verdicts_of(pairs, pd.DataFrame(answers)) == {
        (a, b): ["first"],
        (b, a): ["second"],
        (a, c): ["first"],
        (c, a): ["first"],
        (b, c): [None],
        (c, b): ["first"],
    }
    samples = {"answers": [["first", None]] * 3, "swapped_answers": [["first", "second"]] * 3}
    several = clips.verdicts_of(pairs, pd.DataFrame(answers | samples))
    assert (several[a, b], several[b, a]) == (["first", None], ["second", "first"])


def verdicts_for(better, worse):
    """Whoever stands earlier in `better` wins, in both orders."""
    ranks = {path: place for place, path in enumerate([*better, *worse])}
    return {
        (one, other): ["first" if ranks[one] < ranks[other] else "second"]
        for one in ranks
        for other in ranks
        if one != other
    }


def test_win_lose_pairs_then_the_new_best_against_the_old_loser():
    old, new = [files("a", "b"), files("c", "d")], [files("e", "f"), files("g", "h")]
    undecided = {two: [None] for two in (tuple(old[1]), tuple(old[1][::-1]))}
    first = clips.win_lose_pairs(PROMPTS[:2], old, verdicts_for(files("a"), files("b")) | undecided)
    assert [(pair.name, pair.first.name, pair.second.name) for pair in first] == [("p0", "a", "b")]
    verdicts = verdicts_for(files("f"), files("e")) | verdicts_for(files("g"), files("h"))
    (pair,) = clips.new_preferences(first, PROMPTS[:2], new, verdicts)
    assert (pair.first.name, pair.second.name, pair.preference) == ("f", "b", "first")


def test_win_rate_counts_each_order_half_and_each_prompt_once():
    names = ["a/0", "a/1", "a/2", "b/0", "b/1"]
    rate = clips.win_rate(pd.DataFrame({"name": names, "difference": [1.0, 0.0, 1.0, -1.0, float("nan")]}))
    assert (rate.value, rate.n) == (pytest.approx((5 / 6 + 0) / 2), 2)


def test_gains_are_paired_by_prompt():
    def table(overall):
        columns = {measure: overall for measure in clips.MEASURES}
        return pd.DataFrame({"prompt": ["a", "a", "b", "c"], **columns})

    measured = {"base": table([0.1, 0.3, 0.5, 0.9]), "dpo": table([0.2, 0.4, 0.6, 1.0])}
    rows = clips.gains_over_base(measured)
    assert {(row["model"], row["n"]) for row in rows} == {("dpo", 3)}
    assert [row[part] for row in rows for part in ("value", "low", "high")] == pytest.approx([0.1] * 12)
    with pytest.raises(ValueError, match="dpo and base were not measured on the same prompts"):
        clips.gains_over_base(measured | {"dpo": measured["dpo"][:3]})


def test_against_base_pairs_clips_of_the_same_noise():
    (pair,) = clips.against_base(PROMPTS[:1], [files("base/0000_0.mp4")], [files("dpo/0000_0.mp4")], "dpo")
    assert (pair.first, pair.second) == (Path("dpo/0000_0.mp4"), Path("base/0000_0.mp4"))


def test_measures_of_the_world_and_labels_by_them(generator, tmp_path):
    made = clips.make_candidates(generator, PROMPTS[:2], 2, tmp_path, **SMALL)
    measured = clips.measured_by_world(PROMPTS[:2], made, POLICY)
    assert measured["file"].tolist() == [str(path) for two in made for path in two]
    rows = clips.measure_generators({"base": measured})
    assert [row["measure"] for row in rows] == list(clips.MEASURES)
    assert rows[0]["value"] == pytest.approx(measured["overall"].mean())
    assert rows[0]["n"] == 2  # prompts
    table = pd.DataFrame({"file": ["a", "b", "c"], "overall": [0.5, 0.9, 0.53]})
    pairs = clips.candidate_pairs(PROMPTS[:1], [files("a", "b", "c")], "test")
    found = [(pair.first.name, pair.second.name, pair.preference) for pair in clips.labelled_by_world(pairs, table)]
    assert found == [("a", "b", "second"), ("b", "c", "first")]  # a and c are a tie
    unknown = Prompt("x", "a cat on a roof", "vidprom", "all")
    with pytest.raises(ValueError, match="the embedded world has no prompt 'a cat on a roof'"):
        clips.measured_by_world([unknown], [made[0]], POLICY)


def test_a_saved_generator_leaves_the_loaded_one_as_it_is(generator, tmp_path):
    assert save_generator(tmp_path, generator, "float32") == tmp_path
    assert {str(weight.dtype) for weight in generator.unet.parameters()} == {"torch.float32"}
    again = load_generator(tmp_path)
    pairs = zip(generator.unet.parameters(), again.unet.parameters(), strict=True)
    assert all(bool((one == other).all()) for one, other in pairs)


def test_a_pair_that_nobody_was_asked_about():
    assert Pair("1", *files("a", "b"), "video", None, "united", "base").preference is None


def test_right_choices_are_counted_prompt_by_prompt_and_judges_compared():
    pairs = [
        Pair(f"{prompt}/{number}", Path("a.mp4"), Path("b.mp4"), "video", preference, "united", "test", "a cat")
        for prompt, number, preference in (("p", 0, "first"), ("p", 1, "second"), ("q", 0, "first"))
    ]
    names = [pair.name for pair in pairs]
    before = pd.DataFrame({"name": [*names, "r/0"], "difference": [1.0, 1.0, None, 1.0]})
    after = pd.DataFrame({"name": names[::-1], "difference": [0.5, -0.5, 0.0]})
    first, last, gain = clips.right_choices(pairs, {"before": before, "after": after})
    # before: p is right once of two; q cannot be read. after: p is undecided once and right once; q is right.
    assert (first["value"], first["n"], first["pairs"], first["unparsed"]) == (0.5, 2, 3, 1)
    assert (last["value"], last["unparsed"]) == (0.875, 0)
    assert gain["judge"] == "after - before" and gain["value"] == 0.375 and gain["low"] <= 0.375 <= gain["high"]
    for row in clips.right_choices(pairs[:2], {"before": before, "after": after}):  # of one prompt
        assert tables.show_metric(row) == "undefined: needs at least 2 rows, got 1"
    with pytest.raises(ValueError, match="after did not compare q/0"):
        clips.right_choices(pairs, {"before": before, "after": after[1:]})
