"""
Rows that mean harm, through the extract and the gate, from a real Postgres and from a database with looser types.

Each row of the shop ends in the history or in quarantine with a reason, once; no statement of anybody's is run, and a
day later, when some rows are gone, the same holds. What ends the run, ends it in words.
"""

import datetime as dt
import math
import sqlite3
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from segmentation import aggregates, extract, features, history, plain_yaml, sql, suites, tables, validate, warehouse
from segmentation import settings as configuration
from segmentation.settings import Stores
from tests import frames
from tests.hostile.values import NUMBERS, TEXT, TIMES, values

DAY, NEXT = frames.DAY, frames.DAY + dt.timedelta(days=1)


def rows_of(entity, column=values):
    """Rows of an entity: most of a row is sound, so that what is not gets past the first rule."""
    [sound] = frames.table(entity, [{}]).to_pylist()
    plain = {name: None if value is None else str(value) for name, value in sound.items()}
    refers = {
        "customer_id": st.just("c1"),
        "order_id": st.just("o1"),
        "product_id": st.just("p1"),
        "campaign_id": st.just("k1"),
    }
    fields = {}
    for field in entity.schema:
        usual = refers.get(field.name, st.just(plain[field.name]))
        if field.name == entity.key[0] and entity is not tables.ORDER_ITEMS and entity is not tables.CAMPAIGN_CONTACTS:
            usual = TEXT
        fields[field.name] = st.one_of(usual, usual, usual, usual, column(field.type), st.none())
    return st.lists(st.fixed_dictionaries(fields), min_size=3, max_size=12)


SHOPS = st.fixed_dictionaries({name: rows_of(entity) for name, entity in tables.ENTITIES.items()})
SOUND = {
    "customers": [{"customer_id": f"c{n}", "city": "Ōsaka"} for n in range(30)],
    "products": [{"product_id": "p1"}],
    "orders": [
        {"order_id": f"o{n}", "customer_id": f"c{n % 30}", "ordered_at": DAY - dt.timedelta(days=1)} for n in range(60)
    ],
    "order_items": [{"order_id": f"o{n}"} for n in range(60)],
    "campaigns": [{"campaign_id": "k1"}],
}
RULES = {
    f"{entity.table}: {rule['rule']}": {"severity": "warn"}
    for entity in tables.ENTITIES.values()
    for rule in plain_yaml.load(suites.SUITES_HOME / f"{entity.table}.yaml")["table"]
    if rule["severity"] == "stop"
}


@pytest.fixture(scope="module", autouse=True)
def _tables_may_be_bad():
    """What is looked at is each row; that a table with many bad ones stops the run is looked at elsewhere."""
    changed = configuration.Settings(gates=configuration.Gates(rules=RULES))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(configuration, "load", lambda: changed)
        yield


def loosen(connection):
    """No key, no default, numbers of any length: a warehouse that takes whatever comes."""
    for entity in tables.ENTITIES.values():
        table = f"shop.{entity.name}"
        warehouse.run_script(connection, f"alter table {table} drop constraint {entity.name}_pkey cascade")
        for field in entity.schema:
            warehouse.run_script(connection, f"alter table {table} alter {field.name} drop not null")
            if "decimal" in str(field.type):
                warehouse.run_script(connection, f"alter table {table} alter {field.name} type numeric")


def insert(connection, name, rows):
    kinds = dict(
        warehouse.fetch(
            connection,
            "select attname, format_type(atttypid, null) from pg_attribute "
            "where attrelid = to_regclass(:t) and attnum > 0",
            {"t": f"shop.{name}"},
        )
    )
    columns = list(rows[0])
    marks = ", ".join(f"cast(:{column} as {kinds[column]})" for column in columns)
    for row in rows:
        warehouse.execute(connection, f"insert into shop.{name} ({', '.join(columns)}) values ({marks})", row)


def counts(stores, name, day):
    """(rows that the history has in any version, rows in quarantine); every one of these has reasons."""
    entity = tables.ENTITIES[name]
    with warehouse.connect(stores.marketing) as connection:
        [(refused, told)] = warehouse.fetch(
            connection,
            "select count(*), count(*) filter (where reason <> '' and cardinality(reasons) > 0) from quarantine.rows "
            "where table_name = :table and source = 'raw gate'",
            {"table": entity.table},
        )
    assert refused == told
    return sum(file.rows for file in history.files_of(stores, name)), refused


def a_day(stores, day):
    staged = {name: extract.extract_entity(name, day, stores) for name in tables.ENTITIES}
    found = validate.accept_raw(day, stores)["tables"]
    for name, entity in tables.ENTITIES.items():
        told = found[entity.table]
        assert told["rows"] == staged[name]["rows"]
        assert told["accepted"] + told["quarantined"] == told["rows"]
    return staged


