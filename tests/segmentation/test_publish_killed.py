"""Publishing is killed at any moment, and tried again: table, feed, history and profiles are as if nothing had been."""

import contextlib
import datetime as dt
import multiprocessing
import os
import random
import signal
import threading

import pytest

from segmentation import publish, warehouse
from tests.segmentation.test_publish import put_scores

FIRST = dt.date(2026, 1, 1)
NOW = dt.datetime(2026, 1, 31, 5, tzinfo=dt.UTC)
KILLS, DAYS, CUSTOMERS = 20, 5, 20_000
TRIES = 40  # a day: some publications have ended before they are killed
TOLD = {
    "table": "select customer_id, as_of_date, segment_id, segment_name, value_tier, strategy_id "
    "from marketing.customer_segments order by 1",
    "feed": "select customer_id, change, from_segment_id, to_segment_id, from_strategy_id, to_strategy_id, as_of_date "
    "from marketing.segment_changes order by change_id / 1000000, as_of_date, 1",
    "history": "select customer_id, segment_id, value_tier, strategy_id, valid_from, valid_to "
    "from marketing.segment_history order by 1, 5",
    "profiles": "select s.as_of_date, p.segment_id, p.customers, p.came_from, p.sets_apart "
    "from marketing.segment_profiles as p inner join marketing.snapshots as s using (snapshot_id) "
    "where s.status = 'published' order by 1, 2",
    "snapshots": "select as_of_date, row_count from marketing.snapshots where status = 'published' order by 1",
}


def write_days(stores):
    """Five days; one customer of ten moves a day, a few come and go."""
    draw = random.Random(1)
    members = {f"c{n:05d}": (draw.randint(1, 4), draw.choice(["high", "low"])) for n in range(CUSTOMERS)}
    for number in range(DAYS):
        day = FIRST + dt.timedelta(days=number)
        for name in draw.sample(sorted(members), CUSTOMERS // 10):
            members[name] = (draw.randint(1, 4), draw.choice(["high", "low"]))
        for name in draw.sample(sorted(members), 50):
            del members[name]
        rows = [
            {"customer_id": name, "as_of_date": day, "segment_id": segment, "segment_name": f"s{segment}",
             "lifecycle_stage": "active", "value_tier": tier, "scored_at": NOW, "model_versions": "{}",
             "reasons": ["bought lately"]}
            for name, (segment, tier) in sorted(members.items())
        ]  # fmt: skip
        put_scores(stores, day, rows)


def told(stores):
    with warehouse.connect(stores.marketing) as connection:
        return {name: warehouse.fetch(connection, query) for name, query in TOLD.items()}


def _publish(stores, day, begun):
    begun.set()
    publish.publish_segments(day, stores)
    os._exit(0)


@pytest.mark.timeout(600)
def test_killed_at_any_moment_and_tried_again_it_is_as_if_nothing_had_been(new_warehouse, tmp_path_factory):
    from segmentation.settings import Stores

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["segmentation.publish", "segmentation.expectations", "segmentation.snapshot_audit"])
    draw, lake = random.Random(7), str(tmp_path_factory.mktemp("lake"))
    with new_warehouse() as calm_dsn, new_warehouse() as dsn:
        calm, shop = Stores(calm_dsn, calm_dsn, f"{lake}/calm", "unused"), Stores(dsn, dsn, f"{lake}/shop", "unused")
        for stores in (calm, shop):
            write_days(stores)
        for number in range(DAYS):
            publish.publish_segments(FIRST + dt.timedelta(days=number), calm)
        stop, faults = threading.Event(), []
        reader = threading.Thread(target=_read, args=(shop, stop, faults))
        reader.start()
        killed = 0
        try:
            for number in range(DAYS):
                day = FIRST + dt.timedelta(days=number)
                landed = 0
                for _ in range(TRIES):
                    begun = context.Event()
                    process = context.Process(target=_publish, args=(shop, day, begun))
                    process.start()
                    assert begun.wait(60)
                    process.join(draw.uniform(0, 1.6))
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process.pid, signal.SIGKILL)
                    process.join()
                    landed += process.exitcode == -signal.SIGKILL
                    if landed == KILLS // DAYS:
                        break
                killed += landed
                publish.publish_segments(day, shop)
        finally:
            stop.set()
            reader.join()
        assert killed == KILLS
        assert faults == []
        wanted, found = told(calm), told(shop)
        for name in TOLD:
            assert found[name] == wanted[name], name
        with warehouse.connect(shop.marketing) as connection:
            left = "select count(*) from marketing.snapshots where status = 'building'"
            assert warehouse.fetch(connection, left) == [(0,)]
            parts = "from pg_class where relname like 'change\\_rows\\_%' and relkind = 'r' and not relispartition"
            assert warehouse.fetch(connection, f"select count(*) {parts}") == [(0,)]


def _read(stores, stop, faults):
    """What a CRM sees meanwhile: always one whole snapshot."""
    query = "select count(*), count(distinct snapshot_id), count(distinct as_of_date) from marketing.customer_segments"
    with warehouse.connect(stores.marketing, autocommit=True) as connection:
        while not stop.is_set():
            with contextlib.suppress(Exception):
                if warehouse.fetch(connection, "select to_regclass('marketing.customer_segments')") == [(None,)]:
                    continue
            [(rows, snapshots, days)] = warehouse.fetch(connection, query)
            if (snapshots, days) not in ((1, 1), (0, 0)) or (rows < CUSTOMERS - 50 * DAYS and rows):
                faults.append((rows, snapshots, days))
