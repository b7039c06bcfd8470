"""
extract: the shop's warehouse -> `staged.*` in the lake: what each entity has brought since it was read last.

What each shop edits is `include/sql/extract/<entity>.sql`; this module holds it to the contract's columns and types.
The first load, a day's increment and a re-load of any window are one and the same: a window on `updated_at` around it.
Staged rows count for nothing until the gate accepts them (see `history`).
"""

import contextlib
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from segmentation import engine, history, lake, settings, sql, tables, warehouse
from segmentation.errors import FinalError
from segmentation.settings import Stores


class ContractError(FinalError):
    """The extract's SELECT does not return what the source contract asks for."""


@dataclass(frozen=True)
class Window:
    """Rows with `since` <= `updated_at` < `until`; None is open. Rows without `updated_at` belong to every window."""

    since: dt.datetime | None = None
    until: dt.datetime | None = None

    def around(self, query: str) -> str:
        """The query, restricted to the window."""
        bounds = []
        if self.since:
            bounds.append(f"updated_at >= {warehouse.literal(self.since)}")
        if self.until:
            bounds.append(f"updated_at < {warehouse.literal(self.until)}")
        if not bounds:
            return query
        return f"select * from ({query}) as q where ({' and '.join(bounds)}) or updated_at is null"  # noqa: S608


def extract_entity(name: str, day: dt.date, stores: Stores, window: Window | None = None) -> dict[str, Any]:
    """Stages what an entity has brought: since its watermark, or in a window that is asked for.

    A day that has passed the gate is not read again: it knows what it knew. An optional entity whose SELECT is not
    there brings nothing, so that what follows needs no special case.

    :param name: a key of `tables.ENTITIES`.
    :param window: re-load these rows as new versions, also for a day that has passed the gate; the watermark stays.
    :returns: `rows` staged, `deleted` among them, and `since`; or `accepted_batch`, where nothing was to be read.
    :raises ContractError: a required SELECT or a column is missing, or a value does not fit its type; names the file,
        the column and an example.
    """
    entity = tables.ENTITIES[name]
    batch = history.accepted_batch(stores, day)
    if batch is not None and window is None:
        return {"rows": 0, "deleted": 0, "accepted_batch": batch}
    if not sql.exists("extract", name):
        if entity.required:
            raise ContractError(f"{name} is required, but there is no include/sql/extract/{name}.sql")
        rows = lake.write(stores.lake, entity.staged, day, [], entity.staged_schema)
        return {"rows": rows, "deleted": 0, "since": None}
    mark = history.watermark(stores, name)
    if window is None:
        overlap = dt.timedelta(minutes=settings.load().extract.overlap_minutes)
        window = Window(since=mark.moment - overlap if mark.moment else None)
    progress = _Progress(mark.moment)
    try:
        source_rows = warehouse.count(stores.warehouse, sql.read("extract", name))
        deleted = list(_deleted(entity, day, stores, window, mark, source_rows))
        rows = lake.write(
            stores.lake,
            entity.staged,
            day,
            progress.watch(_staged(entity, stores, window, deleted)),
            entity.staged_schema,
            notes=lambda: {"watermark": progress.watermark(), "source_rows": str(source_rows)},
        )
    except (warehouse.MissingColumnsError, warehouse.UnreadableValueError) as error:
        raise ContractError(f"include/sql/extract/{name}.sql: {error}") from error
    since = window.since.isoformat() if window.since else None
    return {"rows": rows, "deleted": sum(part.num_rows for part in deleted), "since": since}


class _Progress:
    """Follows the batches to the latest `updated_at`, which becomes the watermark when they are accepted."""

    def __init__(self, start: dt.datetime | None) -> None:
        self._latest = start

    def watch(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            latest = pc.max(batch["updated_at"]).as_py()
            if latest is not None:
                # A clock that is ahead must not carry the watermark past rows that are still to come.
                latest = min(latest, dt.datetime.now(dt.UTC))
                self._latest = max(latest, self._latest) if self._latest else latest
            yield batch

    def watermark(self) -> str:
        return self._latest.isoformat() if self._latest else ""


def _staged(
    entity: tables.Entity, stores: Stores, window: Window, deleted: list[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    query = window.around(sql.read("extract", entity.name))
    for batch in warehouse.stream(stores.warehouse, query, entity.schema):
        living = pa.array([False] * batch.num_rows, pa.bool_())
        yield pa.RecordBatch.from_arrays([*batch.columns, living], schema=entity.staged_schema)
    yield from deleted


def _deleted(
    entity: tables.Entity, day: dt.date, stores: Stores, window: Window, mark: history.Watermark, source_rows: int
) -> Iterator[pa.RecordBatch]:
    """Keys that the history has and the source has no longer.

    Row counts tell whether there can be any: the source had so many rows when it was read last, and as many more as
    the window brings keys that the history does not know. Only if that does not add up are the keys compared.
    """
    if entity.is_append_only or mark.moment is None or not settings.load().extract.finds_deletions:
        return
    query, known = sql.read("extract", entity.name), history.latest(stores, entity.name)
    with _keys(entity, day, stores, window.around(query)) as came:
        new = engine.difference(entity.key, came, known)
        if source_rows == mark.source_rows + sum(batch.num_rows for batch in new):
            return
    with _keys(entity, day, stores, query) as there:
        for batch in engine.difference(entity.key, known, there):
            columns = [
                batch[field.name] if field.name in entity.key else pa.nulls(batch.num_rows, field.type)
                for field in entity.schema
            ]
            gone = pa.array([True] * batch.num_rows, pa.bool_())
            yield pa.RecordBatch.from_arrays([*columns, gone], schema=entity.staged_schema)


@contextlib.contextmanager
def _keys(entity: tables.Entity, day: dt.date, stores: Stores, query: str) -> Iterator[str]:
    """The keys that a query returns, as a Parquet file for as long as the block lasts: they may be many."""
    schema = pa.schema([entity.schema.field(column) for column in entity.key])
    selected = f"select {', '.join(entity.key)} from ({query}) as k"  # noqa: S608 - a file of ours
    table = f"keys.{entity.name}"
    lake.write(stores.lake, table, day, warehouse.stream(stores.warehouse, selected, schema), schema)
    try:
        yield lake.path(stores.lake, table, day)
    finally:
        lake.remove(lake.path(stores.lake, table, day))
