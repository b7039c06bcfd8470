"""A run shows numbers that are defined, and says what every picture of it is of."""

import io
from dataclasses import replace

import mlflow
import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from segmentation import candidates, contest, explain, judge, model_report, settings, tables
from segmentation.contest import Contest
from segmentation.recipes import Recipe
from segmentation.registry import Registry
from tests import stacked

CONFIG = settings.Training(min_examples=30, search_seconds=0)
ROWS = stacked.frame((90, 180), 300)


@pytest.fixture
def run(module_stores):
    with Registry(module_stores.registry, module_stores.marketing).training("churn_90d", stacked.DAY) as run:
        yield run


def made(target, names, weights, rows=ROWS, **others):
    """(recipe, ensemble, test, predictions of the members on it)."""
    data = stacked.examples_of(rows, target)
    learn, test = data.at(stacked.cutoff(180)), data.at(stacked.cutoff(90))
    make = candidates.for_amounts if target.is_amount else candidates.for_probabilities
    offered = make(data.features.columns, {}, len(learn), CONFIG)
    recipe = Recipe("blend", tuple((name, {}) for name in names), weights, **others)
    ensemble, predicted = contest.fitted(recipe, offered, learn, test.features)
    return recipe, ensemble, test, predicted


def files(run, folder=None):
    return {each.path for each in mlflow.MlflowClient().list_artifacts(run.run_id, folder)}


def text(run, name):
    return mlflow.artifacts.load_text(f"runs:/{run.run_id}/{name}")


def test_probabilities_are_judged_after_calibration_and_before(run):
    told = {"slope": 0.3, "intercept": -1.0, "threshold": 0.4}
    recipe, ensemble, test, logits = made(tables.CHURN, ("rfm_rule", "purchase_model"), (0.5, 0.5), **told)
    numbers = model_report.probabilities(run, tables.CHURN, recipe, ensemble, test, logits, CONFIG)
    before = expit(logits.mean(axis=1))
    after = expit(0.3 * logit(before) - 1)
    how = {"threshold": 0.4, "spend_falls": True}
    for name, value in judge.judge(test.outcomes, after, test.spend, **how).items():
        assert numbers[name] == pytest.approx(value), name
    for name in ("log_loss", "brier", "calibration_error"):
        assert numbers[f"{name}_before"] == pytest.approx(judge.judge(test.outcomes, before)[name])
    assert numbers["threshold"] == 0.4
    support = [line.split()[-1] for line in text(run, "classification_report.txt").splitlines() if "avg" in line]
    assert support == [f"{len(test)}"] * 2


def test_how_far_reasons_are_those_by_exact_shap_is_logged(run, monkeypatch):
    def agreement(*names):
        recipe, ensemble, test, logits = made(tables.CHURN, names, (1 / len(names),) * len(names))
        numbers = model_report.probabilities(run, tables.CHURN, recipe, ensemble, test, logits, CONFIG)
        return numbers.get("reasons_agreement")

    assert agreement("rfm_rule", "logistic_regression", "xgboost") > 0.99
    assert agreement("lightgbm") > 0.99
    assert agreement("random_forest") is None  # scikit-learn has none to compare with
    monkeypatch.setattr(explain.tree_shap, "tables_of", lambda _: None)  # as for trees that are too deep
    assert agreement("xgboost") < 1


def test_spend_is_looked_for_where_the_model_says_it_is(run):
    """Of churn among those who stay, of the others among those who do it."""
    recipe, ensemble, test, logits = made(tables.PURCHASE, ("rfm_rule",), (1.0,))
    numbers = model_report.probabilities(run, tables.PURCHASE, recipe, ensemble, test, logits, CONFIG)
    told = judge.judge(test.outcomes, expit(logits[:, 0]), test.spend)
    assert numbers["spend_share_top_tenth"] == pytest.approx(told["spend_share_top_tenth"])
    assert numbers["spend_share_top_tenth"] > 0.1


def test_nobody_of_whom_groups_are_known_is_no_obstacle(run):
    recipe, ensemble, test, logits = made(tables.CHURN, ("rfm_rule",), (1.0,))
    anyone = replace(test, features=test.features.drop(columns=["gender", "income_band", "age_years"]))
    numbers = model_report.probabilities(run, tables.CHURN, recipe, ensemble, anyone, logits, CONFIG)
    assert "fairness_gap" not in numbers
    assert pd.read_csv(io.StringIO(text(run, "groups.csv"))).empty
    assert "pictures/groups.png" in files(run, "pictures")


def test_amounts_are_judged_after_calibration_and_before(run):
    recipe, ensemble, test, predicted = made(tables.SPEND, ("usual_spend", "xgboost"), (0.25, 0.75), slope=2.0)
    numbers = model_report.amounts(run, recipe, test, predicted, CONFIG, ensemble)
    mean = predicted @ [0.25, 0.75]
    assert numbers["total_ratio"] == pytest.approx(2 * mean.sum() / test.outcomes.sum())
    assert numbers["total_ratio_before"] == pytest.approx(mean.sum() / test.outcomes.sum())
    assert numbers["spearman_low"] <= numbers["spearman"] <= numbers["spearman_high"]
    assert {"importance.csv", "contributions.csv"} <= files(run)


