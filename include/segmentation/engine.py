"""
The only door to DuckDB: runs a named SQL file over lake tables and hands back Arrow batches.

The file says `from raw.orders`; which Parquet file that is, the caller says. So the same SQL builds any day.
"""

import datetime as dt
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb  # noqa: TID251 - the one importer
import fsspec
import pyarrow as pa

from segmentation import settings, sql

BATCH_ROWS = 100_000


@dataclass(frozen=True)
class Versions:
    """A table that is kept as versions of rows, as known for a day.

    :param files: Parquet files, the oldest first, each row with its `_batch` and `is_deleted`. The first has at most
        one version of each key, unless `is_first_mixed`.
    :param key: the columns that make two rows versions of one thing.
    :param through: the last batch that the day knows.
    :param schema: the columns of the table, for when there is no file yet.
    :param before: only what happened before this moment is in the table; None: everything is.
    :param time: the column that says when the thing happened; None: it has no time of its own.
    :param is_state_of_then: of several versions, the one that was current at `before` counts (by `updated_at`), or the
        oldest where every one is younger; else the latest of all counts.
    """

    files: tuple[str, ...]
    key: tuple[str, ...]
    through: int
    schema: pa.Schema
    before: dt.datetime | None = None
    time: str | None = None
    is_state_of_then: bool = False
    is_first_mixed: bool = False


Input = str | pa.Table | Versions


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


def difference(key: tuple[str, ...], left: Input, right: Input) -> Iterator[pa.RecordBatch]:
    """The distinct keys of `left` that `right` does not have; the first batch is empty and typed."""
    columns = ", ".join(f'"{column}"' for column in key)
    statement = f"select distinct {columns} from key.left_side anti join key.right_side using ({columns})"  # noqa: S608
    inputs = {"key.left_side": left, "key.right_side": right}
    yield from _run(f"{statement} order by {columns}", inputs, {}, settings.load().engine)


def _run(
    statement: str, inputs: Mapping[str, Input], parameters: Mapping[str, Any], config: settings.Engine
) -> Iterator[pa.RecordBatch]:
    limits = {"threads": config.threads, "memory_limit": config.memory_limit}
    with (
        tempfile.TemporaryDirectory() as spill,
        duckdb.connect(config={**limits, "temp_directory": spill}) as connection,
    ):
        connection.execute("set timezone = 'UTC'")
        for table, source in inputs.items():
            _register(connection, table, source)
        reader = connection.sql(statement, params=dict(parameters)).to_arrow_reader(BATCH_ROWS)
        yield pa.RecordBatch.from_pylist([], schema=reader.schema)
        yield from reader


def _register(connection, table: str, source: Input) -> None:
    schema, name = table.split(".")
    connection.execute(f'create schema if not exists "{schema}"')
    flat = f"{schema}__{name}"
    if isinstance(source, Versions) and source.files:
        _use_filesystem_of(connection, source.files[0])
        connection.execute(f'create view "{schema}"."{name}" as {_chosen(source)}')
        return
    if isinstance(source, Versions):
        source = source.schema.empty_table()
    if isinstance(source, pa.Table):
        connection.register(flat, source)
    else:
        _use_filesystem_of(connection, source)
        connection.read_parquet(source).create_view(flat)
    connection.execute(f'create view "{schema}"."{name}" as select * from "{flat}"')  # noqa: S608 - names of tables.py


def _use_filesystem_of(connection, path: str) -> None:
    protocol = fsspec.utils.get_protocol(path)
    if protocol != "file" and protocol not in connection.list_filesystems():
        filesystem, _ = fsspec.core.url_to_fs(path)
        connection.register_filesystem(filesystem)


def _chosen(versions: Versions) -> str:
    """The SELECT that picks one version per key.

    Only keys that occur in a later file are compared; the rest of the first file, nearly all of it, streams through.
    """
    first, later = versions.files[:1], versions.files[1:]
    if versions.is_first_mixed:
        first, later = (), versions.files
    known = f"_batch <= {int(versions.through)}"
    key = ", ".join(f'"{column}"' for column in versions.key)
    time = f'"{versions.time}"' if versions.time else None
    happened = f"({time} is null or {time} < {_moment(versions.before)})" if time and versions.before else "true"
    if not later:
        return (
            f"select * exclude (_batch, is_deleted) from {_files(first)} "  # noqa: S608
            f"where {known} and not is_deleted and {happened}"
        )
    if versions.before and versions.is_state_of_then:
        # Those current then, the youngest first; after them the younger ones, the oldest first.
        moment = _moment(versions.before)
        order = (
            f"updated_at < {moment} desc nulls last, "
            f"case when updated_at < {moment} then updated_at end desc nulls last, updated_at asc, _batch desc"
        )
    else:
        order = "_batch desc, updated_at desc"
    base = f"from {_files(first)} where {known}" if first else f"from {_files(later)} where false"
    return f"""
        with later as (select * from {_files(later)} where {known}),
        touched as (select distinct {key} from later),
        base as (select * {base}),
        candidates as (
            select * from later union all by name select base.* from base semi join touched using ({key})
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
    quoted = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    return f"read_parquet([{quoted}])"


def _moment(moment: dt.datetime) -> str:
    return f"timestamptz '{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S.%f}+00'"
