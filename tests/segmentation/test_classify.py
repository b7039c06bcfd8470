"""Models learn only from what was known, are judged later in time, and step aside where data are too few."""

import contextlib
import datetime as dt
import io
import re
from dataclasses import replace

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.special import expit

from segmentation import candidates, classify, contest, demand, examples, lake, preparation, settings, tables
from segmentation.recipes import Recipe
from segmentation.registry import Registry
from segmentation.selection import LeakError
from tests import stacked

DAY, TEST = stacked.DAY, stacked.cutoff(90)
QUICK = {"search_seconds": 0, "min_examples": 30, "has_learning_curve": False}
SHOP = stacked.frame(customers=600)
NEWEST = SHOP[SHOP["as_of_date"] == DAY]
NO_CONTEST = (0, 90, 180)  # ages of cutoffs that leave none to compare candidates at
CHANCES = [target.model for target in tables.TARGETS.values() if not target.is_amount]
RANKED = ("auc", "average_precision", "lift_top_tenth", "spend_share_top_tenth")
MEASURES = ("precision", "recall", "f1", "log_loss", "brier", "calibration_error", *RANKED)


def setting(monkeypatch, **training):
    config = settings.Settings(training=settings.Training(**{**QUICK, **training}))
    monkeypatch.setattr(settings, "load", lambda: config)


@pytest.fixture
def quick(monkeypatch):
    setting(monkeypatch)


def churned(stores, frame):
    """What training churn on these examples comes to."""
    stacked.write(stores, frame)
    return classify.train_target("churn_90d", DAY, stores)


@pytest.fixture(scope="module")
def shop(module_stores, tmp_path_factory):
    """(stores, model -> result): six targets trained on one shop, not yet promoted."""
    stacked.write(module_stores, SHOP)
    lake.write_text(
        lake.beside(module_stores.lake, tables.TRAINING_EXAMPLES, DAY, tables.DICTIONARY), "# What it means"
    )
    with contextlib.chdir(tmp_path_factory.mktemp("registry")), pytest.MonkeyPatch.context() as patch:
        results = {}
        for model in tables.TARGETS:
            setting(patch, has_learning_curve=model in ("churn_90d", "spend_90d"))
            results[model] = classify.train_target(model, DAY, module_stores)
    return module_stores, results


def version_of(stores, result):
    return Registry(stores.registry, stores.marketing).version(result["model"], result["version"])


def loaded(stores, result):
    return Registry(stores.registry, stores.marketing).load(version_of(stores, result))


def run_of(stores, result):
    return mlflow.get_run(version_of(stores, result).run_id)


