"""
The only door to Postgres: transactions, and whole tables in and out.

Whole tables move by COPY (in) and ADBC (out, which is a binary COPY into Arrow); no row passes through a Python loop.
DSNs are passed in, because they hold secrets and live in Airflow connections only.
"""

import contextlib
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import adbc_driver_postgresql.dbapi as adbc  # noqa: TID251 - the one importer
import psycopg2  # noqa: TID251 - the one importer
import pyarrow as pa
import pyarrow.csv

from segmentation import sql

BATCH_BYTES = 16 * 1024 * 1024


@contextlib.contextmanager
def connect(dsn: str, *, autocommit: bool = False) -> Iterator[psycopg2.extensions.connection]:
    """A connection in UTC as one transaction: committed at the end, rolled back on any error, closed always.

    :param autocommit: for statements that refuse a transaction, such as CREATE DATABASE.
    :raises psycopg2.OperationalError: the server cannot be reached or refuses the login.
    """
    connection = psycopg2.connect(dsn, options="-c timezone=UTC", application_name="fenqun")
    connection.autocommit = autocommit
    try:
        yield connection
        if not autocommit:
            connection.commit()
    except BaseException:
        if not connection.closed and not autocommit:
            connection.rollback()
        raise
    finally:
        connection.close()


def execute(connection, statement: str, parameters: Mapping[str, Any] | None = None) -> int:
    """Runs a statement with `:name` parameters; returns how many rows it touched (-1 where that has no meaning)."""
    with connection.cursor() as cursor:
        cursor.execute(sql.for_psycopg(statement), parameters or {})
        return cursor.rowcount


def fetch(connection, statement: str, parameters: Mapping[str, Any] | None = None) -> list[tuple]:
    """Runs a query with `:name` parameters; returns all its rows: for results that are small by their nature."""
    with connection.cursor() as cursor:
        cursor.execute(sql.for_psycopg(statement), parameters or {})
        return cursor.fetchall()


def run_script(connection, script: str) -> None:
    """Runs a script of several statements as it stands, without parameters: DDL."""
    with connection.cursor() as cursor:
        cursor.execute(script)


def identifier(name: str) -> str:
    """A possibly schema-qualified name, quoted, for the few statements that are put together in code."""
    if not re.fullmatch(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?", name):
        raise ValueError(f"not a table or column name: {name!r}")
    return ".".join(f'"{part}"' for part in name.split("."))


def copy_in(connection, table: str, batches: Iterable[pa.RecordBatch | pa.Table], columns: Sequence[str]) -> int:
    """Appends Arrow batches to a table by COPY, inside the connection's transaction.

    :param batches: each with at least the named columns; memory is bounded by one batch. Lists become Postgres
        arrays; null and the empty string stay apart.
    :returns: rows written.
    """
    names = ", ".join(identifier(column) for column in columns)
    statement = f"copy {identifier(table)} ({names}) from stdin (format csv)"
    rows = 0
    with connection.cursor() as cursor:
        for batch in batches:
            part = pa.table(batch) if isinstance(batch, pa.RecordBatch) else batch
            part = _printable(part.select(list(columns)))
            for piece in part.to_batches(max_chunksize=100_000):
                buffer = io.BytesIO()
                pyarrow.csv.write_csv(piece, buffer, pyarrow.csv.WriteOptions(include_header=False))
                buffer.seek(0)
                cursor.copy_expert(statement, buffer, size=BATCH_BYTES)
                rows += piece.num_rows
    return rows


def stream(dsn: str, query: str, parameters: Mapping[str, Any] | None = None) -> Iterator[pa.RecordBatch]:
    """The result of a query with `:name` parameters as Arrow batches, without holding the whole in memory.

    Numerics arrive as text (ADBC keeps their digits exactly); cast them to the decimal that is wanted.
    """
    with connect(dsn) as connection, connection.cursor() as cursor:
        bound = cursor.mogrify(sql.for_psycopg(query), parameters or {}).decode("utf-8")
    with adbc.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute("set timezone = 'UTC'")
        cursor.execute(bound)
        reader = cursor.fetch_record_batch()
        yield pa.RecordBatch.from_pylist([], schema=reader.schema)
        yield from reader


def _printable(table: pa.Table) -> pa.Table:
    """Columns that Arrow's CSV writer cannot print, as text that Postgres reads."""
    for index, field in enumerate(table.schema):
        if pa.types.is_list(field.type):
            texts = [None if value is None else _array_literal(value) for value in table.column(index).to_pylist()]
            table = table.set_column(index, field.name, pa.array(texts, pa.string()))
        elif pa.types.is_dictionary(field.type):
            table = table.set_column(index, field.name, table.column(index).cast(field.type.value_type))
    return table


def _array_literal(values: Sequence[Any]) -> str:
    quoted = ("null" if v is None else '"' + str(v).replace("\\", "\\\\").replace('"', '\\"') + '"' for v in values)
    return "{" + ",".join(quoted) + "}"


__all__ = ["connect", "copy_in", "execute", "fetch", "identifier", "run_script", "stream"]
