"""
What is tried for a target: pipelines from features to a prediction, what may be tuned of each, and their blend.

Every pipeline has the steps `select`, `encode` and `model`. Defaults are strongly regularised: on the public logs, of a
few thousand customers, shallow boosting and a heavily shrunk logistic regression on power-transformed features rank
better than untuned ones, and their mean with the two rules better than either; see docs/models.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, TweedieRegressor
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from xgboost import XGBClassifier, XGBRegressor

from segmentation import settings
from segmentation.baselines import RFM, Columns, KnownAmount, LimitedAmount, Quintiles
from segmentation.preparation import Encoder, FeatureSelector, scaled_numbers

BLEND, PURCHASE_MODEL = "blend", "purchase_model"
_TWEEDIE = 1.5  # between counts (1) and amounts above 0 (2): many zeros and a long tail


@dataclass(frozen=True)
class Range:
    """What a parameter may be: from `low` to `high`, evenly or by factors; `grid` values for a grid search."""

    low: float
    high: float
    by_factors: bool = False
    is_whole: bool = False
    grid: int = 3


@dataclass(frozen=True)
class Candidate:
    """One kind of model.

    :param make: from the model's parameters to an unfitted pipeline.
    :param defaults: tried first, and used where there is nothing to tune on.
    :param space: parameter -> what it may be; empty: nothing to tune.
    :param is_rule: a simple rule, the one to beat.
    :param is_member: part of the blend.
    :param has_reasons: what its features add can be told as Shapley values at a cost that a day's scoring can bear (see
        `explain`). One of which it cannot is tried and shown, and does not win alone.
    """

    name: str
    make: Callable[..., Pipeline]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    space: Mapping[str, Range] = field(default_factory=dict)
    is_rule: bool = False
    is_member: bool = False
    has_reasons: bool = True

    def pipeline(self, params: Mapping[str, Any] | None = None) -> Pipeline:
        """An unfitted pipeline, with the defaults where `params` says nothing."""
        return self.make(**{**self.defaults, **(params or {})})


_BOOSTING = {
    "max_depth": Range(1, 4, is_whole=True),
    "learning_rate": Range(0.02, 0.1, by_factors=True),
    "n_estimators": Range(80, 250, is_whole=True),
    "reg_lambda": Range(1, 100, by_factors=True),
    "min_child_weight": Range(5, 100, by_factors=True),
    "colsample_bytree": Range(0.2, 0.8),
}
_LEAVES = {
    "num_leaves": Range(3, 12, is_whole=True),
    "learning_rate": Range(0.02, 0.1, by_factors=True),
    "n_estimators": Range(80, 250, is_whole=True),
    "reg_lambda": Range(1, 100, by_factors=True),
    "min_child_samples": Range(20, 200, by_factors=True, is_whole=True),
    "colsample_bytree": Range(0.2, 0.8),
}
_TREE = {
    "max_depth": Range(3, 8, is_whole=True),
    "min_samples_leaf": Range(0.002, 0.05, by_factors=True),
}
_FOREST = {
    "max_depth": Range(4, 10, is_whole=True),
    "min_samples_leaf": Range(10, 100, by_factors=True, is_whole=True),
    "max_features": Range(0.05, 0.4, by_factors=True),
}
_XGBOOST_DEFAULTS = {
    "max_depth": 2,
    "learning_rate": 0.04,
    "n_estimators": 200,
    "reg_lambda": 10,
    "min_child_weight": 10,
    "colsample_bytree": 0.5,
}
_LIGHTGBM_DEFAULTS = {
    "num_leaves": 4,
    "learning_rate": 0.04,
    "n_estimators": 150,
    "reg_lambda": 10,
    "min_child_samples": 50,
    "colsample_bytree": 0.5,
}
_FOREST_DEFAULTS = {"max_depth": 6, "min_samples_leaf": 20, "max_features": 0.2}


def for_probabilities(
    columns: pd.Index, missing_newest: Mapping[str, float], rows: int, config: settings.Training
) -> list[Candidate]:
    """The candidates for a target that happens or not, as far as the features allow; rules first.

    :param columns: of the features that hold a value at all.
    :param missing_newest: feature -> share missing among the newest rows, for the selection.
    :param rows: that they will learn from; each tree of a forest takes at most `forest_rows` of them.
    """
    seed, threads, sample = config.seed, config.threads, min(1.0, config.forest_rows / max(rows, 1))
    select, trees = _preparations(missing_newest, config)

    def linear(**params) -> Pipeline:
        return select(scaled_numbers(), LogisticRegression(max_iter=2000, **params))

    def rule(names, encode, **params) -> Pipeline:
        return _steps(Columns(list(names)), encode, LogisticRegression(max_iter=2000, **params))

    found = [
        Candidate("rfm_rule", lambda **p: rule(RFM, Quintiles(), **p), {"C": 0.01}, is_rule=True, is_member=True),
        Candidate(
            PURCHASE_MODEL,
            lambda **p: rule(["expected_order_days_90d"], Encoder(scaled_numbers()), **p),
            {"C": 0.1},
            is_rule=True,
            is_member=True,
        ),
        Candidate(
            "logistic_regression",
            linear,
            {"C": 0.001},
            {"C": Range(0.0002, 0.1, by_factors=True, grid=6)},
            is_member=True,
        ),
        Candidate(
            "decision_tree",
            lambda **p: trees(DecisionTreeClassifier(random_state=seed, **p)),
            {"max_depth": 5, "min_samples_leaf": 0.01},
            _TREE,
            has_reasons=False,
        ),
        Candidate(
            "random_forest",
            lambda **p: trees(RandomForestClassifier(150, max_samples=sample, random_state=seed, n_jobs=threads, **p)),
            _FOREST_DEFAULTS,
            _FOREST,
            has_reasons=False,
        ),
        Candidate(
            "xgboost",
            lambda **p: trees(XGBClassifier(subsample=0.7, random_state=seed, n_jobs=threads, **p)),
            _XGBOOST_DEFAULTS,
            _BOOSTING,
            is_member=True,
        ),
        Candidate(
            "lightgbm",
            lambda **p: trees(
                LGBMClassifier(subsample=0.7, subsample_freq=1, random_state=seed, n_jobs=threads, verbose=-1, **p)
            ),
            _LIGHTGBM_DEFAULTS,
            _LEAVES,
        ),
    ]
    return _possible(found, columns)


def for_amounts(
    columns: pd.Index, missing_newest: Mapping[str, float], rows: int, config: settings.Training
) -> list[Candidate]:
    """The candidates for an amount, 0 or more, as far as the features allow; rules first. Parameters as above."""
    seed, threads, sample = config.seed, config.threads, min(1.0, config.forest_rows / max(rows, 1))
    select, trees = _preparations(missing_newest, config)
    found = [
        Candidate("usual_spend", lambda: _steps(Columns(["spend_365d"]), "passthrough", KnownAmount()), is_rule=True),
        Candidate(
            PURCHASE_MODEL,
            lambda: _steps(Columns(["expected_spend_90d"]), "passthrough", KnownAmount()),
            is_rule=True,
            is_member=True,
        ),
        Candidate(
            "tweedie_regression",
            lambda **p: select(
                scaled_numbers(), LimitedAmount(TweedieRegressor(power=_TWEEDIE, link="log", max_iter=500, **p))
            ),
            {"alpha": 0.3},
            {"alpha": Range(0.03, 3, by_factors=True, grid=5)},
            is_member=True,
        ),
        Candidate(
            "decision_tree",
            lambda **p: trees(LimitedAmount(DecisionTreeRegressor(random_state=seed, **p))),
            {"max_depth": 5, "min_samples_leaf": 0.01},
            _TREE,
        ),
        Candidate(
            "random_forest",
            lambda **p: trees(
                LimitedAmount(RandomForestRegressor(100, max_samples=sample, random_state=seed, n_jobs=threads, **p))
            ),
            _FOREST_DEFAULTS,
            _FOREST,
        ),
        Candidate(
            "xgboost",
            lambda **p: trees(
                LimitedAmount(
                    XGBRegressor(
                        objective="reg:tweedie",
                        tweedie_variance_power=_TWEEDIE,
                        subsample=0.7,
                        random_state=seed,
                        n_jobs=threads,
                        **p,
                    )
                )
            ),
            _XGBOOST_DEFAULTS,
            _BOOSTING,
            is_member=True,
        ),
        Candidate(
            "lightgbm",
            lambda **p: trees(
                LimitedAmount(
                    LGBMRegressor(
                        objective="tweedie",
                        tweedie_variance_power=_TWEEDIE,
                        subsample=0.7,
                        subsample_freq=1,
                        random_state=seed,
                        n_jobs=threads,
                        verbose=-1,
                        **p,
                    )
                )
            ),
            _LIGHTGBM_DEFAULTS,
            _LEAVES,
        ),
    ]
    return _possible(found, columns)


def _possible(candidates: list[Candidate], columns: pd.Index) -> list[Candidate]:
    """Without the rules whose columns are empty."""
    return [
        each
        for each in candidates
        if not each.is_rule or set(each.pipeline().named_steps["select"].columns) <= set(columns)
    ]


def _preparations(missing_newest: Mapping[str, float], config: settings.Training):
    """Pipelines by what their model wants: numbers through a transformer, or as they are."""
    limits = config.selection_limits()

    def select(numbers, model) -> Pipeline:
        return _steps(FeatureSelector(limits, dict(missing_newest)), Encoder(numbers), model)

    return select, lambda model: select(None, model)


def _steps(select, encode, model) -> Pipeline:
    return Pipeline([("select", select), ("encode", encode), ("model", model)])
