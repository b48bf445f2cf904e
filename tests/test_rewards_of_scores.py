"""Rewards on scores from 1 to 5: Q-Insight's threshold; VQAThinker's bell, ranking and temporal consistency."""

import math

import pytest
from scipy.stats import norm

from vqa_lib.rewards import (
    bell_reward,
    consistency_reward,
    ranking_reward,
    score_reward,
    threshold_reward,
)

HUNDRED = (0, 100)


def answer(content) -> str:
    return f"<think>seen</think><answer>{content}</answer>"


FIVE = (1, 5)


def five(scores, truths, group=None) -> dict:
    """Columns on the scale of 1 to 5: one answer and one truth a row."""
    return {
        "completions": [answer(score) for score in scores],
        "target": [[truth] for truth in truths],
        "scale": [FIVE] * len(scores),
        "group": list(range(len(scores))) if group is None else group,
        "kind": ["video"] * len(scores),
    }


class TestThreshold:
    @pytest.mark.parametrize(
        ("score", "truth", "expected"),
        [
            (3, 3, 1.0),
            (3.34, 3, 1.0),
            (2.66, 3, 1.0),
            (3.35, 3, 0.0),  # the bound is strict, on either side
            (2.65, 3, 0.0),
            (4.35, 4, 0.0),  # 4.35 - 4 is a little under 0.35 in floats
            (5, 1, 0.0),
            ("good", 3, 0.0),
            (5.1, 5, 0.0),  # outside the scale is unreadable, however near
        ],
    )
    def test_truth_table(self, score, truth, expected):
        assert threshold_reward(**five([score], [truth])) == [expected]

    def test_threshold_is_an_argument(self):
        assert threshold_reward(**five([4, 4], [3, 3]), threshold=1.5) == [1.0, 1.0]
        assert threshold_reward(**five([4], [3]), threshold=1) == [0.0]


class TestBell:
    @pytest.mark.parametrize(
        ("score", "truth", "paper", "official"),
        [
            ("3.25", 3.25, 0.8, 1.0),  # gold
            ("3.5", 3.5, 0.8, 0.8),  # one decimal costs a fifth officially
            ("3.50", 3.5, 0.8, 0.8),  # and a trailing zero is none
            ("3", 3.0, 0.8, 0.8),
            ("3.125", 3.125, 0.8, 1.0),
            ("3.75", 3.25, 0.8 * math.exp(-0.5), math.exp(-0.5)),  # one sigma away, on either side
            ("2.75", 3.25, 0.8 * math.exp(-0.5), math.exp(-0.5)),
            ("4.25", 3.25, 0.8 * math.exp(-2), math.exp(-2)),
            ("5", 1.0, 0.8 * math.exp(-32), 0.8 * math.exp(-32)),  # the far end: tiny, not negative
            ("good", 3.0, 0.0, 0.0),
            ("5.01", 5.0, 0.0, 0.0),
        ],
    )
    def test_truth_table(self, score, truth, paper, official):
        assert bell_reward(**five([score], [truth])) == pytest.approx([paper], abs=1e-15)
        assert bell_reward(**five([score], [truth]), variant="official") == pytest.approx([official], abs=1e-15)

    def test_parameters(self):
        assert bell_reward(**five(["4.25"], [3.25]), sigma=1, alpha=0.5) == pytest.approx([0.5 * math.exp(-0.5)])
        assert bell_reward(**five(["4.25"], [3.25]), alpha=0.5, variant="official") == pytest.approx(
            [0.5 * math.exp(-2)]
        )
        for settings in ({"sigma": 0}, {"alpha": -1}):
            with pytest.raises(ValueError, match="must be positive"):
                bell_reward(**five([3], [3]), **settings)
        with pytest.raises(ValueError, match="'paper', 'official'"):
            bell_reward(**five([3], [3]), variant="Paper")

    def test_steeper_than_l1_near_the_truth(self):
        """Why the paper has it: between 0.25 and 0.75 away, where a nearly right answer is, it tells more apart."""
        bell = bell_reward(**five(["3.25", "3.75"], [3, 3]))
        straight = score_reward(**five(["3.25", "3.75"], [3, 3]))
        assert bell[0] - bell[1] > 3 * (straight[0] - straight[1])


