"""
The clusterings that are tried: an algorithm, a scaler, and a number of clusters or a density that the data give.

K-Means (Lloyd 1982) and its mini-batch form (Sculley 2010), Gaussian mixtures, Ward's hierarchy (Ward 1963), DBSCAN
(Ester et al. 1996) and HDBSCAN (Campello et al. 2013). The last three do not scale: they see some rows, and everyone
else belongs to the nearest of what they found; see `SampledClusters`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial import KDTree
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.cluster import DBSCAN, HDBSCAN, AgglomerativeClustering, KMeans, MiniBatchKMeans
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, PowerTransformer, StandardScaler

SCALERS = {"standard": StandardScaler, "min_max": MinMaxScaler, "power": PowerTransformer}
# In this order of preference where two are as good; those of SAMPLED are fitted on a few thousand rows
BY_NUMBER = ("kmeans", "minibatch_kmeans", "gaussian_mixture", "ward")
BY_DENSITY = ("dbscan", "hdbscan")
ALGORITHMS = (*BY_NUMBER, *BY_DENSITY)
SAMPLED = ("ward", *BY_DENSITY)
# What goes on from clusters that there are and comes to rest near them
CONTINUED = ("kmeans", "gaussian_mixture")
_INIT_ROWS = 5_000
_REACHES = (0.5, 0.7, 0.9)  # quantiles of the distance to the last of so many neighbours
_CLUSTER_SHARES = (0.02, 0.05, 0.10)


@dataclass(frozen=True)
class Recipe:
    """How clusters are made.

    :param parameter: the number of clusters; for DBSCAN the quantile of the distances to a neighbour that is its
        radius, for HDBSCAN the least share of the rows that is a cluster.
    """

    algorithm: str
    scaler: str
    parameter: float

    def __str__(self) -> str:
        return f"{self.algorithm} {self.scaler} {self.parameter:g}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Recipe":
        return cls(values["algorithm"], values["scaler"], values["parameter"])


class SampledClusters(ClusterMixin, BaseEstimator):
    """Ward, DBSCAN or HDBSCAN on some rows, extended to everyone: each row belongs where its nearest landmark does.

    Landmarks are the centroids of Ward's clusters, the core points of DBSCAN's, and those members of HDBSCAN's that
    belong there with a probability of a half or more. What the algorithm calls noise gets no cluster of its own: like
    everyone else it goes to the nearest landmark.

    :param parameter: see `Recipe`.
    :param rows: so many of the first rows are seen; they are to come in an order that says nothing.
    """

    def __init__(self, algorithm: str = "ward", parameter: float = 4, rows: int = 3_000) -> None:
        self.algorithm = algorithm
        self.parameter = parameter
        self.rows = rows

    def fit(self, X: np.ndarray, y=None):  # noqa: N803 - scikit-learn's names
        points = np.asarray(X, dtype="float64")[: self.rows]
        self.n_features_in_ = points.shape[1]
        labels, is_landmark = _LABELLED[self.algorithm](points, self.parameter)
        self.noise_share_ = float(np.mean(labels < 0))
        _, self.landmark_labels_ = np.unique(labels[is_landmark], return_inverse=True)
        self.landmarks_ = points[is_landmark]
        if self.algorithm == "ward":
            self.landmarks_ = centroids(self.landmarks_, self.landmark_labels_)
            self.landmark_labels_ = np.arange(len(self.landmarks_))
        if not len(self.landmarks_):
            self.landmarks_, self.landmark_labels_ = points[:1], np.zeros(1, dtype="int64")
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:  # noqa: N803
        """The cluster of each row, shape (n,), from 0."""
        return self.landmark_labels_[KDTree(self.landmarks_).query(np.asarray(X, dtype="float64"))[1]]


def grid(ks: range) -> Iterator[Recipe]:
    """All that is tried for numbers of clusters."""
    for algorithm in ALGORITHMS:
        parameters = {"dbscan": _REACHES, "hdbscan": _CLUSTER_SHARES}.get(algorithm, ks)
        for scaler in SCALERS:
            yield from (Recipe(algorithm, scaler, parameter) for parameter in parameters)


def fit(
    recipe: Recipe,
    sample: pd.DataFrame,
    seed: int,
    *,
    inits: int = 10,
    sampled_rows: int = 3_000,
    start: np.ndarray | None = None,
) -> Pipeline:
    """The fitted pipeline of scaler and clusters; `predict` gives cluster numbers from 0.

    :param inits: of K-Means, on some thousand rows; the best goes on with all of them. The others need fewer.
    :param start: for those of CONTINUED the clusters to begin from: the cluster of each row of the sample, shape (n,).
    """
    scaler = SCALERS[recipe.scaler]()
    points = scaler.fit_transform(sample)
    clusters = _estimator(recipe, seed, inits, sampled_rows)
    if start is None and recipe.algorithm == "kmeans":
        few = clusters.fit(points[:_INIT_ROWS])
        clusters = _estimator(recipe, seed, 1, sampled_rows).set_params(init=few.cluster_centers_)
    if start is not None and recipe.algorithm in CONTINUED:
        clusters.set_params(**_beginning(recipe, points, start))
    return make_pipeline(scaler, clusters.fit(points))


def count(pipeline: Pipeline) -> int:
    """How many clusters a fitted pipeline has."""
    clusters = pipeline[-1]
    if isinstance(clusters, SampledClusters):
        return int(clusters.landmark_labels_.max()) + 1
    return clusters.n_components if isinstance(clusters, GaussianMixture) else clusters.n_clusters


def centroids(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The mean of each cluster's points, shape (k, d); clusters are numbered 0 to k - 1 and none is empty."""
    return np.array([points[labels == label].mean(axis=0) for label in range(labels.max() + 1)])


