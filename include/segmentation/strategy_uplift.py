"""
What each strategy changes for each customer, learnt from randomised results of many campaigns; and what a policy is
worth that goes by it.

Each result is of one contact: a customer was drawn for a strategy, and held out of it by a chance that is known. The
effects are learnt from all of them together (`effect_regression`).

**What a policy is worth** is told by the doubly robust off-policy value (Dudik, Langford and Li 2011, ICML): the effect
of the strategy that the policy chooses, as foreseen by models that have not seen the customer, put right by what
happened where the policy would have drawn the same, divided by the chance of that draw. Where that chance was kept it
holds whatever the regression takes for granted, as long as every strategy had one: of what a customer was sure not to
be drawn for nothing happened, and its value is the regression's alone (`Learnt.untried`). Where the chance is estimated
it holds only as far as each strategy was drawn for customers like those of the others. No customer is on both sides of
a fold. It is told against nobody, and against everybody the best single offer, which is chosen without the fold that it
is judged on. Whoever may not get a strategy gets none. Intervals are 95%, and count each customer once, however many
contacts there were.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression

from segmentation import foresight
from segmentation.effect_regression import HELD_OUT, EffectRegression, Told
from segmentation.foresight import Foresight
from segmentation.policy_value import Value
from segmentation.preparation import Encoder

LEAST = 50  # contacts in each arm of a strategy, below which it is not learnt
FOLDS, _INNER = 5, 3
_TURNS = 2  # of foreseeing what customers bring anyway, and of learning the effects beyond it
_LEAST_SHARE = 0.2  # of what was foreseen, that a contact is taken to leave at least
NOBODY = -1
_LEAST_CHANCE = 0.01  # of a draw that a value is told from: no contact counts for more than a hundred


class TooFewResultsError(ValueError):
    """No strategy has enough randomised results to learn from. Says what there is."""


@dataclass(frozen=True)
class Results:
    """Randomised results, a row per contact, n of them, of S strategies.

    :param known: what was known of the customer on the day of the choice, as of `preparation.inputs`.
    :param customer: ids, shape (n,).
    :param strategies: their ids, S of them.
    :param strategy: place in `strategies`, shape (n,).
    :param is_treated: booleans, shape (n,): contacted, not held out.
    :param treated: the chance of that, shape (n,).
    :param period: any values, shape (n,): alike where contacts may be held against each other, as they were made at the
        same time and observed as long.
    :param drawn: the chance that the customer was drawn for the strategy, shape (n,); NaN where it was not kept.
    :param open_to: which strategies the customer might have got, booleans, shape (n, S).
    :param outcome: the margin, what the contact cost not taken off, shape (n,).
    :param costs: of a contact, shape (S,).
    """

    known: pd.DataFrame
    customer: np.ndarray
    strategies: tuple[str, ...]
    strategy: np.ndarray
    is_treated: np.ndarray
    treated: np.ndarray
    period: np.ndarray
    drawn: np.ndarray
    open_to: np.ndarray
    outcome: np.ndarray
    costs: np.ndarray

    def __len__(self) -> int:
        return len(self.outcome)

    def part(self, rows: np.ndarray) -> "Results":
        """Some of the rows, by booleans."""
        return Results(
            self.known[rows], self.customer[rows], self.strategies, self.strategy[rows], self.is_treated[rows],
            self.treated[rows], self.period[rows], self.drawn[rows], self.open_to[rows], self.outcome[rows], self.costs,
        )  # fmt: skip

    def of(self, places: Sequence[int]) -> "Results":
        """Only the results of some strategies, which become all there are."""
        number = np.full(len(self.strategies), NOBODY)
        number[list(places)] = np.arange(len(places))
        rows = number[self.strategy] != NOBODY
        kept = self.part(rows)
        return Results(
            kept.known, kept.customer, tuple(self.strategies[place] for place in places), number[kept.strategy],
            kept.is_treated, kept.treated, kept.period, kept.drawn, kept.open_to[:, list(places)], kept.outcome,
            self.costs[list(places)],
        )  # fmt: skip

    def too_few(self) -> dict[str, str]:
        """strategy -> why it cannot be learnt, of those that cannot."""
        told = {}
        for place, name in enumerate(self.strategies):
            here = self.strategy == place
            contacted, held = int((here & self.is_treated).sum()), int((here & ~self.is_treated).sum())
            if min(contacted, held) < LEAST:
                told[name] = f"{contacted:,} contacted and {held:,} held out; {LEAST} of each are needed"
        return told


class StrategyUplift(BaseEstimator):
    """The effect of each strategy on each customer: the margin that a contact adds, its cost not taken off.

    Whoever lies beyond what was learnt from counts as its extreme: of what did not vary there nothing is known.

    After `fit`: `strategies_`; `effects_`, of them in this order; `foresight_` and `encoder_`.
    """

    def __init__(self, kind: str = foresight.RIDGE, seed: int = 0) -> None:
        self.kind = kind
        self.seed = seed

    def fit(self, results: Results, encoder: Encoder | None = None) -> "StrategyUplift":
        """Learns the effects.

        :param results: of strategies with results enough, see `Results.too_few`.
        :param encoder: of rows that these are some of, as of `foresight.encoder_of`; None: of these.
        """
        self.strategies_ = list(results.strategies)
        self.encoder_ = encoder or foresight.encoder_of(results.known)
        folds = foresight.folds_of(results.customer, _INNER, self.seed)
        anyway = results.outcome
        encoded, foreseen = self._learn(results, anyway, folds)
        for _ in range(_TURNS - 1):
            anyway = _anyway(results, foreseen, self.effects_.means(encoded, foreseen))
            encoded, foreseen = self._learn(results, anyway, folds)
        self.foresight_ = Foresight(self.kind, self.seed).fit(results.known, anyway, self.encoder_)
        return self

    def _learn(
        self, results: Results, anyway: np.ndarray, folds: Sequence[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The effects beyond what is foreseen from amounts without them; returns the columns, and what is foreseen."""
        foreseen = foresight.crossed(self.kind, results.known, anyway, folds, self.seed, self.encoder_)
        squares = (anyway - foreseen) ** 2
        errors = foresight.crossed(self.kind, results.known, squares, folds, self.seed, self.encoder_)
        errors = np.sqrt(np.maximum(errors, 0))
        encoded = self._encoder_of_foreseen(results.known, foreseen)
        arm = np.where(results.is_treated, results.strategy, HELD_OUT)
        self.effects_ = EffectRegression(len(results.strategies), self.seed)
        self.effects_.fit(encoded, foreseen, errors, results.outcome, arm, results.period)
        return encoded, foreseen

    def tell(self, known: pd.DataFrame) -> Told:
        """Mean and standard deviation of each effect, shape (n, S) each."""
        foreseen = self.foresight_.predict(known)
        return self.effects_.predict(self._encoded(known, foreseen), foreseen)

    def predict(self, known: pd.DataFrame) -> np.ndarray:
        """The mean effects, shape (n, S)."""
        foreseen = self.foresight_.predict(known)
        return self.effects_.means(self._encoded(known, foreseen), foreseen)

    def _encoder_of_foreseen(self, known: pd.DataFrame, foreseen: np.ndarray) -> np.ndarray:
        """Learns how what is foreseen stands beside the encoder's columns, and their bounds; returns all of them."""
        brings = np.log1p(np.maximum(foreseen, 0))
        self.centre_, self.unit_, self.bounds_ = float(brings.mean()), max(float(brings.std()), 1e-12), None
        encoded = self._encoded(known, foreseen)
        self.bounds_ = np.stack([encoded.min(axis=0), encoded.max(axis=0)])
        return encoded

    def _encoded(self, known: pd.DataFrame, foreseen: np.ndarray) -> np.ndarray:
        brings = (np.log1p(np.maximum(foreseen, 0)) - self.centre_) / self.unit_
        encoded = np.column_stack([self.encoder_.transform(known), brings])
        return encoded if self.bounds_ is None else np.clip(encoded, *self.bounds_)


