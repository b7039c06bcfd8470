"""
The storeroom: what is left of each product, counted every night, and when it is ordered anew.

A product is ordered when what is left and under way covers fewer days of its demand than its class is given; the
demand is an exponentially smoothed mean of the daily sales. What is sold beyond the stock comes straight from the
maker. Fast movers run out at times; slow and dead ones lie about.
"""

from dataclasses import dataclass

import numpy as np

from local.simulator import draws
from local.simulator.catalogue import APPEAL, Catalogue
from local.simulator.clock import DAY, HOUR, SECOND
from local.simulator.settings import Settings

NOT_ORDERED = -1
_SMOOTHING = 0.06
_ORDER_BELOW_DAYS = np.array([9.0, 14.0, 12.0, 0.0])
_ORDER_FOR_DAYS = np.array([15.0, 35.0, 90.0, 0.0])
_FIRST_COVER_DAYS = np.array([25.0, 50.0, 200.0, 20_000.0])
_UNITS_A_CUSTOMER = 0.05  # a day, as a first guess


@dataclass
class Stock:
    """(p,) `on_hand` and `on_order` in pieces, the day number on which the order `arrives` (or NOT_ORDERED), the
    smoothed daily `demand`, and `counted_at`, the time of the count at which `on_hand` last changed (0: never)."""

    on_hand: np.ndarray
    on_order: np.ndarray
    arrives: np.ndarray
    demand: np.ndarray
    counted_at: np.ndarray

    @classmethod
    def blank(cls) -> "Stock":
        """Of a shop without products."""
        zeros = np.zeros(0, np.int64)
        return cls(zeros, zeros.copy(), zeros.copy(), np.zeros(0), zeros.copy())

    def fill(self, settings: Settings, catalogue: Catalogue) -> None:
        """Gives the products that are new since last time their first stock."""
        new = np.arange(len(self.on_hand), len(catalogue))
        movement, category = catalogue.movement[new], catalogue.category[new]
        a_category = settings.customers * settings.purchases * _UNITS_A_CUSTOMER / 8
        appeal = APPEAL[movement]
        demand = a_category * appeal / (2.2 * max(1, settings.products / 8)) * (1 + category % 3 / 4)
        first = np.ceil(demand * _FIRST_COVER_DAYS[movement]).astype(np.int64) + 5
        self.on_hand = np.concatenate([self.on_hand, first])
        self.on_order = np.concatenate([self.on_order, np.zeros(len(new), np.int64)])
        self.arrives = np.concatenate([self.arrives, np.full(len(new), NOT_ORDERED)])
        self.demand = np.concatenate([self.demand, demand / 4])
        self.counted_at = np.concatenate([self.counted_at, np.zeros(len(new), np.int64)])

    def pass_days(self, catalogue: Catalogue, first_day: int, sold: np.ndarray) -> None:
        """Takes what was sold (p, days) from day number `first_day` (days since 1970) on, and orders anew."""
        cover, wanted = _ORDER_BELOW_DAYS[catalogue.movement], _ORDER_FOR_DAYS[catalogue.movement]
        second = (draws.uniform(catalogue.key, "counted") * (HOUR // SECOND)).astype(np.int64)
        for offset in range(sold.shape[1]):
            day = first_day + offset
            is_on_sale = catalogue.launched_at < (day + 1) * DAY
            self.demand += np.where(is_on_sale, _SMOOTHING * (sold[:, offset] - self.demand), 0)
            come = np.where(self.arrives == day, self.on_order, 0)
            left = np.maximum(0, self.on_hand - sold[:, offset]) + come
            self.on_order -= come
            self.arrives[self.arrives == day] = NOT_ORDERED
            changed = left != self.on_hand
            self.on_hand = left
            self.counted_at[changed] = day * DAY + 23 * HOUR + second[changed] * SECOND
            low = is_on_sale & (self.arrives == NOT_ORDERED) & (left < cover * self.demand)
            lead = 4 + (draws.uniform(catalogue.key[low], "lead", day) * 9).astype(np.int64)
            self.on_order[low] = np.ceil(wanted * self.demand)[low].astype(np.int64)
            self.arrives[low] = day + lead
