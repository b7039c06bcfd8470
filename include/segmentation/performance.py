"""
performance: `score.customer_daily` of the day whose horizon ends today + what happened since -> `ops.performance`.

Realised beside promised: the measures that training took on its test examples, taken again on what was published. The
outcomes are those that training learns (`outcomes`), as known on the day that looks back, so late facts change nothing
that was written. What no day has looked back at, as there was no run, the next days catch up with. Also in MLflow, as
`realised_<measure>` of the run that trained the version.
"""

import datetime as dt
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa

from segmentation import engine, history, judge, lake, outcomes, settings, sql, tables, warehouse
from segmentation.fairness import wilson
from segmentation.registry import Registry, Version
from segmentation.settings import Stores

_THEN = f"{tables.CUSTOMER_FEATURES}_then"
_NORMAL_95 = 1.959964
_COLUMNS = pa.schema(
    [
        ("as_of_date", pa.date32()),
        ("model", pa.string()),
        ("version", pa.string()),
        ("metric", pa.string()),
        *((f"{side}{end}", pa.float64()) for side in ("promised", "realised") for end in ("", "_low", "_high")),
        ("computed_on", pa.date32()),
    ]
)


@dataclass(frozen=True)
class Estimate:
    """A measure and, where it has one, its 95% interval; NaN where it is not defined."""

    value: float
    low: float = math.nan
    high: float = math.nan


def measure_performance(day: dt.date, stores: Stores) -> dict[str, str]:
    """Writes what scores were worth whose horizon has ended, and reports it to the runs that promised it: those of the
    day, and of the last days of which nothing was measured.

    :returns: model -> what became of it, in words.
    :raises history.NotAcceptedError: the day has not passed the gate, or its aggregates are not built.
    """
    registry, told = Registry(stores.registry, stores.marketing), {}
    for scored_on, targets in _due(day, stores).items():
        reason = _not_scored(scored_on, stores)
        if reason:
            told |= {target.model: reason for target in targets}
            continue
        versions = json.loads(
            lake.first_value(stores.lake, tables.CUSTOMER_SCORES, scored_on, "model_versions") or "{}"
        )
        told |= {target.model: f"not scored on {scored_on}" for target in targets if target.model not in versions}
        there = [target for target in targets if target.model in versions]
        if not there:
            continue
        scored, gone = _scored(scored_on, day, stores)
        for target in there:
            version = registry.version(target.model, versions[target.model])
            promised = registry.metrics(version)
            found = measured(target, scored, promised.get("threshold", 0.5)) | {"customers_gone": Estimate(gone)}
            _write(stores.marketing, _rows(found, promised, version, scored_on, day), version)
            _report(registry, version, found, scored_on, day)
            told[target.model] = f"version {version.version}, {found['customers'].value:,} customers of {scored_on}"
    return told


def measured(target: tables.Target, scored: pd.DataFrame, threshold: float = 0.5) -> dict[str, Estimate]:
    """What a target's scores were worth: the measures of `judge`, and `customers`, how many they were taken of.

    Of bands: `base_rate`, and of each `rate_<band>` and `customers_<band>`: how many it came true for, of how many.

    :param scored: one row per customer: outcomes, spend and scores; missing where they make no sense.
    :param threshold: the probability from which precision, recall and F1 take it for a positive.
    """
    rows = scored.dropna(subset=[target.label, target.score])
    found = {"customers": Estimate(len(rows))}
    if rows.empty:
        return found
    actual, score, rounds = rows[target.label].astype("float64"), rows[target.score], settings.load().performance.rounds
    if not pd.api.types.is_numeric_dtype(score):
        found["base_rate"] = _rate(actual)
        for band, inside in actual.groupby(score):
            found |= {f"rate_{band}": _rate(inside), f"customers_{band}": Estimate(len(inside))}
        return found
    foreseen = score.to_numpy("float64")
    if target.is_amount:
        values = judge.judge_amounts(actual, foreseen)
        ends = judge.amount_intervals(actual, foreseen, rounds=rounds)
    else:
        spend = rows[target.spend].to_numpy("float64")
        how: dict[str, Any] = {"threshold": threshold, "spend_falls": target is tables.CHURN}
        values = judge.judge(actual, foreseen, spend, **how)
        ends = judge.intervals(actual, foreseen, spend, **how, rounds=rounds)
    return found | {
        name: Estimate(value, ends.get(f"{name}_low", math.nan), ends.get(f"{name}_high", math.nan))
        for name, value in values.items()
    }


