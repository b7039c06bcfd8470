"""
Bayesian linear regression with coefficients that all rows have in common, and others of each arm beside them.

    values = periods + columns common + if of arm s: columns coefficients_s + noise

Each kind of column has a penalty of its own, in common for all arms, that makes what was seen the most probable
(automatic relevance determination: MacKay 1992, "Bayesian Interpolation", Neural Computation 4; Tipping 2001, "Sparse
Bayesian Learning and the Relevance Vector Machine", JMLR 1). As arms share no rows, their coefficients depend on each
other through the common ones only: each arm is solved for given these (block elimination), so that the cost grows with
the number of arms, not with its cube.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from scipy import sparse

NOT_SHRUNK = -1
_FREE, _MOST = 1e-9, 1e6  # the penalty of what is not shrunk; the greatest of what is
_ROUNDS, _CLOSE = 100, 0.02  # how often penalties are found anew at most; the change of their logarithms that ends it


@dataclass(frozen=True)
class Posterior:
    """Coefficients of S arms: means, shape (S, q), and covariances, shape (S, q, q)."""

    means: np.ndarray
    covariances: np.ndarray


@dataclass(frozen=True)
class Products:
    """Of some rows of one arm: products of its columns with each other and with the common ones, and with the values.
    Those of its other rows are added."""

    own: np.ndarray
    common: np.ndarray
    across: np.ndarray  # own columns by common ones
    own_values: np.ndarray
    common_values: np.ndarray
    squares: float
    rows: int

    @classmethod
    def of(cls, columns: np.ndarray, values: np.ndarray, period: np.ndarray, periods: int, scale: np.ndarray):
        """Of n rows.

        :param columns: shape (n, q). All have coefficients of the arms, all but the first common ones as well.
        :param values: of about unit noise, shape (n,).
        :param period: 0 to `periods` - 1, shape (n,).
        :param scale: the column that each period has a coefficient of, shape (n,).
        """
        rows = len(columns)
        of_period = sparse.csr_array((scale, (np.arange(rows), period)), shape=(rows, periods))
        own, across = columns.T @ columns, of_period.T @ columns
        common = np.block([[(of_period.T @ of_period).toarray(), across[:, 1:]], [across[:, 1:].T, own[1:, 1:]]])
        own_values = columns.T @ values
        common_values = np.concatenate([of_period.T @ values, own_values[1:]])
        across = np.hstack([across.T, own[:, 1:]])
        return cls(own, common, across, own_values, common_values, float(values @ values), rows)

    def __add__(self, other: "Products") -> "Products":
        return Products(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


@dataclass(frozen=True)
class _Solved:
    arms: Posterior
    common: np.ndarray
    common_variances: np.ndarray
    residual: float


def fit(no_arm: Products, arms: Sequence[Products], labels: np.ndarray, first: np.ndarray) -> Posterior:
    """The arms' coefficients.

    :param no_arm: of rows of no arm; `arms`: of each of S arms.
    :param labels: columns of one label have one penalty, whole numbers from 0, or -1: not shrunk; shape (q,). The
        common coefficients have others by the same labels.
    :param first: how large one coefficient of each label is before anything is seen, shape (labels,).
    """
    products = [no_arm, *arms]
    rows, total = sum(each.rows for each in products), sum(each.squares for each in products)
    common = sum(each.common for each in products), sum(each.common_values for each in products)
    free = np.full(len(common[1]) - len(labels) + 1, NOT_SHRUNK)
    common_labels = np.concatenate([free, labels[1:]])
    unshrunk = len(free) + len(arms) * int(np.sum(labels == NOT_SHRUNK))
    own_penalties, common_penalties, noise = first**-2.0, first**-2.0, 1.0
    for _ in range(_ROUNDS):
        penalties = _by_column(own_penalties, labels), _by_column(common_penalties, common_labels)
        solved = _solve(arms, common, penalties, noise, total)
        variances = np.diagonal(solved.arms.covariances, axis1=1, axis2=2)
        own_now, own_used = _penalties(own_penalties, labels, solved.arms.means, variances, first)
        common_now, common_used = _penalties(
            common_penalties, common_labels, solved.common[None], solved.common_variances[None], first
        )
        noise = max(rows - own_used - common_used - unshrunk, 1.0) / max(solved.residual, rows / _MOST)
        change = np.abs(np.log(np.concatenate([own_now / own_penalties, common_now / common_penalties])))
        own_penalties, common_penalties = own_now, common_now
        if change.max(initial=0) < _CLOSE:
            break
    return solved.arms


def _solve(
    arms: Sequence[Products],
    common: tuple[np.ndarray, np.ndarray],
    penalties: tuple[np.ndarray, np.ndarray],
    noise: float,
    total: float,
) -> _Solved:
    """The posterior given the penalties of own and common columns and the precision of the noise.

    :param common: of all rows, the products of common columns with each other and with the values.
    """
    inner = noise * common[0] + np.diag(penalties[1])
    right = noise * common[1]
    inverses, paths = [], []
    for each in arms:
        inverse = np.linalg.inv(noise * each.own + np.diag(penalties[0]))
        path = noise * inverse @ each.across
        inner -= noise * each.across.T @ path
        right -= noise * path.T @ each.own_values
        inverses.append(inverse)
        paths.append(path)
    covariance = np.linalg.inv(inner)
    shared = covariance @ right
    means, covariances = [], []
    residual = total + shared @ common[0] @ shared - 2 * shared @ common[1]
    for each, inverse, path in zip(arms, inverses, paths, strict=True):
        mean = noise * inverse @ each.own_values - path @ shared
        means.append(mean)
        covariances.append(inverse + path @ covariance @ path.T)
        residual += mean @ each.own @ mean + 2 * mean @ each.across @ shared - 2 * mean @ each.own_values
    return _Solved(Posterior(np.array(means), np.array(covariances)), shared, np.diag(covariance), float(residual))


def _by_column(penalties: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.append(penalties, _FREE)[labels]


def _penalties(
    before: np.ndarray, labels: np.ndarray, means: np.ndarray, variances: np.ndarray, first: np.ndarray
) -> tuple[np.ndarray, float]:
    """(the most probable penalties given the coefficients, shape of `before`; how many coefficients are in use)."""
    is_shrunk = labels != NOT_SHRUNK
    where, kinds = labels[is_shrunk], len(before)
    count = np.bincount(where, minlength=kinds) * len(means)
    squares = np.bincount(where, (means**2).sum(axis=0)[is_shrunk], kinds)
    left = np.bincount(where, variances.sum(axis=0)[is_shrunk], kinds)
    used = np.maximum(count - before * left, 0)
    return np.clip((used + 1) / (squares + first**2), 1 / _MOST, _MOST), float(used.sum())
