"""
The history: every version of every row that the pipeline has accepted, and what each day knew.

`extract` stages what is new; the gate accepts it as a batch: Parquet files with a batch number in every row, and one
database transaction that makes them count, advances the watermarks and notes which batch the day knows. What a day
knew stays what it knew: run again after late data came, it reads the same batches. Late rows, updates and deletions are
new versions, so nothing is ever rewritten; `compact` only puts small files together.
"""

import datetime as dt
import math
import posixpath
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa

from segmentation import engine, lake, settings, sql, tables, warehouse
from segmentation.errors import FinalError
from segmentation.settings import Stores

_LOCK, _SCHEMA_LOCK = 4_070_110_301, 4_070_110_302  # one acceptance or compaction at a time; one creation
RETIRED_FILES_KEPT = dt.timedelta(days=1)


class NotAcceptedError(FinalError):
    """No batch has passed the gate for that day: `extract` and `validate_raw` come first."""


@dataclass(frozen=True)
class Watermark:
    """How far an entity has been read.

    :param moment: rows with an earlier `updated_at` are in the history; None: nothing is.
    :param source_rows: how many rows the source had then.
    """

    moment: dt.datetime | None
    source_rows: int


def watermark(stores: Stores, name: str) -> Watermark:
    """How far the entity has been read; nothing yet, if it never was."""
    ensure_schema(stores.marketing)
    with warehouse.connect(stores.marketing) as connection:
        found = warehouse.fetch(
            connection, "select watermark, source_rows from ops.watermarks where entity = :name", {"name": name}
        )
    return Watermark(*found[0]) if found else Watermark(None, 0)


def accepted_batch(stores: Stores, day: dt.date) -> int | None:
    """The last batch that a day knows; None if it has not passed the gate."""
    ensure_schema(stores.marketing)
    with warehouse.connect(stores.marketing) as connection:
        [(batch,)] = warehouse.fetch(
            connection, "select max(batch) from ops.acceptances where day = :day", {"day": day}
        )
    return batch


def append(
    stores: Stores,
    day: dt.date,
    accepted: Mapping[str, Callable[[], Iterator[pa.RecordBatch]]],
    quarantined: Iterable[pa.Table] = (),
) -> int:
    """Accepts what a day brought. Killed at any point, all of it counts or nothing does; the staged files then go.

    :param accepted: entity -> its good rows: the contract's columns and `is_deleted`. Entities not named bring nothing.
    :param quarantined: rows for `quarantine.rows`, with columns of that table.
    :returns: the batch number.
    """
    ensure_schema(stores.marketing)
    with warehouse.connect(stores.marketing, autocommit=True) as guard:
        warehouse.execute(guard, "select pg_advisory_lock(:lock)", {"lock": _LOCK})
        [(batch,)] = warehouse.fetch(guard, "select nextval(pg_get_serial_sequence('ops.acceptances', 'batch'))")
        files = {name: _write_batch(stores, name, batch, rows) for name, rows in accepted.items()}
        with warehouse.connect(stores.marketing) as connection:
            warehouse.execute(
                connection,
                "insert into ops.acceptances (batch, day) overriding system value values (:batch, :day)",
                {"batch": batch, "day": day},
            )
            for name, (path, rows) in files.items():
                if rows:
                    warehouse.execute(
                        connection,
                        "insert into ops.versions (entity, first_batch, last_batch, path, row_count) "
                        "values (:name, :batch, :batch, :path, :rows)",
                        {"name": name, "batch": batch, "path": path, "rows": rows},
                    )
                _advance(connection, stores, name, day, batch)
            for rejects in quarantined:
                warehouse.copy_in(connection, tables.QUARANTINE, [rejects], rejects.column_names)
    for name in tables.ENTITIES:
        lake.remove(lake.path(stores.lake, tables.ENTITIES[name].staged, day))
    return batch


def known(stores: Stores, name: str, day: dt.date) -> engine.Versions:
    """An entity as known for a day that has passed the gate: what had happened before it, in the state of then.

    Customers come in their latest state that the day's batch knows: their attributes are not history.

    :raises NotAcceptedError: the day has not passed the gate.
    """
    batch = accepted_batch(stores, day)
    if batch is None:
        raise NotAcceptedError(f"nothing has been accepted for {day}: run extract and validate_raw for it first")
    return _versions(stores, name, batch, engine.midnight(day))


def latest(stores: Stores, name: str) -> engine.Versions:
    """An entity in its latest state of all, whatever the day: everything accepted so far."""
    return _versions(stores, name, 2**62, None)


def compact(stores: Stores) -> int:
    """Puts small neighbouring files together, so that their number grows with the logarithm of the days.

    Every version stays; what a day knew is told by the batch number in each row. The first load stays by itself.
    Files that were replaced are removed a day later, when no reader can hold them any more.

    :returns: how many files were replaced.
    """
    fan_in = settings.load().history.files_per_merge
    replaced = 0
    with warehouse.connect(stores.marketing, autocommit=True) as guard:
        warehouse.execute(guard, "select pg_advisory_lock(:lock)", {"lock": _LOCK})
        for name in tables.ENTITIES:
            while run := _neighbours(_files(stores, name)[1:], fan_in):
                _merge(stores, name, run)
                replaced += len(run)
        _remove_retired(stores)
    return replaced


