"""
classify: `feat.training_examples` -> one model per target: churn, purchase, high value, newcomers, service, spend.

Candidates are tuned and compared later in time than they learnt (`contest`). What was chosen is judged once on the
newest cutoff whose outcome is known, by a model that learnt only from outcomes known on that day, and compared there
with the champion's recipe, learnt from the same rows: the champion itself has seen most of the test's outcomes. The
registered model then learns from every outcome known on the training day.
"""

import datetime as dt
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from segmentation import (
    candidates,
    contest,
    examples,
    judge,
    lake,
    model_report,
    pictures,
    recipes,
    scoring,
    season,
    selection,
    settings,
    tables,
)
from segmentation.contest import Contest
from segmentation.ensembles import AmountEnsemble, ProbabilityEnsemble
from segmentation.examples import Examples
from segmentation.fairness import wilson
from segmentation.model_artifact import UntrustedModelError
from segmentation.preparation import NoFeaturesError
from segmentation.recipes import Recipe
from segmentation.registry import NoModelError, Registry
from segmentation.settings import Stores
from segmentation.training_run import TrainingRun

_NEWEST_ROWS = 50_000
_NORMAL_95 = 1.959964
# Targets that follow how busy the shop is, and whether a busy day makes more of them or fewer
_SEASONAL = {tables.PURCHASE: 1, tables.CHURN: -1, tables.NEWCOMER: 1}


def train_target(model: str, day: dt.date, stores: Stores) -> dict[str, Any]:
    """Chooses, fits, judges and registers the model of one target on one training day, not yet promoted.

    :param model: a key of `tables.TARGETS`.
    :returns: `model`, `version` and `metrics`; or `model` and `skipped`, the reason why the data do not allow it.
    :raises selection.LeakError: a feature knows the future; what the run holds by then says which.
    """
    target, config = tables.TARGETS[model], settings.load().training
    horizon_days = getattr(settings.load().targets, target.horizon)
    registry = Registry(stores.registry, stores.marketing)
    with registry.training(model, day) as run:
        run.params({"target": target.label, "horizon_days": horizon_days, **config.model_dump()})
        data = examples.read(target, day, stores, config)
        train, test = examples.split(data, horizon_days)
        reason = too_few(train, test, target, horizon_days, config)
        if reason:
            return _skipped(run, model, reason)
        run.dataset(data.features.assign(**{target.label: data.outcomes}), tables.TRAINING_EXAMPLES, target.label)
        dictionary = lake.beside(stores.lake, tables.TRAINING_EXAMPLES, day, tables.DICTIONARY)
        run.text(lake.read_text(dictionary) or "", tables.DICTIONARY)
        run.params({"train_rows": len(train), "test_rows": len(test), "test_cutoff": f"{test.days[0]}"})
        newest = examples.newest(target, day, stores, _NEWEST_ROWS, config.seed)
        _refuse_leaks(train, newest, target, run, config)
        known = _champion(registry, model, day)
        try:
            told = examples.demand(day, stores) if target in _SEASONAL else None
            season_at = partial(_season, told, horizon_days)
            held, numbers = _judged(target, horizon_days, data, newest, known, season_at, run, config)
            recipe, final = _final(target, held, data, newest, season_at(day), day, config)
        except NoFeaturesError as error:
            return _skipped(run, model, f"{error}")
        run.metrics(numbers)
        columns = model_report.columns_of(final, list(data.features.columns))
        sample = data.features[columns].head(100)
        metadata = {
            "columns": columns,
            "target": target.label,
            "horizon_days": horizon_days,
            "recipe": recipe.as_dict(),
            "tested_recipe": held.recipe.as_dict(),  # as yet without the test's outcomes
            "bands": bands(target, predict(final, newest[columns])),
        }
        version = run.register(model, final, sample, predict(final, sample), metadata)
    return {"model": model, "version": version, "metrics": numbers}


def too_few(
    train: Examples, test: Examples, target: tables.Target, horizon_days: int, config: settings.Training
) -> str | None:
    """Why a target can't be trained, in words; None if it can."""
    if not len(test):
        return (
            f"no example has a known {target.label}: no cutoff lies {horizon_days} days or more before the training "
            "day, or there is nobody to predict it for, or nothing to tell it by"
        )
    if not len(train):
        return f"the history is too short: no cutoff lies {2 * horizon_days} days or more before the training day"
    for part, name in ((train, "training"), (test, "test")):
        if not examples.is_enough(part, config.min_examples):
            positives = int((part.outcomes > 0).sum())
            return (
                f"{positives} positives and {len(part) - positives} negatives of {target.label} among the {name} "
                f"examples; {config.min_examples} of each are needed"
            )
    return None


