"""What keeps lake and database small, after publication: it delays and undoes nothing."""

from datetime import datetime

from airflow.sdk import task

from segmentation_airflow.stores import stores


@task
def compact() -> int:
    """Small files of the lake's history are put together; returns how many were replaced."""
    from segmentation import compaction

    return compaction.compact_history(stores())


@task
def drop_snapshots(now: str) -> dict:
    """Snapshots and parts of the feed that are too old are dropped; returns how many."""
    from segmentation import retention

    return retention.drop_old_snapshots(datetime.fromisoformat(now), stores())
