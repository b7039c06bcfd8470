"""
strategy: `score.customer_daily` -> `score.strategy_daily`: which strategy, offer and channel each customer gets.

What there is to choose from is in `include/config/strategies.yaml` (`strategy_file`), how it is chosen in
`strategy_choice` and `strategy_session`, and what campaigns have taught of it comes by `strategy_learnt`. A strategy
that goes by a column which this shop does not have switches itself off, and says so. Who gets an offer is audited
(`strategy_audit`): a gap over its limit keeps the strategies out of what is published, while the segments go on.
"""

import datetime as dt
import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from segmentation import (
    choice_days,
    engine,
    erasures,
    lake,
    settings,
    strategy_audit,
    strategy_choice,
    strategy_file,
    strategy_learnt,
    strategy_session,
    tables,
    turns,
)
from segmentation.errors import FinalError
from segmentation.settings import Stores
from segmentation.strategy_choice import Cutoff, Known
from segmentation.strategy_file import Planned

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
    with strategy_session.opened(stores) as session:
        known = _known(session, day, stores, planned)
        usable, off, remarks = strategy_session.switched(planned, known)
        features = lake.columns(stores.lake, tables.CUSTOMER_FEATURES, day)
        champion, why_not = strategy_learnt.champion(day, stores, features)
        learnt, cutoffs = strategy_session.choose(session, usable, known, key, day, champion)
        audit = strategy_audit.of_choices(session, features)
        withheld = _withheld(audit)
        told = choice_days.notes({each.strategy.id: each.strategy.holdout_share for each in planned})
        told |= {"withheld": withheld} if withheld else {}
        told |= {"policy": champion.version.version} if champion and learnt else {}
        written = session.batches(strategy_choice.rows(usable, f"{day}") if usable else _nobody(day))
        fitting = (_fitting(_told(batch, usable, learnt, cutoffs)) for batch in written)
        rows = lake.write(stores.lake, tables.STRATEGIES, day, fitting, tables.STRATEGY_COLUMNS, lambda: told)
        counts = _counts(session, usable)
        remarks += _idle(session, usable, known, counts)
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
    with strategy_session.opened(stores) as session:
        known = _known(session, day, stores, planned)
        usable, off, _ = strategy_session.switched(planned, known)
        found: dict[str, int | str] = dict(off)
        if usable:
            [row] = engine.table_of(session.batches(strategy_choice.matching(usable, known))).to_pylist()
            found |= {each.strategy.id: row[f"matching_{number}"] for number, each in enumerate(usable)}
    return {each.strategy.id: found[each.strategy.id] for each in planned}


def _known(session: engine.Session, day: dt.date, stores: Stores, planned: Sequence[Planned]) -> Known:
    scores, features = (
        lake.existing(stores.lake, table, day) for table in (tables.CUSTOMER_SCORES, tables.CUSTOMER_FEATURES)
    )
    strategy_session.look_up(session, day, stores, planned, features)
    return strategy_session.known(session, planned, scores)


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


def _idle(session: engine.Session, usable: Sequence[Planned], known: Known, counts: Collection[str]) -> list[str]:
    """Of the strategies that nobody got, why."""
    idle = [each for each in usable if each.strategy.id not in counts]
    if not idle:
        return []
    [row] = engine.table_of(session.batches(strategy_choice.matching(idle, known))).to_pylist()
    return [
        f"strategy {each.strategy.id}, line {each.line}: "
        + (
            f"{met:,} customers meet its condition, but brakes, caps, consent or better strategies leave it none"
            if (met := row[f"matching_{number}"])
            else "its condition meets nobody"
        )
        for number, each in enumerate(idle)
    ]


def _nobody(day: dt.date) -> str:
    return f"select customer_id, cast({engine.literal(f'{day}')} as date) as as_of_date from {tables.CUSTOMER_SCORES}"  # noqa: S608


def _fitting(batch: pa.RecordBatch) -> pa.RecordBatch:
    arrays = [
        batch[field.name].cast(field.type) if field.name in batch.schema.names else pa.nulls(batch.num_rows, field.type)
        for field in tables.STRATEGY_COLUMNS
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=tables.STRATEGY_COLUMNS)