def table_of(run, name):
    return pd.read_csv(io.StringIO(mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/{name}")))


def last_run(stores):
    Registry(stores.registry, stores.marketing)
    return mlflow.search_runs(experiment_names=["churn_90d"], output_format="list")[0]


def nested(run):
    of_this = f"tags.mlflow.parentRunId = '{run.info.run_id}'"
    found = mlflow.search_runs([run.info.experiment_id], of_this, output_format="list")
    return {each.info.run_name: each.info.run_id for each in found}


def test_every_target_of_the_contract_gets_a_model(shop):
    _, results = shop
    assert list(results) == [
        "churn_90d", "purchase_30d", "high_value_90d", "new_customer_90d", "service_risk_90d", "spend_90d"
    ]  # fmt: skip
    for model in CHANCES:
        assert results[model]["metrics"]["auc"] > 0.6, model
    assert results["churn_90d"]["metrics"]["auc"] > 0.8
    assert results["spend_90d"]["metrics"]["spearman"] > 0.4


def test_horizons_are_settings_and_stay_in_the_run(shop):
    stores, results = shop
    told = {model: run_of(stores, result).data.params for model, result in results.items()}
    days = {model: params["horizon_days"] for model, params in told.items()}
    assert days == {model: "30" if model == "purchase_30d" else "90" for model in tables.TARGETS}
    assert told["churn_90d"]["target"] == "is_churn"
    assert {params["test_cutoff"] for params in told.values()} == {f"{TEST}"}
    assert (told["service_risk_90d"]["train_rows"], told["service_risk_90d"]["test_rows"]) == ("1800", "600")


@pytest.mark.parametrize("model", CHANCES)
def test_probabilities_are_judged_with_intervals_and_before_calibration_too(shop, model):
    numbers = shop[1][model]["metrics"]
    for name in MEASURES:
        assert numbers[f"{name}_low"] <= numbers[f"{name}_high"]
    for name in RANKED:
        assert numbers[f"{name}_low"] <= numbers[name] <= numbers[f"{name}_high"]
    assert {"log_loss_before", "brier_before", "calibration_error_before", "threshold"} <= set(numbers)


def test_amounts_are_judged_with_intervals_and_before_calibration_too(shop):
    numbers = shop[1]["spend_90d"]["metrics"]
    for name in ("mae", "rmse", "spearman", "mean_tweedie_deviance", "spend_share_top_tenth"):
        assert numbers[f"{name}_low"] <= numbers[name] <= numbers[f"{name}_high"]
    assert {"total_ratio", "total_ratio_before", "calibration_error", "calibration_error_before"} <= set(numbers)


def test_the_run_keeps_the_pictures(shop):
    stores, results = shop
    registry = Registry(stores.registry, stores.marketing)
    assert registry.pictures(version_of(stores, results["churn_90d"])) == [
        f"{name}.png" for name in (
            "calibration", "candidates", "confusion", "contributions", "gain", "groups", "importance", "learning_curve",
            "lift", "precision_recall", "roc", "selection",
        )
    ]  # fmt: skip
    assert registry.pictures(version_of(stores, results["spend_90d"])) == [
        f"{name}.png"
        for name in ("amounts", "candidates", "contributions", "groups", "importance", "learning_curve", "selection")
    ]


def test_the_run_keeps_the_tables(shop):
    stores, results = shop
    run = run_of(stores, results["churn_90d"])
    report = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/classification_report.txt")
    assert {"False", "True", "precision", "recall", "f1-score"} <= set(report.split())
    assert mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/features.md") == "# What it means"
    (dataset,) = run.inputs.dataset_inputs
    assert dataset.dataset.name == "feat.training_examples"
    chosen = table_of(run, "candidates.csv").set_index("candidate")
    assert set(chosen.index) == {
        "rfm_rule", "purchase_model", "logistic_regression", "decision_tree", "random_forest", "xgboost", "lightgbm",
        "blend",
    }  # fmt: skip
    assert run.data.params["chosen"] in chosen.index
    assert run.data.params["chosen_because"]
    assert table_of(run, "learning_curve.csv")["rows"].is_monotonic_increasing


def test_importance_and_contributions_name_what_tells_most(shop):
    stores, results = shop
    for model, result in results.items():
        run = run_of(stores, result)
        shuffled, added = table_of(run, "importance.csv"), table_of(run, "contributions.csv")
        assert shuffled["auc_drop_mean"].is_monotonic_decreasing
        assert added["mean_contribution"].is_monotonic_decreasing
        assert set(shuffled["feature"]) == set(added["feature"]), model
        assert "noise" not in set(added["feature"].head(3))
    first = table_of(run_of(stores, results["churn_90d"]), "contributions.csv")["feature"].tolist()
    assert "last_order_age_days" in first[:3]


def test_groups_of_customers_are_judged_apart(shop):
    stores, results = shop
    groups = table_of(run_of(stores, results["churn_90d"]), "groups.csv")
    assert groups.groupby("attribute")["group"].agg(set).to_dict() == {
        "gender": {"f", "m", "unknown"},
        "age_band": {"under 25", "25 to 34", "35 to 44"},
        "income_band": {"low", "middle", "high"},
    }
    judged = groups[groups["is_judged"]].set_index("group")
    assert {"f", "m"} <= set(judged.index)
    assert groups.loc[~groups["is_judged"], "reason"].str.contains("are needed").all()
    numbers = results["churn_90d"]["metrics"]
    assert numbers["auc_gap_gender"] == pytest.approx(abs(judged.at["f", "auc"] - judged.at["m", "auc"]), rel=1e-3)
    assert numbers["fairness_gap"] >= 0


def test_each_candidate_has_a_run_of_its_own_with_its_trials(shop):
    stores, results = shop
    run = run_of(stores, results["churn_90d"])
    runs = nested(run)
    assert set(runs) == {
        "rfm_rule", "purchase_model", "logistic_regression", "decision_tree", "random_forest", "xgboost", "lightgbm"
    }  # fmt: skip
    chosen = table_of(run, "candidates.csv").set_index("candidate")
    for name, run_id in runs.items():
        child = mlflow.get_run(run_id)
        trials = table_of(child, "trials.csv")
        assert child.data.metrics["trials"] == len(trials) == 1  # no time to search
        assert child.data.metrics["score"] == pytest.approx(chosen.at[name, "score"], rel=1e-4)
        assert child.data.metrics["score"] == pytest.approx(trials["score"].max(), rel=1e-4)
    assert mlflow.get_run(runs["xgboost"]).data.params["max_depth"] == "2"


def test_the_registered_model_says_what_it_is(shop):
    stores, results = shop
    _, metadata = loaded(stores, results["churn_90d"])
    assert set(metadata) == {"columns", "target", "horizon_days", "recipe", "tested_recipe", "bands"}
    assert (metadata["target"], metadata["horizon_days"], metadata["bands"]) == ("is_churn", 90, {})
    assert "last_order_age_days" in metadata["columns"]
    assert not set(metadata["columns"]) & set(tables.NOT_FEATURES)
    recipe = metadata["recipe"]
    assert set(recipe) == {"chosen", "members", "weights", "slope", "intercept", "threshold", "season"}
    assert sum(recipe["weights"]) == pytest.approx(1)
    assert recipe["members"] == metadata["tested_recipe"]["members"]


def test_the_registered_model_reads_its_own_columns_only(shop):
    stores, results = shop
    for result in results.values():
        model, metadata = loaded(stores, result)
        predicted = classify.predict(model, preparation.inputs(NEWEST, metadata["columns"]))
        assert np.isfinite(predicted).all()
        assert (predicted >= 0).all()
    model, metadata = loaded(stores, results["churn_90d"])
    silent, lively = (NEWEST.assign(last_order_age_days=age, expected_order_days_90d=gone).head(1)
                      for age, gone in ((300.0, 0.0), (1.0, 3.0)))  # fmt: skip
    low, high = (classify.predict(model, preparation.inputs(one, metadata["columns"]))[0] for one in (lively, silent))
    assert low < 0.5 < high


@pytest.mark.parametrize(
    ("model", "shares"),
    [("new_customer_90d", {"high": 0.2, "low": 0.6}), ("service_risk_90d", {"high": 0.05, "medium": 0.2})],
)
def test_bands_hold_the_stated_shares_of_the_newest_customers(shop, model, shares):
    stores, results = shop
    estimator, metadata = loaded(stores, results[model])
    newest = NEWEST
    if model == "new_customer_90d":
        newest = newest[(newest["orders_count"] == 0) | (newest["first_order_age_days"] <= 30)]
    predicted = classify.predict(estimator, preparation.inputs(newest, metadata["columns"]))
    assert set(metadata["bands"]) == set(shares)
    for name, cut in metadata["bands"].items():  # customers of the same prediction share a band
        assert np.mean(predicted > cut) - 0.001 <= shares[name] <= np.mean(predicted >= cut) + 0.001


def test_bands_on_numbers_one_can_check_by_hand():
    newest = np.arange(101) / 100
    assert classify.bands(tables.NEWCOMER, newest) == pytest.approx({"high": 0.8, "low": 0.4})
    assert classify.bands(tables.SERVICE, newest) == pytest.approx({"high": 0.95, "medium": 0.8})
    assert classify.bands(tables.CHURN, newest) == classify.bands(tables.SPEND, newest) == {}
    assert classify.bands(tables.NEWCOMER, np.empty(0)) == {"high": 0.5, "low": 0.5}


def test_what_bands_promise_is_for_how_many_they_came_true_on_the_test_cutoff(shop):
    _, results = shop
    for model, names in (("new_customer_90d", "high general low"), ("service_risk_90d", "high medium low")):
        numbers = results[model]["metrics"]
        rates = [numbers[f"rate_{name}"] for name in names.split()]
        assert rates[0] > numbers["base_rate"] > rates[-1]
        for name, rate in zip(names.split(), rates, strict=True):
            assert numbers[f"rate_{name}_low"] <= rate <= numbers[f"rate_{name}_high"]
    assert "rate_high" not in results["churn_90d"]["metrics"]


def test_rates_of_bands_on_numbers_one_can_check_by_hand():
    probability, outcomes = np.arange(101) / 100, np.arange(101) >= 85
    found = classify._rates_of_bands(tables.NEWCOMER, probability, outcomes)
    assert [found[f"rate_{name}"] for name in ("high", "general", "low")] == [pytest.approx(16 / 21), 0, 0]
    assert found["rate_general_high"] == pytest.approx(0.0876, abs=1e-3)  # Wilson: z^2 / (n + z^2) for 0 of 40
    assert classify._rates_of_bands(tables.CHURN, probability, outcomes) == {}


def test_shares_of_the_bands_are_settings(monkeypatch):
    config = settings.Settings(targets=settings.Targets(high_potential_share=0.1, low_potential_share=0.5))
    monkeypatch.setattr(settings, "load", lambda: config)
    assert classify.bands(tables.NEWCOMER, np.arange(101) / 100) == pytest.approx({"high": 0.9, "low": 0.5})


def test_the_outcomes_of_the_test_have_no_say_in_any_choice(shop, tmp_path):
    """Even if all of them are turned round."""
    stores, results = shop
    is_turned = (SHOP["as_of_date"] == TEST) & SHOP["is_churn"].notna()
    other_way = replace(stores, lake=str(tmp_path / "lake"), registry=f"sqlite:///{tmp_path}/mlflow.db")
    first = choices(stores, results["churn_90d"])
    with pytest.MonkeyPatch.context() as patch:
        setting(patch)
        result = churned(other_way, SHOP.assign(is_churn=SHOP["is_churn"].where(~is_turned, SHOP["is_churn"] == 0)))
    assert result["metrics"]["auc"] == pytest.approx(1 - results["churn_90d"]["metrics"]["auc"])
    assert result["metrics"]["threshold"] == results["churn_90d"]["metrics"]["threshold"]
    assert choices(other_way, result) == first


def choices(stores, result):
    run = run_of(stores, result)
    told = {name: run.data.params[name] for name in ("chosen", "chosen_because", "features_kept")}
    kept = [table_of(run, name).to_csv() for name in ("selection.csv", "candidates.csv")]
    return told, kept, loaded(stores, result)[1]["tested_recipe"]


def test_the_test_cutoff_has_no_say_in_what_is_kept(stores, quick):
    frame = stacked.frame(NO_CONTEST)
    chance = np.random.default_rng(1).normal(0, 1, len(frame))
    knows = frame["is_churn"].eq(True).astype(float) + 0.1 * chance
    result = churned(stores, frame.assign(sudden=np.where(frame["as_of_date"] == TEST, knows, chance)))
    selection = table_of(run_of(stores, result), "selection.csv").set_index("feature")
    assert selection.at["sudden", "reason"].startswith("tells nothing")
    assert result["metrics"]["auc"] < 0.95


def test_what_was_kept_and_why_is_logged(shop):
    stores, results = shop
    run = run_of(stores, results["churn_90d"])
    selection = table_of(run, "selection.csv").set_index("feature")
    kept, dropped = int(run.data.params["features_kept"]), int(run.data.params["features_dropped"])
    assert (kept, kept + dropped) == (selection["kept"].sum(), len(selection))
    assert run.data.params["max_feature_auc"] == "0.95"
    assert selection.at["last_order_age_days", "reason"] == selection.at["channel", "reason"] == "kept"
    assert {*selection.loc[["spend_total", "spend_365d"], "reason"]} > {"says the same as spend_365d (Spearman 1.000)"}


@pytest.mark.parametrize(
    "leak", [lambda churned, chance: churned + chance, lambda churned, _: np.where(churned, "a", "b")]
)
def test_a_feature_that_knows_the_future_stops_training_by_name(stores, quick, leak):
    frame = stacked.frame()
    chance = np.random.default_rng(1).normal(0, 0.2, len(frame))
    with pytest.raises(LeakError, match=r"is_churn .*above the cap of 0\.95: next_order \(AUC (0\.99|1\.0)") as refusal:
        churned(stores, frame.assign(next_order=leak(frame["is_churn"].eq(True), chance)))
    assert "last_order_age_days" not in str(refusal.value)
    failed = last_run(stores)
    assert failed.info.status == "FAILED"
    assert table_of(failed, "selection.csv")["feature"].iloc[0] == "next_order"
    assert "auc" not in failed.data.metrics


def test_an_honest_feature_may_be_let_through(stores, monkeypatch):
    setting(monkeypatch, max_feature_auc=1)
    frame = stacked.frame(NO_CONTEST)
    assert churned(stores, frame.assign(next_order=frame["is_churn"].eq(True)))["metrics"]["auc"] > 0.95


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (stacked.frame((0, 30, 60)), "no example has a known is_churn: no cutoff lies 90 days or more before"),
        (stacked.frame().iloc[:0], "no example has a known is_churn"),
        (stacked.frame().assign(orders_count=0), "no example has a known is_churn.*or there is nobody to predict it"),
        (stacked.frame((0, 90)), "history is too short: no cutoff lies 180 days or more before the training day"),
        (stacked.frame((0, 90, 150)), "history is too short: no cutoff lies 180 days"),
        (
            stacked.frame((90, 180), 200),
            r"\d+ positives and \d+ negatives of is_churn among the training examples; 100",
        ),
        (
            pd.concat([stacked.frame((180, 270)), stacked.frame((90,), 200)]),
            r"\d+ positives and \d+ negatives of is_churn among the test examples; 100 of each are needed",
        ),
        (stacked.frame((90, 180, 270)).assign(is_churn=True), r"^[1-9]\d+ positives and 0 negatives"),
        (stacked.frame((90, 180, 270)).assign(is_churn=False), "^0 positives"),
    ],
)
def test_too_few_data_skip_the_target_with_a_reason(module_stores, frame, reason):
    stores = replace(module_stores, lake=f"{module_stores.lake}_too_few", registry=f"{module_stores.registry}_too_few")
    result = churned(stores, frame)
    assert set(result) == {"model", "skipped"}
    assert re.search(reason, result["skipped"])
    run = last_run(stores)
    assert (run.info.status, run.data.params["skipped"]) == ("FINISHED", result["skipped"])


