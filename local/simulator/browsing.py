"""
Sessions and their events: before orders, and without any.

Visits are a Poisson process of the customer's own rate times the season, until some time after the customer was lost.
Most orders outside the store end a session that leads to the product. What customers look at, read and watch, and on
which channel, is their own.
"""

from dataclasses import dataclass

import numpy as np

from local.simulator import draws
from local.simulator.baskets import STORE, Baskets, wanted
from local.simulator.catalogue import Shelf
from local.simulator.clock import DAY, SECOND, Calendar
from local.simulator.latent_types import EVENTS, ORDER_CHANNELS
from local.simulator.population import Memory, Population
from local.simulator.purchases import Orders

LATEST_DAYS = 4  # by then the events of a session have arrived
ORDER_SESSIONS = 800  # numbers of sessions within a block: visits from 0, those of orders from here
_MOST_VISITS = 700
_MOST_EVENTS = 12
_TRACKED_ORDERS = 0.5
_PUT_BACK = 0.15
_ADDED, _REMOVED, _VIEWED = EVENTS.index("add_to_cart"), EVENTS.index("remove_from_cart"), EVENTS.index("product_view")
_HAS_PRODUCT = np.array([0, 1, 0, 1, 1, 0.6, 0.8, 0, 0.4])
_DWELL_SECONDS = np.array([14, 38, 11, 0, 0, 0, 6, 95, 70], np.float32)
# Where an order's session takes place, by the order's channel: along MEDIA; an order over social media at random.
_SESSION_MEDIA = {ORDER_CHANNELS.index("web"): 0, ORDER_CHANNELS.index("app"): 1}


@dataclass(frozen=True)
class Sessions:
    """s sessions: (s,) place of the `customer`, `number` within the block, `key`, start `time`, how many `events`,
    microseconds `apart`, `product` that is bought in the end (-1: none), `channel` along MEDIA, `arrives_after`
    microseconds, and the time whose day is in their ids, which lies within the block."""

    customer: np.ndarray
    number: np.ndarray
    key: np.ndarray
    time: np.ndarray
    events: np.ndarray
    apart: np.ndarray
    product: np.ndarray
    channel: np.ndarray
    arrives_after: np.ndarray
    dated: np.ndarray


@dataclass(frozen=True)
class Events:
    """e events: (e,) place of the `session`, `position` in it, `time`, `event` along EVENTS, `product` (-1: none),
    `dwell_seconds`, `arrives_at`."""

    session: np.ndarray
    position: np.ndarray
    time: np.ndarray
    event: np.ndarray
    product: np.ndarray
    dwell_seconds: np.ndarray
    arrives_at: np.ndarray


def visits(
    people: Population,
    memory: Memory,
    calendar: Calendar,
    block: tuple[int, int, int],
    since: int,
    late_share: float,
) -> Sessions:
    """The sessions of a block that start at `since` or later and lead to no order."""
    index, start, end = block
    stop = np.where(people.is_prospect, people.signed_up, memory.lost_at) + people.linger
    who = np.flatnonzero((people.signed_up < end) & (people.deleted_at > start) & (stop > start))
    key = draws.child(people.key[who], "visits", index)
    kind = people.kind[who]
    begin = calendar.exposure(kind, np.maximum(start, people.signed_up[who]))
    length = calendar.exposure(kind, end) - begin
    counts = draws.poisson(draws.uniform(key, "how many"), people.visit_rate[who] * length, _MOST_VISITS)
    place = np.repeat(np.arange(len(who)), counts)
    number = np.arange(len(place)) - np.repeat(counts.cumsum() - counts, counts)
    session_key = draws.child(key[place], "visit", number)
    time = calendar.when(kind[place], begin[place] + draws.uniform(session_key, "when") * length[place])
    kept = np.flatnonzero((time >= since) & (time < stop[who[place]]))
    customer, session_key, time = who[place[kept]], session_key[kept], time[kept]
    media, length = draws.two_uniforms(session_key, "media and length")
    channel = draws.pick(media, people.media_sums[customer])
    events = 1 + draws.poisson(length, np.full(len(length), 2.2), _MOST_EVENTS - 1)
    apart, arrives = _pace(session_key, late_share)
    nothing = np.full(len(customer), -1)
    return Sessions(customer, number[kept], session_key, time, events, apart, nothing, channel, arrives, time)


