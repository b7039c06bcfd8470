"""The parts of the score, against what they are by hand, and what the score prefers."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from segmentation import cluster_score, clusterings, settings
from segmentation.cluster_contest import CHAMPION, Candidate, Contest
from segmentation.cluster_score import Measures
from segmentation.clusterings import Recipe

WEIGHTS = settings.Cluster().weights
PLAIN = Measures(4, 0.2, 0.3, separation=0.3, silhouette=0.3, evenness=0.9, simplicity=0.9, resamples=(0.8, 0.9))


def test_eta_squared_by_hand():
    values, labels = np.array([1.0, 3, 5, 7]), np.array([0, 0, 1, 1])
    assert cluster_score.eta_squared(values, labels) == pytest.approx(16 / 20)
    assert cluster_score.eta_squared(values, np.zeros(4, int)) == 0
    assert np.isnan(cluster_score.eta_squared(np.ones(4), labels))


def test_attainable_separation_is_what_the_columns_tell():
    rng = np.random.default_rng(0)
    features = pd.DataFrame({"a": rng.uniform(size=2_000), "b": rng.uniform(size=2_000)})
    signal = (features["a"] > 0.5) * 2.0
    assert cluster_score.attainable_separation(features, (signal + rng.normal(size=2_000)).to_numpy()) == pytest.approx(
        0.5, abs=0.05
    )
    assert np.isnan(cluster_score.attainable_separation(features, rng.normal(size=2_000)))
    assert np.isnan(cluster_score.attainable_separation(features, np.ones(2_000)))


def test_the_score_is_the_weighted_mean_of_its_parts():
    parts = PLAIN.parts(0.4)
    assert parts == pytest.approx(
        {"separation": 0.75, "stability": 0.85, "silhouette": 0.3, "evenness": 0.9, "simplicity": 0.9}
    )
    expected = sum(WEIGHTS[name] * value for name, value in parts.items()) / sum(WEIGHTS.values())
    assert PLAIN.score(WEIGHTS, 0.4) == pytest.approx(expected)
    assert PLAIN.score({"evenness": 2.0}, 0.4) == pytest.approx(0.9)


def test_what_is_not_known_is_left_out():
    assert "separation" not in PLAIN.parts(np.nan)
    assert "separation" not in dataclasses.replace(PLAIN, separation=np.nan).parts(0.4)
    assert "stability" not in dataclasses.replace(PLAIN, resamples=()).parts(0.4)


def test_one_giant_and_some_dust_lose_although_their_silhouette_is_best():
    giant = dataclasses.replace(PLAIN, separation=0.1, silhouette=0.95, evenness=0.1, simplicity=1.0)
    assert giant.silhouette > PLAIN.silhouette
    assert giant.score(WEIGHTS, 0.4) < PLAIN.score(WEIGHTS, 0.4)


def test_stability_and_simplicity_tell_plain_groups_from_none():
    rng = np.random.default_rng(1)
    plain = pd.DataFrame(rng.normal(np.repeat([0, 10, 20], 200)[:, None], 1, (600, 2)), columns=["a", "b"])
    plain = plain.sample(frac=1, random_state=0).reset_index(drop=True)
    none = pd.DataFrame(rng.uniform(size=(600, 2)), columns=["a", "b"])
    found = {}
    for name, rows in (("plain", plain), ("none", none)):
        k = 3 if name == "plain" else 7
        pipeline = clusterings.fit(Recipe("kmeans", "standard", k), rows, seed=1)
        resamples = cluster_score.stability(
            pipeline,
            rows,
            lambda half, seed, rows=rows, k=k: clusterings.fit(Recipe("kmeans", "standard", k), rows.iloc[half], seed),
            4,
        )
        found[name] = cluster_score.measure(pipeline, rows, 600, depth=4, resamples=resamples)
    assert found["plain"].stability > 0.99 > found["none"].stability
    assert found["plain"].simplicity > 0.99
    assert found["plain"].silhouette > found["none"].silhouette
    assert found["plain"].evenness == pytest.approx(1)


def candidate(name, score, clusters=4, is_admissible=True):
    measures = dataclasses.replace(PLAIN, clusters=clusters)
    return Candidate(name, Recipe("kmeans", "power", clusters), None, measures, score, is_admissible)


@pytest.mark.parametrize(
    ("candidates", "chosen"),
    [
        ([candidate("kmeans", 0.80), candidate("ward", 0.84)], "kmeans"),
        ([candidate("kmeans", 0.80), candidate("ward", 0.86)], "ward"),
        ([candidate("kmeans", 0.84), candidate(CHAMPION, 0.80)], CHAMPION),
        ([candidate("kmeans", 0.86), candidate(CHAMPION, 0.80)], "kmeans"),
        ([candidate("kmeans", 0.90, is_admissible=False), candidate("ward", 0.5)], "ward"),
        ([candidate("kmeans", 0.90, clusters=3), candidate("ward", 0.5)], "ward"),
        ([candidate("kmeans", 0.90, clusters=3)], "kmeans"),
    ],
)
def test_the_first_of_the_nearly_best_is_chosen(candidates, chosen):
    contest = Contest(pd.DataFrame(), None, np.nan, settings.Cluster(keep_margin=0.05), seed=1)
    assert contest.choose(candidates).name == chosen


def test_weights_that_cannot_be_right_are_refused():
    with pytest.raises(ValueError, match="not all 0"):
        settings.Cluster(weights={"separation": 0})
    with pytest.raises(ValueError, match="silhouet"):
        settings.Cluster(weights={"silhouet": 1})
