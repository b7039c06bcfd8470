"""
What publishing costs, and what readers notice of it: `python -m local.bench.publish --customers 1000000`.

Made-up scores of two days, of which 5 % of the customers differ, in an embedded Postgres. The second day is published:
COPY, key, audit, feed, history, profiles, with the memory of this process. In the same run: a bare COPY of the same
rows, printed already, into a table without an index (the floor), and `pandas.to_sql` of a part of them, by the row.
Then the second day is published again while eight readers look up single customers and one counts all, each a process
of its own: whether any of them saw anything but a whole snapshot, and the 99th percentile of a look-up, idle and during
it. With `--whole` the customers have strategies and recommended products as well, which makes the rows half as long
again.
"""

from __future__ import annotations

import argparse
import datetime as dt
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

console = Console(width=130, highlight=False)
DAY = dt.date(2026, 7, 1)
NEXT = DAY + dt.timedelta(days=1)
PART = 100_000
PANDAS_ROWS = 50_000
READERS, IDLE_SECONDS = 8, 10
_REASONS = (
    "last order 120 days ago (raises the risk to leave)",
    "8 orders in the last 12 months (lowers the risk to leave)",
    "no complaint yet (lowers the risk to leave)",
)


def main(customers: int, folder: str | None, *, is_whole: bool = False) -> None:
    from local import load
    from local.postgres import Postgres
    from segmentation import warehouse
    from segmentation.settings import Stores

    with tempfile.TemporaryDirectory(dir=folder) as here:
        server = Postgres(Path(here) / "postgres", durable=True)
        server.start()
        try:
            dsn = server.url()
            with warehouse.connect(dsn) as connection:
                load.apply_contract(connection)
            stores = Stores(dsn, dsn, f"{here}/lake", "unused")
            _fill(stores, customers)
            if is_whole:
                _fill_beside(stores, customers)
            _costs(stores, customers, server)
            _readers(stores, customers)
        finally:
            server.stop()


def _fill(stores, customers: int) -> None:
    """Customers who all consent, and scores of two days."""
    import pyarrow as pa

    from segmentation import history, lake, tables

    entity = tables.CUSTOMERS
    fixed = {
        "signed_up_at": dt.datetime(2025, 1, 1, tzinfo=dt.UTC),
        "updated_at": dt.datetime(2025, 1, 1, tzinfo=dt.UTC),
    }
    fixed |= dict.fromkeys([name for name in entity.schema.names if name.endswith("_consent")], True)

    def people() -> Iterator[pa.RecordBatch]:
        for ids in _ids(customers):
            columns = []
            for field in entity.version_schema:
                if field.name == "customer_id":
                    columns.append(ids)
                elif field.name == "is_deleted":
                    columns.append(pa.repeat(pa.scalar(False), len(ids)))
                else:
                    columns.append(pa.repeat(pa.scalar(fixed.get(field.name), field.type), len(ids)))
            yield pa.RecordBatch.from_arrays(columns, schema=entity.version_schema)

    for each in tables.ENTITIES.values():
        lake.write(stores.lake, each.staged, DAY, iter(()), each.staged_schema)
    history.append(stores, DAY, {entity.name: history.Part(people)})
    schema = pa.schema([("customer_id", pa.string())])
    for day, seed in ((DAY, 0), (NEXT, 1)):
        ids = (pa.RecordBatch.from_arrays([each], schema=schema) for each in _ids(customers))
        lake.write(stores.lake, tables.CUSTOMER_FEATURES, day, ids, schema)
        lake.write(stores.lake, tables.CUSTOMER_SCORES, day, _scores(customers, day, seed), tables.SEGMENT_COLUMNS)


