"""
cluster: `feat.training_examples` -> model `customer_segments`: who belongs together, and what each group is called.

Recency, frequency and monetary value are clustered by six algorithms (`clusterings`), compared by a declared score
(`cluster_score`, `cluster_contest`); the new segments are matched to those in use (`lineage`), named (`naming`) and
described (`segment_rules`, `segment_pages`). Customers without an order are no matter of distance: they are segment 0.
"""

import datetime as dt
import logging
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from segmentation import buyers, cluster_report, lineage, naming, segment_pages, segment_rules, settings, tables
from segmentation.buyers import COLUMNS, Past
from segmentation.cluster_contest import Candidate, Contest, Incumbent
from segmentation.clusterings import Recipe
from segmentation.lineage import Champion, Lineage
from segmentation.model_artifact import UntrustedModelError
from segmentation.naming import Name
from segmentation.registry import NoModelError, Registry
from segmentation.settings import Stores

log = logging.getLogger(__name__)

PROSPECTS = {"segment_id": 0, "segment_name": naming.PROSPECTS.en, "segment_name_zh": naming.PROSPECTS.zh}


def train_segments(day: dt.date, stores: Stores) -> dict[str, Any]:
    """Fits, matches, names and registers the segments of one training day, not yet promoted.

    :returns: `model`, `version` and `metrics`: what the promotion gate looks at, and the parts of the score.
    :raises cluster_contest.NoSegmentationError: names the shares that every candidate would have had.
    :raises naming.NamesError: the file of names cannot be right.
    """
    begun = time.monotonic()
    config, seed = settings.load().cluster, settings.load().training.seed
    naming.read()
    rows, past = buyers.newest(day, stores), buyers.past(day, stores, config.least_past)
    registry = Registry(stores.registry, stores.marketing)
    in_use = _in_use(registry, day)
    with registry.training(tables.SEGMENTS_MODEL, day) as run:
        run.params({"columns": ", ".join(COLUMNS), "buyers": len(rows), "seed": seed, **config.model_dump()})
        run.params(_told(past, in_use))
        run.dataset(rows, tables.TRAINING_EXAMPLES)
        contest = Contest.of(rows, past if isinstance(past, Past) else None, config, seed)
        trials = contest.trials()
        candidates = list(contest.candidates(trials, in_use and in_use.incumbent))
        cluster_report.tried(run, contest, trials, candidates)
        chosen = contest.settled(contest.choose(candidates))
        labels = chosen.pipeline.predict(rows)
        kin = _matched(rows, labels, in_use, config.min_overlap, day)
        segments, profile = describe(rows, labels, kin, in_use and in_use.champion)
        rules = segment_rules.find(rows, labels, config.sample_rows, config.rules_depth, config.rules_agreement)
        numbers = {**cluster_report.numbers(chosen.measures, chosen.score), "agreement_of_rules": rules.agreement}
        if in_use:
            numbers["moved_share"] = float(np.mean(np.array(kin.ids)[labels] != in_use.segments_of(rows)))
        run.params({"chosen": chosen.name, "recipe": f"{chosen.recipe}"})
        cluster_report.chosen(run, contest, trials, candidates, chosen, segments, profile)
        next_ = past if isinstance(past, str) else _happened_next(past, chosen, kin)
        run.text(segment_pages.page(segment_pages.shown(segments), rules, profile, next_), "segments.md")
        run.text(kin.table(), "lineage.csv")
        sample = rows.head(100)
        version = run.register(
            tables.SEGMENTS_MODEL,
            chosen.pipeline,
            sample,
            chosen.pipeline.predict(sample),
            {
                "columns": list(COLUMNS),
                "segments": segments,
                "prospects": PROSPECTS,
                "recipe": chosen.recipe.as_dict(),
                "lineage": kin.metadata(),
            },
        )
        run.metrics({**numbers, "training_seconds": time.monotonic() - begun})
    return {"model": tables.SEGMENTS_MODEL, "version": version, "metrics": numbers}


