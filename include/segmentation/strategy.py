"""
strategy: `score.customer_daily` -> `score.strategy_daily`: which strategy, offer and channel each customer gets.

What there is to choose from is in `include/config/strategies.yaml` (`strategy_file`), how it is chosen in
`strategy_choice`, and what campaigns have taught of it comes by `strategy_learnt`. A strategy that goes by a column
which this shop does not have switches itself off, and says so. Who gets an offer is audited (`strategy_audit`): a gap
over its limit keeps the strategies out of what is published, while the segments go on.
"""

import datetime as dt
import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from segmentation import (
    engine,
    erasures,
    history,
    lake,
    settings,
    sql,
    strategy_audit,
    strategy_choice,
    strategy_columns,
    strategy_file,
    strategy_learnt,
    tables,
    turns,
)
from segmentation.errors import FinalError
from segmentation.settings import Stores
from segmentation.strategy_choice import Cutoff, Known
from segmentation.strategy_columns import ORDER_VALUE
from segmentation.strategy_file import Planned
from segmentation.strategy_learnt import Champion

log = logging.getLogger(__name__)

_LEAST_KEY = 16


class WeakKeyError(FinalError):
    """The key of the control groups is so short that it could be guessed."""


@turns.takes_turns(tables.STRATEGIES)
@erasures.holds_off_erasure
def choose_strategies(day: dt.date, stores: Stores, key: str, path: Path = strategy_file.CONFIG) -> dict[str, Any]:
    """Writes `score.strategy_daily` of one day: one row per row of that day's `score.customer_daily`.

    :param key: what the control groups are drawn by; another one draws all of them anew.
    :param path: the file of strategies.
    :returns: `rows`, `strategies` (id -> `customers`, the `held_out` among them, and the `cost` of contacting the
        others), `off` (id -> why), `remarks`, `offer_gap`, and `withheld`, why nothing of it is published, or None;
        `model`, the version of `strategy_uplift` that was gone by, or None, `assumed_because`, why None, and `bases`,
        of how many customers the choice is learnt, explored, assumed.
    :raises strategy_file.StrategiesError: the file cannot be right; names every line.
    :raises WeakKeyError: the key has fewer than 16 characters.
    :raises lake.MissingDayError: the day has no scores or no features.
    """
    if len(key) < _LEAST_KEY:
        raise WeakKeyError(f"the key of the control groups has {len(key)} characters; it needs {_LEAST_KEY} at least")
    planned = strategy_file.read(path)
    with _session(stores) as session:
        known = look_up(session, day, stores, planned)
        usable, off, remarks = switched(planned, known)
        champion, why_not = strategy_learnt.champion(day, stores)
        learnt, cutoffs = _choose(session, usable, known, key, day, champion, stores)
        audit = strategy_audit.of_choices(session, lake.columns(stores.lake, tables.CUSTOMER_FEATURES, day))
        withheld = _withheld(audit)
        told = {"withheld": withheld} if withheld else {}
        written = session.batches(strategy_choice.rows(usable, f"{day}") if usable else _nobody(day))
        fitting = (_fitting(_told(batch, usable, learnt, cutoffs)) for batch in written)
        rows = lake.write(stores.lake, tables.STRATEGIES, day, fitting, tables.STRATEGY_COLUMNS, lambda: told)
        counts = _counts(session, usable)
    bases = _bases(day, stores)
    for line in [*(f"strategy {name} is off: {why}" for name, why in off.items()), *remarks]:
        log.info(line)
    if withheld:
        log.warning(withheld)
    return {
        "rows": rows,
        "strategies": counts,
        "off": off,
        "remarks": remarks,
        "offer_gap": round(audit.gap, 4),
        "offer_shares": audit.shares,
        "withheld": withheld,
        "model": champion.version.version if champion else None,
        "assumed_because": None if champion else why_not,
        "bases": bases,
    }


def matched(day: dt.date, stores: Stores, path: Path = strategy_file.CONFIG) -> dict[str, int | str]:
    """How many customers of a day meet each strategy's condition, brakes and caps apart; or why it is off.

    :raises strategy_file.StrategiesError: the file cannot be right.
    """
    planned = strategy_file.read(path)
    with _session(stores) as session:
        known = look_up(session, day, stores, planned)
        usable, off, _ = switched(planned, known)
        found: dict[str, int | str] = dict(off)
        if usable:
            [row] = engine.table_of(session.batches(strategy_choice.matching(usable, known))).to_pylist()
            found |= {each.strategy.id: row[f"matching_{number}"] for number, each in enumerate(usable)}
    return {each.strategy.id: found[each.strategy.id] for each in planned}


