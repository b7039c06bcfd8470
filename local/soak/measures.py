"""What could grow, measured at rest: rows, files, tables, memory; and what became of the segments and the promises."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

from local.processes import family
from local.stack import Stack
from local.state import State
from segmentation import lake, tables, warehouse

MIB = 1024**2
OURS = ("evaluation", "marketing", "marketing_internal", "ops", "privacy", "quality", "quarantine")
_TABLES = """
select n.nspname, count(*), sum(pg_total_relation_size(c.oid))::bigint
from pg_class as c inner join pg_namespace as n on c.relnamespace = n.oid
where c.relkind = 'r' and n.nspname = any(:schemas) group by 1
"""
_SESSIONS = "select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
_SEGMENTS = """
select p.segment_id, p.segment_name from marketing.segment_profiles as p
inner join marketing_internal.current_snapshot using (snapshot_id) order by 1
"""
_PROMISES = """
select model, metric, as_of_date::text, version, promised, promised_low, promised_high, realised, realised_low,
    realised_high
from ops.performance where metric in ('auc', 'calibration_error', 'spearman', 'total_ratio')
order by model, metric, as_of_date
"""
_RETRAINS = "select as_of_date::text, is_asked, reasons, held_back from ops.retrains where reasons <> '{}' order by 1"


def at_rest(stack: Stack) -> dict[str, float]:
    """Name -> how much there is of it now, between two days."""
    found: dict[str, float] = {}
    with warehouse.connect(stack.addresses().warehouse) as connection:
        counts = [f"select count(*) from shop.{name}" for name in tables.ENTITIES]  # noqa: S608 - our names
        found["rows of the shop"] = sum(_one(connection, count) for count in counts)
        of_schema = {name: rest for name, *rest in warehouse.fetch(connection, _TABLES, {"schemas": [*OURS, "shop"]})}
        found["MiB of the shop"] = of_schema.pop("shop")[1] / MIB
        found["tables"] = sum(count for count, _ in of_schema.values())
        for schema, (_, size) in sorted(of_schema.items()):
            found[f"MiB of schema {schema}"] = size / MIB
        found["sessions of the database"] = warehouse.fetch(connection, _SESSIONS)[0][0]
        found["MiB of MLflow's database"] = _one(connection, "select pg_database_size('mlflow')") / MIB
        found["customers published"] = _one(connection, "select count(*) from marketing.customer_segments")
    found |= _files("the lake", stack.folders.lake)
    found |= {name: value for name, value in _files("MLflow", stack.folders.artifacts).items() if name.count(",") == 0}
    found["MiB held by PostgreSQL"] = _held([stack.postgres.pid])
    found["MiB held by MLflow"] = _held([State.load(stack.folders.state).components["mlflow"].pid])
    return found


def segments(stack: Stack) -> dict[str, str]:
    """The published segments: id -> name."""
    with warehouse.connect(stack.addresses().warehouse) as connection:
        return {f"{number}": name for number, name in warehouse.fetch(connection, _SEGMENTS)}


def moved(stack: Stack, day: dt.date, since: dt.date) -> float:
    """Of the customers who were scored on both days, the share 0..1 who are in another segment."""
    then, now = (
        lake.read(str(stack.folders.lake), tables.CUSTOMER_SCORES, each, ["customer_id", "segment_id"]).to_pandas()
        for each in (since, day)
    )
    both = then.merge(now, on="customer_id")
    return float((both["segment_id_x"] != both["segment_id_y"]).mean())


def promises(stack: Stack) -> list[dict[str, Any]]:
    """What was measured of the scores whose horizons have ended, beside what training had promised."""
    return _dicts(stack, _PROMISES)


def retrains(stack: Stack) -> list[dict[str, Any]]:
    """The days that had a reason to train before its time."""
    return _dicts(stack, _RETRAINS)


def are_in(stack: Stack, day: dt.date, customers: Iterable[str]) -> list[str]:
    """Which of these are in the published table, the feed's open rows or the features of a day."""
    wanted = set(customers)
    with warehouse.connect(stack.addresses().warehouse) as connection:
        names = {"ids": sorted(wanted)}
        found = {
            customer
            for table in ("marketing.customer_segments", "marketing.segment_history")
            for (customer,) in warehouse.fetch(
                connection,
                f"select customer_id from {table} where customer_id = any(:ids)",  # noqa: S608 - our names
                names,
            )
        }
    known = lake.read(str(stack.folders.lake), tables.CUSTOMER_FEATURES, day, ["customer_id"])
    return sorted(found | (wanted & set(known["customer_id"].to_pylist())))


def age(stack: Stack) -> None:
    """Makes all that is dropped by the clock a day older: snapshots, the feed, files of the history."""
    day = "interval '1 day'"
    with warehouse.connect(stack.addresses().warehouse) as connection:
        warehouse.run_script(
            connection,
            f"update marketing.snapshots set created_at = created_at - {day}, published_at = published_at - {day};"  # noqa: S608
            f"update marketing_internal.publications set published_at = published_at - {day};"
            f"update ops.versions set retired_at = retired_at - {day} where retired_at is not null",
        )


def _files(whose: str, folder: Path) -> dict[str, float]:
    """Files and MiB below a folder, in all and by what lies in it."""
    found = {f"files of {whose}": 0.0, f"MiB of {whose}": 0.0}
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        part = path.relative_to(folder).parts[0]
        for name, value in (("files", 1.0), ("MiB", path.stat().st_size / MIB)):
            for key in (f"{name} of {whose}", f"{name} of {whose}, {part}"):
                found[key] = found.get(key, 0.0) + value
    return found


def _held(pids: Iterable[int]) -> float:
    """MiB of memory that processes and all below them hold, what they share counted once (PSS)."""
    held = 0.0
    for process in family([psutil.Process(pid) for pid in pids]):
        try:
            held += process.memory_full_info().pss / MIB
        except psutil.Error:
            continue
    return held


def _one(connection, query: str) -> float:
    return float(warehouse.fetch(connection, query)[0][0])


def _dicts(stack: Stack, query: str) -> list[dict[str, Any]]:
    with warehouse.connect(stack.addresses().warehouse) as connection:
        return warehouse.fetch_dicts(connection, query)
