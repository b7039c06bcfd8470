"""
The rows of a snapshot: a day's scores, with the strategies where they may be published, and with the recommendations.

A day without strategies has nulls in their columns, and so has one whose strategies the audit withheld; a day without
lists has null for them.
"""

import datetime as dt
import logging
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from segmentation import engine, history, lake, settings, sql, tables
from segmentation.settings import Stores

log = logging.getLogger(__name__)


def withheld(day: dt.date, stores: Stores) -> str | None:
    """Why a day's strategies are not published; None: they are, or there are none."""
    if not lake.has(stores.lake, tables.STRATEGIES, day):
        return None
    with lake.open_parquet(stores.lake, tables.STRATEGIES, day) as file:
        told = (file.metadata.metadata or {}).get(b"withheld")
    return told.decode() if told else None


def told(day: dt.date, stores: Stores) -> dict[str, Any]:
    """What a snapshot's `validation` says of the strategies: nothing where there are none."""
    if not lake.has(stores.lake, tables.STRATEGIES, day):
        return {}
    reason = withheld(day, stores)
    return {tables.STRATEGIES: {"is_published": reason is None, "withheld": reason}}


def of_day(day: dt.date, stores: Stores) -> Iterator[pa.RecordBatch]:
    """The rows in batches, with the columns of `tables.SEGMENT_COLUMNS`.

    :raises lake.MissingDayError: the day has no scores.
    """
    scores = lake.existing(stores.lake, tables.CUSTOMER_SCORES, day)
    strategies = None if withheld(day, stores) else _file(tables.STRATEGIES, day, stores)
    lists = _file(tables.RECOMMENDATIONS, day, stores)
    if lists is None:
        log.warning("there is no %s of %s: nothing is recommended to anybody", tables.RECOMMENDATIONS, day)
    if strategies is None and lists is None:
        yield from lake.batches_of(scores, settings.load().score.batch_rows)
        return
    inputs = {
        tables.CUSTOMER_SCORES: scores,
        tables.STRATEGIES: strategies or tables.STRATEGY_COLUMNS.empty_table(),
        tables.RECOMMENDATIONS: lists or tables.RECOMMENDATION_COLUMNS.empty_table(),
        tables.CUSTOMERS_NOW: history.latest(stores, tables.CUSTOMERS.name),
    }
    for batch in engine.query(sql.read("published", "rows"), inputs):
        yield from pa.table(batch).select(tables.SEGMENT_COLUMNS.names).cast(tables.SEGMENT_COLUMNS).to_batches()


def _file(table: str, day: dt.date, stores: Stores) -> str | None:
    """Where a table's day is; None: there is none, or it has no rows."""
    if not lake.has(stores.lake, table, day):
        return None
    with lake.open_parquet(stores.lake, table, day) as file:
        return lake.path(stores.lake, table, day) if file.metadata.num_rows else None
