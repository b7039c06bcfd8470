"""
The lake: Parquet tables by day under `LAKE_URI`, a local folder or any object store that fsspec knows.

A table's day is one file, `{LAKE_URI}/<schema>/<table>/as_of=<day>/<table>.parquet`, written under another name and
moved into place when it is whole: a reader sees the old day or the new one, and a killed writer leaves the old one.
"""

import contextlib
import datetime as dt
import glob
import os
import posixpath
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Any

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from segmentation.errors import FinalError

ROWS_PER_GROUP = 122_880
_UNFINISHED = re.compile(r"\.[0-9a-f]{32}\.tmp$")
_PATTERN = re.compile(r"[*\[\]{}]")
# What fsspec has that keeps files, at one place for all processes: a cache, an archive or a code forge is none
_STORES = frozenset(
    (
        "file",
        "s3",
        "s3a",
        "gs",
        "gcs",
        "abfs",
        "abfss",
        "az",
        "adl",
        "oss",
        "oci",
        "hdfs",
        "webhdfs",
        "sftp",
        "ssh",
        "smb",
    )
)


class MissingDayError(FinalError):
    """The lake has no such table for that day: the task that writes it has not run, or failed."""


class LakeAwayError(RuntimeError):
    """There is no lake at its address: its store cannot be reached, or is not mounted. Trying again may help."""


class LakeUriError(FinalError):
    """An address is no place for the lake; says why."""


def checked(uri: str) -> str:
    """The address of a lake, if it can be one: an absolute path, or a URI of a store that fsspec can write to.

    It is shown in logs, so it holds no login; and it is put in front of names, some of which are patterns.

    :raises LakeUriError: says why not.
    """
    scheme, _, rest = uri.partition("://") if "://" in uri else ("file", "", uri)
    place = rest.partition("/")[0]
    if re.search(":.*@", place) or "?" in uri:  # not repeated here
        raise LakeUriError("LAKE_URI cannot be the lake's address: it holds a login or options; the environment may")
    if not uri.isprintable() or uri != uri.strip() or _PATTERN.search(uri):
        why = "it holds a character that has a meaning in patterns of file names, or that cannot be printed"
    elif ".." in rest.split("/") or "::" in uri:
        why = "it leads elsewhere by `..` or `::`"
    elif scheme == "file" and not rest.startswith("/"):
        why = "it is no absolute path, so every process would have a lake of its own"
    elif scheme != "file" and not place:
        why = "it names no bucket"
    elif scheme not in _STORES:
        why = f"{scheme}:// is nothing that files can be kept in"
    else:
        return uri
    raise LakeUriError(f"LAKE_URI={uri!r:.200} cannot be the lake's address: {why}")


def path(lake: str, table: str, day: dt.date) -> str:
    """Where a table's day lies, e.g. `/lake/raw/orders/as_of=2026-01-31/orders.parquet`."""
    schema, name = table.split(".")
    return posixpath.join(lake, schema, name, f"as_of={day:%Y-%m-%d}", f"{name}.parquet")


def beside(lake: str, table: str, day: dt.date, name: str) -> str:
    """Where a file lies that belongs to a table's day: `/lake/feat/customer_daily/as_of=2026-01-31/features.md`."""
    return posixpath.join(posixpath.dirname(path(lake, table, day)), name)


def existing(lake: str, table: str, day: dt.date) -> str:
    """Like `path`, for reading.

    :raises MissingDayError: naming table and day.
    :raises LakeAwayError: the whole lake is not there.
    """
    target = path(lake, table, day)
    filesystem, plain = fsspec.core.url_to_fs(target)
    if not filesystem.exists(plain):
        _refuse_absence(lake)
        raise MissingDayError(f"the lake has no {table} for {day} ({target}): run the task that writes it first")
    return target


def write(
    lake: str,
    table: str,
    day: dt.date,
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    notes: Callable[[], Mapping[str, str]] | None = None,
) -> int:
    """Replaces a table's day by the batches, atomically; memory is bounded by one batch.

    :param notes: called when all batches are written; what it returns is kept in the file's metadata.
    :returns: rows written.
    """
    return write_file(path(lake, table, day), batches, schema, notes)


