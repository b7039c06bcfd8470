"""
The history: every version of every row that the pipeline has accepted, and what each day knew.

`extract` stages what is new; the gate accepts it as a batch: Parquet files with a batch number in every row, and one
database transaction that makes them count, advances the watermarks and notes which batch the day knows. What a day
knew stays what it knew: run again after late data came, it reads the same batches. Late rows, updates and deletions are
new versions, so nothing is ever rewritten; `compaction` only puts small files together.
"""

import contextlib
import datetime as dt
import posixpath
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from segmentation import engine, lake, quarantine, settings, sql, tables, warehouse
from segmentation.errors import FinalError
from segmentation.settings import Stores

_LOCK = 4_070_110_301  # one acceptance or compaction at a time
_SCHEMA_LOCK = 4_070_110_302


class NotAcceptedError(FinalError):
    """No batch has passed the gate for that day: `extract` and `validate_raw` come first."""


@dataclass(frozen=True)
class File:
    """One file of an entity's history: rows of the batches from `first_batch` to `last_batch`."""

    first_batch: int
    last_batch: int
    path: str
    rows: int


def watermark(stores: Stores, name: str) -> dt.datetime | None:
    """How far an entity was read: its rows with an earlier `updated_at` are in the history; None: nothing is."""
    ensure_schema(stores.marketing)
    with warehouse.connect(stores.marketing) as connection:
        found = warehouse.fetch(connection, "select watermark from ops.watermarks where entity = :name", {"name": name})
    return found[0][0] if found else None


def accepted_batch(stores: Stores, day: dt.date) -> int | None:
    """The last batch that a day knows; None if it has not passed the gate."""
    ensure_schema(stores.marketing)
    with warehouse.connect(stores.marketing) as connection:
        [(batch,)] = warehouse.fetch(
            connection, "select max(batch) from ops.acceptances where day = :day", {"day": day}
        )
    return batch


@dataclass(frozen=True)
class Part:
    """What a batch holds of one entity.

    :param rows: makes its good rows: the contract's columns and `is_deleted`.
    :param staged_rows: how many rows the day brought, the refused ones included.
    :param refused: rows for `quarantine.rows`, with columns of that table.
    :param taken_back: `row_id` of those quarantined rows that are among the good ones now.
    """

    rows: Callable[[], Iterator[pa.RecordBatch]]
    staged_rows: int = 0
    refused: Iterable[pa.Table] = ()
    taken_back: Sequence[int] = ()


@contextlib.contextmanager
def only_writer(stores: Stores) -> Iterator[Any]:
    """Nobody else accepts, aggregates or compacts as long as it is open; yields the connection that holds the lock."""
    ensure_schema(stores.marketing)
    with warehouse.connect(stores.marketing, autocommit=True) as guard:
        warehouse.execute(guard, "select pg_advisory_lock(:lock)", {"lock": _LOCK})
        yield guard


def append(stores: Stores, day: dt.date, parts: Mapping[str, Part], *, is_reload: bool = False) -> int:
    """Accepts what a day brought. Killed at any point, all of it counts or nothing does; the staged files then go.

    A day that another run has accepted meanwhile keeps what it knows, and its batch number is returned.

    :param parts: by entity; those not named bring nothing.
    :param is_reload: rows that were loaded again for a day that has passed the gate already: it then knows them, and
        whatever else was accepted before them.
    :returns: the batch number.
    """
    with only_writer(stores) as guard:
        batch = None if is_reload else accepted_batch(stores, day)
        if batch is None:
            [(batch,)] = warehouse.fetch(guard, "select nextval(pg_get_serial_sequence('ops.acceptances', 'batch'))")
            _accept(stores, day, batch, parts)
    for entity in tables.ENTITIES.values():
        for table in (entity.staged, entity.incoming):
            lake.remove(lake.path(stores.lake, table, day))
    return batch


def recent_batches(stores: Stores, name: str, count: int) -> list[int]:
    """How many rows each of the latest batches brought of an entity, the youngest first."""
    ensure_schema(stores.marketing)
    with warehouse.connect(stores.marketing) as connection:
        found = warehouse.fetch(
            connection,
            "select row_count from ops.batch_rows where entity = :name order by batch desc limit :count",
            {"name": name, "count": count},
        )
    return [rows for (rows,) in found]


