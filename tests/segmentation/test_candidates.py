"""Every candidate fits, predicts, is explained and comes back from the registry as it went in."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from segmentation import candidates, explain, preparation, search, settings, tables
from segmentation.ensembles import AmountEnsemble, ProbabilityEnsemble
from segmentation.registry import Registry
from tests import stacked

CONFIG = settings.Training(min_examples=30)
ROWS = stacked.frame((90, 180), 400)
CHANCE, AMOUNT = (stacked.examples_of(ROWS, target) for target in (tables.CHURN, tables.SPEND))
TUNED = ["decision_tree", "random_forest", "xgboost", "lightgbm"]


def offered(data=CHANCE, **others):
    make = candidates.for_probabilities if data.outcomes.dtype == bool else candidates.for_amounts
    return {each.name: each for each in make(data.features.columns, {}, len(data), settings.Training(**others))}


def parts(data):
    learn, later = data.at(stacked.cutoff(180)), data.at(stacked.cutoff(90))
    return learn, later


def test_the_candidates_are_those_that_were_promised_the_rules_first():
    assert list(offered(CHANCE)) == ["rfm_rule", "purchase_model", "logistic_regression", *TUNED]
    assert list(offered(AMOUNT)) == ["usual_spend", "purchase_model", "tweedie_regression", *TUNED]
    for data in (CHANCE, AMOUNT):
        rules = [each.name for each in offered(data).values() if each.is_rule]
        assert rules == list(offered(data))[:2]


def test_the_blend_has_the_rule_a_linear_model_and_boosting():
    members = [[name for name, each in offered(data).items() if each.is_member] for data in (CHANCE, AMOUNT)]
    assert members == [
        ["rfm_rule", "purchase_model", "logistic_regression", "xgboost"],
        ["purchase_model", "tweedie_regression", "xgboost"],
    ]


def test_trees_whose_reasons_go_along_paths_cannot_win_a_probability_alone():
    assert [name for name, each in offered(CHANCE).items() if not each.has_reasons] == [
        "decision_tree",
        "random_forest",
    ]
    assert all(each.has_reasons for each in offered(AMOUNT).values())  # nobody is told reasons of an amount


@pytest.mark.parametrize("data", [CHANCE, AMOUNT], ids=["probability", "amount"])
def test_what_may_be_tuned_has_a_default_within_its_range(data):
    for each in offered(data).values():
        assert bool(each.space) != each.is_rule
        for name, span in each.space.items():
            assert span.low <= each.defaults[name] <= span.high, (each.name, name)


@pytest.mark.parametrize("data", [CHANCE, AMOUNT], ids=["probability", "amount"])
def test_preparation_is_inside_the_pipeline(data):
    for each in offered(data).values():
        assert list(each.pipeline().named_steps) == ["select", "encode", "model"]
    tuned = [each.pipeline()["select"] for each in offered(data).values() if not each.is_rule]
    assert all(isinstance(step, preparation.FeatureSelector) for step in tuned)


def test_what_is_said_of_a_parameter_replaces_its_default():
    boosting = offered()["xgboost"]
    told = boosting.pipeline({"max_depth": 4})["model"].get_params()
    assert (told["max_depth"], told["learning_rate"]) == (4, 0.04)
    assert boosting.defaults["max_depth"] == 2


def test_threads_and_seed_are_settings():
    for name in ("random_forest", "xgboost", "lightgbm"):
        params = offered(threads=2, seed=5)[name].pipeline()["model"].get_params()
        assert (params["n_jobs"], params["random_state"]) == (2, 5)


@pytest.mark.parametrize(("rows", "share"), [(10_000, 1.0), (60_000, 0.5)])
def test_a_tree_of_a_forest_sees_no_more_rows_than_allowed(rows, share):
    for make in (candidates.for_probabilities, candidates.for_amounts):
        (forest,) = (each for each in make(CHANCE.features.columns, {}, rows, CONFIG) if each.name == "random_forest")
        model = forest.pipeline()["model"]
        assert getattr(model, "regressor", model).max_samples == share


def test_rules_without_their_columns_are_left_out():
    columns = CHANCE.features.columns.drop(["spend_total", "expected_spend_90d", "spend_365d"])
    rules = [
        {each.name for each in make(kept, {}, 100, CONFIG) if each.is_rule}
        for kept in (columns.drop("expected_order_days_90d"), columns)
        for make in (candidates.for_probabilities, candidates.for_amounts)
    ]
    # where the spend of the purchase model could not be fitted, its orders are a rule all the same
    assert rules == [set(), set(), {"purchase_model"}, set()]


def fitted(each, data):
    learn, later = parts(data)
    return search.Fold(learn.features, learn.outcomes, later.features).fitted(each.pipeline()), later


@pytest.mark.parametrize("name", list(offered(CHANCE)))
def test_probabilities_round_trip(name, module_stores):
    (pipeline, predicted), later = fitted(offered(CHANCE)[name], CHANCE)
    assert roc_auc_score(later.outcomes, predicted) > 0.7
    ensemble = ProbabilityEnsemble.of([(name, pipeline)], slope=0.9, intercept=0.1)
    assert again(module_stores, ensemble, later.features).predict_proba(later.features)[:, 1] == pytest.approx(
        ensemble.predict_proba(later.features)[:, 1], abs=1e-12
    )
    told = explain.contributions(ensemble, later.features)
    assert told.base + told.values.sum(axis=1) == pytest.approx(ensemble.decision_function(later.features), abs=1e-4)


@pytest.mark.parametrize("name", list(offered(AMOUNT)))
def test_amounts_round_trip(name, module_stores):
    (pipeline, predicted), later = fitted(offered(AMOUNT)[name], AMOUNT)
    assert np.corrcoef(later.outcomes, predicted)[0, 1] > 0.1
    assert 0.5 < predicted.mean() / later.outcomes.mean() < 2
    ensemble = AmountEnsemble.of([(name, pipeline)], factor=1.1)
    assert again(module_stores, ensemble, later.features).predict(later.features) == pytest.approx(
        ensemble.predict(later.features), rel=1e-9
    )
    told = explain.contributions(ensemble, later.features)
    assert told.base + told.values.sum(axis=1) == pytest.approx(ensemble.predict(later.features), rel=1e-3, abs=1e-3)


def again(stores, ensemble, features):
    """The ensemble as the registry gives it back."""
    registry = Registry(stores.registry, stores.marketing)
    with registry.training("churn_90d", stacked.DAY) as run:
        version = run.register("churn_90d", ensemble, features.head(50), ensemble.predict(features.head(50)), {})
    return registry.load(registry.version("churn_90d", version))[0]


@pytest.mark.parametrize("data", [CHANCE, AMOUNT], ids=["probability", "amount"])
def test_a_category_that_was_never_seen_and_gaps_everywhere_are_no_obstacle(data):
    learn, later = parts(data)
    strange = later.features.head(20).assign(channel="telepathy")
    strange.iloc[:10, [name not in ("channel", "gender", "income_band") for name in strange]] = np.nan
    fold = search.Fold(learn.features, learn.outcomes, strange)
    for each in offered(data).values():
        assert np.isfinite(fold.fitted(each.pipeline())[1]).all(), each.name


@pytest.mark.parametrize("kept", [["channel", "gender"], ["last_order_age_days", "orders_count", "spend_total"]])
@pytest.mark.parametrize("data", [CHANCE, AMOUNT], ids=["probability", "amount"])
def test_categories_alone_will_do_and_so_will_numbers(data, kept):
    learn, later = parts(data)
    fold = search.Fold(learn.features[kept], learn.outcomes, later.features[kept])
    for each in candidates.for_probabilities(pd.Index(kept), {}, len(learn), CONFIG):
        if data is CHANCE:
            assert np.isfinite(fold.fitted(each.pipeline())[1]).all(), each.name
    for each in candidates.for_amounts(pd.Index(kept), {}, len(learn), CONFIG):
        if data is AMOUNT:
            assert np.isfinite(fold.fitted(each.pipeline())[1]).all(), each.name


def test_the_rule_ranks_those_first_who_bought_lately_and_often():
    (pipeline, _), _ = fitted(offered(CHANCE)["rfm_rule"], CHANCE)
    lively, silent = pd.DataFrame(
        {"last_order_age_days": [2.0, 300.0], "orders_count": [9.0, 1.0], "spend_total": [500.0, 10.0]}
    ).pipe(pipeline.predict_proba)[:, 1]
    assert lively < silent
