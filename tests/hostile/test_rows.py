"""
Rows that mean harm, through the extract and the gate, from a real Postgres and from a database with looser types.

Each row of the shop ends in the history or in quarantine with a reason, once and as it came; what the history has is
sound by rules that are told here anew, in Python; no statement of anybody's is run. A day later, when rows are gone and
others may come back from quarantine, the same holds. All rows that were drawn go through one run together.
"""

import datetime as dt
import math
import sqlite3
import uuid
from collections import Counter
from dataclasses import replace
from decimal import Decimal

import numpy as np
import psycopg2
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from segmentation import (
    aggregates,
    conversion,
    extract,
    features,
    history,
    lake,
    plain_yaml,
    publish,
    sql,
    suites,
    tables,
    validate,
    warehouse,
)
from segmentation import settings as configuration
from tests import frames
from tests.hostile.values import INJECTIONS, NUMBERS, TEXT, TIMES, values
from tests.segmentation.test_publish import put_scores

DAY, NEXT = frames.DAY, frames.DAY + dt.timedelta(days=1)
NOW = dt.datetime.combine(DAY, dt.time(9), dt.UTC)
REFERRED = {"customer_id": "c1", "order_id": "o1", "product_id": "p1", "campaign_id": "k1"}
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


def drawn(strategy, many):
    """Examples of a strategy, the same ones every time."""
    found = []

    @given(strategy)
    @settings(
        max_examples=many, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck), deadline=None,
    )  # fmt: skip
    def collect(each):
        found.append(each)

    collect()
    return found


def plain_row(entity, **columns):
    """A sound row, every value as text."""
    dated = {"ordered_at": DAY - dt.timedelta(days=1)} if entity is tables.ORDERS else {}
    [sound] = frames.table(entity, [dated]).to_pylist()
    refers = {name: key for name, key in REFERRED.items() if name in entity.schema.names}
    return {name: None if value is None else str(value) for name, value in sound.items()} | refers | columns


def hostile_rows(entity, many, column=values):
    """Rows of an entity: most of a row is sound, so that what is not gets past the first rule. Most keys are new."""
    fields = {}
    for field, usual in zip(entity.schema, plain_row(entity).values(), strict=True):
        if field.name == entity.key[-1] and field.name != "line_no":
            often = [TEXT.map(lambda text: f"{text}~")] * 8
        else:
            often = [st.just(usual)] * 8
        fields[field.name] = st.one_of(*often, column(field.type), st.none())
    rows = drawn(st.fixed_dictionaries(fields), many)
    if entity.key == (entity.schema.names[0],):  # each harmful text as an id of a row that is sound otherwise
        rows += [plain_row(entity, **{entity.key[0]: text}) for text in INJECTIONS]
    if "customer_id" in entity.key[1:] or entity in (tables.ORDERS, tables.SUPPORT_TICKETS):
        owned = [plain_row(entity, customer_id=text) for text in INJECTIONS]
        rows += [row | dict.fromkeys(entity.key[:1], f"of {n}") for n, row in enumerate(owned)]
    return rows


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


def plain(kind, text):
    """A value as every printer's text of it amounts to."""
    if text is None or pa.types.is_string(kind):
        return text
    try:
        if pa.types.is_boolean(kind):
            return text[0].lower()
        if pa.types.is_timestamp(kind):
            moment = dt.datetime.fromisoformat(text)
            return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
        return str(np.float32(text)) if pa.types.is_floating(kind) else str(Decimal(text).normalize() + 0)
    except (ValueError, ArithmeticError):
        return text


def told(entity, rows):
    """How often each row occurs, its values as `plain` has them."""
    return Counter(tuple(plain(field.type, row.get(field.name)) for field in entity.schema) for row in rows)


def of_source(stores, entity):
    columns = ", ".join(f"{name}::text" for name in entity.schema.names)
    with warehouse.connect(stores.warehouse) as connection:
        return warehouse.fetch_dicts(connection, f"select {columns} from shop.{entity.name}")


def refused(stores, entity):
    """The rows in quarantine that are there still; every one has reasons."""
    with warehouse.connect(stores.marketing) as connection:
        rows = warehouse.fetch(
            connection,
            "select row, reason, reasons from quarantine.rows where table_name = :table and source = 'raw gate' "
            "and released_at is null",
            {"table": entity.table},
        )
    assert all(reason and reason == reasons[0] for _, reason, reasons in rows)
    return [row for row, _, _ in rows]


