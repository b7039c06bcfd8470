"""Features and training examples: the day's own statement at past days, and nothing from the future."""

import datetime as dt
import json

import pyarrow as pa
import pytest

from segmentation import engine, feature_snapshot, features, history, lake, settings, tables
from tests import frames

DAY = frames.DAY
CUSTOMERS = [{"customer_id": key, "signed_up_at": dt.date(2025, 3, 1)} for key in "abc"]
ORDERS = [
    {"order_id": f"o{n}", "customer_id": "abc"[n % 3], "ordered_at": dt.date(2025, 4, 1) + dt.timedelta(days=9 * n)}
    for n in range(30)
]


def test_cutoffs_end_where_history_gets_too_short():
    config = settings.Training(cutoff_step_days=30, max_cutoffs=3, min_history_days=40)
    first_order = dt.date(2025, 10, 1)
    assert features.cutoffs(DAY, first_order, config) == [DAY, dt.date(2026, 1, 1), dt.date(2025, 12, 2)]
    assert features.cutoffs(DAY, dt.date(2025, 1, 1), config)[-1] == dt.date(2025, 11, 2)
    assert features.cutoffs(DAY, dt.date(2026, 1, 30), config) == [DAY]


def test_training_sees_at_a_past_cutoff_what_scoring_saw_that_day(stores):
    """The same rows, whether that day's own extract or a later one is looked at: the heart of the leak rule."""
    cutoff = dt.date(2026, 1, 1)
    frames.write_raw(stores, DAY, customers=CUSTOMERS, orders=ORDERS)
    frames.write_raw(stores, cutoff, customers=CUSTOMERS, orders=[o for o in ORDERS if o["ordered_at"] < cutoff])
    assert features.build_features(cutoff, stores) == 3
    counts = features.build_training_examples(DAY, stores)
    assert counts[f"{cutoff}"] == 3
    daily = lake.read(stores.lake, tables.CUSTOMER_FEATURES, cutoff).to_pylist()
    examples = lake.read(stores.lake, tables.TRAINING_EXAMPLES, DAY).to_pylist()
    then = [row for row in examples if row["as_of_date"] == cutoff]
    seen = [{k: v for k, v in row.items() if k not in tables.OUTCOMES} for row in then]
    assert seen == daily


def test_the_newest_rows_have_no_outcome_yet_and_older_ones_do(stores):
    frames.write_raw(stores, customers=CUSTOMERS, orders=ORDERS)
    features.build_training_examples(DAY, stores)
    examples = lake.read(stores.lake, tables.TRAINING_EXAMPLES, DAY).to_pandas()
    ages = (DAY - examples["as_of_date"]).apply(lambda age: age.days)
    assert examples.loc[ages < 30, "is_purchase"].isna().all()
    assert examples.loc[ages >= 30, "is_purchase"].notna().all()
    assert examples.loc[ages < 90, "is_churn"].isna().all()
    assert examples.loc[(ages >= 90) & (examples["orders_count"] > 0), "is_churn"].notna().all()


def test_building_a_day_again_leaves_the_same_rows(stores):
    frames.write_raw(stores, customers=CUSTOMERS, orders=ORDERS)
    features.build_features(DAY, stores)
    before = lake.read(stores.lake, tables.CUSTOMER_FEATURES, DAY)
    features.build_features(DAY, stores)
    assert lake.read(stores.lake, tables.CUSTOMER_FEATURES, DAY).equals(before)


def test_a_day_without_extract_is_named(stores):
    with pytest.raises(history.NotAcceptedError, match="nothing has been accepted for 2026-01-31: run extract"):
        features.build_features(DAY, stores)


def test_no_orders_at_all_is_named(stores):
    frames.write_raw(stores, customers=CUSTOMERS)
    with pytest.raises(features.NoHistoryError, match=r"raw\.orders of 2026-01-31 is empty"):
        features.build_training_examples(DAY, stores)