def look_up(session: engine.Session, day: dt.date, stores: Stores, planned: Sequence[Planned]) -> Known:
    """Gives the session what strategies are chosen from, and says which columns hold anything."""
    session.put(tables.CUSTOMER_SCORES, lake.existing(stores.lake, tables.CUSTOMER_SCORES, day))
    session.put(tables.CUSTOMER_FEATURES, lake.existing(stores.lake, tables.CUSTOMER_FEATURES, day))
    session.put(tables.CUSTOMERS_NOW, history.latest(stores, tables.CUSTOMERS.name))
    for entity in (tables.CAMPAIGN_CONTACTS, tables.CAMPAIGNS, tables.PRODUCTS):
        session.put(entity.table, history.known(stores, entity.name, day))
    most_days = max((each.strategy.frequency_cap.days for each in planned if each.strategy.frequency_cap), default=1)
    session.create(tables.STRATEGY_FACTS, sql.read("strategy", "facts"), {"as_of": day, "most_days": most_days})
    session.create(tables.STRATEGY_STOCK, sql.read("strategy", "stock"))
    wanted = {name for each in planned for name in strategy_choice.needs(each)}
    wanted |= {
        name for each in planned for names in strategy_choice.brake_columns(each.strategy).values() for name in names
    }
    there = set(lake.columns(stores.lake, tables.CUSTOMER_FEATURES, day))
    columns = {
        *_filled(session, tables.CUSTOMER_SCORES, wanted & strategy_columns.scores().keys()),
        *_filled(session, tables.CUSTOMER_FEATURES, wanted & there & set(strategy_columns.features())),
    }
    stock = engine.table_of(session.batches(f"select count(pieces) as counted from {tables.STRATEGY_STOCK}"))  # noqa: S608
    value = None
    if ORDER_VALUE in columns:
        mean = f"select avg({engine.quoted(ORDER_VALUE)}) as mean from {tables.CUSTOMER_FEATURES}"  # noqa: S608
        value = engine.table_of(session.batches(mean))["mean"][0].as_py()
    return Known(columns, stock["counted"][0].as_py() > 0, value)


def switched(planned: Sequence[Planned], known: Known) -> tuple[list[Planned], dict[str, str], list[str]]:
    """The strategies that this shop can use; why the others are off; which brakes are."""
    usable, off, remarks = [], {}, []
    for each in planned:
        missing = [name for name in strategy_choice.needs(each) if name not in known.columns]
        if missing:
            off[each.strategy.id] = f"this shop has no {', '.join(missing)}"
            continue
        usable.append(each)
        for brake, names in strategy_choice.brake_columns(each.strategy).items():
            if not set(names) & set(known.columns):
                remarks.append(
                    f"strategy {each.strategy.id}: brake {brake} is off: this shop has no {' or '.join(names)}"
                )
        if each.strategy.brakes.low_stock and not known.has_stock:
            remarks.append(f"strategy {each.strategy.id}: brake low_stock is off: this shop counts no stock")
    return usable, off, remarks


def _session(stores: Stores):
    """Always in this process: statements are made for it, and a day's choice is one machine's work."""
    return engine.session(stores.lake, settings.load().model_copy(update={"engine": "duckdb"}))


def _choose(
    session: engine.Session,
    usable: Sequence[Planned],
    known: Known,
    key: str,
    day: dt.date,
    champion: Champion | None,
    stores: Stores,
) -> tuple[set[int], dict[int, Cutoff]]:
    """Makes `strategy.choices`; (the numbers of the strategies whose effect has been learnt, where budgets ran out)."""
    if not usable:
        nobody = f"select customer_id, cast(null as integer) as number from {tables.CUSTOMER_SCORES}"  # noqa: S608
        session.create(tables.STRATEGY_CHOICES, nobody)
        return set(), {}
    learnt = strategy_learnt.put(session, champion, usable, day, stores)
    session.put("strategy.key", strategy_choice.keys(key))
    session.create(tables.STRATEGY_CANDIDATES, strategy_choice.candidates(usable, known, f"{day}", learnt))
    return learnt, strategy_choice.assigned(session, usable)


