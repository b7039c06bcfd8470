"""
What choosing a day's strategies costs: `python -m local.bench.strategy --customers 1000000`.

Scores, features, customers and two campaign contacts each are drawn at random, in the columns that the delivered
strategies go by, with budgets of which some run out (`--budgets` times those of the file). The stage runs in a process
of its own, imports apart: file, facts, margins, control groups, choice under budgets, audit, written. The floor reads
the same columns, joins them by customer and writes as many rows, without a choice.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from local.bench.features import _peak_mib, told
from local.postgres import Postgres

console = Console(width=110, highlight=False)
_HIGHEST = {"order_value_mean": 200, "age_years": 90, "last_complaint_age_days": 365, "last_visit_age_days": 90,
            "videos_90d": 5, "articles_90d": 5}  # fmt: skip
DAY, PART, KEY = dt.date(2026, 1, 31), 100_000, "a key for the bench"


def main(customers: list[int], budgets: float, folder: str | None) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as here:
        server = Postgres(Path(here) / "postgres", durable=False)
        server.start()
        try:
            table = Table(title=f"{budgets:g} times the delivered budgets; 2 threads")
            headings = ("customers", "seconds", "CPU seconds", "peak MiB", "floor, seconds", "with a strategy", "load")
            for heading in headings:
                table.add_column(heading, justify="right")
            for wanted in customers:
                lake = Path(here) / f"lake_{wanted}"
                told(
                    f"{wanted:,} customers", lambda lake=lake, wanted=wanted: _draw(_stores(server.url(), lake), wanted)
                )
                found = _measured(server.url(), lake, budgets)
                figures = (f"{found[name]:,.1f}" for name in ("seconds", "cpu", "peak_mib", "floor"))
                table.add_row(f"{wanted:,}", *figures, f"{found['chosen']:,}", f"{os.getloadavg()[0]:.1f}")
            console.print(table)
        finally:
            server.stop()


def _stores(dsn: str, lake: Path):
    from segmentation.settings import Stores

    return Stores(dsn, dsn, str(lake), f"sqlite:///{lake / 'mlflow.db'}")


def _draw(stores, wanted: int) -> None:
    """A day of scores, features, customers and contacts."""
    import numpy as np
    import pyarrow as pa

    from segmentation import history, lake, strategy_columns, strategy_file, tables, warehouse

    with warehouse.connect(stores.marketing) as connection:
        warehouse.run_script(connection, "drop schema if exists ops cascade")
    texts = {
        "lifecycle_stage": ["prospect", "new", "active", "lapsing", "lapsed"], "value_tier": ["high", "medium", "low"],
        "churn_risk": ["high", "medium", "low"], "new_customer_potential": ["high", "general", "low", None],
        "service_risk": ["high", "low", "low", "medium"], "interest_group": ["a", "b"],
        "channel_top": ["web", "app", "wechat"],
        "preferred_channel": ["email", "sms", "push"], "category_top": ["a", "b"], "gender": ["f", "m"],
        "income_band": ["low", "high"], "viewed_category_top": ["a", None],
    }  # fmt: skip
    named = {name for each in strategy_file.read() for name in each.condition.columns}
    wanted_features = {*named, "order_value_mean", "last_complaint_age_days", "gender", "age_years", "income_band",
                       "category_top", "viewed_category_top"} & {*strategy_columns.features()}  # fmt: skip
    features = pa.schema(
        [
            ("customer_id", pa.string()),
            *((n, pa.string() if n in texts else pa.float64()) for n in sorted(wanted_features)),
        ]
    )
    moment = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)

    def batches(schema, repeats=1):
        rng = np.random.default_rng(7)
        for first in range(0, wanted, PART):
            size = min(PART, wanted - first)
            for repeat in range(repeats):
                columns = [_column(field, first, size, repeat, rng) for field in schema]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)

    def _column(field, first, size, repeat, rng):
        if field.name == "customer_id":
            return pa.array([f"N{first + n:09d}" for n in range(size)])
        if field.name in texts:
            return pa.array(np.array(texts[field.name], dtype=object)[rng.integers(0, len(texts[field.name]), size)])
        if field.name == "campaign_id":
            return pa.array([f"k{repeat}"] * size)
        if field.name in ("segment_name", "model_versions", "arm"):
            return pa.array(["treatment"] * size)
        if pa.types.is_boolean(field.type):
            return pa.array(rng.random(size) < (0.9 if field.name == "email_consent" else 0.5)
                            if field.name.endswith("consent") and field.name != "profiling_consent"
                            else np.full(size, field.name == "profiling_consent"))  # fmt: skip
        if field.name == "contacted_at":
            ages = rng.integers(1, 120, size) * 86_400_000_000
            return pa.array(int(dt.datetime(2026, 1, 31, tzinfo=dt.UTC).timestamp() * 1e6) - ages).cast(field.type)
        if field.name in ("signed_up_at", "updated_at", "scored_at"):
            return pa.array([moment] * size, field.type)
        if pa.types.is_floating(field.type):
            high = _HIGHEST.get(field.name, 1)
            return pa.array(rng.random(size) * high).cast(field.type)
        return pa.nulls(size, field.type)

    lake.write(stores.lake, tables.CUSTOMER_SCORES, DAY, batches(tables.SEGMENT_COLUMNS), tables.SEGMENT_COLUMNS)
    lake.write(stores.lake, tables.CUSTOMER_FEATURES, DAY, batches(features), features)
    parts = {}
    for entity, repeats in ((tables.CUSTOMERS, 1), (tables.CAMPAIGN_CONTACTS, 2)):
        path = lake.path(stores.lake, entity.staged, DAY)
        lake.write(stores.lake, entity.staged, DAY, batches(entity.staged_schema, repeats), entity.staged_schema)
        names = entity.version_schema.names
        parts[entity.name] = history.Part(lambda path=path, names=names: lake.batches_of(path, PART, names))
    history.append(stores, DAY, parts)


def _measured(dsn: str, lake: Path, budgets: float) -> dict[str, float]:
    command = [sys.executable, "-m", "local.bench.strategy", "--measure", str(lake), "--budgets", f"{budgets}"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "BENCH_DSN": dsn}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def _measure(lake: Path, budgets: float) -> dict[str, float]:
    """Seconds, CPU seconds and peak memory of the stage, and seconds of the floor, in this process."""
    from segmentation import engine, strategy, strategy_columns, strategy_file, tables
    from segmentation import lake as lakes

    stores, path = _stores(os.environ["BENCH_DSN"], lake), lake / "strategies.yaml"
    text = strategy_file.CONFIG.read_text(encoding="utf-8")
    path.write_text(
        re.sub(r"budget: (\d+)", lambda found: f"budget: {float(found[1]) * budgets}", text), encoding="utf-8"
    )
    strategy_columns.every()  # and with it all imports
    engine.table_of(engine.query("select 1 as one", {}))
    Path("/proc/self/clear_refs").write_text("5")
    begun, cpu = time.perf_counter(), time.process_time()
    result = strategy.choose_strategies(DAY, stores, KEY, path)
    found = {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - cpu, "peak_mib": _peak_mib()}
    print(json.dumps(result), file=sys.stderr)
    names = [name for name in lakes.columns(stores.lake, tables.CUSTOMER_FEATURES, DAY) if name != "customer_id"]
    read = "s.lifecycle_stage || s.value_tier || s.churn_risk || s.service_risk"
    read_too = ", ".join(f"e.{name}" for name in names)
    same = f"select s.customer_id, hash({read}, {read_too}) / 1e19 as expected_margin"
    joined = f"{same} from {tables.CUSTOMER_SCORES} as s left join {tables.CUSTOMER_FEATURES} as e using (customer_id)"
    inputs = {name: lakes.path(stores.lake, name, DAY) for name in (tables.CUSTOMER_SCORES, tables.CUSTOMER_FEATURES)}
    begun = time.perf_counter()
    lakes.write(
        stores.lake, "score.floor", DAY, map(strategy._fitting, engine.query(joined, inputs)), tables.STRATEGY_COLUMNS
    )
    chosen = sum(each["customers"] for each in result["strategies"].values())
    return found | {"floor": time.perf_counter() - begun, "chosen": chosen}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--budgets", type=float, default=10, help="times those of the file")
    parser.add_argument("--folder", help="where there is room")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(_measure(Path(options.measure), options.budgets)))
    else:
        main(options.customers, options.budgets, options.folder)
