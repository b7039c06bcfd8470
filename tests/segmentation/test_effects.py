"""The statistics of campaigns: against other ways to the same number, and by how often they are right."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from segmentation import effects

RNG = np.random.default_rng


def test_amounts_are_compared_as_scipy_does_it():
    rng = RNG(1)
    treated, control = rng.normal(40, 30, 300), rng.normal(30, 10, 90)
    found = effects.of_amounts(treated, control)
    theirs = stats.ttest_ind(treated, control, equal_var=False)
    interval = theirs.confidence_interval(0.95)
    assert (found.treatment_customers, found.control_customers) == (300, 90)
    assert found.difference == pytest.approx(found.treatment_mean - found.control_mean)
    assert found.p_value == pytest.approx(theirs.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.relative_lift == pytest.approx(found.difference / control.mean())
    # (1.959964 + 0.841621) standard errors
    assert found.minimum_detectable == pytest.approx(2.801585 * found.error, rel=1e-6)


def spend(rng, customers, lift=0.0):
    """One in seven buys, one in twenty is a wholesaler who spends ten times as much; (spend, orders before)."""
    rate = np.exp(0.7 * rng.normal(size=customers) - 0.245)
    size = np.where(rng.random(customers) < 0.05, 10, 1)
    buys = rng.random(customers) < 0.15 * rate * (1 + lift)
    return buys * size * rng.lognormal(3, 0.8, customers), np.log1p(rng.poisson(2 * rate))[:, None]


def test_skewed_amounts_in_arms_of_two_sizes_are_compared_as_scipys_permutation_test_does_it():
    rng = RNG(12)
    treated, control = spend(rng, 300)[0], spend(rng, 90, lift=1.5)[0]

    def welch(one, other, axis):
        return stats.ttest_ind(one, other, axis=axis, equal_var=False).statistic

    found = effects.of_amounts(treated, control)
    theirs = stats.permutation_test((treated, control), welch, n_resamples=20_000, rng=RNG(1), vectorized=True)
    assert found.p_value == pytest.approx(theirs.pvalue, abs=0.02)
    low, high = np.quantile(theirs.null_distribution, [0.025, 0.975]) * found.error
    assert (found.low, found.high) == pytest.approx((found.difference - high, found.difference - low), rel=0.05)
    assert found.p_value != pytest.approx(stats.ttest_ind(treated, control, equal_var=False).pvalue, rel=0.1)
    again = effects.of_amounts(treated[::-1], control[::-1])
    assert (again.p_value, again.low) == pytest.approx((found.p_value, found.low)), "the order of rows does not matter"


def test_what_is_far_out_has_a_p_value_of_its_own_and_agrees_with_its_interval():
    treated, control = spend(RNG(13), 900)[0], spend(RNG(14), 300)[0]
    told = [effects.of_amounts(treated + more, control) for more in np.linspace(-60, 60, 41)]
    for each in told:
        assert (each.p_value < 0.05) == (not each.low <= 0 <= each.high)
    rising = [each.p_value for each in told if each.difference < 0 and each.p_value < 0.02]
    assert rising == sorted(rising)
    assert 0 < rising[0] < 1e-6, "no number of draws limits it, as it may be corrected for many segments"


@pytest.mark.parametrize("is_adjusted", [False, True])
def test_campaigns_that_change_nothing_seldom_look_as_if_they_did_and_then_as_often_bad_as_good(is_adjusted):
    """With Student's quantiles 7% of 1,000 look as if they were good, adjusted or not, and none as if they were bad."""
    good, bad, rounds = 0, 0, 600
    rng = RNG(15)
    for _ in range(rounds):
        (treated, before), (control, before_control) = spend(rng, 260), spend(rng, 90)
        found = effects.of_amounts(treated, control)
        if is_adjusted:
            found = effects.adjusted(treated, control, before, before_control)
        good += found.p_value < 0.05 and found.difference > 0
        bad += found.p_value < 0.05 and found.difference < 0
    chance = 3 * math.sqrt(0.05 * 0.95 / rounds)  # three standard errors of what was counted
    assert (good + bad) / rounds < 0.05 + chance
    assert max(good, bad) / rounds < 0.025 + chance / math.sqrt(2)