@dataclass(frozen=True)
class Learnt:
    """A model, and what it was found to be worth on customers that it had not seen.

    Values are of the margin per customer and contact, the cost taken off.

    :param effects: the effects less cost, by models that have not seen the customer, shape (n, S).
    :param pseudo: what each result says of the effect less cost of its strategy, shape (n,).
    :param best: the single offer that brings the most.
    :param nobody: what comes of contacting nobody.
    :param policy: what the policy adds to nobody; `single`: what the best single offer adds; `advantage`: what the
        policy adds to that, paired.
    :param chosen: strategy -> the share of the customers whom the policy would give it, 0..1.
    :param drawn_known: the share of the results whose chance of the draw was kept; that of the others is estimated.
    :param untried: the share of the results to whose customers the policy would give another strategy than they were as
        good as sure to be drawn for.
    """

    model: StrategyUplift
    effects: np.ndarray
    pseudo: np.ndarray
    best: str
    nobody: Value
    policy: Value
    single: Value
    advantage: Value
    chosen: Mapping[str, float]
    drawn_known: float
    untried: float


def learn(results: Results, seed: int = 0) -> Learnt:
    """The effects of all strategies, and what to go by them is worth.

    :raises TooFewResultsError: a strategy has too few results, see `Results.too_few`.
    """
    few = results.too_few()
    if few or not results.strategies:
        raise TooFewResultsError("; ".join(f"{name}: {why}" for name, why in few.items()) or "there are no results")
    encoder = foresight.encoder_of(results.known)
    kind = _kind(results, seed, encoder)
    rows, count = len(results), len(results.strategies)
    effects, pseudo, control = np.zeros((rows, count)), np.zeros(rows), np.zeros(rows)
    drawn, single = np.zeros(rows), np.full(rows, NOBODY)
    for held in foresight.folds_of(results.customer, FOLDS, seed + 1):
        rest, ours = results.part(~held), results.part(held)
        model = StrategyUplift(kind, seed).fit(rest, encoder)
        foreseen = model.foresight_.predict(ours.known)
        effects[held] = model.predict(ours.known) - results.costs
        pseudo[held] = pseudo_outcomes(ours.outcome, foreseen, ours.is_treated, ours.treated)
        control[held] = foreseen + ~ours.is_treated / (1 - ours.treated) * (ours.outcome - foreseen)
        drawn[held] = _drawn(model, rest, ours)
        best = _best_single(rest, model)
        single[held] = np.where(ours.open_to[:, best], best, NOBODY)
    pseudo -= results.costs[results.strategy]
    policy = greatest(effects, results.open_to)
    worth, of_single = (_scores(results, effects, pseudo, drawn, chosen) for chosen in (policy, single))
    final = StrategyUplift(kind, seed).fit(results, encoder)
    return Learnt(
        final, effects, pseudo, results.strategies[_best_single(results, final)],
        *(clustered(each, results.customer) for each in (control, worth, of_single, worth - of_single)),
        {name: float(np.mean(policy == place)) for place, name in enumerate(results.strategies)},
        float(np.mean(np.isfinite(results.drawn))), untried(results, policy),
    )  # fmt: skip


