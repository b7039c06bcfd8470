"""
How well segments tell customers apart: `python -m local.bench.segments --customers 5000`, or `--data FILE`.

On a simulated shop, whose truth is known, or on a real data set, in an embedded Postgres: the clustering that training
would choose, fitted at the newest cutoff whose outcome is known, beside K-Means (5) on recency, frequency and spend,
standardised as they are or power-transformed first, and the named RFM grid of eleven segments. On the same customers:
the share of the variance of log spend in the next 90 days that lies between the segments, how well they recover the
latent types (adjusted Rand), and how well the rules that training would write agree with them, at which depth. Then how
many customers move: with another seed, and a week later with the champion known.
"""

from __future__ import annotations

import argparse
import datetime as dt
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer, StandardScaler

console = Console(width=110, highlight=False)
SEEDS = (1, 2, 3)
# By fifths of recency and of frequency with spend, 5 the best: name -> (recency from, to), (the other from, to)
GRID = {
    "champions": ((5, 5), (4, 5)),
    "loyal": ((3, 4), (4, 5)),
    "potential loyalists": ((4, 5), (2, 3)),
    "new": ((5, 5), (1, 1)),
    "promising": ((4, 4), (1, 1)),
    "need attention": ((3, 3), (3, 3)),
    "about to sleep": ((3, 3), (1, 2)),
    "at risk": ((1, 2), (3, 4)),
    "cannot lose them": ((1, 2), (5, 5)),
    "hibernating": ((2, 2), (1, 2)),
    "lost": ((1, 1), (1, 2)),
}


def rfm_grid(rows: pd.DataFrame) -> np.ndarray:
    """The place in GRID of each customer, shape (n,)."""

    def fifth(values: pd.Series) -> np.ndarray:
        return np.ceil(5 * values.rank(pct=True)).astype(int).to_numpy()

    recency = 6 - fifth(rows["last_order_age_days"])
    other = np.ceil((fifth(rows["orders_count"]) + fifth(rows["spend_total"])) / 2).astype(int)
    found = np.full(len(rows), -1)
    for place, ((first, last), (low, high)) in enumerate(GRID.values()):
        found[(recency >= first) & (recency <= last) & (other >= low) & (other <= high)] = place
    return found


def main(customers: int, days: int, data: str | None) -> None:
    from local.postgres import Postgres

    with tempfile.TemporaryDirectory() as here:
        server = Postgres(Path(here) / "postgres", durable=False)
        server.start()
        try:
            _bench(server.url(), Path(here), customers, days, data)
        finally:
            server.stop()


def _bench(dsn: str, here: Path, customers: int, days: int, data: str | None) -> None:
    from segmentation import buyers, settings
    from segmentation.cluster_contest import Contest, Incumbent

    stores = settings.Stores(warehouse=dsn, marketing=dsn, lake=str(here / "lake"), registry="")
    first, second = _shops(dsn, stores, customers, days, data)
    config = settings.load().cluster
    past = buyers.past(first, stores, config.least_past)
    begun = time.perf_counter()
    found = {}
    for seed in SEEDS:
        contest = Contest.of(buyers.newest(first, stores), past, config, seed)
        best = contest.choose(list(contest.candidates(contest.trials(), None)))
        found[seed] = contest.settled(best)
    seconds = (time.perf_counter() - begun) / len(SEEDS)
    _compare(past, found[SEEDS[0]].recipe, _types(dsn, first, past.day, stores), config)
    incumbent = Incumbent(found[SEEDS[0]].pipeline, found[SEEDS[0]].recipe)
    later = Contest.of(buyers.newest(second, stores), buyers.past(second, stores, config.least_past), config, SEEDS[-1])
    next_ = later.settled(later.choose(list(later.candidates(later.trials(), incumbent))))
    rows = buyers.newest(first, stores)
    labels = {seed: each.pipeline.predict(rows) for seed, each in found.items()}
    seeds = max(moved(labels[SEEDS[0]], labels[seed]) for seed in SEEDS[1:])
    week = moved(incumbent.pipeline.predict(later.buyers), next_.pipeline.predict(later.buyers))
    console.print(f"chosen: {found[SEEDS[0]].recipe}, in {seconds:.1f} s; a week later: {next_.recipe} ({next_.name})")
    console.print(f"moved: {seeds:.1%} at most with another seed, {week:.1%} in a week")


