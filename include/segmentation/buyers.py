"""
The buyers that segments are made of, from `feat.training_examples`: those of the training day, and those of the newest
cutoff whose outcome is known. Customers without an order are not among them.

They come in the order of a hash of their ids. So the first rows are an even sample, the same customers make it up week
after week, and no seed changes it.
"""

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from segmentation import lake, tables
from segmentation.settings import Stores

COLUMNS = ("last_order_age_days", "orders_count", "spend_total")
OUTCOMES = ("spend_far", "is_churn", "is_purchase")


@dataclass(frozen=True)
class Past:
    """The buyers of a past cutoff, and what they did next.

    :param features: one row per buyer, columns `COLUMNS`.
    :param outcomes: the same rows, columns `OUTCOMES`: spend in the far horizon, no order in it, an order in the near.
    """

    day: dt.date
    features: pd.DataFrame
    outcomes: pd.DataFrame

    @property
    def log_spend(self) -> np.ndarray:
        """log1p of what each spent in the far horizon, shape (n,)."""
        return np.log1p(self.outcomes["spend_far"].to_numpy().clip(min=0))


def newest(day: dt.date, stores: Stores) -> pd.DataFrame:
    """The buyers as of the training day itself: columns `COLUMNS`, floats."""
    return _read(day, day, stores, COLUMNS)


def past(day: dt.date, stores: Stores, least: int) -> Past | str:
    """The buyers of the newest cutoff whose whole horizon has passed; or why there are none, in words.

    :param least: fewer buyers than this say nothing.
    """
    known = lake.read(stores.lake, tables.TRAINING_EXAMPLES, day, ["as_of_date", "spend_far"])
    cutoff = pc.max(known.filter(pc.is_valid(known["spend_far"]))["as_of_date"]).as_py()
    if cutoff is None:
        return "no past cutoff has a known outcome: the history is too short"
    rows = _read(day, cutoff, stores, (*COLUMNS, *OUTCOMES))
    if len(rows) < least:
        return f"only {len(rows)} buyers at {cutoff}, the newest cutoff with a known outcome"
    return Past(cutoff, rows[list(COLUMNS)], rows[list(OUTCOMES)])


def ids(day: dt.date, cutoff: dt.date, stores: Stores) -> np.ndarray:
    """The customer ids of the buyers of a cutoff, in the order that the others come in."""
    table = _table(day, cutoff, stores, ())
    return table["customer_id"].to_numpy()[_order(table)]


def _read(day: dt.date, cutoff: dt.date, stores: Stores, columns: tuple[str, ...]) -> pd.DataFrame:
    table = _table(day, cutoff, stores, columns)
    frame = table.select(list(columns)).to_pandas().astype("float64")
    return frame.iloc[_order(table)].reset_index(drop=True)


def _table(day: dt.date, cutoff: dt.date, stores: Stores, columns: tuple[str, ...]) -> pa.Table:
    where = [("as_of_date", "=", cutoff), ("orders_count", ">", 0)]
    return lake.read_where(stores.lake, tables.TRAINING_EXAMPLES, day, ["customer_id", *columns], where)


def _order(table: pa.Table) -> np.ndarray:
    """Places in the order of the hash, shape (n,)."""
    return np.argsort(pd.util.hash_array(table["customer_id"].to_numpy(), categorize=False), kind="stable")
