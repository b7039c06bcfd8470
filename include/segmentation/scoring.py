"""
How a batch of features becomes scores: the models of a day, and one function from features to published columns.

Used for the daily scores, and before a promotion for what it would change.
"""

import datetime as dt
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from segmentation import settings, tables
from segmentation.registry import NoModelError, Registry, Version


@dataclass(frozen=True)
class Champions:
    """The models that score a day: the segments, and one classifier per target that could be trained."""

    segments: tuple[Version, Any, dict[str, Any]]
    classifiers: dict[str, tuple[Version, Any, dict[str, Any]]]

    @property
    def versions(self) -> dict[str, str]:
        """Registered model name -> version."""
        chosen = [self.segments[0], *(version for version, _, _ in self.classifiers.values())]
        return {version.model: version.version for version in chosen}


@dataclass(frozen=True)
class ValueLimits:
    """Spend in 365 days from which a buyer counts as of high or medium value, in the shop's currency."""

    high: float
    medium: float


def load_champions(registry: Registry, day: dt.date) -> Champions:
    """Resolves every model once for the day and loads it.

    A classifier may be missing only if the training that made the segments says why it was skipped.
    """
    segments = registry.resolve(tables.SEGMENTS_MODEL, day)
    skipped = json.loads(segments.tags.get("skipped_targets", "{}"))
    classifiers = {}
    for model in tables.TARGETS:
        try:
            version = registry.resolve(model, day)
        except NoModelError:
            if model in skipped:
                continue
            raise
        classifiers[model] = (version, *registry.load(version))
    return Champions((segments, *registry.load(segments)), classifiers)


def value_limits(spend: pa.Table, config: settings.Score) -> ValueLimits:
    """The limits of the value tiers among the buyers; infinite where there is no buyer.

    :param spend: columns `orders_count` and `spend_365d`, one row per customer.
    """
    frame = spend.to_pandas()
    buyers = frame.loc[frame["orders_count"] > 0, "spend_365d"]
    if buyers.empty:
        return ValueLimits(np.inf, np.inf)
    share = 1 - config.high_value_share
    high, medium = buyers.quantile([share, share - config.medium_value_share])
    return ValueLimits(float(high), float(medium))


def score_batch(
    features: pd.DataFrame,
    day: dt.date,
    scored_at: dt.datetime,
    champions: Champions,
    limits: ValueLimits,
    config: settings.Score,
) -> pa.RecordBatch:
    """Scores some customers: features in, rows of `tables.SEGMENT_COLUMNS` out, in the same order."""
    is_buyer = (features["orders_count"] > 0).to_numpy()
    columns: dict[str, Any] = {
        "customer_id": features["customer_id"],
        "as_of_date": [day] * len(features),
        "lifecycle_stage": lifecycle_stage(features, config),
        "value_tier": value_tier(features, limits),
        "model_versions": [json.dumps(champions.versions, sort_keys=True)] * len(features),
        "scored_at": [scored_at] * len(features),
    }
    columns["segment_id"], columns["segment_name"] = _segments(features, is_buyer, *champions.segments[1:])
    for model, (_, classifier, metadata) in champions.classifiers.items():
        inputs = features[metadata["columns"]].astype("float64")
        probability = classifier.predict_proba(inputs)[:, 1]
        applies = is_buyer if model == tables.CHURN.model else np.ones(len(features), bool)
        columns[tables.TARGETS[model].score] = np.where(applies, probability, np.nan)
    if tables.CHURN.score in columns:
        columns["churn_risk"] = churn_risk(columns[tables.CHURN.score], config)
    arrays = [
        pa.array(columns[field.name], field.type, from_pandas=True)
        if field.name in columns
        else pa.nulls(len(features), field.type)
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
    rules = [
        np.isnan(probability),
        probability >= config.high_churn_probability,
        probability >= config.medium_churn_probability,
    ]
    return np.select(rules, [None, "high", "medium"], "low")


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
