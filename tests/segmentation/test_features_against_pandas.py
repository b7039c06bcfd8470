"""Every feature of every customer equals what a slow implementation makes of the shop's rows, to 1e-9."""

import dataclasses
import datetime as dt
import random

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from local.simulator import practice_shop
from segmentation import aggregates, extract, features, history, lake, settings, tables, validate, warehouse
from tests import frames, slow_features
from tests.local.simulator.conftest import DIRTY, silent

TOLERANCE = 1e-9
LABELS = list(tables.OUTCOMES)

# A shop that was read in one go, and then day by day
FIRST, DAYS, CUSTOMERS = 400, 6, 500
SHOP = dataclasses.replace(DIRTY, customers=850, span_days=FIRST + DAYS, contact_share=0.6)
BEGIN = SHOP.first_day + dt.timedelta(days=FIRST)
LAST = BEGIN + dt.timedelta(days=DAYS)
_random = random.Random(20_260)
RANDOM_DAYS = [
    *(BEGIN + dt.timedelta(days=number) for number in sorted(_random.sample(range(1, DAYS + 1), 3))),
    *(BEGIN - dt.timedelta(days=number) for number in sorted(_random.sample(range(1, 61), 2))),
]


@pytest.fixture(scope="module")
def grown(module_stores):
    """The stores after the last day, and a diary of what the shop itself showed on every one."""
    diary = slow_features.Diary()
    with warehouse.connect(module_stores.warehouse) as connection:
        practice_shop.create(connection, SHOP, FIRST, silent)
    for number in range(DAYS + 1):
        day = BEGIN + dt.timedelta(days=number)
        if number:
            practice_shop.grow(module_stores.warehouse, 1, silent)
        for name in tables.ENTITIES:
            extract.extract_entity(name, day, module_stores)
        validate.accept_raw(day, module_stores)
        aggregates.build_aggregates(day, module_stores)
        diary.look(day, shown(module_stores.warehouse))
    return module_stores, diary


def shown(dsn: str) -> dict[str, pd.DataFrame]:
    """All rows of a shop."""
    with warehouse.connect(dsn) as connection:
        return {
            name: pd.DataFrame(
                warehouse.fetch(connection, f"select {', '.join(entity.schema.names)} from shop.{name}"),
                columns=entity.schema.names,
                dtype=object,
            )
            for name, entity in tables.ENTITIES.items()
        }


@pytest.mark.timeout(900)
@pytest.mark.parametrize("as_of", RANDOM_DAYS, ids=str)
def test_the_features_of_a_simulated_shop_equal_those_by_pandas(grown, as_of):
    stores, diary = grown
    wanted = slow_features.features(diary, LAST, as_of)
    sample = random.Random(f"{as_of}").sample(sorted(wanted), CUSTOMERS)
    assert_equal(looked_back(stores, LAST, as_of), wanted, sample, f"{as_of}, looked back from {LAST}")
    if as_of >= BEGIN:
        then = slow_features.features(diary, as_of, as_of)
        sample = random.Random(f"{as_of}").sample(sorted(then), CUSTOMERS)
        assert_equal(scored(stores, as_of), then, sample, f"{as_of}, by what it knew")


def test_the_simulated_days_brought_what_is_difficult(grown):
    """Else the test above would show little: late rows, new states and deletions, each a few times."""
    _, diary = grown
    counts = {}
    for name, told in (("orders", "status"), ("order_items", "returned_quantity"), ("support_tickets", "resolved_at")):
        rows = diary.versions(name)
        counts[f"{name}: {told}"] = (rows.groupby(slow_features.KEYS[name])[told].nunique(dropna=False) > 1).sum()
    orders = diary.versions("orders")
    arrived = orders.groupby("order_id")["seen_on"].transform("min")
    counts["late"] = ((arrived > BEGIN) & (pd.to_datetime(arrived, utc=True) - orders["ordered_at"] > "49h")).sum()
    counts["cancelled"] = (orders.loc[orders["seen_on"] > BEGIN, "status"] == "cancelled").sum()
    for name in ("customers", "orders", "events"):
        ever = pd.concat(diary.versions(name, day) for day in (BEGIN, LAST))
        counts[f"{name}: gone"] = len(set(ever[slow_features.KEYS[name][0]])) - len(
            set(diary.versions(name)[slow_features.KEYS[name][0]])
        )
    assert min(counts.values()) >= 3, counts


