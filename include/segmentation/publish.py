"""
publish: `score.customer_daily` -> `marketing.customer_segments`, one whole snapshot at a time.

A snapshot is loaded into a table of its own that nobody sees, keyed and counted there, then attached as a partition
and made current by moving one row. Readers follow that row: they see the old snapshot or the new one, whole, and wait
for no lock. Current is the published snapshot with the latest day; an older day is published beside it.

Between attaching and moving the row, publishing waits for every transaction that was reading when the partition came.
Such a reader may have planned its query without the partition, yet would read the moved row: it would see an empty
table. Postgres itself waits like this in DETACH PARTITION CONCURRENTLY (WaitForLockers), for the mirror-image reason.
"""

import datetime as dt
import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from segmentation import lake, settings, sql, tables, warehouse
from segmentation.errors import FinalError
from segmentation.settings import Stores

_COLUMNS = [*tables.SEGMENT_COLUMNS.names, "snapshot_id"]
_LOCK_HOLDERS = """
    select virtualtransaction, pid from pg_locks
    where locktype = 'relation' and granted and pid <> pg_backend_pid() and relation = cast(:table as regclass)
    and database = (select oid from pg_database where datname = current_database())
"""
# Publishers queue up behind this advisory lock; readers never touch it.
_LOCK = int.from_bytes(hashlib.sha256(b"fenqun.publish").digest()[:8], "big", signed=True)


class IncompleteSnapshotError(FinalError):
    """Fewer or more rows arrived than were scored: nothing was published."""


class ReadersInTheWayError(RuntimeError):
    """A transaction that reads the table since before the snapshot came does not end. Trying again may help."""


def publish_segments(
    day: dt.date, stores: Stores, validation: Mapping[str, Any] | None = None, dag_run_id: str | None = None
) -> dict[str, Any]:
    """Publishes the scores of one day; a day that is published again replaces its own snapshot only.

    Killed at any point, it leaves readers what they had; the next run of the day clears away what was unfinished.

    :param validation: what the checks before it found, kept with the snapshot.
    :returns: `snapshot_id`, `rows` and `is_current`.
    :raises IncompleteSnapshotError: the rows in the database are not the rows that were scored.
    :raises ReadersInTheWayError: a reader's transaction stays open too long; names it. Readers keep what they had.
    """
    expected = lake.open_parquet(stores.lake, tables.CUSTOMER_SCORES, day).metadata.num_rows
    ensure_schema(stores.marketing)
    with warehouse.connect(stores.marketing, autocommit=True) as guard:
        warehouse.execute(guard, "select pg_advisory_lock(:lock)", {"lock": _LOCK})
        _clear_unfinished(stores.marketing, day)
        snapshot_id = _open_snapshot(stores.marketing, day, validation, dag_run_id)
        _load(stores, day, snapshot_id)
        _attach(stores.marketing, day, snapshot_id, expected)
        _wait_for_readers(stores.marketing, settings.load().publish.reader_wait_seconds)
        is_current = _make_current(stores.marketing, day, snapshot_id)
    return {"snapshot_id": snapshot_id, "rows": expected, "is_current": is_current}


def ensure_schema(dsn: str) -> None:
    """Creates or upgrades the schemas, but touches nothing when they are as this version wants them.

    Replacing a view locks its readers out for a moment, so it happens only when the definition has changed.
    """
    warehouse.ensure_schema(dsn, "marketing_internal", sql.read("publish", "schema"), _LOCK)


def _clear_unfinished(dsn: str, day: dt.date) -> None:
    """Marks what a killed run of this day left as rejected; drops its table unless that was attached already."""
    with warehouse.connect(dsn) as connection:
        left = warehouse.fetch(
            connection,
            "update marketing.snapshots set status = 'rejected' "
            "where as_of_date = :day and status = 'building' returning snapshot_id",
            {"day": day},
        )
        for (snapshot_id,) in left:
            name = f"{tables.SEGMENT_ROWS}_{snapshot_id}"
            is_loose = "select 1 from pg_class where oid = to_regclass(:name) and not relispartition"
            if warehouse.fetch(connection, is_loose, {"name": name}):
                warehouse.run_script(connection, f"drop table {_partition(snapshot_id)}")


def _open_snapshot(dsn: str, day: dt.date, validation: Mapping[str, Any] | None, dag_run_id: str | None) -> int:
    with warehouse.connect(dsn) as connection:
        [(snapshot_id,)] = warehouse.fetch(
            connection,
            "insert into marketing.snapshots (as_of_date, status, validation, dag_run_id) "
            "values (:day, 'building', cast(:validation as jsonb), :dag_run_id) returning snapshot_id",
            {"day": day, "validation": json.dumps(validation or {}), "dag_run_id": dag_run_id},
        )
    return snapshot_id


