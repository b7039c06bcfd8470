"""Draws that stay, chances that are those of the draws, and what a choice rests on."""

import datetime as dt

import numpy as np
import pytest

from segmentation import settings, strategy_learnt

DAY = dt.date(2026, 1, 31)
IDS = np.array([f"c{number}" for number in range(5000)], object)


def test_draws_are_standard_normal_and_the_same_in_a_rerun():
    first = strategy_learnt.draws(IDS, "coupon", DAY)
    assert (strategy_learnt.draws(IDS, "coupon", DAY) == first).all()
    assert first.mean() == pytest.approx(0, abs=0.06)
    assert first.std() == pytest.approx(1, abs=0.05)
    # whoever else is drawn for changes nothing
    assert (strategy_learnt.draws(IDS[10:20], "coupon", DAY) == first[10:20]).all()
    other = strategy_learnt.draws(IDS, "care", DAY)
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.06


def test_draws_stay_for_so_many_days_and_are_others_then(monkeypatch):
    days = [DAY + dt.timedelta(days=number) for number in range(15)]
    spans = {strategy_learnt.draws(IDS[:1], "coupon", day)[0] for day in days}
    assert len(spans) in (3, 2)
    monkeypatch.setattr(settings, "load", lambda: settings.Settings(policy={"redraw_days": 1}))
    assert len({strategy_learnt.draws(IDS[:1], "coupon", day)[0] for day in days}) == 15


def test_chances_are_how_often_a_draw_chooses_the_same():
    rng = np.random.default_rng(1)
    mean = np.array([[1.0, 0.8, 0.5], [0.2, -0.3, 0.4], [1.0, 0.8, 0.5], [1.0, 2.0, 0.5]])
    spread = np.array([[0.5, 1.0, 0.0], [0.5, 0.3, 0.0], [0.5, 1.0, 0.0], [0.5, 1.0, 0.0]])
    may = np.array([[True, True, True], [True, True, False], [True, True, True], [True, False, True]])
    least = np.array([0.0, 0.9, 0.0])  # the budget of the second ran out
    values = mean[:, None, :] + spread[:, None, :] * rng.normal(size=(4, 400_000, 3))
    free = np.where(may[:, None, :] & (values > least), values, -np.inf)
    best = np.where(np.isfinite(free.max(axis=2)), free.argmax(axis=2), -1)
    for number in range(3):
        told = strategy_learnt.chances(np.full(4, number), mean, spread, may, least)
        counted = (best == number).mean(axis=1)
        assert told[may[:, number]] == pytest.approx(counted[may[:, number]], abs=0.004)


def test_what_is_known_for_sure_has_chance_one():
    mean = np.array([[0.5, 0.5], [0.2, 0.1]])
    told = strategy_learnt.chances(np.array([0, 0]), mean, np.zeros((2, 2)), np.ones((2, 2), bool), np.array([0.5, 0]))
    assert told[0] == pytest.approx(1)
    assert told[1] == pytest.approx(0)  # below where the budget ran out


@pytest.mark.parametrize(("days", "share"), [(7.5, 0.25), (30.0, 1.0), (45.0, 1.0), (None, 1.0)])
def test_what_is_assumed_of_a_month_counts_for_as_many_days_as_what_was_learnt(days, share):
    assert strategy_learnt.Champion(None, None, [], days).share_of_assumed == share


def test_what_a_choice_rests_on():
    mean = np.array([[1.0, 0.5], [1.0, 0.5], [-0.2, -0.5], [1.0, 0.5]])
    may = np.array([[True, True]] * 3 + [[False, True]])
    found = strategy_learnt.bases(np.array([0, 1, 0, 1]), mean, may, np.zeros(2), [True, False])
    assert found.tolist() == ["learnt", "explored", "explored", "assumed"]
