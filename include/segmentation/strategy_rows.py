"""
The rows of a snapshot: a day's scores, with the strategies where they may be published.

A day without strategies has nulls in their columns, and so has one whose strategies the audit withheld.
"""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from segmentation import engine, history, lake, settings, sql, tables
from segmentation.settings import Stores


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
    if not lake.has(stores.lake, tables.STRATEGIES, day) or withheld(day, stores):
        yield from lake.batches_of(scores, settings.load().score.batch_rows)
        return
    inputs = {
        tables.CUSTOMER_SCORES: scores,
        tables.STRATEGIES: lake.path(stores.lake, tables.STRATEGIES, day),
        tables.CUSTOMERS_NOW: history.latest(stores, tables.CUSTOMERS.name),
    }
    for batch in engine.query(sql.read("strategy", "published"), inputs):
        yield from pa.table(batch).select(tables.SEGMENT_COLUMNS.names).cast(tables.SEGMENT_COLUMNS).to_batches()
