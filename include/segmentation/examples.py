"""
`feat.training_examples` as the models learn from them: features, what happened next, and which rows are of which day.

The newest cutoff whose outcome is known is the test. Training ends a horizon before it: those outcomes were known then.
Within the training part, candidates are compared at its last cutoffs, each by models that learnt from outcomes known at
it. So whatever validates is later in time than all that was learnt, and what the test holds has no say in any choice.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from segmentation import lake, preparation, settings, tables
from segmentation.settings import Stores

KEY = ["customer_id", "as_of_date"]
GROUPS = ["gender", "income_band", "age_years"]
_BATCH_ROWS = 50_000


@dataclass(frozen=True)
class Examples:
    """Rows of one target, one per customer and cutoff.

    :param features: shape (n, features), as `preparation.inputs` has them; its index is `KEY`.
    :param outcomes: shape (n,): bool, or float for an amount.
    :param spend: shape (n,): what was spent within the target's horizon, in the shop's currency.
    """

    features: pd.DataFrame
    outcomes: np.ndarray
    spend: np.ndarray

    def __len__(self) -> int:
        return len(self.features)

    @property
    def cutoffs(self) -> np.ndarray:
        """The day that each row looks back from, shape (n,)."""
        return self.features.index.get_level_values("as_of_date").to_numpy()

    @property
    def customers(self) -> np.ndarray:
        """Whom each row is of, shape (n,)."""
        return self.features.index.get_level_values("customer_id").to_numpy()

    @property
    def days(self) -> list[dt.date]:
        """The cutoffs there are, the earliest first."""
        return sorted(set(self.cutoffs))

    @property
    def groups(self) -> pd.DataFrame:
        """What fairness is judged by, as far as it is known."""
        return self.features[[name for name in GROUPS if name in self.features]]

    def where(self, rows: np.ndarray) -> "Examples":
        """Some of the rows, by a mask or by position."""
        return Examples(self.features.iloc[_places(rows)], self.outcomes[rows], self.spend[rows])

    def until(self, last: dt.date) -> "Examples":
        """The rows whose cutoff is not later."""
        return self.where(self.cutoffs <= last)

    def at(self, day: dt.date) -> "Examples":
        """The rows of one cutoff."""
        return self.where(self.cutoffs == day)

    def sampled(self, rows: int, seed: int) -> "Examples":
        """At most so many rows, drawn evenly."""
        if len(self) <= rows:
            return self
        return self.where(np.sort(np.random.default_rng(seed).choice(len(self), rows, replace=False)))


def read(target: tables.Target, day: dt.date, stores: Stores, config: settings.Training) -> Examples:
    """The examples with a known outcome of those whom the target is predicted for; at most `max_rows`, evenly drawn."""
    kept = [_ for _ in _batches(day, stores) if _.num_rows]
    table = pa.Table.from_batches(kept) if kept else _empty(day, stores)
    chosen = table.filter(pc.is_valid(table[target.label]))
    frame = _of(target, chosen).to_pandas(date_as_object=True)
    outcomes = frame[target.label].to_numpy(dtype="float64" if target.is_amount else bool)
    made = Examples(_features(frame), outcomes, frame[target.spend].to_numpy(dtype="float64", na_value=np.nan))
    return made.sampled(config.max_rows, config.seed)


def newest(target: tables.Target, day: dt.date, stores: Stores, rows: int, seed: int) -> pd.DataFrame:
    """The features of the customers as of the training day itself, whom the target is predicted for, evenly drawn."""
    batches = [batch.filter(pc.equal(batch["as_of_date"], day)) for batch in _all(day, stores)]
    table = _of(target, pa.Table.from_batches(batches))
    if table.num_rows > rows:
        table = table.take(np.sort(np.random.default_rng(seed).choice(table.num_rows, rows, replace=False)))
    return _features(table.to_pandas(date_as_object=True))


def demand(day: dt.date, stores: Stores) -> pd.DataFrame | None:
    """`feat.demand` as the training day knows it; None where the examples are of before there was such a table."""
    if not lake.has(stores.lake, tables.DEMAND, day):
        return None
    return lake.read(stores.lake, tables.DEMAND, day).to_pandas(date_as_object=True)


def split(examples: Examples, horizon_days: int) -> tuple[Examples, Examples]:
    """(train, test): the newest cutoff, and those that lie a horizon or more before it."""
    if not len(examples):
        return examples, examples
    last = examples.days[-1]
    return examples.until(last - dt.timedelta(days=horizon_days)), examples.at(last)


def folds(train: Examples, horizon_days: int, config: settings.Training) -> Iterator[tuple[Examples, Examples]]:
    """(learn, later) for the last cutoffs of the training part that have something to learn from, the newest first."""
    found = 0
    for day in reversed(train.days):
        learn = train.until(day - dt.timedelta(days=horizon_days))
        later = train.at(day)
        if found == config.validations or not len(learn):
            return
        if all(is_enough(part, config.min_examples) for part in (learn, later)):
            found += 1
            yield learn, later


def is_enough(examples: Examples, least: int) -> bool:
    """Whether there are so many positives and negatives; of an amount, above 0 and not."""
    positives = int((examples.outcomes > 0).sum())
    return min(positives, len(examples) - positives) >= least


def _batches(day: dt.date, stores: Stores) -> Iterator[pa.RecordBatch]:
    """Without the training day's own rows, which have no outcome yet and may be many."""
    for batch in _all(day, stores):
        yield batch.filter(pc.less(batch["as_of_date"], day))


def _all(day: dt.date, stores: Stores) -> Iterator[pa.RecordBatch]:
    return lake.batches_of(lake.existing(stores.lake, tables.TRAINING_EXAMPLES, day), _BATCH_ROWS)


def _empty(day: dt.date, stores: Stores) -> pa.Table:
    with lake.open_parquet(stores.lake, tables.TRAINING_EXAMPLES, day) as file:
        return file.schema_arrow.empty_table()


def _of(target: tables.Target, table: pa.Table) -> pa.Table:
    """The rows of those whom a target is predicted for; where an outcome is known, it is known of these only."""
    if target.who == "buyers":
        return table.filter(pc.greater(table["orders_count"], 0))
    if target.who == "newcomers":
        days = settings.load().targets.new_days
        is_new = pc.less_equal(pc.fill_null(table["first_order_age_days"], 0), days)
        return table.filter(pc.or_(pc.equal(table["orders_count"], 0), is_new))
    return table


def _features(frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame.set_index(KEY)
    return preparation.inputs(frame, [name for name in frame.columns if name not in tables.NOT_FEATURES])


def _places(rows: np.ndarray) -> np.ndarray:
    return np.flatnonzero(rows) if rows.dtype == bool else rows
