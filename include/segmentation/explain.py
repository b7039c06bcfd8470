"""
What each feature adds to a prediction: contributions that sum to the calibrated logit, or to the amount.

By kind of model, each as Shapley values where that is affordable:

- linear: coefficient x (value - mean), the interventional Shapley values (Lundberg and Lee 2017, "A Unified Approach to
  Interpreting Model Predictions", NeurIPS 30), from the means that the encoder took of the training examples;
- XGBoost and LightGBM: exact TreeSHAP (Lundberg et al. 2020, "From Local Explanations to Global Understanding with
  Explainable AI for Trees", Nature Machine Intelligence 2), by `tree_shap`, unless the trees are too deep for it, as
  1,000 of depth 6 are;
- deeper ones, and the trees of scikit-learn: along the path from root to leaf, how each split moves the mean (Saabas
  2014, "Interpreting Random Forests"). That is cheap but another thing: of 200 trees of depth 6 it names the same three
  columns as the exact values for no more than half of the rows, so scikit-learn's trees win no probability alone
  (`Candidate.has_reasons`).

What adds up to a logarithm or a share is brought to the scale of the ensemble by the slope between the mean prediction
and this one (the rescale rule of Shrikumar, Greenside and Kundaje 2017, "Learning Important Features Through
Propagating Activation Differences", ICML), so it still sums to it. Members count by their weight, columns that were
made from one feature count together.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from lightgbm import LGBMModel
from scipy import sparse
from scipy.special import logit
from sklearn.base import BaseEstimator, is_classifier
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, TweedieRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from xgboost import DMatrix, XGBModel

from segmentation import tree_shap
from segmentation.baselines import KnownAmount, LimitedAmount
from segmentation.ensembles import AmountEnsemble, Encoded, ProbabilityEnsemble

LOGIT, LOG, SHARE, AMOUNT = "logit", "log", "share", "amount"  # what the contributions to a member add up to
_LOG_LINKS = ("reg:tweedie", "reg:gamma", "count:poisson", "tweedie", "gamma", "poisson")
_LEAST_SHARE = 1e-6  # as the ensemble has it


class NotExplainedError(TypeError):
    """A member of an ensemble is of a kind whose contributions are not known here."""


@dataclass(frozen=True)
class Contributions:
    """What each feature adds for each row: `base + values.sum(axis=1)` is the ensemble's logit, or its amount.

    :param columns: names of the features, in the order of the ensemble's members.
    :param values: shape (n, features); those of a feature lie beside each other in memory.
    """

    columns: tuple[str, ...]
    base: float
    values: np.ndarray


def contributions(
    ensemble: ProbabilityEnsemble | AmountEnsemble,
    inputs: pd.DataFrame,
    encoded: Encoded | None = None,
    *,
    by_library: bool = False,
) -> Contributions:
    """The contributions of every feature that a member uses.

    :param inputs: as `preparation.inputs` makes them, shape (n, features).
    :param encoded: what the ensemble's `encoded` has made of them, if it has been called.
    :param by_library: boosted trees by the exact TreeSHAP of XGBoost and LightGBM themselves, however long it takes: to
        check the others by.
    :raises NotExplainedError: a member is none of the kinds above, or there is no exact way for it where that is asked.
    """
    is_amount = isinstance(ensemble, AmountEnsemble)
    parts = []
    matrices = ensemble.encoded(inputs) if encoded is None else encoded
    for (_, member), weight, matrix in zip(ensemble.members_, ensemble.weights_, matrices, strict=True):
        if not weight:
            continue
        encoder = member.named_steps["encode"]
        base, values = _rescaled(
            *_of_estimator(member[-1], matrix, getattr(encoder, "means_", None), by_library=by_library),
            AMOUNT if is_amount else LOGIT,
        )
        sources = getattr(encoder, "sources_", member.named_steps["select"].columns_)
        parts.append((weight * base, weight, values, sources))
    columns = tuple(dict.fromkeys(source for *_, sources in parts for source in sources))
    places = {column: place for place, column in enumerate(columns)}
    factor = ensemble.factor if is_amount else ensemble.slope
    total = np.zeros((len(columns), len(inputs)))
    for _, weight, values, sources in parts:
        for added, source in zip(values.T, sources, strict=True):
            total[places[source]] += factor * weight * added
    base = factor * sum(base for base, *_ in parts) + (0.0 if is_amount else ensemble.intercept)
    return Contributions(columns, base, total.T)


def _of_estimator(
    estimator: BaseEstimator, matrix: np.ndarray, means: np.ndarray, *, by_library: bool = False
) -> tuple[float, np.ndarray, str]:
    """(base, what each column of the matrix adds, what it adds up to)."""
    match estimator:
        case LogisticRegression() | TweedieRegressor():
            coefficients = estimator.coef_.ravel()
            base = float(np.ravel(estimator.intercept_)[0] + means @ coefficients)
            values = np.empty_like(matrix)
            for column, coefficient in enumerate(coefficients):  # each in the processor's cache
                np.subtract(matrix[:, column], means[column], out=values[:, column])
                values[:, column] *= coefficient
            if isinstance(estimator, LogisticRegression):
                return base, values, LOGIT
            is_log = estimator.link == "log" or (estimator.link == "auto" and estimator.power > 0)
            return base, values, LOG if is_log else AMOUNT
        case XGBModel():
            booster, tables = estimator.get_booster(), None if by_library else tree_shap.tables_of(estimator)
            rows = DMatrix(matrix[:1] if tables else matrix)
            found = booster.predict(rows, pred_contribs=True, approx_contribs=not (tables or by_library))
            values = tables.contributions(matrix) if tables else found[:, :-1]
            return float(found[0, -1]), values, _boosted(estimator, estimator.objective)
        case LGBMModel():
            if by_library:
                found = estimator.predict(matrix, pred_contrib=True)
                return float(found[0, -1]), found[:, :-1], _boosted(estimator, estimator.objective_)
            if tables := tree_shap.tables_of(estimator):
                base = float(estimator.predict(matrix[:1], pred_contrib=True)[0, -1])
                return base, tables.contributions(matrix), _boosted(estimator, estimator.objective_)
            base, paths = _paths_of_lightgbm(estimator)
            leaves = estimator.predict(matrix, pred_leaf=True).reshape(len(matrix), -1)
            return base, _along_paths(leaves, paths), _boosted(estimator, estimator.objective_)
        case RandomForestClassifier() | RandomForestRegressor() | DecisionTreeClassifier() | DecisionTreeRegressor():
            if by_library:
                raise NotExplainedError(f"scikit-learn has no exact contributions of a {type(estimator).__name__}")
            is_forest = hasattr(estimator, "estimators_")
            base, paths = _paths_of_trees(estimator)
            found = _along_paths(estimator.apply(matrix).reshape(len(matrix), -1), paths)
            trees = len(estimator.estimators_) if is_forest else 1
            return base / trees, found / trees, SHARE if is_classifier(estimator) else AMOUNT
        case LimitedAmount():
            base, values = _rescaled(*_of_estimator(estimator.regressor_, matrix, means, by_library=by_library), AMOUNT)
            return estimator.unit_ * base, estimator.unit_ * values, AMOUNT
        case KnownAmount():
            return estimator.unknown_, (estimator.predict(matrix) - estimator.unknown_)[:, None], AMOUNT
    raise NotExplainedError(f"it is not known what the columns add to a {type(estimator).__name__}")


def _boosted(estimator: BaseEstimator, objective: str) -> str:
    return LOGIT if is_classifier(estimator) else LOG if objective in _LOG_LINKS else AMOUNT


def _rescaled(base: float, values: np.ndarray, scale: str, wanted: str) -> tuple[float, np.ndarray]:
    """Contributions to a logarithm or a share as contributions to an amount or a logit."""
    if scale == wanted:
        return base, values
    total = base + values.sum(axis=1, dtype="float64")
    ends = [np.exp(each) if scale == LOG else _logit(each) for each in (total, np.array([base]))]
    away = total - base
    is_apart = np.abs(away) > 1e-9
    slope = np.divide(ends[0] - ends[1], away, out=np.zeros_like(away), where=is_apart)
    return float(ends[1][0]), values * slope[:, None]


def _logit(share: np.ndarray) -> np.ndarray:
    return logit(np.clip(share, _LEAST_SHARE, 1 - _LEAST_SHARE))


@dataclass(frozen=True)
class _Paths:
    """What the path to each leaf of each tree adds: row `offsets[tree] + leaf` of `added`, (leaves, columns)."""

    offsets: np.ndarray
    added: sparse.csr_matrix


def _along_paths(leaves: np.ndarray, paths: _Paths) -> np.ndarray:
    """Shape (n, columns), summed over the trees.

    :param leaves: the leaf that a row is in, shape (n, trees).
    """
    rows, trees = leaves.shape
    places = (leaves + paths.offsets).astype("int64").ravel()
    reached = sparse.csr_matrix(
        (np.ones(rows * trees), places, np.arange(0, rows * trees + 1, trees)), (rows, paths.added.shape[0])
    )
    return (reached @ paths.added).toarray()


@lru_cache(maxsize=16)
def _paths_of_trees(estimator: Any) -> tuple[float, _Paths]:
    """The sum of the means at the roots of scikit-learn's trees, and what the paths add to it."""
    bases, parts, offsets = 0.0, [], [0]
    for each in getattr(estimator, "estimators_", [estimator]):
        tree = each.tree_
        means = tree.value[:, 0, -1] / (tree.value[:, 0].sum(axis=1) if is_classifier(estimator) else 1)
        parent = np.full(tree.node_count, -1)
        for child in (tree.children_left, tree.children_right):
            parent[child[child >= 0]] = np.flatnonzero(child >= 0)
        leaves = np.arange(tree.node_count)
        parts.append(_added(leaves, parent, tree.feature, means, estimator.n_features_in_))
        bases += float(means[0])
        offsets.append(offsets[-1] + tree.node_count)
    return bases, _Paths(np.array(offsets[:-1]), sparse.vstack(parts, format="csr"))