def test_shares_have_newcombes_interval():
    """Table II of Newcombe 1998, method 10: 56/70 - 48/80 and 9/10 - 3/10, and 10/10 - 0/20 of row (g)."""

    def shares(events, rows, others, other_rows):
        return effects.of_shares(np.arange(rows) < events, np.arange(other_rows) < others)

    found = shares(56, 70, 48, 80)
    assert (round(found.low, 4), round(found.high, 4)) == (0.0524, 0.3339)
    found = shares(9, 10, 3, 10)
    assert (round(found.low, 4), round(found.high, 4)) == (0.1705, 0.8090)
    found = shares(10, 10, 0, 20)
    assert (round(found.low, 4), round(found.high, 4)) == (0.6791, 1.0)


def test_rare_events_are_tested_exactly_and_common_ones_by_their_score():
    rare = effects.of_shares(np.arange(100) < 6, np.zeros(40))
    assert rare.p_value == pytest.approx(stats.fisher_exact([[6, 94], [0, 40]]).pvalue)
    assert rare.low < 0.06 < rare.high
    common = effects.of_shares(np.arange(1000) < 180, np.arange(800) < 100)
    pooled = 280 / 1800
    z = (0.18 - 0.125) / math.sqrt(pooled * (1 - pooled) * (1 / 1000 + 1 / 800))
    assert common.p_value == pytest.approx(2 * stats.norm.sf(z))


def test_nothing_is_said_where_nothing_varies():
    found = effects.of_amounts(np.zeros(20), np.zeros(30))
    assert (found.difference, found.treatment_mean) == (0, 0)
    assert all(math.isnan(each) for each in (found.low, found.p_value, found.minimum_detectable, found.relative_lift))
    nobody = effects.of_shares(np.zeros(20), np.zeros(30))
    assert math.isnan(nobody.p_value)
    # but that it may well be as much as one in ten is known
    assert nobody.low == pytest.approx(-0.1135, abs=1e-4)
    assert math.isnan(effects.of_amounts(np.array([1.0]), np.array([1.0, 2.0])).low)
    assert math.isnan(effects.of_amounts(np.array([]), np.array([1.0, 2.0])).difference)


def test_adjustment_is_the_interacted_regression_with_hc3_errors():
    """By the one regression of Lin 2013, written out, instead of one in each arm."""
    rng = RNG(2)
    x = rng.lognormal(0, 1, (240, 2))
    is_treated = rng.random(240) < 0.4
    y = 3 + x @ [2.0, 1.0] + is_treated * (1 + x[:, 0]) + rng.standard_t(4, 240)
    found = effects.adjusted(y[is_treated], y[~is_treated], x[is_treated], x[~is_treated])
    centred = x - x.mean(axis=0)
    design = np.column_stack([np.ones(240), is_treated, centred, centred * is_treated[:, None]])
    inverse = np.linalg.inv(design.T @ design)
    beta = inverse @ design.T @ y
    scaled = (y - design @ beta) / (1 - np.einsum("ij,jk,ik->i", design, inverse, design))
    variance = inverse @ (design.T * scaled**2) @ design @ inverse
    assert found.difference == pytest.approx(beta[1])
    assert found.error == pytest.approx(math.sqrt(variance[1, 1]))
    assert found.error < 0.5 * effects.of_amounts(y[is_treated], y[~is_treated]).error


def test_adjustment_needs_something_to_go_by():
    y, x = np.arange(60.0), np.arange(60.0).reshape(-1, 1)
    assert effects.adjusted(y, y, np.ones((60, 1)), np.ones((60, 1))) is None
    assert effects.adjusted(y[:19], y, x[:19], x) is None
    assert effects.adjusted(y, y, x[:, :0], x[:, :0]) is None
    assert effects.adjusted(y, y, np.column_stack([x, x]), np.column_stack([x, x])) is None  # told to the last cent
    noisy = y + RNG(3).normal(size=60)
    twice = effects.adjusted(noisy, y, np.column_stack([x, x]), np.column_stack([x, x]))
    once = effects.adjusted(noisy, y, x, x)
    assert twice.difference == pytest.approx(once.difference)


