"""What the shop has brought arrives staged, as the contract has it, or not at all and by name."""

import datetime as dt
import json
import sqlite3
import uuid
from dataclasses import replace
from decimal import Decimal

import pyarrow as pa
import pytest

from local import load
from segmentation import conversion, extract, history, lake, settings, sql, tables, warehouse
from tests import frames

DAY = frames.DAY
NEXT = DAY + dt.timedelta(days=1)


def fill(dsn, entity, rows):
    data = frames.table(entity, rows)
    with warehouse.connect(dsn) as connection:
        warehouse.copy_in(connection, f"shop.{entity.name}", [data], data.column_names)


def execute(stores, statement):
    with warehouse.connect(stores.warehouse) as connection:
        warehouse.run_script(connection, statement)


def staged(stores, name, day=DAY):
    return lake.read(stores.lake, tables.ENTITIES[name].staged, day).to_pylist()


def run_day(stores, day):
    """Extracts every entity and accepts it all: a day without a gate."""
    results = {name: extract.extract_entity(name, day, stores) for name in tables.ENTITIES}
    if "accepted_batch" not in results["orders"]:
        rows = {
            name: frames.part_of(lake.path(stores.lake, entity.staged, day), entity)
            for name, entity in tables.ENTITIES.items()
        }
        history.append(stores, day, rows)
    return results


def moment(day, hour=12):
    return dt.datetime(2026, 1, day, hour, tzinfo=dt.UTC)


def test_every_entity_arrives_with_the_contracts_types(stores):
    fill(stores.warehouse, tables.CUSTOMERS, [{"customer_id": "a", "birth_year": 1980, "city": '上海, "SH"\n'}])
    fill(stores.warehouse, tables.PRODUCTS, [{"product_id": "p1", "list_price": "19.99", "stock_on_hand": 3}])
    ordered = dt.datetime(2026, 1, 30, 12, 0, 0, 123456, tzinfo=dt.UTC)
    fill(
        stores.warehouse,
        tables.ORDERS,
        [{"order_id": "o1", "customer_id": "a", "ordered_at": ordered, "total_amount": "0.10", "coupon_code": ""}],
    )
    fill(stores.warehouse, tables.ORDER_ITEMS, [{"order_id": "o1"}])
    fill(stores.warehouse, tables.EVENTS, [{"event_id": "e1", "customer_id": "a", "dwell_seconds": 1.5}])
    fill(stores.warehouse, tables.SUPPORT_TICKETS, [{"ticket_id": "t1", "customer_id": "a", "satisfaction": 5}])
    fill(stores.warehouse, tables.CAMPAIGNS, [{"campaign_id": "k1", "cost_per_contact": "0.0123"}])
    fill(stores.warehouse, tables.CAMPAIGN_CONTACTS, [{"campaign_id": "k1", "customer_id": "a"}])
    for name, entity in tables.ENTITIES.items():
        assert extract.extract_entity(name, DAY, stores) == {"rows": 1, "deleted": 0, "unreadable": 0, "since": None}
        assert lake.read(stores.lake, entity.staged, DAY).schema == entity.staged_schema
    [customer] = staged(stores, "customers")
    assert (customer["birth_year"], customer["city"], customer["gender"]) == (1980, '上海, "SH"\n', None)
    [placed] = staged(stores, "orders")
    assert (placed["total_amount"], placed["ordered_at"]) == (Decimal("0.10"), ordered)
    assert (placed["coupon_code"], placed["channel"]) == ("", None)
    assert staged(stores, "campaigns")[0]["cost_per_contact"] == Decimal("0.0123")


def test_a_day_brings_only_what_is_new_since_the_watermark(stores):
    fill(stores.warehouse, tables.CUSTOMERS, [{"customer_id": key, "updated_at": moment(1)} for key in "abc"])
    assert run_day(stores, DAY)["customers"]["rows"] == 3
    fill(stores.warehouse, tables.CUSTOMERS, [{"customer_id": "d", "updated_at": moment(2)}])
    execute(stores, "update shop.customers set city = 'x', updated_at = '2026-01-03 00:00Z' where customer_id = 'a'")
    result = extract.extract_entity("customers", NEXT, stores)
    # b and c come again: they lie within the hour behind the watermark that transactions are given to end
    assert result == {"rows": 4, "deleted": 0, "unreadable": 0, "since": "2026-01-01T11:00:00+00:00"}
    execute(stores, "update shop.customers set updated_at = '2025-01-01' where customer_id in ('b', 'c')")
    assert extract.extract_entity("customers", NEXT, stores)["rows"] == 2


