"""
publish: `score.customer_daily` -> `marketing.customer_segments`, one whole snapshot at a time.

A snapshot is loaded into a table of its own that nobody sees, keyed and counted there, then attached as a partition
and made current by moving one row. Readers follow that row: they see the old snapshot or the new one, whole, and wait
for no lock. Current is the published snapshot with the latest day; an older day is published beside it.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from segmentation import lake, settings, sql, tables, warehouse
from segmentation.errors import FinalError
from segmentation.settings import Stores

_COLUMNS = [*tables.SEGMENT_COLUMNS.names, "snapshot_id"]
# Publishers queue up behind this advisory lock; readers never touch it.
_LOCK = int.from_bytes(hashlib.sha256(b"fenqun.publish").digest()[:8], "big", signed=True)


class IncompleteSnapshotError(FinalError):
    """Fewer or more rows arrived than were scored: nothing was published."""


def publish_segments(
    day: dt.date, stores: Stores, validation: Mapping[str, Any] | None = None, dag_run_id: str | None = None
) -> dict[str, Any]:
    """Publishes the scores of one day; a day that is published again replaces its own snapshot only.

    Killed at any point, it leaves readers what they had; the next run of the day clears away what was unfinished.

    :param validation: what the checks before it found, kept with the snapshot.
    :returns: `snapshot_id`, `rows` and `is_current`.
    :raises IncompleteSnapshotError: the rows in the database are not the rows that were scored.
    """
    expected = lake.open_parquet(stores.lake, tables.CUSTOMER_SCORES, day).metadata.num_rows
    ensure_schema(stores.marketing)
    with warehouse.connect(stores.marketing, autocommit=True) as guard:
        warehouse.execute(guard, "select pg_advisory_lock(:lock)", {"lock": _LOCK})
        _clear_unfinished(stores.marketing, day)
        snapshot_id = _open_snapshot(stores.marketing, day, validation, dag_run_id)
        _load(stores, day, snapshot_id)
        is_current = _make_public(stores.marketing, day, snapshot_id, expected)
    return {"snapshot_id": snapshot_id, "rows": expected, "is_current": is_current}


def ensure_schema(dsn: str) -> None:
    """Creates or upgrades the schemas, but touches nothing when they are as this version wants them.

    Replacing a view locks its readers out for a moment, so it happens only when the definition has changed.
    """
    script = sql.read("publish", "schema")
    fingerprint = f"fenqun {hashlib.sha256(script.encode()).hexdigest()[:16]}"
    with warehouse.connect(dsn) as connection:
        found = warehouse.fetch(
            connection, "select obj_description(to_regnamespace('marketing_internal')::oid, 'pg_namespace')"
        )
        if found == [(fingerprint,)]:
            return
        warehouse.execute(connection, "select pg_advisory_xact_lock(:lock)", {"lock": _LOCK})
        warehouse.run_script(connection, script)
        warehouse.run_script(connection, f"comment on schema marketing_internal is '{fingerprint}'")


def _clear_unfinished(dsn: str, day: dt.date) -> None:
    """Marks what a killed run of this day left as rejected and drops its table, which was never visible."""
    with warehouse.connect(dsn) as connection:
        left = warehouse.fetch(
            connection,
            "update marketing.snapshots set status = 'rejected' "
            "where as_of_date = :day and status = 'building' returning snapshot_id",
            {"day": day},
        )
        for (snapshot_id,) in left:
            warehouse.run_script(connection, f"drop table if exists {_partition(snapshot_id)}")


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


def _make_public(dsn: str, day: dt.date, snapshot_id: int, expected: int) -> bool:
    """Attaches the snapshot, supersedes the day's former one and moves the pointer, in one short transaction."""
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
        day_of = {"day": day, "snapshot_id": snapshot_id}
        warehouse.execute(
            connection,
            "update marketing.snapshots set status = 'superseded' where as_of_date = :day and status = 'published'",
            day_of,
        )
        warehouse.execute(
            connection,
            "update marketing.snapshots set status = 'published', row_count = :rows, "
            "model_versions = cast(:versions as jsonb), published_at = clock_timestamp() "
            "where snapshot_id = :snapshot_id",
            {**day_of, "rows": rows, "versions": versions},
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
