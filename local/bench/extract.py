"""
How fast the extract is against its floor and against what people write: `python -m local.bench.extract --rows 2000000`.

In one run, on one table of orders in an embedded Postgres: a bare COPY into nothing (the floor), the extract's way into
Parquet, and `pandas.read_sql`. Each in a process of its own, for its peak memory; the best of some rounds counts.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

QUERY = "select * from shop.orders"
ORDERS = """
insert into shop.orders
select 'o' || n, 'c' || n % 200000, timestamptz '2024-01-01' + n * interval '30 second', 'delivered', 'web', null, 0,
    (n % 10000) / 100.0, timestamptz '2024-01-01' + n * interval '30 second'
from generate_series(1, :rows) as n
"""


class _Nothing(io.RawIOBase):
    def write(self, data) -> int:
        return len(data)


def bare_copy(dsn: str, folder: Path) -> None:
    """COPY of the query into nothing."""
    from segmentation import warehouse

    with warehouse.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.copy_expert(f"copy ({QUERY}) to stdout (format csv)", _Nothing())


def extract(dsn: str, folder: Path) -> None:
    """The extract's way: typed Arrow batches into one Parquet file."""
    from segmentation import lake, tables, warehouse

    batches = warehouse.stream(dsn, QUERY, tables.ORDERS.schema)
    lake.write_file(str(folder / "orders.parquet"), batches, tables.ORDERS.schema)


def pandas_read_sql(dsn: str, folder: Path) -> None:
    """What people write: the whole table into a data frame, then to Parquet."""
    import pandas as pd
    import sqlalchemy

    engine = sqlalchemy.create_engine(dsn.replace("postgresql://", "postgresql+psycopg2://"))
    pd.read_sql(QUERY, engine).to_parquet(folder / "pandas.parquet")


WAYS = {way.__name__: way for way in (bare_copy, extract, pandas_read_sql)}


def _measure(way: str, dsn: str) -> dict[str, float]:
    """Seconds and peak memory of one way, in this process; imports are not counted."""
    import pandas  # noqa: F401
    import pyarrow  # noqa: F401
    import sqlalchemy  # noqa: F401

    from segmentation import lake, tables, warehouse  # noqa: F401

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        WAYS[way](dsn, Path(folder))
        seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "peak_mib": peak / 1024, "base_mib": before / 1024}


def _run(rows: int, rounds: int) -> None:
    from local import load
    from local.postgres import Postgres
    from segmentation import warehouse

    with tempfile.TemporaryDirectory() as folder:
        server = Postgres(Path(folder), durable=False)
        server.start()
        try:
            dsn = server.url()
            with warehouse.connect(dsn) as connection:
                load.apply_contract(connection)
                warehouse.execute(connection, ORDERS, {"rows": rows})
            best: dict[str, dict[str, float]] = {}
            for _ in range(rounds):
                for way in WAYS:
                    command = [sys.executable, "-m", "local.bench.extract", "--measure", way, "--dsn", dsn]
                    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                    best[way] = min(best.get(way, found), found, key=lambda each: each["seconds"])
        finally:
            server.stop()
    table = Table(title=f"{rows:,} orders, best of {rounds}")
    for heading in ("way", "seconds", "rows/s", "of bare COPY", "against pandas", "peak MiB", "of it imports"):
        table.add_column(heading, justify="right")
    for way, found in best.items():
        table.add_row(
            way,
            f"{found['seconds']:.2f}",
            f"{rows / found['seconds']:,.0f}",
            f"{best['bare_copy']['seconds'] / found['seconds']:.0%}",
            f"{best['pandas_read_sql']['seconds'] / found['seconds']:.1f}x",
            f"{found['peak_mib']:,.0f}",
            f"{found['base_mib']:,.0f}",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--dsn", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(_measure(options.measure, options.dsn)))
    else:
        _run(options.rows, options.rounds)
