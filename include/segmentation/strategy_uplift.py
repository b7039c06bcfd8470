"""
What each strategy changes for each customer, learnt from randomised results of many campaigns; and what a policy is
worth that goes by it.

Each result is of one contact: a customer was drawn for a strategy, and held out of it by a chance that is known. So the
effect of a strategy is learnt from its own results (`effect_shapes`: a DR-learner in one step). It is taken to be alike
for all, unless another shape foretells held-out results better, by more than one standard error (Breiman, Friedman,
Olshen and Stone 1984, "Classification and Regression Trees", section 3.4.3). No customer is on both sides of a fold.

**What a policy is worth** is told by the doubly robust off-policy value (Dudik, Langford and Li 2011, ICML): the effect
of the strategy that the policy chooses, as foreseen by models that have not seen the customer, put right by what
happened where the policy would have drawn the same, divided by the chance of that draw. It is told against nobody, and
against everybody the best single offer, which is chosen without the fold that it is judged on. Whoever may not get a
strategy gets none. Intervals are 95%, and count each customer once, however many contacts there were.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression

from segmentation import effect_shapes, foresight
from segmentation.effect_shapes import ALIKE, SHAPES, EffectShape, Told
from segmentation.foresight import Foresight
from segmentation.policy_value import Value
from segmentation.preparation import Encoder

LEAST = 50  # contacts in each arm of a strategy, below which it is not learnt
FOLDS, _INNER = 5, 3
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
            self.treated[rows], self.drawn[rows], self.open_to[rows], self.outcome[rows], self.costs,
        )  # fmt: skip

    def of(self, places: Sequence[int]) -> "Results":
        """Only the results of some strategies, which become all there are."""
        number = np.full(len(self.strategies), NOBODY)
        number[list(places)] = np.arange(len(places))
        rows = number[self.strategy] != NOBODY
        kept = self.part(rows)
        return Results(
            kept.known, kept.customer, tuple(self.strategies[place] for place in places), number[kept.strategy],
            kept.is_treated, kept.treated, kept.drawn, kept.open_to[:, list(places)], kept.outcome,
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

    After `fit`: `strategies_`, and in their order `shapes_`; `foresight_` and `encoder_`.
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
        folds = foresight.folds_of(results.customer, _INNER, self.seed)
        self.encoder_ = encoder or foresight.encoder_of(results.known)
        known, outcome = results.known, results.outcome
        foreseen = foresight.crossed(self.kind, known, outcome, folds, self.seed, self.encoder_)
        self.foresight_ = Foresight(self.kind, self.seed).fit(known, outcome, self.encoder_)
        brings = np.log1p(np.maximum(foreseen, 0))
        self.centre_, self.unit_ = float(brings.mean()), max(float(brings.std()), 1e-12)
        self.bounds_ = None
        encoded = self._encoded(results.known, foreseen)
        self.bounds_ = np.stack([encoded.min(axis=0), encoded.max(axis=0)])
        pseudo = effect_shapes.pseudo_outcomes(results.outcome, foreseen, results.is_treated, results.treated)
        size = effect_shapes.usual_size(pseudo, foreseen)
        self.shapes_ = []
        for place in range(len(results.strategies)):
            here = results.strategy == place
            rows = (encoded[here], foreseen[here], pseudo[here], size[here])
            self.shapes_.append(EffectShape(_shape(rows, [held[here] for held in folds])).fit(*rows))
        return self

    def tell(self, known: pd.DataFrame) -> Told:
        """Mean and standard deviation of each effect, shape (n, S) each."""
        foreseen = self.foresight_.predict(known)
        encoded = self._encoded(known, foreseen)
        told = [shape.predict(encoded, foreseen) for shape in self.shapes_]
        return Told(np.column_stack([each.mean for each in told]), np.column_stack([each.spread for each in told]))

    def predict(self, known: pd.DataFrame) -> np.ndarray:
        """The mean effects, shape (n, S)."""
        return self.tell(known).mean

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
        pseudo[held] = effect_shapes.pseudo_outcomes(ours.outcome, foreseen, ours.is_treated, ours.treated)
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
        float(np.mean(np.isfinite(results.drawn))),
    )  # fmt: skip


def greatest(effects: np.ndarray, open_to: np.ndarray) -> np.ndarray:
    """The strategy of the greatest effect above 0 of those that a customer may get, shape (n,); -1: none."""
    free = np.where(open_to, effects, -np.inf)
    best = free.argmax(axis=1)
    return np.where(free.max(axis=1) > 0, best, NOBODY)


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


def _shape(rows: tuple[np.ndarray, ...], folds: Sequence[np.ndarray]) -> str:
    """The shape to go by: the one with the smallest squared error on held-out rows, each by its usual size, if it is
    smaller than that of `alike` by more than its standard error."""
    encoded, foreseen, pseudo, size = rows
    if any(held.all() for held in folds):
        return ALIKE
    errors = {}
    for shape in SHAPES:
        told = np.zeros(len(pseudo))
        for held in folds:
            if held.any():
                made = EffectShape(shape).fit(encoded[~held], foreseen[~held], pseudo[~held], size[~held])
                told[held] = made.predict(encoded[held], foreseen[held]).mean
        errors[shape] = ((pseudo - told) / size) ** 2
    best = min(errors, key=lambda shape: errors[shape].mean())
    gain = errors[ALIKE] - errors[best]
    return best if gain.mean() > gain.std() / np.sqrt(len(gain)) else ALIKE


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
