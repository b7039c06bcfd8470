"""Support tickets: about what came back, what was cancelled, and what customers complain or ask about by nature."""

from dataclasses import dataclass

import numpy as np

from local.simulator import draws
from local.simulator.baskets import Baskets, Lives
from local.simulator.clock import DAY, FOREVER
from local.simulator.population import Population
from local.simulator.purchases import Orders

CATEGORIES = ("complaint", "return", "refund", "question")
_COMPLAINT, _RETURN, _REFUND, _QUESTION = range(4)
_RETURN_SHARE, _REFUND_SHARE, _QUESTION_SHARE = 0.5, 0.35, 0.02
_UNRESOLVED, _ANSWERS = 0.04, 0.6
_MEAN_SATISFACTION = np.array([2.4, 3.6, 3.0, 4.3])


@dataclass(frozen=True)
class Tickets:
    """t tickets, one an order at most: (t,) place of the `order`, `category`, `opened_at`, `resolved_at` (FOREVER:
    never) and `satisfaction` 1..5, given when it is resolved (0: no answer)."""

    order: np.ndarray
    category: np.ndarray
    opened_at: np.ndarray
    resolved_at: np.ndarray
    satisfaction: np.ndarray


def tickets(people: Population, orders: Orders, lived: Lives, baskets: Baskets) -> Tickets:
    """The tickets that the orders give rise to."""
    key = orders.key
    chance, asks = draws.two_uniforms(key, "ticket")
    when, mood = draws.two_uniforms(key, "ticket opened")
    returned_at = np.full(len(orders), FOREVER)
    np.minimum.at(returned_at, baskets.order, baskets.returned_at)
    is_cancelled = lived.cancelled_at < FOREVER
    categories = np.select(
        [
            (returned_at < FOREVER) & (chance < _RETURN_SHARE),
            is_cancelled & (chance < _REFUND_SHARE),
            ~is_cancelled & (asks < people.complaints[orders.customer]),
            chance > 1 - _QUESTION_SHARE,
        ],
        [_RETURN, _REFUND, _COMPLAINT, _QUESTION],
        -1,
    )
    order = np.flatnonzero(categories >= 0)
    category, key = categories[order], key[order]
    about = np.select(
        [category == _RETURN, category == _REFUND, category == _COMPLAINT],
        [returned_at[order], lived.cancelled_at[order], lived.delivered_at[order]],
        orders.time[order],
    )
    opened = about + (when[order] * np.array([4.0, 0.1, 0.5, 1.0])[category] * DAY).astype(np.int64)
    wait, answers = draws.two_uniforms(key, "ticket resolved")
    days = draws.exponential(wait, np.array([2.0, 1.0, 1.5, 0.4])[category]).clip(0.01, 9)
    is_resolved = draws.uniform(key, "unresolved") > _UNRESOLVED
    score = _MEAN_SATISFACTION[category] - 0.25 * (days - 1) + draws.normal(mood[order])
    return Tickets(
        order=order,
        category=category,
        opened_at=opened,
        resolved_at=np.where(is_resolved, opened + (days * DAY).astype(np.int64), FOREVER),
        satisfaction=np.where(is_resolved & (answers < _ANSWERS), np.rint(score).clip(1, 5), 0).astype(np.int64),
    )