def accepted(stores, entity):
    """Every version that the history has, but for deletions."""
    files = history.files_of(stores, entity.name)
    found = [pa.parquet.read_table(f"{stores.lake}/{file.path}") for file in files]
    rows = pa.concat_tables(found).to_pylist() if found else []
    return [{name: row[name] for name in entity.schema.names} for row in rows if not row["is_deleted"]]


def as_text(rows):
    return [{name: None if value is None else str(value) for name, value in row.items()} for row in rows]


WORDS = {
    "status": {"placed", "paid", "shipped", "delivered", "cancelled"},
    "income_band": {"low", "middle", "high", None},
    "event_type": {"page_view", "product_view", "search", "add_to_cart", "remove_from_cart", "ad_view", "ad_click",
                   "article_read", "video_view"},
}  # fmt: skip
AT_LEAST = {"total_amount": 0, "discount_amount": 0, "unit_price": 0, "quantity": 1, "satisfaction": 1,
            "dwell_seconds": 0, "cost_per_contact": 0, "list_price": 0}  # fmt: skip
AT_MOST = {"total_amount": 10**7, "satisfaction": 5, "dwell_seconds": 86_400}
HAPPENED = ("signed_up_at", "ordered_at", "occurred_at", "contacted_at", "starts_at", "ends_at")


def assert_sound(entity, rows, parents):
    """What the contract says of a row that counts; told without the suites, so that a slip in those shows."""
    keys = Counter(tuple(row[name] for name in entity.key) for row in rows)
    assert not [key for key, count in keys.items() if count > 1]
    for row in rows:
        for name in entity.key:
            assert row[name] is not None, row
        for text in (row[name] for name in (*entity.key, *REFERRED) if isinstance(row.get(name), str)):
            assert text == text.strip() != "", row
            assert len(text) <= 200, row
            assert not any(ord(character) < 32 and character not in "\t\n\v\f\r" for character in text), row
        for name, words in WORDS.items():
            assert name not in row or row[name] in words, row
        for name, least in AT_LEAST.items():
            assert row.get(name) is None or least <= row[name] <= AT_MOST.get(name, math.inf), row
        for name in HAPPENED:
            assert name not in row or dt.datetime(1990, 1, 1, tzinfo=dt.UTC) <= row[name], row
        assert row.get("customer_id") is None or row["customer_id"] in parents, row


def a_day(stores, day):
    staged = {name: extract.extract_entity(name, day, stores) for name in tables.ENTITIES}
    found = validate.accept_raw(day, stores)["tables"]
    for name, entity in tables.ENTITIES.items():
        summary = found[entity.table]
        assert summary["rows"] == staged[name]["rows"] + summary["taken_back"]
        assert summary["accepted"] + summary["quarantined"] == summary["rows"]
    return staged


# Orders of somebody who is only known a day later, and texts that quarantine has to give back as they were
EARLY = [
    plain_row(tables.ORDERS, order_id=f"early{n}", customer_id="late", coupon_code=text, updated_at=time)
    for n, (text, time) in enumerate(
        [("\\u0000", "2026-01-01"), ('{"a": null}', "0001-01-01"), ("\\\\x", "9999-12-31 23:59:59.999999"),
         ("'; drop table raw.orders; --", "2026-01-01 10:00+14"),
         ("👩‍👩‍👧‍👦\u2028\U0010ffff", "0099-12-31"), ("", "2026-01-01")]
    )
]  # fmt: skip