def test_a_hundred_of_each_are_enough():
    def part(positives, negatives):
        frame = stacked.frame((180,), positives + negatives)
        outcomes = [True] * positives + [False] * negatives
        return stacked.examples_of(frame.assign(is_churn=outcomes), tables.CHURN)

    config = settings.Training()
    assert classify.too_few(part(100, 100), part(100, 100), tables.CHURN, 90, config) is None
    assert classify.too_few(part(100, 99), part(100, 100), tables.CHURN, 90, config).startswith(
        "100 positives and 99 negatives of is_churn among the training examples"
    )
    assert classify.too_few(part(100, 100), part(99, 100), tables.CHURN, 90, config).startswith(
        "99 positives and 100 negatives of is_churn among the test examples"
    )


def test_without_a_feature_that_varies_the_target_is_skipped(stores, quick):
    same = stacked.frame()[["customer_id", "as_of_date", "is_churn", "spend_far"]].assign(orders_count=1.0, is_new=True)
    known = same.assign(is_churn=np.arange(len(same)) % 2 == 0)
    assert churned(stores, known)["skipped"] == "no feature varies among the training examples"


def test_the_season_of_the_year_before_is_told_day_by_day_and_judged(stores, quick):
    """Twice as many of everybody bought around the days a year before the test's as around those learnt from."""
    stacked.write(stores, SHOP)
    days = [DAY - dt.timedelta(days=n) for n in range(30, 760)]
    rows = []
    for day in days:
        level = np.sin(2 * np.pi * (day - stacked.cutoff(90)).days / 365 + np.pi / 2)
        for horizon in (30, 90):
            if day + dt.timedelta(days=horizon) <= DAY:
                rows.append((day, horizon, 0, 2_000, int(2_000 * expit(-1 + 0.5 * level))))
    table = pa.Table.from_pylist([dict(zip(demand.SCHEMA.names, row, strict=True)) for row in rows], demand.SCHEMA)
    said = {}
    for has_season in (False, True):
        if has_season:
            lake.write(stores.lake, tables.DEMAND, DAY, table.to_batches(), demand.SCHEMA)
        for model in ("purchase_30d", "churn_90d"):
            result = classify.train_target(model, DAY, stores)
            said[model, has_season] = (result, *loaded(stores, result))
    for model, sign in (("purchase_30d", 1), ("churn_90d", -1)):
        (before, _, old), (after, ensemble, new) = said[model, False], said[model, True]
        assert (old["recipe"]["season"], old["tested_recipe"]["season"]) == ({}, {})
        there = stacked.cutoff(90)  # the test, which is as busy as can be
        assert sign * new["tested_recipe"]["season"][f"{there}"] > 0.3
        assert sign * new["recipe"]["season"][f"{there + dt.timedelta(days=182)}"] < -0.3
        assert ensemble.on(there + dt.timedelta(days=182)).intercept == pytest.approx(
            new["recipe"]["intercept"] + new["recipe"]["season"][f"{there + dt.timedelta(days=182)}"]
        )
        assert after["metrics"]["auc"] == pytest.approx(before["metrics"]["auc"], abs=0.01)
        assert after["metrics"]["calibration_error"] > before["metrics"]["calibration_error"]  # the examples have none


