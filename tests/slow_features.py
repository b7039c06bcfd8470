"""
The features once more, from what docs/features.md says: the measure for those of the pipeline.

Slow and plain: a diary of what was seen of a shop, look by look, kept in pandas; from it the rows as they stood on a
day; and per customer one function for each family, over lists of rows. It shares no code and no aggregate with the
pipeline, but for the purchase model, whose mathematics have tests of their own. Comments tell what the dictionary
leaves open.
"""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from segmentation import purchase_model

KEYS = {
    "customers": ["customer_id"],
    "products": ["product_id"],
    "orders": ["order_id"],
    "order_items": ["order_id", "line_no"],
    "events": ["event_id"],
    "support_tickets": ["ticket_id"],
    "campaigns": ["campaign_id"],
    "campaign_contacts": ["campaign_id", "customer_id"],
}
HAPPENED = {
    "customers": "signed_up_at",
    "products": "launched_at",
    "orders": "ordered_at",
    "events": "occurred_at",
    "support_tickets": "opened_at",
    "campaigns": "starts_at",
    "campaign_contacts": "contacted_at",
}
NEEDS = {
    "basket": ["order_items"],
    "interest": ["order_items", "products"],
    "browsing": ["events"],
    "viewed_interest": ["events", "products"],
    "media": ["events"],
    "campaign_response": ["campaign_contacts"],
    "service": ["support_tickets"],
}
_TIMES = ("updated_at", *HAPPENED.values(), "ends_at", "resolved_at", "clicked_at", "unsubscribed_at")


class Diary:
    """Every version of a shop's rows that was seen, and which keys were gone, each with the day of the look."""

    def __init__(self) -> None:
        self._versions: dict[str, list[pd.DataFrame]] = defaultdict(list)
        self._gone: dict[str, list[pd.DataFrame]] = defaultdict(list)
        self._last: dict[str, pd.DataFrame] = {}
        self._begun: dict[str, dt.date] = {}

    def look(self, day: dt.date, tables: Mapping[str, pd.DataFrame]) -> None:
        """Notes what is new, changed or gone in whole tables since the last look."""
        for name, table in tables.items():
            stamp, key = [*KEYS[name], "updated_at"], KEYS[name]
            fresh, gone = table, table[key].iloc[:0]
            if name in self._last:
                before = self._last[name]
                fresh = table[~table.set_index(stamp).index.isin(before.set_index(stamp).index)]
                gone = before[key][~before.set_index(key).index.isin(table.set_index(key).index)]
            self.note(day, name, fresh, gone)
            self._last[name] = table

    def note(self, day: dt.date, name: str, fresh: pd.DataFrame, gone: pd.DataFrame | None = None) -> None:
        """Notes versions of an entity's rows, and keys that are gone, as seen on a day; days come in order."""
        if len(fresh):
            self._begun.setdefault(name, day)
        times = {column: pd.to_datetime(fresh[column], utc=True) for column in _TIMES if column in fresh}
        self._versions[name].append(fresh.assign(**times, seen_on=day))
        if gone is not None and len(gone):
            self._gone[name].append(gone.assign(gone_on=day))

    def versions(self, name: str, known: dt.date | None = None) -> pd.DataFrame:
        """The versions of the rows that were not gone, as far as a day's look (None: the last) tells; oldest first."""
        key = KEYS[name]
        if not self._versions[name]:
            return pd.DataFrame(columns=[*key, "seen_on", "updated_at"])
        rows = pd.concat(self._versions[name], ignore_index=True)
        rows = rows[rows["seen_on"] <= (known or dt.date.max)]
        for gone in self._gone[name]:
            [gone_on] = set(gone["gone_on"])
            if gone_on <= (known or dt.date.max):
                is_gone = rows.set_index(key).index.isin(gone.set_index(key).index) & (rows["seen_on"] < gone_on)
                rows = rows[~is_gone]
        return rows.sort_values(["updated_at", "seen_on"], kind="stable")

    def rows(self, name: str, known: dt.date, as_of: dt.date) -> list[SimpleNamespace]:
        """What had happened before a day, in the state of then, as far as another day's look tells.

        `is_told`: the state was written down before the day. Nulls are None, money is in whole cents.
        """
        rows, key, midnight = self.versions(name, known), KEYS[name], _midnight(as_of)
        rows = rows[(rows["seen_on"] == self._begun.get(name)) | (rows["seen_on"] <= as_of)]
        current = rows[rows["updated_at"] < midnight].drop_duplicates(key, keep="last")
        oldest = rows.drop_duplicates(key, keep="first")
        rows = pd.concat([current, oldest]).drop_duplicates(key, keep="first") if len(current) else oldest
        if name in HAPPENED and len(rows):
            rows = rows[rows[HAPPENED[name]].isna() | (rows[HAPPENED[name]] < midnight)]
        rows = rows.assign(is_told=rows["updated_at"] < midnight)
        for column in ("total_amount", "discount_amount", "unit_price"):
            if column in rows:
                rows[column] = [round(value * 100) for value in rows[column]]
        columns = [[None if pd.isna(value) else value for value in rows[column]] for column in rows]
        return [SimpleNamespace(**dict(zip(rows.columns, row, strict=True))) for row in zip(*columns, strict=True)]


