"""
How a batch of features becomes scores: the models of a day, and one function from features to published columns.

Used for the daily scores, and before a promotion for what it would change. How a score, its band and its reasons come
about: docs/scoring.md.
"""

import datetime as dt
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from segmentation import (
    explain,
    model_cache,
    naming,
    preparation,
    reasons,
    settings,
    streamed_quantiles,
    tables,
    tastes,
)
from segmentation.ensembles import Encoded
from segmentation.registry import NoModelError, Registry, Version

log = logging.getLogger(__name__)

_MOST_MONEY = 999_999_999_999.99  # that the column holds
# Expected spend where none could be trained: the feature that BG/NBD and Gamma-Gamma give of a day's own orders
_FALLBACK = "expected_spend_90d"
_BANDED = (tables.NEWCOMER, tables.SERVICE)  # published as bands that begin where they began on the training day


@dataclass(frozen=True)
class Champions:
    """The models that score a day: the segments, and one estimator per target that could be trained.

    Each with the version it is and the metadata it was registered with.
    """

    segments: tuple[Version, Any, dict[str, Any]]
    targets: dict[str, tuple[Version, Any, dict[str, Any]]]

    @property
    def versions(self) -> dict[str, str]:
        """Registered model name -> version."""
        chosen = [self.segments[0], *(version for version, _, _ in self.targets.values())]
        return {version.model: version.version for version in chosen}

    def on(self, day: dt.date) -> "Champions":
        """The models with what a day's season adds. What is published as bands has none: a band changes for what the
        customer does."""
        targets = {
            model: (version, estimator if tables.TARGETS[model] in _BANDED else estimator.on(day), metadata)
            for model, (version, estimator, metadata) in self.targets.items()
        }
        return replace(self, targets=targets)

    @property
    def columns(self) -> list[str]:
        """The features that the targets' models take, each once."""
        return list(dict.fromkeys(name for _, _, metadata in self.targets.values() for name in metadata["columns"]))


@dataclass(frozen=True)
class ValueLimits:
    """Spend in 365 days from which a buyer counts as of high or medium value, in the shop's currency."""

    high: float
    medium: float


def load_champions(registry: Registry, day: dt.date, lake: str, now: dt.datetime) -> Champions:
    """Resolves every model once for the day and loads it, from the lake's copy where there is one.

    While MLflow is down the versions are those that it named last; see `model_cache`.

    :param now: when it was asked, for who reads the answer later.
    """
    versions = model_cache.resolved(lambda: resolve(registry, day), lake, day, now)
    return champions(versions, lambda version: model_cache.load(registry, version, lake))


def resolve(registry: Registry, day: dt.date) -> dict[str, Version]:
    """The version of every model that scores a day.

    A target may be missing only if the training that made the segments says why it was skipped.
    """
    versions = {tables.SEGMENTS_MODEL: registry.resolve(tables.SEGMENTS_MODEL, day)}
    skipped = json.loads(versions[tables.SEGMENTS_MODEL].tags.get("skipped_targets", "{}"))
    for model in tables.TARGETS:
        try:
            versions[model] = registry.resolve(model, day)
        except NoModelError:
            if model not in skipped:
                raise
    return versions


def champions(versions: Mapping[str, Version], load: Callable[[Version], tuple[Any, dict[str, Any]]]) -> Champions:
    """The models of some versions, the segments by the names that the file of names has for them.

    :param load: gives the estimator of a version and its metadata.
    :raises naming.NamesError: that file cannot be right.
    """
    loaded = {model: (version, *load(version)) for model, version in versions.items()}
    version, estimator, metadata = loaded.pop(tables.SEGMENTS_MODEL)
    return Champions((version, estimator, _renamed(metadata)), loaded)