def test_a_history_without_a_later_cutoff_to_compare_at_says_so(stores, quick):
    result = churned(stores, stacked.frame(NO_CONTEST))
    params = run_of(stores, result).data.params
    assert params["chosen"] == "blend"
    assert params["chosen_because"].startswith("the history is too short to compare candidates later in time")
    assert not nested(run_of(stores, result))
    tested = loaded(stores, result)[1]["tested_recipe"]
    assert (tested["slope"], tested["intercept"], set(tested["weights"])) == (1, 0, {1 / 4})


def test_a_day_that_nobody_is_left_on_trains_all_the_same(stores, quick):
    """A shop without sign-ups of late has no newcomers to set the bands by."""
    stacked.write(stores, stacked.frame((90, 180), 600))
    result = classify.train_target("new_customer_90d", DAY, stores)
    assert loaded(stores, result)[1]["bands"] == {"high": 0.5, "low": 0.5}


def test_the_same_day_learns_the_same_model_and_the_champion_gains_nothing_over_itself(shop, quick):
    stores, results = shop
    before = results["churn_90d"]
    registry = Registry(stores.registry, stores.marketing)
    assert not {name for name in before["metrics"] if name.startswith("champion")}
    registry.promote("churn_90d", before["version"], "for a test")
    after = classify.train_target("churn_90d", DAY, stores)
    added = {name: after["metrics"][name] for name in after["metrics"].keys() - before["metrics"].keys()}
    assert {name: after["metrics"][name] for name in before["metrics"] if name != "training_seconds"} == {
        name: value for name, value in before["metrics"].items() if name != "training_seconds"
    }
    for name in ("auc", "log_loss", "brier", "calibration_error"):
        assert added[f"champion_{name}"] == after["metrics"][name]
    for name in ("auc_gain", "auc_gain_low", "auc_gain_high", "log_loss_gain", "brier_gain"):
        assert added[name] == 0


