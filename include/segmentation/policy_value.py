"""
What a policy is worth, and how well a score ranks customers by effect: from randomised data, as functions of arrays.

An arm is a whole number, 0 is the control: nobody is contacted. A policy is an arm per customer. Its value is told
without having been tried, by (augmented) inverse propensity weighting (Robins, Rotnitzky and Zhao 1994, Journal of the
American Statistical Association 89; as off-policy value: Dudik, Langford and Li 2011, ICML): of every customer and arm
there is a score, whose mean is what all would bring under that arm. With chances known from the draw it is right
whatever was foreseen; good foresight only makes it sharper. Two policies are compared customer by customer, which takes
out what they have in common. Intervals are 95%.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from segmentation import bootstrap
from segmentation.effects import LEVEL

CONTROL = 0
_NORMAL = float(stats.norm.ppf(0.5 + LEVEL / 2))
_CERTAIN = 1e-6  # by how much chances may fail to add up to 1


@dataclass(frozen=True)
class Value:
    """A mean per customer, in the outcome's unit, with its standard error and interval.

    The interval is of the mean among customers like these; with a standard error of 0 it is a point.
    """

    mean: float
    error: float

    @property
    def low(self) -> float:
        return self.mean - _NORMAL * self.error

    @property
    def high(self) -> float:
        return self.mean + _NORMAL * self.error


@dataclass(frozen=True)
class Curve:
    """What contacting a share of the customers brings, those of the highest score first.

    :param share: of the customers, 0 to 1, shape (m,).
    :param gain: the outcome it adds, per customer of all, shape (m,).
    :param area: between the curve and the straight line to its end, which is what drawing by lot brings; with its
        interval `low` to `high`. 0: the score ranks no better than lots.
    """

    share: np.ndarray
    gain: np.ndarray
    area: float
    low: float
    high: float


def checked_chances(arm: np.ndarray, chances: np.ndarray) -> np.ndarray:
    """Chances of the draw as shape (n, arms).

    :param arm: which arm was drawn, whole numbers, shape (n,).
    :param chances: of each arm, shape (arms,), alike for all, or (n, arms).
    :raises ValueError: an arm has no chance, a chance is not above 0, or they do not add up to 1; names the first.
    """
    given = np.atleast_2d(np.asarray(chances, float))
    if given.shape[0] not in (1, len(arm)):
        raise ValueError(f"chances of {given.shape[0]:,} customers do not fit the arms of {len(arm):,}")
    strange = ~np.isin(arm, np.arange(given.shape[1]))
    if strange.any():
        places = np.flatnonzero(strange)
        raise ValueError(
            f"{len(places):,} customers have an arm that has no chance, the first, at {places[0]}, {arm[places[0]]!r}: "
            f"there are chances of the arms 0 to {given.shape[1] - 1}"
        )
    wrong = ~((given > 0).all(axis=1) & (np.abs(given.sum(axis=1) - 1) < _CERTAIN))
    if wrong.any():
        places = np.flatnonzero(wrong)
        raise ValueError(
            f"{len(places):,} rows of chances are not above 0 and 1 in sum, the first, at {places[0]}, "
            f"{given[places[0]].tolist()}"
        )
    return np.broadcast_to(given, (len(arm), given.shape[1]))


def scores(outcome: np.ndarray, arm: np.ndarray, chances: np.ndarray, foreseen: np.ndarray | float = 0.0) -> np.ndarray:
    """What each customer counts for under each arm, shape (n, arms): foreseen, put right where the arm was drawn.

    :param outcome: numbers, shape (n,), such as the margin less what the contact cost.
    :param arm: whole numbers, shape (n,).
    :param chances: of the draw, shape (arms,) or (n, arms).
    :param foreseen: the outcome under each arm, shape (n, arms), by models that have not seen the customer; 0: plain
        inverse propensity weighting.
    :raises ValueError: as `checked_chances`; or an outcome is no number.
    """
    chances = checked_chances(arm, chances)
    known = np.isfinite(outcome)
    if not known.all():
        places = np.flatnonzero(~known)
        raise ValueError(f"{len(places):,} of {len(arm):,} outcomes are no numbers, the first at {places[0]}")
    told = np.broadcast_to(np.asarray(foreseen, float), chances.shape).copy()
    rows = np.arange(len(arm))
    told[rows, arm] += (outcome - told[rows, arm]) / chances[rows, arm]
    return told


def of_policy(scored: np.ndarray, chosen: np.ndarray | int) -> Value:
    """What a policy is worth per customer.

    :param scored: as of `scores`, shape (n, arms), n above 1.
    :param chosen: the policy's arm of each customer, shape (n,), or one for all. It must not rest on these outcomes.
    """
    return _mean(_of(scored, chosen))


def difference(scored: np.ndarray, chosen: np.ndarray | int, other: np.ndarray | int) -> Value:
    """What a policy is worth more than another, paired; parameters as of `of_policy`."""
    return _mean(_of(scored, chosen) - _of(scored, other))


def best_single(scored: np.ndarray) -> int:
    """The offer that brings the most if everyone gets it; contacting nobody is none. Of ties the first."""
    return 1 + int(np.argmax(scored[:, 1:].mean(axis=0)))


def uplift_curve(scored: np.ndarray, arm: int, rank: np.ndarray, rounds: int = 200, seed: int = 0) -> Curve:
    """What an arm adds against the control if the first customers by rank get it, from the scores.

    :param rank: numbers, shape (n,), the greatest first. Equal ones are taken together.
    :param rounds: resamples of customers for the interval of the area.
    """
    added = scored[:, arm] - scored[:, CONTROL]

    def gain(counts: np.ndarray, ends: np.ndarray, order: np.ndarray) -> np.ndarray:
        sums = np.cumsum(counts * added[order])[ends]
        return sums / counts.sum()

    return _curve(rank, gain, rounds, seed)


def qini_curve(
    outcome: np.ndarray, is_treated: np.ndarray, rank: np.ndarray, rounds: int = 200, seed: int = 0
) -> Curve:
    """The Qini curve (Radcliffe 2007, "Using Control Groups to Target on Predicted Lift", Direct Marketing Analytics
    Journal): what the treated among the first customers did, less what the control did there, brought to as many.

    Per customer of the treated. The area is his unscaled Q, in the outcome's unit. Needs the same chances for everyone.

    :param outcome: numbers of the treated and of the control, shape (n,); `is_treated`: booleans, (n,); both occur.
    :param rank: numbers, shape (n,), the greatest first. Equal ones are taken together.
    """
    if not 0 < is_treated.sum() < len(is_treated):
        raise ValueError(f"{is_treated.sum():,} of {len(is_treated):,} customers are treated: there is no comparison")

    def gain(counts: np.ndarray, ends: np.ndarray, order: np.ndarray) -> np.ndarray:
        treated = counts * is_treated[order]
        others = counts - treated
        values = outcome[order]
        many, few = np.cumsum(treated)[ends], np.cumsum(others)[ends]
        did, would = np.cumsum(treated * values)[ends], np.cumsum(others * values)[ends]
        return (did - would * np.divide(many, few, out=np.zeros_like(many), where=few > 0)) / treated.sum()

    return _curve(rank, gain, rounds, seed)


def _of(scored: np.ndarray, chosen: np.ndarray | int) -> np.ndarray:
    return scored[np.arange(len(scored)), chosen]


def _mean(values: np.ndarray) -> Value:
    return Value(float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values)))


def _curve(rank: np.ndarray, gain, rounds: int, seed: int) -> Curve:
    """The curve of a gain, and the interval of its area. Where all ranks are equal there is one straight line."""
    if not len(rank) or not np.isfinite(rank).all():
        raise ValueError(f"{(~np.isfinite(rank)).sum():,} of {len(rank):,} ranks are no numbers")

    def drawn(part: np.ndarray):
        places = np.argsort(-rank[part], kind="stable")
        order = part[places]
        ends = np.flatnonzero(np.append(np.diff(rank[order]) != 0, True))

        def points(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            counts = counts[places]
            share = np.cumsum(counts)[ends] / counts.sum()
            return np.append(0, share), np.append(0, gain(counts, ends, order))

        return points

    def measure(part: np.ndarray) -> bootstrap.Measure:
        points = drawn(part)
        return lambda counts: {"area": _area(*points(counts))}

    share, made = drawn(np.arange(len(rank)))(np.ones(len(rank)))
    interval = bootstrap.intervals(measure, len(rank), rounds, seed)
    return Curve(share, made, _area(share, made), interval["area_low"], interval["area_high"])


def _area(share: np.ndarray, gain: np.ndarray) -> float:
    return float(np.trapezoid(gain, share) - gain[-1] / 2)
