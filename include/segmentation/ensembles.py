"""
What the registry holds for a target: the calibrated mean of one or several fitted pipelines, as one estimator.

Members meet where they add up: probabilities as logits (a logarithmic opinion pool: Genest and Zidek 1986, "Combining
Probability Distributions", Statistical Science 1(1)), amounts as they are. What a feature contributes to the mean is
then the mean of what it contributes to each member. A calibration follows that keeps the order: slope and intercept of
the logit (Platt 1999; Cox 1958), or a factor.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

_LEAST_PROBABILITY = 1e-6  # of a member: no single one can rule anything out


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
    """

    def __init__(self, members, weights=None, slope: float = 1.0, intercept: float = 0.0) -> None:
        super().__init__(members, weights)
        self.slope = slope
        self.intercept = intercept

    def _fitted(self) -> None:
        self.classes_ = np.array([0, 1])

    def mean_logit(self, X: pd.DataFrame) -> np.ndarray:  # noqa: N803
        """The members' mean before calibration, shape (n,)."""
        total = np.zeros(len(X))
        for (_, member), weight in zip(self.members_, self.weights_, strict=True):
            probability = member.predict_proba(X)[:, 1].astype("float64")
            total += weight * logit(np.clip(probability, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY))
        return total

    def decision_function(self, X: pd.DataFrame) -> np.ndarray:  # noqa: N803
        """The calibrated logit, shape (n,): what contributions add up to."""
        return self.intercept + self.slope * self.mean_logit(X)

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:  # noqa: N803
        """Shape (n, 2): the probabilities of no and yes."""
        yes = expit(self.decision_function(X))
        return np.column_stack([1 - yes, yes])

    def predict(self, X: pd.DataFrame) -> np.ndarray:  # noqa: N803
        return (self.decision_function(X) >= 0).astype(int)


class AmountEnsemble(RegressorMixin, _Mean):
    """The calibrated mean of what regressors expect, never below 0.

    :param members: (name, pipeline that has `predict`) each.
    :param factor: of the calibration.
    """

    def __init__(self, members, weights=None, factor: float = 1.0) -> None:
        super().__init__(members, weights)
        self.factor = factor

    def predict(self, X: pd.DataFrame) -> np.ndarray:  # noqa: N803
        """Expected amounts, shape (n,)."""
        total = np.zeros(len(X))
        for (_, member), weight in zip(self.members_, self.weights_, strict=True):
            total += weight * np.maximum(member.predict(X).astype("float64"), 0)
        return self.factor * total


def calibration(mean_logits: np.ndarray, actual: np.ndarray, prior_rows: float = 50.0) -> tuple[float, float]:
    """(slope, intercept) that make probabilities true on rows which their members have not learnt from.

    Maximum likelihood, with a weak pull towards (1, 0), so that few rows change little; the slope stays above 0.

    :param mean_logits: shape (n,).
    :param actual: outcomes, bool of shape (n,), both of them present.
    :param prior_rows: how many rows the pull counts for.
    """
    center = np.concatenate([mean_logits, np.repeat(mean_logits, 2)])
    share = expit(mean_logits)
    outcomes = np.concatenate([actual.astype(int), np.ones(len(actual), int), np.zeros(len(actual), int)])
    pull = prior_rows / max(len(actual), 1)
    weights = np.concatenate([np.ones(len(actual)), pull * share, pull * (1 - share)])
    outcomes[len(actual) :] = np.tile([1, 0], len(actual))
    weights[len(actual) :] = np.column_stack([pull * share, pull * (1 - share)]).ravel()
    fitted = LogisticRegression(C=np.inf, max_iter=1000).fit(center[:, None], outcomes, weights)
    slope, intercept = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    return (slope, intercept) if slope > 0 else (1.0, 0.0)
