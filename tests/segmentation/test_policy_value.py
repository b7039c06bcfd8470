"""What a policy is worth, against numbers by hand and against a truth that is known."""

import numpy as np
import pytest

from segmentation import policy_value

RNG = np.random.default_rng


def test_scores_are_the_outcome_by_its_chance():
    scored = policy_value.scores(np.array([6.0, 2.0, 3.0]), np.array([0, 1, 1]), np.array([0.25, 0.75]))
    assert scored.tolist() == [[24, 0], [0, 2 / 0.75], [0, 4]]
    by_row = np.array([[0.5, 0.5], [0.5, 0.5], [0.25, 0.75]])
    scored = policy_value.scores(np.array([6.0, 2.0, 3.0]), np.array([0, 1, 1]), by_row)
    assert scored.tolist() == [[12, 0], [0, 4], [0, 4]]
    # what was foreseen is put right only under the arm that was drawn
    foreseen = np.array([[5.0, 1.0], [5.0, 1.0], [5.0, 1.0]])
    scored = policy_value.scores(np.array([6.0, 2.0, 3.0]), np.array([0, 1, 1]), by_row, foreseen)
    assert scored.tolist() == [[7, 1], [5, 3], [5, pytest.approx(1 + 2 / 0.75)]]


def test_values_and_differences_by_hand():
    scored = np.array([[1.0, 2.0, 0.0], [1.0, 0.0, 6.0], [1.0, 4.0, 0.0], [1.0, 2.0, 2.0]])
    value = policy_value.of_policy(scored, np.array([1, 2, 1, 0]))
    assert value.mean == 13 / 4
    assert value.error == pytest.approx(np.std([2, 6, 4, 1], ddof=1) / 2)
    assert (value.low, value.high) == pytest.approx((3.25 - 1.959964 * value.error, 3.25 + 1.959964 * value.error))
    # both have the third customer in common, and the first
    paired = policy_value.difference(scored, np.array([1, 2, 1, 0]), 1)
    assert paired.mean == 5 / 4
    assert paired.error == pytest.approx(np.std([0, 6, 0, -1], ddof=1) / 2)
    assert policy_value.difference(scored, 1, 1) == policy_value.Value(0, 0)
    # equal sums: the first; nobody is no offer
    assert policy_value.best_single(scored) == 1
    assert policy_value.best_single(scored * [9, 0.5, 1]) == 2


@pytest.mark.parametrize("has_foresight", [False, True])
def test_intervals_hold_the_truth_and_foresight_makes_them_narrower(has_foresight):
    """1,000 trials of a policy of known value, with chances that differ by customer."""
    rng, held, errors = RNG(5), 0, []
    for _ in range(1000):
        x = rng.normal(size=400)
        chances = np.column_stack([0.7 - 0.4 * (x > 0), 0.3 + 0.4 * (x > 0)])
        arm = (rng.random(400) < chances[:, 1]).astype(int)
        mean = np.column_stack([3 * x, 3 * x + x])
        outcome = mean[np.arange(400), arm] + rng.normal(size=400)
        scored = policy_value.scores(outcome, arm, chances, mean if has_foresight else 0.0)
        value = policy_value.of_policy(scored, (x > 0).astype(int))
        # 3 E[x] + E[x; x > 0]
        held += value.low <= 1 / np.sqrt(2 * np.pi) <= value.high
        errors.append(value.error)
    # 1,000 trials: 95% by 1.4 points at twice the standard error
    assert 0.935 <= held / 1000 <= 0.965
    assert np.mean(errors) == pytest.approx(0.19 if has_foresight else 0.25, rel=0.15)


def test_a_qini_curve_by_hand():
    """Six treated and three held out, in three groups by rank: of the treated 2, 1, 0 buy, of the others 0, 0, 1."""
    rank = np.array([9, 9, 9, 5, 5, 5, 1, 1, 1])
    is_treated = np.array([1, 1, 0] * 3, bool)
    outcome = np.array([1, 1, 0, 0, 1, 0, 0, 0, 1.0])
    curve = policy_value.qini_curve(outcome, is_treated, rank)
    assert curve.share.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    # 2; 3; 3 - 1 * 6 / 3; of six treated
    assert curve.gain.tolist() == pytest.approx([0, 2 / 6, 3 / 6, 1 / 6])
    # trapezes of (0 + 2) / 2, (2 + 3) / 2, (3 + 1) / 2 thirds of sixths, less a triangle of 1/6
    assert curve.area == pytest.approx((1 + 2.5 + 2) / 18 - 1 / 12)
    assert curve.low <= curve.area <= curve.high


def test_an_uplift_curve_is_that_of_the_scores():
    scored = np.array([[1.0, 5.0], [0.0, 2.0], [2.0, 1.0], [1.0, 1.0]])
    curve = policy_value.uplift_curve(scored, 1, np.array([4.0, 3, 2, 2]))
    # the last two have one rank, so they come together
    assert curve.share.tolist() == [0, 0.25, 0.5, 1]
    assert curve.gain.tolist() == [0, 1, 1.5, 1.25]
    assert curve.area == pytest.approx(0.125 + 0.3125 + 0.6875 - 0.625)


def test_a_true_ranking_is_told_from_lots():
    rng = RNG(3)
    x, is_treated = rng.normal(size=4000), rng.random(4000) < 0.5
    outcome = x + is_treated * x + rng.normal(size=4000)
    scored = policy_value.scores(outcome, is_treated.astype(int), np.array([0.5, 0.5]))
    # the area between E[x; the first u] and a line: 1 / (2 sqrt(pi))
    for curve in (policy_value.qini_curve(outcome, is_treated, x), policy_value.uplift_curve(scored, 1, x)):
        assert curve.area == pytest.approx(0.282, abs=0.06)
        assert 0 < curve.low < curve.area < curve.high
    for curve in (
        policy_value.qini_curve(outcome, is_treated, rng.random(4000)),
        policy_value.uplift_curve(scored, 1, rng.random(4000)),
    ):
        assert curve.low < 0 < curve.high
    assert policy_value.uplift_curve(scored, 1, np.ones(4000)).area == 0


def test_what_cannot_be_right_is_said():
    half, arm = np.array([0.5, 0.5]), np.array([0, 1, 1])
    with pytest.raises(ValueError, match="1 of 3 outcomes are no numbers, the first at 1"):
        policy_value.scores(np.array([1, np.nan, 2]), arm, half)
    with pytest.raises(ValueError, match=r"1 customers have an arm .* at 2, .*2.*: .* of the arms 0 to 1"):
        policy_value.scores(np.ones(3), np.array([0, 1, 2]), half)
    with pytest.raises(ValueError, match=r"1 rows of chances .* at 0, \[0.5, 0.4\]"):
        policy_value.scores(np.ones(3), arm, np.array([0.5, 0.4]))
    with pytest.raises(ValueError, match=r"1 rows of chances .* at 1, \[1.0, 0.0\]"):
        policy_value.scores(np.ones(3), arm, np.array([[0.5, 0.5], [1, 0], [0.5, 0.5]]))
    with pytest.raises(ValueError, match="chances of 2 customers do not fit the arms of 3"):
        policy_value.scores(np.ones(3), arm, np.full((2, 2), 0.5))
    with pytest.raises(ValueError, match="0 of 3 customers are treated"):
        policy_value.qini_curve(np.ones(3), np.zeros(3, bool), np.ones(3))
    with pytest.raises(ValueError, match="1 of 3 ranks are no numbers"):
        policy_value.qini_curve(np.ones(3), np.array([True, False, True]), np.array([1, np.nan, 2]))