def test_a_day_that_passed_the_gate_is_not_read_again(stores):
    fill(stores.warehouse, tables.CUSTOMERS, [{"customer_id": "a"}])
    run_day(stores, DAY)
    fill(stores.warehouse, tables.CUSTOMERS, [{"customer_id": "late"}])
    assert extract.extract_entity("customers", DAY, stores) == {
        "rows": 0,
        "deleted": 0,
        "unreadable": 0,
        "accepted_batch": 1,
    }


def test_a_day_that_did_not_pass_is_read_again_from_the_same_watermark(stores):
    fill(stores.warehouse, tables.CUSTOMERS, [{"customer_id": "a"}])
    for _ in range(2):
        assert extract.extract_entity("customers", DAY, stores)["rows"] == 1
    assert history.watermark(stores, "customers") is None


def test_the_watermark_does_not_follow_a_clock_that_is_ahead(stores):
    fill(stores.warehouse, tables.CUSTOMERS, [{"customer_id": "a", "updated_at": dt.date(2199, 1, 1)}])
    run_day(stores, DAY)
    assert history.watermark(stores, "customers") < dt.datetime.now(dt.UTC)


def test_rows_without_updated_at_are_never_passed_by(stores):
    execute(stores, "alter table shop.customers alter updated_at drop not null")
    fill(stores.warehouse, tables.CUSTOMERS, [{"customer_id": "a", "updated_at": moment(5)}])
    run_day(stores, DAY)
    fill(stores.warehouse, tables.CUSTOMERS, [{"customer_id": "b", "updated_at": None}])
    extract.extract_entity("customers", NEXT, stores)
    assert {row["customer_id"] for row in staged(stores, "customers", NEXT)} == {"a", "b"}


def test_deleted_rows_come_as_deletions_once(stores):
    items = [{"order_id": "o1", "line_no": n, "updated_at": moment(1)} for n in (1, 2, 3)]
    fill(stores.warehouse, tables.ORDER_ITEMS, items)
    run_day(stores, DAY)
    execute(stores, "delete from shop.order_items where line_no = 2")
    fill(stores.warehouse, tables.ORDER_ITEMS, [{"order_id": "o2", "updated_at": moment(3)}])
    results = run_day(stores, NEXT)
    assert results["order_items"]["deleted"] == 1
    columns = ["order_id", "line_no"]
    known = [frames.rows_of(history.known(stores, "order_items", day), columns) for day in (DAY, NEXT)]
    assert known == [{("o1", 1), ("o1", 2), ("o1", 3)}, {("o1", 1), ("o1", 3), ("o2", 1)}]
    assert run_day(stores, NEXT + dt.timedelta(days=1))["order_items"]["deleted"] == 0


def test_deletions_are_found_beside_rows_that_were_refused_or_updated_at_odd_times(stores):
    """On the day of the deletion the counts are equal by chance: a row was refused, and one never updated."""
    fill(stores.warehouse, tables.CUSTOMERS, [{"customer_id": key, "updated_at": moment(1)} for key in "abc"])
    run_day(stores, DAY)
    fill(stores.warehouse, tables.CUSTOMERS, [{"customer_id": "refused", "updated_at": moment(1)}])
    fill(stores.warehouse, tables.CUSTOMERS, [{"customer_id": "later", "updated_at": moment(9)}])
    execute(
        stores,
        "delete from shop.customers where customer_id = 'b'; "
        "update shop.customers set updated_at = '2024-12-24' where customer_id = 'c'; "
        "insert into shop.customers select 'odd', signed_up_at, birth_year, gender, income_band, city, country, "
        "acquisition_channel, true, true, true, true, 'infinity' from shop.customers where customer_id = 'a'; "
        "insert into quarantine.rows (source, table_name, reason, reasons, row) values ('raw gate', 'raw.customers', "
        """ 'x', '{x}', '{"customer_id": "refused", "updated_at": "2026-01-01 12:00:00+00"}')""",
    )
    extract.extract_entity("customers", NEXT, stores)
    found = {row["customer_id"] for row in staged(stores, "customers", NEXT) if row["is_deleted"]}
    assert found == {"b"}