def scored(stores, day):
    """The features of a day as scoring has them."""
    features.build_features(day, stores)
    return by_customer(lake.read(stores.lake, tables.CUSTOMER_FEATURES, day))


def looked_back(stores, known, as_of):
    """The features of a day as training has them that knows what a later day knows."""
    if known == as_of:
        return scored(stores, known)
    age = (as_of - features.first_order_day(known, stores)).days
    config = settings.Training(cutoff_step_days=(known - as_of).days, max_cutoffs=2, min_history_days=age)
    features.build_training_examples(known, stores, config)
    examples = lake.read(stores.lake, tables.TRAINING_EXAMPLES, known).drop_columns(LABELS)
    return by_customer(examples.filter(pc.equal(examples["as_of_date"], as_of)))


def by_customer(table):
    return {row["customer_id"]: row for row in table.drop_columns("as_of_date").to_pylist()}


def assert_equal(found, wanted, customers, when):
    """Says of each difference which feature of whom it is in, when, and both values."""
    assert found.keys() == wanted.keys(), f"{sorted(found.keys() ^ wanted.keys())} on {when} are in one of both"
    told = []
    for customer in customers:
        assert found[customer].keys() - {"customer_id"} == wanted[customer].keys()
        for name, value in wanted[customer].items():
            if not are_equal(found[customer][name], value):
                told.append(f"{name} of {customer} on {when}: {found[customer][name]!r}, by pandas {value!r}")
    assert not told, f"{len(told)} differences:\n" + "\n".join(told[:40])


def are_equal(found, wanted):
    if found is None or wanted is None or isinstance(wanted, str):
        return found == wanted
    return abs(float(found) - float(wanted)) <= TOLERANCE * max(1, abs(float(wanted)))


# What no simulated shop does. A letter is a day that was run: what it read, and what is asked of it.
A, B, C = dt.date(2026, 1, 10), dt.date(2026, 1, 20), dt.date(2026, 1, 31)
BETWEEN = dt.date(2026, 1, 17)  # nothing was run


def at(text: str) -> dt.datetime:
    """A time, UTC, of 2026 unless it says otherwise: `01-05 10:30`."""
    return dt.datetime.fromisoformat(text if len(text.split("-")) == 3 else f"2026-{text}").replace(tzinfo=dt.UTC)


class Scenario:
    """Rows by the day that read them, and keys that were gone."""

    def __init__(self) -> None:
        self.rows = {day: {name: [] for name in tables.ENTITIES} for day in (A, B, C)}
        self.gone = {day: {name: [] for name in tables.ENTITIES} for day in (A, B, C)}
        self._numbers = iter(range(10_000))

    def put(self, day, name, **row):
        entity = tables.ENTITIES[name]
        for key in entity.key:
            row.setdefault(key, f"{name}{next(self._numbers):04d}" if key != "line_no" else 1)
        row.setdefault("updated_at", row.get(entity.time or "updated_at", dt.date(2025, 1, 1)))
        self.rows[day][name].append(row)
        return row[entity.key[0]]

    def customer(self, key, signed_up="2025-01-01", **row):
        self.put(A, "customers", customer_id=key, signed_up_at=at(signed_up), **row)

    def order(self, customer, ordered, day=A, **row):
        return self.put(day, "orders", customer_id=customer, ordered_at=at(ordered), **row)

    def line(self, order, product="tea", day=A, **row):
        return self.put(day, "order_items", order_id=order, product_id=product, **row)

    def event(self, customer, occurred, kind="page_view", day=A, **row):
        return self.put(day, "events", customer_id=customer, occurred_at=at(occurred), event_type=kind, **row)

    def accept(self, stores, diary, day):
        """Has a day know its rows, and the diary note them."""
        parts = {}
        for name, entity in tables.ENTITIES.items():
            living = frames.table(entity, self.rows[day][name])
            gone = [dict(zip(entity.key, key, strict=True)) | {"is_deleted": True} for key in self.gone[day][name]]
            both = [
                living.append_column("is_deleted", pa.array([False] * living.num_rows, pa.bool_())),
                frames.typed(gone, entity.version_schema),
            ]
            lake.write(stores.lake, entity.staged, day, [], entity.staged_schema)
            parts[name] = history.Part(pa.concat_tables(both).to_batches)
            fresh = pd.DataFrame(living.to_pylist(), columns=entity.schema.names, dtype=object)
            diary.note(day, name, fresh, pd.DataFrame(self.gone[day][name], columns=list(entity.key)))
        history.append(stores, day, parts)
        aggregates.build_aggregates(day, stores)


