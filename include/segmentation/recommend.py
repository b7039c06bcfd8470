"""
recommend: `agg.*`, `raw.products` and `feat.customer_daily` -> `score.recommendations_daily`: products per customer.

Candidates are what the customer bought before, what those buy who bought the same (item-to-item: Linden, Smith and York
2003, "Amazon.com Recommendations", IEEE Internet Computing 7), what the customer looked at, and what is popular in the
customer's interest group. What each of these signs is worth, the shop's own last weeks tell: see `rank_weights`. So
where people buy the same things again and again, those come first; where nobody does, they do not. Customers come in
parts, so memory is bounded by a part, and by what is kept of what everyone bought.
"""

import datetime as dt
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from segmentation import engine, erasures, lake, product_candidates, rank_weights, settings, tables, turns
from segmentation.settings import Stores

log = logging.getLogger(__name__)


@turns.takes_turns(tables.RECOMMENDATIONS)
@erasures.holds_off_erasure
def recommend_products(day: dt.date, stores: Stores) -> dict[str, Any]:
    """Writes `score.recommendations_daily` of one day: a row per row of that day's `feat.customer_daily` for whom there
    is something to recommend, by customer_id; the list's best product first.

    Only products in stock, or of which nobody tells the stock; none that the customer bought in the last days; of a
    category no more than a few, where categories tell products apart. No rows where the shop has no products or no
    order items: the log says so.

    :returns: `rows`, and `weights`, what each sign was worth.
    :raises history.NotAcceptedError: the day has not passed the gate, or its aggregates are not built.
    :raises lake.MissingDayError: the day's features are not built.
    """
    config = settings.load().recommend
    weights = learnt_weights(day, stores, config)
    lists = product_lists(day, stores, config, weights)
    rows = lake.write(stores.lake, tables.RECOMMENDATIONS, day, lists, tables.RECOMMENDATION_COLUMNS)
    if not rows:
        log.warning("nothing to recommend on %s: the shop has no products on offer, or nothing was bought", day)
    return {"rows": rows, "weights": weights}


def learnt_weights(day: dt.date, stores: Stores, config: settings.Recommend) -> dict[str, float]:
    """What each sign is worth, from what the customers bought in the last `learnt_days` before the day."""
    cutoff = day - dt.timedelta(days=config.learnt_days)
    with engine.session(stores.lake) as session:
        candidates = product_candidates.build(session, stores, config, known=day, as_of=cutoff)
        candidates.make(0)
        return rank_weights.learn(candidates.rows("lessons"), config.least_lessons)


def product_lists(
    day: dt.date, stores: Stores, config: settings.Recommend, weights: Mapping[str, float]
) -> Iterator[pa.RecordBatch]:
    """Rows of `tables.RECOMMENDATION_COLUMNS`, a batch a part of the customers."""
    parts = -(-product_candidates.rows_of(stores, day) // config.part_rows)
    with engine.session(stores.lake) as session:
        candidates = product_candidates.build(session, stores, config, known=day, as_of=day)
        for part in range(parts):
            candidates.make(part)
            yield _lists(candidates.rows("lists", **weights), day)


def _lists(rows: pa.Table, day: dt.date) -> pa.RecordBatch:
    """Rows of customer and product, those of a customer beside each other, as a list a customer."""
    rows = rows.combine_chunks()
    customers = rows["customer_id"].to_numpy(zero_copy_only=False)
    starts = np.flatnonzero(np.r_[True, customers[1:] != customers[:-1]]) if len(customers) else np.zeros(0, int)
    offsets = pa.array(np.r_[starts, len(customers)], pa.int32())
    products = pa.ListArray.from_arrays(offsets, rows["product_id"].combine_chunks())
    columns = [rows["customer_id"].combine_chunks().take(pa.array(starts)), pa.repeat(day, len(starts)), products]
    schema = tables.RECOMMENDATION_COLUMNS
    return pa.RecordBatch.from_arrays(
        [column.cast(field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )
