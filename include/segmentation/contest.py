"""
Which model predicts a target: every candidate tuned, compared with the blend of its members, and one of them chosen.

All of it happens on the training part, at cutoffs that are later than what was learnt (`examples.folds`). The blend is
the mean of its members with stacked weights. It is chosen unless a candidate beats it beyond chance: the 95% interval
of the difference, over customers of the newest validation cutoff, lies above 0. Averages of shrunk models are hard to
beat, and a few hundred customers cannot tell the best of eight from the luckiest; where the shop is small, the rules
among the members hold the blend near to them. Nor does a candidate win alone whose scores come without reasons that can
be relied on (`Candidate.has_reasons`): the reason says by how much it was ahead.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import norm
from sklearn.metrics import mean_tweedie_deviance, roc_auc_score
from sklearn.pipeline import Pipeline

from segmentation import amount_blend, judge, settings
from segmentation.candidates import BLEND, Candidate
from segmentation.ensembles import AmountEnsemble, ProbabilityEnsemble, member_logit, stacked
from segmentation.examples import Examples, folds
from segmentation.recipes import Recipe, calibrated
from segmentation.search import Fold, Found, search


@dataclass(frozen=True)
class Contest:
    """What was tried, and what was chosen.

    :param table: one row per candidate, the best first: `candidate`, `score` (mean over the validation cutoffs: AUC, or
        less the Tweedie deviance), `score_std`, `gain`, `gain_low`, `gain_high` (over the blend, newest validation
        cutoff), `is_rule`, `is_member`, `has_reasons`, `trials`, `params`.
    :param found: candidate -> its search.
    :param scores: candidate -> its score at each validation cutoff, the newest first.
    :param reason: why the chosen one, in words.
    :param logits: predictions of the recipe's members on the validation cutoffs, shape (rows, members), and
        `outcomes`, `cutoffs`, `customers` and `shifts` (by the season) of these rows; no rows where there was nothing
        to validate on.
    """

    recipe: Recipe
    reason: str
    table: pd.DataFrame
    found: dict[str, Found] = field(default_factory=dict)
    scores: dict[str, list[float]] = field(default_factory=dict)
    logits: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    outcomes: np.ndarray = field(default_factory=lambda: np.empty(0))
    cutoffs: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=object))
    customers: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=object))
    shifts: np.ndarray = field(default_factory=lambda: np.empty(0))

    def joined(self, predicted: np.ndarray, later: Examples, shift: float = 0.0) -> "Contest":
        """With the members' predictions of more rows that they have not learnt from.

        :param shift: by the season of these.
        """
        return replace(
            self,
            logits=np.concatenate([self.logits, predicted]) if len(self.outcomes) else predicted,
            outcomes=np.concatenate([self.outcomes, later.outcomes]) if len(self.outcomes) else later.outcomes,
            cutoffs=np.concatenate([self.cutoffs, later.cutoffs]),
            customers=np.concatenate([self.customers, later.customers]),
            shifts=np.concatenate([self.shifts, np.full(len(later), shift)]),
        )

    def calibrated(self, config: settings.Training) -> Recipe:
        """The recipe, calibrated by these predictions; see `recipes.calibrated`."""
        rows = self.logits, self.outcomes, self.cutoffs
        return calibrated(self.recipe, *rows, config, self.customers, self.shifts)


def hold(
    train: Examples,
    horizon_days: int,
    offered: list[Candidate],
    config: settings.Training,
    known: Mapping[str, dict[str, Any]] | None = None,
    told: Callable[[str], None] = lambda _: None,
    shift: Callable[[dt.date, Examples], float] = lambda day, learn: 0.0,
) -> Contest:
    """Tunes, compares and chooses.

    :param train: the training part; never the test.
    :param known: candidate -> parameters that the champion has: they are tried too.
    :param told: is told of progress, in words.
    :param shift: what the season of a day adds to the log-odds, for models that have learnt from some rows.
    """
    is_amount = train.outcomes.dtype != bool
    rounds, shifts = [], []
    for learn, later in folds(train, horizon_days, config):
        part = learn.sampled(config.search_rows, config.seed)
        rounds.append((_fold(part, later), later))
        shifts.append(np.full(len(later), shift(later.days[0], part)))
    if not rounds:
        members = [each for each in offered if each.is_member]
        weights = amount_blend.at_first([each.name for each in members]) if is_amount else _equal(len(members))
        recipe = Recipe(BLEND, tuple((each.name, dict(each.defaults)) for each in members), weights)
        reason = "the history is too short to compare candidates later in time: the blend with its defaults"
        return Contest(recipe, reason, pd.DataFrame({"candidate": [BLEND]}))
    actual = [later.outcomes for _, later in rounds]
    cutoffs = np.concatenate([later.cutoffs for _, later in rounds])
    customers = np.concatenate([later.customers for _, later in rounds])
    predictions: dict[str, list[np.ndarray]] = {}
    found: dict[str, Found] = {}
    tunable = sum(bool(each.space) for each in offered)
    for candidate in offered:
        best = -np.inf

        def score(pipeline: Pipeline, name: str = candidate.name) -> float:
            nonlocal best
            predicted = [fold.fitted(pipeline)[1] for fold, _ in rounds]
            value = float(np.mean([_score(*each, is_amount) for each in zip(actual, predicted, strict=True)]))
            if value > best:
                best, predictions[name] = value, predicted
            return value

        for fold, _ in rounds:
            fold.prepared(candidate.pipeline(candidate.defaults))  # what all trials share is not of the search's time
        seconds = config.search_seconds / max(tunable, 1)
        found[candidate.name] = search(candidate, score, seconds, config, (known or {}).get(candidate.name))
        told(f"{candidate.name}: {best:.4f} after {len(found[candidate.name].trials)} trials")
    members = [each.name for each in offered if each.is_member]
    blend, blended = _blend(members, predictions, actual, cutoffs, customers, config)
    predictions[BLEND] = blended
    scores = {
        name: [_score(*each, is_amount) for each in zip(actual, predicted, strict=True)]
        for name, predicted in predictions.items()
    }
    table = _table(offered, found, scores, predictions, actual[0], config)
    chosen, reason = _choice(table)
    names = members if chosen == BLEND else [chosen]
    logits = np.concatenate([_stack(names, predictions, n, is_amount) for n in range(len(rounds))])
    outcomes = np.concatenate(actual)
    weights = blend if chosen == BLEND else (1.0,)
    recipe = Recipe(chosen, tuple((name, found[name].params) for name in names), tuple(weights))
    held = Contest(recipe, reason, table, found, scores, logits, outcomes, cutoffs, customers, np.concatenate(shifts))
    return replace(held, recipe=held.calibrated(config))


def fitted(
    recipe: Recipe, offered: list[Candidate], learn: Examples, later: pd.DataFrame
) -> tuple[ProbabilityEnsemble | AmountEnsemble, np.ndarray]:
    """The recipe learnt from some rows, and its members' predictions of later ones, shape (m, members)."""
    by_name = {each.name: each for each in offered}
    fold = Fold(learn.features, learn.outcomes, later)
    made = [(name, *fold.fitted(by_name[name].pipeline(params))) for name, params in recipe.members]
    members = [(name, pipeline) for name, pipeline, _ in made]
    if learn.outcomes.dtype == bool:
        calibration = {"slope": recipe.slope, "intercept": recipe.intercept, "season": dict(recipe.season)}
        ensemble = ProbabilityEnsemble.of(members, recipe.weights, **calibration)
        return ensemble, np.column_stack([member_logit(predicted) for *_, predicted in made])
    ensemble = AmountEnsemble.of(members, recipe.weights, factor=recipe.slope)
    return ensemble, np.column_stack([np.maximum(predicted, 0) for *_, predicted in made])


