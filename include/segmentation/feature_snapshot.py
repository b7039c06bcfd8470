"""
The features of a population as of a day, in a session: `feat.population` and a table for each family.

Whoever asks, for scoring, for training or for what campaigns changed, says as of when (`as_of`), and by whose knowledge
(`known`): only what had happened before is registered, in the state of then. What a column means: docs/features.md.

The tables take about 1.5 KB a customer. So many customers are made in parts, one range of ids after the other, with
what is made from everyone (`Common`) found once before.
"""

import datetime as dt
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import pyarrow as pa

from segmentation import engine, families, history, purchase_features, settings, sql, tables
from segmentation.md5_sample import EVERYONE
from segmentation.purchase_model import PurchaseModel
from segmentation.settings import Stores

AS_KNOWN_THEN = (
    tables.CUSTOMERS,
    tables.PRODUCTS,
    tables.SUPPORT_TICKETS,
    tables.CAMPAIGNS,
    tables.CAMPAIGN_CONTACTS,
)
BEFORE_FAMILIES = (tables.CATEGORY_BUYS, tables.CATEGORY_PRICES)  # what families read besides the population


@dataclass(frozen=True)
class Snapshot:
    """What is beside the tables of a snapshot, the same for each part of its customers.

    :param off: family -> why it is off.
    :param model: the purchase model, or why there is none.
    """

    as_of: dt.date
    off: dict[str, str]
    model: PurchaseModel | str

    def notes(self) -> dict[str, str]:
        """For the metadata of the file."""
        model = self.model if isinstance(self.model, str) else json.dumps(self.model.as_dict())
        return {"families_off": json.dumps(self.off), "purchase_model": model}

    @property
    def finish(self) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
        """Makes of a batch of features what is written: with the purchase model's columns, in the types of the lake."""
        return partial(_finished, model=self.model if isinstance(self.model, PurchaseModel) else None)


def build(
    session: engine.Session, stores: Stores, *, known: dt.date, as_of: dt.date, sample_below: str = EVERYONE
) -> Snapshot:
    """Builds every family in a session, as of a day: tables `feat.population` and `feat.<family>`.

    :param known: the day whose knowledge is used: `as_of` itself for scoring, the training day for training.
    :param as_of: only what happened before its midnight, UTC, is seen.
    :param sample_below: only customers whose id's MD5 is below; see `md5_sample`.
    """
    look_up(session, stores, known=known, as_of=as_of, sample_below=sample_below)
    return make(session, as_of)


@dataclass(frozen=True)
class Part:
    """A range of customer ids: from `low` on, below `high`; None: there is no such end."""

    low: str | None = None
    high: str | None = None

    def of(self, statement: str) -> str:
        """The statement of the population, of this part only."""
        both = ((">=", self.low), ("<", self.high))
        ends = [f"customer_id {sign} {engine.literal(end)}" for sign, end in both if end is not None]
        return f"select * from ({statement}) as everyone where {' and '.join(ends)}" if ends else statement  # noqa: S608


EVERY_PART = Part()


@dataclass(frozen=True)
class Common:
    """What is made from everyone, and goes into each part of a snapshot.

    :param prices: the columns of `feat.category_prices`.
    """

    made: Snapshot
    prices: pa.Table


def look_up(
    session: engine.Session,
    stores: Stores,
    *,
    known: dt.date,
    as_of: dt.date,
    sample_below: str = EVERYONE,
    part: Part = EVERY_PART,
) -> None:
    """Registers what a snapshot is made of, and makes its population."""
    for entity in AS_KNOWN_THEN:
        session.put(entity.table, history.known_then(stores, entity.name, known, as_of))
    session.put(tables.CUSTOMERS_NOW, history.latest(stores, tables.CUSTOMERS.name))
    population = part.of(sql.read("features", "population"))
    session.create(tables.POPULATION, population, {"as_of": as_of, "sample_below": sample_below})
    only = None if sample_below == EVERYONE and part == EVERY_PART else tables.POPULATION
    for aggregate in tables.AGGREGATES.values():
        session.put(aggregate.table, replace(history.aggregated(stores, aggregate, known, as_of), only=only))


