"""
What contacts change, by customer: one Bayesian regression of what came of the contacts of all strategies together.

    brought = foreseen + foreseen (period + common(x)) + level amount(x)
              + if contacted by s: foreseen share_s(x) + level amount_s(x) + noise

`foreseen` is what a customer was foreseen to bring by models that have not seen the customer, `level` its mean. The
effect of a strategy is the second line: a share of what a customer brings anyway, as of a campaign that makes people
order more often, and an amount beside it, as of one that brings back who hardly orders; both depend on what is known.
Strategies have the first line in common, so they are held against each other by those who got them, and against
everybody whom their period held out, not each against the few of its own who were. That is an outcome model of several
arms (an S-learner in the words of Kuenzel, Sekhon, Bickel and Yu 2019, PNAS 116, with a term for each arm): it is
right where what customers bring without a contact is. `period` is the campaigns with the same beginning and end: other
ones had other seasons and windows, so a campaign that was alone is held against its own held out only.

**x** is the columns of the encoder, and which of 12, 24 and 48 groups of alike customers (K-means) one belongs to:
slopes are few, and groups find what is no slope. Each column has a penalty of its own, in common for all strategies,
and so has each of the three divisions into groups: what tells one strategy's effect is believed sooner of another, and
what tells none is shrunk to nothing (`arm_regression`). It starts from customers who differ little. A strategy's mean
effect and the periods are not shrunk; how far the mean is a share rather than an amount, is learnt. What is left unsure
is the Gaussian posterior of the coefficients: two standard deviations hold 91 to 93% of the truths where customers are
alike or differ by one slope (`tests/segmentation/test_effect_regression.py`, slopes 0, 0.1 and 0.3, 40 trials each),
but about 80% of the simulated shop's, whose kinds of customers are no combination of slopes and groups. It is for
weighing whom to try what on; what a policy is worth has intervals of its own (`strategy_uplift`).

Customers who bring much, or who buy seldom and much at once, are foreseen badly, so each counts by one over the
squared size of the errors that are usual for what is foreseen of them and of their errors.
"""

import functools
import operator
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans

from segmentation import arm_regression
from segmentation.arm_regression import Products

HELD_OUT = -1
GRAINS = (12, 24, 48)
_GROUP_LEAST, _GROUP_ROWS = 50, 40_000  # rows that a group has on average at least; rows that groups are found by
_FIRST = 0.01  # of what a customer brings: how large a coefficient is before anything is seen
_FIRST_KIND = 0.3  # the same of how far the mean is a share rather than an amount
_PIECE = 20_000  # rows
_SMALLEST = 1e-6  # of the mean foreseen: the least that errors are taken to be
_LEAST = 0.05  # of the mean foreseen, so that no customer counts without limit


@dataclass(frozen=True)
class Told:
    """Effects and how unsure they are: means and standard deviations, each of shape (n, S)."""

    mean: np.ndarray
    spread: np.ndarray