@dataclass
class Customer:
    """All that was known of one customer before a day. `age` of a row: days from its own day to that one, 1 or more."""

    row: SimpleNamespace
    shop: "Shop"
    orders: list[SimpleNamespace]
    cancelled: list[SimpleNamespace]
    lines: list[SimpleNamespace]
    events: list[SimpleNamespace]
    tickets: list[SimpleNamespace]
    contacts: list[SimpleNamespace]


class Shop:
    """What was known of a shop before a day, by a later day's looks."""

    def __init__(self, diary: Diary, known: dt.date, as_of: dt.date) -> None:
        self.midnight = _midnight(as_of)
        rows = {name: diary.rows(name, known, as_of) for name in KEYS}
        self.products = {row.product_id: row for row in rows["products"]}
        self.campaigns = {row.campaign_id: row for row in rows["campaigns"]}
        for name, time in HAPPENED.items():
            for row in rows[name]:
                moment = getattr(row, time)
                row.age = None if moment is None else (self.midnight - moment.floor("D")).days
        orders = {row.order_id: row for row in rows["orders"]}
        for order in orders.values():
            order.is_cancelled = order.status == "cancelled" and order.is_told
        self.lines = []
        for line in rows["order_items"]:
            order = orders.get(line.order_id)
            if order is not None and not order.is_cancelled:
                line.customer_id, line.age = order.customer_id, order.age
                line.returned = line.returned_quantity if line.is_told else 0
                self.lines.append(line)
        has_row = {name: bool(found) for name, found in rows.items()} | {"order_items": bool(self.lines)}
        self.off = {family for family, needs in NEEDS.items() if not all(has_row[name] for name in needs)}
        now = diary.versions("customers").drop_duplicates("customer_id", keep="last")
        consenting = set(now.loc[now["profiling_consent"].astype(bool), "customer_id"])
        of_customer = {
            "orders": _by_customer(row for row in orders.values() if not row.is_cancelled),
            "cancelled": _by_customer(row for row in orders.values() if row.is_cancelled),
            "lines": _by_customer(self.lines),
            "events": _by_customer(rows["events"]),
            "tickets": _by_customer(rows["support_tickets"]),
            "contacts": _by_customer(rows["campaign_contacts"]),
        }
        self.customers = [
            Customer(row, self, **{name: found.get(row.customer_id, []) for name, found in of_customer.items()})
            for row in rows["customers"]
            if row.profiling_consent and row.customer_id in consenting
        ]

    def category(self, product_id: str | None) -> str | None:
        """None if the product is not known."""
        product = self.products.get(product_id)
        return product.category if product else None

    def brand(self, product_id: str | None) -> str | None:
        """None if the product is not known or has no brand."""
        product = self.products.get(product_id)
        return product.brand if product else None


def features(diary: Diary, known: dt.date, as_of: dt.date) -> dict[str, dict[str, Any]]:
    """The features of every customer by id."""
    shop = Shop(diary, known, as_of)
    found = {}
    for each in shop.customers:
        row: dict[str, Any] = {}
        for family in FAMILIES:
            values = family(each)
            row |= dict.fromkeys(values) if family.__name__ in shop.off else values
        found[each.row.customer_id] = row
    _add_purchase_model(found)
    return found


