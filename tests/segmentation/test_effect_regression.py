"""Effects of known forms, found again from results; how unsure they are is as unsure as they are."""

import numpy as np
import pytest

from segmentation import effect_regression
from segmentation.effect_regression import HELD_OUT, EffectRegression


def trial(seed: int, rows: int, share=lambda x: 0 * x[:, 0], amount=lambda x: 0 * x[:, 0], noise: float = 0.5):
    """(encoded, foreseen, outcome, arm, period, effect of the first strategy): the second one changes nothing. Whoever
    has a high third number gets the first one more often. The second of two weeks is half as strong."""
    rng = np.random.default_rng(seed)
    encoded = rng.normal(size=(rows, 6))
    foreseen = np.exp(0.8 * encoded[:, 1])
    effect = foreseen * share(encoded) + amount(encoded)
    drawn = (rng.random(rows) < 0.5 - 0.3 * np.tanh(encoded[:, 2])).astype(int)
    arm = np.where(rng.random(rows) < 0.1, HELD_OUT, drawn)
    period = rng.integers(0, 2, rows)
    brings = foreseen * np.where(period == 0, 1.25, 0.75)
    outcome = brings + np.where(arm == 0, effect, 0) + noise * foreseen * rng.normal(size=rows)
    return encoded, foreseen, outcome, arm, period, effect


def told_of(made):
    encoded, foreseen, outcome, arm, period, _ = made
    return EffectRegression(2).fit(encoded, foreseen, foreseen, outcome, arm, period).predict(encoded, foreseen)


def share(encoded):
    return 0.1 + 0.3 * encoded[:, 0]


def test_an_effect_that_is_a_share_is_found():
    made = trial(1, 20_000, share=share)
    told, effect = told_of(made), made[-1]
    assert np.mean((told.mean[:, 0] - effect) ** 2) < 0.1 * np.var(effect)
    assert np.abs(told.mean[:, 1]).mean() < 0.1


def test_an_effect_that_is_an_amount_is_found():
    made = trial(1, 20_000, amount=lambda encoded: 0.3 + 0.3 * encoded[:, 0])
    told, effect = told_of(made), made[-1]
    assert np.mean((told.mean[:, 0] - effect) ** 2) < 0.25 * np.var(effect)
    assert np.abs(told.mean[:, 1]).mean() < 0.1


def test_an_effect_on_a_kind_of_customers_is_found_that_no_slope_tells():
    rng = np.random.default_rng(6)
    kind, rows = rng.integers(0, 4, 10_000), 10_000
    encoded = rng.normal(size=(rows, 4))
    centres = 1.5 * np.array([[1, 1], [-1, -1], [1, -1], [-1, 1]])
    encoded[:, [0, 3]] = centres[kind] + 0.6 * encoded[:, [0, 3]]
    foreseen, arm = np.exp(0.8 * encoded[:, 1]), rng.integers(HELD_OUT, 2, rows)
    effect = foreseen * np.where(kind < 2, 0.3, -0.3)
    outcome = foreseen + np.where(arm == 0, effect, 0) + 0.5 * foreseen * rng.normal(size=rows)
    told = told_of((encoded, foreseen, outcome, arm, np.zeros(rows), effect))
    assert np.mean((told.mean[:, 0] - effect) ** 2) < 0.35 * np.var(effect)


def test_strategies_of_one_week_are_held_against_each_other():
    """Ten times as many are contacted as held out: with a period for each strategy only its own held out count."""
    encoded, foreseen, outcome, arm, period, _ = trial(2, 8000, share=share)
    rng = np.random.default_rng(3)
    own = np.where(arm == HELD_OUT, rng.integers(0, 2, 8000), arm)
    together, apart = (
        EffectRegression(2).fit(encoded, foreseen, foreseen, outcome, arm, each) for each in (period, 2 * period + own)
    )
    unsure = [np.sqrt(model.covariances_[:, 0, 0]) for model in (together, apart)]  # of the mean share
    assert (unsure[0] < 0.95 * unsure[1]).all()
    # customers differ as much as before, and where all are told alike they are held against all
    assert together.predict(encoded, foreseen).spread.mean() < apart.predict(encoded, foreseen).spread.mean()


