"""Old snapshots go as whole tables; what is current, recent or needed stays, and no reader is in anybody's way."""

import datetime as dt
import threading

from segmentation import publish, retention, settings, warehouse
from tests.segmentation.test_feed import FIRST, fetch, write

NOW = dt.datetime.now(dt.UTC)  # snapshots are stamped by the database's clock
LATER = NOW + dt.timedelta(days=8)
MUCH_LATER = NOW + dt.timedelta(days=500)


def publish_days(stores, days, spread=0):
    for number in range(days):
        write(stores, FIRST + dt.timedelta(days=number), {"a": (1 + number % 2, "low", None), "b": (1, "low", None)})
        publish.publish_segments(FIRST + dt.timedelta(days=number), stores)


def kept(stores):
    return [
        number for (number,) in fetch(stores, "select snapshot_id from marketing.snapshots where is_kept order by 1")
    ]


def tables_of(stores, pattern):
    found = fetch(stores, f"select relname from pg_class where relkind = 'r' and relname like '{pattern}' order by oid")
    return [name for (name,) in found]


def keep(monkeypatch, **limits):
    config = settings.Settings(publish=settings.Publish(**limits))
    monkeypatch.setattr(settings, "load", lambda: config)


def test_recent_days_and_what_was_made_lately_stay(stores, monkeypatch):
    keep(monkeypatch, keep_days=2, smallest_group=1)
    publish_days(stores, 4)
    publish.publish_segments(FIRST + dt.timedelta(days=3), stores)
    assert retention.drop_old_snapshots(NOW + dt.timedelta(days=6), stores) == {
        "snapshots": 0,
        "feed_parts": 0,
        "task_runs": 0,
    }
    assert retention.drop_old_snapshots(LATER, stores) == {"snapshots": 3, "feed_parts": 0, "task_runs": 0}
    assert kept(stores) == [3, 5]
    assert tables_of(stores, "segment_rows_%") == ["segment_rows_3", "segment_rows_5"]
    assert len(fetch(stores, "select * from marketing.customer_segments")) == 2
    assert [status for (status,) in fetch(stores, "select status from marketing.snapshots order by snapshot_id")] == [
        "published", "published", "published", "superseded", "published"
    ]  # fmt: skip


def test_the_feed_stays_as_long_as_a_kept_snapshot_needs_it(stores, monkeypatch):
    keep(monkeypatch, keep_days=2, keep_changes_days=30, smallest_group=1)
    publish_days(stores, 4)
    assert retention.drop_old_snapshots(MUCH_LATER, stores) == {"snapshots": 2, "feed_parts": 3, "task_runs": 0}
    [(cursor,)] = fetch(stores, "select last_change_id from marketing.snapshots where snapshot_id = 3")
    assert fetch(stores, "select min(change_id) from marketing.segment_changes") == [(cursor + 1,)]
    write(stores, FIRST + dt.timedelta(days=4), {"a": (2, "low", "x"), "b": (1, "low", None)})
    publish.publish_segments(FIRST + dt.timedelta(days=4), stores)
    feed = fetch(stores, "select change_id, customer_id, change from marketing.segment_changes order by 1")
    assert feed == [(cursor + 1, "a", "moved"), (cursor + 2, "a", "updated")]


def test_a_reader_that_never_ends_keeps_the_table_for_another_day(stores, monkeypatch):
    keep(monkeypatch, keep_days=1, reader_wait_seconds=0.2, smallest_group=1)
    publish_days(stores, 3)
    with warehouse.connect(stores.marketing) as reader:
        assert len(warehouse.fetch(reader, "select * from marketing.customer_segments")) == 2
        assert retention.drop_old_snapshots(LATER, stores)["snapshots"] == 0
        assert len(warehouse.fetch(reader, "select * from marketing.customer_segments")) == 2
    assert kept(stores) == [1, 2, 3]
    assert retention.drop_old_snapshots(LATER, stores)["snapshots"] == 2
    assert kept(stores) == [3]


def test_readers_in_a_loop_notice_nothing(stores, monkeypatch):
    keep(monkeypatch, keep_days=1, smallest_group=1)
    publish_days(stores, 5)
    stop, faults, reads = threading.Event(), [], []

    def read():
        with warehouse.connect(stores.marketing, autocommit=True) as connection:
            warehouse.execute(connection, "set lock_timeout = '1s'")
            while not stop.is_set():
                try:
                    reads.append(len(warehouse.fetch(connection, "select * from marketing.customer_segments")))
                except Exception as error:
                    faults.append(str(error))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    dropped = retention.drop_old_snapshots(LATER, stores)["snapshots"]
    stop.set()
    for reader in readers:
        reader.join()
    assert (dropped, faults, set(reads)) == (4, [], {2})
