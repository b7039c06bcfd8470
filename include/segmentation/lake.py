"""
The lake: Parquet tables by day under `LAKE_URI`, a local folder or any object store that fsspec knows.

A table's day is one file, `{LAKE_URI}/<schema>/<table>/as_of=<day>/<table>.parquet`, written under another name and
moved into place when it is whole: a reader sees the old day or the new one, and a killed writer leaves the old one.
"""

import datetime as dt
import posixpath
import uuid
from collections.abc import Iterable

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from segmentation.errors import FinalError

ROWS_PER_GROUP = 122_880


class MissingDayError(FinalError):
    """The lake has no such table for that day: the task that writes it has not run, or failed."""


def path(lake: str, table: str, day: dt.date) -> str:
    """Where a table's day lies, e.g. `/lake/raw/orders/as_of=2026-01-31/orders.parquet`."""
    schema, name = table.split(".")
    return posixpath.join(lake, schema, name, f"as_of={day:%Y-%m-%d}", f"{name}.parquet")


def existing(lake: str, table: str, day: dt.date) -> str:
    """Like `path`, for reading.

    :raises MissingDayError: naming table and day.
    """
    target = path(lake, table, day)
    filesystem, plain = fsspec.core.url_to_fs(target)
    if not filesystem.exists(plain):
        raise MissingDayError(f"the lake has no {table} for {day} ({target}): run the task that writes it first")
    return target


def write(lake: str, table: str, day: dt.date, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> int:
    """Replaces a table's day by the batches, atomically; memory is bounded by one batch.

    :returns: rows written.
    """
    target = path(lake, table, day)
    filesystem, plain = fsspec.core.url_to_fs(target)
    filesystem.makedirs(posixpath.dirname(plain), exist_ok=True)
    _drop_leftovers(filesystem, plain)
    unfinished = f"{plain}.{uuid.uuid4().hex}.tmp"
    rows = 0
    try:
        with filesystem.open(unfinished, "wb") as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for batch in batches:
                writer.write_batch(batch, row_group_size=ROWS_PER_GROUP)
                rows += batch.num_rows
        filesystem.mv(unfinished, plain)
    except BaseException:
        if filesystem.exists(unfinished):
            filesystem.rm(unfinished)
        raise
    return rows


def read(lake: str, table: str, day: dt.date, columns: list[str] | None = None) -> pa.Table:
    """A table's day, whole: for columns or tables that fit in memory by their nature.

    :raises MissingDayError: naming table and day.
    """
    with open_parquet(lake, table, day) as file:
        return file.read(columns=columns)


def open_parquet(lake: str, table: str, day: dt.date) -> pq.ParquetFile:
    """A table's day, opened for reading in batches or by column.

    :raises MissingDayError: naming table and day.
    """
    filesystem, plain = fsspec.core.url_to_fs(existing(lake, table, day))
    return pq.ParquetFile(filesystem.open(plain, "rb"))


def _drop_leftovers(filesystem, plain: str) -> None:
    """Removes what killed writers of this very day left behind."""
    for leftover in filesystem.glob(f"{plain}.*.tmp"):
        filesystem.rm(leftover)
