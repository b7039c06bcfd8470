"""
movement: `agg.product_days` and `raw.products` -> `marketing.product_movement`: how products sell, and what to do.

For who keeps the stock: fast, steady, slow or dead; restock, hold, promote or clear. The rules are in
include/sql/movement/movement.sql, the thresholds in the settings, what they mean in docs/products.md.
"""

import datetime as dt
import logging
from collections import Counter

import pyarrow as pa

from segmentation import engine, history, settings, snapshots, sql, tables, warehouse
from segmentation.settings import Stores

log = logging.getLogger(__name__)


def classify_products(day: dt.date, stores: Stores) -> dict[str, int]:
    """Replaces the classification of one day; readers see that of the latest day, so an older one changes nothing for
    them.

    :returns: products by action. Empty where the shop has no products or no order items: the log says so, and what
        was there of the day stays.
    :raises history.NotAcceptedError: the day has not passed the gate, or its aggregates are not built.
    """
    config = settings.load().movement
    rows = _classified(day, stores, config)
    if not rows.num_rows:
        log.warning("no products are classified on %s: the shop has no products, or no rows of order_items", day)
        return {}
    snapshots.ensure_schema(stores.marketing)
    with warehouse.connect(stores.marketing) as connection:
        warehouse.execute(
            connection,
            f"delete from {warehouse.identifier(tables.MOVEMENT_ROWS)} where as_of_date = :day",  # noqa: S608
            {"day": day},
        )
        warehouse.copy_in(connection, tables.MOVEMENT_ROWS, [rows], rows.column_names)
        warehouse.execute(connection, sql.read("movement", "expired"), {"keep_days": config.keep_days, "day": day})
    return dict(sorted(Counter(rows["action"].to_pylist()).items()))


def _classified(day: dt.date, stores: Stores, config: settings.Movement) -> pa.Table:
    """The rows of a day, by product_id."""
    parameters = {**config.model_dump(exclude={"left_out", "keep_days"}), "as_of": day}
    with engine.session(stores.lake) as session:
        session.put(tables.PRODUCTS.table, history.known_then(stores, tables.PRODUCTS.name, day, day))
        session.put(tables.PRODUCT_DAYS.table, history.aggregated(stores, tables.PRODUCT_DAYS, day, day))
        session.put("movement.left_out", pa.table({"category": pa.array(config.left_out, pa.string())}))
        some = session.batches(f"select 1 as one from {tables.PRODUCT_DAYS.table} limit 1")  # noqa: S608 - of tables.py
        if not engine.table_of(some).num_rows:
            return pa.table({})
        return engine.table_of(session.batches(sql.read("movement", "movement"), parameters))