def _load(stores: Stores, day: dt.date, snapshot_id: int) -> None:
    """Fills the snapshot's own table, then adds its key."""
    partition = _partition(snapshot_id)
    with warehouse.connect(stores.marketing) as connection:
        parent = warehouse.identifier(tables.SEGMENT_ROWS)
        warehouse.run_script(
            connection,
            f"create table {partition} (like {parent} including defaults including constraints, "
            f"constraint is_snapshot check (snapshot_id = {int(snapshot_id)}))",
        )
        warehouse.copy_in(connection, f"{tables.SEGMENT_ROWS}_{snapshot_id}", _rows(stores, day, snapshot_id), _COLUMNS)
        warehouse.run_script(connection, f"alter table {partition} add primary key (customer_id)")
        warehouse.run_script(connection, f"analyze {partition}")


def _attach(dsn: str, day: dt.date, snapshot_id: int, expected: int) -> None:
    """Counts the snapshot and attaches it; nothing points to it yet. No lock is taken that a reader would wait for."""
    partition = _partition(snapshot_id)
    with warehouse.connect(dsn) as connection:
        [(rows, versions)] = warehouse.fetch(
            connection,
            f"select count(*), min(model_versions::text) from {partition}",  # noqa: S608 - an integer
        )
        if rows != expected:
            raise IncompleteSnapshotError(
                f"snapshot {snapshot_id} of {day} holds {rows} rows, but {expected} were scored: not published"
            )
        warehouse.run_script(
            connection,
            f"alter table {warehouse.identifier(tables.SEGMENT_ROWS)} attach partition {partition} "
            f"for values in ({int(snapshot_id)})",
        )
        warehouse.execute(
            connection,
            "update marketing.snapshots set row_count = :rows, model_versions = cast(:versions as jsonb) "
            "where snapshot_id = :snapshot_id",
            {"rows": rows, "versions": versions, "snapshot_id": snapshot_id},
        )


def _wait_for_readers(dsn: str, seconds: float) -> None:
    """Waits until every transaction that holds a lock on the table now has ended; later ones are not waited for."""
    deadline = time.monotonic() + seconds
    with warehouse.connect(dsn, autocommit=True) as connection:
        before = set(warehouse.fetch(connection, _LOCK_HOLDERS, {"table": tables.SEGMENT_ROWS}))
        while before := before & set(warehouse.fetch(connection, _LOCK_HOLDERS, {"table": tables.SEGMENT_ROWS})):
            if time.monotonic() > deadline:
                raise ReadersInTheWayError(
                    f"after {seconds:g} s these sessions still read {tables.CUSTOMER_SEGMENTS} in a transaction that "
                    f"began before the new snapshot came: {_sessions(connection, {pid for _, pid in before})}"
                )
            time.sleep(0.02)


def _sessions(connection, pids: set[int]) -> str:
    rows = warehouse.fetch(
        connection,
        "select pid, usename, application_name, xact_start from pg_stat_activity where pid = any(:pids)",
        {"pids": sorted(pids)},
    )
    return "; ".join(f"pid {pid} ({user}, {name or 'unnamed'}, since {since})" for pid, user, name, since in rows)


def _make_current(dsn: str, day: dt.date, snapshot_id: int) -> bool:
    """Supersedes the day's former snapshot and moves the row that readers follow, in one short transaction."""
    with warehouse.connect(dsn) as connection:
        warehouse.execute(
            connection,
            "update marketing.snapshots set status = 'superseded' where as_of_date = :day and status = 'published'",
            {"day": day},
        )
        warehouse.execute(
            connection,
            "update marketing.snapshots set status = 'published', published_at = clock_timestamp() "
            "where snapshot_id = :snapshot_id",
            {"snapshot_id": snapshot_id},
        )
        warehouse.execute(connection, sql.read("publish", "current_snapshot"))
        [(current,)] = warehouse.fetch(connection, "select snapshot_id from marketing_internal.current_snapshot")
    return current == snapshot_id


def _rows(stores: Stores, day: dt.date, snapshot_id: int) -> Iterator[pa.Table]:
    with lake.open_parquet(stores.lake, tables.CUSTOMER_SCORES, day) as file:
        for batch in file.iter_batches(settings.load().score.batch_rows):
            ids = pa.array([snapshot_id] * batch.num_rows, pa.int64())
            yield pa.table(batch).append_column("snapshot_id", ids)


def _partition(snapshot_id: int) -> str:
    return warehouse.identifier(f"{tables.SEGMENT_ROWS}_{int(snapshot_id)}")