CASES = {}


def case(*days):
    """Names a customer after a function that puts in rows; the features that it gives are expected on these days."""

    def keep(function):
        CASES[function.__name__] = function, days
        return function

    return keep


@case(C)
def midnights(shop, me):
    shop.customer(me)
    for moment in ("2025-11-01 23:59:59.999999", "2025-11-02 23:59:59.999999", "01-31 00:00", "01-30 23:59:59.999999"):
        shop.event(me, moment, session_id=moment, channel="web")
        shop.put(A, "support_tickets", customer_id=me, opened_at=at(moment))
        shop.line(shop.order(me, moment))
    shop.event(me, "2025-11-02 00:00", session_id="first", channel="web")
    shop.order(me, "2025-11-02 00:00")
    return {"orders_count": 4, "orders_90d": 3, "orders_30d": 1, "units_365d": 3, "sessions_90d": 3, "tickets_90d": 2}


@case(C)
def ends_of_the_windows(shop, me):
    """Something of everything on the last days of the windows, and on the days before."""
    shop.customer(me)
    for number, age in enumerate((90, 91, 365, 366)):
        moment = f"{C - dt.timedelta(days=age)} 10:00"
        shop.line(shop.order(me, moment, channel="web"), quantity=2, returned_quantity=1)
        for kind in ("product_view", "ad_view", "ad_view", "ad_click", "add_to_cart", "remove_from_cart"):
            shop.event(me, moment, kind, product_id="tea", session_id=moment, channel="web")
        for category in ("complaint", "refund"):
            answer = {"resolved_at": at(moment) + dt.timedelta(hours=number), "satisfaction": 1 + number}
            shop.put(A, "support_tickets", customer_id=me, opened_at=at(moment), category=category, **answer)
        campaign = shop.put(A, "campaigns", starts_at=at("2025-01-01"), ends_at=at("01-01"))
        answer = {"satisfaction": 1 + number} | (
            {"opened_at": at(moment), "clicked_at": at(moment)} if age > 90 else {}
        )
        told = {"campaign_id": campaign, "customer_id": me, "contacted_at": at(moment)}
        shop.put(A, "campaign_contacts", arm="b", **told, **answer)
    return {
        "orders_90d": 1,
        "orders_365d": 3,
        "units_365d": 6,
        "units_returned_90d": 1,
        "sessions_90d": 1,
        "sessions_365d": 3,
        "ad_click_rate": 0.5,
        "cart_removal_rate": 1,
        "tickets_90d": 2,
        "tickets_365d": 6,
        "complaints_90d": 1,
        "complaints_365d": 3,
        "return_tickets_365d": 3,
        "satisfaction_mean": 2,
        "resolution_mean_hours": 1,
        "contacts_365d": 3,
        "contact_open_rate": 2 / 3,
        "contact_click_rate": 2 / 3,
        "contact_order_rate": 1,
        "contact_satisfaction_mean": 2,
    }


@case(C)
def new_for_the_last_day(shop, me):
    shop.customer(me, "2025-11-02 00:00")
    shop.line(shop.order(me, "2025-11-01 10:00", channel="web"))
    for age in (365, 366):
        shop.event(me, f"{C - dt.timedelta(days=age)} 10:00", session_id=f"n{age}", channel="web")
    return {"first_order_after_days": -1, "first_basket_units": 1, "first_session_events": 1, "tenure_days": 90}


