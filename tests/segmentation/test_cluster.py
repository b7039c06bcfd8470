"""Segments: within their limits, chosen by the score, registered with all that was tried, and prospects apart."""

import dataclasses
import datetime as dt

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.pipeline import make_pipeline

from segmentation import buyers, cluster, cluster_contest, features, lineage, settings
from segmentation.cluster_contest import Contest
from segmentation.registry import Registry
from tests import frames

DAY = frames.DAY
CONFIG = settings.Cluster()
PICTURES = ["map.png", "number_of_segments.png", "profiles.png", "sizes.png", "stability.png"]


def four_kinds(per_kind=100):
    """Buyers of four kinds that nobody would confuse."""
    rng = np.random.default_rng(1)
    kinds = [(5, 30, 3000), (10, 1, 20), (300, 1, 20), (250, 25, 2500)]
    rows = [rng.poisson(kind, (per_kind, 3)) + np.array([0, 1, 1]) for kind in kinds]
    return pd.DataFrame(np.concatenate(rows), columns=list(buyers.COLUMNS)).astype("float64")


def chosen(rows, config=CONFIG):
    contest = Contest.of(rows, None, config, seed=1)
    return contest.choose(list(contest.candidates(contest.trials(), None)))


def test_four_kinds_become_four_segments():
    rows = four_kinds()
    best = chosen(rows)
    assert best.measures.clusters == 4
    assert (best.measures.smallest_share, best.measures.largest_share) == (0.25, 0.25)
    labels = best.pipeline.predict(rows)
    assert all(len(set(labels[start : start + 100])) == 1 for start in range(0, 400, 100))
    order = rows["spend_total"].groupby(labels).mean().sort_values(ascending=False).index
    segments, profile = cluster.describe(rows, labels, lineage.first([int(each) for each in order]))
    assert [s["segment_id"] for s in segments] == [1, 2, 3, 4] == list(profile.index)
    assert segments[0]["segment_name"] == "recent_loyal_big_spenders"
    assert segments[0]["segment_name_zh"] == "近期·高频·高消费客户"
    assert sum(s["share"] for s in segments) == pytest.approx(1)


def test_no_segment_is_dust_or_nearly_everybody():
    """Many alike and three giants: the best silhouette puts the giants alone, the limits forbid it."""
    rng = np.random.default_rng(2)
    rows = pd.DataFrame(rng.gamma(2, 10, (500, 3)), columns=list(buyers.COLUMNS))
    rows.iloc[:3] = 1e6
    measures = chosen(rows).measures
    assert measures.smallest_share >= CONFIG.min_share
    assert measures.largest_share <= CONFIG.max_share


def test_customers_who_are_all_alike_have_no_segments():
    rows = pd.DataFrame(np.ones((50, 3)), columns=list(buyers.COLUMNS))
    with pytest.raises(cluster_contest.NoSegmentationError, match="too few distinct buyers"):
        chosen(rows)


def test_limits_that_nothing_meets_are_told_with_the_shares():
    strict = settings.Cluster(min_share=0.45, max_share=0.46)
    with pytest.raises(
        cluster_contest.NoSegmentationError, match=r"between 45% and 46% of buyers \(kmeans, 4 segments: 25.0%"
    ):
        chosen(four_kinds(), strict)


def test_the_seed_of_a_training_counts_where_it_fits_better():
    contest = Contest.of(four_kinds(), None, CONFIG, seed=5)
    good = next(c for c in contest.candidates(contest.trials(), None) if c.name == "kmeans")
    assert contest.settled(good) is good
    scaler, _ = good.pipeline
    points = scaler.transform(contest.buyers)
    stuck = KMeans(4, init=points[:4], n_init=1, max_iter=1, random_state=0).fit(points)
    poor = dataclasses.replace(good, pipeline=make_pipeline(scaler, stuck))
    assert contest.settled(poor).pipeline[-1].inertia_ < 0.99 * stuck.inertia_


