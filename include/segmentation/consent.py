"""
Consent: who may be in what is published.

A day's features hold whoever consented when they were built. Who has withdrawn since, or is gone, must not be published
all the same, whichever task is run again.
"""

import datetime as dt
from dataclasses import dataclass

import pyarrow as pa

from segmentation import engine, history, lake, sql, tables
from segmentation.settings import Stores


@dataclass(frozen=True)
class Consent:
    """Of a day: the scored customers who do not consent now, mostly none, and how many with features do."""

    withdrawn: pa.Array
    eligible: int


def of_day(day: dt.date, stores: Stores) -> Consent:
    """Compares a day's scores and features with the latest state of all customers.

    :raises lake.MissingDayError: the day has no scores or no features.
    """
    inputs = {
        tables.CUSTOMERS_NOW: history.latest(stores, tables.CUSTOMERS.name),
        tables.CUSTOMER_SCORES: lake.existing(stores.lake, tables.CUSTOMER_SCORES, day),
        tables.CUSTOMER_FEATURES: lake.existing(stores.lake, tables.CUSTOMER_FEATURES, day),
    }
    withdrawn = engine.table_of(engine.query(sql.read("consent", "withdrawn"), inputs))
    eligible = engine.table_of(engine.query(sql.read("consent", "eligible"), inputs))
    ids = withdrawn["customer_id"].combine_chunks().cast(pa.string())
    return Consent(ids, eligible["customers"][0].as_py())
