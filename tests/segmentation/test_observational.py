"""Effects without a held-out arm, where the truth is known and who was contacted was chosen by what else drives it."""

import numpy as np
import pytest

from segmentation import observational
from segmentation.effects import of_amounts

EFFECT = 4.0


def chosen_by_spend(rng, rows=1_500, strength=1.2):
    """Covariates (n, 3), who was contacted, and what they spent: 4 more if contacted, much more by the first."""
    x = np.column_stack([rng.gamma(2, 1, rows), rng.normal(size=rows), rng.integers(0, 2, rows)])
    is_contacted = rng.random(rows) < 1 / (1 + np.exp(1.6 - strength * (x[:, 0] - 2) - 0.5 * x[:, 1]))
    spend = 10 + 6 * x[:, 0] + 1.5 * x[:, 0] ** 2 + 3 * x[:, 1] + rng.normal(0, 8, rows) + EFFECT * is_contacted
    return x, is_contacted, spend


def test_the_truth_is_held_where_the_plain_difference_is_far_off():
    rng = np.random.default_rng(1)
    held, errors, plain_held = 0, [], 0
    for seed in range(150):
        x, is_contacted, spend = chosen_by_spend(rng)
        among = observational.compare(x, is_contacted, seed)
        found = observational.effect_on_contacted(among, spend[among.kept])
        held += found.low <= EFFECT <= found.high
        errors.append(found.difference - EFFECT)
        plain = of_amounts(spend[is_contacted], spend[~is_contacted])
        plain_held += plain.low <= EFFECT <= plain.high
    assert plain_held == 0
    assert held / 150 >= 0.9
    assert abs(np.mean(errors)) < 0.15
    assert found.treatment_mean - found.control_mean == pytest.approx(found.difference)


def test_no_effect_on_rare_conversions_is_no_effect():
    rng = np.random.default_rng(2)
    alarms = 0
    for seed in range(100):
        x, is_contacted, _ = chosen_by_spend(rng, 2_000, 0.6)
        bought = rng.random(2_000) < 0.02 + 0.02 * x[:, 0]
        among = observational.compare(x, is_contacted, seed)
        alarms += observational.effect_on_contacted(among, bought[among.kept]).p_value < 0.05
    assert alarms <= 11  # of 100 at 5%, once in 200 by chance


def test_what_has_not_its_like_is_left_out_and_told():
    rng = np.random.default_rng(3)
    x, is_contacted, spend = chosen_by_spend(rng, 6_000, 0.7)
    alike = observational.compare(x, is_contacted, 0)
    assert alike.unlike < 0.1
    assert alike.compared > 0.9
    assert 50 < alike.effective < (~is_contacted).sum()
    apart = np.column_stack([x, np.where(is_contacted, 5, 0) + rng.normal(size=len(x))])
    little = observational.compare(apart, is_contacted, 0)
    assert little is None or little.compared < 0.6
    assert len(spend) == len(alike.kept)
    assert alike.kept.sum() == len(alike.chance)


def test_too_few_customers_are_not_compared():
    rng = np.random.default_rng(4)
    x, is_contacted, _ = chosen_by_spend(rng, 90)
    assert observational.compare(x, is_contacted, 0) is None


def test_the_same_seed_gives_the_same_numbers():
    rng = np.random.default_rng(5)
    x, is_contacted, spend = chosen_by_spend(rng)
    first, second = (observational.compare(x, is_contacted, 7) for _ in range(2))
    one, other = (observational.effect_on_contacted(each, spend[each.kept]) for each in (first, second))
    assert one == other