@pytest.fixture
def shop(stores):
    """120 customers, a third without an order, and their training examples."""
    customers = [{"customer_id": f"c{n:03}", "signed_up_at": dt.date(2025, 6, 1)} for n in range(120)]
    orders = [
        {"order_id": f"o{n:03}-{k}", "customer_id": f"c{n:03}", "total_amount": 5 + n,
         "ordered_at": dt.date(2025, 6, 2) + dt.timedelta(days=(7 * n + 31 * k) % 200)}
        for n in range(80)
        for k in range(1 + n % 5)
    ]  # fmt: skip
    frames.write_raw(stores, customers=customers, orders=orders)
    features.build_training_examples(DAY, stores)
    return stores


def test_training_registers_a_version_and_the_same_segments_every_time(shop):
    first = cluster.train_segments(DAY, shop)
    second = cluster.train_segments(DAY, shop)
    assert (first["version"], second["version"]) == ("1", "2")
    assert first["metrics"] == second["metrics"]
    assert first["metrics"].keys() >= {"segments", "silhouette", "smallest_share", "largest_share", "stability"}
    assert first["metrics"]["agreement_of_rules"] >= CONFIG.rules_agreement
    registry = Registry(shop.registry, shop.marketing)
    versions = [registry.version("customer_segments", v) for v in ("1", "2")]
    assert {version.training_day for version in versions} == {DAY}
    (model, metadata), (_, again) = (registry.load(version) for version in versions)
    assert metadata == again
    assert sum(segment["customers"] for segment in metadata["segments"]) == 80
    assert metadata["prospects"] == {"segment_id": 0, "segment_name": "prospects", "segment_name_zh": "潜在客户"}
    assert model.predict(four_kinds(5)[metadata["columns"]]).shape == (20,)
    assert registry.pictures(versions[0]) == sorted([*PICTURES, "candidates.png"])


def test_each_candidate_is_a_nested_run_with_its_numbers_and_pictures(shop):
    trained = cluster.train_segments(DAY, shop)
    client = mlflow.MlflowClient(shop.registry)
    run = client.get_run(
        Registry(shop.registry, shop.marketing).version("customer_segments", trained["version"]).run_id
    )
    tag = f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"
    children = {child.info.run_name: child for child in client.search_runs([run.info.experiment_id], tag)}
    assert children.keys() == {"kmeans", "minibatch_kmeans", "gaussian_mixture", "ward", "dbscan", "hdbscan"}
    for child in children.values():
        wanted = {"score", "stability", "silhouette", "smallest_share", "largest_share", "simplicity"}
        assert child.data.metrics.keys() >= wanted
        assert child.data.params.keys() >= {"algorithm", "scaler", "parameter"}
        assert sorted(f.path.split("/")[-1] for f in client.list_artifacts(child.info.run_id, "pictures")) == PICTURES
    texts = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert texts >= {"segments.md", "lineage.csv", "candidates.csv", "pictures.md"}


def test_a_short_history_is_said_and_its_outcomes_left_out(stores):
    customers = [{"customer_id": f"c{n:03}", "signed_up_at": dt.date(2025, 12, 1)} for n in range(60)]
    orders = [
        {"order_id": f"o{n}-{k}", "customer_id": f"c{n:03}", "total_amount": 5 + n * (1 + n % 3),
         "ordered_at": dt.date(2025, 12, 5) + dt.timedelta(days=(5 * n + 11 * k) % 55)}
        for n in range(60) for k in range(1 + n % 5)
    ]  # fmt: skip
    frames.write_raw(stores, customers=customers, orders=orders)
    features.build_training_examples(DAY, stores)
    trained = cluster.train_segments(DAY, stores)
    assert "separation" not in trained["metrics"]
    client = mlflow.MlflowClient(stores.registry)
    run = client.get_run(Registry(stores.registry, stores.marketing).version("customer_segments", "1").run_id)
    assert run.data.params["outcomes_after"] == "no past cutoff has a known outcome: the history is too short"
    page = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/segments.md")
    assert "What customers did next is not told: no past cutoff" in page
