"""Small hand-written tables for tests: rows as dicts, the rest of the columns filled with plain values."""

import datetime as dt
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from segmentation import aggregates, engine, history, lake, tables
from segmentation.settings import Stores

DAY = dt.date(2026, 1, 31)
_PLAIN = {
    "signed_up_at": dt.date(2025, 1, 1),
    "updated_at": dt.date(2025, 1, 1),
    "email_consent": False,
    "sms_consent": False,
    "push_consent": False,
    "profiling_consent": True,
    "name": "a thing",
    "category": "things",
    "status": "delivered",
    "discount_amount": 0,
    "total_amount": 10,
    "line_no": 1,
    "product_id": "p1",
    "quantity": 1,
    "unit_price": 10,
    "returned_quantity": 0,
    "event_type": "page_view",
    "opened_at": dt.date(2025, 1, 1),
    "occurred_at": dt.date(2025, 1, 1),
    "contacted_at": dt.date(2025, 1, 1),
    "starts_at": dt.date(2025, 1, 1),
    "ends_at": dt.date(2025, 2, 1),
    "cost_per_contact": 0,
    "fixed_cost": 0,
    "arm": "control",
}


def table(entity: tables.Entity, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows of an entity in its schema; columns that a row leaves out get a plain value, or null."""
    plain = {name: value for name, value in _PLAIN.items() if name in entity.schema.names}
    if entity is tables.SUPPORT_TICKETS:
        plain["category"] = "question"
    if entity is tables.CAMPAIGN_CONTACTS:
        del plain["opened_at"]
    return typed([{**plain, **row} for row in rows], entity.schema)


def typed(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows in a schema, dates as midnights where it wants a time, numbers as decimals where it wants those."""
    columns = [[_fit(row.get(field.name), field.type) for row in list(rows)] for field in schema]
    return pa.Table.from_arrays([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)


def write_raw(stores: Stores, day: dt.date = DAY, **rows: Iterable[Mapping[str, Any]]) -> None:
    """Accepts rows as what a day knows, without a gate, and works them into the aggregates; entities not named are
    empty."""
    accept(stores, day, **rows)
    aggregates.build_aggregates(day, stores)


def accept(stores: Stores, day: dt.date = DAY, **rows: Iterable[Mapping[str, Any]]) -> None:
    """Accepts rows without a gate; a day that has been accepted already knows them besides."""
    stage(stores, day, **rows)
    staged = {
        name: part_of(lake.path(stores.lake, entity.staged, day), entity) for name, entity in tables.ENTITIES.items()
    }
    history.append(stores, day, staged, is_reload=True)


def part_of(path: str, entity: tables.Entity, rows: int = 1000) -> history.Part:
    """All rows of a staged file, accepted as they are, `rows` at a time."""
    return history.Part(lambda: (batch.select(entity.version_schema.names) for batch in lake.batches_of(path, rows)))


def stage(stores: Stores, day: dt.date = DAY, **rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes `staged.*` of a day; entities not named bring nothing."""
    for name, entity in tables.ENTITIES.items():
        data = table(entity, rows.get(name, []))
        lake.write(stores.lake, entity.staged, day, staged(entity, data).to_batches(), entity.staged_schema)


def staged(entity: tables.Entity, data: pa.Table) -> pa.Table:
    """Rows of an entity as the extract stages them."""
    data = data.append_column("is_deleted", pa.array([False] * data.num_rows, pa.bool_()))
    for field in list(entity.staged_schema)[data.num_columns :]:
        data = data.append_column(field, pa.nulls(data.num_rows, field.type))
    return data


def rows_of(source: engine.Input, columns: list[str]) -> set[tuple]:
    """The rows that an engine's input amounts to, each of them once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine.sql, "read", lambda *_: f"select {', '.join(columns)} from raw.it")
        found = pa.Table.from_batches(engine.run("any", "any", {"raw.it": source}, {})).to_pylist()
    assert len(found) == len({tuple(row.values()) for row in found}), "a row came twice"
    return {tuple(row.values()) for row in found}


def _fit(value: Any, kind: pa.DataType) -> Any:
    if value is None:
        return None
    if pa.types.is_timestamp(kind) and not isinstance(value, dt.datetime):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    if pa.types.is_timestamp(kind) and value.tzinfo is None:
        return value.replace(tzinfo=dt.UTC)
    if pa.types.is_decimal(kind):
        return Decimal(str(value)).quantize(Decimal(1).scaleb(-kind.scale))
    return value
