"""Every algorithm and scaler: fitted, extended to everyone, begun from given clusters, and stored safely."""

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.metrics import adjusted_rand_score

from segmentation import clusterings
from segmentation.clusterings import Recipe, SampledClusters
from segmentation.model_artifact import TRUSTED_TYPES


def blobs(per_blob=400, seed=0):
    """Three far apart, in columns of different size, and the blob of each row."""
    rng = np.random.default_rng(seed)
    centres = np.array([[10.0, 50, 100], [20, 10, 900], [30, 90, 500]])
    truth = np.tile(np.arange(3), per_blob)
    rows = centres[truth] + rng.normal(0, [0.5, 2, 20], (3 * per_blob, 3))
    return pd.DataFrame(rows, columns=["a", "b", "c"]), truth


def parameter(algorithm):
    return {"dbscan": 0.9, "hdbscan": 0.1}.get(algorithm, 3)


@pytest.mark.parametrize("scaler", clusterings.SCALERS)
@pytest.mark.parametrize("algorithm", clusterings.ALGORITHMS)
def test_every_algorithm_finds_what_is_plain_and_is_read_back_the_same(algorithm, scaler):
    rows, truth = blobs()
    pipeline = clusterings.fit(Recipe(algorithm, scaler, parameter(algorithm)), rows, seed=1)
    labels = pipeline.predict(rows)
    assert clusterings.count(pipeline) == 3
    assert adjusted_rand_score(truth, labels) > 0.98
    again = skops.io.loads(skops.io.dumps(pipeline), trusted=TRUSTED_TYPES)
    assert np.array_equal(again.predict(rows), labels)


@pytest.mark.parametrize("algorithm", clusterings.SAMPLED)
def test_what_does_not_scale_sees_some_rows_and_places_everyone(algorithm):
    rows, truth = blobs()
    pipeline = clusterings.fit(Recipe(algorithm, "standard", parameter(algorithm)), rows, seed=1, sampled_rows=300)
    assert len(pipeline[-1].landmarks_) <= 300
    assert adjusted_rand_score(truth, pipeline.predict(rows)) > 0.98


def test_ward_places_by_the_nearest_centroid():
    points = np.array([[0.0], [1], [2], [10], [11], [12]])
    found = SampledClusters("ward", 2).fit(points)
    assert sorted(found.landmarks_.ravel()) == [1, 11]
    near, far = found.predict(np.array([[5.9], [6.1]]))
    assert near == found.predict(points)[0]
    assert far == found.predict(points)[-1]


@pytest.mark.parametrize("algorithm", clusterings.BY_DENSITY)
def test_noise_goes_where_the_nearest_landmark_is(algorithm):
    rng = np.random.default_rng(3)
    points = np.concatenate([rng.normal(0, 0.1, (200, 2)), rng.normal(5, 0.1, (200, 2)), [[1.5, 1.5]], [[9.0, 9]]])
    found = SampledClusters(algorithm, {"dbscan": 0.98, "hdbscan": 0.1}[algorithm]).fit(points)
    labels = found.predict(points)
    assert found.noise_share_ > 0
    assert set(labels) == {0, 1}
    assert labels[-2] == labels[0]
    assert labels[-1] == labels[200]


@pytest.mark.parametrize("algorithm", clusterings.CONTINUED)
def test_a_fit_that_begins_from_clusters_keeps_their_numbers(algorithm):
    rows, truth = blobs()
    start = np.array([2, 0, 1])[truth]
    found = clusterings.fit(Recipe(algorithm, "power", 3), rows, seed=5, start=start)
    assert np.mean(found.predict(rows) == start) > 0.99


def test_the_grid_has_every_algorithm_with_every_scaler():
    recipes = list(clusterings.grid(range(4, 9)))
    assert {(r.algorithm, r.scaler) for r in recipes} == {
        (algorithm, scaler) for algorithm in clusterings.ALGORITHMS for scaler in clusterings.SCALERS
    }
    assert len(recipes) == len(set(recipes)) == 4 * 3 * 5 + 2 * 3 * 3