@case(C)
def new_no_more(shop, me):
    shop.customer(me, "2025-11-01 23:59:59.999999")
    shop.line(shop.order(me, "2025-11-01 10:00", channel="web"))
    return {"first_order_after_days": None, "first_basket_units": None, "first_session_events": None, "tenure_days": 91}


@case(A, B, C)
def cancelled_and_then_not(shop, me):
    shop.customer(me)
    order = shop.order(me, "01-05 10:00", channel="web", total_amount=40)
    shop.line(order)
    again = {"order_id": order, "channel": "web", "total_amount": 40}
    shop.order(me, "01-05 10:00", B, status="cancelled", updated_at=at("01-15 09:00"), **again)
    shop.order(me, "01-05 10:00", C, status="delivered", updated_at=at("01-25 09:00"), **again)
    return [
        {"orders_count": 1, "cancelled_orders_count": 0, "spend_total": 40, "units_365d": 1},
        {"orders_count": 0, "cancelled_orders_count": 1, "spend_total": 0, "units_365d": 0, "cancelled_share": 1},
        {"orders_count": 1, "cancelled_orders_count": 0, "spend_total": 40, "units_365d": 1},
    ]


@case(A, B, C)
def cancelled_at_midnight(shop, me):
    """The first load has it cancelled; that is known on the days after the one it was written down on."""
    shop.customer(me)
    shop.line(shop.order(me, "01-05 10:00", status="cancelled", updated_at=at("01-20 00:00")))
    return [{"orders_count": 1}, {"orders_count": 1, "cancelled_share": 0}, {"orders_count": 0, "units_365d": 0}]


@case(A, B, C)
def returned_in_two_steps(shop, me):
    shop.customer(me)
    order = shop.order(me, "01-05 10:00")
    shop.line(order, quantity=5)
    shop.line(order, day=B, quantity=5, returned_quantity=2, updated_at=at("01-15 09:00"))
    shop.line(order, day=C, quantity=5, returned_quantity=5, updated_at=at("01-25 09:00"))
    return [{"returned_share": 0}, {"units_returned_365d": 2}, {"units_returned_90d": 5, "returned_share": 1}]


@case(A, B, C)
def returned_in_the_first_load(shop, me):
    """What it was before is not known, but since when it is so."""
    shop.customer(me)
    shop.line(shop.order(me, "01-05 10:00"), quantity=5, returned_quantity=2, updated_at=at("01-20 00:00"))
    return [{"returned_share": 0}, {"returned_share": 0, "units_365d": 5}, {"returned_share": 0.4}]


@case(C)
def ties(shop, me):
    shop.customer(me)
    for number, (product, channel, kind) in enumerate((("cup", "web", "video_view"), ("tea", "app", "article_read"))):
        shop.line(shop.order(me, f"01-0{number + 1} 10:00", channel=channel), product)
        for what in (kind, "product_view"):
            shop.event(
                me, f"01-0{number + 1} 09:00", what, session_id=f"t{number}", channel=channel, product_id=product
            )
    return {
        "category_top": "cups",
        "brand_top": "Ceylon",
        "order_channel_top": "app",
        "channel_top": "app",
        "content_top": "article",
        "content_channel_top": "app",
        "viewed_category_top": "cups",
        "category_top_share": 0.5,
    }


@case(C)
def sessions_that_overlap(shop, me):
    """What is only put into the cart has been looked at; a view of nothing, or a product on another page, has not."""
    shop.customer(me, "01-02")
    for time, session, kind, product in (
        ("10:00", "o2", "page_view", "gift"),
        ("10:10", "o1", "add_to_cart", "tea"),
        ("10:20", "o1", "product_view", None),
        ("10:30", "o2", "search", None),
        ("10:40", "o2", "search", None),
    ):
        shop.event(me, f"01-04 {time}", kind, session_id=session, product_id=product, channel="web")
    return {"first_session_events": 3, "first_session_cart_adds": 0, "products_viewed_90d": 1, "cart_rate": 1}


