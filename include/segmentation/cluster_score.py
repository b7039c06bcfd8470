"""
What a clustering is worth: a weighted mean of five numbers from 0 to 1, declared in `settings.Cluster.weights`.

- separation: how well the segments tell apart what customers do next. The share of the variance of log1p spend in the
  far horizon that lies between them (eta squared), with clusters that were fitted at the cutoff before it; over what a
  regression tree attains from the same columns by cross-validation, so that it means the same in any shop.
- stability: the mean adjusted Rand index (Hubert and Arabie 1985) between the clusters and those of refits on halves
  of the rows, over the same customers.
- silhouette (Rousseeuw 1987), 0 where negative. Alone it prefers one giant and some dust.
- evenness: the entropy of the shares over that of equal ones (Pielou 1966).
- simplicity: how many customers a shallow decision tree puts into their cluster, of those that it has not learnt from.

What is not known is left out, and the other weights count the more.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import entropy
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from segmentation import clusterings

PARTS = ("separation", "stability", "silhouette", "evenness", "simplicity")
_LEAVES = (4, 8, 16, 32)
_LEAST_ATTAINABLE = 0.01
_LEAST_LEAF = 0.005  # of the rows: rules about fewer customers are none


@dataclass(frozen=True)
class Measures:
    """The numbers of one clustering; NaN where not measured.

    :param separation: eta squared as it is, not yet over what is attainable.
    :param resamples: the adjusted Rand index of each refit.
    """

    clusters: int
    smallest_share: float
    largest_share: float
    separation: float
    silhouette: float
    evenness: float
    simplicity: float
    resamples: tuple[float, ...] = ()

    @property
    def stability(self) -> float:
        return float(np.mean(self.resamples)) if self.resamples else np.nan

    def parts(self, attainable: float) -> dict[str, float]:
        """The parts of the score, each 0..1, as far as they are known.

        :param attainable: see `attainable_separation`; NaN: nothing is.
        """
        found = {
            "separation": min(self.separation / attainable, 1),
            "stability": max(self.stability, 0),
            "silhouette": max(self.silhouette, 0),
            "evenness": self.evenness,
            "simplicity": self.simplicity,
        }
        return {name: float(value) for name, value in found.items() if np.isfinite(value)}

    def score(self, weights: Mapping[str, float], attainable: float) -> float:
        """The weighted mean of the parts, 0..1."""
        parts = self.parts(attainable)
        total = sum(weights.get(name, 0) for name in parts)
        return sum(weights.get(name, 0) * value for name, value in parts.items()) / total if total else 0.0


def measure(
    pipeline: Pipeline, rows: pd.DataFrame, few: int, depth: int, separation: float = np.nan, resamples=()
) -> Measures:
    """All that can be told from the clusters of some customers.

    :param rows: the shares are of all of them, the rest is measured on the first `few`.
    :param depth: of the tree that is to tell the clusters apart.
    """
    labels = pipeline.predict(rows)
    shares = np.bincount(labels, minlength=clusterings.count(pipeline)) / len(labels)
    first = labels[:few]
    silhouette = -1.0
    if 1 < len(set(first)) < len(first):
        silhouette = float(silhouette_score(pipeline[:-1].transform(rows.iloc[:few]), first))
    return Measures(
        clusters=len(shares),
        smallest_share=float(shares.min()),
        largest_share=float(shares.max()),
        separation=separation,
        silhouette=silhouette,
        evenness=float(entropy(shares) / np.log(len(shares))) if len(shares) > 1 else 0.0,
        simplicity=simplicity(rows.iloc[:few], first, depth),
        resamples=tuple(resamples),
    )


def eta_squared(values: np.ndarray, labels: np.ndarray) -> float:
    """The share of the variance of values that lies between groups, 0..1.

    >>> eta_squared(np.array([1.0, 1.0, 3.0, 3.0]), np.array([0, 0, 1, 1]))
    1.0
    """
    total = float(((values - values.mean()) ** 2).sum())
    groups = pd.Series(values).groupby(labels)
    between = float((groups.size() * (groups.mean() - values.mean()) ** 2).sum())
    return between / total if total > 0 else np.nan


def attainable_separation(features: pd.DataFrame, values: np.ndarray) -> float:
    """What the best of some regression trees tells of customers that it has not seen (R squared).

    NaN where that is next to nothing, and separation is no measure.
    """
    spread = float(((values - values.mean()) ** 2).sum())
    if not spread > 0:
        return np.nan
    trees = [DecisionTreeRegressor(max_leaf_nodes=leaves, min_samples_leaf=_LEAST_LEAF) for leaves in _LEAVES]
    foreseen = (cross_val_predict(tree.set_params(random_state=0), features, values, cv=KFold(5)) for tree in trees)
    found = max(1 - float(((values - each) ** 2).sum()) / spread for each in foreseen)
    return found if found >= _LEAST_ATTAINABLE else np.nan


def simplicity(rows: pd.DataFrame, labels: np.ndarray, depth: int) -> float:
    """The share of every other row that a tree learnt from the rest puts where it belongs."""
    if len(rows) < 2:
        return np.nan
    tree = DecisionTreeClassifier(max_depth=depth, min_samples_leaf=_LEAST_LEAF, random_state=0)
    tree.fit(rows.iloc[::2], labels[::2])
    return float(np.mean(tree.predict(rows.iloc[1::2]) == labels[1::2]))


def stability(
    pipeline: Pipeline, rows: pd.DataFrame, refit: Callable[[np.ndarray, int], Pipeline], resamples: int
) -> list[float]:
    """The adjusted Rand index between clusters and those of refits, over all rows.

    :param refit: fits the same recipe to the rows at some places, with a seed.
    """
    labels = pipeline.predict(rows)
    found = []
    for number in range(resamples):
        order = np.random.default_rng(number).permutation(len(rows))
        half = np.sort(order[: max(len(rows) // 2, 2)])
        found.append(float(adjusted_rand_score(labels, refit(half, number).predict(rows))))
    return found
