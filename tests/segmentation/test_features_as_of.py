"""A feature sees nothing that happened on its day or later, and training sees exactly what the day itself saw."""

import dataclasses
import datetime as dt
import random

import pyarrow.compute as pc
import pytest

from local.simulator import practice_shop
from segmentation import (
    aggregates,
    classify,
    extract,
    features,
    lake,
    preparation,
    settings,
    tables,
    validate,
    warehouse,
)
from segmentation.registry import Registry
from tests import frames
from tests.local.simulator.conftest import DIRTY, silent

DAY = frames.DAY
LABELS = list(tables.OUTCOMES)


def day(number: int) -> dt.datetime:
    """Noon, so many days before DAY."""
    return dt.datetime.combine(DAY, dt.time(12), dt.UTC) - dt.timedelta(days=number)


# Something of everything, before the day
KNOWN = {
    "customers": [
        {"customer_id": key, "signed_up_at": day(40), "city": "Hangzhou", "birth_year": 1990, "updated_at": day(40)}
        for key in "ab"
    ],
    "products": [{"product_id": "p1", "category": "tea", "brand": "X", "launched_at": day(90), "updated_at": day(90)}],
    "orders": [
        {
            "order_id": f"o{n}",
            "customer_id": "ab"[n % 2],
            "ordered_at": day(3 + 5 * n),
            "channel": "web",
            "updated_at": day(3 + 5 * n),
        }
        for n in range(6)
    ],
    "order_items": [{"order_id": f"o{n}", "quantity": 2, "updated_at": day(3 + 5 * n)} for n in range(6)],
    "events": [
        {
            "event_id": f"e{n}",
            "customer_id": "ab"[n % 2],
            "occurred_at": day(2 + 3 * n),
            "session_id": f"s{n}",
            "channel": "web",
            "product_id": "p1",
            "event_type": "product_view",
            "updated_at": day(2 + 3 * n),
        }
        for n in range(8)
    ],
    "support_tickets": [
        {"ticket_id": "t1", "customer_id": "a", "category": "complaint", "opened_at": day(9), "updated_at": day(9)}
    ],
    "campaigns": [{"campaign_id": "k1", "starts_at": day(20), "ends_at": day(10), "updated_at": day(30)}],
    "campaign_contacts": [
        {"campaign_id": "k1", "customer_id": "a", "arm": "b", "contacted_at": day(20), "updated_at": day(20)}
    ],
}


def planted(moment: dt.datetime) -> dict[str, list[dict]]:
    """In every entity a new row and a new state of an old one, both of a moment on the day or after it."""
    late = {"updated_at": moment}
    old = {name: {**rows[0], **late} for name, rows in KNOWN.items()}
    ordered = {"ordered_at": moment, "channel": "app", "total_amount": 999}
    seen = {"occurred_at": moment, "session_id": "s99", "event_type": "video_view", "channel": "app"}
    return {
        "customers": [
            {**old["customers"], "city": "Shanghai", "birth_year": 1950},
            {"customer_id": "new", "signed_up_at": moment, **late},
        ],
        "products": [
            {**old["products"], "category": "cups", "brand": "Y"},
            {"product_id": "p9", "launched_at": moment, **late},
        ],
        "orders": [
            {**old["orders"], "total_amount": 999, "channel": "store"},
            {**KNOWN["orders"][1], **late, "status": "cancelled"},
            {"order_id": "o99", "customer_id": "a", **ordered, **late},
        ],
        "order_items": [
            {**old["order_items"], "quantity": 99, "returned_quantity": 99},
            {"order_id": "o99", "quantity": 99, **late},
        ],
        "events": [{"event_id": "e99", "customer_id": "a", **seen, **late}],
        "support_tickets": [
            {**old["support_tickets"], "resolved_at": moment, "satisfaction": 1},
            {"ticket_id": "t9", "customer_id": "a", "category": "return", "opened_at": moment, **late},
        ],
        "campaigns": [
            {**old["campaigns"], "ends_at": moment + dt.timedelta(days=9)},
            {"campaign_id": "k9", "starts_at": moment, "ends_at": moment, **late},
        ],
        "campaign_contacts": [
            {**old["campaign_contacts"], "opened_at": moment, "clicked_at": moment, "satisfaction": 1},
            {"campaign_id": "k9", "customer_id": "a", "arm": "b", "contacted_at": moment, **late},
        ],
    }


def built(stores, as_of: dt.date = DAY) -> list[dict]:
    features.build_features(as_of, stores)
    return lake.read(stores.lake, tables.CUSTOMER_FEATURES, as_of).to_pylist()


