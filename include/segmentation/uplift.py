"""
Whom a contact changes, and by how much, learnt from randomised campaigns; and the policy that follows from it.

**The effect** is learnt by the DR-learner (Kennedy 2023, Electronic Journal of Statistics 17). What each customer would
do under each arm is foreseen by models that have not seen them, and put right by what they did under the arm that was
drawn (`policy_value.scores`): so the mean is right whatever the models are. The difference to the control is then
regressed on what was known before the contact, by a ridge whose penalty is the most probable one given the data (MacKay
1992, "Bayesian Interpolation", Neural Computation 4). It starts from customers who hardly differ, so with little data,
or where they differ by no more than noise does, everybody gets about the average effect.

**The policy** gives each customer the arm of the greatest effect, or none where no effect is above 0. It is used only
if it beats the best single offer beyond noise on held-out folds: the whole of the learning, and the choice of that
offer, is repeated without each fold, and the 95% interval of the paired difference, all folds together, must lie above
0. To contact nobody has to pass the same. Otherwise everybody gets the best single offer: of the trials whose customers
are all alike, about 39 in 40.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.linear_model import BayesianRidge, RidgeCV
from sklearn.model_selection import StratifiedKFold

from segmentation import policy_value
from segmentation.policy_value import CONTROL, Value
from segmentation.preparation import Encoder, scaled_numbers

LEAST = 50  # customers of an arm, below which nothing is learnt
FOLDS = 5
# What differences between customers explain before anything is seen, as a part of what as many columns of pure noise
# would; counts as much as what is seen
_EXPLAINED = 0.25
_PENALTIES = tuple(10.0**power for power in range(-1, 6))


class TooFewError(ValueError):
    """An arm has too few customers to learn from."""


@dataclass(frozen=True)
class Trial:
    """What a randomised campaign showed.

    :param known: what was known of each customer before the contact, shape (n, k), as of `preparation.inputs`.
    :param arm: which arm was drawn, whole numbers, shape (n,); 0 is the control.
    :param outcome: what came of it, numbers, shape (n,); for a policy, less what the contact cost.
    :param chances: of the draw, shape (arms,), alike for all, or (n, arms).
    """

    known: pd.DataFrame
    arm: np.ndarray
    outcome: np.ndarray
    chances: np.ndarray

    def __len__(self) -> int:
        return len(self.arm)

    @property
    def arms(self) -> int:
        return np.shape(self.chances)[-1]

    def part(self, rows: np.ndarray) -> "Trial":
        """Some of the customers: positions or booleans."""
        chances = self.chances[rows] if np.ndim(self.chances) == 2 else self.chances
        return Trial(self.known.iloc[rows], self.arm[rows], self.outcome[rows], chances)

    def checked(self) -> "Trial":
        """Itself.

        :raises ValueError: the lengths differ, chances do not fit the arms, or an outcome is no number.
        :raises TooFewError: an arm has fewer than 50 customers; names it.
        """
        if not len(self.known) == len(self.arm) == len(self.outcome):
            raise ValueError(f"{len(self.known):,} customers, {len(self.arm):,} arms, {len(self.outcome):,} outcomes")
        policy_value.scores(self.outcome, self.arm, self.chances)
        counts = np.bincount(self.arm, minlength=self.arms)
        if counts.min() < LEAST:
            raise TooFewError(
                f"arm {counts.argmin()} has {counts.min():,} customers, {LEAST} are needed; all: {counts.tolist()}"
            )
        return self


class EffectModel(BaseEstimator):
    """The effect of each arm on each customer, against the control.

    After `fit`: `average_`, the mean effects, shape (arms - 1,); `encoder_`; `models_`, one per arm from 1 on.
    """

    def fit(self, known: pd.DataFrame, scored: np.ndarray) -> "EffectModel":
        """:param scored: as of `scores`, shape (n, arms)."""
        added = scored[:, 1:] - scored[:, [CONTROL]]
        self.average_ = added.mean(axis=0)
        # the priors of the regression are of a target with unit spread
        self.spread_ = np.where(added.std(axis=0) > 0, added.std(axis=0), 1.0)
        self.encoder_ = Encoder(scaled_numbers()).fit(known)
        encoded = self.encoder_.transform(known)
        targets = (added - self.average_) / self.spread_
        columns = encoded.shape[1]
        prior = {"lambda_1": columns / 2, "lambda_2": _EXPLAINED * columns / len(encoded) / 2}
        self.models_ = [BayesianRidge(**prior).fit(encoded, target) for target in targets.T]
        return self

    def predict(self, known: pd.DataFrame) -> np.ndarray:
        """Shape (n, arms): what each arm adds to the outcome; of the control, 0."""
        encoded = self.encoder_.transform(known)
        apart = np.column_stack([model.predict(encoded) for model in self.models_])
        return np.column_stack([np.zeros(len(known)), self.average_ + self.spread_ * apart])


@dataclass(frozen=True)
class Policy:
    """Who gets which arm.

    :param best: the offer that brings the most if all get it, 1 or more.
    :param advantage: of arms by effect over the best single offer, on held-out folds, per customer.
    :param saving: the same of contacting nobody.
    """

    model: EffectModel
    best: int
    advantage: Value
    saving: Value

    @property
    def is_learnt(self) -> bool:
        """Whether customers get arms of their own: it is better beyond noise."""
        return self.advantage.low > 0 and self.advantage.mean >= self.saving.mean

    @property
    def is_silent(self) -> bool:
        """Whether nobody is contacted: it is better beyond noise, and more so than arms by effect."""
        return self.saving.low > 0 and not self.is_learnt

    def choose(self, known: pd.DataFrame) -> np.ndarray:
        """The arm of each customer, shape (n,)."""
        if self.is_learnt:
            return greatest(self.model.predict(known))
        return np.full(len(known), CONTROL if self.is_silent else self.best)


def learn(trial: Trial, seed: int = 0) -> Policy:
    """The policy of a trial, by the rule above.

    :param trial: with outcomes less what the contact cost.
    :param seed: of the folds.
    :raises TooFewError: and what else `Trial.checked` raises.
    """
    scored = scores(trial.checked(), seed)
    learnt, single = np.zeros(len(trial), int), np.zeros(len(trial), int)
    for rest, held in _folds(trial.arm, seed):
        part = trial.part(rest)
        of_rest = scores(part, seed)  # anew: those of the whole trial have seen what is held out
        learnt[held] = greatest(EffectModel().fit(part.known, of_rest).predict(trial.known.iloc[held]))
        single[held] = policy_value.best_single(of_rest)
    return Policy(
        EffectModel().fit(trial.known, scored), policy_value.best_single(scored),
        policy_value.difference(scored, learnt, single), policy_value.difference(scored, CONTROL, single),
    )  # fmt: skip


def scores(trial: Trial, seed: int = 0) -> np.ndarray:
    """`policy_value.scores` of a trial, shape (n, arms), with outcomes foreseen by models that have not seen the row.

    :param trial: with two customers of each arm in four fifths of it, at least; see `Trial.checked`.
    """
    foreseen = np.zeros((len(trial), trial.arms))
    for rest, held in _folds(trial.arm, seed):
        foreseen[held] = outcomes(trial.part(rest), trial.known.iloc[held])
    return policy_value.scores(trial.outcome, trial.arm, trial.chances, foreseen)


def outcomes(trial: Trial, known: pd.DataFrame) -> np.ndarray:
    """What customers are foreseen to do under each arm, shape (m, arms), as the trial's customers did."""
    encoder = Encoder(scaled_numbers()).fit(trial.known)
    seen, asked, told = encoder.transform(trial.known), encoder.transform(known), []
    for arm in range(trial.arms):
        rows = trial.arm == arm
        told.append(RidgeCV(_PENALTIES).fit(seen[rows], trial.outcome[rows]).predict(asked))
    return np.column_stack(told)


def greatest(effects: np.ndarray) -> np.ndarray:
    """The arm of the greatest effect of each customer, shape (n,); the control where none is above 0."""
    return np.argmax(effects, axis=1)


def _folds(arm: np.ndarray, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    return StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(arm, arm)