@lru_cache(maxsize=16)
def _paths_of_lightgbm(estimator: LGBMModel) -> tuple[float, _Paths]:
    bases, parts, offsets = 0.0, [], [0]
    for each in estimator.booster_.dump_model()["tree_info"]:
        means, features, parent, leaves = [], [], [], {}
        waiting = [(each["tree_structure"], -1)]
        while waiting:
            node, above = waiting.pop()
            parent.append(above)
            features.append(node.get("split_feature", -1))
            means.append(node.get("internal_value", node.get("leaf_value")))
            if "split_feature" in node:
                waiting += [(node[side], len(means) - 1) for side in ("left_child", "right_child")]
            else:
                leaves[node.get("leaf_index", 0)] = len(means) - 1
        at = np.array([leaves[leaf] for leaf in range(len(leaves))])
        parts.append(_added(at, np.array(parent), np.array(features), np.array(means), estimator.n_features_in_))
        bases += means[0]
        offsets.append(offsets[-1] + len(at))
    return bases, _Paths(np.array(offsets[:-1]), sparse.vstack(parts, format="csr"))


def _added(
    leaves: np.ndarray, parent: np.ndarray, features: np.ndarray, means: np.ndarray, columns: int
) -> sparse.csr_matrix:
    """What each step down to a node adds to the column that the step is decided by, shape (leaves, columns)."""
    rows, at, added = [], [], []
    places, nodes = np.arange(len(leaves)), leaves
    while len(nodes):
        below = parent[nodes] >= 0
        places, nodes = places[below], nodes[below]
        rows.append(places)
        at.append(features[parent[nodes]])
        added.append(means[nodes] - means[parent[nodes]])
        nodes = parent[nodes]
    entries = (np.concatenate(added), (np.concatenate(rows), np.concatenate(at)))
    return sparse.coo_matrix(entries, (len(leaves), columns)).tocsr()
