"""
What the registry holds for a target: the calibrated mean of one or several fitted pipelines, as one estimator.

Members meet where they add up: probabilities as logits (a logarithmic opinion pool: Genest and Zidek 1986, "Combining
Probability Distributions", Statistical Science 1(1)), amounts as they are. What a feature contributes to the mean is
then the mean of what it contributes to each member. A calibration follows that keeps the order: slope and intercept of
the logit (Platt 1999; Cox 1958), or a factor.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.pipeline import Pipeline

_LEAST_PROBABILITY = 1e-6  # of a member: no single one can rule anything out
_LEAST_SLOPE = 1e-3  # below, nothing that the members say holds later in time; better as they are than turned round


Encoded = list[np.ndarray | None]  # a matrix per member, None where it weighs nothing


class _Mean(BaseEstimator):
    """Members by name, and what they weigh; weights are set right to sum to 1."""

    def __init__(self, members: Sequence[tuple[str, Pipeline]], weights: Sequence[float] | None = None) -> None:
        self.members = members
        self.weights = weights

    def fit(self, X: pd.DataFrame, y: np.ndarray):  # noqa: N803 - scikit-learn's names
        """Fits a copy of each member.

        :param X: features, shape (n, features): floats where they are numbers, text where they are categories.
        :param y: outcomes, shape (n,).
        """
        self.members_ = [(name, clone(member).fit(X, y)) for name, member in self.members]
        self.weights_ = self._shares()
        self._fitted()
        return self

    @classmethod
    def of(cls, fitted: Sequence[tuple[str, Pipeline]], weights: Sequence[float] | None = None, **others):
        """One of members that are fitted already."""
        made = cls(list(fitted), weights, **others)
        made.members_, made.weights_ = list(fitted), made._shares()
        made._fitted()
        return made

    def encoded(self, X: pd.DataFrame) -> Encoded:  # noqa: N803
        """What the last step of each member predicts from, for whoever asks for more than one thing of the same rows:
        to make these takes longer than to predict."""
        return [
            np.asarray(member[:-1].transform(X)) if weight else None
            for (_, member), weight in zip(self.members_, self.weights_, strict=True)
        ]

    def _asked(self, X: pd.DataFrame, encoded: Encoded | None) -> Iterator[tuple[BaseEstimator, Any, float]]:  # noqa: N803
        """(what predicts, from what, what it weighs) of each member that weighs anything."""
        for place, ((_, member), weight) in enumerate(zip(self.members_, self.weights_, strict=True)):
            if weight:
                yield (member, X, weight) if encoded is None else (member[-1], encoded[place], weight)

    def _shares(self) -> list[float]:
        weights = np.ones(len(self.members)) if self.weights is None else np.asarray(self.weights, float)
        return [float(weight) for weight in weights / weights.sum()]

    def _fitted(self) -> None:
        pass


class ProbabilityEnsemble(ClassifierMixin, _Mean):
    """The calibrated mean of classifiers' logits.

    :param members: (name, pipeline that has `predict_proba`) each.
    :param slope: and
    :param intercept: of the calibration: `expit(intercept + slope * mean logit)`.
    :param season: ISO date -> what that day adds to the intercept; see `on`.
    """

    def __init__(
        self,
        members,
        weights=None,
        slope: float = 1.0,
        intercept: float = 0.0,
        season: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(members, weights)
        self.slope = slope
        self.intercept = intercept
        self.season = season

    def on(self, day: dt.date) -> "ProbabilityEnsemble":
        """The same with the intercept of a day that is scored: itself, where nothing is known of the day's season."""
        shift = (getattr(self, "season", None) or {}).get(f"{day}", 0.0)  # one of an older version has no season
        if not shift:
            return self
        made = copy(self)
        made.intercept = self.intercept + shift
        made.season = None
        return made

    def _fitted(self) -> None:
        self.classes_ = np.array([0, 1])

    def mean_logit(self, X: pd.DataFrame, encoded: Encoded | None = None) -> np.ndarray:  # noqa: N803
        """The members' mean before calibration, shape (n,)."""
        total = np.zeros(len(X))
        for model, given, weight in self._asked(X, encoded):
            total += weight * member_logit(model.predict_proba(given)[:, 1])
        return total

    def decision_function(self, X: pd.DataFrame, encoded: Encoded | None = None) -> np.ndarray:  # noqa: N803
        """The calibrated logit, shape (n,): what contributions add up to."""
        return self.intercept + self.slope * self.mean_logit(X, encoded)

    def predict_proba(self, X: pd.DataFrame, encoded: Encoded | None = None) -> np.ndarray:  # noqa: N803
        """Shape (n, 2): the probabilities of no and yes.

        :param encoded: what `encoded` has made of the same rows, if it has been called.
        """
        yes = expit(self.decision_function(X, encoded))
        return np.column_stack([1 - yes, yes])

    def predict(self, X: pd.DataFrame) -> np.ndarray:  # noqa: N803
        return (self.decision_function(X) >= 0).astype(int)