@case(C)
def ordered_a_year_after(shop, me):
    """An order on the first day of the year, by somebody who was contacted that day."""
    shop.customer(me)
    shop.order(me, "2025-01-31 00:00", channel="web")
    campaign = shop.put(A, "campaigns", starts_at=at("2025-01-01"), ends_at=at("2025-02-01"))
    told = {"campaign_id": campaign, "customer_id": me, "contacted_at": at("2025-01-31 20:00")}
    shop.put(A, "campaign_contacts", arm="b", **told)
    return {"contacts_365d": 1, "contact_order_rate": 1, "last_contact_age_days": 365}


@case(C)
def nameless(shop, me):
    """A shop without channels and session ids: a session a day."""
    shop.customer(me, "01-02")
    shop.line(shop.order(me, "01-04 10:00"))
    shop.event(me, "01-03 10:00", dwell_seconds=2.5)
    shop.event(me, "01-03 11:00", "product_view", product_id="tea")
    shop.event(me, "01-08 10:00", "add_to_cart", product_id="tea")
    return {
        "sessions_90d": 2,
        "channel_top": "unknown",
        "order_channel_top": "unknown",
        "first_session_events": 2,
        "first_session_cart_adds": 0,
        "first_session_dwell_seconds": 2.5,
        "first_basket_channel": "unknown",
    }


@case(C)
def unknown_products(shop, me):
    shop.customer(me, "01-02")
    order = shop.order(me, "01-05 10:00")
    for number, product in enumerate(("tea", "not there", "not there either", "launched later")):
        shop.line(order, product, line_no=number, unit_price=5)
        shop.event(me, "01-04 10:00", "product_view", product_id=product, session_id="u", channel="web")
    return {
        "products_365d": 4,
        "categories_365d": 1,
        "category_top": "tea",
        "category_top_share": 0.25,
        "viewed_category_top_share": 1,
        "products_viewed_90d": 4,
        "first_basket_categories": 1,
    }


@case(C)
def only_unknown_products(shop, me):
    shop.customer(me, "01-02")
    shop.line(shop.order(me, "01-05 10:00"), "not there")
    return {"category_top": None, "category_entropy": 0, "brand_entropy": None, "first_basket_categories": None}


@case(B, C)
def events_that_vanish(shop, me):
    """Some were gone at the last look: the first one of the first session, the only one over that channel; a day's."""
    shop.customer(me, "01-02")
    gone = shop.event(me, "01-04 10:00", "video_view", session_id="v1", channel="app", dwell_seconds=1)
    shop.event(me, "01-04 10:30", session_id="v1", channel="web")
    shop.event(me, "01-04 10:10", "search", session_id="v2", channel="web")
    last = shop.event(me, "01-06 10:00", "product_view", session_id="v3", channel="web", product_id="cup")
    shop.gone[C]["events"] += [(gone,), (last,)]
    return [
        {"sessions_90d": 4, "first_session_channel": "app", "products_viewed_90d": 1, "last_visit_age_days": 14},
        {"sessions_90d": 2, "first_session_channel": "web", "products_viewed_90d": 0, "last_visit_age_days": 27},
    ]


@case(B, C)
def a_session_over_midnight(shop, me):
    """And an event of it that came late."""
    shop.customer(me, "01-02")
    shop.event(me, "01-04 23:50", session_id="m1", channel="web")
    shop.event(me, "01-05 00:10", session_id="m1", channel="web")
    shop.event(me, "01-04 23:40", "search", C, session_id="m1", channel="web", updated_at=at("01-24"))
    return [
        {"sessions_90d": 2, "first_session_events": 2, "searches_90d": 0},
        {"sessions_90d": 2, "first_session_events": 3, "searches_90d": 1},
    ]


@case(C)
def three_orders_on_a_day(shop, me):
    shop.customer(me)
    for hour in (9, 12, 23):
        shop.line(shop.order(me, f"01-05 {hour:02d}:00"))
    return {
        "order_days_count": 1,
        "order_gap_mean_days": 0,
        "order_gap_std_days": 0,
        "order_gap_last_days": None,
        "silence_to_gap_ratio": None,
        "repeat_day_spend_mean": None,
        "order_day_spend_max": 30,
    }


