"""
retention: snapshots and parts of the feed that are too old are dropped as whole tables, so that nothing bloats; and
what is known of old runs.

No reader waits: DETACH PARTITION CONCURRENTLY waits for the readers instead. If one of them does not end, what is left
is done on the next day.
"""

import datetime as dt
import logging

from segmentation import history, settings, snapshots, sql, tables, task_runs, warehouse
from segmentation.settings import Stores

log = logging.getLogger(__name__)


def drop_old_snapshots(now: dt.datetime, stores: Stores) -> dict[str, int]:
    """Drops the rows of snapshots that `settings.Publish` does not keep, the parts of the feed before them, and what
    `settings.Runs` does not keep of the runs.

    The current snapshot stays, whatever its age, and so does the line of each in `marketing.snapshots`.

    :param now: what ages are counted from.
    :returns: `snapshots`, `feed_parts` and `task_runs`: how many were dropped.
    """
    config = settings.load().publish
    with snapshots.only_publisher(stores.marketing) as connection:
        old = warehouse.fetch(
            connection,
            sql.read("publish", "expired_snapshots"),
            {
                "keep_days": config.keep_days,
                "made_before": now - dt.timedelta(days=config.keep_spare_days),
            },
        )
        dropped = [number for (number,) in old if _drop_snapshot(connection, number, config.reader_wait_seconds)]
        parts = warehouse.fetch(
            connection,
            sql.read("publish", "expired_changes"),
            {"published_before": now - dt.timedelta(days=config.keep_changes_days)},
        )
        gone = [
            number
            for (number,) in parts
            if _drop(connection, tables.CHANGE_ROWS, f"{tables.CHANGE_ROWS}_{number}", config.reader_wait_seconds)
        ]
    history.ensure_schema(stores.marketing)
    with warehouse.connect(stores.marketing) as connection:
        runs = task_runs.drop_old(connection, now - dt.timedelta(days=settings.load().runs.keep_days))
    return {"snapshots": len(dropped), "feed_parts": len(gone), "task_runs": runs}


def _drop_snapshot(connection, snapshot_id: int, seconds: float) -> bool:
    if not _drop(connection, tables.SEGMENT_ROWS, f"{tables.SEGMENT_ROWS}_{snapshot_id}", seconds):
        return False
    warehouse.execute(
        connection,
        "update marketing.snapshots set is_kept = false, "
        "status = case status when 'building' then 'rejected' else status end where snapshot_id = :snapshot_id",
        {"snapshot_id": snapshot_id},
    )
    return True


def _drop(connection, parent: str, table: str, seconds: float) -> bool:
    """Whether the table is gone now. One that another detachment is waiting for stays for another day."""
    attached, child = warehouse.identifier(parent), warehouse.identifier(table)
    found = warehouse.fetch(
        connection,
        "select coalesce(bool_or(i.inhdetachpending), false), count(i.inhrelid) from pg_class as c "
        "left join pg_inherits as i on c.oid = i.inhrelid where c.oid = to_regclass(:name)",
        {"name": table},
    )
    is_pending, is_attached = found[0]
    try:
        if is_attached:
            how = "finalize" if is_pending else "concurrently"
            with warehouse.time_limit(connection, seconds):
                warehouse.run_script(connection, f"alter table {attached} detach partition {child} {how}")
        warehouse.run_script(connection, f"drop table if exists {child}")
    except (warehouse.OutOfTimeError, warehouse.NotNowError) as error:
        log.warning("%s is not dropped today: %s", table, error)
        return False
    return True