class TestRanking:
    def test_one_comparison_by_hand(self):
        # Video 0: scores 3 and 4 (mean 3.5, variance 0.25), truth 4; video 1: scores 2 and 2, truth 1.
        columns = five([3, 4, 2, 2], [4, 4, 1, 1], group=[0, 0, 1, 1])
        spread = math.sqrt(0.25 + 0 + 1e-6)
        expected = [
            math.sqrt(norm.cdf((3 - 2) / spread) + 1e-6) + 1e-3,
            math.sqrt(norm.cdf((4 - 2) / spread) + 1e-6) + 1e-3,
            1e-3 + math.sqrt(norm.cdf((3.5 - 2) / spread) + 1e-6),
            1e-3 + math.sqrt(norm.cdf((3.5 - 2) / spread) + 1e-6),
        ]
        assert ranking_reward(**columns) == pytest.approx(expected, abs=1e-12)
        assert ranking_reward(**columns, variant="official") == pytest.approx(expected, abs=1e-12)  # no tie: the same

    def test_wrong_order_earns_nothing(self):
        values = ranking_reward(**five([5, 5, 1, 1], [2, 2, 4, 4], group=[0, 0, 1, 1]))
        assert values == pytest.approx([2e-3] * 4, abs=1e-9)

    def test_mean_over_the_other_videos(self):
        columns = five([1, 3, 5], [1, 3, 2])  # right against the first, wrong against the third
        assert ranking_reward(**columns)[1] == pytest.approx((1.001 + 2e-3) / 2, abs=1e-6)

    @pytest.mark.parametrize(("score", "official"), [(3, 1.0), (5, math.sqrt(0.5))])
    def test_tied_truths(self, score, official):
        columns = five([score, 3], [3, 3])
        assert ranking_reward(**columns)[0] == pytest.approx(2e-3)  # as printed: neither indicator is 1
        assert ranking_reward(**columns, variant="official")[0] == pytest.approx(official, abs=2e-3)

    def test_no_spread_is_decided_by_epsilon(self):
        half = ranking_reward(**five([3, 3], [4, 2]))
        assert half == pytest.approx([math.sqrt(0.5 + 1e-6) + 1e-3] * 2)
        wide = ranking_reward(**five([3.1, 3], [4, 2]), epsilon=1.0)[0]
        assert wide == pytest.approx(math.sqrt(norm.cdf(0.1) + 1) + 1, abs=1e-12)

    def test_unreadable_scores_earn_nothing_and_move_nothing(self):
        columns = five([3, "good", 2, 2], [4, 4, 1, 1], group=[0, 0, 1, 1])
        alone = five([3, 2, 2], [4, 1, 1], group=[0, 1, 1])
        values = ranking_reward(**columns)
        assert values[1] == 0.0
        assert [values[0], *values[2:]] == ranking_reward(**alone)
        # A video that nobody could score is compared with nobody.
        columns = five([3, 2, "good"], [4, 1, 5])
        assert ranking_reward(**columns)[:2] == ranking_reward(**five([3, 2], [4, 1]))

    def test_nothing_to_compare_with(self):
        assert ranking_reward(**five([3, 4], [4, 4], group=[0, 0])) == [None, None]
        assert ranking_reward(**five([3, "good"], [4, 1])) == [None, 0.0]

    def test_bad_columns(self):
        with pytest.raises(ValueError, match="different scales"):
            ranking_reward(**{**five([3, 4], [4, 4]), "scale": [FIVE, HUNDRED]})
        with pytest.raises(ValueError, match="group 7 has several targets"):
            ranking_reward(**five([3, 4], [4, 3], group=[7, 7]))
        with pytest.raises(ValueError, match="one target a row"):
            ranking_reward(**{**five([3, 4], [4, 4]), "target": [[4.0, 1.0], [2.0]]})
        with pytest.raises(ValueError, match="'paper', 'official'"):
            ranking_reward(**five([3], [4]), variant="thurstone")


def consistency_columns(scores, copies, truths=(4, 4, 1, 1), group=(0, 0, 1, 1), kind="video") -> dict:
    return {
        **five(scores, truths, group=list(group)),
        "contrast_completions": [[answer(copy)] for copy in copies],
        "kind": [kind] * len(scores),
    }