@case(C)
def the_first_order_was_cancelled(shop, me):
    """On the day of the first one that stands, over another channel."""
    shop.customer(me, "01-02")
    shop.line(shop.order(me, "01-05 10:00", channel="app", status="cancelled", updated_at=at("01-06 10:00")), "cup")
    shop.line(shop.order(me, "01-05 11:00", channel="web"))
    return {"first_basket_channel": "web", "first_basket_units": 1, "first_basket_amount": 10, "cancelled_share": 0.5}


@case(B, C)
def an_order_that_moves(shop, me):
    shop.customer(me)
    order = shop.order(me, "01-05 10:00", channel="web", coupon_code="SAVE5")
    shop.line(order, quantity=2)
    moved = {"order_id": order, "channel": "app", "total_amount": 7, "updated_at": at("01-25 10:00")}
    shop.order(me, "01-07 10:00", C, **moved)
    return [
        {"last_order_age_days": 15, "spend_total": 10, "coupon_share": 1, "order_channel_top": "web"},
        {"last_order_age_days": 24, "spend_total": 7, "coupon_share": 0, "order_channel_top": "app"},
    ]


@case(B, C)
def an_order_that_goes_and_comes_back(shop, me):
    shop.customer(me)
    order = shop.order(me, "01-05 10:00")
    shop.gone[B]["orders"].append((order,))
    shop.order(me, "01-05 10:00", C, order_id=order, total_amount=12, updated_at=at("01-26 10:00"))
    return [{"orders_count": 0, "spend_total": 0}, {"orders_count": 1, "spend_total": 12}]


@case(B, C)
def late_rows(shop, me):
    shop.customer(me)
    shop.line(shop.order(me, "01-05 10:00", C, updated_at=at("01-24 10:00")), day=C, updated_at=at("01-24 10:00"))
    return [{"orders_count": 0, "units_365d": 0}, {"orders_count": 1, "units_365d": 1}]


@case(C)
def free_of_charge(shop, me):
    shop.customer(me, "01-02")
    shop.line(shop.order(me, "01-05 10:00", total_amount=0), "gift", unit_price=0)
    shop.order(me, "2025-12-05 10:00", total_amount=0)
    return {"spend_trend": None, "discount_share": None, "price_level": None, "unit_price_mean": 0, "orders_trend": 1}


@case(C)
def orders_without_lines(shop, me):
    """What is in them is not known."""
    shop.customer(me, "01-02")
    shop.order(me, "01-05 10:00")
    return {"units_365d": 0, "units_per_order_mean": None, "first_basket_units": None, "unit_price_mean": None}


@case(A, C)
def campaigns(shop, me):
    """The held-out do not count; for orders, nor do contacts of an unknown campaign. Days decide, not hours."""
    shop.customer(me)
    shop.put(A, "campaigns", campaign_id="k1", starts_at=at("01-01"), ends_at=at("01-05 08:00"))
    shop.put(A, "campaigns", campaign_id="k2", starts_at=at("01-01"), ends_at=at("01-04 08:00"))
    told = {"customer_id": me, "contacted_at": at("01-05 18:00")}
    answered = {"opened_at": at("01-05 19:00"), "clicked_at": at("01-10 00:00"), "satisfaction": 4}
    shop.put(A, "campaign_contacts", campaign_id="k1", arm="b", updated_at=at("01-10"), **answered, **told)
    shop.put(A, "campaign_contacts", campaign_id="k2", arm="b", **told | {"opened_at": at("01-10 00:00")})
    shop.put(A, "campaign_contacts", campaign_id="k3", arm="b", **told | {"unsubscribed_at": at("01-10 00:00")})
    shop.put(A, "campaign_contacts", campaign_id="k4", arm="control", **told | {"contacted_at": at("01-08")})
    shop.order(me, "01-05 10:00")
    share = {"contacts_365d": 3, "contact_order_rate": 1 / 2}
    answers = ("contact_open_rate", "contact_click_rate", "contact_satisfaction_mean", "unsubscribed_count")
    return [
        share | dict(zip(answers, (1 / 3, 0, None, 0), strict=True)) | {"last_contact_age_days": 5},
        share | dict(zip(answers, (2 / 3, 1 / 3, 4, 1), strict=True)) | {"last_contact_age_days": 26},
    ]


