"""
What a day's recommendations cost: `python -m local.bench.recommend_cost --customers 1000000`.

A simulated shop of `--shop` customers over two years is worked into the aggregates; its customers are then repeated
under other ids until there are as many as are wanted. The stage makes its lists of them, weights included, in a process
of its own, imports apart; then the classification of the products. The floor is one scan of the same rows: purchases
and looks of the day, counted.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import posixpath
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from local.bench.features import told

console = Console(width=110, highlight=False)


def main(customers: int, shop: int, folder: str | None) -> None:
    from local.postgres import Postgres

    with tempfile.TemporaryDirectory(dir=folder) as here:
        server = Postgres(Path(here) / "postgres", durable=False)
        server.start()
        try:
            day, stores = _shop(server.url(), Path(here), shop)
            told(f"{customers:,} customers", lambda: _repeat(stores, day, -(-customers // shop)))
            _show({step: _measured(step, server.url(), here, day) for step in ("recommend", "movement")})
        finally:
            server.stop()


def _stores(dsn: str, here: str):
    from segmentation.settings import Stores

    return Stores(dsn, dsn, f"{here}/lake", f"sqlite:///{here}/mlflow.db")


def _shop(dsn: str, here: Path, customers: int):
    from local import load
    from local.bench.features import _silent, accept, aggregate
    from local.simulator import practice_shop
    from local.simulator.settings import LAST_DAY, Settings
    from segmentation import warehouse

    day, stores = LAST_DAY + dt.timedelta(days=1), _stores(dsn, f"{here}")
    with warehouse.connect(dsn) as connection:
        load.apply_contract(connection)
        settings = Settings.until(LAST_DAY, 730, customers=customers)
        told("simulating", lambda: practice_shop.create(connection, settings, 730, _silent))
    told("reading and checking", lambda: (accept(stores, day), aggregate(stores, day)))
    return day, stores


def _repeat(stores, day: dt.date, times: int) -> None:
    """Has the aggregates hold each customer so many times, and the day's features the ids of all."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from segmentation import history, lake, tables

    def repeated(batches):
        for batch in batches:
            for number in range(times):
                ids = pc.binary_join_element_wise(batch["customer_id"], f"{number:03d}", "-")
                yield batch.set_column(batch.schema.get_field_index("customer_id"), "customer_id", ids)

    known = []
    for aggregate in (tables.PRODUCT_DAYS, tables.PRODUCT_VIEWS):
        for file in history.files_of(stores, aggregate.name):
            path = posixpath.join(stores.lake, file.path)
            rows = pa.Table.from_batches(lake.batches_of(path, 1_000_000), schema=aggregate.file_schema)
            known.append(rows["customer_id"].unique())
            lake.write_file(path, repeated(rows.to_batches(max_chunksize=100_000)), aggregate.file_schema)
    names = pa.concat_arrays(known).unique()
    ids = pa.record_batch({"customer_id": names})
    every = pa.Table.from_batches(list(repeated([ids]))).sort_by("customer_id")
    lake.write(stores.lake, tables.CUSTOMER_FEATURES, day, every.to_batches(), every.schema)


def _measured(step: str, dsn: str, here: str, day: dt.date) -> dict[str, float]:
    command = [sys.executable, "-m", "local.bench.recommend_cost", "--measure", step, "--dsn", dsn, "--here", here]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([*command, "--day", f"{day}"], check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def _measure(step: str, dsn: str, here: str, day: dt.date) -> dict[str, float]:
    """Seconds, CPU seconds and peak memory of a stage, and seconds of the floor, in this process."""
    from local.bench.features import _peak_mib
    from segmentation import engine, history, movement, recommend, tables

    stores = _stores(dsn, here)
    count = "select count(*) as lines, count(distinct customer_id) as customers from {}"
    begun = time.perf_counter()
    with engine.session(stores.lake) as session:
        for aggregate in (tables.PRODUCT_DAYS, tables.PRODUCT_VIEWS)[: 1 if step == "movement" else 2]:
            session.put(aggregate.table, history.aggregated(stores, aggregate, day, day))
            scanned = engine.table_of(session.batches(count.format(aggregate.table))).to_pylist()[0]
    floor = time.perf_counter() - begun
    Path("/proc/self/clear_refs").write_text("5")
    begun, cpu = time.perf_counter(), time.process_time()
    stage = recommend.recommend_products if step == "recommend" else movement.classify_products
    result = stage(day, stores)
    return {
        "seconds": time.perf_counter() - begun,
        "cpu": time.process_time() - cpu,
        "peak_mib": _peak_mib(),
        "floor": floor,
        "scanned": scanned["lines"],
        "rows": result.get("rows", sum(each for each in result.values() if isinstance(each, int))),
    }


def _show(found: dict[str, dict[str, float]]) -> None:
    table = Table(title=f"load {os.getloadavg()[0]:.1f}")
    for heading in ("stage", "rows written", "seconds", "CPU seconds", "peak MiB", "floor, seconds"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for step, each in found.items():
        figures = (f"{each['seconds']:.1f}", f"{each['cpu']:.1f}", f"{each['peak_mib']:,.0f}", f"{each['floor']:.1f}")
        table.add_row(step, f"{each['rows']:,}", *figures)
    console.print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--shop", type=int, default=20_000, help="customers that are simulated")
    parser.add_argument("--folder", help="where there is room")
    parser.add_argument("--measure", choices=("recommend", "movement"), help=argparse.SUPPRESS)
    for hidden in ("--dsn", "--here", "--day"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        day = dt.date.fromisoformat(options.day)
        print(json.dumps(_measure(options.measure, options.dsn, options.here, day)))
    else:
        main(options.customers, options.shop, options.folder)