@given(SHOPS)
@settings(max_examples=4, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
def test_every_row_of_a_postgres_is_in_the_history_or_in_quarantine(new_warehouse, tmp_path_factory, hostile):
    with new_warehouse() as dsn:
        stores = Stores(dsn, dsn, str(tmp_path_factory.mktemp("lake")), "unused")
        with warehouse.connect(dsn) as connection:
            for name, rows in SOUND.items():
                data = frames.table(tables.ENTITIES[name], rows)
                warehouse.copy_in(connection, f"shop.{name}", [data], data.column_names)
            loosen(connection)
            for name, rows in hostile.items():
                insert(connection, name, rows)
        wanted = {name: len(SOUND.get(name, [])) + len(rows) for name, rows in hostile.items()}
        staged = a_day(stores, DAY)
        assert {name: each["rows"] for name, each in staged.items()} == wanted
        for name, count in wanted.items():
            assert sum(counts(stores, name, DAY)) == count, name
        known = frames.rows_of(history.known(stores, "customers", DAY), ["customer_id", "city"])
        assert {(row["customer_id"], row["city"]) for row in SOUND["customers"]} - {("c1", "Ōsaka")} <= set(known)
        aggregates.build_aggregates(DAY, stores)
        features.build_features(DAY, stores)
        with warehouse.connect(dsn) as connection:
            for name in ("orders", "products", "campaigns", "support_tickets"):
                warehouse.execute(connection, f"delete from shop.{name} where left(md5(ctid::text), 1) < '6'")
            warehouse.execute(connection, "update shop.customers set updated_at = 'infinity' where customer_id = 'c7'")
        a_day(stores, NEXT)


LOOSE = st.sampled_from(
    ["a\0b", b"\xff\xfe\0", b"plain", 2**63 - 1, -(2**63), 1.5e308, math.inf, -math.inf, "٣", "1_000", "0x1f"]
)


@given(
    st.fixed_dictionaries(
        {name: rows_of(entity, lambda kind: LOOSE | TEXT | TIMES | NUMBERS) for name, entity in tables.ENTITIES.items()}
    )
)
@settings(max_examples=3, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
def test_every_row_of_a_database_without_types_is_in_the_history_or_in_quarantine(
    new_warehouse, tmp_path_factory, hostile
):
    """SQLite keeps anything in any column, NUL and bytes included."""
    path = tmp_path_factory.mktemp("sqlite") / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("attach ':memory:' as shop")
        for name, entity in tables.ENTITIES.items():
            connection.execute(f"create table main.{name} ({', '.join(entity.schema.names)})")
            sound = frames.table(entity, SOUND.get(name, [])).to_pylist()
            for row in [*sound, *hostile[name]]:
                given = [str(v) if isinstance(v, Decimal | dt.datetime) else v for v in row.values()]
                connection.execute(f"insert into main.{name} values ({', '.join('?' * len(row))})", given)
    with new_warehouse() as dsn, pytest.MonkeyPatch.context() as patch:
        read = sql.read
        patch.setattr(sql, "read", lambda stage, name: read(stage, name).replace("shop.", "main."))
        stores = Stores(lambda: sqlite3.connect(path), dsn, str(tmp_path_factory.mktemp("lake")), "unused")
        staged = a_day(stores, DAY)
        for name in tables.ENTITIES:
            assert (
                sum(counts(stores, name, DAY)) == staged[name]["rows"] == len(SOUND.get(name, [])) + len(hostile[name])
            )


def test_a_row_that_is_too_large_ends_the_extract_in_words(stores):
    with warehouse.connect(stores.warehouse) as connection:
        insert(
            connection, "customers", [{"customer_id": "a", "signed_up_at": "2025-01-01", "updated_at": "2025-01-01"}]
        )
        warehouse.execute(connection, "update shop.customers set city = repeat('x', 5000000)")
    with pytest.raises(extract.ContractError, match=r"customers\.sql: .*a row .* 4,194,304 bytes"):
        extract.extract_entity("customers", DAY, stores)


def test_an_id_that_no_index_holds_goes_to_quarantine(stores):
    """A key of an index of Postgres has 2,704 bytes: one such customer would keep everybody's segments back."""
    long = "".join(f"{n:x}" for n in range(2_000))
    frames.stage(stores, DAY, **{**SOUND, "customers": [*SOUND["customers"], {"customer_id": long}]})
    told = validate.accept_raw(DAY, stores)["tables"]["raw.customers"]
    assert told["quarantined"] == 1
    with warehouse.connect(stores.marketing) as connection:
        [(reason,)] = warehouse.fetch(connection, "select reason from quarantine.rows")
    assert reason == "customer_id is longer than 200 characters"


def test_times_at_the_ends_of_the_calendar_are_printed_for_the_source(stores):
    with warehouse.connect(stores.warehouse) as connection:
        for moment in (
            dt.datetime(1, 1, 1, tzinfo=dt.UTC),
            dt.datetime(99, 7, 4, tzinfo=dt.UTC),
            dt.datetime(9999, 12, 31, tzinfo=dt.UTC),
        ):
            [(back,)] = warehouse.fetch(connection, f"select {warehouse.literal(moment)} at time zone 'UTC'")
            assert back == moment
