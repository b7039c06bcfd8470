"""Each gate lets sound data through and stops broken data with table, column, count and an example."""

import datetime as dt

import pyarrow as pa
import pytest

from segmentation import lake, tables, validate
from tests import frames

DAY = frames.DAY
CUSTOMERS = [{"customer_id": "a"}, {"customer_id": "b"}]
ORDERS = [
    {"order_id": "o1", "customer_id": "a", "ordered_at": dt.date(2026, 1, 1)},
    {"order_id": "o2", "customer_id": "b", "ordered_at": dt.date(2026, 1, 2)},
]
ITEMS = [{"order_id": "o1"}, {"order_id": "o2"}]
RAW = ("raw.customers", "raw.products", "raw.orders", "raw.order_items")


def test_sound_tables_pass(stores):
    frames.write_raw(stores, customers=CUSTOMERS, orders=ORDERS, order_items=ITEMS, products=[{"product_id": "p1"}])
    assert [validate.validate_table(table, DAY, stores)["rows"] for table in RAW] == [2, 1, 2, 2]


def test_optional_tables_may_be_empty(stores):
    frames.write_raw(stores, customers=CUSTOMERS, orders=ORDERS)
    assert [validate.validate_table(table, DAY, stores)["rows"] for table in RAW] == [2, 0, 2, 0]


@pytest.mark.parametrize(
    ("table", "rows", "message"),
    [
        ("customers", [], r"raw\.customers: row count must be between \(min_value=1\), but it is 0"),
        ("customers", [*CUSTOMERS, {"customer_id": "a"}], r"raw\.customers\.customer_id: must be unique: 2 of 3.*a"),
        ("customers", [*CUSTOMERS, {"customer_id": None}], r"customer_id: must not be null: 1 of 3"),
        ("customers", [{**CUSTOMERS[0], "profiling_consent": None}], r"profiling_consent: must not be null: 1 of 1"),
        ("orders", [], r"raw\.orders: row count must be"),
        (
            "orders",
            [ORDERS[0], ORDERS[0]],
            r"raw\.orders\.order_id: must be unique: 2 of 2 rows do not, for example o1",
        ),
        ("orders", [{**ORDERS[0], "total_amount": -5}], r"total_amount: must be between.*1 of 1 rows.*-5\.0"),
        ("orders", [{**ORDERS[0], "total_amount": None}], r"total_amount: must not be null: 1 of 1"),
        ("orders", [{**ORDERS[0], "status": "lost"}], r"status: must be in set.*for example lost"),
        ("orders", [{**ORDERS[0], "ordered_at": DAY}], r"ordered_at: max must be between.*but it is 2026-01-31"),
        (
            "orders",
            [{**ORDERS[0], "customer_id": "ghost"}],
            r"customer_id: must occur in raw\.customers: 1 of 1.*ghost",
        ),
        (
            "order_items",
            [{"order_id": "o9"}],
            r"order_id: must occur in raw\.orders: 1 of 1 rows do not, for example o9",
        ),
        ("order_items", [ITEMS[0], ITEMS[0]], r"order_id, line_no: compound columns must be unique: 2 of 2"),
        ("order_items", [{**ITEMS[0], "quantity": 0}], r"quantity: must be between \(min_value=1.*1 of 1.*0"),
        ("order_items", [{**ITEMS[0], "returned_quantity": 3}], r"quantity: .*greater than.*returned_quantity.*1 of 1"),
        ("order_items", [{**ITEMS[0], "unit_price": -1}], r"unit_price: must be between.*-1\.0"),
        ("products", [{"product_id": "p1"}, {"product_id": "p1"}], r"product_id: must be unique: 2 of 2"),
    ],
)
def test_broken_tables_are_stopped_by_name(stores, table, rows, message):
    sound = {"customers": CUSTOMERS, "orders": ORDERS, "order_items": ITEMS}
    frames.write_raw(stores, **{**sound, table: rows})
    with pytest.raises(validate.GateError, match=message):
        validate.validate_table(f"raw.{table}", DAY, stores)


def test_every_broken_rule_is_told_at_once(stores):
    frames.write_raw(stores, customers=CUSTOMERS, orders=[{**ORDERS[0], "total_amount": -5, "status": "lost"}])
    with pytest.raises(validate.GateError, match="breaks 2 rule") as caught:
        validate.validate_table("raw.orders", DAY, stores)
    assert "total_amount" in str(caught.value)
    assert "lost" in str(caught.value)


def test_a_missing_column_is_told_apart_from_bad_data(stores):
    frames.write_raw(stores, customers=CUSTOMERS)
    data = frames.table(tables.ORDERS, ORDERS).drop_columns(["status", "customer_id"])
    lake.write(stores.lake, "raw.orders", DAY, data.to_batches(), data.schema)
    with pytest.raises(validate.GateError, match="column status is missing"):
        validate.validate_table("raw.orders", DAY, stores)


def write_scores(stores, scores):
    features = pa.table({"customer_id": ["a", "b"], "as_of_date": [DAY, DAY]})
    lake.write(stores.lake, tables.CUSTOMER_FEATURES, DAY, features.to_batches(), features.schema)
    plain = {"as_of_date": DAY, "segment_id": 1, "segment_name": "x", "lifecycle_stage": "new", "value_tier": "low"}
    rows = [{**plain, "model_versions": "{}", "customer_id": key, **row} for key, row in scores.items()]
    data = frames.typed(rows, tables.SEGMENT_COLUMNS)
    lake.write(stores.lake, tables.CUSTOMER_SCORES, DAY, data.to_batches(), data.schema)


def test_sound_scores_pass(stores):
    write_scores(stores, {"a": {"churn_probability_90d": 0.5, "churn_risk": "medium"}, "b": {}})
    assert validate.validate_table(tables.CUSTOMER_SCORES, DAY, stores)["rows"] == 2


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"a": {}}, r"score\.customer_daily: 1 rows, but feat\.customer_daily has 2"),
        ({"a": {}, "c": {}}, r"customer_id: must occur in feat\.customer_daily: 1 of 2.*c"),
        ({"a": {"segment_id": None}, "b": {}}, r"segment_id: must not be null: 1 of 2"),
        ({"a": {"churn_probability_90d": 1.5}, "b": {}}, r"churn_probability_90d: must be between.*1\.5"),
        ({"a": {"value_tier": "golden"}, "b": {}}, r"value_tier: must be in set.*golden"),
        ({"a": {"as_of_date": dt.date(2026, 1, 30)}, "b": {}}, r"as_of_date: must be in set.*2026-01-30"),
    ],
)
def test_broken_scores_are_stopped(stores, scores, message):
    write_scores(stores, scores)
    with pytest.raises(validate.GateError, match=message):
        validate.validate_table(tables.CUSTOMER_SCORES, DAY, stores)
