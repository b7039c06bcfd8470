"""
What is in an order, what it costs, and what becomes of it.

The amount of an order is Gamma around the customer's own mean, which is inverse Gamma over customers: the Gamma-Gamma
model (Fader & Hardie 2013, "The Gamma-Gamma model of monetary value"). Baskets are filled to that amount: each line has
a share of it, and as many pieces as its price allows, rounded up or down at random so that the mean is kept. The first
line is never left out; where a piece costs more than its share, the rest is let off. So the mean of an order's total
is exactly the customer's `value_mean`.
"""

from dataclasses import dataclass

import numpy as np

from local.simulator import draws
from local.simulator.catalogue import Shelf
from local.simulator.clock import DAY, FOREVER
from local.simulator.latent_types import ORDER_CHANNELS, ORDER_VALUE_SHAPE, along_types
from local.simulator.population import Population
from local.simulator.purchases import Orders
from local.simulator.settings import Settings

STORE = ORDER_CHANNELS.index("store")
COUPONS = (0.10, 0.15, 0.20, 0.30)
# All that may still happen to an order, its lines and tickets, or to a contact, has happened after so many days.
LOOK_BACK_DAYS = 45
_MOST_LINES = 9


@dataclass(frozen=True)
class Lives:
    """What becomes of m orders: (m,) times in microseconds, FOREVER where it never happens.

    An order and its lines are seen from `arrives_at` to `deleted_at`.
    """

    paid_at: np.ndarray
    shipped_at: np.ndarray
    delivered_at: np.ndarray
    cancelled_at: np.ndarray
    arrives_at: np.ndarray
    deleted_at: np.ndarray


@dataclass(frozen=True)
class Baskets:
    """The l lines of m orders, by order: (l,) place of the `order`, `line_no` from 1, `product`, `quantity`, `cents` a
    piece, `returned` pieces, `returned_at`; (m,) `coupon` (0: none), `discount` and `total` in cents, `channel`."""

    order: np.ndarray
    line_no: np.ndarray
    product: np.ndarray
    quantity: np.ndarray
    cents: np.ndarray
    returned: np.ndarray
    returned_at: np.ndarray
    coupon: np.ndarray
    discount: np.ndarray
    total: np.ndarray
    channel: np.ndarray


def channels(people: Population, orders: Orders) -> np.ndarray:
    """The channel (m,) of each order, by the customer's own habits."""
    return draws.pick(draws.uniform(orders.key, "channel"), people.channel_sums[orders.customer])


def lives(settings: Settings, people: Population, orders: Orders, channel: np.ndarray) -> Lives:
    """What becomes of the orders. In the store everything happens at once."""
    time, key = orders.time, orders.key
    is_in_store = channel == STORE
    waits, hours = draws.two_uniforms(key, "paid and shipped")
    days, late = draws.two_uniforms(key, "delivered and late")
    cancels, when = draws.two_uniforms(key, "cancelled")
    vanishes, after = draws.two_uniforms(key, "vanishes")
    paid = time + _days(draws.exponential(waits, 0.1).clip(0, 0.9))
    shipped = paid + _days(0.3 + 1.7 * hours)
    delivered = shipped + _days(0.7 + 3.3 * days)
    is_cancelled = (cancels < along_types("cancels")[people.kind[orders.customer]]) & ~is_in_store
    is_late = late < settings.late_orders_share
    arrives = time + np.where(is_late, _days(1 + 2 * (late / max(settings.late_orders_share, 1e-9)).clip(0, 1)), 0)
    is_vanishing = vanishes < settings.deleted_orders_share

    def at(moment: np.ndarray) -> np.ndarray:
        return np.where(is_cancelled, FOREVER, np.where(is_in_store, time, moment))

    return Lives(
        paid_at=np.where(is_in_store, time, paid),
        shipped_at=at(shipped),
        delivered_at=at(delivered),
        cancelled_at=np.where(is_cancelled, paid + _days(0.02 + 0.28 * when), FOREVER),
        arrives_at=arrives,
        deleted_at=np.where(is_vanishing, arrives + _days(1 + 29 * after), FOREVER),
    )