def test_any_window_can_be_loaded_again_by_the_same_code(stores):
    fill(stores.warehouse, tables.CUSTOMERS, [{"customer_id": f"c{n}", "updated_at": moment(n)} for n in range(1, 10)])
    run_day(stores, DAY)
    window = extract.Window(since=moment(3), until=moment(6))
    assert extract.extract_entity("customers", DAY, stores, window)["rows"] == 3
    assert [row["customer_id"] for row in staged(stores, "customers")] == ["c3", "c4", "c5"]


def test_a_window_beyond_the_watermark_leaves_it_where_it_is(stores):
    fill(stores.warehouse, tables.CUSTOMERS, [{"customer_id": "c1", "updated_at": moment(1)}])
    run_day(stores, DAY)
    fill(stores.warehouse, tables.CUSTOMERS, [{"customer_id": f"c{n}", "updated_at": moment(n)} for n in (4, 8)])
    extract.extract_entity("customers", DAY, stores, extract.Window(since=moment(7)))
    entity = tables.CUSTOMERS
    part = frames.part_of(lake.path(stores.lake, entity.staged, DAY), entity)
    history.append(stores, DAY, {"customers": part}, is_reload=True)
    assert history.watermark(stores, "customers") == moment(1)
    assert extract.extract_entity("customers", NEXT, stores)["rows"] == 3


def test_a_window_for_a_day_that_has_not_passed_comes_beside_its_increment(stores):
    fill(stores.warehouse, tables.CUSTOMERS, [{"customer_id": f"c{n}", "updated_at": moment(n)} for n in (1, 5)])
    run_day(stores, DAY)
    fill(stores.warehouse, tables.CUSTOMERS, [{"customer_id": "c9", "updated_at": moment(9)}])
    window = extract.Window(since=moment(4), until=moment(6))
    assert extract.extract_entity("customers", NEXT, stores, window)["rows"] == 2


def test_a_missing_optional_select_brings_nothing(stores, monkeypatch, tmp_path):
    history.ensure_schema(stores.marketing)
    monkeypatch.setattr(sql, "SQL_HOME", tmp_path)
    assert extract.extract_entity("products", DAY, stores)["rows"] == 0
    assert lake.read(stores.lake, "staged.products", DAY).schema == tables.PRODUCTS.staged_schema


def test_a_missing_required_select_is_named(stores, monkeypatch, tmp_path):
    history.ensure_schema(stores.marketing)
    monkeypatch.setattr(sql, "SQL_HOME", tmp_path)
    with pytest.raises(extract.ContractError, match=r"orders is required.*include/sql/extract/orders\.sql"):
        extract.extract_entity("orders", DAY, stores)


def test_missing_columns_are_named(stores):
    execute(stores, "alter table shop.orders drop column status, drop column total_amount")
    with pytest.raises(extract.ContractError, match=r'orders\.sql: column "status" does not exist'):
        extract.extract_entity("orders", DAY, stores)


def test_a_select_that_returns_too_little_is_named(stores, monkeypatch):
    history.ensure_schema(stores.marketing)
    monkeypatch.setattr(sql, "read", lambda *_: "select order_id, customer_id, 1 as shoe_size from shop.orders")
    with pytest.raises(
        extract.ContractError, match=r"orders\.sql: does not return ordered_at, status.*it returns order"
    ):
        extract.extract_entity("orders", DAY, stores)


UNFIT = [
    ("birth_year", "text", "nineteen eighty", r"birth_year must be int16, and .* such as 'nineteen eighty'"),
    ("birth_year", "integer", "123456", r"birth_year must be int16, and .* such as '123456'"),
    ("profiling_consent", "text", "perhaps", r"profiling_consent must be bool, and .* such as 'perhaps'"),
    ("signed_up_at", "timestamptz", "infinity", r"signed_up_at must be timestamp\[us, tz=UTC\].* such as 'infinity'"),
    ("signed_up_at", "timestamptz", "0044-03-15 12:00:00+00 BC", r"signed_up_at must be timestamp.* BC'"),
]