@case(A, C)
def tickets(shop, me):
    shop.customer(me)
    answer = {"satisfaction": 2, "updated_at": at("01-10")}
    shop.put(A, "support_tickets", customer_id=me, opened_at=at("01-08"), resolved_at=at("01-10"), **answer)
    shop.put(A, "support_tickets", customer_id=me, opened_at=at("2025-01-10"), resolved_at=at("2025-01-12"))
    return [
        {"open_tickets_count": 1, "satisfaction_mean": None, "resolution_mean_hours": 48, "tickets_365d": 2},
        {"open_tickets_count": 0, "satisfaction_mean": 2, "resolution_mean_hours": 48, "tickets_365d": 1},
    ]


@case(A, B, C)
def somebody_who_moves(shop, me):
    """The first load's state holds before it; a new customer has no signs at all."""
    shop.customer(me, "2025-06-01", city="Suzhou", birth_year=1990, updated_at=at("01-08"))
    shop.put(C, "customers", customer_id=me, signed_up_at=at("2025-06-01"), city="Wuxi", updated_at=at("01-20 00:00"))
    return [{"city": "Suzhou", "age_years": 36, "last_visit_age_days": None}, {"city": "Suzhou"}, {"city": "Wuxi"}]


@pytest.fixture(scope="module")
def handmade(tmp_path_factory, new_warehouse):
    """The diary of a shop of all cases, each customer one, what is expected, and by (known, as_of) what there is."""
    shop, diary = Scenario(), slow_features.Diary()
    expected = {name: (days, function(shop, name)) for name, (function, days) in CASES.items()}
    for product, category, brand in (("tea", "tea", "Ceylon"), ("cup", "cups", "Delft"), ("gift", "gifts", None)):
        shop.put(A, "products", product_id=product, category=category, brand=brand, launched_at=at("2025-01-01"))
    shop.put(A, "products", product_id="launched later", category="tea", launched_at=at("02-02"))
    for key in ("left", "withdrew", "never"):
        shop.customer(key, profiling_consent=key != "never")
        shop.line(shop.order(key, "01-05 10:00", total_amount=99), unit_price=99)
    shop.gone[C]["customers"].append(("left",))
    again = {"signed_up_at": at("2025-01-01"), "profiling_consent": False, "updated_at": at("01-28")}
    shop.put(C, "customers", customer_id="withdrew", **again)
    with new_warehouse() as marketing:
        folder = tmp_path_factory.mktemp("handmade")
        stores = settings.Stores(warehouse=marketing, marketing=marketing, lake=str(folder), registry="")
        for day in (A, B, C):
            shop.accept(stores, diary, day)
        found = {(day, day): scored(stores, day) for day in (A, B, C)}
        found |= {(C, day): looked_back(stores, C, day) for day in (A, BETWEEN, B)}
    return diary, expected, found


@pytest.mark.parametrize("name", CASES)
def test_what_no_simulated_shop_does(handmade, name):
    diary, expected, found = handmade
    for (known, as_of), rows in found.items():
        wanted = slow_features.features(diary, known, as_of)
        assert_equal(rows, wanted, [name] if name in wanted else [], f"{as_of}, as {known} knows it")
    days, values = expected[name]
    for day, value in zip(days, values if isinstance(values, list) else [values], strict=True):
        told = found[day, day][name]
        assert {key: told[key] for key in value} == value, day


def test_who_left_or_withdrew_is_on_no_day(handmade):
    *_, found = handmade
    for rows in found.values():
        assert not rows.keys() & {"left", "withdrew", "never"}


def test_a_shop_of_customers_and_orders_only(stores):
    shop, diary = Scenario(), slow_features.Diary()
    shop.customer("c", "01-02")
    for day in ("01-05", "01-07", "01-10"):
        shop.order("c", f"{day} 10:00", channel="web")
    for day in (A, B):
        shop.accept(stores, diary, day)
        found = scored(stores, day)
        assert_equal(found, slow_features.features(diary, day, day), ["c"], f"{day}")
    assert found["c"]["orders_count"] == 3
    off = ("units_365d", "categories_365d", "sessions_90d", "products_viewed_90d", "channels_90d", "contacts_365d")
    assert [found["c"][name] for name in (*off, "tickets_365d")] == [None] * 7