def promoted(stores, model, day, recipe, **others):
    """A champion of whose metadata only the recipe counts."""
    registry, inputs = Registry(stores.registry, stores.marketing), pd.DataFrame({"x": [0.0, 1.0]})
    pipeline = candidates.for_amounts(["spend_365d"], {}, 2, settings.Training())[0].pipeline()
    with registry.training(model, day) as run:
        version = run.register(model, pipeline, inputs, inputs["x"], {"tested_recipe": recipe, **others})
    registry.promote(model, version, "for a test")


def recipe(*members):
    shares = [1 / len(members)] * len(members)
    return {
        "chosen": "blend", "members": members, "weights": shares, "slope": 1.0, "intercept": 0.0, "threshold": 0.5
    }  # fmt: skip


def test_a_champion_of_another_recipe_learns_from_the_same_rows(stores, monkeypatch):
    setting(monkeypatch, search_trials=2, search_seconds=60)
    promoted(stores, "spend_90d", DAY - dt.timedelta(days=7), recipe(["purchase_model", {}], ["lightgbm", LIGHTGBM]))
    stacked.write(stores, stacked.frame())
    result = classify.train_target("spend_90d", DAY, stores)
    numbers = result["metrics"]
    assert {"champion_spearman", "champion_total_ratio", "champion_mean_tweedie_deviance"} <= set(numbers)
    gap = numbers["champion_mean_tweedie_deviance"] - numbers["mean_tweedie_deviance"]
    assert numbers["mean_tweedie_deviance_gain"] == pytest.approx(gap)
    assert numbers["mean_tweedie_deviance_gain_low"] <= gap <= numbers["mean_tweedie_deviance_gain_high"]
    trials = table_of(mlflow.get_run(nested(run_of(stores, result))["lightgbm"]), "trials.csv")
    assert trials["num_leaves"].tolist() == [4, 7]  # the defaults, then what the champion has