def untried(results: Results, chosen: np.ndarray) -> float:
    """The share of the results, 0..1, whose customers would get another strategy, though they were drawn for theirs by
    a chance so near to 1 that hardly anybody like them can have been drawn for another.

    :param chosen: place of a strategy, shape (n,); -1: none.
    """
    is_other = (chosen != NOBODY) & (chosen != results.strategy)
    return float(np.mean(is_other & (results.drawn > 1 - _LEAST_CHANCE)))


def is_readable(model: StrategyUplift) -> bool:
    """Whether a model that was read from the registry is of this release, and can tell effects."""
    return hasattr(model, "effects_")


def greatest(effects: np.ndarray, open_to: np.ndarray) -> np.ndarray:
    """The strategy of the greatest effect above 0 of those that a customer may get, shape (n,); -1: none."""
    free = np.where(open_to, effects, -np.inf)
    best = free.argmax(axis=1)
    return np.where(free.max(axis=1) > 0, best, NOBODY)


def pseudo_outcomes(
    outcome: np.ndarray, foreseen: np.ndarray, is_treated: np.ndarray, chance: np.ndarray
) -> np.ndarray:
    """What each row says of the effect on its customer, shape (n,): a value whose mean, given what is known, is that.

    The outcome less what was foreseen of it, times (treated - chance) / (chance (1 - chance)): Nie and Wager 2021,
    "Quasi-oracle estimation of heterogeneous treatment effects", Biometrika 108; Kennedy 2023.

    :param foreseen: by models that have not seen the customer.
    :param chance: of being treated, between 0 and 1, shape (n,).
    """
    return (outcome - foreseen) * (is_treated - chance) / (chance * (1 - chance))


