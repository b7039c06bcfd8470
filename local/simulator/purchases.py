"""
When customers order, and when they are lost: the BG/NBD model with seasons and campaigns.

While alive, a customer orders by a Poisson process whose rate is the customer's own times the season of the type times
the factor of a campaign; after each order the customer is lost with the customer's own probability (Fader, Hardie &
Lee 2005). Since the number of orders until then is geometric and known beforehand, the orders of any four weeks can be
made at once: all times of the process, less those that a factor below 1 takes away, plus those that a factor above 1
adds (thinning and superposition, Lewis & Shedler 1979), in order, up to the customer's last.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from local.simulator import draws
from local.simulator.clock import Calendar
from local.simulator.population import Memory, Population

# Numbers of a customer's orders within a block: those of the plain process, those that a campaign added, the welcome.
MOST_ORDERS = 89
MOST_ADDED = 9
WELCOME = 99


@dataclass(frozen=True)
class Pull:
    """What campaigns change for the n customers of a chunk: rates are times `factor` (n,) in [since, until).

    For those who are not treated the factor is 1. `answer` is the number of the answer (`answers`) that the campaigns
    are of; None: they are the shop's own, and begin and end within the block.
    """

    factor: np.ndarray
    since: np.ndarray
    until: np.ndarray
    answer: int | None = None


@dataclass(frozen=True)
class Orders:
    """m orders, by customer and time: (m,) place of the `customer` in the chunk, `number` within the block, `key` of
    its draws, `time` in microseconds."""

    customer: np.ndarray
    number: np.ndarray
    key: np.ndarray
    time: np.ndarray

    def __len__(self) -> int:
        return len(self.customer)

    def take(self, chosen: np.ndarray) -> "Orders":
        """Some of the orders, by place or by flag."""
        return Orders(self.customer[chosen], self.number[chosen], self.key[chosen], self.time[chosen])


def orders_of_block(
    people: Population,
    memory: Memory,
    calendar: Calendar,
    block: tuple[int, int, int],
    pulls: Sequence[Pull],
    known_until: int,
    until: int,
) -> Orders:
    """The orders of a block before `until`; the memory, which is that of `known_until`, is brought up to `until`.

    :param block: its number, its start and its end.
    :param pulls: no two of them change a customer's rate on the same day.
    :param known_until: up to here the memory knows how it went; blocks before it may be made again.
    """
    index, start, end = block
    key = draws.child(people.key, "orders", index)
    living = ~people.is_prospect & (people.signed_up < min(end, until)) & (people.deleted_at > start)
    living &= memory.lost_at >= start
    who = np.flatnonzero(living)
    found = Orders(*_joined(
        _plain(people, calendar, key, who, (start, end), pulls),
        *(_added(people, calendar, key, who, (start, end), pull) for pull in pulls),
        _welcome(people, key, who, (start, end)),
    ))  # fmt: skip
    found = found.take((found.time < until) & (found.time < people.deleted_at[found.customer]))
    found = found.take(np.lexsort((found.time, found.customer)))
    return _until_lost(found, people, memory, known_until)


def _plain(people, calendar, key, who, span, pulls):
    kind = people.kind[who]
    begin = calendar.exposure(kind, np.maximum(span[0], people.signed_up[who]))
    length = calendar.exposure(kind, span[1]) - begin
    counts = draws.poisson(draws.uniform(key[who], "how many"), people.rate[who] * length, MOST_ORDERS)
    place = np.repeat(np.arange(len(who)), counts)
    customer, number = who[place], _numbers(counts)
    order_key = draws.child(key[customer], "order", number)
    where, stays = draws.two_uniforms(order_key, "when")
    time = calendar.when(kind[place], begin[place] + where * length[place])
    kept = np.ones(len(time), bool)
    for pull in pulls:
        is_pulled = (time >= pull.since[customer]) & (time < pull.until[customer])
        kept &= stays < np.where(is_pulled, pull.factor[customer], 1.0)
    return customer[kept], number[kept], order_key[kept], time[kept]


def _added(people, calendar, key, who, span, pull):
    if pull.answer is not None:  # all orders of its window, in whichever block they are
        key = draws.child(people.key, "orders of an answer", pull.answer)
    who = who[pull.factor[who] > 1]
    kind = people.kind[who]
    begin = calendar.exposure(kind, pull.since[who])
    length = calendar.exposure(kind, pull.until[who]) - begin
    mean = people.rate[who] * (pull.factor[who] - 1) * length
    counts = draws.poisson(draws.uniform(key[who], "how many more"), mean, MOST_ADDED)
    place = np.repeat(np.arange(len(who)), counts)
    customer, number = who[place], _numbers(counts) + MOST_ORDERS
    order_key = draws.child(key[customer], "order", number)
    where = draws.uniform(order_key, "when more")
    time = calendar.when(kind[place], begin[place] + where * length[place])
    here = (time >= span[0]) & (time < span[1])
    return customer[here], number[here], order_key[here], time[here]


def _welcome(people, key, who, span):
    customer = who[(people.welcome_at[who] >= span[0]) & (people.welcome_at[who] < span[1])]
    number = np.full(len(customer), WELCOME)
    return customer, number, draws.child(key[customer], "order", number), people.welcome_at[customer]


def _until_lost(orders: Orders, people: Population, memory: Memory, known_until: int) -> Orders:
    """Without the orders that the customers did not live to make."""
    customer, time = orders.customer, orders.time
    is_past = time < known_until
    is_new = (~is_past).astype(np.int64)
    so_far = is_new.cumsum()
    before = np.concatenate([[0], so_far])[np.searchsorted(customer, customer)]
    rank = memory.orders_made[customer] + so_far - before
    kept = np.where(is_past, time <= memory.lost_at[customer], rank <= people.lifetime[customer])
    now = kept & ~is_past
    np.maximum.at(memory.last_ordered_at, customer[now], time[now])
    last = now & (rank == people.lifetime[customer])
    memory.lost_at[customer[last]] = time[last]
    memory.orders_made += np.bincount(customer[now], minlength=len(people))
    return orders.take(kept)


def _numbers(counts: np.ndarray) -> np.ndarray:
    """0, 1, .. within each of the groups of the given sizes."""
    return np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)


def _joined(*parts: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    return [np.concatenate(columns) for columns in zip(*parts, strict=True)]
