"""
What may be recommended to whom, and what speaks for it: the tables `recommend.*` of a session, as of a day.

The same statements build them for the day itself and for a past one that is learnt from, each with what was known and
in stock then. Statements: include/sql/recommend/.
"""

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from segmentation import engine, history, lake, md5_sample, settings, sql, tables
from segmentation.settings import Stores

_AGGREGATES = (tables.PRODUCT_DAYS, tables.PRODUCT_VIEWS)
# Whose rows are made before the parts, in this order
_TABLES = ("customers", "bought", "looked", "popular", "alike")


@dataclass(frozen=True)
class Candidates:
    """The tables of a session, and how candidates are made of them, a part of the customers at a time."""

    session: engine.Session
    parameters: dict[str, Any]

    def make(self, part: int) -> None:
        """Has `recommend.candidates` hold those of a part."""
        self.session.create(tables.CANDIDATES, sql.read("recommend", "candidates"), {**self.parameters, "part": part})

    def rows(self, name: str, **others: Any) -> pa.Table:
        """The rows of a statement of this stage: for a part's."""
        statement = sql.read("recommend", name)
        return engine.table_of(self.session.batches(statement, {**self.parameters, **others}))


def build(
    session: engine.Session, stores: Stores, config: settings.Recommend, *, known: dt.date, as_of: dt.date
) -> Candidates:
    """Builds what candidates are made of: for everyone who has features on the day `known`, in parts from 0 on.

    :param as_of: `known` itself; or an earlier day, for a sample of the customers, part 0 being who bought from then
        on: `recommend.later` tells what.
    """
    customers = rows_of(stores, known)
    sample = md5_sample.below(config.sampled_customers / max(customers, 1))
    parameters = {**config.model_dump(exclude={"left_out"}), "as_of": as_of, "sample_below": sample}
    session.put(tables.CUSTOMER_FEATURES, lake.existing(stores.lake, tables.CUSTOMER_FEATURES, known))
    session.put(tables.PRODUCTS.table, history.known_then(stores, tables.PRODUCTS.name, known, as_of))
    left_out = pa.table({"category": pa.array(config.left_out, pa.string())})
    session.put("recommend.left_out", left_out)
    only = None
    asked = "asked"
    if as_of < known:
        session.put(tables.PRODUCT_DAYS.table, history.aggregated(stores, tables.PRODUCT_DAYS, known, known))
        session.create("recommend.later", sql.read("recommend", "later"), parameters)
        asked, only = "learners", tables.ASKED
    session.create(tables.ASKED, sql.read("recommend", asked), parameters)
    for aggregate in _AGGREGATES:
        session.put(aggregate.table, replace(history.aggregated(stores, aggregate, known, as_of), only=only))
    session.create("recommend.products", sql.read("recommend", "products"), parameters)
    parameters["most_of_category"] = _most_of_category(session, config)
    for name in _TABLES:
        session.create(f"recommend.{name}", sql.read("recommend", name), parameters)
    return Candidates(session, parameters)


def rows_of(stores: Stores, day: dt.date) -> int:
    """How many customers have features on a day.

    :raises lake.MissingDayError: the day's features are not built.
    """
    with lake.open_parquet(stores.lake, tables.CUSTOMER_FEATURES, day) as file:
        return file.metadata.num_rows


def _most_of_category(session: engine.Session, config: settings.Recommend) -> int:
    """So many products of a category may be in a list: all, where categories say too little to be told apart by."""
    found = engine.table_of(session.batches(sql.read("recommend", "spread"))).to_pylist()[0]
    is_telling = found["categories"] * config.most_of_category >= config.size
    is_even = (found["largest_share"] or 1) <= config.largest_category_share
    return config.most_of_category if is_telling and is_even else config.size
