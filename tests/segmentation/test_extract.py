"""The shop's tables arrive in the lake as the contract has them, or not at all and by name."""

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest

from segmentation import extract, lake, sql, tables, warehouse
from segmentation.settings import Stores
from tests import frames

DAY = frames.DAY


def fill(dsn, entity, rows):
    data = frames.table(entity, rows)
    with warehouse.connect(dsn) as connection:
        warehouse.copy_in(connection, f"shop.{entity.name}", [data], data.column_names)


def test_every_entity_arrives_with_the_contracts_types(database_stores):
    fill(
        database_stores.warehouse, tables.CUSTOMERS, [{"customer_id": "a", "birth_year": 1980, "city": '上海, "SH"\n'}]
    )
    fill(database_stores.warehouse, tables.PRODUCTS, [{"product_id": "p1", "list_price": "19.99", "stock_on_hand": 3}])
    fill(
        database_stores.warehouse,
        tables.ORDERS,
        [
            {
                "order_id": "o1",
                "customer_id": "a",
                "ordered_at": dt.datetime(2026, 1, 30, 12, 0, 0, 123456, tzinfo=dt.UTC),
                "total_amount": "0.10",
            }
        ],
    )
    fill(database_stores.warehouse, tables.ORDER_ITEMS, [{"order_id": "o1"}])
    for name, entity in tables.ENTITIES.items():
        assert extract.extract_entity(name, DAY, database_stores) == 1
        assert lake.read(database_stores.lake, entity.table, DAY).schema == entity.schema
    [customer] = lake.read(database_stores.lake, "raw.customers", DAY).to_pylist()
    assert (customer["birth_year"], customer["city"], customer["gender"]) == (1980, '上海, "SH"\n', None)
    [order] = lake.read(database_stores.lake, "raw.orders", DAY).to_pylist()
    assert order["total_amount"] == Decimal("0.10")
    assert order["ordered_at"] == dt.datetime(2026, 1, 30, 12, 0, 0, 123456, tzinfo=dt.UTC)


def test_running_a_day_again_leaves_the_same_rows(database_stores):
    fill(database_stores.warehouse, tables.CUSTOMERS, [{"customer_id": "a"}, {"customer_id": "b"}])
    first = extract.extract_entity("customers", DAY, database_stores)
    before = lake.read(database_stores.lake, "raw.customers", DAY)
    assert extract.extract_entity("customers", DAY, database_stores) == first == 2
    assert lake.read(database_stores.lake, "raw.customers", DAY).equals(before)


def test_a_missing_optional_select_gives_an_empty_table(stores, monkeypatch, tmp_path):
    monkeypatch.setattr(sql, "SQL_HOME", tmp_path)
    assert extract.extract_entity("products", DAY, stores) == 0
    assert lake.read(stores.lake, "raw.products", DAY).schema == tables.PRODUCTS.schema


def test_a_missing_required_select_is_named(stores, monkeypatch, tmp_path):
    monkeypatch.setattr(sql, "SQL_HOME", tmp_path)
    with pytest.raises(extract.ContractError, match=r"orders is required.*include/sql/extract/orders\.sql"):
        extract.extract_entity("orders", DAY, stores)


def test_missing_columns_are_named():
    batch = pa.RecordBatch.from_pylist([{"order_id": "o1", "customer_id": "a"}])
    with pytest.raises(extract.ContractError, match=r"orders\.sql does not return ordered_at, status, .*total_amount"):
        list(extract.conform(tables.ORDERS, [batch]))


@pytest.mark.parametrize(
    ("column", "value", "example"),
    [
        ("birth_year", "nineteen eighty", "nineteen eighty"),
        ("birth_year", 123456, "123456"),
        ("profiling_consent", "perhaps", "perhaps"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_an_example(column, value, example):
    good = frames.table(tables.CUSTOMERS, [{"customer_id": "a"}])
    position = good.column_names.index(column)
    batch = good.set_column(position, column, pa.array([value])).to_batches()[0]
    with pytest.raises(extract.ContractError, match=rf"raw\.customers\.{column} must be .*{example}"):
        list(extract.conform(tables.CUSTOMERS, [batch]))


def test_more_columns_than_the_contract_names_do_no_harm():
    batch = frames.table(tables.CUSTOMERS, [{"customer_id": "a"}]).append_column("shoe_size", pa.array([42]))
    [result] = extract.conform(tables.CUSTOMERS, batch.to_batches())
    assert result.schema == tables.CUSTOMERS.schema


def test_an_unreachable_warehouse_leaves_the_old_day(database_stores):
    fill(database_stores.warehouse, tables.CUSTOMERS, [{"customer_id": "a"}])
    extract.extract_entity("customers", DAY, database_stores)
    gone = Stores("postgresql://nobody@127.0.0.1:1/none", "", database_stores.lake, "")
    with pytest.raises(Exception, match="refused"):
        extract.extract_entity("customers", DAY, gone)
    assert lake.read(database_stores.lake, "raw.customers", DAY).num_rows == 1