def learning_curve(
    recipe: Recipe, offered: list[Candidate], train: Examples, horizon_days: int, config: settings.Training
) -> pd.DataFrame:
    """How the recipe's score at the newest validation cutoff grows with the examples: `rows`, `score`, `seed`.

    :returns: no rows where there is nothing to validate on.
    """
    found = []
    for learn, later in folds(train, horizon_days, config):
        for share in (0.05, 0.1, 0.25, 0.5, 1.0):
            rows = int(share * len(learn))
            for seed in range(1 if share == 1 else 2):
                part = learn.sampled(rows, config.seed + seed)
                if rows < 200 or len(set(part.outcomes > 0)) < 2:
                    continue
                ensemble, _ = fitted(recipe, offered, part, later.features.head(1))
                found.append({"rows": rows, "score": _score_of(ensemble, later), "seed": seed})
        break
    return pd.DataFrame(found, columns=["rows", "score", "seed"])


def _score_of(ensemble, later: Examples) -> float:
    is_amount = later.outcomes.dtype != bool
    predicted = ensemble.predict(later.features) if is_amount else ensemble.predict_proba(later.features)[:, 1]
    return _score(later.outcomes, predicted, is_amount)


def _fold(learn: Examples, later: Examples) -> Fold:
    return Fold(learn.features, learn.outcomes, later.features)


def _equal(members: int) -> tuple[float, ...]:
    return tuple([1 / members] * members)