def _fill_beside(stores, customers: int) -> None:
    """A strategy for each customer, not in their order, and ten recommended products."""
    import numpy as np
    import pyarrow as pa

    from segmentation import lake, tables

    def batches(schema: pa.Schema, order: int, **values: Any) -> Iterator[pa.RecordBatch]:
        for ids in list(_ids(customers))[::order]:
            known = {"customer_id": ids, "as_of_date": pa.repeat(pa.scalar(day), len(ids))}
            known |= {name: value.take(pa.array(np.arange(len(ids)) % len(value))) for name, value in values.items()}
            columns = [
                known[field.name].cast(field.type) if field.name in known else pa.nulls(len(ids), field.type)
                for field in schema
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    chosen = {
        "strategy_id": pa.array(["medium_tier_bundle", None, "win_back"]),
        "offer": pa.array(["A bundle at a better price", None, "A voucher for coming back"]),
        "contact_channel": pa.array(["email", None, "sms"]),
        "in_holdout": pa.array([False, None, False]),
        "basis": pa.array(["assumed", None, "learnt"]),
    }
    lists = pa.array([[f"P{(7 * row + 31 * place) % 700:06d}" for place in range(10)] for row in range(700)])
    for day in (DAY, NEXT):
        rows = batches(tables.STRATEGY_COLUMNS, -1, **chosen)
        lake.write(stores.lake, tables.STRATEGIES, day, rows, tables.STRATEGY_COLUMNS)
        rows = batches(tables.RECOMMENDATION_COLUMNS, 1, recommended_products=lists)
        lake.write(stores.lake, tables.RECOMMENDATIONS, day, rows, tables.RECOMMENDATION_COLUMNS)


def _ids(customers: int):
    import pyarrow as pa

    for first in range(0, customers, PART):
        yield pa.array([f"C{number:09d}" for number in range(first, min(first + PART, customers))])


def _scores(customers: int, day: dt.date, seed: int):
    """Rows of 6 segments; with seed 1 one customer of twenty is in another segment than with seed 0."""
    import numpy as np
    import pyarrow as pa

    from segmentation import tables

    rng = np.random.default_rng(7)
    for ids in _ids(customers):
        rows = len(ids)
        segment = rng.integers(1, 7, rows)
        if seed:
            segment = np.where(rng.random(rows) < 0.05, segment % 6 + 1, segment)
        else:
            rng.random(rows)
        chance = rng.random((3, rows), dtype="float32")
        values: dict[str, Any] = {
            "customer_id": ids,
            "as_of_date": pa.repeat(pa.scalar(day), rows),
            "segment_id": segment,
            "segment_name": np.array([f"recent_loyal_medium_spenders_{n}" for n in range(7)], object)[segment],
            "lifecycle_stage": np.array(["new", "active", "lapsing", "lapsed"], object)[segment % 4],
            "value_tier": np.array(["high", "medium", "low"], object)[segment % 3],
            "churn_risk": np.array(["high", "medium", "low"], object)[segment % 3],
            "service_risk": np.array(["high", "medium", "low"], object)[segment % 3],
            "purchase_probability_30d": chance[0],
            "churn_probability_90d": chance[1],
            "high_value_probability_90d": chance[2],
            "reasons": pa.repeat(pa.scalar(list(_REASONS)), rows),
            "model_versions": pa.repeat(pa.scalar('{"churn_90d": "3", "customer_segments": "5"}'), rows),
            "scored_at": pa.repeat(pa.scalar(dt.datetime(2026, 7, 2, 5, tzinfo=dt.UTC)), rows),
        }
        arrays = [
            pa.array(values[field.name], field.type) if field.name in values else pa.nulls(rows, field.type)
            for field in tables.SEGMENT_COLUMNS
        ]
        yield pa.RecordBatch.from_arrays(arrays, schema=tables.SEGMENT_COLUMNS)


def _costs(stores, customers: int, server) -> None:
    from local.bench.daily.process import database_cpu
    from local.bench.features import _peak_mib
    from segmentation import publish

    begun = time.perf_counter()
    publish.publish_segments(DAY, stores)
    first = time.perf_counter() - begun
    Path("/proc/self/clear_refs").write_text("5")
    there = database_cpu(server)
    begun, cpu = time.perf_counter(), time.process_time()
    told = publish.publish_segments(NEXT, stores)
    seconds, cpu, peak = time.perf_counter() - begun, time.process_time() - cpu, _peak_mib()
    there = database_cpu(server) - there
    floor, floor_there = _bare_copy(stores, server)
    pandas = _pandas(stores) * customers / min(PANDAS_ROWS, customers)
    table = Table(title=f"{customers:,} customers, {told['changes']:,} changes")
    for heading in ("way", "seconds", "of bare COPY", "against pandas", "CPU here", "of PostgreSQL", "peak MiB here"):
        table.add_column(heading, justify="left" if heading == "way" else "right")
    for name, took, *others in (
        ("bare COPY", floor, "", f"{floor_there:.1f}"),
        ("publish", seconds, f"{cpu:.1f}", f"{there:.1f}", f"{peak:,.0f}"),
        ("publish, the very first day", first),
        (f"pandas.to_sql, by {PANDAS_ROWS:,} rows", pandas),
    ):
        table.add_row(name, f"{took:.1f}", f"{took / floor:.2f}", f"{pandas / took:.1f}", *others)
    console.print(table)


def _bare_copy(stores, server) -> tuple[float, float]:
    """Seconds, and those of PostgreSQL's CPU, of COPY FROM a file of the same rows into a table without an index."""
    from local.bench.daily.process import database_cpu
    from segmentation import snapshots, warehouse

    with warehouse.connect(stores.marketing) as connection:
        [(folder,)] = warehouse.fetch(connection, "show data_directory")
        file = Path(folder) / "rows.csv"
        [(snapshot_id,)] = warehouse.fetch(connection, "select max(snapshot_id) from marketing.snapshots")
        warehouse.run_script(connection, f"copy {snapshots.partition(snapshot_id)} to '{file}' (format csv)")
        warehouse.run_script(connection, "create table bare (like marketing_internal.segment_rows)")
    begun, cpu = time.perf_counter(), database_cpu(server)
    with warehouse.connect(stores.marketing) as connection:
        warehouse.run_script(connection, f"copy bare from '{file}' (format csv)")
    seconds = time.perf_counter() - begun
    time.sleep(0.5)  # until what the session has used is the server's
    cpu = database_cpu(server) - cpu
    with warehouse.connect(stores.marketing) as connection:
        warehouse.run_script(connection, "drop table bare")
    file.unlink()
    return seconds, cpu


def _pandas(stores) -> float:
    """Seconds of `to_sql` of the first of the rows that were published."""
    import pandas as pd
    import pyarrow as pa
    import sqlalchemy

    from segmentation import published_rows

    batches, rows = [], 0
    for batch in published_rows.of_day(NEXT, stores):
        batches.append(batch)
        rows += batch.num_rows
        if rows >= PANDAS_ROWS:
            break
    frame = pa.Table.from_batches(batches).slice(0, PANDAS_ROWS).to_pandas()
    for name in ("reasons", "recommended_products"):
        frame[name] = [None if each is None else list(each) for each in frame[name]]
    engine = sqlalchemy.create_engine(stores.marketing.replace("postgresql://", "postgresql+psycopg2://"))
    begun = time.perf_counter()
    pd.DataFrame.to_sql(frame, "by_pandas", engine, index=False, if_exists="replace")
    return time.perf_counter() - begun


def _readers(stores, customers: int) -> None:
    """Look-ups and counts, idle and while a snapshot is published."""
    from segmentation import publish

    idle, _ = _read_while(stores, customers, lambda: time.sleep(IDLE_SECONDS))
    busy, faults = _read_while(stores, customers, lambda: publish.publish_segments(NEXT, stores))
    table = Table(title=f"{READERS} readers of single customers and one of all, {os.cpu_count()} cores")
    for heading in ("", "look-ups", "p50 ms", "p99 ms", "worst ms"):
        table.add_column(heading, justify="right")
    for name, found in (("idle", idle), ("while a snapshot is published", busy)):
        found.sort()
        cells = [f"{1000 * found[int(share * (len(found) - 1))]:.2f}" for share in (0.5, 0.99, 1)]
        table.add_row(name, f"{len(found):,}", *cells)
    console.print(table)
    console.print(f"anything but one whole snapshot: {faults or 'never'}")


def _read_while(stores, customers: int, work: Callable[[], Any]) -> tuple[list[float], list[str]]:
    """Seconds of each look-up, and what was seen that should not be, while something is done in this process.

    Readers are processes of their own, as CRMs are: threads beside the work would wait for its interpreter lock.
    """
    of_readers = multiprocessing.get_context("spawn")
    ready, stop = of_readers.Barrier(READERS + 2), of_readers.Event()
    tasks = [(_look_up, seed) for seed in range(READERS)] + [(_count, 0)]
    with ProcessPoolExecutor(len(tasks), of_readers, _share, (ready, stop)) as pool:
        readers = [pool.submit(task, stores.marketing, customers, seed) for task, seed in tasks]
        ready.wait()
        try:
            work()
        finally:
            stop.set()
        found = [reader.result() for reader in readers]
    return [seconds for took, _ in found for seconds in took], [fault for _, faults in found for fault in faults]


_shared: dict[str, Any] = {}


def _share(ready: Any, stop: Any) -> None:
    _shared.update(ready=ready, stop=stop)


def _look_up(marketing: str, customers: int, seed: int) -> tuple[list[float], list[str]]:
    from segmentation import warehouse

    draw, took, faults = random.Random(seed), [], []
    query = "select customer_id, segment_id from marketing.customer_segments where customer_id = :id"
    with warehouse.connect(marketing, autocommit=True) as connection:
        _shared["ready"].wait()
        while not _shared["stop"].is_set():
            asked = f"C{draw.randrange(customers):09d}"
            begun = time.perf_counter()
            found = warehouse.fetch(connection, query, {"id": asked})
            took.append(time.perf_counter() - begun)
            if len(found) != 1:
                faults.append(f"{asked}: {len(found)} rows")
            time.sleep(0.005)
    return took, faults


def _count(marketing: str, customers: int, _: int) -> tuple[list[float], list[str]]:
    from segmentation import warehouse

    faults = []
    query = "select count(*), count(distinct snapshot_id) from marketing.customer_segments"
    with warehouse.connect(marketing, autocommit=True) as connection:
        _shared["ready"].wait()
        while not _shared["stop"].is_set():
            [(rows, snapshots)] = warehouse.fetch(connection, query)
            if (rows, snapshots) != (customers, 1):
                faults.append(f"{rows} rows of {snapshots} snapshots")
            time.sleep(0.5)
    return [], faults


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--folder", help="where there is room")
    parser.add_argument("--whole", action="store_true", help="with strategies and recommended products")
    given = parser.parse_args()
    main(given.customers, given.folder, is_whole=given.whole)
