"""Small hand-written tables for tests: rows as dicts, the rest of the columns filled with plain values."""

import datetime as dt
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa

from segmentation import lake, tables
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
}


def table(entity: tables.Entity, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows of an entity in its schema; columns that a row leaves out get a plain value, or null."""
    plain = {name: value for name, value in _PLAIN.items() if name in entity.schema.names}
    return typed([{**plain, **row} for row in rows], entity.schema)


def typed(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows in a schema, dates as midnights where it wants a time, numbers as decimals where it wants those."""
    columns = [[_fit(row.get(field.name), field.type) for row in list(rows)] for field in schema]
    return pa.Table.from_arrays([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)


def write_raw(stores: Stores, day: dt.date = DAY, **rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes `raw.*` of a day; entities not named are empty."""
    for name, entity in tables.ENTITIES.items():
        data = table(entity, rows.get(name, []))
        lake.write(stores.lake, entity.table, day, data.to_batches(), data.schema)


def _fit(value: Any, kind: pa.DataType) -> Any:
    if value is None:
        return None
    if pa.types.is_timestamp(kind) and not isinstance(value, dt.datetime):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    if pa.types.is_timestamp(kind) and value.tzinfo is None:
        return value.replace(tzinfo=dt.UTC)
    if pa.types.is_decimal(kind):
        return Decimal(str(value)).quantize(Decimal("0.01"))
    return value
