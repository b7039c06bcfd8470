"""
The only door to DuckDB: runs a named SQL file over lake tables and hands back Arrow batches.

The file says `from raw.orders`; which Parquet file that is, the caller says. So the same SQL builds any day.
"""

import atexit
import datetime as dt
import itertools
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import duckdb  # noqa: TID251 - the one importer
import fsspec
import pyarrow as pa

from segmentation import settings, sql

BATCH_ROWS = 100_000
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Versions:
    """A table that is kept as versions of rows, as known for a day.

    :param files: Parquet files, the oldest first, each row with its `_batch` and `is_deleted`. The first has at most
        one version of each key.
    :param key: the columns that make two rows versions of one thing.
    :param through: the last batch that the day knows.
    :param schema: the columns of the table, for when there is no file yet.
    :param before: only what happened before this moment is in the table; None: everything is.
    :param time: the column that says when the thing happened; None: it has no time of its own.
    :param is_state_of_then: of several versions, the one that was current at `before` counts (by `updated_at`), or the
        oldest where every one is younger; else the latest of all counts.
    :param is_append_only: all versions of a key are the same row, until it is deleted: earlier ones need not be looked
        up, which saves reading the first file, by far the largest, for them.
    """

    files: tuple[str, ...]
    key: tuple[str, ...]
    through: int
    schema: pa.Schema
    before: dt.datetime | None = None
    time: str | None = None
    is_state_of_then: bool = False
    is_append_only: bool = False


@dataclass(frozen=True)
class Numbered:
    """A table whose rows have their place in it, from 0, as a first column `row_no`.

    :param source: one Parquet file, or an Arrow table.
    """

    source: str | pa.Table


Input = str | pa.Table | Versions | Numbered


def midnight(day: dt.date) -> dt.datetime:
    """The first moment of a day in UTC: what was known before it belongs to a snapshot `as_of` that day."""
    return dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)


def run(
    stage: str,
    name: str,
    inputs: Mapping[str, Input],
    parameters: Mapping[str, Any],
    config: settings.Engine | None = None,
) -> Iterator[pa.RecordBatch]:
    """Runs `include/sql/<stage>/<name>.sql` and yields its rows in batches; the first batch is empty and typed.

    :param inputs: table name as the SQL spells it -> Parquet path or URI, an Arrow table, or versions of rows.
    :param parameters: the SQL's `:name` parameters; days go in as UTC midnights (`midnight`).
    """
    statement = sql.read(stage, name)
    wanted = {key: parameters[key] for key in sql.parameters(statement)}
    yield from _run(sql.for_duckdb(statement), inputs, wanted, config or settings.load().engine)


def query(
    statement: str, inputs: Mapping[str, Input], config: settings.Engine | None = None
) -> Iterator[pa.RecordBatch]:
    """Like `run`, for a statement without parameters that is put together in code: the rules of a suite."""
    yield from _run(statement, inputs, {}, config or settings.load().engine)


def difference(
    key: tuple[str, ...], left: Input, right: Input, config: settings.Engine | None = None
) -> Iterator[pa.RecordBatch]:
    """The distinct keys of `left` that `right` does not have; the first batch is empty and typed."""
    columns = ", ".join(f'"{column}"' for column in key)
    statement = f"select distinct {columns} from key.left_side anti join key.right_side using ({columns})"  # noqa: S608
    inputs = {"key.left_side": left, "key.right_side": right}
    yield from _run(f"{statement} order by {columns}", inputs, {}, config or settings.load().engine)


def literal(value: Any) -> str:
    """A value as SQL, for statements that are put together in code."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, dt.datetime):
        return f"timestamptz '{value.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S.%f}+00'"
    if isinstance(value, dt.date):
        return f"date '{value}'"
    return "'" + str(value).replace("'", "''") + "'"


def quoted(name: str) -> str:
    """A column's name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def table_of(batches) -> pa.Table:
    """What the engine yields, as one table: for results that are small by their nature."""
    return pa.Table.from_batches(list(batches))


def _run(
    statement: str, inputs: Mapping[str, Input], parameters: Mapping[str, Any], config: settings.Engine
) -> Iterator[pa.RecordBatch]:
    instance = _instance(config.threads, config.memory_limit)
    catalog = f"query_{next(_numbers)}"
    cursor = instance.cursor()
    try:
        cursor.execute(f"attach ':memory:' as {catalog}; use {catalog}; set timezone = 'UTC'")
        for table, source in inputs.items():
            _register(cursor, table, source)
        reader = cursor.sql(statement, params=dict(parameters)).to_arrow_reader(BATCH_ROWS)
        yield pa.RecordBatch.from_pylist([], schema=reader.schema)
        yield from reader
    finally:
        cursor.close()
        instance.cursor().execute(f"detach {catalog}")


