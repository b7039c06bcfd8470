"""A day's level comes from the year before, as far as seasons are seen to repeat, and from nothing after the day."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from segmentation import season

FIRST = dt.date(2024, 1, 1)


def demand(days: int, level, customers=3_000, horizons=(30, 90), seed=0, growth=0.0) -> pd.DataFrame:
    """Two kinds of customers, of rates that a level by day shifts; the share of the lively kind may grow by day.

    :param level: day number -> log-odds.
    """
    rng, rows = np.random.default_rng(seed), []
    for n in range(days):
        lively = int(customers * (0.2 + growth * n / days))
        for kind, size, usual in ((0, customers - lively, -2.5), (1, lively, -0.3)):
            for horizon in horizons:
                buyers = rng.binomial(size, expit(usual + level(n)))
                rows.append((FIRST + dt.timedelta(days=n), horizon, kind, size, buyers))
    return pd.DataFrame(rows, columns=["counted_on", "horizon_days", "kind", "customers", "buyers"])


def wave(n: int) -> float:
    return 0.5 * np.sin(2 * np.pi * n / 365)


def on(n: int) -> dt.date:
    return FIRST + dt.timedelta(days=n)


def test_a_season_that_repeats_is_foreseen():
    known = season.of(demand(700, wave), 30, 30, on(730))
    assert known.repeats > 0.8
    learnt = [on(730 - 30 * n) for n in range(1, 13)]  # a year: its mean is 0
    for day in (730, 730 + 91, 730 + 182):
        assert known.shift(on(day), learnt) == pytest.approx(wave(day), abs=0.12)


def test_what_was_learnt_from_has_a_level_of_its_own():
    known = season.of(demand(700, wave), 30, 30, on(730))
    busy, quiet = ([on(365 + n)] * 5 for n in (91, 274))
    assert known.shift(on(730 + 91), busy) == pytest.approx(0, abs=0.1)
    assert known.shift(on(730 + 91), quiet) == pytest.approx(1, abs=0.25)


def test_years_that_have_nothing_in_common_shift_nothing():
    jumps = np.random.default_rng(3).normal(0, 0.5, 40)
    shifts = [season.of(demand(700, lambda n: jumps[n // 20], seed=s), 30, 30, on(730)).repeats for s in range(3)]
    assert max(shifts) < 0.4
    opposite = season.of(demand(700, lambda n: wave(n) * (1 if n < 365 else -1)), 30, 30, on(730))
    assert opposite == season.Season()


def test_a_shop_whose_customers_become_others_has_no_season():
    """Half as many again buy at the end, of either kind as many as ever."""
    known = season.of(demand(700, lambda n: 0.0, growth=0.4), 30, 30, on(730))
    assert max(map(abs, known.year_of(on(730), [on(500)]).values()), default=0) < 0.05


def test_too_young_a_shop_has_none():
    for days in (300, 440):  # no year before; one, of less than two horizons
        known = season.of(demand(days, wave), 30, 30, on(days + 30))
        assert known == season.Season()
        assert (known.shift(on(days), [on(100)]), known.year_of(on(days), [on(100)])) == (0, {})


def test_nothing_that_ends_after_the_day_is_seen():
    rows = demand(700, wave)
    day = on(650)
    late = rows["counted_on"] > day - dt.timedelta(days=30)
    changed = rows.assign(buyers=rows["buyers"].where(~late, rows["customers"]))
    assert season.of(changed, 30, 30, day) == season.of(rows, 30, 30, day)
    assert season.of(changed, 30, 30, on(700)) != season.of(rows, 30, 30, on(700))


def test_the_year_ahead_is_told_as_far_as_the_year_before_is_known():
    known = season.of(demand(640, wave), 90, 30, on(730))
    year = known.year_of(on(730), [on(600)])
    assert next(iter(year)) == f"{on(730)}"
    assert len(year) == 365 - 90
    assert all(shift == round(known.shift(dt.date.fromisoformat(each), [on(600)]), 4) for each, shift in year.items())


def test_without_rows_there_is_none():
    assert season.of(None, 30, 30, FIRST) == season.of(demand(0, wave), 30, 30, FIRST) == season.Season()