def test_every_row_of_a_postgres_is_in_the_history_or_in_quarantine(stores):
    source = {name: hostile_rows(entity, 40) for name, entity in tables.ENTITIES.items()}
    with warehouse.connect(stores.warehouse) as connection:
        for name, rows in SOUND.items():
            data = frames.table(tables.ENTITIES[name], rows)
            warehouse.copy_in(connection, f"shop.{name}", [data], data.column_names)
        loosen(connection)
        for name, rows in source.items():
            insert(connection, name, rows)
        insert(connection, "orders", EARLY)
    a_day(stores, DAY)
    kept = {name: accepted(stores, entity) for name, entity in tables.ENTITIES.items()}
    customers = {row["customer_id"] for row in kept["customers"]}
    for name, entity in tables.ENTITIES.items():
        everything = told(entity, as_text(kept[name])) + told(entity, refused(stores, entity))
        came = told(entity, of_source(stores, entity))
        assert not [f"{each!r}" for each in (came - everything)], [f"{each!r}" for each in (everything - came)]
        assert_sound(entity, kept[name], customers)
    for name, key in (("customers", "customer_id"), ("orders", "order_id"), ("events", "event_id")):
        fit = {each for each in INJECTIONS if each == each.strip() != "" and len(each) <= 200 and "\x01" not in each}
        assert fit <= {row[key] for row in kept[name]}, "what is odd but could be an id, is one"

    aggregates.build_aggregates(DAY, stores)
    features.build_features(DAY, stores)
    built = lake.read(stores.lake, tables.CUSTOMER_FEATURES, DAY)
    assert sorted(built["customer_id"].to_pylist()) == sorted(
        row["customer_id"] for row in kept["customers"] if row["profiling_consent"]
    )
    for field in built.schema:
        if pa.types.is_floating(field.type):
            assert all(math.isfinite(each) for each in built[field.name].drop_null().to_pylist()), field.name

    with warehouse.connect(stores.warehouse) as connection:
        for name in ("orders", "products", "campaigns", "support_tickets"):
            warehouse.execute(connection, f"delete from shop.{name} where left(md5({name}::text), 1) < '6'")
        warehouse.execute(connection, "update shop.customers set updated_at = 'infinity' where customer_id = 'c7'")
        insert(connection, "customers", [plain_row(tables.CUSTOMERS, customer_id="late", updated_at="2026-01-31")])
    there = {name: told(entity, of_source(stores, entity)) for name, entity in tables.ENTITIES.items()}
    a_day(stores, NEXT)
    early = told(tables.ORDERS, EARLY) & there["orders"]
    assert len(early) > 1
    known = frames.rows_of(history.known(stores, "orders", NEXT), tables.ORDERS.schema.names)
    known = told(tables.ORDERS, as_text(dict(zip(tables.ORDERS.schema.names, row, strict=True)) for row in known))
    assert not early - known, "an orphan whose parent has come is back, as it was"
    assert not known - there["orders"], "what is gone is not known any more"

    ids = {row["customer_id"] for row in kept["customers"]}
    rows = [
        {"customer_id": each, "as_of_date": DAY, "segment_id": n + 1, "segment_name": each, "offer": each,
         "lifecycle_stage": "active", "value_tier": "high", "churn_risk": "low", "reasons": [each],
         "recommended_products": [each], "scored_at": NOW, "model_versions": "{}"}
        for n, each in enumerate(sorted(ids))
    ]  # fmt: skip
    put_scores(stores, DAY, rows)
    publish.publish_segments(DAY, stores)
    with warehouse.connect(stores.marketing) as connection:
        published = warehouse.fetch(
            connection, "select customer_id, segment_name, offer, reasons from marketing.customer_segments"
        )
    assert sorted(published) == sorted((each, each, each, [each]) for each in ids)


LOOSE = st.sampled_from(
    ["a\0b", b"\xff\xfe\0", b"plain", 2**63 - 1, -(2**63), 0, 1.5e308, math.inf, -math.inf, "٣", "1_000", "0x1f",
     "0000-06-01", "0000-12-31 23:00-12:00"]
)  # fmt: skip


def test_every_row_of_a_database_without_types_is_in_the_history_or_in_quarantine(stores, tmp_path):
    """SQLite keeps anything in any column, NUL and bytes included."""
    path, rows_of = tmp_path / "shop.db", {}
    with sqlite3.connect(path) as connection:
        for name, entity in tables.ENTITIES.items():
            connection.execute(f"create table {name} ({', '.join(entity.schema.names)})")
            rows = frames.table(entity, SOUND.get(name, [])).to_pylist()
            rows += hostile_rows(entity, 30, lambda kind: LOOSE | TEXT | TIMES | NUMBERS)
            rows_of[name] = [
                [str(each) if isinstance(each, Decimal | dt.datetime) else each for each in row.values()]
                for row in rows
            ]
            marks = ", ".join("?" * len(entity.schema))
            connection.executemany(f"insert into {name} values ({marks})", rows_of[name])
        connection.commit()
    with pytest.MonkeyPatch.context() as patch:
        read = sql.read
        patch.setattr(sql, "read", lambda stage, name: read(stage, name).replace("shop.", "main."))
        stores = replace(stores, warehouse=lambda: sqlite3.connect(path))
        staged = a_day(stores, DAY)
        kept = {name: accepted(stores, entity) for name, entity in tables.ENTITIES.items()}
        customers = {row["customer_id"] for row in kept["customers"]}
        for name, entity in tables.ENTITIES.items():
            out = refused(stores, entity)
            assert len(kept[name]) + len(out) == len(rows_of[name]) == staged[name]["rows"], name
            assert_sound(entity, kept[name], customers)
            column = entity.schema.names.index(entity.key[0])
            came = Counter(row[column].replace("\0", "\ufffd") for row in rows_of[name] if isinstance(row[column], str))
            assert not came - Counter(row[entity.key[0]] for row in [*kept[name], *out]), name


