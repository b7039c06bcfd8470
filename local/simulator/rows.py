"""
The shop's tables as of a time: what happened, as the shop's warehouse would show it then.

Each function gives the rows that are there at `until` (a time, exclusive) and changed at `since` or later; their
`updated_at` is the last change before `until`. So the rows since for ever are the whole shop, and those since
yesterday are what a day brought: new rows, and new states of old ones.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from local.simulator import columns
from local.simulator.baskets import COUPONS, Baskets, Lives
from local.simulator.browsing import Events, Sessions
from local.simulator.campaigns import Campaign, Contacts
from local.simulator.catalogue import PRODUCT_DIGITS
from local.simulator.latent_types import EVENTS, MEDIA, ORDER_CHANNELS
from local.simulator.population import Population
from local.simulator.purchases import Orders
from local.simulator.service import CATEGORIES, Tickets

STATUSES = ("placed", "paid", "shipped", "delivered", "cancelled")
_COUPON_CODES = (None, *(f"SAVE{round(off * 100)}" for off in COUPONS), "POINTS")
_DIGITS = columns.CUSTOMER_DIGITS


def orders(
    people: Population, made: Orders, lived: Lives, baskets: Baskets, since: int, until: int
) -> tuple[pa.Table, pa.Table]:
    """shop.orders and shop.order_items."""
    steps = np.stack([lived.paid_at, lived.shipped_at, lived.delivered_at, lived.cancelled_at])
    passed = steps < until
    status = np.where(passed[3], 4, passed[:3].sum(axis=0))
    updated = np.maximum(np.where(passed, steps, made.time).max(axis=0), lived.arrives_at)
    is_there = _is_there(lived, until) & (people.deleted_at >= until)[made.customer]
    kept = np.flatnonzero(is_there & (updated >= since))
    order_rows = pa.table(
        {
            "order_id": _order_ids(people, made, kept),
            "customer_id": columns.customer_ids(people.number[made.customer[kept]]),
            "ordered_at": columns.times(made.time[kept]),
            "status": columns.words(STATUSES, status[kept]),
            "channel": columns.words(ORDER_CHANNELS, baskets.channel[kept]),
            "coupon_code": columns.words(_COUPON_CODES, baskets.coupon[kept]),
            "discount_amount": columns.money(baskets.discount[kept]),
            "total_amount": columns.money(baskets.total[kept]),
            "updated_at": columns.times(updated[kept]),
        }
    )
    return order_rows, _items(people, made, lived, baskets, is_there, since, until)


def _items(people, made, lived, baskets, is_there, since, until) -> pa.Table:
    is_returned = baskets.returned_at < until
    updated = np.maximum(lived.arrives_at[baskets.order], np.where(is_returned, baskets.returned_at, 0))
    kept = np.flatnonzero(is_there[baskets.order] & (updated >= since))
    return pa.table(
        {
            "order_id": _order_ids(people, made, baskets.order[kept]),
            "line_no": pa.array(baskets.line_no[kept], pa.int32()),
            "product_id": columns.fixed("P", (baskets.product[kept] + 1, PRODUCT_DIGITS)),
            "quantity": pa.array(baskets.quantity[kept], pa.int32()),
            "unit_price": columns.money(baskets.cents[kept]),
            "returned_quantity": pa.array(np.where(is_returned, baskets.returned, 0)[kept], pa.int32()),
            "updated_at": columns.times(updated[kept]),
        }
    )


def vanished_orders(people: Population, made: Orders, lived: Lives, since: int, until: int) -> pa.Table:
    """The keys of the orders that were there before `since` and vanished by `until`."""
    gone = (lived.deleted_at >= since) & (lived.deleted_at < until)
    return pa.table({"order_id": _order_ids(people, made, np.flatnonzero(gone))})


def events(people: Population, sessions: Sessions, happened: Events, since: int, until: int) -> pa.Table:
    """shop.events. An event never changes; it may arrive late."""
    customer = sessions.customer[happened.session]
    is_there = (happened.arrives_at < until) & (happened.arrives_at >= since)
    is_there &= (happened.time < people.deleted_at[customer]) & (people.deleted_at >= until)[customer]
    kept = np.flatnonzero(is_there)
    session = happened.session[kept]
    day = columns.day_number(sessions.dated[session])
    number, visit = people.number[sessions.customer[session]], sessions.number[session]
    product, dwell = happened.product[kept], happened.dwell_seconds[kept]
    return pa.table(
        {
            "event_id": columns.fixed("E", (day, 6), (number, _DIGITS), (visit, 3), (happened.position[kept], 2)),
            "customer_id": columns.customer_ids(number),
            "occurred_at": columns.times(happened.time[kept]),
            "event_type": columns.words(EVENTS, happened.event[kept]),
            "channel": columns.words(MEDIA, sessions.channel[session]),
            "session_id": columns.fixed("S", (day, 6), (number, _DIGITS), (visit, 3)),
            "product_id": _masked(columns.fixed("P", (product + 1, PRODUCT_DIGITS)), product < 0),
            "dwell_seconds": pa.array(dwell, pa.float32(), mask=dwell <= 0),
            "updated_at": columns.times(happened.arrives_at[kept]),
        }
    )


def tickets(people: Population, made: Orders, opened: Tickets, since: int, until: int) -> pa.Table:
    """shop.support_tickets."""
    customer = made.customer[opened.order]
    is_resolved = opened.resolved_at < until
    updated = np.where(is_resolved, opened.resolved_at, opened.opened_at)
    is_there = (opened.opened_at < until) & (people.deleted_at >= until)[customer] & (updated >= since)
    kept = np.flatnonzero(is_there & (opened.opened_at < people.deleted_at[customer]))
    answered = (is_resolved & (opened.satisfaction > 0))[kept]
    place = opened.order[kept]
    return pa.table(
        {
            "ticket_id": _numbered("T", people, made, place),
            "customer_id": columns.customer_ids(people.number[customer[kept]]),
            "opened_at": columns.times(opened.opened_at[kept]),
            "category": columns.words(CATEGORIES, opened.category[kept]),
            "resolved_at": columns.times(opened.resolved_at[kept], is_resolved[kept]),
            "satisfaction": pa.array(opened.satisfaction[kept], pa.int16(), mask=~answered),
            "updated_at": columns.times(updated[kept]),
        }
    )


def contacts(people: Population, made: Contacts, campaigns: list[Campaign], since: int, until: int) -> pa.Table:
    """shop.campaign_contacts."""
    answers = np.stack([made.opened_at, made.clicked_at, made.unsubscribed_at, made.surveyed_at])
    known = answers < until
    updated = np.maximum(made.contacted_at, np.where(known, answers, 0).max(axis=0))
    is_there = (made.contacted_at < until) & (updated >= since) & (people.deleted_at >= until)[made.customer]
    kept = np.flatnonzero(is_there & (made.contacted_at < people.deleted_at[made.customer]))
    return pa.table(
        {
            "campaign_id": columns.words([one.campaign_id for one in campaigns], made.campaign[kept]),
            "customer_id": columns.customer_ids(people.number[made.customer[kept]]),
            "arm": columns.words(("control", "treatment"), made.is_treated[kept].astype(np.int8)),
            "contacted_at": columns.times(made.contacted_at[kept]),
            "opened_at": columns.times(made.opened_at[kept], known[0][kept]),
            "clicked_at": columns.times(made.clicked_at[kept], known[1][kept]),
            "unsubscribed_at": columns.times(made.unsubscribed_at[kept], known[2][kept]),
            "satisfaction": pa.array(made.satisfaction[kept], pa.int16(), mask=~known[3][kept]),
            "updated_at": columns.times(updated[kept]),
        }
    )


def _is_there(lived: Lives, until: int) -> np.ndarray:
    return (lived.arrives_at < until) & (lived.deleted_at >= until)


def _order_ids(people: Population, made: Orders, place: np.ndarray) -> pa.Array:
    return _numbered("O", people, made, place)


def _numbered(letter: str, people: Population, made: Orders, place: np.ndarray) -> pa.Array:
    number = people.number[made.customer[place]]
    return columns.fixed(letter, (columns.day_number(made.time[place]), 6), (number, _DIGITS), (made.number[place], 2))


def _masked(texts: pa.Array, is_null: np.ndarray) -> pa.Array:
    return pc.if_else(pa.array(is_null), pa.scalar(None, pa.string()), texts) if is_null.any() else texts
