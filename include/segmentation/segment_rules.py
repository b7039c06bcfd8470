"""
Rules that tell segments apart: a decision tree, as shallow as agreement with the segments allows.

Its limits are rounded to what people say (whole days and orders, three figures of money), and all that is reported is
measured with the rounded ones, on all customers.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.tree import DecisionTreeClassifier

_LEAST_LEAF = 0.005  # of the rows: no rule about fewer


@dataclass(frozen=True)
class Rule:
    """One way into a segment.

    :param limits: feature -> (above this, at most this); infinite where there is no limit.
    :param share: of all customers, how many it takes.
    """

    limits: dict[str, tuple[float, float]]
    share: float


@dataclass(frozen=True)
class Rules:
    """The rules of all segments.

    :param agreement: share of the customers whom they put where they belong.
    :param of: cluster -> its rules, those that take most customers first.
    :param precision: cluster -> of the customers whom its rules take, those who belong there.
    :param recall: cluster -> of those who belong there, the customers whom its rules take.
    """

    depth: int
    agreement: float
    of: dict[int, list[Rule]]
    precision: dict[int, float]
    recall: dict[int, float]


def find(rows: pd.DataFrame, labels: np.ndarray, few: int, deepest: int, least: float) -> Rules:
    """The rules of the shallowest tree that agrees well enough, or of the deepest.

    :param rows: one per customer, the features that the clusters are made from.
    :param labels: the cluster of each, shape (n,).
    :param few: so many of the first rows are learnt from.
    :param deepest: limit of the depth.
    :param least: agreement from which no deeper tree is looked for, 0..1.
    """
    for depth in range(1, deepest + 1):
        tree = DecisionTreeClassifier(max_depth=depth, min_samples_leaf=_LEAST_LEAF, random_state=0)
        tree.fit(rows.iloc[:few], labels[:few])
        _round(tree, rows)
        foreseen = tree.predict(rows)
        agreement = float(np.mean(foreseen == labels))
        if agreement >= least:
            break
    clusters = sorted(set(labels.tolist()))
    right = {each: int(np.sum((foreseen == each) & (labels == each))) for each in clusters}
    return Rules(
        depth=depth,
        agreement=agreement,
        of={each: _rules(tree, rows, each) for each in clusters},
        precision={each: right[each] / max(int(np.sum(foreseen == each)), 1) for each in clusters},
        recall={each: right[each] / int(np.sum(labels == each)) for each in clusters},
    )


def _round(tree: DecisionTreeClassifier, rows: pd.DataFrame) -> None:
    """Rounds the limits of a fitted tree."""
    feature, threshold = tree.tree_.feature, tree.tree_.threshold
    is_whole = [bool((rows[name] == rows[name].round()).all()) for name in rows]
    for node in np.flatnonzero(feature >= 0):
        value = threshold[node]
        threshold[node] = np.floor(value) if is_whole[feature[node]] else float(f"{value:.3g}")


def _rules(tree: DecisionTreeClassifier, rows: pd.DataFrame, cluster: int) -> list[Rule]:
    leaves = tree.apply(rows)
    sizes = np.bincount(leaves, minlength=tree.tree_.node_count) / len(rows)
    chosen = tree.classes_[tree.tree_.value[:, 0].argmax(axis=1)]
    found = [
        Rule(limits, float(sizes[leaf]))
        for leaf, limits in _paths(tree, [str(name) for name in rows.columns])
        if chosen[leaf] == cluster and sizes[leaf] > 0
    ]
    return sorted(found, key=lambda rule: -rule.share)


def _paths(tree: DecisionTreeClassifier, names: list[str]) -> list[tuple[int, dict[str, tuple[float, float]]]]:
    """(leaf, the limits on the way there), all leaves."""
    inner, found, open_nodes = tree.tree_, [], [(0, {})]
    while open_nodes:
        node, limits = open_nodes.pop()
        if inner.children_left[node] < 0:
            found.append((node, limits))
            continue
        name, value = names[inner.feature[node]], float(inner.threshold[node])
        above, most = limits.get(name, (-np.inf, np.inf))
        open_nodes.append((inner.children_left[node], {**limits, name: (above, min(most, value))}))
        open_nodes.append((inner.children_right[node], {**limits, name: (max(above, value), most)}))
    return found