def test_of_too_many_examples_the_same_even_share_of_customers_is_taken_at_every_past_cutoff(stores):
    customers = [{"customer_id": f"c{n:04}", "signed_up_at": dt.date(2025, 3, 1)} for n in range(1_200)]
    orders = [
        {"order_id": f"o{n}", "customer_id": f"c{n:04}", "ordered_at": dt.date(2025, 4, 1) + dt.timedelta(days=n % 200)}
        for n in range(1_200)
    ]
    frames.write_raw(stores, customers=customers, orders=orders)
    config = settings.Training(max_cutoffs=3, max_rows=1_000)
    rows = features.build_training_examples(DAY, stores, config)
    counts = list(rows.values())
    assert counts[0] == 1_200, "clustering looks at everyone"
    assert 250 < counts[1] < 420
    examples = lake.read(stores.lake, tables.TRAINING_EXAMPLES, DAY).to_pandas()
    past = examples[examples["as_of_date"] < DAY]
    chosen = [set(part) for _, part in past.groupby("as_of_date")["customer_id"]]
    assert chosen[0] == chosen[1] == chosen[2]
    everyone = features.build_training_examples(DAY, stores, settings.Training(max_cutoffs=3))
    assert set(everyone.values()) == {1_200}
    whole = lake.read(stores.lake, tables.TRAINING_EXAMPLES, DAY).to_pandas()
    both = past.merge(whole, on=["customer_id", "as_of_date"], suffixes=("", "_whole"))
    assert len(both) == len(past)
    assert (both["spend_total"] == both["spend_total_whole"]).all()
    assert (both["last_order_age_days"] == both["last_order_age_days_whole"]).all()


def test_features_in_parts_are_those_of_all_at_once(stores, monkeypatch):
    """What is made from everyone is the same in each part: prices, the purchase model, the families that are off."""
    ids = [f"c{n:02d}" for n in range(90)]
    orders = [
        {"order_id": f"o{n}", "customer_id": ids[n * 7 % 71], "ordered_at": dt.date(2025, 6, 1) + dt.timedelta(days=n),
         "total_amount": 10 + n % 23} for n in range(220)
    ]  # fmt: skip
    items = [
        {"order_id": f"o{n}", "product_id": f"p{n % 5}", "quantity": 1 + n % 3, "unit_price": 2 + n % 9}
        for n in range(220)
    ]
    frames.write_raw(
        stores, customers=[{"customer_id": one, "signed_up_at": dt.date(2025, 3, 1)} for one in ids], orders=orders,
        order_items=items, products=[{"product_id": f"p{n}", "category": "ab"[n % 2]} for n in range(5)],
    )  # fmt: skip
    found = {}
    for most in (90, 89, 20):
        told = settings.Settings(features={"customers_at_once": most})
        monkeypatch.setattr(settings, "load", lambda told=told: told)
        asked = []
        monkeypatch.setattr(
            features,
            "_of_part",
            lambda *given, made=features._of_part, asked=asked: asked.append(given[2]) or made(*given),
        )
        assert features.build_features(DAY, stores) == 90
        monkeypatch.undo()
        with lake.open_parquet(stores.lake, tables.CUSTOMER_FEATURES, DAY) as file:
            notes = {key: value for key, value in file.metadata.metadata.items() if key != b"ARROW:schema"}
            found[most] = file.read().to_pydict(), notes
        assert len(asked) == {90: 0, 89: 2, 20: 5}[most]
    rows, notes = found[90]
    assert rows["customer_id"] == ids
    assert json.loads(notes[b"purchase_model"])
    assert len(set(rows["price_level"])) > 5
    assert found[89] == (rows, notes)
    assert found[20] == (rows, notes)


@pytest.mark.parametrize(("most", "begins"), [(1, [None, "b", "c"]), (2, [None, "c"]), (3, [None])])
def test_parts_are_ranges_of_ids(monkeypatch, most, begins):
    told = settings.Settings(features={"customers_at_once": most})
    monkeypatch.setattr(settings, "load", lambda: told)
    with engine.session("", told) as session:
        session.put(tables.POPULATION, pa.table({"customer_id": ["c", "a", "b"]}))
        parts = feature_snapshot.parts(session)
    assert [part.low for part in parts] == begins
    assert [part.high for part in parts] == [*begins[1:], None]