def known(stores: Stores, name: str, day: dt.date) -> engine.Versions:
    """An entity as known for a day that has passed the gate: what had happened before it, in the state of then.

    Customers come in their latest state that the day's batch knows: their attributes are not history.

    :raises NotAcceptedError: the day has not passed the gate.
    """
    batch = accepted_batch(stores, day)
    if batch is None:
        raise NotAcceptedError(f"nothing has been accepted for {day}: run extract and validate_raw for it first")
    return _versions(stores, name, batch, engine.midnight(day))


def timeline(stores: Stores, name: str, batch: int, rows: str | None = None) -> engine.Timeline:
    """Every state of an entity's rows that a batch knows; see `engine.Timeline`."""
    versions = _versions(stores, name, batch, None)
    return engine.Timeline(versions, _days_of_later(stores, name, batch), rows)


def happened(stores: Stores, name: str, batch: int, rows: str | None = None) -> engine.Happened:
    """The rows of an append-only entity that a batch knows; see `engine.Happened`."""
    return engine.Happened(_versions(stores, name, batch, None), _days_of_later(stores, name, batch), rows)


def known_then(stores: Stores, name: str, day: dt.date, as_of: dt.date) -> engine.Timeline:
    """An entity as an earlier day knew it, of what a later day knows: what had happened by then, in the state of then.

    What a batch after the earlier day's brought, that day did not know; of what the entity's first load brought, nobody
    can tell since when it was known, so the earlier day knew it. Deleted rows never were.

    :raises NotAcceptedError: the later day has not passed the gate.
    """
    batch = accepted_batch(stores, day)
    if batch is None:
        raise NotAcceptedError(f"nothing has been accepted for {day}: run extract and validate_raw for it first")
    return replace(timeline(stores, name, batch), as_of=as_of)


def aggregated(stores: Stores, aggregate: tables.Aggregate, day: dt.date, as_of: dt.date) -> engine.Aggregated:
    """An aggregate as an earlier day knew it, of what a later day knows: see `known_then`.

    :raises NotAcceptedError: the later day has not passed the gate, or the aggregate is not built for it.
    """
    batch = accepted_batch(stores, day)
    if batch is None or worked_in(stores, aggregate.name) < batch:
        raise NotAcceptedError(f"{aggregate.table} is not built for {day}: run the task aggregates for it first")
    files = [file for file in files_of(stores, aggregate.name) if file.first_batch <= batch]
    return engine.Aggregated(
        files=tuple(posixpath.join(stores.lake, file.path) for file in files if file.rows),
        schema=aggregate.schema,
        day=aggregate.day,
        through=batch,
        before=as_of,
    )


def worked_in(stores: Stores, name: str) -> int:
    """The last batch that an aggregate holds; 0: none."""
    return max((file.last_batch for file in files_of(stores, name)), default=0)


def latest(stores: Stores, name: str) -> engine.Versions:
    """An entity in its latest state of all, whatever the day: everything accepted so far."""
    return _versions(stores, name, 2**62, None)


def changed(stores: Stores, name: str, since: dt.datetime) -> pa.Table:
    """The keys of an entity of which a version was accepted since a moment, deletions included; some come twice."""
    entity = tables.ENTITIES[name]
    with warehouse.connect(stores.marketing) as connection:
        [(first,)] = warehouse.fetch(
            connection, "select min(batch) from ops.acceptances where accepted_at >= :since", {"since": since}
        )
    schema = pa.schema([entity.schema.field(column) for column in entity.key])
    found = []
    for file in files_of(stores, name):
        if first is not None and file.rows and file.last_batch >= first:
            path = posixpath.join(stores.lake, file.path)
            for rows in lake.batches_of(path, settings.load().history.merge_rows, [*entity.key, "_batch"]):
                found.append(rows.filter(pc.greater_equal(rows["_batch"], first)).select(entity.key).cast(schema))
    return pa.Table.from_batches(found, schema)


def ensure_schema(dsn: str) -> None:
    """Creates what is missing of schemas `ops`, `quality` and `quarantine`; dashboards may read how the runs went."""
    with warehouse.connect(dsn) as connection:
        [(has_dashboards,)] = warehouse.fetch(connection, "select to_regrole('dashboard_reader') is not null")
    scripts = (
        sql.read("history", "schema"),
        sql.read("performance", "performance"),
        sql.read("drift", "drift"),
        sql.read("retrain", "retrains"),
        sql.read("registry", "digests"),
        sql.read("runs", "schema"),
        sql.read("quality", "results"),
        sql.read("quarantine", "rows"),
        *([sql.read("runs", "grants")] if has_dashboards else []),
    )
    warehouse.ensure_schema(dsn, "ops", ";\n".join(scripts), _SCHEMA_LOCK)