def moved(left: np.ndarray, right: np.ndarray) -> float:
    """The share of customers who are not in the cluster that is matched to theirs."""
    from segmentation import lineage

    shared = lineage.overlaps(left, right, left.max() + 1, range(right.max() + 1))
    matched = dict(zip(*linear_sum_assignment(-shared), strict=True))
    return float(np.mean([matched.get(a) != b for a, b in zip(left, right, strict=True)]))


def _compare(past, recipe, types: np.ndarray | None, config) -> None:
    from segmentation import cluster_score, clusterings, segment_rules

    rows, spend = past.features, past.log_spend
    raw, power = (
        make_pipeline(scaler, KMeans(5, n_init=10, random_state=1)).fit(rows)
        for scaler in (StandardScaler(), PowerTransformer())
    )
    ours = clusterings.fit(recipe, rows.iloc[: config.sample_rows], 1, inits=config.inits)
    labels = {
        f"ours: {recipe}": ours.predict(rows),
        "K-Means (5), raw standardised": raw.predict(rows),
        "K-Means (5), power-transformed": power.predict(rows),
        "named RFM grid (11)": rfm_grid(rows),
    }
    table = Table(
        title=f"{len(rows):,} buyers of {past.day}, {np.mean(spend > 0):.0%} of them bought within the horizon"
    )
    headings = ("segments", "variance of log spend between", "adjusted Rand, latent types", "smallest", "largest")
    for heading in (*headings, "rules agree", "at depth"):
        table.add_column(heading, justify="left" if heading == "segments" else "right")
    for name, each in labels.items():
        shares = np.unique(each, return_counts=True)[1] / len(each)
        rand = "" if types is None else f"{adjusted_rand_score(types, each):.3f}"
        eta = f"{cluster_score.eta_squared(spend, each):.3f}"
        rules = segment_rules.find(rows, each, config.sample_rows, config.rules_depth, config.rules_agreement)
        figures = (f"{shares.min():.1%}", f"{shares.max():.1%}", f"{rules.agreement:.1%}", f"{rules.depth}")
        table.add_row(name, eta, rand, *figures)
    console.print(table)


def _shops(dsn: str, stores, customers: int, days: int, data: str | None) -> tuple[dt.date, dt.date]:
    """Two days a week apart, with their training examples."""
    from local import load
    from local.simulator import practice_shop
    from local.simulator.settings import LAST_DAY, Settings
    from segmentation import warehouse

    if data:
        last = load.load(data, dsn).day
        days_of = (last - dt.timedelta(days=7), last)
        for day in days_of:
            _known(stores, day)
        return days_of
    last = LAST_DAY + dt.timedelta(days=1)
    with warehouse.connect(dsn) as connection:
        load.apply_contract(connection)
        shop = Settings.until(LAST_DAY, days, customers=customers)
        practice_shop.create(connection, shop, days - 7, _silent)
    _known(stores, last - dt.timedelta(days=7))
    practice_shop.grow(dsn, 7, _silent)
    _known(stores, last)
    return last - dt.timedelta(days=7), last


def _known(stores, day: dt.date) -> None:
    from segmentation import aggregates, extract, features, tables, validate

    for name in tables.ENTITIES:
        extract.extract_entity(name, day, stores)
    validate.accept_raw(day, stores)
    aggregates.build_aggregates(day, stores)
    features.build_training_examples(day, stores)


def _types(dsn: str, day: dt.date, cutoff: dt.date, stores) -> np.ndarray | None:
    """The latent type of each of the past buyers, in their order; None in a shop whose truth is not known."""
    from segmentation import buyers, warehouse

    with warehouse.connect(dsn) as connection:
        if warehouse.fetch(connection, "select to_regclass('truth.customers')")[0][0] is None:
            return None
        types = dict(warehouse.fetch(connection, "select customer_id, latent_type from truth.customers"))
    return np.array([types.get(each, "deleted") for each in buyers.ids(day, cutoff, stores)])


def _silent(text: str, done: int, total: int) -> None:
    """Nobody watches."""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=5_000)
    parser.add_argument("--days", type=int, default=546)
    parser.add_argument("--data", help="a data set's file instead of a simulated shop")
    options = parser.parse_args()
    main(options.customers, options.days, options.data)
