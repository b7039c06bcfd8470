"""
quarantine: the rows that a gate refused, with all the reasons, and the way back for those that were only early.

A row whose parent is missing (an order whose customer has not come yet) is not lost behind the watermark: when the
parent comes, the gate takes the row back. Every other row comes again when the shop has mended it, as a new version.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from segmentation import engine, tables, warehouse

ORPHAN = "orphan: "  # so begin the reasons that time may mend: what the row refers to is not there
_REFUSED = """
create temp table if not exists refused (like quarantine.rows including defaults) on commit drop;
alter table refused drop column if exists row_id
"""
_POSTGRES = {
    "string": "text",
    "bool": "boolean",
    "int16": "smallint",
    "int32": "integer",
    "float": "real",
    "timestamp[us, tz=UTC]": "timestamptz",
    "decimal128(14, 2)": "numeric",
    "decimal128(14, 4)": "numeric",
}


def keep(connection, refused: Iterable[pa.Table]) -> None:
    """Writes refused rows inside the connection's transaction, each once however often it is read again.

    :param refused: columns of `quarantine.rows`; with `copy_no` a row that is there already is passed over.
    """
    for number, rows in enumerate(refused):
        if number == 0:
            warehouse.run_script(connection, _REFUSED)
        names = ", ".join(rows.column_names)
        warehouse.copy_in(connection, "refused", [rows], rows.column_names)
        warehouse.execute(
            connection,
            f"insert into {tables.QUARANTINE} ({names}) select {names} from refused on conflict do nothing",  # noqa: S608
        )
        warehouse.run_script(connection, "truncate refused")


def release(connection, row_ids: Sequence[int], batch: int) -> None:
    """Notes which rows were taken back, and with which batch, inside the connection's transaction."""
    if row_ids:
        warehouse.execute(
            connection,
            "update quarantine.rows set released_at = now(), released_batch = :batch where row_id = any(:ids)",
            {"batch": batch, "ids": list(row_ids)},
        )


def waiting(dsn: str, entity: tables.Entity, known: engine.Input, day: dt.date, days: int) -> Iterator[pa.RecordBatch]:
    """Rows that were refused for nothing but what they refer to, as `staged_schema`: it may have come meanwhile.

    Of several versions of a row the latest comes, and none if the history has one that is not older.

    :param known: the history of the entity in its latest state.
    :param days: how far back to look, in days before `day`.
    """
    columns = ", ".join(f"(row ->> '{f.name}')::{_POSTGRES[str(f.type)]} as {f.name}" for f in entity.schema)
    key = ", ".join(entity.key)
    query = (
        f"select distinct on ({key}) {columns}, row_id as quarantine_row from {tables.QUARANTINE} "  # noqa: S608
        f"where table_name = '{entity.table}' and released_at is null and reason like '{ORPHAN}%' "
        f"and not exists (select from unnest(reasons) as r where r not like '{ORPHAN}%') "
        f"and day between date '{day - dt.timedelta(days=days)}' and date '{day}' "
        f"order by {key}, updated_at desc, row_id desc"
    )
    schema = entity.schema.append(entity.staged_schema.field("quarantine_row"))
    found = pa.Table.from_batches(warehouse.stream(dsn, query, schema), schema)
    if not found.num_rows:
        return
    names = ", ".join(f"w.{name}" for name in schema.names)
    statement = (
        f"select {names} from waiting.rows as w left join {entity.table} as r using ({key}) "  # noqa: S608
        "where r.updated_at is null or r.updated_at < w.updated_at"
    )
    for batch in engine.query(statement, {"waiting.rows": found, entity.table: known}):
        added = {"is_deleted": pa.nulls(batch.num_rows, pa.bool_()).fill_null(False)}
        came = dict(zip(batch.schema.names, batch.columns, strict=True)) | added
        every = [came.get(f.name, pa.nulls(batch.num_rows, f.type)).cast(f.type) for f in entity.staged_schema]
        yield pa.RecordBatch.from_arrays(every, schema=entity.staged_schema)