def spoil(stores, column, kind, value):
    """Three customers, the middle one of which has a value that does not fit, in a column of another type."""
    fill(stores.warehouse, tables.CUSTOMERS, [{"customer_id": key} for key in "abc"])
    execute(
        stores,
        f"alter table shop.customers alter {column} drop default, alter {column} drop not null, "
        f"alter {column} type {kind} using null; "
        f"update shop.customers set {column} = '{value}' where customer_id = 'b'",
    )


@pytest.mark.parametrize(("column", "kind", "value", "message"), UNFIT)
def test_a_value_that_does_not_fit_is_null_and_told_beside_its_row(stores, column, kind, value, message):
    spoil(stores, column, kind, value)
    result = extract.extract_entity("customers", DAY, stores)
    assert result == {"rows": 3, "deleted": 0, "unreadable": 1, "since": None}
    rows = {row["customer_id"]: row for row in staged(stores, "customers")}
    assert [json.loads(rows[key]["unreadable"] or "{}") for key in "abc"] == [{}, {column: value}, {}]
    assert rows["b"][column] is None
    assert rows["b"]["updated_at"] == rows["a"]["updated_at"] is not None
    assert lake.read(stores.lake, "staged.customers", DAY).schema == tables.CUSTOMERS.staged_schema


@pytest.mark.parametrize(("column", "kind", "value", "message"), UNFIT)
def test_a_column_of_another_type_is_named_with_an_example(stores, column, kind, value, message, monkeypatch):
    config = settings.Settings(extract=settings.Extract(most_unreadable=0))
    monkeypatch.setattr(settings, "load", lambda: config)
    spoil(stores, column, kind, value)
    with pytest.raises(extract.ContractError, match=r"customers\.sql: " + message):
        extract.extract_entity("customers", DAY, stores)
    assert not lake.files_in(f"{stores.lake}/staged/customers/as_of={DAY}")


def test_numbers_that_are_none_come_with_their_row(stores):
    execute(stores, "alter table shop.orders alter total_amount type numeric")
    orders = [{"order_id": f"o{n}", "customer_id": "a", "ordered_at": moment(1)} for n in range(3)]
    fill(stores.warehouse, tables.ORDERS, orders)
    execute(stores, "update shop.orders set total_amount = 'NaN', discount_amount = 'NaN' where order_id = 'o1'")
    assert extract.extract_entity("orders", DAY, stores)["unreadable"] == 1
    told = {row["order_id"]: row["unreadable"] for row in staged(stores, "orders")}
    assert json.loads(told["o1"]) == {"total_amount": "NaN", "discount_amount": "NaN"}
    assert told["o0"] is told["o2"] is None


def test_an_amount_of_more_digits_than_money_has_is_told_and_no_other_amount(stores):
    execute(stores, "alter table shop.orders alter total_amount type numeric")
    orders = [{"order_id": f"o{n}", "customer_id": "a", "ordered_at": moment(1)} for n in range(3)]
    fill(stores.warehouse, tables.ORDERS, orders)
    execute(stores, "update shop.orders set total_amount = 10995116277770 where order_id = 'o1'")
    assert extract.extract_entity("orders", DAY, stores)["unreadable"] == 1
    told = {row["order_id"]: (row["total_amount"], row["unreadable"]) for row in staged(stores, "orders")}
    assert told == {"o0": (10, None), "o1": (None, '{"total_amount": "10995116277770"}'), "o2": (10, None)}


@pytest.mark.parametrize(
    ("things", "kind", "read"),
    [
        ([10, None, 9.99], pa.decimal128(14, 2), [Decimal(10), None, Decimal("9.99")]),
        ([10, 2**40], pa.decimal128(14, 2), [Decimal(10), None]),
        ([uuid.UUID(int=7), None], pa.string(), ["00000000-0000-0000-0000-000000000007", None]),
        ([dt.date(2026, 1, 1), moment(2)], pa.timestamp("us", tz="UTC"), [moment(1, 0), moment(2)]),
        ([1_767_225_600, None], pa.timestamp("us", tz="UTC"), [None, None]),
        (["0000-06-01", "0001-01-01"], pa.timestamp("us", tz="UTC"), [None, dt.datetime(1, 1, 1, tzinfo=dt.UTC)]),
        (["\ud800", "a\0b"], pa.string(), [None, "a\0b"]),
        ([10**40, Decimal("Infinity"), 7], pa.int32(), [None, None, 7]),
    ],
)
def test_what_another_driver_hands_out_is_read_as_it_is_meant(things, kind, read):
    batch = conversion.Lenient(pa.schema([("it", kind)]), most=10).of_values({"it": things})
    assert batch["it"].to_pylist() == read
    unread = [value is None and thing is not None for thing, value in zip(things, read, strict=True)]
    assert [told is not None for told in batch["unreadable"].to_pylist()] == unread


