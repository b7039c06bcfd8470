"""
score: `feat.customer_daily` + the promoted models -> `score.customer_daily`: every customer of one day.

One function over batches (`scoring.score_batch`), some at a time in this process or over Spark's partitions, so memory
is bounded by the batch. Columns whose model or stage is not there stay null.
"""

import datetime as dt
from functools import partial
from typing import Any

import pyarrow as pa

from segmentation import engine, erasures, lake, scoring, settings, tables, turns
from segmentation.registry import Registry
from segmentation.settings import Stores


@turns.takes_turns(tables.CUSTOMER_SCORES)
@erasures.holds_off_erasure
def score_customers(day: dt.date, scored_at: dt.datetime, stores: Stores) -> dict[str, Any]:
    """Writes `score.customer_daily` of one day: one row per row of that day's `feat.customer_daily`.

    :param scored_at: goes into the rows; passed in like every time.
    :returns: `rows` and `model_versions`.
    :raises registry.NoModelError: no promoted model was trained on or before the day.
    :raises registry.UnreachableError: MLflow is down, and the lake does not know what it would say.
    """
    config = settings.load().score
    champions = scoring.load_champions(Registry(stores.registry, stores.marketing), day, stores.lake, scored_at)
    path = lake.existing(stores.lake, tables.CUSTOMER_FEATURES, day)
    spend = partial(lake.batches_of, path, lake.ROWS_PER_GROUP, ["orders_count", "spend_365d"])
    limits = scoring.value_limits(spend, config)
    scored = partial(_score_arrow, day=day, scored_at=scored_at, champions=champions, limits=limits, config=config)
    scores = engine.mapped(path, scored, tables.SEGMENT_COLUMNS, stores.lake, config.batch_rows, threads=config.threads)
    rows = lake.write(stores.lake, tables.CUSTOMER_SCORES, day, scores, tables.SEGMENT_COLUMNS)
    return {"rows": rows, "model_versions": champions.versions}


def _score_arrow(batch: pa.RecordBatch, **others: Any) -> pa.RecordBatch:
    """`scoring.score_batch` for what a lake table comes in."""
    return scoring.score_batch(batch.to_pandas(), **others)
