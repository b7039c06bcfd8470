"""
extract: the shop's warehouse -> `staged.*` in the lake: what each entity has brought since it was read last.

What each shop edits is `include/sql/extract/<entity>.sql`; this module holds it to the contract's columns and types.
The first load, a day's increment and a re-load of any window are one and the same: a window on `updated_at` around it.
Staged rows count for nothing until the gate accepts them (see `history`).
"""

import datetime as dt
import itertools
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from segmentation import conversion, deletions, erasures, history, lake, settings, sql, tables, turns, warehouse
from segmentation.errors import FinalError
from segmentation.extract_window import Window
from segmentation.settings import Stores


class ContractError(FinalError):
    """The extract's SELECT does not return what the source contract asks for."""


@turns.takes_turns(lambda told: [tables.ENTITIES[told["name"]].staged])
@erasures.holds_off_erasure
def extract_entity(name: str, day: dt.date, stores: Stores, window: Window | None = None) -> dict[str, Any]:
    """Stages what an entity has brought: since its watermark, or in a window that is asked for.

    A day that has passed the gate is not read again: it knows what it knew. An optional entity whose SELECT is not
    there brings nothing, so that what follows needs no special case.

    A value that does not fit its column's type is staged as null, and told beside the row for the gate; when that
    happens more often than `settings.Extract.most_unreadable`, the column's type is another than the contract's.

    :param name: a key of `tables.ENTITIES`.
    :param window: load these rows again as new versions, also for a day that has passed the gate; a day that has not
        gets them beside what is new since the watermark.
    :returns: `rows` staged, `deleted` and `unreadable` among them, and `since`; or `accepted_batch`, where nothing was
        to be read.
    :raises ContractError: a required SELECT or a column is missing, or a column has another type; names the file, the
        column and an example.
    """
    entity = tables.ENTITIES[name]
    batch = history.accepted_batch(stores, day)
    if batch is not None and window is None:
        return {"rows": 0, "deleted": 0, "unreadable": 0, "accepted_batch": batch}
    if not sql.exists("extract", name):
        if entity.required:
            raise ContractError(f"{name} is required, but there is no include/sql/extract/{name}.sql")
        lake.write(stores.lake, entity.staged, day, [], entity.staged_schema)
        return {"rows": 0, "deleted": 0, "unreadable": 0, "since": None}
    moment = history.watermark(stores, name)
    if window is None or batch is None:
        window = _increment(moment, window)
    try:
        deleted = deletions.find(entity, day, stores, window, moment)
        query = window.around(sql.read("extract", name))
        try:
            batches = warehouse.stream(stores.warehouse, query, entity.schema)
            progress = _Progress(moment, moves=window.reaches(moment))
            _stage(entity, day, stores, progress, batches, deleted)
        except conversion.UnreadableValueError:
            most = settings.load().extract.most_unreadable
            batches = warehouse.stream_leniently(stores.warehouse, query, entity.schema, most)
            progress = _Progress(moment, moves=window.reaches(moment))
            _stage(entity, day, stores, progress, batches, deleted)
    except (warehouse.StatementError, warehouse.MissingColumnsError, conversion.UnreadableValueError) as error:
        raise ContractError(f"include/sql/extract/{name}.sql: {error}") from error
    since = window.since.isoformat() if window.since else None
    gone = sum(part.num_rows for part in deleted)
    return {"rows": progress.rows + gone, "deleted": gone, "unreadable": progress.unreadable, "since": since}


def _increment(moment: dt.datetime | None, window: Window | None) -> Window:
    """What is new since the watermark, and a little before it; from a wanted window on, if that is earlier."""
    if moment is None:
        return Window()
    since = moment - dt.timedelta(minutes=settings.load().extract.overlap_minutes)
    if window is None:
        return Window(since)
    return Window(min(since, window.since) if window.since else None)


def _stage(
    entity: tables.Entity,
    day: dt.date,
    stores: Stores,
    progress: "_Progress",
    batches: Iterator[pa.RecordBatch],
    deleted: list[pa.RecordBatch],
) -> None:
    """Writes `staged.*` of a day: what the source brings, then the deletions."""
    rows = itertools.chain((_whole(batch, entity) for batch in progress.watch(batches)), deleted)
    lake.write(stores.lake, entity.staged, day, rows, entity.staged_schema, notes=progress.notes)


def _whole(batch: pa.RecordBatch, entity: tables.Entity) -> pa.RecordBatch:
    """A batch of the source with the columns of `staged_schema` that it does not have."""
    size, has_told = batch.num_rows, "unreadable" in batch.schema.names
    living = pa.nulls(size, pa.bool_()).fill_null(False)
    unreadable = batch["unreadable"] if has_told else pa.nulls(size, pa.string())
    columns = [*batch.select(entity.schema.names).columns, living, unreadable, pa.nulls(size, pa.int64())]
    return pa.RecordBatch.from_arrays(columns, schema=entity.staged_schema)


class _Progress:
    """Follows the batches to the latest `updated_at`, which becomes the watermark when they are accepted.

    :param moves: whether it may: not where a window leaves out rows that nobody has read yet.
    """

    def __init__(self, start: dt.datetime | None, *, moves: bool) -> None:
        self.rows = self.unreadable = 0
        self._latest = start
        self._moves = moves

    def watch(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            self.rows += batch.num_rows
            if "unreadable" in batch.schema.names:
                self.unreadable += batch.num_rows - batch["unreadable"].null_count
            latest = pc.max(batch["updated_at"]).as_py()
            if latest is not None and self._moves:
                # A clock that is ahead must not carry the watermark past rows that are still to come.
                latest = min(latest, dt.datetime.now(dt.UTC))
                self._latest = max(latest, self._latest) if self._latest else latest
            yield batch

    def notes(self) -> dict[str, str]:
        """For the staged file's metadata: what accepting it makes of the watermark."""
        return {"watermark": self._latest.isoformat() if self._latest else ""}