def before_orders(people: Population, orders: Orders, baskets: Baskets, since: int, late_share: float) -> Sessions:
    """The sessions that end in an order at `since` or later."""
    key = draws.child(orders.key, "session")
    tracked, length = draws.two_uniforms(key, "tracked and length")
    place = np.flatnonzero((tracked < _TRACKED_ORDERS) & (baskets.channel != STORE) & (orders.time >= since))
    customer, key, channel = orders.customer[place], key[place], baskets.channel[place]
    events = 3 + draws.poisson(length[place], np.full(len(place), 1.2), _MOST_EVENTS - 3)
    apart, arrives = _pace(key, late_share)
    media = draws.pick(draws.uniform(key, "media"), people.media_sums[customer])
    for ordered_by, session_by in _SESSION_MEDIA.items():
        media = np.where(channel == ordered_by, session_by, media)
    # A session is of the order's day, so that nothing has to be known of the orders of tomorrow.
    ordered_at = orders.time[place]
    earliest = np.maximum(ordered_at // DAY * DAY, people.signed_up[customer])
    apart = np.minimum(apart, (ordered_at - earliest) // (events + 1))
    first_line = baskets.product[np.searchsorted(baskets.order, place)]
    number = ORDER_SESSIONS + orders.number[place]
    time = ordered_at - (events + 1) * apart
    return Sessions(customer, number, key, time, events, apart, first_line, media, arrives, ordered_at)


def events(people: Population, shelf: Shelf, sessions: Sessions) -> Events:
    """What happens in the sessions, one after the other: an order's session ends with its product in the cart."""
    session = np.repeat(np.arange(len(sessions.key)), sessions.events)
    position = np.arange(len(session)) - np.repeat(sessions.events.cumsum() - sessions.events, sessions.events)
    key = draws.child(sessions.key[session], "event", position)
    what, has_product = draws.two_uniforms(key, "what")
    dwell, jitter = draws.two_uniforms(key, "dwell")
    customer = sessions.customer[session]
    event = draws.pick(what, people.content_sums[customer])
    from_end = sessions.events[session] - 1 - position
    is_bought = (sessions.product[session] >= 0) & (from_end < 2)
    event[is_bought] = np.where(from_end[is_bought] == 0, _ADDED, _VIEWED)
    product = wanted(people, shelf, customer, key)
    product[is_bought] = sessions.product[session[is_bought]]
    product[has_product >= _HAS_PRODUCT[event]] = -1
    # Out of the cart comes only what was just put in.
    event[event == _REMOVED] = _VIEWED
    just_added = (position > 0) & (np.roll(event, 1) == _ADDED)
    removes = np.flatnonzero(just_added & ~is_bought & (event != _ADDED) & (dwell < _PUT_BACK))
    event[removes], product[removes] = _REMOVED, product[removes - 1]
    time = sessions.time[session] + ((position + 0.8 * jitter) * sessions.apart[session]).astype(np.int64)
    seconds = np.round(draws.exponential(dwell, _DWELL_SECONDS[event]).astype(np.float32), 1)
    return Events(session, position, time, event, product, seconds, time + sessions.arrives_after[session])


def _pace(key: np.ndarray, late_share: float) -> tuple[np.ndarray, np.ndarray]:
    pace, late = draws.two_uniforms(key, "pace and late")
    days = 1 + 2 * (late / max(late_share, 1e-9)).clip(0, 1)
    apart = ((12 + 75 * pace) * SECOND).astype(np.int64)
    return apart, np.where(late < late_share, (days * DAY).astype(np.int64), 0)
