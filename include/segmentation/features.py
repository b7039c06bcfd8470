"""
features: `agg.*` and `raw.*` -> `feat.customer_daily` (for scoring) and `feat.training_examples` (for training).

Both are made by `feature_snapshot`, as of a day: training asks it for past days, scoring for its own.
"""

import datetime as dt
import itertools
import json
import logging
from collections.abc import Iterator

import pyarrow as pa

from segmentation import (
    demand,
    engine,
    erasures,
    families,
    feature_snapshot,
    history,
    lake,
    md5_sample,
    outcomes,
    settings,
    sql,
    tables,
    turns,
)
from segmentation.errors import FinalError
from segmentation.feature_snapshot import Common, Part
from segmentation.md5_sample import EVERYONE
from segmentation.settings import Stores

log = logging.getLogger(__name__)


class NoHistoryError(FinalError):
    """There are no orders, or too few days of them, to look back from."""


@turns.takes_turns(tables.CUSTOMER_FEATURES)
@erasures.holds_off_erasure
def build_features(day: dt.date, stores: Stores) -> int:
    """Writes `feat.customer_daily` of one day from what that day knew, and beside it the dictionary of its columns.

    :returns: rows written, one per customer with profiling consent who signed up before the day.
    :raises history.NotAcceptedError: the day has not passed the gate, or its aggregates are not built.
    """
    with engine.session(stores.lake) as session:
        feature_snapshot.look_up(session, stores, known=day, as_of=day)
        parts = feature_snapshot.parts(session)
        if len(parts) > 1:
            common = feature_snapshot.common_of(session, day)
        else:
            made = feature_snapshot.make(session, day)
            batches = session.batches(feature_snapshot.side_by_side(), {"as_of": day}, made.finish)
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
                share = md5_sample.below(config.max_rows / max(rows[f"{day}"] * (len(days) - 1), 1))

    stream = batches()
    first = next(stream)
    lake.write(
        stores.lake, tables.TRAINING_EXAMPLES, day, stream, first.schema, lambda: {"snapshots": json.dumps(notes)}
    )
    target = lake.beside(stores.lake, tables.TRAINING_EXAMPLES, day, tables.DICTIONARY)
    lake.write_text(target, families.dictionary(_off_at(notes)))
    return rows


def _of_part(day: dt.date, stores: Stores, part: Part, common: Common, called: str) -> Iterator[pa.RecordBatch]:
    """The features of one part; the first batch is empty and typed."""
    log.info("features, part %s", called)
    with engine.session(stores.lake) as session:
        feature_snapshot.look_up(session, stores, known=day, as_of=day, part=part)
        made = feature_snapshot.make(session, day, common)
        yield from session.batches(feature_snapshot.side_by_side(), {"as_of": day}, made.finish)


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
        made = feature_snapshot.build(session, stores, known=day, as_of=cutoff, sample_below=sample_below)
        notes[f"{cutoff}"] = made.notes()
        if cutoff == day:
            horizons = settings.load().targets.near_days, settings.load().targets.far_days
            lake.write(stores.lake, tables.DEMAND, day, demand.count(session, day, horizons), demand.SCHEMA)
        session.create(tables.CUSTOMER_FEATURES, feature_snapshot.side_by_side(), {"as_of": cutoff})
        only = None if sample_below == EVERYONE else tables.POPULATION
        outcomes.create(session, stores, known=day, cutoff=cutoff, only=only)
        yield from session.batches(sql.read("features", "training_examples"), function=made.finish)