def _estimator(recipe: Recipe, seed: int, inits: int, sampled_rows: int) -> BaseEstimator:
    match recipe.algorithm:
        case "kmeans":
            return KMeans(int(recipe.parameter), n_init=inits, tol=1e-7, max_iter=1_000, random_state=seed)
        case "minibatch_kmeans":
            return MiniBatchKMeans(int(recipe.parameter), n_init=inits, batch_size=4_096, random_state=seed)
        case "gaussian_mixture":
            few = max(inits // 5, 1)
            return GaussianMixture(
                int(recipe.parameter), n_init=few, tol=1e-4, max_iter=300, reg_covar=1e-4, random_state=seed
            )
    return SampledClusters(recipe.algorithm, recipe.parameter, sampled_rows)


def _beginning(recipe: Recipe, points: np.ndarray, start: np.ndarray) -> dict[str, Any]:
    """The parameters that make an algorithm begin from given clusters."""
    centres = centroids(points, start)
    if recipe.algorithm != "gaussian_mixture":
        return {"init": centres, "n_init": 1}
    spreads = [np.cov(points[start == each], rowvar=False) + 1e-4 * np.eye(points.shape[1]) for each in set(start)]
    shares = np.bincount(start) / len(start)
    return {"means_init": centres, "weights_init": shares, "precisions_init": np.linalg.inv(spreads), "n_init": 1}


def _ward(points: np.ndarray, parameter: float) -> tuple[np.ndarray, np.ndarray]:
    """(the cluster of each row, whether it is a landmark); so do the next two, where -1 is noise."""
    labels = AgglomerativeClustering(int(parameter), linkage="ward").fit_predict(points)
    return labels, np.ones(len(points), bool)


def _dbscan(points: np.ndarray, parameter: float) -> tuple[np.ndarray, np.ndarray]:
    neighbours = min(max(2 * points.shape[1], len(points) // 100), len(points) - 1)
    furthest = NearestNeighbors(n_neighbors=neighbours).fit(points).kneighbors()[0][:, -1]
    radius = max(float(np.quantile(furthest, parameter)), np.finfo(float).eps)
    found = DBSCAN(eps=radius, min_samples=neighbours).fit(points)
    is_core = np.zeros(len(points), bool)
    is_core[found.core_sample_indices_] = True
    return found.labels_, is_core


def _hdbscan(points: np.ndarray, parameter: float) -> tuple[np.ndarray, np.ndarray]:
    least = min(max(int(parameter * len(points)), 5), len(points) - 1)
    found = HDBSCAN(min_cluster_size=least, min_samples=min(10, least), copy=True).fit(points)
    return found.labels_, (found.labels_ >= 0) & (found.probabilities_ >= 0.5)


_LABELLED = {"ward": _ward, "dbscan": _dbscan, "hdbscan": _hdbscan}
