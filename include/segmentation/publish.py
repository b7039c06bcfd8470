"""
publish: `score.*` -> `marketing.customer_segments`, one whole snapshot at a time: write, audit, publish.

A snapshot is loaded into a table of its own that nobody sees (`snapshots`), audited there (`snapshot_audit`), compared
with what is current (`feed`), then attached as a partition; and one short transaction moves the row that readers follow
and makes feed, history and profiles say so. Readers see the old snapshot or the new one, whole, and wait for no lock.
Current is the published snapshot with the latest day; an older day is published beside it and changes nothing of that.
"""

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from segmentation import (
    consent,
    erasures,
    feed,
    gate,
    page_counts,
    profiles,
    published_rows,
    settings,
    snapshot_audit,
    snapshots,
    sql,
    tables,
    verdict,
    warehouse,
    withdrawals,
)
from segmentation.errors import FinalError
from segmentation.settings import Stores
from segmentation.suites import STOP, WARN
from segmentation.verdict import Verdict


class NoSuchSnapshotError(FinalError):
    """The snapshot that is to become current is not there, was never published, or is no longer kept."""


@erasures.holds_off_erasure
def publish_segments(
    day: dt.date, stores: Stores, validation: Mapping[str, Any] | None = None, dag_run_id: str | None = None
) -> dict[str, Any]:
    """Publishes the scores of one day; a day that is published again replaces its own snapshot only.

    Killed at any point, it leaves readers what they had; the next run of the day clears away what was unfinished. Who
    has withdrawn the consent to profiling since the day was scored is left out, and is then taken out of the older
    snapshots that are kept.

    :param validation: what the checks before it found, kept with the snapshot.
    :returns: `snapshot_id`, `rows`, `is_current`, and `changes`, how many rows the feed got.
    :raises gate.GateError: the audit refuses the snapshot, which stays, `rejected`, for inspection.
    :raises snapshots.DoubledKeyError: a customer occurs twice.
    :raises snapshots.ReadersInTheWayError: a reader's transaction stays open too long; names it. Readers keep what they
        had.
    """
    config = settings.load().publish
    verdict.make_ready()
    with snapshots.only_publisher(stores.marketing) as connection:
        snapshots.clear_unfinished(stores.marketing, day)
        feed.clear_unfinished(connection)
        checked = {**(validation or {}), **published_rows.told(day, stores)}
        snapshot_id = snapshots.open_snapshot(stores.marketing, day, checked, dag_run_id)
        agreed = consent.of_day(day, stores)
        sent = snapshots.load(stores.marketing, snapshot_id, _consenting(stores, day, agreed.withdrawn))
        snapshots.view_as(connection, "new_rows", snapshot_id)
        was = snapshots.current(connection)
        is_current = was is None or day >= was[1]
        was = was if feed.has_begun(connection) else None
        with snapshots.read_beside(stores.marketing, snapshot_id) as beside:
            measured = beside(snapshot_audit.measured, snapshot_id, day)
            described = beside(profiles.counted)
            counted = beside(page_counts.of_snapshot, day, config.smallest_group)
            if is_current:
                _find_changed(connection, was)
            migration = _migration(connection, day, was if is_current else None)
            audited = snapshot_audit.judge(measured.result(), day, sent, agreed.eligible, migration)
            _report(connection, audited, snapshot_id, day, stores, dag_run_id)
            part = feed.prepare(connection, snapshot_id, day) if is_current else None
            told = profiles.of_counts(described.result(), config.smallest_group, migration)
            counts = counted.result()
        snapshots.attach(stores.marketing, snapshot_id)
        snapshots.wait_for_readers(stores.marketing, config.reader_wait_seconds)
        with warehouse.transaction(connection):
            profiles.write(connection, snapshot_id, told)
            page_counts.write(connection, snapshot_id, counts)
            _supersede(connection, day, snapshot_id)
            if part is not None:
                _move(connection, feed.PUBLISH, part, snapshot_id, day, was)
        withdrawals.forget(connection, stores)
    return {
        "snapshot_id": snapshot_id,
        "rows": sent,
        "is_current": is_current,
        "changes": part.last - part.first + 1 if part else 0,
    }


def roll_back_segments(snapshot_id: int, stores: Stores) -> dict[str, Any]:
    """Makes a kept snapshot current at once; published ones of later days become `superseded`. Going back twice changes
    nothing more. The next day that is published becomes current as ever. Who has withdrawn the consent to profiling
    since is taken out of the snapshot before, and a contact channel that is no longer consented to is blanked.

    :returns: `snapshot_id`, `as_of_date`, and `changes`, how many rows the feed got.
    :raises NoSuchSnapshotError: names the snapshots that can be gone back to.
    """
    with snapshots.only_publisher(stores.marketing) as connection:
        day = _day_of_kept(connection, snapshot_id)
        was = snapshots.current(connection)
        if was and was[0] == snapshot_id:
            return {"snapshot_id": snapshot_id, "as_of_date": f"{day}", "changes": 0}
        feed.clear_unfinished(connection)
        was = was if feed.has_begun(connection) else None
        _take_out_withdrawn(connection, snapshot_id, stores)
        _blank_withdrawn_channels(connection, snapshot_id, stores)
        snapshots.view_as(connection, "new_rows", snapshot_id)
        _find_changed(connection, was)
        part = feed.prepare(connection, snapshot_id, day)
        with warehouse.transaction(connection):
            warehouse.execute(
                connection,
                "update marketing.snapshots set status = 'superseded' where as_of_date > :day and status = 'published'",
                {"day": day},
            )
            _supersede(connection, day, snapshot_id)
            _move(connection, feed.ROLL_BACK, part, snapshot_id, day, was)
    return {"snapshot_id": snapshot_id, "as_of_date": f"{day}", "changes": part.last - part.first + 1}


