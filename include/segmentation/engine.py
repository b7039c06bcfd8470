"""
The door to SQL over lake tables: a named file, or a session of several statements.

A file says `from raw.orders`; which Parquet file that is, the caller says. So the same SQL builds any day. Aggregates
and features run on the engine that the settings name (`session`): DuckDB in this process, or Spark when the shop
outgrows one machine. The gates and the extract stream their rows, in bounded memory, and stay on DuckDB (`run`,
`query`, `difference`).
"""

import datetime as dt
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import pyarrow as pa

from segmentation import duckdb_engine, settings, sql
from segmentation import lake as lakes
from segmentation.sources import (
    Aggregated,
    Function,
    Happened,
    Input,
    Numbered,
    Part,
    Timeline,
    Versions,
    literal,
    quoted,
)

__all__ = [
    "Aggregated",
    "Happened",
    "Input",
    "Numbered",
    "Part",
    "Session",
    "Timeline",
    "Versions",
    "difference",
    "literal",
    "mapped",
    "midnight",
    "query",
    "quoted",
    "run",
    "session",
    "table_of",
]


class Session(Protocol):
    """Tables of one piece of work, by the names that the SQL has for them."""

    def put(self, table: str, source: Input) -> None:
        """Has `table`, e.g. `raw.orders`, stand for a source: it is read whenever a statement asks for it."""

    def create(self, table: str, statement: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Has `table` hold the rows of a statement, which is run once, now, instead of what it held."""

    def batches(
        self, statement: str, parameters: Mapping[str, Any] | None = None, function: Function | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a statement in batches, each put through a function; the first one is empty and typed."""


def session(lake: str, config: settings.Settings | None = None):
    """A session on the engine that the settings name; use it in a `with` block.

    :param lake: Spark keeps there, under `scratch/`, what its workers hand to each other and to this process.
    """
    config = config or settings.load()
    if config.engine == "spark":
        from segmentation import spark_engine  # pyspark is only there where it is wanted

        return spark_engine.Session(config.spark, lake)
    return duckdb_engine.Session(config.duckdb)


def mapped(
    path: str,
    function: Function,
    schema: pa.Schema,
    lake: str,
    rows: int,
    *,
    threads: int = 1,
    config: settings.Settings | None = None,
) -> Iterator[pa.RecordBatch]:
    """A Parquet file's rows put through a function, in batches: in this process, or by Spark's workers.

    :param function: gets some rows and gives one row for each; it and what it holds can be pickled.
    :param schema: of what it gives.
    :param lake: as for `session`.
    :param rows: in a batch, at most.
    :param threads: batches at a time in this process, whose rows come in the order of the file all the same; how many
        Spark has, its own settings say.
    """
    config = config or settings.load()
    if config.engine == "spark":
        from segmentation import spark_engine

        with spark_engine.Session(config.spark, lake) as session:
            yield from session.mapped(path, function, schema, rows)
    else:
        yield from _in_turn(function, lakes.batches_of(path, rows), threads)


def _in_turn(function: Function, batches: Iterator[pa.RecordBatch], threads: int) -> Iterator[pa.RecordBatch]:
    """Like `map`, with so many at a time; no more are read than are being worked on."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[pa.RecordBatch]] = deque()
        try:
            for batch in batches:
                waiting.append(pool.submit(function, batch))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # after an error nobody waits for the rest


def midnight(day: dt.date) -> dt.datetime:
    """The first moment of a day in UTC: what was known before it belongs to a snapshot `as_of` that day."""
    return dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)


def run(
    stage: str,
    name: str,
    inputs: Mapping[str, Input],
    parameters: Mapping[str, Any],
    config: settings.DuckDB | None = None,
) -> Iterator[pa.RecordBatch]:
    """Runs `include/sql/<stage>/<name>.sql` and yields its rows in batches; the first batch is empty and typed.

    :param inputs: table name as the SQL spells it -> Parquet path or URI, an Arrow table, or versions of rows.
    :param parameters: the SQL's `:name` parameters.
    """
    yield from _run(sql.read(stage, name), inputs, parameters, config)


def query(
    statement: str, inputs: Mapping[str, Input], config: settings.DuckDB | None = None
) -> Iterator[pa.RecordBatch]:
    """Like `run`, for a statement without parameters that is put together in code: the rules of a suite."""
    yield from _run(statement, inputs, None, config)


def difference(
    key: tuple[str, ...], left: Input, right: Input, config: settings.DuckDB | None = None
) -> Iterator[pa.RecordBatch]:
    """The distinct keys of `left` that `right` does not have; the first batch is empty and typed."""
    columns = ", ".join(map(quoted, key))
    statement = f"select distinct {columns} from key.left_side anti join key.right_side using ({columns})"  # noqa: S608
    inputs = {"key.left_side": left, "key.right_side": right}
    yield from _run(f"{statement} order by {columns}", inputs, None, config)


def table_of(batches) -> pa.Table:
    """What the engine yields, as one table: for results that are small by their nature."""
    return pa.Table.from_batches(list(batches))


def _run(
    statement: str, inputs: Mapping[str, Input], parameters: Mapping[str, Any] | None, config: settings.DuckDB | None
) -> Iterator[pa.RecordBatch]:
    with duckdb_engine.Session(config or settings.load().duckdb) as here:
        for table, source in inputs.items():
            here.put(table, source)
        yield from here.batches(statement, parameters)
