"""
cluster: `feat.training_examples` -> model `customer_segments`: who belongs together, and what each group is called.

K-Means (Lloyd 1982; MacQueen 1967) on recency, frequency and monetary value after a power transform (Yeo and Johnson
2000), which keeps a few very large customers from taking every centre. Customers without an order are no matter of
distance: they are segment 0, `prospects`.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PowerTransformer

from segmentation import lake, naming, pictures, settings, tables
from segmentation.errors import FinalError
from segmentation.registry import Registry
from segmentation.settings import Stores

COLUMNS = ("last_order_age_days", "orders_count", "spend_total")
PROSPECTS = {"segment_id": 0, "segment_name": "prospects"}


class NoSegmentationError(FinalError):
    """No number of segments keeps every segment within its limits."""


@dataclass(frozen=True)
class Candidate:
    """K-Means with one number of segments."""

    k: int
    pipeline: Pipeline
    silhouette: float
    smallest_share: float
    largest_share: float

    def admissible(self, config: settings.Cluster) -> bool:
        return self.smallest_share >= config.min_share and self.largest_share <= config.max_share


def train_segments(day: dt.date, stores: Stores) -> dict[str, Any]:
    """Fits, names and registers the segments of one training day, not yet promoted.

    :returns: `model`, `version` and the numbers that the promotion gate looks at.
    :raises NoSegmentationError: names the shares that every candidate would have had.
    """
    config, seed = settings.load().cluster, settings.load().training.seed
    buyers = _buyers(day, stores)
    with Registry(stores.registry).training(tables.SEGMENTS_MODEL, day) as run:
        run.params({"columns": ", ".join(COLUMNS), "buyers": len(buyers), "seed": seed, **config.model_dump()})
        run.dataset(buyers, tables.TRAINING_EXAMPLES)
        candidates = fit_candidates(buyers, config, seed)
        for candidate in candidates.values():
            run.metrics(
                {
                    "silhouette_by_k": candidate.silhouette,
                    "smallest_share_by_k": candidate.smallest_share,
                    "largest_share_by_k": candidate.largest_share,
                },
                step=candidate.k,
            )
        chosen = choose(candidates, config)
        segments, profile = describe(buyers, chosen.pipeline.predict(buyers))
        numbers = {
            "segments": chosen.k,
            "silhouette": chosen.silhouette,
            "smallest_share": chosen.smallest_share,
            "largest_share": chosen.largest_share,
        }
        run.metrics(numbers)
        shares = [segment["share"] for segment in segments]
        run.picture(pictures.segment_sizes([segment["segment_name"] for segment in segments], shares), "sizes")
        run.picture(pictures.segment_profiles(profile), "profiles")
        silhouettes = {k: candidate.silhouette for k, candidate in candidates.items()}
        admissible = {k: candidate.admissible(config) for k, candidate in candidates.items()}
        run.picture(pictures.k_curve(silhouettes, admissible, chosen.k), "number_of_segments")
        sample = buyers.head(100)
        version = run.register(
            tables.SEGMENTS_MODEL,
            chosen.pipeline,
            sample,
            chosen.pipeline.predict(sample),
            {"columns": list(COLUMNS), "segments": segments, "prospects": PROSPECTS},
        )
    return {"model": tables.SEGMENTS_MODEL, "version": version, "metrics": numbers}


def fit_candidates(buyers: pd.DataFrame, config: settings.Cluster, seed: int) -> dict[int, Candidate]:
    """One fitted candidate per number of segments, 2 to `k_max`, as far as there are distinct customers.

    :param buyers: one row per customer with at least one order; columns `COLUMNS`, floats.
    """
    sample = buyers.sample(min(len(buyers), config.sample_rows), random_state=seed)
    candidates = {}
    for k in range(2, min(config.k_max, len(buyers.drop_duplicates()) - 1) + 1):
        pipeline = make_pipeline(PowerTransformer(), KMeans(k, n_init=10, random_state=seed))
        pipeline.fit(sample)
        labels = pipeline.predict(buyers)
        shares = np.bincount(labels, minlength=k) / len(labels)
        rows = np.random.default_rng(seed).permutation(len(sample))[: config.silhouette_rows]
        points = pipeline[:-1].transform(sample.iloc[rows])
        few = pipeline[-1].predict(points)
        silhouette = float(silhouette_score(points, few)) if 1 < len(set(few)) < len(few) else -1.0
        candidates[k] = Candidate(k, pipeline, silhouette, float(shares.min()), float(shares.max()))
    return candidates


def choose(candidates: dict[int, Candidate], config: settings.Cluster) -> Candidate:
    """The best silhouette among those within the limits, `k_min` segments or more if any such is; else fewer.

    :raises NoSegmentationError: none is within the limits.
    """
    fit = [candidate for candidate in candidates.values() if candidate.admissible(config)]
    fit = [candidate for candidate in fit if candidate.k >= config.k_min] or fit
    if not fit:
        tried = "; ".join(
            f"{c.k} segments: {100 * c.smallest_share:.1f}% to {100 * c.largest_share:.1f}%"
            for c in candidates.values()
        )
        raise NoSegmentationError(
            f"no clustering keeps every segment between {config.min_share:.0%} and {config.max_share:.0%} of buyers "
            f"({tried or 'too few distinct buyers'})"
        )
    return max(fit, key=lambda candidate: (candidate.silhouette, -candidate.k))


def describe(buyers: pd.DataFrame, labels: np.ndarray) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """Ids, names and profile of the clusters, the most valuable first.

    :param labels: the cluster of each buyer, 0..k-1.
    :returns: per segment `cluster`, `segment_id` (from 1), `segment_name`, `customers`, `share` and the medians; and
        the mean percentile ranks, one row per segment name.
    """
    ranks = buyers.rank(pct=True).groupby(labels).mean()
    medians = buyers.groupby(labels).median()
    sizes = pd.Series(labels).value_counts()
    order = buyers.groupby(labels)["spend_total"].mean().sort_values(ascending=False).index
    names = naming.name_segments(ranks.loc[order], medians["orders_count"])
    segments = [
        {
            "cluster": int(cluster),
            "segment_id": position,
            "segment_name": str(names[cluster]),
            "customers": int(sizes[cluster]),
            "share": float(sizes[cluster] / len(labels)),
            **{f"{column}_median": float(medians.loc[cluster, column]) for column in COLUMNS},
        }
        for position, cluster in enumerate(order, start=1)
    ]
    return segments, ranks.loc[order].set_axis([segment["segment_name"] for segment in segments])


def _buyers(day: dt.date, stores: Stores) -> pd.DataFrame:
    """The customers with an order, as of the training day itself."""
    examples = lake.read(stores.lake, tables.TRAINING_EXAMPLES, day, ["as_of_date", *COLUMNS])
    latest = examples.filter(pc.equal(examples["as_of_date"], day)).select(list(COLUMNS))
    frame = latest.to_pandas().astype("float64")
    return frame[frame["orders_count"] > 0].reset_index(drop=True)