def _consenting(stores: Stores, day: dt.date, withdrawn: pa.Array) -> Iterator[pa.RecordBatch]:
    for batch in published_rows.of_day(day, stores):
        if len(withdrawn):
            batch = batch.filter(pc.invert(pc.is_in(batch["customer_id"], withdrawn)))
        yield batch


def _find_changed(connection, was: tuple[int, dt.date] | None) -> None:
    """What is other in `new_rows` than in the current snapshot: `changed`; leaves the view `old_rows` behind."""
    snapshots.view_as(connection, "old_rows", was[0] if was else None)
    feed.find(connection)


def _migration(
    connection, day: dt.date, compared: tuple[int, dt.date] | None
) -> Sequence[tuple[int | None, int | None, int]]:
    """Who went from where to where since the snapshot of the day before.

    :param compared: the snapshot that `changed` was found against, mostly the same one: then all is known already.
    """
    before = snapshots.before(connection, day)
    if before is None:
        return []
    if compared and before == compared[0]:
        return warehouse.fetch(connection, sql.read("publish", "migration_of_changed"))
    return snapshots.migration(connection, before)


def _report(
    connection, audited: Verdict, snapshot_id: int, day: dt.date, stores: Stores, dag_run_id: str | None
) -> None:
    """Keeps what the audit found with the snapshot; a refused one becomes `rejected`."""
    broken = {"stops": audited.summary(STOP), "warnings": audited.summary(WARN)}
    policy = None if published_rows.withheld(day, stores) else published_rows.policy(day, stores)
    policies = {tables.UPLIFT_MODEL: policy} if policy else {}
    told = {tables.CUSTOMER_SEGMENTS: {"rows": audited.rows, **broken}}
    warehouse.execute(
        connection,
        "update marketing.snapshots set row_count = :rows, validation = validation || cast(:told as jsonb), "
        "model_versions = (select model_versions from new_rows limit 1) || cast(:policies as jsonb), "
        "status = case when :is_refused then 'rejected' else status end where snapshot_id = :snapshot_id",
        {
            "rows": audited.rows,
            "told": json.dumps(told),
            "policies": json.dumps(policies),
            "is_refused": bool(audited.stops),
            "snapshot_id": snapshot_id,
        },
    )
    gate.report([audited], f"snapshot {snapshot_id}", day, stores, dag_run_id)


def _supersede(connection, day: dt.date, snapshot_id: int) -> None:
    """Of a day one snapshot is published: this one."""
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


def _move(
    connection, kind: str, part: feed.Part, snapshot_id: int, day: dt.date, was: tuple[int, dt.date] | None
) -> None:
    """Moves the row that readers follow, with feed and history, in the caller's transaction."""
    feed.attach(connection, part, kind, snapshot_id, was[0] if was else None, day)
    feed.write_history(connection, day, was[1] if was else None)
    warehouse.execute(connection, sql.read("publish", "current_snapshot"))


def _take_out_withdrawn(connection, snapshot_id: int, stores: Stores) -> None:
    name = snapshots.partition(snapshot_id)
    schema = pa.schema([("customer_id", pa.string())])
    rows = warehouse.stream(stores.marketing, f"select customer_id from {name}", schema)  # noqa: S608 - a quoted name
    withdrawn = consent.withdrawn(pa.Table.from_batches(rows, schema), stores)
    if len(withdrawn):
        with warehouse.transaction(connection):
            warehouse.execute(
                connection,
                f"delete from {name} where customer_id = any(:ids)",  # noqa: S608 - a quoted name
                {"ids": withdrawn.to_pylist()},
            )
            warehouse.execute(
                connection,
                f"update marketing.snapshots set row_count = (select count(*) from {name}) "  # noqa: S608 - a quoted name
                "where snapshot_id = :id",
                {"id": snapshot_id},
            )


def _blank_withdrawn_channels(connection, snapshot_id: int, stores: Stores) -> None:
    name = snapshots.partition(snapshot_id)
    schema = pa.schema([("customer_id", pa.string()), ("contact_channel", pa.string())])
    query = f"select customer_id, contact_channel from {name} where contact_channel is not null"  # noqa: S608 - a quoted name
    unasked = consent.unasked(pa.Table.from_batches(warehouse.stream(stores.marketing, query, schema), schema), stores)
    if len(unasked):
        warehouse.execute(
            connection,
            f"update {name} set contact_channel = null where customer_id = any(:ids)",  # noqa: S608 - a quoted name
            {"ids": unasked.to_pylist()},
        )


def _day_of_kept(connection, snapshot_id: int) -> dt.date:
    kept = dict(
        warehouse.fetch(
            connection,
            "select snapshot_id, as_of_date from marketing.snapshots "
            "where status in ('published', 'superseded') and is_kept order by snapshot_id",
        )
    )
    if snapshot_id not in kept:
        there = ", ".join(f"{number} ({day})" for number, day in kept.items()) or "none"
        raise NoSuchSnapshotError(f"there is no kept snapshot {snapshot_id} to go back to; there are: {there}")
    return kept[snapshot_id]
