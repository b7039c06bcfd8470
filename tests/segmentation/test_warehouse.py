"""Transactions and whole tables, in and out, with every awkward value."""

import datetime as dt
import time
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
    wanted = pa.schema([field for field in table.schema if field.name in ("t", "n", "w", "b", "f")])
    out = pa.Table.from_batches(warehouse.stream(warehouse_dsn, "select * from things limit 3", wanted), wanted)
    assert out.schema == wanted
    assert out["n"].to_pylist() == [Decimal("12345678901.99"), None, Decimal("-0.01")]
    assert out["t"].to_pylist() == ["", None, 'a "b", \\N\n\t上海']
    assert out["w"].to_pylist() == [when, None, when]
    assert out["f"].to_pylist() == [0.1, None, 1e-30]


def test_lists_and_times_are_the_same_in_pieces(warehouse_dsn, monkeypatch):
    """A piece is a slice, whose lists begin in the middle of their values."""
    monkeypatch.setattr(warehouse, "PRINTED_ROWS", 2)
    lists = [["a"], None, ["b", 'c"', "a"], [], ["\\", None, "a"], ["c"]]
    east = dt.timezone(dt.timedelta(hours=8))
    times = [dt.datetime(2026, 1, 1, 3, 0, n, n, tzinfo=east) for n in range(5)] + [None]
    moments = pa.array(times, pa.timestamp("us", tz="Asia/Shanghai"))
    table = pa.table({"a": pa.array(lists, pa.list_(pa.string())), "t": moments}).slice(1)
    with warehouse.connect(warehouse_dsn) as connection:
        warehouse.run_script(connection, "create table things (a text[], t timestamptz)")
        assert warehouse.copy_in(connection, "things", [table], table.column_names) == 5
        assert warehouse.fetch(connection, "select * from things") == list(zip(lists[1:], times[1:], strict=True))


def test_what_is_a_columns_default_is_not_printed(warehouse_dsn, monkeypatch):
    """The table's default is another one here, which shows the pieces in which it was left to it."""
    monkeypatch.setattr(warehouse, "PRINTED_ROWS", 2)
    table = pa.table({"n": list(range(7)), "t": ["x", "x", "x", "y", "x", None, "x"]})
    with warehouse.connect(warehouse_dsn) as connection:
        warehouse.run_script(connection, "create table things (n int, t text default 'default')")
        defaults = {"t": pa.scalar("x")}
        assert warehouse.copy_in(connection, "things", [table], table.column_names, defaults=defaults) == 7
        found = warehouse.fetch(connection, "select t from things order by n")
    assert [value for (value,) in found] == ["default", "default", "x", "y", "x", None, "default"]


def test_parameters_are_bound_never_pasted(warehouse_dsn):
    nasty = "'; drop schema shop cascade; --"
    with warehouse.connect(warehouse_dsn) as connection:
        assert warehouse.fetch(connection, "select :x, '50%', 'a'::text", {"x": nasty}) == [(nasty, "50%", "a")]


def test_a_time_is_printed_in_utc_for_any_database(warehouse_dsn):
    moment = dt.datetime(2026, 1, 1, 8, tzinfo=dt.timezone(dt.timedelta(hours=8)))
    assert warehouse.literal(moment) == "timestamp '2026-01-01 00:00:00.000000'"
    with warehouse.connect(warehouse_dsn) as connection:
        found = warehouse.fetch(connection, f"select timestamptz '2026-01-01 00:00Z' = {warehouse.literal(moment)}")
    assert found == [(True,)]


def test_a_reader_that_stops_early_is_no_error(warehouse_dsn):
    query = "select n::bigint from generate_series(1, 2000000) as n"
    batches = warehouse.stream(warehouse_dsn, query, pa.schema([("n", pa.int64())]))
    assert next(batches)["n"][0].as_py() == 1
    batches.close()
    running = "select count(*) from pg_stat_activity where query like 'copy (select n%' and state = 'active'"
    deadline = time.monotonic() + 10
    while warehouse.select(warehouse_dsn, running) != [(0,)]:  # each in its own transaction: one sees only one moment
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("name", ["a;b", 'a"b', "a.b.c", "", "A", "a b"])
def test_only_plain_names_are_put_into_statements(name):
    with pytest.raises(ValueError, match="not a table or column name"):
        warehouse.identifier(name)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lists=st.lists(st.none() | st.lists(st.none() | st.text(st.characters(exclude_characters="\0", codec="utf-8")))))
def test_lists_arrive_as_they_were(warehouse_dsn, lists):
    rows = pa.table({"n": range(len(lists) + 3), "words": pa.array([["cut"], None, [], *lists], pa.list_(pa.string()))})
    with warehouse.connect(warehouse_dsn) as connection:
        warehouse.run_script(connection, "drop table if exists lists; create table lists (n bigint, words text[])")
        warehouse.copy_in(connection, "lists", [rows.slice(1)], ["n", "words"])
        found = warehouse.fetch(connection, "select words from lists order by n")
    assert [words for (words,) in found] == [None, [], *lists]


def test_what_goes_wrong_while_rows_are_made_is_told_as_it_is_and_leaves_nothing(warehouse_dsn):
    def batches():
        for n in range(5):
            yield pa.record_batch({"n": pa.array(range(150_000))})
            if n == 3:
                raise LookupError("the file is gone")

    with warehouse.connect(warehouse_dsn) as connection:
        warehouse.run_script(connection, "create table numbers (n bigint)")
    with pytest.raises(LookupError, match="the file is gone"), warehouse.connect(warehouse_dsn) as connection:
        warehouse.copy_in(connection, "numbers", batches(), ["n"])
    with warehouse.connect(warehouse_dsn) as connection:
        assert warehouse.fetch(connection, "select count(*) from numbers") == [(0,)]
        assert warehouse.copy_in(connection, "numbers", [], ["n"]) == 0


def test_a_database_that_refuses_rows_ends_the_printing(warehouse_dsn):
    made = []

    def batches():
        for n in range(1000):
            made.append(n)
            yield pa.record_batch({"n": pa.array([n] * 100_000)})

    with warehouse.connect(warehouse_dsn) as connection:
        warehouse.run_script(connection, "create table small (n smallint check (n < 3))")
    with pytest.raises(Exception, match="violates check constraint"), warehouse.connect(warehouse_dsn) as connection:
        warehouse.copy_in(connection, "small", batches(), ["n"])
    assert len(made) < 20