def _add_purchase_model(found: dict[str, dict[str, Any]]) -> None:
    given = ("repeat_order_days_count", "repeat_span_days", "first_order_age_days", "repeat_day_spend_mean")
    made = {
        "alive_probability": "alive_probability",
        "expected_order_days_90d": "expected_orders",
        "expected_day_spend": "expected_order_value",
        "expected_spend_90d": "expected_spend",
    }
    for row in found.values():
        row |= dict.fromkeys(made)
    buyers = [row for row in found.values() if row["first_order_age_days"] is not None]
    rhythm = [np.array([row[name] for row in buyers], float) for name in given]
    try:
        model = purchase_model.fit(*rhythm)
    except purchase_model.NotFittedError:
        return
    told = purchase_model.predict(model, *rhythm, 90)
    for place, row in enumerate(buyers):
        row |= {name: _or_none(told[of_model][place]) for name, of_model in made.items()}


def customer(c: Customer) -> dict[str, Any]:
    year = c.row.birth_year
    return {
        "tenure_days": c.row.age,
        "age_years": None if year is None else c.shop.midnight.year - year,
        "gender": c.row.gender,
        "income_band": c.row.income_band,
        "city": c.row.city,
        "country": c.row.country,
        "acquisition_channel": c.row.acquisition_channel,
    }


def order_rhythm(c: Customer) -> dict[str, Any]:
    ages = sorted((order.age for order in c.orders), reverse=True)
    days = sorted(set(ages), reverse=True)
    gaps = [earlier - later for earlier, later in pairwise(ages)]
    mean_gap = _mean(gaps)
    on_day = {day: sum(order.total_amount for order in c.orders if order.age == day) for day in days}
    later_days = [on_day[day] for day in days[1:]]
    return {
        "last_order_age_days": days[-1] if days else None,
        "first_order_age_days": days[0] if days else None,
        "order_days_count": len(days),
        "order_gap_mean_days": mean_gap,
        "order_gap_std_days": float(np.std(gaps, ddof=1)) if len(gaps) > 1 else None,
        "order_gap_last_days": days[-2] - days[-1] if len(days) > 1 else None,
        "silence_to_gap_ratio": days[-1] / mean_gap if mean_gap else None,
        "repeat_order_days_count": max(len(days) - 1, 0),
        "repeat_span_days": days[0] - days[-1] if days else None,
        "repeat_day_spend_mean": _per(sum(later_days) / 100, len(later_days)),
        "order_day_spend_max": max(on_day.values()) / 100 if days else None,
    }


def order_frequency(c: Customer) -> dict[str, Any]:
    lately, before = len(_within(c.orders, 90)), len(_within(c.orders, 180)) - len(_within(c.orders, 90))
    return {
        "orders_count": len(c.orders),
        "orders_30d": len(_within(c.orders, 30)),
        "orders_90d": len(_within(c.orders, 90)),
        "orders_365d": len(_within(c.orders, 365)),
        "orders_trend": _per(lately - before, lately + before),
        "cancelled_orders_count": len(c.cancelled),
        "cancelled_share": _per(len(c.cancelled), len(c.orders) + len(c.cancelled)),
        "coupon_share": _mean([order.coupon_code is not None for order in c.orders]),
    }


def spend(c: Customer) -> dict[str, Any]:
    def paid(days: int) -> int:
        return sum(order.total_amount for order in _within(c.orders, days))

    total, discount = sum(o.total_amount for o in c.orders), sum(o.discount_amount for o in c.orders)
    lately, before = paid(90), paid(180) - paid(90)
    return {
        "spend_total": total / 100,
        "spend_30d": paid(30) / 100,
        "spend_90d": paid(90) / 100,
        "spend_365d": paid(365) / 100,
        "spend_trend": _per(lately - before, lately + before),
        "order_value_mean": _per(total / 100, len(c.orders)),
        "order_value_mean_365d": _per(paid(365) / 100, len(_within(c.orders, 365))),
        "discount_share": _per(discount, total + discount),
    }