LIGHTGBM = {
    "num_leaves": 7, "learning_rate": 0.05, "n_estimators": 90, "reg_lambda": 5.0, "min_child_samples": 30,
    "colsample_bytree": 0.6,
}  # fmt: skip


@pytest.mark.parametrize(
    "members",
    [(("rfm_rule", {"C": 0.01}), ("support_vectors", {"C": 1.0})), (("logistic_regression", {"l1_share": 0.5}),)],
    ids=["a candidate", "a parameter"],
)
def test_a_champion_of_what_is_no_more_is_left_out(quick, members):
    config = settings.load().training
    train, test = examples.split(stacked.examples_of(SHOP, tables.CHURN), 90)
    offered = candidates.for_probabilities(train.features.columns, {}, len(train), config)
    new = Recipe("rfm_rule", (("rfm_rule", {"C": 0.01}),), (1.0,))
    _, predicted = contest.fitted(new, offered, train, test.features)
    known = Recipe("blend", members, (1 / len(members),) * len(members))

    def over(old):
        return classify._over_champion(tables.CHURN, new, old, offered, train, test, predicted, config)

    assert over(known) == over(None) == {}
    assert over(new)["auc_gain"] == 0


def test_a_champion_of_an_old_kind_or_of_a_later_day_is_left_out(stores, quick):
    promoted(stores, "churn_90d", DAY, recipe(["rfm_rule", {}]))
    assert classify._champion(Registry(stores.registry, stores.marketing), "churn_90d", DAY).members == (
        ("rfm_rule", {}),
    )
    assert (
        classify._champion(Registry(stores.registry, stores.marketing), "churn_90d", DAY - dt.timedelta(days=1)) is None
    )
    registry = Registry(stores.registry, stores.marketing)
    inputs = pd.DataFrame({"x": [0.0, 1.0]})
    old = candidates.for_amounts(["spend_365d"], {}, 2, settings.Training())[0].pipeline()
    with registry.training("purchase_30d", DAY) as run:
        registry.promote("purchase_30d", run.register("purchase_30d", old, inputs, inputs["x"], {"columns": []}), "old")
    assert classify._champion(registry, "purchase_30d", DAY) is None