class EffectRegression(BaseEstimator):
    """The effects of S strategies on each customer; see the module.

    After `fit`: `coefficients_`, shape (S, q), and `covariances_`, shape (S, q, q), of the q columns of `_columns`;
    `level_`, the mean foreseen; `groups_`, the divisions.
    """

    def __init__(self, strategies: int = 1, seed: int = 0) -> None:
        self.strategies = strategies
        self.seed = seed

    def fit(
        self,
        encoded: np.ndarray,
        foreseen: np.ndarray,
        errors: np.ndarray,
        outcome: np.ndarray,
        arm: np.ndarray,
        period: np.ndarray,
    ) -> "EffectRegression":
        """Learns from n contacts.

        :param encoded: what is known, centred numbers of about unit spread, shape (n, k).
        :param foreseen: what each was foreseen to bring, shape (n,).
        :param errors: how far off that was foreseen to be, in the same unit, shape (n,).
        :param outcome: what each brought, shape (n,).
        :param arm: the strategy that each was contacted by, 0 to S - 1; -1: held out; shape (n,).
        :param period: any values, shape (n,): those of one period may be held against each other.
        """
        self.level_ = float(np.mean(np.maximum(foreseen, 0))) or 1.0
        sample = encoded[:: -(-len(encoded) // _GROUP_ROWS)]
        self.groups_ = [
            KMeans(grain, n_init=1, random_state=self.seed).fit(sample)
            for grain in GRAINS
            if grain * _GROUP_LEAST <= len(sample) and len(np.unique(sample, axis=0)) >= grain
        ]
        beyond = (outcome - foreseen) / self.level_
        size = np.maximum(usual_size(beyond, foreseen / self.level_, errors / self.level_), _SMALLEST)
        names, period = np.unique(period, return_inverse=True)

        def products(rows: np.ndarray) -> Products:
            columns = self._columns(encoded[rows], foreseen[rows]) / size[rows, None]
            scale = self._share(foreseen[rows]) / size[rows]
            return Products.of(columns, beyond[rows] / size[rows], period[rows], len(names), scale)

        of_arms = [
            functools.reduce(operator.add, map(products, _pieces(np.flatnonzero(arm == each))))
            for each in (HELD_OUT, *range(self.strategies))
        ]
        found = arm_regression.fit(of_arms[0], of_arms[1:], *self._labels(encoded.shape[1]))
        self.coefficients_, self.covariances_ = found.means, found.covariances.astype(np.float32)
        return self

    def means(self, encoded: np.ndarray, foreseen: np.ndarray) -> np.ndarray:
        """The mean effects on customers, shape (n, S), from columns as `fit` got them."""
        found = [columns @ self.coefficients_.T for columns in self._by_piece(encoded, foreseen)]
        return np.concatenate(found) * self.level_

    def predict(self, encoded: np.ndarray, foreseen: np.ndarray) -> Told:
        """The same, and how unsure they are, which takes most of the time."""
        covariances, found = self.covariances_, []
        for columns in self._by_piece(encoded, foreseen):
            rows = columns.astype(np.float32)  # spreads are nothing to be exact about
            found.append(np.column_stack([np.einsum("ij,ij->i", rows @ each, rows) for each in covariances]))
        return Told(self.means(encoded, foreseen), np.sqrt(np.maximum(np.concatenate(found), 0)) * self.level_)

    def _by_piece(self, encoded: np.ndarray, foreseen: np.ndarray) -> Iterator[np.ndarray]:
        return (self._columns(encoded[rows], foreseen[rows]) for rows in _pieces(np.arange(len(encoded))))

    def _share(self, foreseen: np.ndarray) -> np.ndarray:
        return np.maximum(foreseen, _LEAST * self.level_) / self.level_

    def _columns(self, encoded: np.ndarray, foreseen: np.ndarray) -> np.ndarray:
        """What effects are made of, shape (n, q): the mean, how far it is a share rather than an amount, the rest of
        the share, the rest of the amount."""
        share = self._share(foreseen)
        groups = [
            np.eye(each.n_clusters)[each.predict(encoded)] if len(encoded) else np.zeros((0, each.n_clusters))
            for each in self.groups_
        ]
        of_share = np.column_stack([encoded, *groups]) * share[:, None]
        return np.column_stack([(share + 1) / 2, (share - 1) / 2, of_share, encoded])

    def _labels(self, known: int) -> tuple[np.ndarray, np.ndarray]:
        """(which columns have a penalty in common, shape (q,), -1: not shrunk; how large they are at first)."""
        of_groups = [np.full(each.n_clusters, known + 1 + place) for place, each in enumerate(self.groups_)]
        of_amount = known + 1 + len(of_groups) + np.arange(known)
        labels = np.concatenate([[arm_regression.NOT_SHRUNK, 0], 1 + np.arange(known), *of_groups, of_amount])
        first = np.full(int(labels.max()) + 1, _FIRST)
        first[0] = _FIRST_KIND
        return labels.astype(int), first


def _pieces(rows: np.ndarray) -> list[np.ndarray]:
    """So many rows at once that their columns are no matter for the memory; one piece at least."""
    return np.array_split(rows, max(-(-len(rows) // _PIECE), 1))


def usual_size(values: np.ndarray, foreseen: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """How large values usually are, shape (n,): a constant, a part of what was foreseen, and of the errors that were,
    none of them below 0."""
    brings = np.maximum(foreseen, 0)
    level = max(float(brings.mean()), 1e-12)
    columns = np.column_stack([np.full(len(brings), level), brings, np.maximum(errors, 0)])
    told = columns @ nnls(columns, np.abs(values))[0]
    return np.maximum(told, _LEAST * max(float(np.mean(told)), 1e-12))
