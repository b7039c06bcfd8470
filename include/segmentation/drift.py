"""
drift: `feat.customer_daily` and `score.customer_daily` of a day, and what models learnt from -> `ops.drift`.

Features are compared with the examples that the newest of the day's models was trained on: those of its own training
day, everyone's. Scores are compared with the first day that the same version scored. Also in MLflow, with the run that
trained it: the table and a picture of each day, and on its curves how much has drifted. Columns are read a few at a
time, so memory is bounded by their rows.
"""

import csv
import datetime as dt
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

import pyarrow as pa

from segmentation import distributions, history, lake, measures, model_pictures, settings, tables, warehouse
from segmentation.registry import Registry, Version
from segmentation.settings import Stores

FEATURE, SCORE = "feature", "score"
COLUMNS_AT_ONCE = 8
MOST_DRAWN = 20
# The column that tells a model's answers
_ANSWERS = {tables.SEGMENTS_MODEL: "segment_id"} | {target.model: target.score for target in tables.TARGETS.values()}

Read = Callable[[Sequence[str]], pa.Table]


@dataclass(frozen=True)
class Shift:
    """How far a column is from its reference, by the population stability index; see `distributions`."""

    as_of_date: dt.date
    kind: str
    column_name: str
    reference_date: dt.date
    psi: float
    threshold: float
    is_drifted: bool


def measure_drift(day: dt.date, stores: Stores) -> dict[str, Any]:
    """Writes how far a day's features and scores are from those that its models have learnt from.

    :returns: `feature` and `score`: the columns that have drifted, those furthest away first; `is_far`: whether that
        is more than `settings.Retrain` takes for ordinary.
    :raises lake.MissingDayError: the day is not scored, or the examples that its models learnt from are gone.
    """
    registry = Registry(stores.registry, stores.marketing)
    versions = {model: registry.version(model, number) for model, number in _versions(day, stores).items()}
    found = [*_features(day, versions, stores), *_scores(day, versions, stores)] if versions else []
    _write(stores.marketing, found, day)
    _report(registry, found, day, versions)
    furthest = [shift for shift in _furthest(found) if shift.is_drifted]
    drifted = {kind: [shift.column_name for shift in furthest if shift.kind == kind] for kind in (FEATURE, SCORE)}
    most = settings.load().retrain.most_drifted_share * sum(shift.kind == FEATURE for shift in found)
    return {**drifted, "is_far": bool(drifted[SCORE]) or len(drifted[FEATURE]) > most}


def _versions(day: dt.date, stores: Stores) -> dict[str, str]:
    """Model -> version of those that scored a day; none where there was nobody."""
    return json.loads(lake.first_value(stores.lake, tables.CUSTOMER_SCORES, day, "model_versions") or "{}")


def _features(day: dt.date, versions: Mapping[str, Version], stores: Stores) -> Iterator[Shift]:
    """Of the features that the training knew already."""
    trained_on = max(version.training_day for version in versions.values())
    known, names = (
        lake.columns(stores.lake, table, each)
        for table, each in ((tables.TRAINING_EXAMPLES, trained_on), (tables.CUSTOMER_FEATURES, day))
    )
    names = [name for name in names if name in known and name not in tables.NOT_FEATURES]

    def now(columns: Sequence[str]) -> pa.Table:
        return lake.read(stores.lake, tables.CUSTOMER_FEATURES, day, list(columns))

    def before(columns: Sequence[str]) -> pa.Table:
        newest = [("as_of_date", "=", trained_on)]
        return lake.read_where(stores.lake, tables.TRAINING_EXAMPLES, trained_on, list(columns), newest)

    for start in range(0, len(names), COLUMNS_AT_ONCE):
        yield from _shifts(FEATURE, day, trained_on, names[start : start + COLUMNS_AT_ONCE], now, before)


