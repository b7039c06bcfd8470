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
import pyarrow.compute as pc

from segmentation import consent, lake, ordered_rows, tables
from segmentation.settings import Stores

log = logging.getLogger(__name__)

# What is taken from the strategies and from the recommendations: the column there -> the one published
_OF_STRATEGIES = {name: name for name in ("strategy_id", "offer", "contact_channel", "in_holdout")}
_OF_STRATEGIES |= {"basis": "strategy_basis"}
_OF_LISTS = {"recommended_products": "recommended_products"}


def withheld(day: dt.date, stores: Stores) -> str | None:
    """Why a day's strategies are not published; None: they are, or there are none."""
    return _note(day, stores, b"withheld")


def policy(day: dt.date, stores: Stores) -> str | None:
    """The version of `strategy_uplift` that a day's strategies went by; None: by assumed effects, or there are none."""
    return _note(day, stores, b"policy")


def _note(day: dt.date, stores: Stores, name: bytes) -> str | None:
    """What `strategy` has left beside a day's choices."""
    if not lake.has(stores.lake, tables.STRATEGIES, day):
        return None
    with lake.open_parquet(stores.lake, tables.STRATEGIES, day) as file:
        told = (file.metadata.metadata or {}).get(name)
    return told.decode() if told else None


def told(day: dt.date, stores: Stores) -> dict[str, Any]:
    """What a snapshot's `validation` says of the strategies: nothing where there are none."""
    if not lake.has(stores.lake, tables.STRATEGIES, day):
        return {}
    reason = withheld(day, stores)
    return {tables.STRATEGIES: {"is_published": reason is None, "withheld": reason}}


def of_day(day: dt.date, stores: Stores) -> Iterator[pa.RecordBatch]:
    """The rows in batches, by customer, with the columns of `tables.SEGMENT_COLUMNS`; of a channel that the customer
    has withdrawn the consent to since, there is no word.

    All files are read side by side in the order of the customers, so memory is bounded by a batch of each.

    :raises lake.MissingDayError: the day has no scores.
    :raises ordered_rows.DoubledCustomerError: a customer has two strategies, or two lists.
    """
    scores = ordered_rows.by_customer(lake.existing(stores.lake, tables.CUSTOMER_SCORES, day))
    strategies = None if withheld(day, stores) else _file(tables.STRATEGIES, day, stores)
    lists = _file(tables.RECOMMENDATIONS, day, stores)
    if lists is None:
        log.warning("there is no %s of %s: nothing is recommended to anybody", tables.RECOMMENDATIONS, day)
    if strategies is None and lists is None:
        yield from scores
        return
    unasked = consent.unasked(strategies, stores) if strategies else pa.array([], pa.string())
    wanted = ((tables.STRATEGIES, strategies, _OF_STRATEGIES), (tables.RECOMMENDATIONS, lists, _OF_LISTS))
    beside = [
        (ordered_rows.Partners(path, list(names), f"{table} of {day}"), names) for table, path, names in wanted if path
    ]
    added = {name: tables.SEGMENT_COLUMNS.field(name).type for name in (*_OF_STRATEGIES.values(), *_OF_LISTS.values())}
    for batch in scores:
        columns = {name: pa.nulls(batch.num_rows, kind) for name, kind in added.items()}
        for partners, names in beside:
            found = partners.of(batch["customer_id"])
            columns |= {published: found[name].combine_chunks() for name, published in names.items()}
        if len(unasked):
            is_unasked = pc.is_in(batch["customer_id"], unasked)
            columns["contact_channel"] = pc.if_else(
                is_unasked, pa.scalar(None, pa.string()), columns["contact_channel"]
            )
        arrays = [columns[name] if name in columns else batch[name] for name in tables.SEGMENT_COLUMNS.names]
        yield pa.RecordBatch.from_arrays(arrays, schema=tables.SEGMENT_COLUMNS)


def _file(table: str, day: dt.date, stores: Stores) -> str | None:
    """Where a table's day is; None: there is none, or it has no rows."""
    if not lake.has(stores.lake, table, day):
        return None
    with lake.open_parquet(stores.lake, table, day) as file:
        return lake.path(stores.lake, table, day) if file.metadata.num_rows else None