def _score(actual: np.ndarray, predicted: np.ndarray, is_amount: bool) -> float:
    """AUC; of amounts less the deviance, after a factor that makes the sum right: calibration comes later."""
    if not is_amount:
        return float(roc_auc_score(actual, predicted))
    amounts = np.maximum(predicted, 0)
    factor = actual.sum() / amounts.sum() if amounts.sum() > 0 else 1.0
    unit = max(actual.mean(), 1e-9)
    return -float(mean_tweedie_deviance(actual / unit, np.maximum(factor * amounts / unit, 1e-3), power=1.5))


def _stack(names: list[str], predictions: dict[str, list[np.ndarray]], fold: int, is_amount: bool) -> np.ndarray:
    columns = [predictions[name][fold] for name in names]
    return np.column_stack([np.maximum(each, 0) if is_amount else member_logit(each) for each in columns])


def _blend(
    members: list[str],
    predictions: dict[str, list[np.ndarray]],
    actual: list[np.ndarray],
    cutoffs: np.ndarray,
    customers: np.ndarray,
    config: settings.Training,
) -> tuple[tuple[float, ...], list[np.ndarray]]:
    """(weights, predictions of each fold): amounts by `amount_blend`, logits stacked."""
    is_amount = actual[0].dtype != bool
    stacks = [_stack(members, predictions, n, is_amount) for n in range(len(actual))]
    if is_amount:
        every = np.concatenate(stacks), np.concatenate(actual)
        weights = amount_blend.weights(members, *every, cutoffs, customers, config.seed)
        return weights, [stack @ np.array(weights) for stack in stacks]
    shares, slope, intercept = stacked(
        np.concatenate(stacks), np.concatenate(actual), cutoffs, config.stacking_rows, config.stacking_cutoffs
    )
    return tuple(shares), [expit(intercept + slope * stack @ np.array(shares)) for stack in stacks]


def _table(
    offered: list[Candidate],
    found: dict[str, Found],
    scores: dict[str, list[float]],
    predictions: dict[str, list[np.ndarray]],
    newest: np.ndarray,
    config: settings.Training,
) -> pd.DataFrame:
    kinds = {each.name: each for each in offered}
    rows = []
    for name, predicted in predictions.items():
        row: dict[str, Any] = {"candidate": name, "score": np.mean(scores[name]), "score_std": np.std(scores[name])}
        if name != BLEND:
            gain = _gain(newest, predicted[0], predictions[BLEND][0], config.seed)
            row |= dict(zip(("gain", "gain_low", "gain_high"), gain, strict=True))
            row |= {each: getattr(kinds[name], each) for each in ("is_rule", "is_member", "has_reasons")}
            row |= {"trials": len(found[name].trials), "params": str(found[name].params)}
        rows.append(row)
    return pd.DataFrame(rows).sort_values("score", ascending=False, kind="stable", ignore_index=True)


def _gain(actual: np.ndarray, new: np.ndarray, old: np.ndarray, seed: int) -> tuple[float, float, float]:
    if actual.dtype == bool:
        gains, name = judge.gain(actual, new, old, seed=seed), "auc_gain"
    else:
        gains, name = judge.amount_gain(actual, new, old, seed=seed), "mean_tweedie_deviance_gain"
    return gains[name], gains[f"{name}_low"], gains[f"{name}_high"]


def _choice(table: pd.DataFrame) -> tuple[str, str]:
    """The blend, unless one with reasons is better on average and beyond chance: one of several is, by luck, more often
    than once in twenty, so the interval is widened for as many as there are (Bonferroni)."""
    blend = table.loc[table["candidate"] == BLEND, "score"].iloc[0]
    others = table[table["candidate"] != BLEND]
    wider = norm.ppf(1 - 0.025 / max(len(others), 1)) / norm.ppf(0.975)
    sure = others["gain"] - wider * (others["gain"] - others["gain_low"])
    better = others[(sure > 0) & (others["score"] > blend)]
    has_reasons = better["has_reasons"].astype(bool)
    told = "".join(
        f"; {row.candidate} beats the blend by {row.gain:.4f}, but reasons for its scores cannot be told faithfully, "
        "so it does not win alone"
        for row in better[~has_reasons].itertuples()
    )
    better = better[has_reasons]
    if better.empty:
        return BLEND, f"no candidate {'with reasons ' if told else ''}beats the blend beyond chance{told}"
    best = better.iloc[0]
    kind = "the rule " if best["is_rule"] else ""
    return best["candidate"], (
        f"{kind}{best['candidate']} beats the blend by {best['gain']:.4f} at the newest validation cutoff "
        f"(95% interval {best['gain_low']:.4f} to {best['gain_high']:.4f}) and on average{told}"
    )