class TestConsistency:
    @pytest.mark.parametrize(
        ("scores", "copies", "expected"),
        [
            ([4, 4, 1, 1], [2, 2, 3, 3], [0.6, 0.6, 0.6, 0.6]),  # better in both parts
            ([4, 4, 1, 1], [4, 4, 1, 1], [0.6, 0.6, 0.6, 0.6]),  # as good: the bound belongs to it
            ([3, 3, 1, 1], [4, 4, 1, 1], [0.3, 0.3, 0.6, 0.6]),  # 0.11 < 0.8: regression fails, ranking holds
            ([3, 3, 1, 1], [2, 2, 1, 1], [0.3, 0.3, 0.6, 0.6]),  # better than the copy, but not over tau
            ([4, 3.4, 1, 1], [1, 1, 1, 1], [0.6, 0.6, 0.6, 0.6]),  # mean of 0.8 and 0.39 > 0.5: all rollouts get it
            ([4, "good", 1, 1], [4, 4, 1, 1], [0.0, 0.0, 0.6, 0.6]),  # an unreadable answer counts 0 in the mean
            ([1, 1, 4, 4], [1, 1, 4, 4], [0.0, 0.0, 0.0, 0.0]),  # all wrong
        ],
    )
    def test_paper(self, scores, copies, expected):
        assert consistency_reward(**consistency_columns(scores, copies)) == pytest.approx(expected)

    def test_tau_is_strict(self):
        columns = consistency_columns([4, 4, 1, 1], [4, 4, 1, 1])
        assert consistency_reward(**columns, tau=0.79) == pytest.approx([0.6] * 4)
        assert consistency_reward(**columns, tau=0.8) == pytest.approx([0.3] * 4)  # 0.8 is not over 0.8
        assert consistency_reward(**columns, tau=1.1) == [0.0] * 4
        assert consistency_reward(**columns, delta=0.1) == pytest.approx([0.2] * 4)
        assert consistency_reward(**columns, tau=0.9, bell={"alpha": 1.0}) == pytest.approx([0.6] * 4)

    def test_copies_are_ranked_against_the_videos_as_they_are(self):
        # The copy of video 0 falls to 2, which is still over video 1's 1, but under video 1's copy (3).
        columns = consistency_columns([2, 2, 1, 1], [2, 2, 3, 3])
        assert consistency_reward(**columns)[0] == pytest.approx(0.3)

    @pytest.mark.parametrize(
        ("scores", "copies", "expected"),
        [
            (["4.01", "4.01", "1.01", "1.01"], [2, 2, 3, 3], [0.6] * 4),
            (["4.01", "3.55", "1.01", "1.01"], [2, 2, 3, 3], [0.6, 0.3, 0.6, 0.6]),  # 0.67 is not over 0.9
            ([4, 4, 1, 1], [2, 2, 3, 3], [0.3] * 4),  # whole numbers earn 0.8, not over 0.9
            ([3, 3, 1, 1], [4, 4, 1, 1], [0.3] * 4),  # the batch's mean decides: no regression bonus for anyone
        ],
    )
    def test_official(self, scores, copies, expected):
        values = consistency_reward(**consistency_columns(scores, copies), variant="official")
        assert values == pytest.approx(expected)

    @pytest.mark.parametrize("variant", ["paper", "official"])
    def test_a_single_video_has_no_ranking_part(self, variant):
        columns = consistency_columns(["4.01", "4.01"], [2, 2], truths=[4, 4], group=[0, 0])
        assert consistency_reward(**columns, variant=variant) == pytest.approx([0.3, 0.3])

    @pytest.mark.parametrize("variant", ["paper", "official"])
    def test_images_get_no_bonus_and_need_no_copy(self, variant):
        columns = {**consistency_columns([4, 1], [], truths=[4, 1], group=[0, 1], kind="image")}
        assert consistency_reward(**{**columns, "contrast_completions": [[], []]}, variant=variant) == [0.0, 0.0]

    def test_missing_copy_is_a_bug(self):
        columns = consistency_columns([4, 4, 1, 1], [2, 2, 3, 3])
        columns["contrast_completions"] = [["x"], [], [], []]
        with pytest.raises(ValueError, match="group 1 has no contrast completions"):
            consistency_reward(**columns)
        with pytest.raises(ValueError, match="'paper', 'official'"):
            consistency_reward(**consistency_columns([4, 4, 1, 1], [2, 2, 3, 3]), variant="both")
