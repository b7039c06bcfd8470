"""
The only door to DuckDB: runs a named SQL file over lake tables and hands back Arrow batches.

The file says `from raw.orders`; which Parquet file that is, the caller says. So the same SQL builds any day.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

import duckdb  # noqa: TID251 - the one importer
import fsspec
import pyarrow as pa

from segmentation import settings, sql

BATCH_ROWS = 100_000


def midnight(day: dt.date) -> dt.datetime:
    """The first moment of a day in UTC: what was known before it belongs to a snapshot `as_of` that day."""
    return dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)


def run(
    stage: str,
    name: str,
    inputs: Mapping[str, str | pa.Table],
    parameters: Mapping[str, Any],
    config: settings.Engine | None = None,
) -> Iterator[pa.RecordBatch]:
    """Runs `include/sql/<stage>/<name>.sql` and yields its rows in batches; the first batch is empty and typed.

    :param inputs: table name as the SQL spells it -> Parquet path or URI, or an Arrow table.
    :param parameters: the SQL's `:name` parameters; days go in as UTC midnights (`midnight`).
    """
    config = config or settings.load().engine
    statement = sql.read(stage, name)
    with duckdb.connect(config={"threads": config.threads, "memory_limit": config.memory_limit}) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute("set preserve_insertion_order = true")
        for table, source in inputs.items():
            _register(connection, table, source)
        wanted = {key: parameters[key] for key in sql.parameters(statement)}
        reader = connection.sql(sql.for_duckdb(statement), params=wanted).to_arrow_reader(BATCH_ROWS)
        yield pa.RecordBatch.from_pylist([], schema=reader.schema)
        yield from reader


def _register(connection, table: str, source: str | pa.Table) -> None:
    schema, name = table.split(".")
    connection.execute(f'create schema if not exists "{schema}"')
    flat = f"{schema}__{name}"
    if isinstance(source, pa.Table):
        connection.register(flat, source)
    else:
        if "://" in source:
            filesystem, _ = fsspec.core.url_to_fs(source)
            connection.register_filesystem(filesystem)
        connection.read_parquet(source).create_view(flat)
    connection.execute(f'create view "{schema}"."{name}" as select * from "{flat}"')  # noqa: S608 - names of tables.py
