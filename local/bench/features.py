"""
What a day's features cost: `python -m local.bench.features --customers 1000000 --days 730`.

In one run, on a simulated shop in an embedded Postgres: the first load worked into the aggregates, a day's increment
worked in, the snapshot of a day as the daily run builds it, and the same SQL inside that Postgres, over the same
aggregates in tables there (filled by COPY and analysed before the clock starts; work_mem 512 MB, as many parallel
workers as there are cores). Each of ours in a process of its own, for its peak memory; the best of some rounds counts.
Postgres does without the purchase model and without writing Parquet.
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
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

console = Console(width=110, highlight=False)


def main(customers: int, days: int, rounds: int, folder: str | None) -> None:
    from local.postgres import Postgres

    with tempfile.TemporaryDirectory(dir=folder) as here:
        server = Postgres(Path(here) / "postgres", durable=False)
        server.start()
        try:
            _compare(server.url(), Path(here), customers, days, rounds)
        finally:
            server.stop()


def _compare(dsn: str, here: Path, customers: int, days: int, rounds: int) -> None:
    from local import load
    from local.simulator import practice_shop
    from local.simulator.settings import LAST_DAY, Settings
    from segmentation import warehouse

    day = LAST_DAY + dt.timedelta(days=1)
    with warehouse.connect(dsn) as connection:
        load.apply_contract(connection)
        told("simulating", lambda: practice_shop.create(connection, Settings.until(LAST_DAY, days, customers=customers),
                                                        days, _silent))  # fmt: skip
    told("reading and checking", lambda: _accept(dsn, here, day))
    found = {"aggregates, first load": _measured("aggregate", dsn, here, day)}
    told("a day more", lambda: practice_shop.grow(dsn, 1, _silent))
    day += dt.timedelta(days=1)
    told("reading and checking it", lambda: _accept(dsn, here, day))
    found["aggregates, a day's increment"] = _measured("aggregate", dsn, here, day)
    found["features of the day"] = min(
        (_measured("features", dsn, here, day) for _ in range(rounds)), key=lambda each: each["seconds"]
    )
    told("the same tables into Postgres", lambda: into_postgres(_stores(dsn, here), dsn, day))
    inside = inside_postgres(dsn, day)
    ours = found["features of the day"]["seconds"]
    rows = found["features of the day"]["rows"]
    table = Table(title=f"{rows:,} customers with consent of {customers:,}, {days} days; best of {rounds}")
    for heading in ("what", "seconds", "peak MiB", "of it imports", "rows"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for name, each in found.items():
        table.add_row(
            name, f"{each['seconds']:.1f}", f"{each['peak_mib']:,.0f}", f"{each['base_mib']:,.0f}", f"{each['rows']:,}"
        )
    table.add_row(f"the same SQL inside Postgres, {inside / ours:.1f}x", f"{inside:.1f}", "", "", f"{rows:,}")
    console.print(table)


def told(what: str, work: Callable[[], object]) -> float:
    """Does something and says how long it took."""
    begun = time.perf_counter()
    work()
    seconds = time.perf_counter() - begun
    console.print(f"{what}: {seconds:.1f} s")
    return seconds


def _stores(dsn: str, here: Path):
    from segmentation.settings import Stores

    return Stores(warehouse=dsn, marketing=dsn, lake=str(here / "lake"), registry=f"sqlite:///{here / 'mlflow.db'}")


def _accept(dsn: str, here: Path, day: dt.date) -> None:
    """Extract and gate, in a process of their own: what they leave in memory is none of the features'."""
    _measured("accept", dsn, here, day)


def accept(stores, day: dt.date) -> int:
    from segmentation import extract, tables, validate

    for name in tables.ENTITIES:
        extract.extract_entity(name, day, stores)
    return sum(each["accepted"] for each in validate.accept_raw(day, stores)["tables"].values())


def aggregate(stores, day: dt.date) -> int:
    from segmentation import aggregates

    return sum(aggregates.build_aggregates(day, stores).values())


def features(stores, day: dt.date) -> int:
    from segmentation import features

    return features.build_features(day, stores)


STEPS = {step.__name__: step for step in (accept, aggregate, features)}


def _measured(step: str, dsn: str, here: Path, day: dt.date) -> dict[str, float]:
    command = [sys.executable, "-m", "local.bench.features", "--measure", step, "--dsn", dsn, "--here", str(here)]
    done = subprocess.run([*command, "--day", f"{day}"], check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    console.print(f"  {step}: {found['seconds']:.1f} s, {found['peak_mib']:,.0f} MiB")
    return found


def _measure(step: str, dsn: str, here: Path, day: dt.date) -> dict[str, float]:
    """Seconds, rows and peak memory of one step, in this process; imports are not counted."""
    from segmentation import aggregates, extract, features, validate  # noqa: F401

    Path("/proc/self/clear_refs").write_text("5")  # else the peak is that of the process which began this one
    before = _peak_mib()
    begun = time.perf_counter()
    rows = STEPS[step](_stores(dsn, here), day)
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "rows": rows, "peak_mib": _peak_mib(), "base_mib": before}