def test_the_spread_is_that_of_the_errors():
    inside = []
    for seed in range(40):
        made = trial(100 + seed, 1500, share=share)
        told = told_of(made)
        inside.append(np.mean(np.abs(told.mean[:, 0] - made[-1]) < 2 * told.spread[:, 0]))
    assert 0.9 < np.mean(inside) < 0.99


def test_where_customers_are_alike_they_hardly_differ():
    differ = []
    for seed in range(5):
        made = trial(200 + seed, 1500, share=lambda x: np.full(len(x), 0.2))
        told = told_of(made)
        differ.append((told.mean[:, 0] / made[1]).std())
    assert np.mean(differ) < 0.1


def test_few_rows_have_no_groups_and_nothing_at_all_is_no_error():
    zeros = np.zeros(120)
    model = EffectRegression(2).fit(np.zeros((120, 3)), zeros, zeros, zeros, np.arange(120) % 3 - 1, zeros)
    assert model.groups_ == []
    told = model.predict(np.zeros((2, 3)), np.zeros(2))
    assert told.mean == pytest.approx(np.zeros((2, 2)), abs=1e-9)
    assert np.isfinite(told.spread).all()
    encoded, foreseen, *rest, _ = trial(4, 1000)
    assert [each.n_clusters for each in EffectRegression(2).fit(encoded, foreseen, foreseen, *rest).groups_] == [12]


def test_nobody_held_out_and_nobody_to_be_told_of_are_no_errors():
    encoded, foreseen, outcome, arm, period, _ = trial(9, 2000)
    model = EffectRegression(2).fit(encoded, foreseen, foreseen, outcome, np.maximum(arm, 0), period)
    assert model.groups_
    assert model.predict(encoded[:0], foreseen[:0]).mean.shape == (0, 2)
    # what contacts add cannot be told then, but which of the two adds more
    told = model.predict(encoded[:5], foreseen[:5])
    usual = (
        EffectRegression(2).fit(encoded, foreseen, foreseen, outcome, arm, period).predict(encoded[:5], foreseen[:5])
    )
    assert told.spread.mean() > 3 * usual.spread.mean()
    assert np.abs(told.mean[:, 0] - told.mean[:, 1]).max() < 0.2


def test_the_usual_size_grows_with_what_is_foreseen_and_with_the_errors_that_are():
    rng = np.random.default_rng(5)
    foreseen, seldom = np.exp(rng.normal(size=(2, 5000)))
    size = effect_regression.usual_size(foreseen * rng.normal(size=5000), foreseen, np.ones(5000))
    assert size[foreseen > 2].mean() > 2 * size[foreseen < 0.5].mean()
    assert (size > 0).all()
    size = effect_regression.usual_size(seldom * rng.normal(size=5000), foreseen, seldom)
    assert np.corrcoef(size, seldom)[0, 1] > 0.95


def test_whose_errors_are_large_counts_less():
    """Half of the customers buy seldom and much at once: their noise would drown what the others tell."""
    encoded, foreseen, outcome, arm, period, effect = trial(7, 6000, share=share)
    is_seldom = np.arange(6000) % 2 == 0
    outcome = outcome + 8 * foreseen * is_seldom * np.random.default_rng(8).normal(size=6000)
    known, unknown = (
        EffectRegression(2).fit(encoded, foreseen, errors, outcome, arm, period).predict(encoded, foreseen).mean[:, 0]
        for errors in (foreseen * np.where(is_seldom, 8, 0.5), foreseen)
    )
    assert np.mean((known - effect) ** 2) < 0.25 * np.mean((unknown - effect) ** 2)