def predict(ensemble: ProbabilityEnsemble | AmountEnsemble, features: pd.DataFrame) -> np.ndarray:
    """The probability, or the amount, shape (n,)."""
    if not len(features):
        return np.empty(0)
    if isinstance(ensemble, ProbabilityEnsemble):
        return ensemble.predict_proba(features)[:, 1]
    return ensemble.predict(features)


def bands(target: tables.Target, newest: np.ndarray) -> dict[str, float]:
    """Where the bands of a target begin that is published as bands, by shares of the customers as of the training day.

    They hold until the next training, so that a customer's band changes for what the customer does.

    :param newest: predictions of those whom it is made for, shape (n,).
    """
    shares = settings.load().targets
    if target is tables.NEWCOMER:
        cuts = {"high": 1 - shares.high_potential_share, "low": shares.low_potential_share}
    elif target is tables.SERVICE:
        cuts = {"high": 1 - shares.high_risk_share, "medium": 1 - shares.high_risk_share - shares.medium_risk_share}
    else:
        return {}
    # where there is nobody to go by, half is the border of everything
    return {name: float(np.quantile(newest, share)) if len(newest) else 0.5 for name, share in cuts.items()}


def _judged(
    target: tables.Target,
    horizon_days: int,
    data: Examples,
    newest: pd.DataFrame,
    known: Recipe | None,
    season_at: Callable[[dt.date], season.Season],
    run: TrainingRun,
    config: settings.Training,
) -> tuple[Contest, dict[str, float]]:
    """The contest, and the metrics of its winner on the test cutoff; its predictions there join those it keeps.

    :raises NoFeaturesError: nothing varies.
    """
    begun = time.monotonic()
    train, test = examples.split(data, horizon_days)
    offered = _offered(train, newest, config)
    tried = dict(known.members) if known else {}
    sign, there, cutoff = _SEASONAL.get(target, 0), season_at(test.days[0]), test.days[0]
    held = contest.hold(
        train,
        horizon_days,
        offered,
        config,
        tried,
        told=print,
        shift=lambda day, learn: sign * there.shift(day, learn.cutoffs),
    )
    held = replace(held, recipe=replace(held.recipe, season=_signed(sign, there.year_of(cutoff, train.cutoffs))))
    model_report.contest(run, held)
    run.params({"season_repeats": round(there.repeats, 3)})
    ensemble, predicted = contest.fitted(held.recipe, offered, train, test.features)
    if target is tables.HIGH_VALUE:
        held = replace(held, recipe=recipes.levelled(held.recipe, predicted, float(train.outcomes.mean())))
        ensemble.intercept = held.recipe.intercept
    recipe, ensemble = held.recipe.on(cutoff), ensemble.on(cutoff)
    if target.is_amount:
        numbers = model_report.amounts(run, recipe, test, predicted, config, ensemble)
    else:
        numbers = model_report.probabilities(run, target, recipe, ensemble, test, predicted, config)
        numbers |= _rates_of_bands(target, recipe.predicted(predicted, False), test.outcomes)
    numbers |= _over_champion(target, recipe, known, offered, train, test, predicted, config)
    if config.has_learning_curve:
        curve = contest.learning_curve(held.recipe, offered, train, horizon_days, config)
        model_report.learning_curve(run, curve, target.is_amount)
    numbers["training_seconds"] = time.monotonic() - begun
    return held.joined(predicted, test, sign * there.shift(cutoff, train.cutoffs)), numbers


def _rates_of_bands(target: tables.Target, probability: np.ndarray, outcomes: np.ndarray) -> dict[str, float]:
    """What is promised of a target that is published as bands, as `performance` measures it later: `rate_<band>`, for
    how many of a band it came true on the test cutoff, with the interval's ends (`fairness.wilson`). Bands begin there
    as they begin for the newest customers: by shares."""
    limits = bands(target, probability)
    if not limits:
        return {}
    found: dict[str, float] = {}
    names = scoring.banded(target, probability, limits)
    for name, inside in pd.Series(outcomes.astype(float)).groupby(names):
        low, high = wilson(rate := float(inside.mean()), len(inside), _NORMAL_95)
        found |= {f"rate_{name}": rate, f"rate_{name}_low": low, f"rate_{name}_high": high}
    return found


