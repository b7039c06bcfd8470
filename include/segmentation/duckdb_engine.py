"""The embedded engine, and the only importer of DuckDB: statements over lake tables in one process."""

import atexit
import itertools
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import duckdb  # noqa: TID251 - the one importer
import fsspec
import pyarrow as pa

from segmentation import settings, sources, sql
from segmentation.sources import Aggregated, Function, Happened, Input, Numbered, Part, Timeline, Versions, literal

BATCH_ROWS = 100_000
_numbers = itertools.count(1)


class Session:
    """Tables of one piece of work, by the names that the SQL has for them. Use it in a `with` block.

    :param config: how much of the machine it may use.
    """

    def __init__(self, config: settings.DuckDB) -> None:
        self._instance = _instance(config.threads, config.memory_limit)

    def __enter__(self) -> "Session":
        self._catalog = f"session_{next(_numbers)}"
        self._cursor = self._instance.cursor()
        self._cursor.execute(f"attach ':memory:' as {self._catalog}; use {self._catalog}; set timezone = 'UTC'")
        return self

    def __exit__(self, *_) -> None:
        self._cursor.close()
        self._instance.cursor().execute(f"detach {self._catalog}")

    def put(self, table: str, source: Input) -> None:
        """Has `table`, e.g. `raw.orders`, stand for a source: it is read whenever a statement asks for it."""
        self._make_room(table)
        relation = _relation(self._cursor, table.replace(".", "__"), source)
        self._cursor.execute(f"create or replace view {_name(table)} as {relation}")

    def create(self, table: str, statement: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Has `table` hold the rows of a statement, which is run once, now, instead of what it held."""
        self._make_room(table)
        self._cursor.execute(
            f"create or replace table {_name(table)} as {_text(statement, parameters)}", _wanted(statement, parameters)
        )

    def batches(
        self, statement: str, parameters: Mapping[str, Any] | None = None, function: Function | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a statement in batches, each put through a function; the first one is empty and typed."""
        relation = self._cursor.sql(_text(statement, parameters), params=_wanted(statement, parameters))
        reader = relation.to_arrow_reader(BATCH_ROWS)
        empty = pa.RecordBatch.from_pylist([], schema=reader.schema)
        yield from map(function or _same, itertools.chain([empty], reader))

    def _make_room(self, table: str) -> None:
        self._cursor.execute(f'create schema if not exists "{table.split(".")[0]}"')


@cache
def _instance(threads: int, memory_limit: str) -> duckdb.DuckDBPyConnection:
    """One database per process and set of limits: making one takes longer than most queries. Each session attaches a
    catalog of its own, so that none sees another's tables."""
    spill = tempfile.mkdtemp(prefix="fenqun-")
    atexit.register(shutil.rmtree, spill, ignore_errors=True)
    return duckdb.connect(config={"threads": threads, "memory_limit": memory_limit, "temp_directory": spill})


def _same(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch


def _name(table: str) -> str:
    schema, name = table.split(".")
    return f'"{schema}"."{name}"'


def _text(statement: str, parameters: Mapping[str, Any] | None) -> str:
    return statement if parameters is None else sql.for_duckdb(statement)


def _wanted(statement: str, parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    return {} if parameters is None else {key: parameters[key] for key in sql.parameters(statement)}


def _relation(connection, flat: str, source: Input) -> str:
    """The SELECT that an input amounts to; `flat` is a name for what it needs in the connection."""
    if isinstance(source, Aggregated):
        if not source.files:
            return _relation(connection, flat, source.schema.empty_table())
        _use_filesystem_of(connection, source.files[0])
        return sources.aggregated(source, _files(source.files))
    if isinstance(source, Versions | Timeline | Happened | Part):
        versions = source if isinstance(source, Versions) else source.versions
        if not versions.files:
            return _relation(connection, flat, sources.schema_of(source).empty_table())
        _use_filesystem_of(connection, versions.files[0])
        later = versions.files[1:]
        return sources.select_of(source, _files(versions.files[:1]), _files(later) if later else None)
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


def _files(files: tuple[str, ...]) -> str:
    return f"read_parquet([{', '.join(map(literal, files))}])"


def _use_filesystem_of(connection, path: str) -> None:
    protocol = fsspec.utils.get_protocol(path)
    if protocol != "file":
        filesystem, _ = fsspec.core.url_to_fs(path)  # its login may have changed since
        if protocol in connection.list_filesystems():
            connection.unregister_filesystem(protocol)
        connection.register_filesystem(filesystem)
