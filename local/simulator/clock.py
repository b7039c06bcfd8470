"""
Times, and the seasons: how much busier than usual each day and hour is, for each latent type.

Times are int64 microseconds since 1970 UTC; FOREVER stands for never. The season of a type is a rate of mean 1 over a
common year, piecewise constant within the hours; its integral, `exposure`, is what a Poisson process of changing rate
needs: a customer of rate r a day expects r * (exposure(b) - exposure(a)) orders between a and b while alive, and
`when` maps a uniform number of that integral back to a time (inversion, Cinlar 1975).
"""

from datetime import UTC, date, datetime, timedelta

import numpy as np

from local.simulator.latent_types import TYPES
from local.simulator.settings import BLOCK_DAYS, Settings

SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
FOREVER = 2**62
BLOCK = BLOCK_DAYS * DAY

# How far past the last day the seasons reach: for what is expected of the days to come.
_AHEAD_DAYS = 400
# Orders by the hour, UTC; the customers live eight hours ahead, and like to shop in the evening.
_HOURS = np.array([5, 6, 6, 5, 6, 5, 4, 4, 4, 5, 6, 8, 9, 10, 8, 5, 2.5, 1.2, 0.6, 0.4, 0.5, 1, 2, 3.5])
# Feasts of the trade: day of the year, how wide in days, how high above a usual day.
_FEASTS = ((32, 9, 0.9), (169, 4, 1.2), (315, 4, 2.2), (351, 9, 1.0))
_BIG = 1 << 16


def start_of(day: date) -> int:
    """The midnight, UTC, with which a day begins."""
    return (day - date(1970, 1, 1)).days * DAY


def day_of(time: int) -> date:
    """The day, UTC, of a time."""
    return datetime.fromtimestamp(time // SECOND, UTC).date()


class Calendar:
    """The seasons of every type from `settings.first_day` to `until`, and some way beyond."""

    def __init__(self, settings: Settings, until: int) -> None:
        self.start = start_of(settings.first_day)
        days = max(0, -(-(until - self.start) // DAY)) + _AHEAD_DAYS
        usual = _weights(date(2023, 1, 1), 365).mean(axis=1, keepdims=True)
        self._weights = _weights(settings.first_day, days) / usual
        self._sums = np.concatenate([np.zeros((len(TYPES), 1)), self._weights.cumsum(axis=1)], axis=1)
        self._hours = np.concatenate([[0], _HOURS.cumsum() / _HOURS.sum()])
        self._flat = (self._sums + np.arange(len(TYPES))[:, None] * _BIG).ravel()

    def exposure(self, kind: np.ndarray, time: np.ndarray | int) -> np.ndarray:
        """The integral (n,) of the season of each one's type from the first day to each one's time, in usual days."""
        time = np.asarray(time)
        day = (time - self.start) // DAY
        within = np.interp((time - self.start - day * DAY) * (24 / DAY), np.arange(25), self._hours)
        return self._sums[kind, day] + self._weights[kind, day] * within

    def when(self, kind: np.ndarray, exposure: np.ndarray) -> np.ndarray:
        """The times (n,) at which the types' integrals reach the given values: the inverse of `exposure`."""
        day = np.searchsorted(self._flat, exposure + kind * float(_BIG), side="right") - 1
        day -= kind * self._sums.shape[1]
        day = day.clip(0, self._weights.shape[1] - 1)
        within = (exposure - self._sums[kind, day]) / self._weights[kind, day]
        hours = np.interp(within, self._hours, np.arange(25))
        return self.start + day * DAY + (hours * HOUR).astype(np.int64).clip(0, DAY - 1)


def _weights(first: date, days: int) -> np.ndarray:
    """How busy each day is for each type, up to a factor: (types, days)."""
    dates = [first + timedelta(days=index) for index in range(days)]
    of_year = np.array([day.timetuple().tm_yday for day in dates])
    is_weekend = np.array([day.weekday() >= 5 for day in dates])
    feasts = np.zeros(days)
    for peak, width, height in _FEASTS:
        away = np.abs(of_year - peak)
        feasts += height * np.exp(-((np.minimum(away, 365 - away) / width) ** 2))
    rows = []
    for kind in TYPES:
        wave = 1 + kind.wave * np.cos(2 * np.pi * (of_year - kind.wave_peak_day) / 365.25)
        rows.append(wave * np.where(is_weekend, kind.weekend, 1.0) + kind.feasts * feasts)
    return np.array(rows)
