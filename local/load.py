"""
Fills the practice shop, schema `shop`, with a real data set, losing nothing, or with a simulated one.

Every line of the source is one row of `shop.order_items`, of a randomised campaign's file one of
`shop.campaign_contacts`, or one row of `quarantine.rows`. The shop is replaced in one transaction: after any failure,
and until its end, readers see the shop that was there before; for a simulated one, which may be large, they wait.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from local import cdnow, hillstrom, online_retail
from local.shop import QUARANTINE_COLUMNS, Shop
from local.simulator import practice_shop
from local.simulator.settings import DAYS, Settings
from local.source_file import Progress, SourceFile, WrongFile, open_source
from segmentation import sql, tables, warehouse

LOCAL_SQL = Path(__file__).resolve().parent / "sql"
SHOP_DDL = LOCAL_SQL / "shop.sql"
CLEAR = LOCAL_SQL / "clear_shop.sql"

_LOADED = """
select source, lines, customers, orders, order_items, quarantined, all_reasons, returns_applied, day
from quarantine.loads
where source = :source and sha256 = :sha256
"""
_COUNTS = ("source", "sha256", "lines", "order_items", "orders", "customers", "returns_applied", "day")
_SHOWN = 60


@dataclass(frozen=True)
class Report:
    """What a load did. Holds: lines == order_items (or contacts) + the sum of `quarantined`.

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
    """Replaces the shop in the database `dsn` by the data set in the file `data`, or sees to a simulated one.

    :param data: path of an Online Retail, Online Retail II, CDNOW or Hillstrom file, plain or gzipped; None for a
        simulated shop: the one that is there, whatever its size and age, or else a small one.
    :param progress: called as progress(what is being done, done, total), in units of that step.
    :raises WrongFile: the file is none of these, or nothing in it can be loaded. Nothing was changed.
    """
    progress = progress or _silent
    if data is None:
        return _simulated(dsn) or simulate(dsn, Settings(), DAYS, progress)
    file = open_source(Path(data).expanduser())
    make = _reader(file, progress)
    with warehouse.connect(dsn) as connection:
        report = _already_loaded(connection, file.name, file.sha256)
    return report or _replace(dsn, make(), file.sha256, progress)


def simulate(dsn: str, settings: Settings, days: int, progress: Progress | None = None) -> Report:
    """Replaces the shop by the first `days` days of a simulated one; each order line counts as a line of its source.

    :raises ValueError: there are no days, or too many.
    """
    progress = progress or _silent
    with warehouse.connect(dsn) as connection:
        warehouse.execute(connection, practice_shop.LOCK)
        apply_contract(connection)
        practice_shop.clear(connection)
        warehouse.run_script(connection, CLEAR.read_text(encoding="utf-8"))
        rows = practice_shop.create(connection, settings, days, progress)
        report = Report(
            source=practice_shop.SOURCE,
            lines=rows["shop.order_items"],
            customers=rows["shop.customers"],
            orders=rows["shop.orders"],
            order_items=rows["shop.order_items"],
            quarantined={},
            all_reasons={},
            returns_applied=0,
            day=settings.first_day + timedelta(days=days),
            is_new=True,
        )
        _record(connection, report, settings.fingerprint())
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
    if hillstrom.layout(first):
        return lambda: hillstrom.read(file, progress)
    found = first.strip() if len(first.strip()) <= _SHOWN else f"{first.strip()[:_SHOWN]}..."
    raise WrongFile(
        f"expected {online_retail.EXPECTED}, {cdnow.EXPECTED} or {hillstrom.EXPECTED}, "
        f"found that {file.name} begins with {found!r}"
    )


def _simulated(dsn: str) -> Report | None:
    """The report on the simulated shop that is there, None if there is none that this version could let grow."""
    with warehouse.connect(dsn) as connection:
        try:
            shop = practice_shop.find(connection)
        except ValueError:
            return None
        return _already_loaded(connection, practice_shop.SOURCE, shop.settings.fingerprint()) if shop else None


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
        warehouse.execute(connection, practice_shop.LOCK)
        apply_contract(connection)
        progress("writing: clearing the shop", 0, total)
        warehouse.run_script(connection, CLEAR.read_text(encoding="utf-8"))
        practice_shop.forget(connection)
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


__all__ = ["Report", "WrongFile", "apply_contract", "load", "simulate"]
