"""
Fills the practice shop, schema `shop`, with a real data set or a generated one, losing nothing.

Every line of the source is one row of `shop.order_items` or one row of `quarantine.rows`. The shop is replaced in one
transaction: until its end, and after any failure, readers see the shop that was there before.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from local import cdnow, generated_shop, online_retail
from local.shop import QUARANTINE_COLUMNS, Shop
from local.source_file import Progress, SourceFile, WrongFile, open_source
from segmentation import sql, tables, warehouse

LOCAL_SQL = Path(__file__).resolve().parent / "sql"
SHOP_DDL = LOCAL_SQL / "shop.sql"

_LOADED = """
select source, lines, customers, orders, order_items, quarantined, all_reasons, returns_applied, day
from quarantine.loads
where source = :source and sha256 = :sha256
"""
_COUNTS = ("source", "sha256", "lines", "order_items", "orders", "customers", "returns_applied", "day")
_SHOWN = 60


@dataclass(frozen=True)
class Report:
    """What a load did. Holds: lines == order_items + the sum of `quarantined`.

    `quarantined` counts each refused line once, by its foremost reason; `all_reasons` counts it under every reason
    that applies. `returns_applied`: cancelled lines that an earlier order line took back, whole or in part. `day`: the
    day after the last order, UTC. `is_new`: False if the shop held exactly this already and nothing was changed.
    """

    source: str
    lines: int
    customers: int
    orders: int
    order_items: int
    quarantined: dict[str, int]
    all_reasons: dict[str, int]
    returns_applied: int
    day: date
    is_new: bool


def load(data: str | None, dsn: str, progress: Progress | None = None) -> Report:
    """Replaces the shop in the database `dsn` by the data set in the file `data`, or by the generated shop.

    :param data: path of an Online Retail, Online Retail II or CDNOW file, plain or gzipped; None for the generated
        shop.
    :param progress: called as progress(what is being done, done, total), in units of that step.
    :raises WrongFile: the file is none of these, or nothing in it can be loaded. Nothing was changed.
    """
    progress = progress or _silent
    if data is None:
        sha256, make = generated_shop.fingerprint(), lambda: generated_shop.shop(progress)
        source = generated_shop.SOURCE
    else:
        file = open_source(Path(data).expanduser())
        sha256, make = file.sha256, _reader(file, progress)
        source = file.name
    with warehouse.connect(dsn) as connection:
        report = _already_loaded(connection, source, sha256)
    if report is None:
        report = _replace(dsn, make(), sha256, progress)
    return report


def apply_contract(connection) -> None:
    """Makes the shop's and the quarantine's tables where they are missing."""
    warehouse.run_script(connection, SHOP_DDL.read_text(encoding="utf-8"))
    for name in ("rows", "loads"):
        warehouse.run_script(connection, sql.read("quarantine", name))


def _reader(file: SourceFile, progress: Progress) -> Callable[[], Shop]:
    """What reads this file: the first lines tell.

    :raises WrongFile: nothing here does.
    """
    first = next(file.lines(_silent))
    if columns := online_retail.layout(first, file.name):
        return lambda: online_retail.read(file, columns, progress)
    if columns := cdnow.layout(file.lines(_silent)):
        return lambda: cdnow.read(file, columns, progress)
    found = first.strip() if len(first.strip()) <= _SHOWN else f"{first.strip()[:_SHOWN]}..."
    raise WrongFile(
        f"expected {online_retail.EXPECTED} or {cdnow.EXPECTED}, found that {file.name} begins with {found!r}"
    )


def _already_loaded(connection, source: str, sha256: str) -> Report | None:
    if warehouse.fetch(connection, "select to_regclass('quarantine.loads')")[0][0] is None:
        return None
    rows = warehouse.fetch(connection, _LOADED, {"source": source, "sha256": sha256})
    return Report(*rows[0], is_new=False) if rows else None


def _replace(dsn: str, shop: Shop, sha256: str, progress: Progress) -> Report:
    """Writes the shop, the refused lines and the record of the load, all or nothing."""
    report = _report(shop)
    total = shop.lines + len(shop.refused.line_no)
    with warehouse.connect(dsn) as connection:
        warehouse.execute(connection, "select pg_advisory_xact_lock(hashtext('fenqun: load the shop'))")
        apply_contract(connection)
        progress("writing: clearing the shop", 0, total)
        warehouse.run_script(connection, (LOCAL_SQL / "clear_shop.sql").read_text(encoding="utf-8"))
        done = 0
        for name, entity in tables.ENTITIES.items():
            if name in shop.tables:
                progress(f"writing {name}", done, total)
                rows = warehouse.copy_in(connection, f"shop.{name}", [shop.tables[name]], entity.schema.names)
                done += rows if name == tables.ORDER_ITEMS.name else 0
        progress(f"writing {tables.QUARANTINE}", done, total)
        refused = shop.refused.table(shop.source)
        warehouse.copy_in(connection, tables.QUARANTINE, [refused], QUARANTINE_COLUMNS)
        _record(connection, report, sha256)
    progress("writing", total, total)
    return report


def _report(shop: Shop) -> Report:
    last_order = pc.max(shop.tables["orders"]["ordered_at"]).as_py()
    return Report(
        source=shop.source,
        lines=shop.lines,
        customers=shop.tables["customers"].num_rows,
        orders=shop.tables["orders"].num_rows,
        order_items=shop.tables["order_items"].num_rows,
        quarantined=shop.refused.by_foremost(),
        all_reasons=shop.refused.by_any(),
        returns_applied=shop.returns_applied,
        day=last_order.date() + timedelta(days=1),
        is_new=True,
    )


def _record(connection, report: Report, sha256: str) -> None:
    row: Mapping[str, Any] = vars(report) | {
        "sha256": sha256,
        "quarantined": json.dumps(report.quarantined),
        "all_reasons": json.dumps(report.all_reasons),
    }
    columns = [*_COUNTS, "quarantined", "all_reasons"]
    warehouse.copy_in(connection, "quarantine.loads", [pa.table({name: [row[name]] for name in columns})], columns)


def _silent(text: str, done: int, total: int) -> None:
    """The progress of a load that nobody watches."""


__all__ = ["Report", "WrongFile", "apply_contract", "load"]
