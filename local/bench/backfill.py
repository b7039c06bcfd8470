"""
`python -m local.bench.backfill [--days 30] [--customers 2000]`: does a back-fill leave what daily runs would have left?

In a stack of its own: a simulated shop, models trained for the day before, and a backup of that. Then a run a day by
`make run`; what it left, as checksums; the backup restored; one back-fill of the same days; and the same checksums.
Left out of them are only the times of writing and of running, memory, the numbers of runs and the names of the lake's
history files.
"""

import argparse
import hashlib
import re
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pyarrow.parquet as pq

from local import backfill, backup, load, restore, runs
from local.airflow_api import Airflow
from local.simulator.settings import DAYS, LAST_DAY, Settings
from local.stack import Addresses, Stack
from segmentation import warehouse

DAILY, WEEKLY = "segment_customers_daily", "train_models_weekly"
# When something was written, and by which run: what two runs cannot have in common
STAMPS = {
    "accepted_at", "checked_at", "created_at", "dag_run_id", "measured_at", "path", "published_at", "quarantined_at",
    "released_at", "retired_at", "run_id", "scored_at", "decided_at", "evaluated_at", "asked_at",
}  # fmt: skip
OF_RUNS = {"started_at", "finished_at", "seconds", "peak_memory_mib"}  # of `ops.runs`: how it went, by the clock
SCHEMAS = ("marketing", "marketing_internal", "ops", "quality", "quarantine")
_COLUMNS = """
select n.nspname || '.' || c.relname, array_agg(a.attname order by a.attnum) from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relkind in ('r', 'p') and not c.relispartition and n.nspname = any(:schemas) group by 1 order by 1
"""
_UNIQUE = re.compile(r"-[0-9a-f]{8}\.parquet$")


def left(stack: Stack) -> dict[str, str]:
    """What runs have left: table or file -> rows and a checksum of them, in no order of theirs."""
    found = {}
    with warehouse.connect(stack.addresses().warehouse) as connection:
        for table, columns in warehouse.fetch(connection, _COLUMNS, {"schemas": list(SCHEMAS)}):
            left_out = STAMPS | OF_RUNS if table == "ops.runs" else STAMPS
            names = ", ".join(f'"{name}"' for name in columns if name not in left_out)
            rows, digest = warehouse.fetch(
                connection,
                f"select count(*), md5(coalesce(string_agg(t, '' order by t), '')) from "  # noqa: S608 - names of the database
                f"(select md5(row({names})::text) as t from {warehouse.identifier(table)}) as r",
            )[0]
            found[table] = f"{rows} rows {digest}"
    for path in sorted(stack.folders.lake.rglob("*.parquet")):
        name = _UNIQUE.sub(".parquet", str(path.relative_to(stack.folders.lake)))
        found[f"lake/{name}"] = _of_file(path)
    return found


def _of_file(path: Path) -> str:
    table = pq.read_table(path, partitioning=None)
    table = table.select([name for name in table.column_names if name not in STAMPS])
    rows = sorted(repr(row) for batch in table.to_batches() for row in batch.to_pylist())
    return f"{len(rows)} rows {hashlib.md5(''.join(rows).encode(), usedforsecurity=False).hexdigest()}"


def differing(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """The tables and files that are not the same in both."""
    return [
        f"{name}: {one.get(name)} / {other.get(name)}"
        for name in sorted({*one, *other})
        if one.get(name) != other.get(name)
    ]


def compare(stack: Stack, days: list[date], folder: Path, say: Callable[[str], None] = print) -> list[str]:
    """Daily runs, then a back-fill of the same days from the same state; the differences. The stack is up, and trained
    for the first of the days."""
    kept = backup.backup(stack, str(folder), say=say)
    took = {}
    for way in ("daily", "back-fill"):
        begun = time.monotonic()
        airflow = _airflow(stack.addresses())
        if way == "daily":
            for day in days:
                runs.run_dag(airflow, DAILY, day, {})
            found = left(stack)
        else:
            backfill.backfill(airflow, DAILY, days[0], days[-1], say=say)
        took[way] = time.monotonic() - begun
        if way == "daily":
            restore.restore(stack, str(kept), force=True, say=say)
    differences = differing(found, left(stack))
    say(f"{len(days)} days, {len(found)} tables and files: {len(differences)} differ")
    say(f"daily runs {took['daily']:.0f} s, back-fill {took['back-fill']:.0f} s")
    return differences


def _airflow(addresses: Addresses) -> Airflow:
    return Airflow(addresses.airflow, addresses.admin_password)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--customers", type=int, default=2_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        stack = Stack(Path(home) / "stack")
        try:
            addresses = stack.up()
            load.simulate(
                addresses.warehouse, Settings.until(LAST_DAY, DAYS, customers=options.customers), DAYS, lambda *_: None
            )
            last = LAST_DAY + timedelta(days=1)
            days = [last - timedelta(days=number) for number in reversed(range(options.days))]
            runs.run_dag(_airflow(addresses), WEEKLY, days[0], {})
            for difference in compare(stack, days, Path(home) / "backups"):
                print(f"  {difference}")
        finally:
            stack.down()


if __name__ == "__main__":
    main()