def _final(
    target: tables.Target,
    held: Contest,
    data: Examples,
    newest: pd.DataFrame,
    there: season.Season,
    day: dt.date,
    config: settings.Training,
) -> tuple[Recipe, ProbabilityEnsemble | AmountEnsemble]:
    """The recipe, calibrated by all that was predicted later in time, learnt from every outcome that is known."""
    year = _signed(_SEASONAL.get(target, 0), there.year_of(day, data.cutoffs))
    recipe = replace(held.calibrated(config), season=year)
    offered = _offered(data, newest, config)
    final, predicted = contest.fitted(recipe, offered, data, newest)
    if target is tables.HIGH_VALUE:
        recipe = recipes.levelled(recipe, predicted, float(data.outcomes.mean()))
        final.intercept = recipe.intercept
    return recipe, final


def _season(told: pd.DataFrame | None, horizon_days: int, day: dt.date) -> season.Season:
    """The season of a target as a day knows it."""
    return season.of(told, horizon_days, settings.load().targets.near_days, day)


def _signed(sign: int, year: Mapping[str, float]) -> dict[str, float]:
    return {day: sign * shift for day, shift in year.items()}


def _offered(train: Examples, newest: pd.DataFrame, config: settings.Training) -> list[candidates.Candidate]:
    """The candidates that the examples allow."""
    is_amount = train.outcomes.dtype != bool
    filled = train.features.columns[train.features.notna().any()]
    missing = newest.isna().mean().to_dict() if len(newest) else {}
    make = candidates.for_amounts if is_amount else candidates.for_probabilities
    return make(filled, missing, len(train), config)


def _over_champion(
    target: tables.Target,
    recipe: Recipe,
    known: Recipe | None,
    offered: list[candidates.Candidate],
    train: Examples,
    test: Examples,
    predicted: np.ndarray,
    config: settings.Training,
) -> dict[str, float]:
    """How the champion's recipe does, learnt from the same rows, and what the new one gains over it; empty without one.

    :param predicted: by the new recipe's members on the test.
    """
    able = {each.name: set(each.defaults) for each in offered}
    if known is None or not all(name in able and set(params) <= able[name] for name, params in known.members):
        return {}
    before = predicted
    if known.members != recipe.members:
        _, before = contest.fitted(known, offered, train, test.features)
    if target is tables.HIGH_VALUE:
        known = recipes.levelled(known, before, float(train.outcomes.mean()))
    known = known.on(test.days[0])
    new, old = recipe.predicted(predicted, target.is_amount), known.predicted(before, target.is_amount)
    if target.is_amount:
        there = judge.judge_amounts(test.outcomes, old)
        gains = judge.amount_gain(test.outcomes, new, old, seed=config.seed)
        shown = ("spearman", "mean_tweedie_deviance", "spend_share_top_tenth", "total_ratio")
    else:
        there = judge.judge(test.outcomes, old)
        gains = judge.gain(test.outcomes, new, old, seed=config.seed)
        shown = ("auc", "log_loss", "brier", "calibration_error")
    return model_report.finite({**gains, **{f"champion_{name}": there[name] for name in shown}})


def _champion(registry: Registry, model: str, day: dt.date) -> Recipe | None:
    """The recipe of the model that scores the training day as yet; None if there is none, or it is of an old kind.

    It is the one that its own test judged: what was calibrated with that test's outcomes would know those of this one.
    """
    try:
        _, metadata = registry.load(registry.resolve(model, day))
    except (NoModelError, UntrustedModelError):
        return None
    return Recipe.of(metadata["tested_recipe"]) if "tested_recipe" in metadata else None


def _refuse_leaks(
    train: Examples, newest: pd.DataFrame, target: tables.Target, run: TrainingRun, config: settings.Training
) -> None:
    """What the features tell about the target stays in the run; no outcome of the test is used.

    :raises selection.LeakError: a feature knows the future.
    """
    missing = newest.isna().mean() if len(newest) else None
    selected = selection.select(train.features, train.outcomes > 0, config, missing)
    run.text(selected.table.to_csv(index=False, float_format="%.6g"), "selection.csv")
    run.picture(pictures.feature_selection(selected.table), "selection")
    kept = len(selected.kept)
    run.params({"features_kept": kept, "features_dropped": train.features.shape[1] - kept})
    selection.refuse_leaks(selected, target.label, config)


def _skipped(run: TrainingRun, model: str, reason: str) -> dict[str, Any]:
    run.params({"skipped": reason})
    return {"model": model, "skipped": reason}