def make(session: engine.Session, as_of: dt.date, common: Common | None = None) -> Snapshot:
    """Makes every family of a population that has been looked up; `common`: of a part, what everyone's is."""
    _prices(session, as_of, common)
    off = common.made.off if common else _families_off(session)
    for family in families.in_sql():
        _create(session, family, as_of, off)
    if common:
        return common.made
    return Snapshot(as_of, off, purchase_features.fit(session, settings.load().purchase_model))


def _prices(session: engine.Session, as_of: dt.date, common: Common | None) -> None:
    session.create(tables.CATEGORY_BUYS, sql.read("features", "category_buys"), {"as_of": as_of})
    if common:
        session.put(tables.CATEGORY_PRICES, common.prices)
    else:
        session.create(tables.CATEGORY_PRICES, sql.read("features", "category_prices"), {"as_of": as_of})


def _create(session: engine.Session, family: families.Family, as_of: dt.date, off: Mapping[str, str]) -> None:
    statement = sql.read("features", family.name)
    session.create(family.table, _nulls(family, statement) if family.name in off else statement, {"as_of": as_of})


def parts(session: engine.Session) -> list[Part]:
    """The population in parts of about the same size, none above the setting; one of all if it is that small."""
    most = settings.load().features.customers_at_once
    [row] = engine.table_of(session.batches(f"select count(*) as customers from {tables.POPULATION}")).to_pylist()  # noqa: S608
    count = -(-row["customers"] // most)
    if count < 2 or settings.load().engine == "spark":
        return [EVERY_PART]
    size = -(-row["customers"] // count)
    begins = f"""
        select customer_id from (
            select customer_id, row_number() over (order by customer_id) as place from {tables.POPULATION}
        ) as placed where place > 1 and (place - 1) % {size} = 0 order by customer_id
    """  # noqa: S608 - a name of ours, and a number
    ends = [None, *engine.table_of(session.batches(begins))["customer_id"].to_pylist(), None]
    return [Part(low, high) for low, high in itertools.pairwise(ends)]


def common_of(session: engine.Session, as_of: dt.date) -> Common:
    """What is made from everyone, of a population that has been looked up whole."""
    _prices(session, as_of, None)
    prices = engine.table_of(session.batches(f"select * from {tables.CATEGORY_PRICES}"))  # noqa: S608
    off = _families_off(session)
    for family in families.in_sql():
        if family.table == purchase_features.RHYTHM:
            _create(session, family, as_of, off)
    model = purchase_features.fit(session, settings.load().purchase_model)
    return Common(Snapshot(as_of, off, model), prices)


def side_by_side() -> str:
    """The statement that gives the rows of a snapshot in a session, all families beside each other, by customer id."""
    columns, joins = [], []
    for family in families.in_sql():
        columns += [f"{family.name}.{column.name}" for column in family.columns]
        joins.append(f"left join {family.table} as {family.name} on population.customer_id = {family.name}.customer_id")
    return f"""
        select population.customer_id, :as_of as as_of_date, {", ".join(columns)}
        from feat.population as population {" ".join(joins)} order by population.customer_id
    """  # noqa: S608 - names of our own files


def _families_off(session: engine.Session) -> dict[str, str]:
    """Which families are off in a session, and why."""
    missing: dict[str, bool] = {}
    off = {}
    for family in families.in_sql():
        for table in family.needs:
            if table not in missing:
                any_row = engine.table_of(session.batches(f"select 1 as one from {table} limit 1"))  # noqa: S608
                missing[table] = any_row.num_rows == 0
            if missing[table]:
                off[family.name] = f"no rows of {families.named(table)} before the day"
    return off


def _finished(batch: pa.RecordBatch, model: PurchaseModel | None) -> pa.RecordBatch:
    """Whole numbers are of 64 bits, whichever engine made them."""
    schema = pa.schema(
        [(field.name, pa.int64() if pa.types.is_integer(field.type) else field.type) for field in batch.schema]
    )
    columns = [column.cast(field.type) for column, field in zip(batch.columns, schema, strict=True)]
    return purchase_features.add(pa.RecordBatch.from_arrays(columns, schema=schema), model)


def _nulls(family: families.Family, statement: str) -> str:
    """A family that is off: its columns in their types, null for everyone."""
    columns = ", ".join(f"typed.{column.name}" for column in family.columns)
    return f"""
        select population.customer_id, {columns} from feat.population as population
        left join (select * from ({statement}) as f where false) as typed on population.customer_id = typed.customer_id
    """  # noqa: S608 - names of our own files
