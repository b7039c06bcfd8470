"""
What a weekly training costs: `python -m local.bench.training --customers 1000000 --days 730`.

On a simulated shop in an embedded Postgres, read and worked into the aggregates before the clock starts: the training
examples, the segments and each target, as the DAG runs them, each in a process of its own for its peak memory. The sum
of the seconds is what the weekly run takes with one task at a time; the DAG trains two targets at a time.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

console = Console(width=110, highlight=False)


def main(customers: int, days: int, folder: str | None) -> None:
    from local import load
    from local.bench import models
    from local.postgres import Postgres
    from local.simulator import practice_shop
    from local.simulator.settings import LAST_DAY, Settings
    from segmentation import tables, warehouse
    from segmentation.settings import Stores

    day = LAST_DAY + dt.timedelta(days=1)
    with tempfile.TemporaryDirectory(dir=folder) as here:
        server = Postgres(Path(here) / "postgres", durable=False)
        server.start()
        try:
            dsn = server.url()
            with warehouse.connect(dsn) as connection:
                load.apply_contract(connection)
                settings = Settings.until(LAST_DAY, days, customers=customers)
                practice_shop.create(connection, settings, days, lambda *_: None)
            console.print("simulated")
            models.accept(day, Stores(dsn, dsn, f"{here}/lake", f"sqlite:///{here}/mlflow.db"))
            console.print("read, checked and aggregated")
            steps = ["examples", "segments", *tables.TARGETS]
            found = {step: _measured(step, dsn, here, day) for step in steps}
        finally:
            server.stop()
    table = Table(title=f"{customers:,} customers, {days} days")
    for heading in ("task", "seconds", "of them CPU", "peak MiB", "what came of it"):
        table.add_column(heading, justify="left" if heading in ("task", "what came of it") else "right")
    for name, each in found.items():
        table.add_row(name, f"{each['seconds']:.0f}", f"{each['cpu']:.0f}", f"{each['peak_mib']:,.0f}", each["told"])
    table.add_row("sum", f"{sum(each['seconds'] for each in found.values()):.0f}", "", "", "")
    console.print(table)


def _measured(step: str, dsn: str, here: str, day: dt.date) -> dict:
    command = [sys.executable, "-m", "local.bench.training", "--measure", step, "--dsn", dsn, "--here", here]
    done = subprocess.run([*command, "--day", f"{day}"], check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    console.print(f"  {step}: {found['seconds']:.0f} s, {found['peak_mib']:,.0f} MiB, {found['told']}")
    return found


def _measure(step: str, dsn: str, here: str, day: dt.date) -> dict:
    from segmentation import classify, cluster, features
    from segmentation.settings import Stores

    stores = Stores(dsn, dsn, f"{here}/lake", f"sqlite:///{here}/mlflow.db")
    os.chdir(here)
    Path("/proc/self/clear_refs").write_text("5")  # else the peak is that of the process which began this one
    begun, cpu = time.perf_counter(), time.process_time()
    if step == "examples":
        rows = features.build_training_examples(day, stores)
        told = f"{sum(rows.values()):,} rows at {len(rows)} cutoffs"
    else:
        trained = (
            cluster.train_segments(day, stores) if step == "segments" else classify.train_target(step, day, stores)
        )
        metrics = trained.get("metrics", {})
        shown = ("segments", "separation", "stability", "auc", "calibration_error", "spend_share_top_tenth")
        told = ", ".join(f"{name} {metrics[name]:.3f}" for name in shown if name in metrics) or trained["skipped"]
    peak = next(
        int(line.split()[1]) / 1024
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmHWM")
    )
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "cpu": time.process_time() - cpu, "peak_mib": peak, "told": told}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=730)
    parser.add_argument("--folder")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--dsn", help=argparse.SUPPRESS)
    parser.add_argument("--here", help=argparse.SUPPRESS)
    parser.add_argument("--day", type=dt.date.fromisoformat, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(_measure(given.measure, given.dsn, given.here, given.day)))
    else:
        main(given.customers, given.days, given.folder)