def test_before_and_after_are_paired():
    rng = RNG(4)
    before = rng.gamma(1, 10, 80)
    after = before + rng.normal(1, 2, 80)
    theirs = stats.ttest_rel(after, before)
    found = effects.paired(after, before)
    assert found.p_value == pytest.approx(theirs.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval(0.95)))


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_never_helps_keeps_the_order_and_leaves_one_alone(p_values):
    corrected = effects.holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, corrected, strict=True))
    ordered = [q for _, q in sorted(zip(p_values, corrected, strict=True))]
    assert ordered == sorted(ordered)
    if len(p_values) == 1:
        assert corrected == p_values
    with_gap = effects.holm([math.nan, *p_values])
    assert with_gap[1:] == corrected
    assert math.isnan(with_gap[0])


def test_sizes_of_arms_are_held_against_what_was_intended():
    assert effects.mismatch({"a": 501, "control": 499}, {"a": 0.5, "control": 0.5}) > 0.9
    assert effects.mismatch({"a": 5_200, "control": 4_800}, {"a": 1, "control": 1}) == pytest.approx(6.3342e-05, 1e-4)
    with pytest.raises(ValueError, match="'b', 'control'"):
        effects.mismatch({"b": 5, "control": 5}, {"a": 0.5, "control": 0.5})


def test_arms_that_are_not_drawn_alike_everywhere_are_found():
    rng = RNG(5)
    groups = rng.integers(0, 5, 4_000)
    fair = np.where(rng.random(4_000) < 0.25, "control", "mail")
    assert effects.independence(fair, groups) > 0.001
    unfair = np.where(rng.random(4_000) < np.where(groups == 2, 0.4, 0.25), "control", "mail")
    assert effects.independence(unfair, groups) < 1e-6
    assert math.isnan(effects.independence(fair, np.zeros(4_000)))
    # ten groups of one customer each do not make a test
    assert math.isnan(effects.independence(fair[:10], np.arange(10)))


@pytest.mark.parametrize(("share", "rows"), [(0.01, 400), (0.1, 150), (0.5, 60)])
def test_intervals_of_shares_hold_the_truth_in_95_of_100_cases(share, rows):
    rng = RNG(6)
    held = alarms = 0
    for _ in range(2_000):
        treated, control = rng.random(2 * rows) < 1.5 * share, rng.random(rows) < share
        found = effects.of_shares(treated, control)
        held += found.low <= 0.5 * share <= found.high
        alarms += effects.of_shares(rng.random(2 * rows) < share, control).p_value < 0.05
    assert 0.93 <= held / 2_000 <= 0.985
    assert alarms / 2_000 <= 0.06


def test_adjusted_intervals_hold_the_truth_for_heavy_tailed_spend():
    rng = RNG(7)
    held = held_plain = narrower = 0
    for _ in range(1_000):
        rate, value = rng.gamma(0.8, 1.2, 900), rng.lognormal(3, 0.7, 900)
        before = rng.poisson(6 * rate) * value
        is_treated = rng.random(900) < 0.7
        spend = rng.poisson(rate * np.where(is_treated, 1.4, 1.0)) * value
        truth = np.mean(0.4 * rate * value)
        x = np.column_stack([before, np.log1p(before)])
        found = effects.adjusted(spend[is_treated], spend[~is_treated], x[is_treated], x[~is_treated])
        plain = effects.of_amounts(spend[is_treated], spend[~is_treated])
        held += found.low <= truth <= found.high
        held_plain += plain.low <= truth <= plain.high
        narrower += found.error < plain.error
    assert 0.93 <= held / 1_000 <= 0.985
    assert 0.93 <= held_plain / 1_000 <= 0.985
    assert narrower / 1_000 > 0.95