THINGS = st.one_of(
    TEXT,
    TIMES,
    NUMBERS,
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**63, -(2**63) - 1, 2**64, 10**30, 10**400]),
    st.floats(),
    st.decimals(),
    st.fractions(),
    st.binary(max_size=20),
    st.binary(max_size=20).map(memoryview),
    st.datetimes(),
    st.datetimes(timezones=st.sampled_from([dt.UTC, dt.timezone(dt.timedelta(hours=14)), dt.timezone.min])),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.uuids(),
    st.complex_numbers(),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    st.text(st.characters(categories=["Cs"]), min_size=1, max_size=3),
    st.builds(object),
)
KINDS = sorted({field.type for entity in tables.ENTITIES.values() for field in entity.schema}, key=str)


@given(st.lists(THINGS, min_size=1, max_size=6), st.sampled_from(KINDS))
@settings(max_examples=500, deadline=None, derandomize=True)
def test_whatever_a_driver_hands_out_is_typed_or_told(things, kind):
    """Any driver of another warehouse: a value is its type's, or null and told as text, and the next one is read."""
    batch = conversion.Lenient(pa.schema([("it", kind)]), most=10).of_values({"it": things})
    batch.validate(full=True)
    assert batch["it"].type == kind
    for thing, told_of, value in zip(things, batch["unreadable"].to_pylist(), batch["it"], strict=True):
        assert (value.is_valid or thing is None) == (told_of is None)
        if value.is_valid and pa.types.is_string(kind) and isinstance(thing, str | uuid.UUID):
            assert value.as_py() == str(thing)
        if value.is_valid and pa.types.is_decimal(kind) and isinstance(thing, Decimal | int):
            assert value.as_py() == Decimal(thing)
        if value.is_valid and pa.types.is_timestamp(kind) and isinstance(thing, dt.datetime):
            assert value.as_py() == (thing if thing.tzinfo else thing.replace(tzinfo=dt.UTC))
    field = pa.field("it", kind)
    if batch["unreadable"].null_count < len(things):
        with pytest.raises(conversion.UnreadableValueError, match=r"it must be .*, and .* is not"):
            conversion.typed(things, field)
    else:
        assert repr(conversion.typed(things, field).to_pylist()) == repr(batch["it"].to_pylist())  # NaN != NaN


def test_a_row_that_is_too_large_ends_the_extract_in_words(stores):
    with warehouse.connect(stores.warehouse) as connection:
        insert(
            connection, "customers", [{"customer_id": "a", "signed_up_at": "2025-01-01", "updated_at": "2025-01-01"}]
        )
        warehouse.execute(connection, "update shop.customers set city = repeat('x', 9000000)")
    with pytest.raises(extract.ContractError, match=r"customers\.sql: .*a row .* 4,194,304 bytes"):
        extract.extract_entity("customers", DAY, stores)


def test_an_id_that_no_index_holds_goes_to_quarantine(stores):
    """A key of an index of Postgres has 2,704 bytes: one such customer would keep everybody's segments back."""
    long = "".join(f"{n:x}" for n in range(2_000))
    frames.stage(stores, DAY, **{**SOUND, "customers": [*SOUND["customers"], {"customer_id": long}]})
    summary = validate.accept_raw(DAY, stores)["tables"]["raw.customers"]
    assert summary["quarantined"] == 1
    with warehouse.connect(stores.marketing) as connection:
        [(reason,)] = warehouse.fetch(connection, "select reason from quarantine.rows")
        with pytest.raises(psycopg2.OperationalError, match="index row"):
            warehouse.run_script(connection, "create table t (id text primary key)")
            warehouse.execute(connection, "insert into t values (:id)", {"id": long})
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