def order_channels(c: Customer) -> dict[str, Any]:
    channels = Counter(_channel(order) for order in _within(c.orders, 365))
    return {
        "order_channel_top": _top(channels),
        "order_channel_top_share": _top_share(channels),
        "store_order_share": _per(channels["store"], channels.total()),
        "app_order_share": _per(channels["app"], channels.total()),
        "social_order_share": _per(channels["social"], channels.total()),
        "order_channel_entropy": _entropy(channels),
    }


def basket(c: Customer) -> dict[str, Any]:
    lines, orders = _within(c.lines, 365), len(_within(c.orders, 365))
    units, returned = sum(line.quantity for line in lines), sum(line.returned for line in lines)
    products = Counter(line.product_id for line in lines)
    return {
        "units_365d": units,
        # orders whose lines are not known count, unless there is no line at all
        "units_per_order_mean": _per(units, orders) if lines else None,
        "lines_per_order_mean": _per(len(lines), orders) if lines else None,
        "products_365d": len(products),
        # two lines of one order are more than once
        "repeated_product_share": _mean([times > 1 for times in products.values()]),
        "unit_price_mean": _per(sum(line.quantity * line.unit_price for line in lines) / 100, units),
        "units_returned_365d": returned,
        "units_returned_90d": sum(line.returned for line in _within(lines, 90)),
        "returned_share": _per(returned, units),
    }


def interest(c: Customer) -> dict[str, Any]:
    lines = _within(c.lines, 365)
    categories = Counter(c.shop.category(line.product_id) for line in lines)  # what is not known is one more of them
    known = Counter({name: count for name, count in categories.items() if name is not None})
    brands = _known(c.shop.brand(line.product_id) for line in lines)
    return {
        "categories_365d": len(known),
        "category_top": _top(known),
        "category_top_share": max(known.values()) / len(lines) if known else None,
        "category_top_lines_365d": max(known.values(), default=0),
        "category_entropy": _entropy(categories),
        "brands_365d": len(brands),
        "brand_top": _top(brands),
        "brand_top_share": _top_share(brands),
        "brand_entropy": _entropy(brands),
        "price_level": _price_level(c, lines),
    }


def _price_level(c: Customer, lines: Sequence[SimpleNamespace]) -> float | None:
    if not hasattr(c.shop, "prices"):
        paid, units = Counter(), Counter()
        for line in _within(c.shop.lines, 365):
            category = c.shop.category(line.product_id)
            paid[category] += line.quantity * line.unit_price
            units[category] += line.quantity
        c.shop.prices = {category: paid[category] / units[category] for category in units}
    usual = sum(line.quantity * c.shop.prices[c.shop.category(line.product_id)] for line in lines)
    return _per(sum(line.quantity * line.unit_price for line in lines), usual)


def browsing(c: Customer) -> dict[str, Any]:
    sessions = [SimpleNamespace(age=age) for age, *_ in _sessions(c.events)]
    lately, before = len(_within(sessions, 30)), len(_within(sessions, 60)) - len(_within(sessions, 30))
    events, visits, orders = _within(c.events, 90), len(_within(sessions, 90)), len(_within(c.orders, 90))
    kinds = Counter(event.event_type for event in events)
    last = min((event.age for event in c.events), default=None)
    return {
        "last_visit_age_days": last if last is not None and last <= 365 else None,
        "sessions_30d": lately,
        "sessions_90d": visits,
        "sessions_365d": len(_within(sessions, 365)),
        "sessions_trend": _per(lately - before, lately + before),
        "page_views_90d": kinds["page_view"],
        "product_views_90d": kinds["product_view"],
        "searches_90d": kinds["search"],
        "cart_adds_90d": kinds["add_to_cart"],
        "events_per_session_mean": _per(len(events), visits),
        "dwell_per_session_mean_seconds": _per(_dwell(events), visits),
        "ad_click_rate": _per(kinds["ad_click"], kinds["ad_view"]),
        "cart_rate": _per(kinds["add_to_cart"], kinds["product_view"]),
        "cart_removal_rate": _per(kinds["remove_from_cart"], kinds["add_to_cart"]),
        "view_to_order_rate": _per(orders, kinds["product_view"]),
        "session_to_order_rate": _per(orders, visits),
    }


