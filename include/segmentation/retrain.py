"""
retrain: `ops.performance` + `ops.drift` of a day -> `ops.retrains`: whether to train before the time.

Asked for when what was published is worth less than was promised, beyond what chance explains, or when the customers
are not those any more that the models have learnt from. What the last training knew of already, a disappointment or a
column that had drifted by then, does not count again: that training has seen it, and if nothing of it was promoted, the
next weekly one tries again. So many days lie between two trainings at least; and a past day, run again, asks for none
where models of a later day are there.
"""

import datetime as dt
from typing import NamedTuple

import pyarrow as pa

from segmentation import history, settings, tables, warehouse
from segmentation.registry import Registry
from segmentation.settings import Stores

FEATURE, SCORE = "feature", "score"
_RANKS = ("auc", "spearman")
_MODELS = (tables.SEGMENTS_MODEL, *tables.TARGETS)
_MOST_NAMED = 5


def retrain_reasons(day: dt.date, stores: Stores) -> list[str]:
    """Notes whether a day asks for a training, and why. Asked again, a day that has asked for one says the same.

    :returns: the reasons, in words; empty: none is asked for.
    """
    history.ensure_schema(stores.marketing)
    trained = max(filter(None, map(Registry(stores.registry, stores.marketing).last_training, _MODELS)), default=None)
    with warehouse.connect(stores.marketing) as connection:
        asked = "select reasons from ops.retrains where is_asked and as_of_date = :day"
        for (reasons,) in warehouse.fetch(connection, asked, {"day": day}):
            return list(reasons)
        config = settings.load().retrain
        found = dict(_disappointments(connection, day, config))
        known = dict(_disappointments(connection, trained, config)) if trained else {}
        reasons = [words for measure, words in found.items() if measure not in known]
        reasons += _drifted(connection, day, trained, config)
        held_back = _held_back(connection, day, trained, config) if reasons else None
        _write(connection, day, reasons, held_back)
    return [] if held_back else reasons


class _Measure(NamedTuple):
    model: str
    version: str
    metric: str
    as_of_date: dt.date
    promised: float | None
    promised_low: float | None
    realised: float
    realised_low: float | None
    realised_high: float | None

    def is_worse(self, config: settings.Retrain) -> bool:
        """Whether what happened is worse than promised, by enough to matter and surely: by its whole interval."""
        if self.realised_low is None or self.realised_high is None:
            return False
        if self.metric in _RANKS and self.promised is not None:
            least = self.promised if self.promised_low is None else self.promised_low
            return self.realised_high < least and self.promised - self.realised > config.max_rank_shortfall
        if self.metric == "total_ratio":
            return self.realised_low > 1 + config.max_total_off or self.realised_high < 1 - config.max_total_off
        if self.metric == "calibration_error" and not tables.TARGETS[self.model].is_amount:
            return self.realised_low > max(config.max_calibration_error, self.promised or 0)
        return False

    def in_words(self) -> str:
        promised = "" if self.promised is None else f", {self.promised:.3g} was promised"
        return (
            f"{self.model} version {self.version}: {self.metric} of {self.as_of_date} is {self.realised:.3g}{promised}"
        )


def _disappointments(connection, day: dt.date, config: settings.Retrain) -> dict[tuple[str, str], str]:
    """(model, measure) -> in words, of what a day has found to be worse than promised."""
    rows = warehouse.fetch(
        connection,
        f"select {', '.join(_Measure._fields)} from ops.performance "  # noqa: S608 - names of ours
        "where computed_on = :day and realised is not null order by model, metric, as_of_date, version",
        {"day": day},
    )
    measures = (_Measure(*row) for row in rows)
    return {(each.model, each.metric): each.in_words() for each in measures if each.is_worse(config)}


def _drifted(connection, day: dt.date, trained: dt.date | None, config: settings.Retrain) -> list[str]:
    """What the drift of a day says that calls for a training, in words; without what had drifted on the day of the last
    training already."""
    rows = _drift(connection, day)
    known = {(kind, name) for kind, name, _, is_drifted in _drift(connection, trained) if is_drifted} if trained else ()
    features = sum(kind == FEATURE for kind, *_ in rows)
    far: dict[str, list[str]] = {FEATURE: [], SCORE: []}
    for kind, name, psi, is_drifted in rows:
        if is_drifted and (kind, name) not in known:
            far[kind].append(f"{name} {psi:.2f}")
    told = [f"the scores have drifted: {', '.join(far[SCORE])}"] if far[SCORE] else []
    if len(far[FEATURE]) > config.most_drifted_share * features:
        named = ", ".join(far[FEATURE][:_MOST_NAMED])
        told.append(f"{len(far[FEATURE])} of {features} features have drifted, most of all {named}")
    return told


def _drift(connection, day: dt.date) -> list[tuple[str, str, float, bool]]:
    """(kind, column, PSI, whether it has drifted), the furthest first."""
    query = (
        "select kind, column_name, psi, is_drifted from ops.drift where as_of_date = :day "
        "order by psi desc, column_name asc"
    )
    return warehouse.fetch(connection, query, {"day": day})


def _held_back(connection, day: dt.date, trained: dt.date | None, config: settings.Retrain) -> str | None:
    """Why there is to be no training now, in words."""
    if trained and trained > day:
        return f"there are models that were trained for a later day, {trained}"
    if trained and (day - trained).days < config.min_days:
        return f"the last training is of {trained}, less than {config.min_days} days before"
    [(asked,)] = warehouse.fetch(
        connection, "select max(as_of_date) from ops.retrains where is_asked and as_of_date < :day", {"day": day}
    )
    if asked and (day - asked).days < config.min_days:
        return f"a training was asked for on {asked}, less than {config.min_days} days before"
    return None


def _write(connection, day: dt.date, reasons: list[str], held_back: str | None) -> None:
    """Replaces what was noted of the day."""
    is_asked = bool(reasons) and held_back is None
    row = {"as_of_date": day, "is_asked": is_asked, "reasons": reasons, "held_back": held_back}
    schema = pa.schema(
        [
            ("as_of_date", pa.date32()),
            ("is_asked", pa.bool_()),
            ("reasons", pa.list_(pa.string())),
            ("held_back", pa.string()),
        ]
    )
    warehouse.execute(connection, "delete from ops.retrains where as_of_date = :day", {"day": day})
    warehouse.copy_in(connection, tables.RETRAINS, [pa.Table.from_pylist([row], schema=schema)], schema.names)
