"""
What a contact changed where nobody was held out: the contacted against customers who were not contacted, made alike.

Augmented inverse probability weighting for the effect on the treated (Robins, Rotnitzky and Zhao 1994, Journal of the
American Statistical Association 89; for the treated: Mercatanti and Li 2014, Annals of Applied Statistics 8): right if
either the chance to be contacted or the outcome without contact is foreseen rightly from what is known, which cannot be
checked; cross-fitted (Chernozhukov et al. 2018, The Econometrics Journal 21). The contacted who have hardly their like
among the others are left out (Crump et al. 2009, Biometrika 96), and told.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from segmentation.effects import LEVEL, Effect

_FOLDS = 5
_MOST_CERTAIN = 0.95  # chance to be contacted above which nobody alike is left
_LEAST = 50  # customers of a group, below which nothing is estimated
_ROUNDING = 1e-9  # a spread below it is that of the arithmetic
_PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0)


@dataclass(frozen=True)
class Comparison:
    """Contacted and others, and how much each of the others counts.

    :param kept: which of the customers given are compared, shape (m,); n of them.
    :param is_contacted: shape (n,), as `chance` to be contacted, foreseen by models that have not seen the customer.
    :param fold: (n,), which model that was.
    :param compared: part of the contacted who have their like among the others, 0 to 1.
    :param unlike: the largest distance of a covariate's means, weighted, in standard deviations of the contacted.
    :param effective: how many of the others the weights amount to (Kish 1965).
    """

    kept: np.ndarray
    covariates: np.ndarray
    is_contacted: np.ndarray
    chance: np.ndarray
    fold: np.ndarray
    compared: float
    unlike: float
    effective: float


def compare(covariates: np.ndarray, is_contacted: np.ndarray, seed: int) -> Comparison | None:
    """Foresees who is contacted, and keeps those who have their like on the other side.

    :param covariates: what was known before the contact, shape (m, k), without NaN.
    :param is_contacted: booleans, shape (m,).
    :returns: of those kept; None where a group has fewer than 50 customers.
    """
    if min(is_contacted.sum(), (~is_contacted).sum()) < _LEAST:
        return None
    chance, fold = np.zeros(len(is_contacted)), np.zeros(len(is_contacted), int)
    for number, (learn, tell) in enumerate(_folds(is_contacted, seed)):
        model = _curves(LogisticRegression(C=1.0, max_iter=2_000)).fit(covariates[learn], is_contacted[learn])
        chance[tell], fold[tell] = model.predict_proba(covariates[tell])[:, 1], number
    kept = chance <= _MOST_CERTAIN
    compared = float(kept[is_contacted].mean())
    covariates, is_contacted, chance, fold = covariates[kept], is_contacted[kept], chance[kept], fold[kept]
    if min(is_contacted.sum(), (~is_contacted).sum()) < _LEAST:
        return None
    weights = (chance / (1 - chance))[~is_contacted]
    spread = covariates[is_contacted].std(axis=0)
    apart = covariates[is_contacted].mean(axis=0) - np.average(covariates[~is_contacted], axis=0, weights=weights)
    unlike = float(np.max(np.abs(apart) / np.where(spread > _ROUNDING, spread, 1), initial=0))
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    return Comparison(kept, covariates, is_contacted, chance, fold, compared, unlike, effective)


def effect_on_contacted(among: Comparison, outcome: np.ndarray) -> Effect:
    """What the contact changed for the contacted who are compared.

    :param outcome: numbers, shape (n,), of the customers of the comparison.
    :returns: `control_mean` is what the contacted are foreseen to have done without the contact.
    """
    y, treated, odds = outcome.astype(float), among.is_contacted, among.chance / (1 - among.chance)
    foreseen = np.zeros(len(y))
    for number in range(_FOLDS):
        tell = among.fold == number
        learn = ~tell & ~treated
        if tell.any():
            model = _curves(RidgeCV(_PENALTIES)).fit(among.covariates[learn], y[learn])
            foreseen[tell] = model.predict(among.covariates[tell])
    share = treated.mean()
    scores = np.where(treated, 1.0, -odds) * (y - foreseen) / share
    difference = float(scores.mean())
    error = float(np.std(scores - treated / share * difference, ddof=1)) / math.sqrt(len(y))
    half = float(stats.norm.ppf(0.5 + LEVEL / 2)) * error
    mean = float(y[treated].mean())
    return Effect(
        int(treated.sum()), int((~treated).sum()), mean, mean - difference, difference,
        low=difference - half if error > 0 else math.nan, high=difference + half if error > 0 else math.nan,
        p_value=float(2 * stats.norm.sf(abs(difference) / error)) if error > 0 else math.nan, error=error,
    )  # fmt: skip


def _folds(is_contacted: np.ndarray, seed: int) -> Sequence[tuple[np.ndarray, np.ndarray]]:
    return list(StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(is_contacted, is_contacted))


def _curves(model) -> Pipeline:
    """A model that sees squares and products of the covariates as well."""
    steps = (StandardScaler(), PolynomialFeatures(2, include_bias=False), StandardScaler())
    return make_pipeline(*steps, model)
