"""
Consent: who may be in what is published.

A day's features hold whoever consented when they were built. Who has withdrawn since, or is gone, must not be published
all the same, whichever task is run again.
"""

import datetime as dt
from dataclasses import dataclass

import pyarrow as pa

from segmentation import engine, history, lake, settings, sql, tables
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
        tables.CUSTOMER_FEATURES: lake.existing(stores.lake, tables.CUSTOMER_FEATURES, day),
    }
    eligible = engine.table_of(engine.query(sql.read("consent", "eligible"), inputs, _limits()))
    scored = lake.existing(stores.lake, tables.CUSTOMER_SCORES, day)
    return Consent(withdrawn(scored, stores), eligible["customers"][0].as_py())


def withdrawn(customers: engine.Input, stores: Stores) -> pa.Array:
    """Those of some customers, a table with `customer_id`, who do not consent now, or are gone: text."""
    inputs = {
        tables.CUSTOMERS_NOW: history.latest(stores, tables.CUSTOMERS.name),
        tables.CUSTOMER_SCORES: customers,
    }
    found = engine.table_of(engine.query(sql.read("consent", "withdrawn"), inputs, _limits()))
    return found["customer_id"].combine_chunks().cast(pa.string())


def unasked(customers: engine.Input, stores: Stores) -> pa.Array:
    """Those of some customers, a table with `customer_id` and `contact_channel`, who do not consent to theirs now."""
    inputs = {
        tables.CUSTOMERS_NOW: history.latest(stores, tables.CUSTOMERS.name),
        tables.CUSTOMER_SCORES: customers,
    }
    found = engine.table_of(engine.query(sql.read("consent", "unasked"), inputs, _limits()))
    return found["customer_id"].combine_chunks().cast(pa.string())


def withdrawals(since: dt.datetime, stores: Stores) -> pa.Table:
    """What customers have withdrawn, of those of whom something was accepted since a moment; more may be told, never
    less: `customer_id`, and `channel`, which is null for the consent to profiling. Who is gone has withdrawn all."""
    latest = history.latest(stores, tables.CUSTOMERS.name)
    inputs = {
        "raw.customers_changed": history.changed(stores, tables.CUSTOMERS.name, since),
        "raw.customers_versions": engine.Part(latest, "raw.customers_changed as k", "r.customer_id = k.customer_id"),
        tables.CUSTOMERS_NOW: latest,
    }
    return engine.table_of(engine.query(sql.read("consent", "withdrawals"), inputs, _limits()))


def _limits() -> settings.DuckDB:
    return settings.DuckDB(memory_limit=settings.load().publish.memory_limit)