def _renamed(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The segments' metadata with what a marketer calls them."""
    every = [metadata["prospects"], *metadata["segments"]]
    names = naming.edited({each["segment_id"]: each["segment_name"] for each in every})
    prospects, *segments = [{**each, "segment_name": names[each["segment_id"]]} for each in every]
    return {**metadata, "segments": segments, "prospects": prospects}


def value_limits(read: Callable[[], Iterable[pa.RecordBatch]], config: settings.Score) -> ValueLimits:
    """The limits of the value tiers among the buyers; infinite where there is no buyer.

    :param read: reads batches with columns `orders_count` and `spend_365d`, one row per customer, from the beginning;
        it is called more than once, so that none of them is kept.
    """

    def spent() -> Iterator[np.ndarray]:
        for rows in read():
            buyers = rows["spend_365d"].filter(pc.greater(rows["orders_count"], 0))
            yield buyers.drop_null().cast(pa.float64()).to_numpy()

    share = 1 - config.high_value_share
    limits = streamed_quantiles.quantiles(spent, [share, share - config.medium_value_share])
    return ValueLimits(*limits) if limits else ValueLimits(np.inf, np.inf)


def score_batch(
    features: pd.DataFrame,
    day: dt.date,
    scored_at: dt.datetime,
    champions: Champions,
    limits: ValueLimits,
    config: settings.Score,
    *,
    has_reasons: bool = True,
) -> pa.RecordBatch:
    """Scores some customers: features in, rows of `tables.SEGMENT_COLUMNS` out, in the same order.

    :param has_reasons: False leaves the reasons null, for whoever does not read them.
    """
    rows, champions = len(features), champions.on(day)
    stage = lifecycle_stage(features, config)
    who = {
        "everyone": np.ones(rows, bool),
        "buyers": (features["orders_count"] > 0).to_numpy(),
        "newcomers": np.isin(stage, ["prospect", "new"]),
    }
    inputs = preparation.coded_inputs(features, champions.columns)
    inputs_of = {name: inputs if mine.all() else inputs.loc[mine] for name, mine in who.items()}
    decide = _deciding(champions, who) if has_reasons else {}
    scores, told = {}, []
    for model in champions.targets:
        name = tables.TARGETS[model].who
        scores[model], encoded = _predicted(model, champions, inputs_of[name], who[name])
        if model in decide:
            mine, wanted = who[name], decide[model]
            told.append(_reasons(model, champions, inputs_of[name], encoded, mine, wanted, config.reasons_language))
    columns: dict[str, Any] = {
        "customer_id": features["customer_id"],
        "as_of_date": pa.repeat(pa.scalar(day), rows),
        "lifecycle_stage": stage,
        "value_tier": value_tier(features, limits),
        "model_versions": pa.repeat(pa.scalar(json.dumps(champions.versions, sort_keys=True)), rows),
        "scored_at": pa.repeat(pa.scalar(scored_at, tables.SEGMENT_COLUMNS.field("scored_at").type), rows),
        "reasons": _put_together(told, rows),
        **tastes.of_customers(features, config),
    }
    columns["segment_id"], columns["segment_name"] = _segments(features, who["buyers"], *champions.segments[1:])
    for model, score in scores.items():
        bands = champions.targets[model][2].get("bands")
        columns |= _published(tables.TARGETS[model], score, bands, config)
    if tables.SPEND.model not in champions.targets and _FALLBACK in features:  # compare reads what models take only
        columns |= _published(
            tables.SPEND, features[_FALLBACK].to_numpy(dtype="float64", na_value=np.nan), None, config
        )
    arrays = [
        pa.array(columns[field.name], field.type, from_pandas=True)
        if field.name in columns
        else pa.nulls(rows, field.type)
        for field in tables.SEGMENT_COLUMNS
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=tables.SEGMENT_COLUMNS)


def lifecycle_stage(features: pd.DataFrame, config: settings.Score) -> np.ndarray:
    """prospect (no order), new (first order lately), active, lapsing, lapsed (by the age of the last order, days)."""
    last, first = features["last_order_age_days"], features["first_order_age_days"]
    rules = [
        features["orders_count"] == 0,
        first <= config.new_days,
        last <= config.active_days,
        last <= config.lapsing_days,
    ]
    return np.select(rules, ["prospect", "new", "active", "lapsing"], "lapsed")


def value_tier(features: pd.DataFrame, limits: ValueLimits) -> np.ndarray:
    """high, medium or low by spend in 365 days; who spent nothing is low."""
    spend = features["spend_365d"]
    rules = [(spend >= limits.high) & (spend > 0), (spend >= limits.medium) & (spend > 0)]
    return np.select(rules, ["high", "medium"], "low")


def churn_risk(probability: np.ndarray, config: settings.Score) -> np.ndarray:
    """high, medium or low by the probability of no order in 90 days; None where there is none."""
    return band(probability, ("high", config.high_churn_probability), ("medium", config.medium_churn_probability))


def band(probability: np.ndarray, high: tuple[str, float], middle: tuple[str, float], rest: str = "low") -> np.ndarray:
    """The band that a probability is in, by name; None where there is no probability.

    :param high: the name of the highest band and the probability that it begins at.
    :param middle: the same of the one below.
    :param rest: the name of the lowest.
    """
    rules = [np.isnan(probability), probability >= high[1], probability >= middle[1]]
    return np.select(rules, [None, high[0], middle[0]], rest)


def banded(target: tables.Target, probability: np.ndarray, bands: Mapping[str, float]) -> np.ndarray:
    """The band of a target that is published as bands, by name; None where there is no probability.

    :param bands: where a band begins; see `classify.bands`.
    """
    middle = ("general", bands["low"]) if target is tables.NEWCOMER else ("medium", bands["medium"])
    return band(probability, ("high", bands["high"]), middle)


def _published(
    target: tables.Target, score: np.ndarray, bands: Mapping[str, float] | None, config: settings.Score
) -> dict[str, Any]:
    """What CRMs read of a score: columns by name.

    :param score: shape (n,), NaN for whom it does not apply to.
    :param bands: where a band begins, from the model's metadata.
    """
    if target in _BANDED:
        return {target.score: banded(target, score, bands or {})}
    if target.is_amount:
        kind = tables.SEGMENT_COLUMNS.field(target.score).type
        money = pa.array(np.clip(score, 0, _MOST_MONEY), from_pandas=True)
        return {target.score: pc.round(money, kind.scale).cast(kind)}
    published = {target.score: score}
    if target is tables.CHURN:
        published["churn_risk"] = churn_risk(score, config)
    return published


def _predicted(model: str, champions: Champions, inputs: pd.DataFrame, mine: np.ndarray) -> tuple[np.ndarray, Encoded]:
    """(the prediction for each row of the batch, NaN for whom it does not apply to; what it was made from).

    :param inputs: of those to whom it applies.
    :param mine: who they are among the batch's rows, shape (n,).
    """
    target, (_, estimator, metadata) = tables.TARGETS[model], champions.targets[model]
    score = np.full(len(mine), np.nan)
    if not mine.any():
        return score, []
    own = inputs[metadata["columns"]]
    encoded = estimator.encoded(own)
    score[mine] = estimator.predict(own, encoded) if target.is_amount else estimator.predict_proba(own, encoded)[:, 1]
    return score, encoded


def _deciding(champions: Champions, who: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The rows whose strategy a model's score decides, by model: shape (n,) each.

    Churn for who has bought, potential for newcomers; the chance to buy where that could not be trained.
    """
    wanted = {tables.NEWCOMER.model: who["newcomers"], tables.CHURN.model: ~who["newcomers"]}
    found: dict[str, np.ndarray] = {}
    for model, rows in wanted.items():
        chosen = model if model in champions.targets else tables.PURCHASE.model
        if chosen in champions.targets and rows.any():
            found[chosen] = found.get(chosen, False) | rows
    return found


def _reasons(
    model: str,
    champions: Champions,
    inputs: pd.DataFrame,
    encoded: Encoded,
    mine: np.ndarray,
    rows: np.ndarray,
    language: reasons.Language,
) -> tuple[np.ndarray, pa.Array | None]:
    """(places of the rows in the batch, the reasons of each); None where it is not known what the features add to the
    model.

    :param inputs: and
    :param encoded: of those to whom the model applies, see `_predicted`.
    :param rows: whose reasons are wanted, of these; shape (n,) like `mine`.
    """
    _, estimator, metadata = champions.targets[model]
    own, wanted = inputs[metadata["columns"]], rows[mine]
    if not wanted.all():
        own, places = own.loc[wanted], np.flatnonzero(wanted)
        encoded = [matrix if matrix is None else matrix.T.take(places, axis=1).T for matrix in encoded]
    try:
        found = explain.contributions(estimator, own, encoded)
        return np.flatnonzero(rows), reasons.tell(found, own, model, language)
    except explain.NotExplainedError as error:
        log.warning("no reasons for the scores of %s: %s", model, error)
        return np.flatnonzero(rows), None


def _put_together(told: list[tuple[np.ndarray, pa.Array | None]], rows: int) -> pa.Array:
    """Reasons of parts of a batch in the order of its rows; null where there are none."""
    known = [(places, texts) for places, texts in told if texts is not None]
    kind = tables.SEGMENT_COLUMNS.field("reasons").type
    place, first = np.full(rows, -1), 0
    for places, texts in known:
        place[places] = np.arange(first, first + len(texts))
        first += len(texts)
    every = pa.concat_arrays([pa.nulls(0, kind), *(texts for _, texts in known)])
    return every.take(pa.array(place, mask=place < 0))


def _segments(features: pd.DataFrame, is_buyer: np.ndarray, pipeline, metadata: dict) -> tuple[np.ndarray, np.ndarray]:
    """(segment_id, segment_name), each of shape (n,)."""
    prospects = metadata["prospects"]
    ids = np.full(len(features), prospects["segment_id"], dtype="int32")
    names = np.full(len(features), prospects["segment_name"], dtype=object)
    if is_buyer.any():
        clusters = pipeline.predict(features.loc[is_buyer, metadata["columns"]].astype("float64"))
        by_cluster = sorted(metadata["segments"], key=lambda segment: segment["cluster"])
        ids[is_buyer] = np.array([segment["segment_id"] for segment in by_cluster])[clusters]
        names[is_buyer] = np.array([segment["segment_name"] for segment in by_cluster], dtype=object)[clusters]
    return ids, names
