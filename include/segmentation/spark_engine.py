"""
Spark, for shops that outgrow one machine, and the only importer of pyspark: the same statements over the same lake.

The SQL is written in DuckDB's dialect and carried over by SQLGlot. What a statement yields is written by the workers
under `scratch/` in the lake and read from there, so this process never holds more than a batch of it. So is a CTE that
its statement reads more than once: Spark would work it out each time, where DuckDB keeps it.
"""

import itertools
import os
import posixpath
import re
import sys
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import sqlglot
from pyspark.sql import DataFrame, SparkSession  # noqa: TID251 - the one importer
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema  # noqa: TID251 - the one importer
from sqlglot import exp

from segmentation import lake as lakes
from segmentation import settings, sources, sql
from segmentation.sources import Aggregated, Function, Happened, Input, Part, Timeline, Versions, literal

BATCH_ROWS = 100_000
_CONF = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.execution.arrow.maxRecordsPerBatch": str(BATCH_ROWS),
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}


class Session:
    """Like `duckdb_engine.Session`, on Spark.

    :param config: where Spark is.
    :param lake: folder or object-store URI that this process and the workers share.
    """

    def __init__(self, config: settings.Spark, lake: str) -> None:
        self._spark = _spark(config.master, tuple(sorted(config.conf.items())))
        self._scratch = posixpath.join(lake, "scratch", uuid.uuid4().hex)
        self._views: set[str] = set()
        self._numbers = itertools.count(1)
        self._prefix = f"s{uuid.uuid4().hex[:8]}__"

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_) -> None:
        for view in self._views:
            self._spark.catalog.dropTempView(view)
        filesystem, plain = fsspec.core.url_to_fs(self._scratch)
        if filesystem.exists(plain):
            filesystem.rm(plain, recursive=True)

    def put(self, table: str, source: Input) -> None:
        self._register(self._name(table), self._frame(table, source))

    def create(self, table: str, statement: str, parameters: Mapping[str, Any] | None = None) -> None:
        folder = self._written(self._sql(statement, parameters))
        self._register(self._name(table), self._spark.read.parquet(_for_spark(folder)))

    def batches(
        self, statement: str, parameters: Mapping[str, Any] | None = None, function: Function | None = None
    ) -> Iterator[pa.RecordBatch]:
        frame = self._sql(statement, parameters)
        fields = to_arrow_schema(frame.schema, timezone="UTC")
        schema = pa.schema([(field.name, field.type) for field in fields])
        empty = pa.RecordBatch.from_pylist([], schema=schema)
        if function:
            empty = function(empty)
            frame = _mapped(frame, function, empty.schema)
        yield empty
        yield from self._read(frame, empty.schema)

    def mapped(self, path: str, function: Function, schema: pa.Schema, rows: int) -> Iterator[pa.RecordBatch]:
        """The rows of a Parquet file put through a function by the workers, in any order; see `engine.mapped`."""
        frame = self._spark.read.parquet(_for_spark(path))
        self._spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", str(rows))
        try:
            yield from self._read(_mapped(frame, function, schema), schema)
        finally:
            self._spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", str(BATCH_ROWS))

    def _read(self, frame: DataFrame, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """What the workers write of a frame, read again."""
        folder = self._written(frame)
        filesystem, plain = fsspec.core.url_to_fs(folder)
        for file in sorted(filesystem.glob(posixpath.join(plain, "*.parquet"))):
            for batch in lakes.batches_of(posixpath.join(folder, posixpath.basename(file)), BATCH_ROWS):
                yield _cast(batch, schema)

    def _name(self, table: str) -> str:
        return self._prefix + table.replace(".", "__")

    def _register(self, view: str, frame: DataFrame) -> None:
        frame.createOrReplaceTempView(view)
        self._views.add(view)

    def _sql(self, statement: str, parameters: Mapping[str, Any] | None = None) -> DataFrame:
        tree = _tree(statement, parameters, self._prefix)
        for name in read_again(tree):
            view = f"{self._prefix}cte{next(self._numbers):04d}__{name}"
            part = taken_out(tree, name, view)
            self._register(view, self._spark.read.parquet(_for_spark(self._written(self._spark.sql(part)))))
        return self._spark.sql(tree.sql(dialect="spark"))

    def _written(self, frame: DataFrame) -> str:
        folder = posixpath.join(self._scratch, f"{next(self._numbers):04d}")
        frame.write.parquet(_for_spark(folder), compression="zstd")
        return folder

    def _frame(self, table: str, source: Input) -> DataFrame:
        if isinstance(source, Aggregated):
            schema = pa.schema([*source.schema, ("changed_on", pa.date32()), ("_batch", pa.int64())])
            files = self._files(f"{table}_files", source.files, schema)
            return self._sql(sources.aggregated(source, files))
        if isinstance(source, Versions | Timeline | Happened | Part):
            versions = source if isinstance(source, Versions) else source.versions
            schema = versions.schema.append(pa.field("is_deleted", pa.bool_())).append(pa.field("_batch", pa.int64()))
            first = self._files(f"{table}_first", versions.files[:1], schema)
            later = self._files(f"{table}_later", versions.files[1:], schema) if versions.files[1:] else None
            return self._sql(sources.select_of(source, first, later))
        if isinstance(source, pa.Table):
            return self._spark.createDataFrame(source)
        return self._spark.read.parquet(_for_spark(source))

    def _files(self, table: str, files: tuple[str, ...], schema: pa.Schema) -> str:
        """Registers the rows of files; the name that a statement has for them."""
        name = f"files.{table.replace('.', '_')}"
        if files:
            frame = self._spark.read.parquet(*map(_for_spark, files))
        else:
            frame = self._spark.createDataFrame(schema.empty_table())
        self._register(self._name(name), frame)
        return name


def _tree(statement: str, parameters: Mapping[str, Any] | None, prefix: str) -> exp.Expression:
    """A statement in DuckDB's dialect, as Spark can have it.

    :param parameters: put in as literals; days and times are all that there is.
    :param prefix: of the temporary views, which have names of one part: `agg.sessions` is `<prefix>agg__sessions`.
    """
    for name in sql.parameters(statement) if parameters is not None else ():
        statement = sql.put_in(statement, name, literal(parameters[name]))
    tree = sqlglot.parse_one(statement, dialect="duckdb")
    for part in tree.find_all(exp.CTE):
        part.set("materialized", None)  # a word that Spark does not have
    for table in tree.find_all(exp.Table):
        if table.db:
            alias = table.alias or table.name
            table.replace(exp.alias_(exp.to_table(f"{prefix}{table.db}__{table.name}"), alias, table=True))
    return tree


def read_again(tree: exp.Expression) -> list[str]:
    """The CTEs of a statement that are read in more than one place, in their order.

    None of a statement that has further ones inside: theirs may have the same names.
    """
    if sum(1 for _ in tree.find_all(exp.With)) != 1:
        return []
    read = Counter(table.name for table in tree.find_all(exp.Table))
    return [part.alias for part in tree.ctes if read[part.alias] > 1]


def taken_out(tree: exp.Expression, name: str, view: str) -> str:
    """Takes a CTE out of a statement, which reads a view in its place from then on.

    :returns: what the view has to hold, as a statement of Spark's.
    """
    place = [part.alias for part in tree.ctes].index(name)
    before, part = tree.ctes[:place], tree.ctes[place]
    query = part.this.copy()
    for each in before:
        query = query.with_(each.alias, as_=each.this.copy(), copy=False)
    part.pop()
    if not tree.ctes:
        tree.set("with_", None)
    for table in list(tree.find_all(exp.Table)):
        if table.name == name:
            table.replace(exp.alias_(exp.to_table(view), table.alias or name, table=True))
    return query.sql(dialect="spark")


@cache
def _spark(master: str, conf: tuple[tuple[str, str], ...]) -> SparkSession:
    """One Spark session per process: starting one takes seconds."""
    home = str(Path(__file__).resolve().parents[1])
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if home not in paths:  # workers on this machine are started with it; others have the package installed
        os.environ["PYTHONPATH"] = os.pathsep.join([home, *filter(None, paths)])
    if master.startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("fenqun")
    builder = builder.remote(master) if master.startswith("sc://") else builder.master(master)
    for key, value in (_CONF | dict(conf)).items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def _mapped(frame: DataFrame, function: Function, schema: pa.Schema) -> DataFrame:
    """A frame whose batches the workers put through a function."""

    def through(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield function(batch)

    return frame.mapInArrow(through, from_arrow_schema(schema))


def _cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = [batch[field.name].cast(field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _for_spark(path: str) -> str:
    """A path or URI as Spark's file systems have it."""
    if "://" not in path:
        return f"file://{Path(path).absolute()}"  # Hadoop wants it as it is, not escaped
    return re.sub("^s3://", "s3a://", path)
