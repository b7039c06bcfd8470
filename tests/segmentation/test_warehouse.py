"""Transactions and whole tables, in and out, with every awkward value."""

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest

from segmentation import warehouse


def test_a_failed_transaction_leaves_nothing(warehouse_dsn):
    with pytest.raises(Exception, match="division by zero"), warehouse.connect(warehouse_dsn) as connection:
        warehouse.run_script(connection, "create table things as select 1; select 1 / 0")
    with warehouse.connect(warehouse_dsn) as connection:
        assert warehouse.fetch(connection, "select to_regclass('things')") == [(None,)]


def test_values_survive_the_way_in_and_out(warehouse_dsn):
    when = dt.datetime(2026, 1, 31, 23, 59, 59, 999999, tzinfo=dt.UTC)
    table = pa.table(
        {
            "t": pa.array(["", None, 'a "b", \\N\n\t上海'], pa.string()),
            "d": pa.array(["x", "y", None]).dictionary_encode(),
            "n": pa.array([Decimal("12345678901.99"), None, Decimal("-0.01")], pa.decimal128(14, 2)),
            "w": pa.array([when, None, when], pa.timestamp("us", tz="UTC")),
            "a": pa.array([["p,1", 'q"2'], None, []], pa.list_(pa.string())),
            "b": pa.array([True, None, False]),
            "f": pa.array([0.1, None, 1e-30]),
        }
    )
    with warehouse.connect(warehouse_dsn) as connection:
        warehouse.run_script(
            connection,
            "create table things (t text, d text, n numeric(14, 2), w timestamptz, a text[], b boolean, f float8)",
        )
        assert warehouse.copy_in(connection, "things", [table, table.to_batches()[0]], table.column_names) == 6
        rows = warehouse.fetch(connection, "select * from things limit 3")
    assert rows == [tuple(row.values()) for row in table.to_pylist()]
    out = pa.Table.from_batches(list(warehouse.stream(warehouse_dsn, "select * from things limit 3")))
    assert out["t"].to_pylist() == ["", None, 'a "b", \\N\n\t上海']
    assert out["w"].to_pylist() == [when, None, when]
    assert out["f"].to_pylist() == [0.1, None, 1e-30]


def test_parameters_are_bound_never_pasted(warehouse_dsn):
    nasty = "'; drop schema shop cascade; --"
    with warehouse.connect(warehouse_dsn) as connection:
        assert warehouse.fetch(connection, "select :x, '50%', 'a'::text", {"x": nasty}) == [(nasty, "50%", "a")]
    out = list(
        warehouse.stream(
            warehouse_dsn,
            "select :x as x, cast(:when as timestamptz) as w",
            {"x": nasty, "when": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)},
        )
    )
    assert pa.Table.from_batches(out).to_pylist() == [{"x": nasty, "w": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}]


@pytest.mark.parametrize("name", ["a;b", 'a"b', "a.b.c", "", "A", "a b"])
def test_only_plain_names_are_put_into_statements(name):
    with pytest.raises(ValueError, match="not a table or column name"):
        warehouse.identifier(name)