def _due(day: dt.date, stores: Stores) -> dict[dt.date, list[tables.Target]]:
    """The days whose scores are to be measured on a day, the oldest first, and for which targets: those whose horizon
    ends on it; and those whose horizon ended on one of the days before which has looked back at nothing of them."""
    config = settings.load()
    due: dict[dt.date, list[tables.Target]] = {}
    longest = max(getattr(config.targets, target.horizon) for target in tables.TARGETS.values())
    known = _known(day, day - dt.timedelta(days=longest + config.performance.catch_up_days), stores)
    for target in tables.TARGETS.values():
        ends = day - dt.timedelta(days=getattr(config.targets, target.horizon))
        due.setdefault(ends, []).append(target)
        for late in range(1, config.performance.catch_up_days + 1):
            missed = ends - dt.timedelta(days=late)
            if (target.model, missed) not in known and _not_scored(missed, stores) is None:
                due.setdefault(missed, []).append(target)
    return dict(sorted(due.items()))


def _known(day: dt.date, since: dt.date, stores: Stores) -> set[tuple[str, dt.date]]:
    """(model, day scored) of what other days have measured, of days scored since one."""
    history.ensure_schema(stores.marketing)
    with warehouse.connect(stores.marketing) as connection:
        query = (
            "select distinct model, as_of_date from ops.performance where computed_on <> :day and as_of_date >= :since"
        )
        return set(warehouse.fetch(connection, query, {"day": day, "since": since}))


def _not_scored(day: dt.date, stores: Stores) -> str | None:
    """Why nothing can be measured of a day, in words; None if it can."""
    missing = [
        table for table in (tables.CUSTOMER_SCORES, tables.CUSTOMER_FEATURES) if not lake.has(stores.lake, table, day)
    ]
    return f"the lake has no {' and no '.join(missing)} of {day}" if missing else None


def _scored(scored_on: dt.date, day: dt.date, stores: Stores) -> tuple[pd.DataFrame, int]:
    """(the scores of a day beside the outcomes as known on another, how many customers are there no more)."""
    with engine.session(stores.lake) as session:
        session.put(_THEN, lake.existing(stores.lake, tables.CUSTOMER_FEATURES, scored_on))
        session.put(tables.CUSTOMER_SCORES, lake.existing(stores.lake, tables.CUSTOMER_SCORES, scored_on))
        session.put(tables.CUSTOMERS_NOW, history.latest(stores, tables.CUSTOMERS.name))
        session.create(tables.CUSTOMER_FEATURES, sql.read("performance", "remaining"))
        outcomes.create(session, stores, known=day, cutoff=scored_on)
        found = engine.table_of(session.batches(sql.read("performance", "scored")))
    with lake.open_parquet(stores.lake, tables.CUSTOMER_SCORES, scored_on) as file:
        return found.drop_columns("customer_id").to_pandas(), file.metadata.num_rows - found.num_rows


def _rate(actual: pd.Series) -> Estimate:
    share = float(actual.mean())
    return Estimate(share, *wilson(share, len(actual), _NORMAL_95))


def _rows(
    found: Mapping[str, Estimate], promised: Mapping[str, float], version: Version, scored_on: dt.date, day: dt.date
) -> pa.Table:
    """One row per measure, the promise beside it."""
    rows = [
        {
            "as_of_date": scored_on,
            "model": version.model,
            "version": version.version,
            "metric": name,
            **{f"promised{end}": _defined(promised.get(f"{name}{end}")) for end in ("", "_low", "_high")},
            "realised": _defined(estimate.value),
            "realised_low": _defined(estimate.low),
            "realised_high": _defined(estimate.high),
            "computed_on": day,
        }
        for name, estimate in found.items()
    ]
    return pa.Table.from_pylist(rows, schema=_COLUMNS)


def _defined(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _write(dsn: str, rows: pa.Table, version: Version) -> None:
    """Replaces what was written of the same day and model."""
    history.ensure_schema(dsn)
    same = {"model": version.model, "day": rows["as_of_date"][0].as_py()}
    with warehouse.connect(dsn) as connection:
        warehouse.execute(connection, "delete from ops.performance where model = :model and as_of_date = :day", same)
        warehouse.copy_in(connection, tables.PERFORMANCE, [rows], rows.column_names)


def _report(
    registry: Registry, version: Version, found: Mapping[str, Estimate], scored_on: dt.date, day: dt.date
) -> None:
    """To the run that trained the version, by how many days old it was when it scored."""
    values = {}
    for name, each in found.items():
        values |= {f"realised_{name}": each.value, f"realised_{name}_low": each.low, f"realised_{name}_high": each.high}
    registry.report(version, values, day, (scored_on - version.training_day).days)