def describe(
    rows: pd.DataFrame, labels: np.ndarray, kin: Lineage, champion: Champion | None = None
) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """Names and profile of the segments, in order of their ids.

    :param rows: one per buyer, columns `COLUMNS`.
    :param labels: the cluster of each buyer, 0..k-1.
    :returns: per segment `cluster`, `segment_id`, `segment_name`, `segment_name_zh`, `customers`, `share` and the
        medians; and the mean percentile ranks, one row per segment id.
    """
    ids = np.array(kin.ids)[labels]
    ranks = rows.rank(pct=True).groupby(ids).mean()
    medians = rows.groupby(ids).median()
    sizes = pd.Series(ids).value_counts()
    names = _names(ranks, medians["orders_count"], kin, champion)
    segments = [
        {
            "cluster": kin.ids.index(segment),
            "segment_id": int(segment),
            "segment_name": names[segment].en,
            "segment_name_zh": names[segment].zh,
            "customers": int(sizes[segment]),
            "share": float(sizes[segment] / len(labels)),
            **{f"{column}_median": float(medians.loc[segment, column]) for column in COLUMNS},
        }
        for segment in ranks.index
    ]
    return segments, ranks


@dataclass(frozen=True)
class _InUse:
    """The champion's model, and what new segments are matched to."""

    incumbent: Incumbent
    champion: Champion
    columns: list[str]
    ids: np.ndarray

    def segments_of(self, rows: pd.DataFrame) -> np.ndarray:
        """The segment id of each buyer by the champion, shape (n,)."""
        return self.ids[self.incumbent.pipeline.predict(rows[self.columns])]


def _in_use(registry: Registry, day: dt.date) -> _InUse | None:
    """The champion of the day; None where there is none yet, where it knows other features, or may not be read.

    A champion of a later training day may have given out more ids: they are not used again either.
    """
    try:
        version = registry.resolve(tables.SEGMENTS_MODEL, day)
    except NoModelError:
        return None
    try:
        pipeline, metadata = registry.load(version)
    except UntrustedModelError as error:  # so that a training can mend it; whether that is promoted, a human is asked
        log.warning("the segments begin anew: %s", error)
        return None
    if not set(metadata["columns"]) <= set(COLUMNS):
        log.warning("the champion %s knows features that segments are not made of any more", version.version)
        return None
    latest = registry.resolve(tables.SEGMENTS_MODEL, dt.date.max)
    later = registry.load(latest)[1] if latest.version != version.version else {}
    next_id = later.get("lineage", {}).get("next_id", 1)
    recipe = Recipe.of(metadata["recipe"]) if "recipe" in metadata else None
    by_cluster = sorted(metadata["segments"], key=lambda segment: segment["cluster"])
    return _InUse(
        Incumbent(pipeline, recipe),
        Champion.of(version.version, metadata, next_id),
        metadata["columns"],
        np.array([segment["segment_id"] for segment in by_cluster]),
    )


def _told(past: Past | str, in_use: _InUse | None) -> dict[str, Any]:
    """What the run is measured by and goes on from, as parameters."""
    return {
        "outcomes_after": past if isinstance(past, str) else f"{past.day}, {len(past.features)} buyers",
        "champion": in_use.champion.version if in_use else "none",
    }


def _happened_next(past: Past, chosen: Candidate, kin: Lineage) -> pd.DataFrame:
    return segment_pages.happened_next(past, np.array(kin.ids)[chosen.pipeline.predict(past.features)])


def _matched(rows: pd.DataFrame, labels: np.ndarray, in_use: _InUse | None, least: float, day: dt.date) -> Lineage:
    """Clusters in order of mean spend get their ids."""
    order = [int(each) for each in rows["spend_total"].groupby(labels).mean().sort_values(ascending=False).index]
    if in_use is None:
        return lineage.first(order)
    return lineage.continued(order, labels, in_use.segments_of(rows), in_use.champion, least, day)


def _names(ranks: pd.DataFrame, median_orders: pd.Series, kin: Lineage, champion: Champion | None) -> dict[int, Name]:
    """Segment id -> name: those that go on keep theirs, and no new one takes a name that another has or had."""
    fresh = naming.name_segments(ranks, median_orders)
    if champion is None:
        return fresh
    kept = {segment: Name(*champion.names[segment]) for segment in kin.kept}
    named = {segment: Name(name.en, name.zh or fresh[segment].zh) for segment, name in kept.items()}
    taken = {text for name in (*named.values(), *naming.read().values()) for text in name if text}
    taken |= {each["segment_name"] for each in kin.retired}
    for segment in [segment for segment in ranks.index if segment not in named]:
        named[segment] = naming.apart_from(fresh[segment], taken)
        taken |= set(named[segment])
    return named
