"""
How busy a day's horizon will be, told by the same days a year before: what calibration cannot learn from a few cutoffs.

The level of a past day is the shift of log-odds at which the customers of `feat.demand`, each with the rate that its
kind had over all days, come to as many buyers as there were: indirect standardisation (Breslow and Day 1987,
"Statistical Methods in Cancer Research" II, 2.3), on logits. So a young or a growing shop, whose customers are others
than a year ago, is no season. What a model has learnt from has a level of its own, the mean of its cutoffs; a day's
shift is how far the level of a year before lies from that, as far as seasons repeat in this shop.

How far they do is checked where it can be, on the days whose level and that of a year before are both known: the slope
between them, taken towards 0 by its own standard error (positive-part James and Stein 1961: `1 - 1 / t**2`), where days
count by how many whole horizons they make, as their windows overlap. Noise in the levels, years that differ and few
days all make it less. With fewer than two horizons to check there is no shift, as before.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.special import expit, logit

YEAR_DAYS = 365
_LEAST_DAYS = 45  # after the first: before them nobody has a history to be told apart by
_LEAST_CHECKS = 2  # horizons
_ROUNDS = 25


@dataclass(frozen=True)
class Season:
    """What is known of the levels by a day.

    :param levels: day -> level of the horizon that begins with it, in log-odds of buying.
    :param repeats: how much of a level comes back after a year, 0 to 1.
    """

    levels: dict[dt.date, float] = field(default_factory=dict)
    repeats: float = 0.0

    def shift(self, day: dt.date, learnt: Iterable[dt.date]) -> float:
        """What to add to the log-odds of buying, of a day's horizon; 0 where it cannot be told.

        :param learnt: the cutoffs of the rows that the model has learnt from, one per row.
        """
        return self._shift(day, self._reference(learnt))

    def year_of(self, day: dt.date, learnt: Iterable[dt.date]) -> dict[str, float]:
        """The shifts of the days from one on, as far as a year before is known, by ISO date: fit for JSON."""
        if not self.repeats:
            return {}
        reference = self._reference(learnt)
        days = (day + dt.timedelta(days=n) for n in range(YEAR_DAYS))
        return {f"{each}": round(self._shift(each, reference), 4) for each in days if _year_before(each) in self.levels}

    def _shift(self, day: dt.date, reference: float | None) -> float:
        before = self.levels.get(_year_before(day))
        if not self.repeats or before is None or reference is None:
            return 0.0
        return self.repeats * (before - reference)

    def _reference(self, learnt: Iterable[dt.date]) -> float | None:
        """The mean level of what was learnt from; None if no level of it is known."""
        cutoffs, rows = np.unique(np.asarray(list(learnt), dtype=object), return_counts=True)
        known = [day in self.levels for day in cutoffs]
        if not any(known):
            return None
        return float(np.average([self.levels[day] for day in cutoffs[known]], weights=rows[known]))


def of(demand: pd.DataFrame | None, horizon_days: int, check_days: int, until: dt.date) -> Season:
    """The season as a day knows it.

    :param demand: rows of `feat.demand`; None: there are none.
    :param horizon_days: of the outcome.
    :param check_days: the horizon by which it is checked whether seasons repeat: a short one has more windows to check.
    :param until: horizons that end later are not seen.
    """
    if demand is None or demand.empty:
        return Season()
    repeats = _repeats(_levels(demand, check_days, until), check_days)
    return Season(_levels(demand, horizon_days, until), repeats) if repeats else Season()


def _year_before(day: dt.date) -> dt.date:
    return day - dt.timedelta(days=YEAR_DAYS)


def _levels(demand: pd.DataFrame, horizon_days: int, until: dt.date) -> dict[dt.date, float]:
    own = demand[demand["horizon_days"] == horizon_days]
    first = min(demand["counted_on"]) + dt.timedelta(days=_LEAST_DAYS)
    days = own["counted_on"]
    own = own[(days >= first) & (days <= until - dt.timedelta(days=horizon_days))]
    if own.empty:
        return {}
    wide = own.pivot_table(index="counted_on", columns="kind", values=["customers", "buyers"], fill_value=0)
    customers, buyers = wide["customers"].to_numpy(dtype=float), wide["buyers"].to_numpy(dtype=float)
    usual = logit((buyers.sum(axis=0) + 0.5) / (customers.sum(axis=0) + 1))
    level = np.zeros(len(customers))
    for _ in range(_ROUNDS):  # Newton's method, held back by one row so that a day without buyers has a level
        rate = expit(usual + level[:, None])
        off = buyers.sum(axis=1) - (customers * rate).sum(axis=1) - level
        level += np.clip(off / ((customers * rate * (1 - rate)).sum(axis=1) + 1), -1, 1)
    return dict(zip(wide.index, level.tolist(), strict=True))


def _repeats(levels: dict[dt.date, float], horizon_days: int) -> float:
    pairs = [(levels[_year_before(day)], level) for day, level in levels.items() if _year_before(day) in levels]
    windows = len(pairs) / horizon_days
    if windows <= _LEAST_CHECKS:
        return 0.0
    before, after = np.array(pairs).T
    if not before.std() or not after.std():
        return 0.0
    correlation = float(np.corrcoef(before, after)[0, 1])
    if correlation <= 0:
        return 0.0
    squared_t = correlation**2 * (windows - 2) / max(1 - correlation**2, 1e-9)
    slope = correlation * after.std() / before.std()
    return float(min(slope, 1.0) * max(0.0, 1 - 1 / squared_t))