def clustered(values: np.ndarray, customers: np.ndarray) -> Value:
    """Mean and standard error of values of rows, where rows of one customer go together."""
    mean = float(values.mean())
    codes, _ = pd.factorize(customers)
    sums = np.bincount(codes, values - mean)
    return Value(mean, float(np.sqrt(np.sum(sums**2)) / len(values)))


def _kind(results: Results, seed: int, encoder: Encoder) -> str:
    """The kind of foresight with the smaller squared error on customers that it has not seen."""
    folds = foresight.folds_of(results.customer, _INNER, seed + 2)
    told = {
        kind: foresight.crossed(kind, results.known, results.outcome, folds, seed, encoder) for kind in foresight.KINDS
    }
    errors = {kind: float(np.mean((results.outcome - each) ** 2)) for kind, each in told.items()}
    return min(errors, key=lambda kind: errors[kind])


def _anyway(results: Results, foreseen: np.ndarray, effects: np.ndarray) -> np.ndarray:
    """What customers would have brought without the contact, shape (n,): the share that the effect has of what was to
    be expected with it is taken off. So nothing stays nothing, and nothing falls below."""
    own = np.where(results.is_treated, effects[np.arange(len(results)), results.strategy], 0.0)
    brings = np.maximum(foreseen, 1e-12)
    return results.outcome * brings / np.maximum(brings + own, _LEAST_SHARE * brings)


def _drawn(model: StrategyUplift, rest: Results, ours: Results) -> np.ndarray:
    """The chance of the draw for the strategy that each was drawn for: kept, or estimated from what was known."""
    told = ours.drawn.copy()
    missing = ~np.isfinite(told)
    if missing.any():
        told[missing] = _estimated(model, rest, ours)[missing]
    return np.maximum(told, _LEAST_CHANCE)


def _estimated(model: StrategyUplift, rest: Results, ours: Results) -> np.ndarray:
    if len(rest.strategies) == 1:
        return np.ones(len(ours))
    fitted = LogisticRegression(C=0.1, max_iter=200).fit(model.encoder_.transform(rest.known), rest.strategy)
    shares = np.zeros((len(ours), len(rest.strategies)))
    shares[:, fitted.classes_] = fitted.predict_proba(model.encoder_.transform(ours.known))
    shares *= ours.open_to
    rows = np.arange(len(ours))
    return shares[rows, ours.strategy] / np.maximum(shares.sum(axis=1), _LEAST_CHANCE)


def _best_single(results: Results, model: StrategyUplift) -> int:
    """The strategy that brings the most if everybody gets it who may, by the mean of the effects told of them."""
    net = (model.predict(results.known) - results.costs) * results.open_to
    return int(net.mean(axis=0).argmax())


def _scores(
    results: Results, effects: np.ndarray, pseudo: np.ndarray, drawn: np.ndarray, chosen: np.ndarray
) -> np.ndarray:
    """What each row says of a policy's worth over nobody, shape (n,)."""
    rows = np.arange(len(results))
    told = np.where(chosen == NOBODY, 0.0, effects[rows, np.maximum(chosen, 0)])
    right = pseudo - effects[rows, results.strategy]
    return told + np.where(chosen == results.strategy, right / drawn, 0.0)
