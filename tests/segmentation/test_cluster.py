"""Segments: within their limits, named, the same for the same data, and prospects apart."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from segmentation import cluster, features, settings
from segmentation.registry import Registry
from tests import frames

DAY = frames.DAY
CONFIG = settings.Cluster()


def four_kinds(per_kind=100):
    """Buyers of four kinds that nobody would confuse."""
    rng = np.random.default_rng(1)
    kinds = [(5, 30, 3000), (10, 1, 20), (300, 1, 20), (250, 25, 2500)]
    rows = [rng.poisson(kind, (per_kind, 3)) + np.array([0, 1, 1]) for kind in kinds]
    return pd.DataFrame(np.concatenate(rows), columns=list(cluster.COLUMNS)).astype("float64")


def test_four_kinds_become_four_segments():
    buyers = four_kinds()
    candidates = cluster.fit_candidates(buyers, CONFIG, seed=1)
    chosen = cluster.choose(candidates, CONFIG)
    assert chosen.k == 4
    assert (chosen.smallest_share, chosen.largest_share) == (0.25, 0.25)
    labels = chosen.pipeline.predict(buyers)
    assert all(len(set(labels[start : start + 100])) == 1 for start in range(0, 400, 100))
    segments, profile = cluster.describe(buyers, labels)
    assert [s["segment_id"] for s in segments] == [1, 2, 3, 4]
    assert segments[0]["segment_name"] == "recent_loyal_big_spenders"
    assert {s["segment_name"] for s in segments} == set(profile.index)
    assert sum(s["share"] for s in segments) == pytest.approx(1)


def test_no_segment_is_dust_or_nearly_everybody():
    """Many alike and three giants: the best silhouette puts the giants alone, the limits forbid it."""
    rng = np.random.default_rng(2)
    buyers = pd.DataFrame(rng.gamma(2, 10, (500, 3)), columns=list(cluster.COLUMNS))
    buyers.iloc[:3] = 1e6
    chosen = cluster.choose(cluster.fit_candidates(buyers, CONFIG, seed=1), CONFIG)
    assert chosen.smallest_share >= CONFIG.min_share
    assert chosen.largest_share <= CONFIG.max_share


def test_customers_who_are_all_alike_have_no_segments():
    buyers = pd.DataFrame(np.ones((50, 3)), columns=list(cluster.COLUMNS))
    with pytest.raises(cluster.NoSegmentationError, match="too few distinct buyers"):
        cluster.choose(cluster.fit_candidates(buyers, CONFIG, seed=1), CONFIG)


def test_limits_that_nothing_meets_are_told_with_the_shares():
    strict = settings.Cluster(min_share=0.45, max_share=0.46)
    with pytest.raises(cluster.NoSegmentationError, match=r"between 45% and 46% of buyers \(2 segments: "):
        cluster.choose(cluster.fit_candidates(four_kinds(), strict, seed=1), strict)


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


def test_training_registers_a_version_with_pictures_and_the_same_segments_every_time(shop):
    first = cluster.train_segments(DAY, shop)
    second = cluster.train_segments(DAY, shop)
    assert (first["version"], second["version"]) == ("1", "2")
    assert first["metrics"] == second["metrics"]
    registry = Registry(shop.registry)
    versions = [registry.version("customer_segments", v) for v in ("1", "2")]
    assert {version.training_day for version in versions} == {DAY}
    (model, metadata), (_, again) = (registry.load(version) for version in versions)
    assert metadata == again
    assert sum(segment["customers"] for segment in metadata["segments"]) == 80
    assert metadata["prospects"] == {"segment_id": 0, "segment_name": "prospects"}
    assert model.predict(four_kinds(5)[metadata["columns"]]).shape == (20,)
    assert registry.pictures(versions[0]) == ["number_of_segments.png", "profiles.png", "sizes.png"]