def _peak_mib() -> float:
    """The most memory that this process has held since the peak was reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def into_postgres(stores, dsn: str, day: dt.date) -> None:
    """Fills tables of a database with what the statements of the features read, as the day knows it."""
    from segmentation import engine, history, tables, warehouse

    with engine.session(stores.lake) as session, warehouse.connect(dsn) as connection:
        for entity in tables.ENTITIES.values():
            if entity.name not in ("orders", "order_items", "events"):
                session.put(entity.table, history.known_then(stores, entity.name, day, day))
                _fill(connection, session, entity.table)
        session.put(tables.CUSTOMERS_NOW, history.latest(stores, tables.CUSTOMERS.name))
        _fill(connection, session, tables.CUSTOMERS_NOW)
        for each in tables.AGGREGATES.values():
            session.put(each.table, history.aggregated(stores, each, day, day))
            _fill(connection, session, each.table)
    with warehouse.connect(dsn, autocommit=True) as connection:
        warehouse.execute(connection, "vacuum analyze")


def _fill(connection, session, table: str) -> None:
    import pyarrow as pa

    from segmentation import warehouse

    kinds = {
        pa.string(): "text",
        pa.bool_(): "boolean",
        pa.date32(): "date",
        pa.int16(): "smallint",
        pa.int32(): "integer",
        pa.int64(): "bigint",
        pa.float32(): "real",
        pa.float64(): "double precision",
    }
    batches = session.batches(f"select * from {table}")  # noqa: S608 - names of tables.py
    first = next(batches)
    columns = []
    for field in first.schema:
        kind = kinds.get(field.type) or ("timestamptz" if pa.types.is_timestamp(field.type) else "numeric(18, 4)")
        columns.append(f"{field.name} {kind}")
    schema = table.split(".")[0]
    warehouse.run_script(connection, f"create schema if not exists {schema}; create unlogged table {table} ("
                                     f"{', '.join(columns)})")  # fmt: skip
    warehouse.copy_in(connection, table, (pa.Table.from_batches([each]) for each in batches), first.schema.names)


def inside_postgres(dsn: str, day: dt.date) -> float:
    """Seconds of every statement of the features, and of putting the families side by side."""
    from segmentation import families, feature_snapshot, sql, tables, warehouse

    seconds = 0.0
    with warehouse.connect(dsn) as connection:
        warehouse.run_script(
            connection,
            f"create schema feat; set work_mem = '512MB'; set max_parallel_workers_per_gather = {os.cpu_count()}; "
            "set min_parallel_table_scan_size = '1MB'",
        )
        statements = {tables.POPULATION: sql.read("features", "population")}
        statements |= {
            table: sql.read("features", table.partition(".")[2]) for table in feature_snapshot.BEFORE_FAMILIES
        }
        statements |= {family.table: sql.read("features", family.name) for family in families.in_sql()}
        statements[tables.CUSTOMER_FEATURES] = feature_snapshot.side_by_side()
        for table, statement in statements.items():
            text = f"create unlogged table {table} as {_for_postgres(statement, day)}; analyze {table}"
            seconds += told(f"  Postgres: {table}", lambda text=text: warehouse.run_script(connection, text))
    return seconds


def _for_postgres(statement: str, day: dt.date) -> str:
    """A statement of the features as Postgres has it."""
    import sqlglot
    from sqlglot import exp

    from segmentation import engine, sql

    for name, value in {"as_of": day, "sample_below": "g"}.items():
        statement = sql.put_in(statement, name, engine.literal(value))

    def changed(node):
        if isinstance(node, exp.DateDiff):
            if str(node.args["unit"]).lower() == "day":  # of dates, as all of them are
                return exp.paren(exp.Sub(this=node.this, expression=node.expression))
            later, earlier = node.this.sql("postgres"), node.expression.sql("postgres")
            return sqlglot.parse_one(f"extract(epoch from ({later}) - ({earlier}))", dialect="postgres")
        if isinstance(node, exp.Round):
            return exp.cast(exp.Round(this=exp.cast(node.this, "numeric"), decimals=node.args["decimals"]), "double")
        return node

    return sqlglot.parse_one(statement, dialect="duckdb").transform(changed).sql(dialect="postgres")


def _silent(text: str, done: int, total: int) -> None:
    """The figures are what there is to see."""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=730)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where there is room: 40 GB for a million customers")
    parser.add_argument("--measure", choices=STEPS, help=argparse.SUPPRESS)
    for hidden in ("--dsn", "--here", "--day"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        told_of = _measure(options.measure, options.dsn, Path(options.here), dt.date.fromisoformat(options.day))
        print(json.dumps(told_of))
    else:
        main(options.customers, options.days, options.rounds, options.folder)
