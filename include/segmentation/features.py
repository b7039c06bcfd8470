"""
features: `agg.*` and `raw.*` -> `feat.customer_daily` (for scoring) and `feat.training_examples` (for training).

Both come from one function, `snapshot`, which takes `as_of` and registers only what had happened before it, in the
state of then; training asks it for past days, scoring for its own. What a column means: docs/features.md.

The tables of a snapshot take about 1.5 KB a customer. So many customers are made in parts, one range of ids after the
other, with what is made from everyone (`Common`) found once before.
"""

import datetime as dt
import itertools
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from segmentation import (
    demand,
    engine,
    erasures,
    families,
    history,
    lake,
    outcomes,
    purchase_features,
    randomised,
    settings,
    sql,
    tables,
    turns,
)
from segmentation.errors import FinalError
from segmentation.purchase_model import PurchaseModel
from segmentation.settings import Stores

log = logging.getLogger(__name__)

EVERYONE = "g"  # above every MD5
AS_KNOWN_THEN = (
    tables.CUSTOMERS,
    tables.PRODUCTS,
    tables.SUPPORT_TICKETS,
    tables.CAMPAIGNS,
    tables.CAMPAIGN_CONTACTS,
)

BEFORE_FAMILIES = (tables.CATEGORY_BUYS, tables.CATEGORY_PRICES)  # what families read besides the population


class NoHistoryError(FinalError):
    """There are no orders, or too few days of them, to look back from."""


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


@turns.takes_turns(tables.CUSTOMER_FEATURES)
@erasures.holds_off_erasure
def build_features(day: dt.date, stores: Stores) -> int:
    """Writes `feat.customer_daily` of one day from what that day knew, and beside it the dictionary of its columns.

    :returns: rows written, one per customer with profiling consent who signed up before the day.
    :raises history.NotAcceptedError: the day has not passed the gate, or its aggregates are not built.
    """
    with engine.session(stores.lake) as session:
        _look_up(session, stores, known=day, as_of=day)
        parts = _parts(session)
        if len(parts) > 1:
            common = _common(session, day)
        else:
            made = _families(session, day)
            batches = session.batches(side_by_side(), {"as_of": day}, made.finish)
            first = next(batches)
            rows = lake.write(stores.lake, tables.CUSTOMER_FEATURES, day, batches, first.schema, made.notes)
    if len(parts) > 1:
        made = common.made
        batches = itertools.chain.from_iterable(
            _of_part(day, stores, part, common, f"{number} of {len(parts)}") for number, part in enumerate(parts, 1)
        )
        first = next(batches)
        rows = lake.write(stores.lake, tables.CUSTOMER_FEATURES, day, batches, first.schema, made.notes)
    target = lake.beside(stores.lake, tables.CUSTOMER_FEATURES, day, tables.DICTIONARY)
    lake.write_text(target, families.dictionary(made.off))
    return rows


@turns.takes_turns(tables.TRAINING_EXAMPLES)
@erasures.holds_off_erasure
def build_training_examples(day: dt.date, stores: Stores, config: settings.Training | None = None) -> dict[str, int]:
    """Writes `feat.training_examples` of one day: the features at that day and at past cutoffs, with their outcomes.
    Beside it `feat.demand`, how busy each past day was.

    The newest rows (cutoff = day) have no outcome yet; clustering uses them. Everything comes from what `day` knows, so
    the same day gives the same examples. At past cutoffs an even share of the customers is taken, the same ones at
    every cutoff, where there would be more than `max_rows` examples; what is made from everyone, the purchase model and
    the price level, is made from these there.

    :returns: cutoff -> rows.
    :raises NoHistoryError: there are no orders before the day.
    """
    config = config or settings.load().training
    rows: dict[str, int] = {}
    notes: dict[str, dict[str, str]] = {}
    days = cutoffs(day, first_order_day(day, stores), config)

    def batches() -> Iterator[pa.RecordBatch]:
        share = EVERYONE
        for cutoff in days:
            rows[f"{cutoff}"] = 0
            for batch in _examples(day, cutoff, stores, share, notes):
                rows[f"{cutoff}"] += batch.num_rows
                yield batch
            if cutoff == day and len(days) > 1:
                share = md5_below(config.max_rows / max(rows[f"{day}"] * (len(days) - 1), 1))

    stream = batches()
    first = next(stream)
    lake.write(
        stores.lake, tables.TRAINING_EXAMPLES, day, stream, first.schema, lambda: {"snapshots": json.dumps(notes)}
    )
    target = lake.beside(stores.lake, tables.TRAINING_EXAMPLES, day, tables.DICTIONARY)
    lake.write_text(target, families.dictionary(_off_at(notes)))
    return rows