def _told(
    batch: pa.RecordBatch, usable: Sequence[Planned], learnt: Collection[int], cutoffs: Mapping[int, Cutoff]
) -> pa.RecordBatch:
    """Adds what each choice rests on, its chance, and what else was open; nulls where there is none."""
    if not usable:
        return batch
    table = pa.table(batch)
    chosen = np.flatnonzero(table["number"].is_valid().to_numpy())
    some = table.take(pa.array(chosen))
    numbers = range(len(usable))
    mean = np.column_stack([some[f"mean_{n}"].to_numpy().astype(float) for n in numbers])
    spread = np.column_stack([some[f"spread_{n}"].to_numpy().astype(float) for n in numbers])
    may = np.isfinite(mean)
    mean, spread = np.where(may, mean, 0.0), np.where(may, spread, 0.0)
    least = np.array([cutoffs[n].margin if n in cutoffs else 0.0 for n in numbers])
    number = some["number"].to_numpy().astype(int)
    chance = np.ones(len(chosen))
    is_unsure = spread.max(axis=1) > 0
    drawn = (each[is_unsure] for each in (number, mean, spread, may))
    chance[is_unsure] = strategy_learnt.chances(*drawn, least)
    places = np.full(table.num_rows, -1)
    places[chosen] = np.arange(len(chosen))
    take = pa.array(places, mask=places < 0)
    ids = pa.array([each.strategy.id for each in usable], pa.string())
    offsets = np.concatenate([[0], may.sum(axis=1).cumsum()]).astype("int32")
    told = {
        "basis": pa.array(strategy_learnt.bases(number, mean, may, least, [n in learnt for n in numbers]), pa.string()),
        "chance": pa.array(chance),
        "open_to": pa.ListArray.from_arrays(offsets, ids.take(pa.array(np.nonzero(may)[1]))),
    }
    for name, values in told.items():
        table = table.append_column(name, values.take(take))
    return table.to_batches()[0] if table.num_rows else pa.RecordBatch.from_pylist([], schema=table.schema)


def _bases(day: dt.date, stores: Stores) -> dict[str, int]:
    rows = lake.read(stores.lake, tables.STRATEGIES, day, ["basis"])["basis"].drop_null()
    return {each["values"]: each["counts"] for each in rows.value_counts().to_pylist()}


def _filled(session: engine.Session, table: str, names: set[str]) -> list[str]:
    """Those of a table's columns that are not null for everyone."""
    if not names:
        return []
    ordered = sorted(names)
    counts = ", ".join(f"count({engine.quoted(name)}) as count_{number}" for number, name in enumerate(ordered))
    [row] = engine.table_of(session.batches(f"select {counts} from {table}")).to_pylist()  # noqa: S608
    return [name for number, name in enumerate(ordered) if row[f"count_{number}"]]


def _withheld(audit: strategy_audit.Audit) -> str | None:
    limit = settings.load().strategy.max_offer_gap
    if audit.gap <= limit:
        return None
    return (
        f"strategies are not published: who gets an offer differs by {audit.gap:.1%} at least ({audit.told}); "
        f"at most {limit:.0%} is allowed (settings.strategy.max_offer_gap). The segments are published without them."
    )


def _counts(session: engine.Session, usable: Sequence[Planned]) -> dict[str, dict[str, Any]]:
    if not usable:
        return {}
    counted = f"""
        select number, count(*) as customers, count(*) filter (where is_held) as held_out
        from {tables.STRATEGY_CHOICES} where number is not null group by number order by number
    """  # noqa: S608
    found = engine.table_of(session.batches(counted)).to_pylist()
    return {
        usable[row["number"]].strategy.id: {
            "customers": row["customers"],
            "held_out": row["held_out"],
            "cost": round((row["customers"] - row["held_out"]) * usable[row["number"]].strategy.cost_per_contact, 4),
        }
        for row in found
    }


def _nobody(day: dt.date) -> str:
    return f"select customer_id, cast({engine.literal(f'{day}')} as date) as as_of_date from {tables.CUSTOMER_SCORES}"  # noqa: S608


def _fitting(batch: pa.RecordBatch) -> pa.RecordBatch:
    arrays = [
        batch[field.name].cast(field.type) if field.name in batch.schema.names else pa.nulls(batch.num_rows, field.type)
        for field in tables.STRATEGY_COLUMNS
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=tables.STRATEGY_COLUMNS)