def files_of(stores: Stores, name: str) -> list[File]:
    """The files that count, the oldest first."""
    with warehouse.connect(stores.marketing) as connection:
        found = warehouse.fetch(
            connection,
            "select first_batch, last_batch, path, row_count from ops.versions "
            "where entity = :name and retired_at is null order by first_batch",
            {"name": name},
        )
    return [File(*row) for row in found]


def schema_of(name: str) -> pa.Schema:
    """The columns of an entity's or an aggregate's files: a version, and the batch that brought it."""
    if name in tables.AGGREGATES:
        return tables.AGGREGATES[name].file_schema
    return tables.ENTITIES[name].version_schema.append(pa.field("_batch", pa.int64()))


def new_path(name: str, first: int, last: int) -> str:
    """Relative to the lake, which may be mounted elsewhere one day. Never the same twice: a killed merge left one."""
    return posixpath.join("history", name, f"{first:08d}-{last:08d}-{uuid.uuid4().hex[:8]}.parquet")


def _versions(stores: Stores, name: str, through: int, before: dt.datetime | None) -> engine.Versions:
    ensure_schema(stores.marketing)
    entity = tables.ENTITIES[name]
    files = [file for file in files_of(stores, name) if file.first_batch <= through]
    return engine.Versions(
        files=tuple(posixpath.join(stores.lake, file.path) for file in files),
        key=entity.key,
        through=through,
        schema=entity.schema,
        before=before,
        time=entity.time,
        is_state_of_then=entity is not tables.CUSTOMERS,
        is_append_only=entity.is_append_only,
    )


def _days_of_later(stores: Stores, name: str, batch: int) -> tuple[tuple[int, dt.date], ...]:
    """The day that accepted each batch after those of the entity's first file."""
    first = next((file.last_batch for file in files_of(stores, name)), batch)
    with warehouse.connect(stores.marketing) as connection:
        found = warehouse.fetch(
            connection,
            "select batch, day from ops.acceptances where batch > :first and batch <= :last order by batch",
            {"first": first, "last": batch},
        )
    return tuple((number, day) for number, day in found)


def _accept(stores: Stores, day: dt.date, batch: int, parts: Mapping[str, Part]) -> None:
    """Writes the files, then has them count, all in one transaction."""
    files = {name: _write_batch(stores, name, batch, part) for name, part in parts.items()}
    with warehouse.connect(stores.marketing) as connection:
        warehouse.execute(
            connection,
            "insert into ops.acceptances (batch, day) overriding system value values (:batch, :day)",
            {"batch": batch, "day": day},
        )
        for name, part in parts.items():
            path, rows = files[name]
            of_batch = {"name": name, "batch": batch}
            warehouse.execute(
                connection,
                "insert into ops.batch_rows (batch, entity, row_count) values (:batch, :name, :rows)",
                {**of_batch, "rows": part.staged_rows},
            )
            if rows:
                warehouse.execute(
                    connection,
                    "insert into ops.versions (entity, first_batch, last_batch, path, row_count) "
                    "values (:name, :batch, :batch, :path, :rows)",
                    {**of_batch, "path": path, "rows": rows},
                )
            _advance(connection, stores, name, day, batch)
            quarantine.keep(connection, part.refused)
            quarantine.release(connection, part.taken_back, batch)


def _write_batch(stores: Stores, name: str, batch: int, part: Part) -> tuple[str, int]:
    path = new_path(name, batch, batch)
    numbered = (_numbered(each, batch) for each in part.rows())
    return path, lake.write_file(posixpath.join(stores.lake, path), numbered, schema_of(name))


def _numbered(rows: pa.RecordBatch, batch: int) -> pa.RecordBatch:
    return rows.append_column("_batch", pa.array([batch] * rows.num_rows, pa.int64()))


def _advance(connection, stores: Stores, name: str, day: dt.date, batch: int) -> None:
    """Moves the watermark to what the staged file says; a re-load of an old window does not move it back."""
    with lake.open_parquet(stores.lake, tables.ENTITIES[name].staged, day) as file:
        notes = {key.decode(): value.decode() for key, value in (file.metadata.metadata or {}).items()}
    if not notes.get("watermark"):
        return
    warehouse.execute(
        connection,
        "insert into ops.watermarks as w (entity, watermark, batch) values (:name, :moment, :batch) "
        "on conflict (entity) do update set "
        "watermark = greatest(w.watermark, excluded.watermark), batch = excluded.batch",
        {"name": name, "moment": dt.datetime.fromisoformat(notes["watermark"]), "batch": batch},
    )
