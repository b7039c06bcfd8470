"""
The search for good parameters of a candidate, within a time budget, validated only later in time than it learnt.

Grid: the grid in random order; random: Bergstra and Bengio 2012; Bayesian: the tree-structured Parzen estimator
(Bergstra et al. 2011); all by Optuna. Each begins with the candidate's defaults and with what the champion has, and
stops at its last trial or when time is up. So where one trial takes all the time, the weeks together still search: what
a week has found, the next one begins with.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
import optuna
import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from segmentation import settings
from segmentation.candidates import Candidate, Range

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Fold:
    """Rows to learn from and later ones to predict. First steps that pipelines share are fitted once.

    :param learn: features, shape (n, features), and `outcomes`, shape (n,).
    :param later: features of the rows to predict, shape (m, features).
    """

    def __init__(self, learn: pd.DataFrame, outcomes: np.ndarray, later: pd.DataFrame) -> None:
        self.learn, self.outcomes, self.later = learn, outcomes, later
        self._steps: dict[str, tuple[Any, Any, Any]] = {}

    def fitted(self, pipeline: Pipeline) -> tuple[Pipeline, np.ndarray]:
        """The pipeline fitted on the rows to learn from, and what it predicts for the later ones, shape (m,)."""
        steps, learn, later = self.prepared(pipeline)
        model = clone(pipeline.steps[-1][1]).fit(learn, self.outcomes)
        fitted = Pipeline([*steps, (pipeline.steps[-1][0], model)])
        if not len(later):
            return fitted, np.empty(0)
        predicted = model.predict_proba(later)[:, 1] if self.outcomes.dtype == bool else model.predict(later)
        return fitted, predicted.astype("float64")

    def prepared(self, pipeline: Pipeline) -> tuple[list[tuple[str, Any]], Any, Any]:
        """The pipeline's first steps fitted, all but the last, with what becomes of the rows: to learn from, later."""
        steps, learn, later, key = [], self.learn, self.later, ""
        for name, step in pipeline.steps[:-1]:
            key += joblib.hash(step)
            if key not in self._steps:
                if step == "passthrough":
                    self._steps[key] = (step, learn, later)
                else:
                    made = clone(step).fit(learn, self.outcomes if self.outcomes.dtype == bool else self.outcomes > 0)
                    self._steps[key] = (made, made.transform(learn), made.transform(later) if len(later) else later)
            made, learn, later = self._steps[key]
            steps.append((name, made))
        return steps, learn, later


@dataclass(frozen=True)
class Found:
    """What a search came to: the best parameters, and one row per trial in `trials`: parameters, score, seconds."""

    candidate: Candidate
    params: dict[str, Any]
    score: float
    trials: pd.DataFrame


def search(
    candidate: Candidate,
    score: Callable[[Pipeline], float],
    seconds: float,
    config: settings.Training,
    known: Mapping[str, Any] | None = None,
) -> Found:
    """Tries parameters of a candidate, the defaults first.

    :param score: of an unfitted pipeline; more is better.
    :param seconds: after which no new trial begins, but for the defaults and the known ones.
    :param known: parameters that have done well before; tried whatever time it takes.
    """

    def tried(trial: optuna.Trial) -> float:
        return score(
            candidate.pipeline({name: _suggested(trial, name, each) for name, each in candidate.space.items()})
        )

    study = optuna.create_study(direction="maximize", sampler=_sampler(candidate, config))
    study.enqueue_trial({name: candidate.defaults[name] for name in candidate.space})
    if config.search != "none" and known and candidate.space and set(candidate.space) <= set(known):
        study.enqueue_trial({name: known[name] for name in candidate.space}, skip_if_exists=True)
    first = len(study.get_trials(states=[optuna.trial.TrialState.WAITING]))
    begun = time.monotonic()
    study.optimize(tried, n_trials=first)
    more = config.search_trials - first if candidate.space and config.search != "none" else 0
    left = seconds - (time.monotonic() - begun)
    if more > 0 and left > 0:
        study.optimize(tried, n_trials=more, timeout=left)
    done = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    rows = [{**each.params, "score": each.value, "seconds": each.duration.total_seconds()} for each in done]
    return Found(candidate, {**candidate.defaults, **study.best_params}, study.best_value, pd.DataFrame(rows))


def _sampler(candidate: Candidate, config: settings.Training) -> optuna.samplers.BaseSampler:
    if config.search == "grid" and candidate.space:
        grid = {name: _values(each) for name, each in candidate.space.items()}
        return optuna.samplers.GridSampler(grid, seed=config.seed)
    if config.search == "random":
        return optuna.samplers.RandomSampler(seed=config.seed)
    return optuna.samplers.TPESampler(seed=config.seed, n_startup_trials=4)


def _suggested(trial: optuna.Trial, name: str, each: Range) -> float:
    if each.is_whole:
        return trial.suggest_int(name, int(each.low), int(each.high), log=each.by_factors)
    return trial.suggest_float(name, each.low, each.high, log=each.by_factors)


def _values(each: Range) -> list[float]:
    """The values of a grid."""
    space = np.geomspace if each.by_factors else np.linspace
    values = space(each.low, each.high, each.grid)
    return sorted({round(value) for value in values}) if each.is_whole else [float(value) for value in values]