def fill(people: Population, shelf: Shelf, orders: Orders, lived: Lives, channel: np.ndarray) -> Baskets:
    """The lines and the amounts of the orders."""
    who = orders.customer
    kind = people.kind[who]
    amount, more = draws.two_uniforms(orders.key, "amount and lines")
    paid = people.value_mean[who] * draws.gamma(amount, ORDER_VALUE_SHAPE) * 100
    coupon, depth = draws.two_uniforms(orders.key, "coupon")
    coupon = np.where(coupon < people.coupons[who], 1 + (depth * len(COUPONS)).astype(np.int64), 0)
    off = np.array([0.0, *COUPONS])[coupon]
    counts = 1 + draws.poisson(more, along_types("lines")[kind], _MOST_LINES - 1)
    order = np.repeat(np.arange(len(orders)), counts)
    first = counts.cumsum() - counts
    number = np.arange(len(order)) - np.repeat(first, counts)
    key = draws.child(orders.key[order], "line", number)

    share, up = draws.two_uniforms(key, "share and rounding")
    share = 0.4 + share + (number == 0)
    budget = (paid / (1 - off))[order] * share / np.add.reduceat(share, first)[order] if len(order) else share
    product = _product(people, shelf, who[order], key, budget)
    cents = shelf.cents[product]
    pieces = budget / cents
    quantity = np.floor(pieces + up).astype(np.int64)
    is_dear = (number == 0) & (pieces < 1)
    quantity[(number == 0) & (quantity == 0)] = 1
    quantity[is_dear] = 1
    let_off = np.bincount(order, np.where(is_dear, cents - budget, 0), len(orders))
    gross = np.bincount(order, quantity * cents, len(orders))
    total = np.rint((gross - let_off) * (1 - off)).astype(np.int64)
    coupon[(let_off > 0) & (coupon == 0)] = len(COUPONS) + 1

    kept = quantity > 0
    order, key, product, quantity, cents = order[kept], key[kept], product[kept], quantity[kept], cents[kept]
    returned, returned_at = _returns(people, orders, lived, order, key, quantity)
    return Baskets(
        order=order,
        line_no=np.arange(len(order)) - np.searchsorted(order, order) + 1,
        product=product,
        quantity=quantity,
        cents=cents,
        returned=returned,
        returned_at=returned_at,
        coupon=coupon,
        discount=gross.astype(np.int64) - total,
        total=total,
        channel=channel,
    )


def wanted(people: Population, shelf: Shelf, who: np.ndarray, key: np.ndarray) -> np.ndarray:
    """A product (n,) that each of the customers `who` would look at."""
    which, what = draws.two_uniforms(key, "wanted")
    return shelf.choose(draws.pick(which, people.taste_sums[who]), what)


def _product(people: Population, shelf: Shelf, who: np.ndarray, key: np.ndarray, budget: np.ndarray) -> np.ndarray:
    """The better of two that the customer wants: of the favourite brand, and within the budget."""
    one = wanted(people, shelf, who, key)
    other_of_its_kind = shelf.choose(shelf.category[one], draws.uniform(key, "alternative"))

    def merit(product: np.ndarray) -> np.ndarray:
        return 2 * (shelf.cents[product] <= budget) + (shelf.brand[product] == people.brand[who])

    return np.where(merit(other_of_its_kind) > merit(one), other_of_its_kind, one)


def _returns(people, orders, lived, order, key, quantity):
    """Pieces that come back, and when: only of what was delivered, by the customer's own share."""
    comes_back, pieces = draws.two_uniforms(key, "returned")
    is_returned = (comes_back < people.returns[orders.customer[order]]) & (lived.delivered_at[order] < FOREVER)
    returned = np.where(is_returned, np.ceil(pieces * quantity).astype(np.int64), 0)
    place = np.flatnonzero(is_returned)
    returned_at = np.full(len(order), FOREVER)
    returned_at[place] = lived.delivered_at[order[place]] + _days(2 + 18 * draws.uniform(key[place], "returned at"))
    return returned, returned_at


def _days(days: np.ndarray) -> np.ndarray:
    return (days * DAY).astype(np.int64)
