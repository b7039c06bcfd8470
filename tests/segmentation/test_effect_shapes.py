"""Effects of known shapes, found again from pseudo-outcomes; how unsure they are is as unsure as they are."""

import numpy as np
import pytest

from segmentation import effect_shapes
from segmentation.effect_shapes import ADDED, ALIKE, SHARE, EffectShape

RNG = np.random.default_rng


def trial(seed: int, rows: int, slope: float, noise: float = 0.5):
    """(encoded, foreseen, pseudo-outcomes, true effects): an effect that is a share of what is foreseen."""
    rng = RNG(seed)
    encoded = rng.normal(size=(rows, 6))
    foreseen = np.exp(0.8 * encoded[:, 1])
    effect = foreseen * (0.1 + slope * encoded[:, 0])
    is_treated = rng.random(rows) < 0.7
    outcome = foreseen + is_treated * effect + noise * foreseen * rng.normal(size=rows)
    pseudo = effect_shapes.pseudo_outcomes(outcome, foreseen, is_treated, np.full(rows, 0.7))
    return encoded, foreseen, pseudo, effect


def test_pseudo_outcomes_are_the_effect_on_average_however_bad_the_foresight():
    rng = RNG(1)
    is_treated, chance = rng.random(50_000) < 0.3, np.full(50_000, 0.3)
    outcome = 5 + 2 * is_treated + rng.normal(size=50_000)
    for foreseen, wide in ((0.0, 30), (5.6, 6)):
        pseudo = effect_shapes.pseudo_outcomes(outcome, np.full(50_000, foreseen), is_treated, chance)
        assert pseudo.mean() == pytest.approx(2, abs=0.15)
        assert pseudo.std() < wide
    assert pseudo.std() < 4  # foresight makes them sharper


def test_a_share_is_found_where_the_effect_is_one():
    encoded, foreseen, pseudo, effect = trial(2, 6000, slope=0.3)
    size = effect_shapes.usual_size(pseudo, foreseen)
    told = {
        shape: EffectShape(shape).fit(encoded, foreseen, pseudo, size).predict(encoded, foreseen)
        for shape in (ALIKE, ADDED, SHARE)
    }
    wrong = {shape: np.mean((each.mean - effect) ** 2) for shape, each in told.items()}
    assert wrong[SHARE] < 0.1 * wrong[ADDED] < wrong[ALIKE]
    assert told[ALIKE].mean == pytest.approx(np.full(6000, pseudo.mean()))
    # the usual size of the errors grows with what is foreseen
    assert size[foreseen > 2].mean() > 2 * size[foreseen < 0.5].mean()


def test_the_spread_is_that_of_the_errors():
    """Within two standard deviations the truth lies less often than in 95 of 100 cases, as effects that differ are
    shrunk towards each other: here in 90. See the module for other effects."""
    inside = []
    for seed in range(20):
        encoded, foreseen, pseudo, effect = trial(100 + seed, 800, slope=0.3)
        size = effect_shapes.usual_size(pseudo, foreseen)
        told = EffectShape(SHARE).fit(encoded, foreseen, pseudo, size).predict(encoded[:50], foreseen[:50])
        inside.append(np.mean(np.abs(told.mean - effect[:50]) < 2 * told.spread))
    assert 0.86 < np.mean(inside) < 0.98


def test_where_customers_are_alike_they_hardly_differ():
    spreads = []
    for seed in range(5):
        encoded, foreseen, pseudo, _ = trial(200 + seed, 800, slope=0.0)
        size = effect_shapes.usual_size(pseudo, foreseen)
        made = EffectShape(ADDED).fit(encoded, foreseen, pseudo, size)
        spreads.append(made.predict(encoded, np.ones(800)).mean.std())
    assert np.mean(spreads) < 0.1


def test_nothing_at_all_is_no_error():
    zeros = np.zeros(100)
    size = effect_shapes.usual_size(zeros, zeros)
    for shape in effect_shapes.SHAPES:
        told = EffectShape(shape).fit(np.zeros((100, 3)), zeros, zeros, size).predict(np.zeros((2, 3)), np.zeros(2))
        assert told.mean == pytest.approx([0, 0], abs=1e-9)
        assert np.isfinite(told.spread).all()