def test_amounts_are_judged_group_by_group(run):
    many = stacked.frame((90, 180), 600)
    recipe, _, test, predicted = made(tables.SPEND, ("usual_spend",), (1.0,), many)
    numbers = model_report.amounts(run, recipe, test, predicted, CONFIG)
    groups = pd.read_csv(io.StringIO(text(run, "groups.csv")))
    assert groups["rows"].sum() == len(test) * groups["attribute"].nunique() > 0
    of_gender = groups[(groups["attribute"] == "gender") & groups["is_judged"] & (groups["group"] != "unknown")]
    assert len(of_gender) > 1
    spread = of_gender["total_ratio"].max() - of_gender["total_ratio"].min()
    assert numbers["total_ratio_gap_gender"] == pytest.approx(spread, rel=1e-3)


def test_without_the_ensemble_nothing_is_said_of_the_features_of_amounts(run):
    recipe, _, test, predicted = made(tables.SPEND, ("usual_spend",), (1.0,))
    model_report.amounts(run, recipe, test, predicted, CONFIG)
    assert files(run, "pictures") == {"pictures/amounts.png", "pictures/groups.png"}


def test_contributions_of_amounts_are_in_the_shops_currency(run):
    recipe, ensemble, test, predicted = made(tables.SPEND, ("usual_spend",), (1.0,), slope=2.0)
    model_report.amounts(run, recipe, test, predicted, CONFIG, ensemble)
    table = pd.read_csv(io.StringIO(text(run, "contributions.csv")), index_col="feature")["mean_contribution"]
    base = ensemble.members_[0][1]["model"].unknown_
    assert table["spend_365d"] == pytest.approx(2 * np.abs(predicted[:, 0] - base).mean(), rel=1e-4)


def test_only_what_is_defined_is_logged():
    assert model_report.finite({"auc": np.float64(0.5), "gap": np.nan, "ratio": np.inf}) == {"auc": 0.5}


def test_the_columns_of_an_ensemble_are_those_that_any_member_reads():
    _, ensemble, test, _ = made(tables.CHURN, ("purchase_model", "rfm_rule"), (0.5, 0.5))
    assert model_report.columns_of(ensemble, list(test.features)) == [
        "last_order_age_days", "orders_count", "spend_total", "expected_order_days_90d"
    ]  # fmt: skip


def test_a_learning_curve_of_one_size_is_not_drawn(run):
    model_report.learning_curve(run, pd.DataFrame({"rows": [300, 300], "score": [0.7, 0.8], "seed": [0, 1]}), False)
    model_report.learning_curve(run, pd.DataFrame({"rows": [], "score": [], "seed": []}), False)
    assert not files(run) & {"learning_curve.csv", "pictures"}
    grown = pd.DataFrame({"rows": [300, 300, 900], "score": [0.7, 0.8, 0.9], "seed": [0, 1, 0]})
    model_report.learning_curve(run, grown, False)
    assert {"learning_curve.csv", "pictures"} <= files(run)
    assert text(run, "learning_curve.csv") == grown.to_csv(index=False)


def test_a_contest_that_was_not_held_leaves_its_reason(run):
    recipe = Recipe("blend", (("one", {}),), (1.0,))
    model_report.contest(run, Contest(recipe, "there was no time", pd.DataFrame({"candidate": ["blend"]})))
    params = mlflow.get_run(run.run_id).data.params
    assert (params["chosen"], params["chosen_because"]) == ("blend", "there was no time")
    assert files(run, "pictures") == set()


def test_each_trial_is_a_step_of_its_candidates_run(run):
    data = stacked.examples_of(stacked.frame((90, 180, 270), 300), tables.CHURN)
    config = settings.Training(min_examples=30, search="random", search_trials=4, search_seconds=60)
    (tree,) = (
        each
        for each in candidates.for_probabilities(data.features.columns, {}, len(data), config)
        if each.name == "decision_tree"
    )
    held = contest.hold(data, 90, [replace(tree, is_member=True)], config)
    model_report.contest(run, held)
    of_this = f"tags.mlflow.parentRunId = '{run.run_id}'"
    (child,) = mlflow.search_runs(experiment_names=["churn_90d"], filter_string=of_this, output_format="list")
    trials = pd.read_csv(io.StringIO(mlflow.artifacts.load_text(f"runs:/{child.info.run_id}/trials.csv")))
    assert list(trials.columns) == ["max_depth", "min_samples_leaf", "score", "seconds"]
    steps = mlflow.MlflowClient().get_metric_history(child.info.run_id, "trial_score")
    assert [each.step for each in steps] == [0, 1, 2, 3]
    assert [each.value for each in steps] == pytest.approx(trials["score"].tolist(), rel=1e-4)
    assert child.data.params == {name: str(value) for name, value in held.found["decision_tree"].params.items()}
    assert child.data.metrics["trials"] == 4
    assert child.data.metrics["score"] == pytest.approx(trials["score"].max(), rel=1e-4)