def test_bytes_that_are_no_utf8_come_with_their_row(postgres_server, stores):
    """A database without an encoding hands out what was put in."""
    admin = postgres_server.url("postgres")
    with warehouse.connect(admin, autocommit=True) as connection:
        warehouse.execute(connection, "create database ascii_shop encoding 'SQL_ASCII' locale 'C' template template0")
    try:
        ascii_shop = replace(stores, warehouse=postgres_server.url("ascii_shop"))
        with warehouse.connect(ascii_shop.warehouse) as connection:
            load.apply_contract(connection)
        fill(ascii_shop.warehouse, tables.CUSTOMERS, [{"customer_id": key} for key in "ab"])
        execute(ascii_shop, r"update shop.customers set city = E'M\xfcnchen' where customer_id = 'b'")
        assert extract.extract_entity("customers", DAY, ascii_shop)["unreadable"] == 1
        told = {row["customer_id"]: row["unreadable"] for row in staged(ascii_shop, "customers")}
        assert (told["a"], json.loads(told["b"])) == (None, {"city": r"M\xfcnchen"})
    finally:
        with warehouse.connect(admin, autocommit=True) as connection:
            warehouse.execute(connection, "drop database ascii_shop with (force)")


def test_an_unreachable_warehouse_is_not_a_final_error(stores):
    gone = replace(stores, warehouse="postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(Exception, match="refused") as caught:
        extract.extract_entity("customers", DAY, gone)
    assert not isinstance(caught.value, extract.FinalError)


def test_a_query_that_breaks_half_way_is_told_and_leaves_nothing(stores, monkeypatch):
    fill(stores.warehouse, tables.CUSTOMERS, [{"customer_id": f"c{n}"} for n in range(5000)])
    query = sql.read("extract", "customers").replace("birth_year", "1 / (5000 - row_number() over ()) as birth_year")
    monkeypatch.setattr(sql, "read", lambda *_: query)
    with pytest.raises(Exception, match="division by zero"):
        extract.extract_entity("customers", DAY, stores)
    assert not lake.files_in(f"{stores.lake}/staged/customers/as_of={DAY}")


def test_another_warehouse_comes_through_its_db_api(stores, tmp_path):
    """SQLite stands for every database whose driver follows PEP 249: text for times, integers for booleans."""
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("attach ':memory:' as unused")
        columns = ", ".join(tables.CUSTOMERS.schema.names)
        connection.execute(f"create table customers ({columns})")
        values = (
            "a",
            "2025-01-01 10:00:00.000000",
            1980,
            None,
            None,
            "上海",
            "CN",
            None,
            1,
            0,
            0,
            1,
            "2026-01-01 10:00:00",
        )
        connection.execute(f"insert into customers values ({', '.join('?' * len(values))})", values)

    def connect():
        connection = sqlite3.connect(path)
        connection.execute(f"attach '{path}' as shop")
        return connection

    other = replace(stores, warehouse=connect)
    with sqlite3.connect(path) as connection:
        connection.execute(
            "insert into customers select 'b', 'soon', 'x', gender, income_band, city, country, acquisition_channel, "
            "1, 0, 0, 1, updated_at from customers"
        )
    assert extract.extract_entity("customers", DAY, other)["unreadable"] == 1
    told = {row["customer_id"]: row["unreadable"] for row in staged(stores, "customers")}
    assert (told["a"], json.loads(told["b"])) == (None, {"signed_up_at": "soon", "birth_year": "x"})
    with sqlite3.connect(path) as connection:
        connection.execute("delete from customers where customer_id = 'b'")
    assert extract.extract_entity("customers", DAY, other)["rows"] == 1
    [row] = staged(stores, "customers")
    assert row["signed_up_at"] == dt.datetime(2025, 1, 1, 10, tzinfo=dt.UTC)
    assert (row["profiling_consent"], row["sms_consent"], row["birth_year"]) == (True, False, 1980)
