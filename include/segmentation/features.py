"""
features: `raw.*` -> `feat.customer_daily` (for scoring) and `feat.training_examples` (for training).

Both come from one statement, `include/sql/features/customer_daily.sql`, which takes `as_of` and sees nothing that
happened at or after it; training asks it for past days, scoring for its own.
"""

import datetime as dt
from collections.abc import Iterator

import pyarrow as pa

from segmentation import engine, history, lake, settings, tables
from segmentation.errors import FinalError
from segmentation.settings import Stores


class NoHistoryError(FinalError):
    """There are no orders, or too few days of them, to look back from."""


def build_features(day: dt.date, stores: Stores) -> int:
    """Writes `feat.customer_daily` of one day from `raw.*` as known for that day.

    :returns: rows written, one per customer with profiling consent who signed up before the day.
    """
    batches = _features(raw_day=day, as_of=day, stores=stores)
    first = next(batches)
    return lake.write(stores.lake, tables.CUSTOMER_FEATURES, day, batches, first.schema)


def build_training_examples(day: dt.date, stores: Stores, config: settings.Training | None = None) -> dict[str, int]:
    """Writes `feat.training_examples` of one day: the features at that day and at past cutoffs, with their outcomes.

    The newest rows (cutoff = day) have no outcome yet; clustering uses them. Everything comes from `raw.*` as known
    for `day`, so the same day gives the same examples.

    :returns: cutoff -> rows.
    :raises NoHistoryError: there are no orders before the day.
    """
    config = config or settings.load().training
    rows: dict[str, int] = {}

    def batches() -> Iterator[pa.RecordBatch]:
        for cutoff in cutoffs(day, first_order_day(day, stores), config):
            examples = _examples(day, cutoff, stores)
            rows[f"{cutoff}"] = 0
            for batch in examples:
                rows[f"{cutoff}"] += batch.num_rows
                yield batch

    stream = batches()
    first = next(stream)
    lake.write(stores.lake, tables.TRAINING_EXAMPLES, day, stream, first.schema)
    return rows


def cutoffs(day: dt.date, first_order: dt.date, config: settings.Training) -> list[dt.date]:
    """The day itself and the past days that training looks back from, newest first.

    >>> cutoffs(dt.date(2026, 4, 1), dt.date(2026, 1, 1), settings.Training(min_history_days=20))
    [datetime.date(2026, 4, 1), datetime.date(2026, 3, 2), datetime.date(2026, 1, 31)]
    """
    step = dt.timedelta(days=config.cutoff_step_days)
    earliest = first_order + dt.timedelta(days=config.min_history_days)
    past = (day - step * k for k in range(1, config.max_cutoffs + 1))
    return [day, *(cutoff for cutoff in past if cutoff >= earliest)]


def first_order_day(day: dt.date, stores: Stores) -> dt.date:
    """The day of the first order that the day knows.

    :raises NoHistoryError: there is none.
    """
    orders = history.known(stores, tables.ORDERS.name, day)
    found = pa.Table.from_batches(engine.run("features", "first_order", {tables.ORDERS.table: orders}, {}))
    first = found["ordered_at"][0].as_py()
    if first is None:
        raise NoHistoryError(f"{tables.ORDERS.table} of {day} is empty: there is nothing to learn from")
    return first.date()


def _raw(raw_day: dt.date, stores: Stores) -> dict[str, engine.Input]:
    known = {entity.table: history.known(stores, name, raw_day) for name, entity in tables.ENTITIES.items()}
    return {**known, tables.CUSTOMERS_NOW: history.latest(stores, tables.CUSTOMERS.name)}


def _features(raw_day: dt.date, as_of: dt.date, stores: Stores) -> Iterator[pa.RecordBatch]:
    return engine.run("features", "customer_daily", _raw(raw_day, stores), {"as_of": engine.midnight(as_of)})


def _examples(day: dt.date, cutoff: dt.date, stores: Stores) -> Iterator[pa.RecordBatch]:
    features = pa.Table.from_batches(_features(raw_day=day, as_of=cutoff, stores=stores))
    inputs = {**_raw(day, stores), tables.CUSTOMER_FEATURES: features}
    parameters = {"cutoff": engine.midnight(cutoff), "as_of": engine.midnight(day)}
    return engine.run("features", "training_examples", inputs, parameters)