def viewed_interest(c: Customer) -> dict[str, Any]:
    looks = [
        event
        for event in _within(c.events, 90)
        if event.product_id is not None and event.event_type in ("product_view", "add_to_cart")
    ]
    categories = _known(c.shop.category(event.product_id) for event in looks)
    return {
        "products_viewed_90d": len({event.product_id for event in looks}),
        "categories_viewed_90d": len(categories),
        "viewed_category_top": _top(categories),
        "viewed_category_top_share": _top_share(categories),
        "viewed_category_entropy": _entropy(categories),
    }


def media(c: Customer) -> dict[str, Any]:
    events = _within(c.events, 90)
    channels = Counter(channel for _, channel, _ in _sessions(events))
    kinds = Counter(event.event_type for event in events)
    articles, videos = kinds["article_read"], kinds["video_view"]
    content = Counter(_channel(e) for e in events if e.event_type in ("article_read", "video_view"))
    return {
        "channel_top": _top(channels),
        "channel_top_share": _top_share(channels),
        "channels_90d": len(channels),
        "channel_entropy": _entropy(channels),
        "articles_90d": articles,
        "videos_90d": videos,
        "ads_90d": kinds["ad_view"],
        "video_share": _per(videos, articles + videos),
        "content_top": _top(Counter(article=articles, video=videos)) if articles + videos else None,
        "content_channel_top": _top(content),
    }


def campaign_response(c: Customer) -> dict[str, Any]:
    ever = [contact for contact in c.contacts if contact.arm != "control"]
    contacts = _within(ever, 365)

    def happened(moment: pd.Timestamp | None) -> bool:
        return moment is not None and moment < c.shop.midnight

    def ordered(contact: SimpleNamespace) -> bool:
        campaign = c.shop.campaigns.get(contact.campaign_id)
        ends = (c.shop.midnight - campaign.ends_at.floor("D")).days if campaign else None
        return ends is not None and any(ends <= order.age <= contact.age for order in c.orders)

    def answered(contacts: list[SimpleNamespace]) -> str | None:
        counts: dict[str, list[int]] = {}
        for contact in contacts:
            campaign = c.shop.campaigns.get(contact.campaign_id)
            opened, clicked = happened(contact.opened_at), happened(contact.clicked_at)
            if campaign and campaign.channel and (opened or clicked):
                told = counts.setdefault(campaign.channel, [0, 0])
                told[0] -= clicked
                told[1] -= opened
        return min(counts, key=lambda channel: (counts[channel], channel), default=None)

    return {
        "contacts_365d": len(contacts),
        "last_contact_age_days": min((contact.age for contact in ever), default=None),
        "contact_open_rate": _mean([happened(contact.opened_at) for contact in contacts]),
        "contact_click_rate": _mean([happened(contact.clicked_at) for contact in contacts]),
        "contact_order_rate": _mean(
            [ordered(contact) for contact in contacts if contact.campaign_id in c.shop.campaigns]
        ),
        "answered_channel": answered(contacts),
        "unsubscribed_count": sum(happened(contact.unsubscribed_at) for contact in ever),
        "contact_satisfaction_mean": _mean([c.satisfaction for c in contacts if c.is_told and c.satisfaction]),
    }


def service(c: Customer) -> dict[str, Any]:
    tickets = _within(c.tickets, 365)
    resolved = [t for t in c.tickets if t.resolved_at is not None and t.resolved_at < c.shop.midnight]
    complaints = [ticket for ticket in c.tickets if ticket.category == "complaint"]
    hours = [
        (t.resolved_at.floor("s") - t.opened_at.floor("s")) / pd.Timedelta(hours=1) for t in _within(resolved, 365)
    ]
    return {
        "tickets_90d": len(_within(tickets, 90)),
        "tickets_365d": len(tickets),
        "complaints_90d": len(_within(complaints, 90)),
        "complaints_365d": len(_within(complaints, 365)),
        "return_tickets_365d": sum(ticket.category in ("return", "refund") for ticket in tickets),
        "open_tickets_count": len(c.tickets) - len(resolved),
        "last_ticket_age_days": min((ticket.age for ticket in c.tickets), default=None),
        "last_complaint_age_days": min((ticket.age for ticket in complaints), default=None),
        "satisfaction_mean": _mean([t.satisfaction for t in tickets if t.is_told and t.satisfaction]),
        "resolution_mean_hours": _mean(hours),
    }