def ensure_schema(dsn: str) -> None:
    """Creates what is missing; changes nothing that is there."""
    with warehouse.connect(dsn) as connection:
        [(ours, quarantine)] = warehouse.fetch(
            connection, "select to_regclass('ops.watermarks'), to_regclass('quarantine.rows')"
        )
        if ours and quarantine:
            return
        warehouse.execute(connection, "select pg_advisory_xact_lock(:lock)", {"lock": _SCHEMA_LOCK})
        warehouse.run_script(connection, sql.read("history", "schema"))
        if not quarantine:
            warehouse.run_script(connection, sql.read("quarantine", "rows"))


@dataclass(frozen=True)
class _File:
    first_batch: int
    last_batch: int
    path: str
    rows: int


def _files(stores: Stores, name: str) -> list[_File]:
    with warehouse.connect(stores.marketing) as connection:
        found = warehouse.fetch(
            connection,
            "select first_batch, last_batch, path, row_count from ops.versions "
            "where entity = :name and retired_at is null order by first_batch",
            {"name": name},
        )
    return [_File(*row) for row in found]


def _versions(stores: Stores, name: str, through: int, before: dt.datetime | None) -> engine.Versions:
    ensure_schema(stores.marketing)
    entity = tables.ENTITIES[name]
    files = [file for file in _files(stores, name) if file.first_batch <= through]
    return engine.Versions(
        files=tuple(posixpath.join(stores.lake, file.path) for file in files),
        key=entity.key,
        through=through,
        schema=entity.schema,
        before=before,
        time=entity.time,
        is_state_of_then=entity is not tables.CUSTOMERS,
    )


def _write_batch(
    stores: Stores, name: str, batch: int, rows: Callable[[], Iterator[pa.RecordBatch]]
) -> tuple[str, int]:
    path = _path(name, batch, batch)
    numbered = (_numbered(each, batch) for each in rows())
    return path, lake.write_file(posixpath.join(stores.lake, path), numbered, _schema(name))


def _numbered(rows: pa.RecordBatch, batch: int) -> pa.RecordBatch:
    return rows.append_column("_batch", pa.array([batch] * rows.num_rows, pa.int64()))


def _schema(name: str) -> pa.Schema:
    return tables.ENTITIES[name].staged_schema.append(pa.field("_batch", pa.int64()))


def _path(name: str, first: int, last: int) -> str:
    """Relative to the lake, which may be mounted elsewhere one day. Never the same twice: a killed merge left one."""
    return posixpath.join("history", name, f"{first:08d}-{last:08d}-{uuid.uuid4().hex[:8]}.parquet")


def _advance(connection, stores: Stores, name: str, day: dt.date, batch: int) -> None:
    """Moves the watermark to what the staged file says; a re-load of an old window does not move it back."""
    with lake.open_parquet(stores.lake, tables.ENTITIES[name].staged, day) as file:
        notes = {key.decode(): value.decode() for key, value in (file.metadata.metadata or {}).items()}
    if "source_rows" not in notes:
        return
    moment = dt.datetime.fromisoformat(notes["watermark"]) if notes.get("watermark") else None
    warehouse.execute(
        connection,
        "insert into ops.watermarks as w (entity, watermark, source_rows, batch) "
        "values (:name, :moment, :rows, :batch) on conflict (entity) do update set "
        "watermark = greatest(w.watermark, excluded.watermark), source_rows = excluded.source_rows, "
        "batch = excluded.batch",
        {"name": name, "moment": moment, "rows": int(notes["source_rows"]), "batch": batch},
    )


def _neighbours(files: list[_File], fan_in: int) -> list[_File]:
    """The first `fan_in` neighbours of about one size: the log-structured merge of O'Neil et al. (1996), tiered."""
    tiers = [int(math.log(file.last_batch - file.first_batch + 1, fan_in)) for file in files]
    for start in range(len(files) - fan_in + 1):
        if len(set(tiers[start : start + fan_in])) == 1:
            return files[start : start + fan_in]
    return []


def _merge(stores: Stores, name: str, run: list[_File]) -> None:
    path = _path(name, run[0].first_batch, run[-1].last_batch)
    rows = (
        batch
        for file in run
        for batch in lake.batches_of(posixpath.join(stores.lake, file.path), settings.load().history.merge_rows)
    )
    written = lake.write_file(posixpath.join(stores.lake, path), rows, _schema(name))
    with warehouse.connect(stores.marketing) as connection:
        warehouse.execute(
            connection,
            "update ops.versions set retired_at = now() where path = any(:paths)",
            {"paths": [file.path for file in run]},
        )
        warehouse.execute(
            connection,
            "insert into ops.versions (entity, first_batch, last_batch, path, row_count) "
            "values (:name, :first, :last, :path, :rows)",
            {"name": name, "first": run[0].first_batch, "last": run[-1].last_batch, "path": path, "rows": written},
        )


def _remove_retired(stores: Stores) -> None:
    with warehouse.connect(stores.marketing) as connection:
        gone = warehouse.fetch(
            connection,
            "delete from ops.versions where retired_at < now() - :kept returning path",
            {"kept": RETIRED_FILES_KEPT},
        )
    for (path,) in gone:
        lake.remove(posixpath.join(stores.lake, path))
    _remove_strangers(stores)


def _remove_strangers(stores: Stores) -> None:
    """Files that a killed acceptance or merge left: with the lock held, nobody else can be about to count them."""
    with warehouse.connect(stores.marketing) as connection:
        counted = {path for (path,) in warehouse.fetch(connection, "select path from ops.versions")}
    for name in tables.ENTITIES:
        for file in lake.files_in(posixpath.join(stores.lake, "history", name)):
            if posixpath.join("history", name, file) not in counted:
                lake.remove(posixpath.join(stores.lake, "history", name, file))
