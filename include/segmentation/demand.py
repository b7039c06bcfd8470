"""
How many customers of each kind there were on every past day, and how many of them ordered soon after: `feat.demand`.

A kind is how long ago the last order was and how many days with an order there have been, or, without any, how long ago
the customer signed up. Days differ in which kinds they have; within a kind, what is left of the difference between days
is how busy the days were. `season` makes the level of a day of it.
"""

import datetime as dt
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from segmentation import engine, sql

SCHEMA = pa.schema(
    [
        ("counted_on", pa.date32()),
        ("horizon_days", pa.int64()),
        ("kind", pa.int64()),
        ("customers", pa.int64()),
        ("buyers", pa.int64()),
    ]
)
MOST_CUSTOMERS = 50_000  # an even share of more: their days differ by chance by a hundredth
MOST_DAYS = 3 * 366  # behind the day: seasons of longer ago may have been others
_AGES = np.array([7, 14, 30, 60, 90, 180, 365])  # days, upper ends
_COUNTS = np.array([1, 2, 3, 7])  # days with an order, upper ends
_KINDS = (len(_AGES) + 1) * (len(_COUNTS) + 2)


def count(session: engine.Session, day: dt.date, horizons: Sequence[int]) -> Iterator[pa.RecordBatch]:
    """Rows of `SCHEMA` from a session that has `feat.population` and `agg.order_days` as of a day; kinds with anybody.

    Of a past day only what had happened before it makes the kind, and only what lies before `day` is counted: a day is
    there if its whole horizon is.

    :param horizons: in days; of which a customer who orders on one of the days is a buyer.
    """
    yield pa.RecordBatch.from_pylist([], schema=SCHEMA)
    parameters = {"most_customers": MOST_CUSTOMERS}
    found = engine.table_of(session.batches(sql.read("features", "demand"), parameters))
    if found["ordered_on"].null_count == found.num_rows:
        return
    place, signed_up, ordered = (_numbers(found[name]) for name in ("place", "signed_up_on", "ordered_on"))
    who = np.unique(place, return_inverse=True)[1]
    customers = np.zeros(who.max() + 1, int)
    customers[who] = signed_up
    has_ordered = ordered > _NEVER
    for horizon_days in sorted(set(horizons)):
        until = _number(day)
        for counted_on, kinds, buyers in _counted(
            customers, who[has_ordered], ordered[has_ordered], until, horizon_days
        ):
            held = np.flatnonzero(kinds)
            columns = [np.full(len(held), each) for each in (counted_on, horizon_days)]
            columns = [columns[0].astype("datetime64[D]"), columns[1], held, kinds[held], buyers[held]]
            yield pa.RecordBatch.from_arrays(
                [pa.array(each, field.type) for each, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
            )


_NEVER = -(10**6)


def _counted(
    signed_up: np.ndarray, who: np.ndarray, ordered: np.ndarray, until: int, horizon_days: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """(day, customers of each kind, buyers of each kind) for each day whose horizon ends by `until`."""
    order = np.argsort(ordered, kind="stable")
    who, ordered = who[order], ordered[order]
    first = ordered[0]
    starts = np.searchsorted(ordered, np.arange(first, until + 1))

    def on(day: int) -> np.ndarray:
        return who[starts[day - first] : starts[day - first + 1]] if first <= day < until else who[:0]

    last, days = np.full(len(signed_up), _NEVER), np.zeros(len(signed_up), int)
    ahead = np.zeros(len(signed_up), int)  # days with an order within the horizon
    for day in range(first, first + horizon_days):
        ahead[on(day)] += 1
    for day in range(first, until - horizon_days + 1):
        if day >= until - MOST_DAYS:
            kinds = _kinds(day, signed_up, last, days)
            known = signed_up < day
            is_buyer = known & (ahead > 0)
            yield day, np.bincount(kinds[known], minlength=_KINDS), np.bincount(kinds[is_buyer], minlength=_KINDS)
        today, entering = on(day), on(day + horizon_days)
        last[today], days[today] = day, days[today] + 1
        ahead[today] -= 1
        ahead[entering] += 1


def _kinds(day: int, signed_up: np.ndarray, last: np.ndarray, days: np.ndarray) -> np.ndarray:
    since = day - np.where(days > 0, last, signed_up)
    often = np.where(days > 0, 1 + np.searchsorted(_COUNTS, days), 0)
    return often * (len(_AGES) + 1) + np.searchsorted(_AGES, since)


def _number(day: dt.date) -> int:
    return day.toordinal() - dt.date(1970, 1, 1).toordinal()


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Whole numbers; of a date its days since 1970, and a day before all others where there is none."""
    if pa.types.is_date(column.type):
        column = column.cast(pa.date32()).cast(pa.int32())
    return column.cast(pa.int64()).fill_null(_NEVER).to_numpy()