def first_steps(c: Customer) -> dict[str, Any]:
    is_new = c.row.age <= 90
    events = _first_session(c.events) if is_new else []
    kinds = Counter(event.event_type for event in events)
    names = ("events", "product_views", "cart_adds", "dwell_seconds", "channel")
    session = (
        len(events),
        kinds["product_view"],
        kinds["add_to_cart"],
        _dwell(events),
        min((_channel(event) for event in events), default=None),
    )
    told = {f"first_session_{name}": value if events else None for name, value in zip(names, session, strict=True)}
    first = max((order.age for order in c.orders), default=None) if is_new else None
    orders = [order for order in c.orders if order.age == first]
    lines = [line for line in c.lines if line.age == first]
    amount, discount = sum(o.total_amount for o in orders), sum(o.discount_amount for o in orders)
    categories = _known(c.shop.category(line.product_id) for line in lines)
    return told | {
        "first_basket_amount": amount / 100 if orders else None,
        "first_basket_units": sum(line.quantity for line in lines) if lines else None,
        "first_basket_categories": len(categories) or None,
        "first_basket_discount_share": _per(discount, amount + discount) if orders else None,
        "first_basket_channel": min((_channel(order) for order in orders), default=None),
        "first_order_after_days": c.row.age - first if orders else None,
    }


FAMILIES: tuple[Callable[[Customer], dict[str, Any]], ...] = (
    customer,
    order_rhythm,
    order_frequency,
    spend,
    order_channels,
    basket,
    interest,
    browsing,
    viewed_interest,
    media,
    campaign_response,
    service,
    first_steps,
)


def _midnight(day: dt.date) -> pd.Timestamp:
    return pd.Timestamp(day, tz="UTC")


def _by_customer(rows: Iterable[SimpleNamespace]) -> dict[str, list[SimpleNamespace]]:
    found: dict[str, list[SimpleNamespace]] = defaultdict(list)
    for row in rows:
        found[row.customer_id].append(row)
    return found


def _within(rows: Iterable[SimpleNamespace], days: int) -> list[SimpleNamespace]:
    return [row for row in rows if row.age <= days]


def _channel(row: SimpleNamespace) -> str:
    """One that is not known is a channel too."""
    return "unknown" if row.channel is None else row.channel


def _sessions(events: Iterable[SimpleNamespace]) -> set[tuple]:
    """Age, channel and id of each session; one over midnight counts on both days, what has no id as one."""
    return {(event.age, _channel(event), event.session_id) for event in events}


def _first_session(events: Sequence[SimpleNamespace]) -> list[SimpleNamespace]:
    """The events of the session that began first, of those in a year; without an id they are one a day and channel."""
    sessions: dict[tuple, list[SimpleNamespace]] = defaultdict(list)
    for event in _within(events, 365):
        apart = () if event.session_id is not None else (event.age, _channel(event))
        sessions[event.session_id, *apart].append(event)
    return min(sessions.values(), key=lambda found: min(event.occurred_at for event in found), default=[])


def _dwell(events: Iterable[SimpleNamespace]) -> float:
    """Seconds, each event's in whole milliseconds."""
    return sum(int(np.floor(event.dwell_seconds * 1000 + 0.5)) for event in events if event.dwell_seconds) / 1000


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _known(names: Iterable[str | None]) -> Counter:
    return Counter(name for name in names if name is not None)


def _per(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _top(counts: Counter) -> str | None:
    return min(counts, key=lambda name: (-counts[name], name)) if counts else None


def _top_share(counts: Counter) -> float | None:
    return max(counts.values()) / counts.total() if counts else None


def _entropy(counts: Counter) -> float | None:
    total = counts.total()
    return -sum(count / total * log(count / total) for count in counts.values()) if counts else None