@cache
def _instance(threads: int, memory_limit: str) -> duckdb.DuckDBPyConnection:
    """One database per process and set of limits: making one takes longer than most queries. Each query attaches a
    catalog of its own, so that none sees another's tables."""
    spill = tempfile.mkdtemp(prefix="fenqun-")
    atexit.register(shutil.rmtree, spill, ignore_errors=True)
    return duckdb.connect(config={"threads": threads, "memory_limit": memory_limit, "temp_directory": spill})


def _register(connection, table: str, source: Input) -> None:
    schema, name = table.split(".")
    connection.execute(f'create schema if not exists "{schema}"')
    connection.execute(f'create view "{schema}"."{name}" as {_relation(connection, f"{schema}__{name}", source)}')


def _relation(connection, flat: str, source: Input) -> str:
    """The SELECT that an input amounts to; `flat` is a name for what it needs in the connection."""
    if isinstance(source, Versions) and source.files:
        _use_filesystem_of(connection, source.files[0])
        return _chosen(source)
    if isinstance(source, Versions):
        source = source.schema.empty_table()
    table = source.source if isinstance(source, Numbered) else source
    if isinstance(table, pa.Table):
        connection.register(flat, table)
        number = "row_number() over () - 1 as row_no, " if isinstance(source, Numbered) else ""
        return f'select {number}* from "{flat}"'  # noqa: S608 - names of tables.py
    _use_filesystem_of(connection, table)
    if isinstance(source, Numbered):
        read = f"read_parquet({literal(table)}, file_row_number = true)"
        return f"select file_row_number as row_no, * exclude (file_row_number) from {read}"  # noqa: S608
    return f"select * from read_parquet({literal(table)})"  # noqa: S608


def _use_filesystem_of(connection, path: str) -> None:
    protocol = fsspec.utils.get_protocol(path)
    if protocol != "file":
        filesystem, _ = fsspec.core.url_to_fs(path)  # its login may have changed since
        if protocol in connection.list_filesystems():
            connection.unregister_filesystem(protocol)
        connection.register_filesystem(filesystem)


def _chosen(versions: Versions) -> str:
    """The SELECT that picks one version per key.

    Only keys that occur in a later file are compared; the rest of the first file, nearly all of it, streams through.
    """
    first, later = versions.files[:1], versions.files[1:]
    known = f"_batch <= {int(versions.through)}"
    key = ", ".join(f'"{column}"' for column in versions.key)
    time = f'"{versions.time}"' if versions.time else None
    happened = f"({time} is null or {time} < {literal(versions.before)})" if time and versions.before else "true"
    if not later:
        return (
            f"select * exclude (_batch, is_deleted) from {_files(first)} "  # noqa: S608
            f"where {known} and not is_deleted and {happened}"
        )
    if versions.before and versions.is_state_of_then:
        # Those current then, the youngest first; after them the younger ones, the oldest first.
        moment = literal(versions.before)
        order = (
            f"updated_at < {moment} desc nulls last, "
            f"case when updated_at < {moment} then updated_at end desc nulls last, updated_at asc, _batch desc"
        )
    else:
        order = "_batch desc, updated_at desc"
    earlier = f"union all by name select base.* from base semi join touched using ({key})"  # noqa: S608
    if versions.is_append_only:
        earlier = ""
    base = f"from {_files(first)} where {known}" if first else f"from {_files(later)} where false"
    return f"""
        with later as (select * from {_files(later)} where {known}),
        touched as (select distinct {key} from later),
        base as not materialized (select * {base}),
        candidates as (
            select * from later {earlier}
        ),
        living as (
            select * from candidates
            qualify _batch > coalesce(max(_batch) filter (is_deleted) over (partition by {key}), -1)
        ),
        chosen as (select * from living qualify row_number() over (partition by {key} order by {order}) = 1)
        select * exclude (_batch, is_deleted) from chosen where {happened}
        union all by name
        select base.* exclude (_batch, is_deleted) from base anti join touched using ({key})
        where not is_deleted and {happened}
    """  # noqa: S608 - names of tables.py, numbers, times and paths that are quoted


def _files(files: tuple[str, ...]) -> str:
    return f"read_parquet([{', '.join(map(literal, files))}])"