def write_file(
    target: str,
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    notes: Callable[[], Mapping[str, str]] | None = None,
) -> int:
    """Like `write`, for a file that is named in full."""
    rows = 0
    filesystem, plain = fsspec.core.url_to_fs(target)
    _drop_leftovers(filesystem, plain)
    with (
        _beside(filesystem, plain) as unfinished,
        filesystem.open(unfinished, "wb") as file,
        pq.ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        for batch in batches:
            writer.write_batch(batch, row_group_size=ROWS_PER_GROUP)
            rows += batch.num_rows
        if notes:
            writer.add_key_value_metadata(dict(notes()))
    return rows


@contextlib.contextmanager
def _beside(filesystem, plain: str) -> Iterator[str]:
    """Where a file is written until it is whole; it then takes its place. An error leaves nothing behind."""
    filesystem.makedirs(posixpath.dirname(plain), exist_ok=True)
    unfinished = f"{plain}.{uuid.uuid4().hex}.tmp"
    try:
        yield unfinished
        filesystem.mv(unfinished, plain)
    except BaseException:
        if filesystem.exists(unfinished):
            filesystem.rm(unfinished)
        raise


def read(lake: str, table: str, day: dt.date, columns: list[str] | None = None) -> pa.Table:
    """A table's day, whole: for columns or tables that fit in memory by their nature.

    :raises MissingDayError: naming table and day.
    """
    with open_parquet(lake, table, day) as file:
        return file.read(columns=columns)


def read_where(lake: str, table: str, day: dt.date, columns: list[str], where: list[tuple]) -> pa.Table:
    """Like `read`, only the rows that meet conditions such as `("as_of_date", "=", day)`.

    :raises MissingDayError: naming table and day.
    """
    filesystem, plain = fsspec.core.url_to_fs(existing(lake, table, day))
    with filesystem.open(plain, "rb") as file:
        return pq.read_table(file, columns=columns, filters=where, pre_buffer=False)


def columns(lake: str, table: str, day: dt.date) -> list[str]:
    """The names of the columns of a table's day.

    :raises MissingDayError: naming table and day.
    """
    with open_parquet(lake, table, day) as file:
        return file.schema_arrow.names


def has(lake: str, table: str, day: dt.date) -> bool:
    """Whether the lake has a table's day.

    :raises LakeAwayError: the whole lake is not there, which says nothing of the day.
    """
    filesystem, plain = fsspec.core.url_to_fs(path(lake, table, day))
    is_there = filesystem.exists(plain)
    if not is_there:
        _refuse_absence(lake)
    return is_there


def _refuse_absence(lake: str) -> None:
    filesystem, plain = fsspec.core.url_to_fs(lake)
    if not filesystem.isdir(plain):
        raise LakeAwayError(f"there is no lake at {lake}: its store is away, or nothing was ever written there")


def first_value(lake: str, table: str, day: dt.date, column: str) -> Any:
    """A column of the first row of a table's day: for what is the same in all rows. None where there is no row.

    :raises MissingDayError: naming table and day.
    """
    with open_parquet(lake, table, day) as file:
        return next((batch[0][0].as_py() for batch in file.iter_batches(1, columns=[column])), None)


def open_parquet(lake: str, table: str, day: dt.date) -> pq.ParquetFile:
    """A table's day, opened for reading in batches or by column.

    :raises MissingDayError: naming table and day.
    """
    filesystem, plain = fsspec.core.url_to_fs(existing(lake, table, day))
    return _parquet(filesystem.open(plain, "rb"))


def batches_of(
    target: str, rows: int, columns: list[str] | None = None, *, has_threads: bool = True
) -> Iterator[pa.RecordBatch]:
    """A file in pieces of so many rows; all columns, or some.

    :param has_threads: whether columns are decoded at the same time: sooner done, for more CPU and memory.
    """
    filesystem, plain = fsspec.core.url_to_fs(target)
    with filesystem.open(plain, "rb") as file:
        yield from _parquet(file).iter_batches(rows, columns=columns, use_threads=has_threads)


def _parquet(file: IO[bytes]) -> pq.ParquetFile:
    """An open file as Parquet. Arrow's own way, `pre_buffer`, keeps the bytes of all that was read until the reader is
    closed: batches of a file would take the memory of the whole file."""
    return pq.ParquetFile(file, pre_buffer=False)


def days_of(lake: str, table: str) -> list[dt.date]:
    """The days that the lake has of a table, the earliest first.

    :raises LakeAwayError: the whole lake is not there, which says nothing of the days.
    """
    schema, name = table.split(".")
    filesystem, plain = fsspec.core.url_to_fs(posixpath.join(lake, schema, name))
    found = filesystem.glob(posixpath.join(glob.escape(plain), "as_of=*", f"{name}.parquet"))
    if not found:
        _refuse_absence(lake)
    return sorted(dt.date.fromisoformat(posixpath.dirname(path)[-10:]) for path in found)


def write_text(target: str, text: str) -> None:
    """Replaces a file of text as a whole."""
    write_bytes(target, text.encode("utf-8", "surrogateescape"))


def write_bytes(target: str, content: bytes) -> None:
    """Replaces a small file as a whole."""
    filesystem, plain = fsspec.core.url_to_fs(target)
    with _beside(filesystem, plain) as unfinished:
        filesystem.pipe_file(unfinished, content)


def read_text_in(folder: str, name: str) -> str | None:
    """A file of text in a folder, however it is named; None where there is none, or where it lies elsewhere by a link.

    For names that somebody else has chosen, and folders that somebody else can write to.
    """
    filesystem, plain = fsspec.core.url_to_fs(folder)
    target = posixpath.normpath(posixpath.join(plain, name))
    if isinstance(filesystem, LocalFileSystem):
        target = os.path.realpath(target)
        plain = os.path.realpath(plain)
    if posixpath.commonpath([plain, target]) != posixpath.normpath(plain):
        return None
    return filesystem.cat_file(target).decode() if filesystem.isfile(target) else None


def read_text(target: str) -> str | None:
    """A file of text; None where there is none."""
    filesystem, plain = fsspec.core.url_to_fs(target)
    return filesystem.cat_file(plain).decode() if filesystem.isfile(plain) else None


def put_file(local: str, target: str) -> None:
    """Replaces a file by a local one, as a whole."""
    filesystem, plain = fsspec.core.url_to_fs(target)
    with _beside(filesystem, plain) as unfinished:
        filesystem.put_file(local, unfinished)


def get_file(target: str, local: str) -> bool:
    """Copies a file to a local one; whether there is such a file."""
    filesystem, plain = fsspec.core.url_to_fs(target)
    if not filesystem.isfile(plain):
        return False
    filesystem.get_file(plain, local)
    return True


def files_in(folder: str) -> list[str]:
    """The names of the files right in a folder; none where there is no folder."""
    filesystem, plain = fsspec.core.url_to_fs(folder)
    if not filesystem.exists(plain):
        return []
    return [posixpath.basename(path) for path in filesystem.ls(plain, detail=False)]


def walk(folder: str) -> list[str]:
    """Every file below a folder, named in full; none where there is no folder."""
    filesystem, plain = fsspec.core.url_to_fs(folder)
    found = filesystem.find(plain) if filesystem.exists(plain) else []
    return sorted(posixpath.join(folder, posixpath.relpath(path, plain)) for path in found)


def schema_of(target: str) -> pa.Schema:
    """The columns of a Parquet file that is named in full."""
    filesystem, plain = fsspec.core.url_to_fs(target)
    with filesystem.open(plain, "rb") as file:
        return pq.read_schema(file)


def rewrite_without(source: str, target: str, is_out: Callable[[pa.RecordBatch], pa.Array]) -> int:
    """Writes a Parquet file's rows, in their order and with its notes, but for those that a function is true of.

    :param target: another file, or the same one, which is replaced as a whole.
    :returns: rows written.
    """
    filesystem, plain = fsspec.core.url_to_fs(source)
    with filesystem.open(plain, "rb") as opened:
        file = _parquet(opened)
        notes = {key.decode(): value.decode() for key, value in (file.metadata.metadata or {}).items()}
        notes.pop("ARROW:schema", None)
        left = (batch.filter(pc.invert(is_out(batch))) for batch in file.iter_batches(ROWS_PER_GROUP))
        return write_file(target, left, file.schema_arrow, lambda: notes)


def read_bytes(target: str) -> bytes:
    """A file as it is."""
    filesystem, plain = fsspec.core.url_to_fs(target)
    return filesystem.cat_file(plain)


def remove(target: str) -> None:
    """Removes a file; one that is not there is no error."""
    filesystem, plain = fsspec.core.url_to_fs(target)
    if filesystem.exists(plain):
        with contextlib.suppress(FileNotFoundError):  # somebody else was quicker
            filesystem.rm(plain)


def drop_unfinished(lake: str, before: dt.datetime) -> int:
    """Removes what killed writers have left anywhere, if nobody has written to it since a time; returns how many."""
    filesystem, plain = fsspec.core.url_to_fs(lake)
    found = filesystem.find(plain, detail=True) if filesystem.exists(plain) else {}
    old = [path for path in found if _UNFINISHED.search(path) and filesystem.modified(path) < before]
    for path in old:
        filesystem.rm(path)
    return len(old)


def _drop_leftovers(filesystem, plain: str) -> None:
    """Removes what killed writers of this very file left behind."""
    for leftover in filesystem.glob(f"{glob.escape(plain)}.*.tmp"):
        filesystem.rm(leftover)