def _scores(day: dt.date, versions: Mapping[str, Version], stores: Stores) -> Iterator[Shift]:
    def of(scored_on: dt.date) -> Read:
        def read(columns: Sequence[str]) -> pa.Table:
            table = lake.read(stores.lake, tables.CUSTOMER_SCORES, scored_on, list(columns))
            # ids are no amounts; they, and not the names, stay when a marketer renames a segment
            kinds = [pa.field(each.name, pa.string()) if each.name == "segment_id" else each for each in table.schema]
            return table.cast(pa.schema(kinds))

        return read

    for model, version in versions.items():
        first = _first_scored(version, day, stores)
        yield from _shifts(SCORE, day, first, [_ANSWERS[model]], of(day), of(first))


def _first_scored(version: Version, day: dt.date, stores: Stores) -> dt.date:
    """The first day that a version scored; the day itself, where it is that."""
    days = [each for each in lake.days_of(stores.lake, tables.CUSTOMER_SCORES) if version.training_day <= each < day]
    its_own = (each for each in days if _versions(each, stores).get(version.model) == version.version)
    return next(its_own, day)


def _shifts(
    kind: str, day: dt.date, reference: dt.date, columns: Sequence[str], now: Read, before: Read
) -> Iterator[Shift]:
    """One of each column that has a value on either side."""
    config = settings.load().drift
    new, old = now(columns), before(columns)
    for name in columns:
        bins = distributions.Bins.of(old[name], config)
        counts, usual = bins.counts(new[name]), bins.counts(old[name])
        if counts.keys() | usual.keys() != {distributions.MISSING}:
            psi, limit = measures.stability(counts, usual), distributions.threshold(counts, usual, config)
            yield Shift(day, kind, name, reference, psi, limit, psi > limit)


def _write(dsn: str, found: Sequence[Shift], day: dt.date) -> None:
    """Replaces what was written of the day."""
    history.ensure_schema(dsn)
    names = [field.name for field in fields(Shift)]
    rows = pa.table({name: [getattr(shift, name) for shift in found] for name in names})
    with warehouse.connect(dsn) as connection:
        warehouse.execute(connection, "delete from ops.drift where as_of_date = :day", {"day": day})
        if found:
            warehouse.copy_in(connection, tables.DRIFT, [rows], names)


def _report(registry: Registry, found: Sequence[Shift], day: dt.date, versions: Mapping[str, Version]) -> None:
    """Each model's own score to its run; the whole to the run of the newest, the segments' if that is among them."""
    of_features = [shift for shift in found if shift.kind == FEATURE]
    for model, version in versions.items():
        age = (day - version.training_day).days
        own = [shift.psi for shift in found if (shift.kind, shift.column_name) == (SCORE, _ANSWERS[model])]
        registry.report(version, {"score_psi": own[0]} if own else {}, day, age)
    if not of_features:
        return
    newest = max(versions.values(), key=lambda version: (version.training_day, version.model == tables.SEGMENTS_MODEL))
    told = {
        "feature_psi_max": max(shift.psi for shift in of_features),
        "features_drifted_share": sum(shift.is_drifted for shift in of_features) / len(of_features),
    }
    registry.report(newest, told, day, (day - newest.training_day).days)
    registry.attach(newest, f"drift/{day}.csv", _as_csv(found))
    registry.attach(newest, f"drift/{day}.png", _picture(found, day))


def _as_csv(found: Sequence[Shift]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(Shift)])
    writer.writerows(astuple(shift) for shift in _furthest(found))
    return text.getvalue()


def _picture(found: Sequence[Shift], day: dt.date):
    most = _furthest(found)[:MOST_DRAWN]
    return model_pictures.drift(
        f"The columns of {day} that are furthest from their reference",
        [f"{shift.column_name} ({shift.kind})" for shift in most],
        [shift.psi for shift in most],
        [shift.threshold for shift in most],
    )


def _furthest(found: Iterable[Shift]) -> list[Shift]:
    return sorted(found, key=lambda shift: -shift.psi)