@pytest.mark.parametrize("hours", [0, 5, 24 * 40])
def test_rows_of_the_day_and_later_move_no_feature(stores, hours):
    frames.write_raw(stores, DAY - dt.timedelta(days=1), **KNOWN)
    midnight = dt.datetime.combine(DAY, dt.time(), dt.UTC)
    frames.write_raw(stores, DAY)
    before = built(stores)
    assert [row["customer_id"] for row in before] == ["a", "b"]
    assert all(sum(row[name] is not None for row in before) for name in ("category_top", "tickets_90d", "channel_top"))
    later = DAY + dt.timedelta(days=60)
    frames.write_raw(stores, later, **planted(midnight + dt.timedelta(hours=hours)))
    assert built(stores) == before, "by what the day itself knew"
    # and looked at from later, as training does, or where the day's own batch brings them
    examples = features.build_training_examples(
        later, stores, settings.Training(cutoff_step_days=60, max_cutoffs=2, min_history_days=1)
    )
    assert examples[f"{DAY}"] == 2
    read = lake.read(stores.lake, tables.TRAINING_EXAMPLES, later)
    seen = read.filter(pc.equal(read["as_of_date"], DAY)).drop_columns(LABELS).to_pylist()
    assert seen == before
    moved = lake.read(stores.lake, tables.TRAINING_EXAMPLES, later).to_pylist()[:2]
    assert {row["city"] for row in moved} == {"Hangzhou", "Shanghai"}, "else nothing was planted"


def test_rows_of_the_day_that_its_own_batch_brings_move_no_feature(stores):
    frames.write_raw(stores, DAY - dt.timedelta(days=1), **KNOWN)
    frames.write_raw(stores, DAY, **planted(dt.datetime.combine(DAY, dt.time(), dt.UTC)))
    with_them = built(stores)
    frames.write_raw(stores, DAY - dt.timedelta(days=1))
    yesterday = built(stores, DAY - dt.timedelta(days=1))
    assert len(with_them) == len(yesterday) == 2
    same = ("city", "age_years", "spend_total", "orders_count", "units_365d", "category_top", "contact_open_rate")
    for now, then in zip(with_them, yesterday, strict=True):
        assert {name: now[name] for name in same} == {name: then[name] for name in same}


@pytest.fixture(scope="module")
def grown(module_stores):
    """A shop without deletions that was read and built day by day; the last day."""
    shop = dataclasses.replace(
        DIRTY, customers=260, span_days=160, contact_share=0.6, deleted_orders_share=0.0, deleted_customers_a_year=0.0
    )
    with warehouse.connect(module_stores.warehouse) as connection:
        practice_shop.create(connection, shop, 140, silent)
    days = [shop.first_day + dt.timedelta(days=140 + number) for number in range(7)]
    for each in days:
        if each != days[0]:
            practice_shop.grow(module_stores.warehouse, 1, silent)
        for name in tables.ENTITIES:
            extract.extract_entity(name, each, module_stores)
        validate.accept_raw(each, module_stores)
        aggregates.build_aggregates(each, module_stores)
        features.build_features(each, module_stores)
    return module_stores, days


def test_training_sees_of_a_past_day_what_that_day_saw(grown):
    """Late rows and later states included: training on what scoring never had would be a leak."""
    stores, days = grown
    config = settings.Training(cutoff_step_days=1, max_cutoffs=5, min_history_days=1)
    features.build_training_examples(days[-1], stores, config)
    examples = lake.read(stores.lake, tables.TRAINING_EXAMPLES, days[-1])
    for each in days[1:]:
        then = lake.read(stores.lake, tables.CUSTOMER_FEATURES, each).to_pylist()
        now = examples.filter(pc.equal(examples["as_of_date"], each)).drop_columns(LABELS).to_pylist()
        kept = {row["customer_id"] for row in now}  # who has withdrawn consent since is in no day
        assert len(kept) > 200
        assert [row for row in then if row["customer_id"] in kept] == now
    raw = lake.read(stores.lake, tables.CUSTOMER_FEATURES, days[-1])
    assert pc.sum(raw["cancelled_orders_count"]).as_py() > 0


def test_shuffling_the_future_moves_no_training_score(stores, new_warehouse, tmp_path):
    rng = random.Random(5)
    customers = [{"customer_id": f"c{n:03d}", "signed_up_at": day(400)} for n in range(300)]
    orders = []
    for n, customer in enumerate(customers):
        for k in range(1 + n % 7):
            number = rng.randrange(1, 350)
            orders.append({"order_id": f"o{n}_{k}", "customer_id": customer["customer_id"], "ordered_at": day(number)})
    future = [{"order_id": f"f{n}", "ordered_at": day(-rng.randrange(0, 60))} for n in range(300)]
    owners = [f"c{rng.randrange(300):03d}" for _ in future]
    told = []
    for number in range(2):
        rows = [{**row, "customer_id": owner} for row, owner in zip(future, owners, strict=True)]
        rng.shuffle(owners)
        with new_warehouse() as marketing:
            lake_of, registry = str(tmp_path / f"lake{number}"), f"sqlite:///{tmp_path / f'mlflow{number}.db'}"
            here = dataclasses.replace(stores, marketing=marketing, lake=lake_of, registry=registry)
            frames.write_raw(here, DAY, customers=customers, orders=orders + rows)
            features.build_training_examples(DAY, here)
            features.build_features(DAY, here)
            told.append(scores(here, DAY))
    assert len(set(told[0])) > 100
    assert told[0] == told[1]


def scores(stores, training: dt.date) -> list[float]:
    """Every customer's chance to leave, by a model that is trained anew."""
    result = classify.train_target(tables.CHURN.model, training, stores)
    registry = Registry(stores.registry, stores.marketing)
    pipeline, metadata = registry.load(registry.version(tables.CHURN.model, result["version"]))
    frame = lake.read(stores.lake, tables.CUSTOMER_FEATURES, training).to_pandas()
    return list(classify.predict(pipeline, preparation.inputs(frame, metadata["columns"])))