def member_logit(probability: np.ndarray) -> np.ndarray:
    """A member's probabilities as logits that nothing is certain in, shape (n,)."""
    return logit(np.clip(probability.astype("float64"), _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY))


class AmountEnsemble(RegressorMixin, _Mean):
    """The calibrated mean of what regressors expect, never below 0.

    :param members: (name, pipeline that has `predict`) each.
    :param factor: of the calibration.
    """

    def __init__(self, members, weights=None, factor: float = 1.0) -> None:
        super().__init__(members, weights)
        self.factor = factor

    def on(self, day: dt.date) -> "AmountEnsemble":
        """Itself: amounts have no season as yet."""
        return self

    def predict(self, X: pd.DataFrame, encoded: Encoded | None = None) -> np.ndarray:  # noqa: N803
        """Expected amounts, shape (n,); `encoded` as of `ProbabilityEnsemble.predict_proba`."""
        total = np.zeros(len(X))
        for model, given, weight in self._asked(X, encoded):
            total += weight * np.maximum(model.predict(given).astype("float64"), 0)
        return self.factor * total


def stacked(
    logits: np.ndarray,
    actual: np.ndarray,
    cutoffs: np.ndarray,
    prior_rows: float,
    prior_cutoffs: float,
    shifts: np.ndarray | float = 0.0,
) -> tuple[list[float], float, float]:
    """(weights, slope, intercept) of a mean of members that makes its probabilities sharp and true.

    Stacking with weights of 0 or more (Wolpert 1992; Breiman 1996, "Stacked Regressions"): the maximum likelihood of
    `actual` by `intercept of the cutoff + sum of weight * logit`, pulled towards equal weights of sum 1, so that few
    rows change little. For one member it is Platt's (1999) calibration.

    Seasons lift and lower whole cutoffs, so customers of one cutoff are not independent: the intercept is the mean of
    the cutoffs' own, pulled towards 0 as if there were `prior_cutoffs` more without any.

    :param logits: of the members, shape (n, members), on rows that they have not learnt from.
    :param actual: outcomes, bool of shape (n,).
    :param cutoffs: the day that each row looks back from, shape (n,).
    :param prior_rows: how many rows the pull to equal weights counts for.
    :param shifts: of the log-odds that are known of each row's cutoff beforehand, shape (n,); see `season`.
    """
    days, place = np.unique(cutoffs, return_inverse=True)
    members, equal = logits.shape[1], np.full(logits.shape[1], 1 / logits.shape[1])
    signs = np.where(actual, 1.0, -1.0)
    spread = max(float(np.mean(np.var(logits, axis=0))), 1e-6)
    pull = prior_rows * 0.25 * spread  # a row's information on a weight is at most p(1-p) = 1/4 times the spread

    def loss(free: np.ndarray) -> tuple[float, np.ndarray]:
        weights, intercepts = free[:members], free[members:]
        margin = signs * (shifts + intercepts[place] + logits @ weights)
        off, apart = -signs * expit(-margin), weights - equal
        value = np.logaddexp(0, -margin).sum() + pull / 2 * (apart @ apart) + 0.5 * (intercepts @ intercepts)
        slopes = [logits.T @ off + pull * apart, np.bincount(place, off, len(days)) + intercepts]
        return float(value) / len(signs), np.concatenate(slopes) / len(signs)

    begin = np.concatenate([equal, np.zeros(len(days))])
    bounds = [(0.0, None)] * members + [(None, None)] * len(days)
    found = minimize(loss, begin, jac=True, bounds=bounds, method="L-BFGS-B").x
    slope = float(found[:members].sum())
    if slope < _LEAST_SLOPE:
        return [float(weight) for weight in equal], 1.0, 0.0
    intercept = float(found[members:].sum() / (len(days) + prior_cutoffs))
    return [float(weight / slope) for weight in found[:members]], slope, intercept
