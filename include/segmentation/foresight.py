"""
What customers bring anyway: foreseen from what was known before a contact, so that an effect stands out of it.

Two kinds are tried, on customers that they have not seen, and the better one by squared error is used: a ridge
regression, and boosted trees that take what is spent as a Tweedie variable. However bad the foresight is, effects stay
right on average; it makes them sharper.
"""

from collections.abc import Iterator, Sequence

import lightgbm
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.linear_model import RidgeCV

from segmentation.preparation import Encoder, scaled_numbers

RIDGE, TREES = KINDS = ("ridge", "trees")
_PENALTIES = tuple(10.0**power for power in range(-1, 6))


class Foresight(BaseEstimator):
    """Foresees an amount from rows as of `preparation.inputs`.

    :param kind: `ridge` or `trees`.
    """

    def __init__(self, kind: str = RIDGE, seed: int = 0) -> None:
        self.kind = kind
        self.seed = seed

    def fit(self, known: pd.DataFrame, amounts: np.ndarray, encoder: Encoder | None = None) -> "Foresight":
        """:param encoder: for the ridge, of rows that these are some of, as of `encoder_of`; None: of these."""
        if self.kind == TREES and np.maximum(amounts, 0).sum() > 0:
            self.encoder_ = Encoder().fit(known)
            self.model_ = lightgbm.LGBMRegressor(
                objective="tweedie", tweedie_variance_power=1.3, n_estimators=120, learning_rate=0.05, num_leaves=15,
                min_child_samples=50, reg_lambda=10.0, subsample=0.7, subsample_freq=1, colsample_bytree=0.5,
                random_state=self.seed, n_jobs=1, deterministic=True, force_row_wise=True, verbosity=-1,
            )  # fmt: skip
            self.model_.fit(self.encoder_.transform(known), np.maximum(amounts, 0))
        else:
            self.encoder_ = encoder or encoder_of(known)
            self.model_ = RidgeCV(_PENALTIES).fit(self.encoder_.transform(known), amounts)
        told = self._told(known)
        self.least_, self.most_ = float(told.min()), float(told.max())
        return self

    def predict(self, known: pd.DataFrame) -> np.ndarray:
        """Amounts, shape (n,): none beyond those of the rows that were learnt from, however far away customers lie."""
        return np.clip(self._told(known), self.least_, self.most_)

    def _told(self, known: pd.DataFrame) -> np.ndarray:
        return np.asarray(self.model_.predict(self.encoder_.transform(known)), float)


def encoder_of(known: pd.DataFrame) -> Encoder:
    """What makes centred numbers of about unit spread of rows. It looks at no outcome, so folds may share it."""
    return Encoder(scaled_numbers()).fit(known)


def crossed(
    kind: str,
    known: pd.DataFrame,
    amounts: np.ndarray,
    folds: Sequence[np.ndarray],
    seed: int = 0,
    encoder: Encoder | None = None,
) -> np.ndarray:
    """Each row foreseen by a model that has not seen its fold, shape (n,).

    :param folds: which rows are held out, booleans of shape (n,); each row in exactly one.
    """
    told = np.zeros(len(amounts))
    for held in folds:
        told[held] = Foresight(kind, seed).fit(known[~held], amounts[~held], encoder).predict(known[held])
    return told


def folds_of(customers: np.ndarray, count: int, seed: int) -> list[np.ndarray]:
    """Folds in which no customer is in two, as booleans of shape (n,): drawn evenly, the same for the same seed."""
    codes, _ = pd.factorize(customers, sort=True)
    places = np.random.default_rng(seed).permutation(codes.max() + 1 if len(codes) else 0) % count
    return list(_held(places[codes], count))


def _held(place: np.ndarray, count: int) -> Iterator[np.ndarray]:
    for fold in range(count):
        yield place == fold