@erasures.holds_off_erasure
def build_contact_features(day: dt.date, stores: Stores) -> dict[str, int]:
    """Writes `feat.contact_examples` of one day: the features of everyone whom past campaigns drew, as of the day that
    they were chosen on, from what `day` knows. Which campaigns and days these are: `randomised`.

    :returns: day of the choice -> rows.
    :raises history.NotAcceptedError: the day has not passed the gate, or its aggregates are not built.
    """
    with engine.session(stores.lake) as session:
        planned = randomised.look_up(session, day, stores)
        contacted = engine.table_of(session.batches(sql.read("learn_policy", "contacted")))
    campaigns_of: dict[dt.date, list[str]] = {}
    for each in planned:
        campaigns_of.setdefault(each.chosen_on, []).append(each.campaign.campaign_id)
    rows: dict[str, int] = {}

    def batches() -> Iterator[pa.RecordBatch]:
        for chosen_on, campaigns in sorted(campaigns_of.items()):
            ours = contacted.filter(pc.is_in(contacted["campaign_id"], pa.array(campaigns, pa.string())))
            rows[f"{chosen_on}"] = 0
            for batch in _of_contacted(day, chosen_on, stores, ours):
                rows[f"{chosen_on}"] += batch.num_rows
                yield batch

    stream = batches()
    first = next(stream, None)
    schema = pa.schema([("customer_id", pa.string()), ("as_of_date", pa.date32())]) if first is None else first.schema
    lake.write(stores.lake, tables.CONTACT_EXAMPLES, day, stream, schema)
    return rows


def snapshot(
    session: engine.Session, stores: Stores, *, known: dt.date, as_of: dt.date, sample_below: str = EVERYONE
) -> Snapshot:
    """Builds every family in a session, as of a day: tables `feat.population` and `feat.<family>`.

    :param known: the day whose knowledge is used: `as_of` itself for scoring, the training day for training.
    :param as_of: only what happened before its midnight, UTC, is seen.
    :param sample_below: only customers whose id's MD5 is below; see `md5_below`.
    """
    _look_up(session, stores, known=known, as_of=as_of, sample_below=sample_below)
    return _families(session, as_of)


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


def _look_up(
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


def _families(session: engine.Session, as_of: dt.date, common: Common | None = None) -> Snapshot:
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


def _parts(session: engine.Session) -> list[Part]:
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


def _common(session: engine.Session, as_of: dt.date) -> Common:
    """What is made from everyone, of a population that has been looked up whole."""
    _prices(session, as_of, None)
    prices = engine.table_of(session.batches(f"select * from {tables.CATEGORY_PRICES}"))  # noqa: S608
    off = _families_off(session)
    for family in families.in_sql():
        if family.table == purchase_features.RHYTHM:
            _create(session, family, as_of, off)
    model = purchase_features.fit(session, settings.load().purchase_model)
    return Common(Snapshot(as_of, off, model), prices)


def _of_part(day: dt.date, stores: Stores, part: Part, common: Common, called: str) -> Iterator[pa.RecordBatch]:
    """The features of one part; the first batch is empty and typed."""
    log.info("features, part %s", called)
    with engine.session(stores.lake) as session:
        _look_up(session, stores, known=day, as_of=day, part=part)
        made = _families(session, day, common)
        yield from session.batches(side_by_side(), {"as_of": day}, made.finish)


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


def md5_below(share: float) -> str:
    """The hexadecimal text that such a share of all MD5 sums is below.

    >>> md5_below(0.25), md5_below(2)
    ('4000000', 'g')
    """
    return EVERYONE if share >= 1 else f"{int(share * 16**7):07x}"


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
    with engine.session(stores.lake) as session:
        session.put(tables.ORDER_DAYS.table, history.aggregated(stores, tables.ORDER_DAYS, day, day))
        found = engine.table_of(session.batches(sql.read("features", "first_order")))
    first = found["ordered_on"][0].as_py()
    if first is None:
        raise NoHistoryError(f"{tables.ORDERS.table} of {day} is empty: there is nothing to learn from")
    return first


def _of_contacted(day: dt.date, chosen_on: dt.date, stores: Stores, contacted: pa.Table) -> Iterator[pa.RecordBatch]:
    """The features of some customers as of a past day; the first batch is empty and typed."""
    with engine.session(stores.lake) as session:
        made = snapshot(session, stores, known=day, as_of=chosen_on)
        session.create(tables.CUSTOMER_FEATURES, side_by_side(), {"as_of": chosen_on})
        session.put(tables.CONTACTED, contacted)
        yield from session.batches(sql.read("learn_policy", "features"), function=made.finish)


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


def _off_at(notes: dict[str, dict[str, str]]) -> dict[str, str]:
    """Which families are off at which cutoffs, and why."""
    found: dict[str, dict[str, list[str]]] = {}
    for cutoff, told in notes.items():
        for family, reason in json.loads(told["families_off"]).items():
            found.setdefault(family, {}).setdefault(reason, []).append(cutoff)
    return {
        family: "; ".join(f"{reason} ({', '.join(sorted(cutoffs))})" for reason, cutoffs in reasons.items())
        for family, reasons in found.items()
    }


def _examples(
    day: dt.date, cutoff: dt.date, stores: Stores, sample_below: str, notes: dict[str, dict[str, str]]
) -> Iterator[pa.RecordBatch]:
    """The examples of one cutoff; leaves in `notes` what is beside them."""
    with engine.session(stores.lake) as session:
        made = snapshot(session, stores, known=day, as_of=cutoff, sample_below=sample_below)
        notes[f"{cutoff}"] = made.notes()
        if cutoff == day:
            horizons = settings.load().targets.near_days, settings.load().targets.far_days
            lake.write(stores.lake, tables.DEMAND, day, demand.count(session, day, horizons), demand.SCHEMA)
        session.create(tables.CUSTOMER_FEATURES, side_by_side(), {"as_of": cutoff})
        only = None if sample_below == EVERYONE else tables.POPULATION
        outcomes.create(session, stores, known=day, cutoff=cutoff, only=only)
        yield from session.batches(sql.read("features", "training_examples"), function=made.finish)
