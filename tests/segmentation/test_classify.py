"""Classifiers learn only from what was known, are judged later in time, and step aside where data are too few."""

import datetime as dt
import io
import re

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from segmentation import classify, lake, settings, tables
from segmentation.registry import Registry
from segmentation.selection import LeakError

DAY = dt.date(2026, 1, 31)
CHURN = tables.CHURN


def examples(cutoff_ages=(90, 180, 270), rows=400, seed=0):
    """Stacked cutoffs at so many days before DAY; churn depends on one feature, and on nothing else."""
    rng = np.random.default_rng(seed)
    parts = []
    for age in cutoff_ages:
        silence = rng.exponential(60, rows)
        part = pd.DataFrame({"customer_id": [f"c{n}" for n in range(rows)], "last_order_age_days": silence})
        part["spend_total"] = rng.gamma(1, 50, rows)
        part["order_gap_mean_days"] = np.where(rng.random(rows) < 0.3, np.nan, rng.gamma(2, 10, rows))
        part["returned_share"] = np.nan
        part["as_of_date"] = DAY - dt.timedelta(days=age)
        part["is_churn"] = rng.random(rows) < 1 / (1 + np.exp((60 - silence) / 15))
        part["is_purchase"] = None
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def write(stores, frame):
    table = pa.Table.from_pandas(frame, preserve_index=False)
    position = table.column_names.index("is_purchase")
    table = table.set_column(position, "is_purchase", table["is_purchase"].cast(pa.bool_()))
    lake.write(stores.lake, tables.TRAINING_EXAMPLES, DAY, table.to_batches(), table.schema)


def logged(run_id):
    """A training run, and its table of the features, by feature."""
    table = mlflow.artifacts.load_text(f"runs:/{run_id}/selection.csv")
    return mlflow.get_run(run_id), pd.read_csv(io.StringIO(table), index_col="feature")


def test_the_test_cutoff_is_the_newest_and_training_ends_a_horizon_before_it():
    train, test = classify.split(examples((90, 120, 150, 180, 210)), CHURN)
    assert set(test["as_of_date"]) == {DAY - dt.timedelta(days=90)}
    assert set(train["as_of_date"]) == {DAY - dt.timedelta(days=180), DAY - dt.timedelta(days=210)}


def test_a_classifier_is_registered_with_its_metrics_and_pictures(stores):
    write(stores, examples())
    result = classify.train_classifier("churn_90d", DAY, stores)
    assert result["metrics"]["auc"] > 0.8
    assert result["metrics"]["brier"] < 0.2
    registry = Registry(stores.registry)
    version = registry.version("churn_90d", result["version"])
    model, metadata = registry.load(version)
    assert metadata["columns"] == ["last_order_age_days"]
    low, high = model.predict_proba(pd.DataFrame({"last_order_age_days": [1.0, 300.0]}))[:, 1]
    assert low < 0.2 < 0.8 < high
    assert registry.pictures(version) == [
        "calibration.png",
        "confusion.png",
        "precision_recall.png",
        "roc.png",
        "selection.png",
    ]


def test_what_was_kept_and_why_is_logged(stores):
    write(stores, examples())
    result = classify.train_classifier("churn_90d", DAY, stores)
    run, selection = logged(Registry(stores.registry).version("churn_90d", result["version"]).run_id)
    assert (run.data.params["features_kept"], run.data.params["features_dropped"]) == ("1", "3")
    assert run.data.params["max_feature_auc"] == "0.95"
    assert selection.loc["last_order_age_days", ["kept", "rank", "reason"]].tolist() == [True, 1, "kept"]
    assert selection.at["returned_share", "reason"] == "no values at all"
    assert selection.at["spend_total", "reason"].startswith("tells nothing: mutual information 0.00")


@pytest.mark.parametrize(
    "leak", [lambda churned, chance: churned + chance, lambda churned, _: np.where(churned, "a", "b")]
)
def test_a_feature_that_knows_the_future_stops_training_by_name(stores, leak):
    frame = examples()
    chance = np.random.default_rng(1).normal(0, 0.2, len(frame))
    write(stores, frame.assign(next_order=leak(frame["is_churn"].astype(bool), chance)))
    with pytest.raises(
        LeakError, match=r"is_churn .*above the cap of 0\.95: next_order \(AUC (0\.99|1\.0)"
    ) as refusal:
        classify.train_classifier("churn_90d", DAY, stores)
    assert "last_order_age_days" not in str(refusal.value)
    (failed,) = mlflow.search_runs(experiment_names=["churn_90d"], output_format="list")
    run, selection = logged(failed.info.run_id)
    assert run.info.status == "FAILED"
    assert selection.index[0] == "next_order"
    assert "auc" not in run.data.metrics


def test_an_honest_feature_may_be_let_through(stores, monkeypatch):
    frame = examples()
    write(stores, frame.assign(next_order=frame["is_churn"].astype(float)))
    config = settings.Settings(training=settings.Training(max_feature_auc=1))
    monkeypatch.setattr(settings, "load", lambda: config)
    assert classify.train_classifier("churn_90d", DAY, stores)["metrics"]["auc"] == 1


def test_the_test_cutoff_has_no_say_in_what_is_kept(stores):
    frame = examples()
    is_test = frame["as_of_date"] == DAY - dt.timedelta(days=90)
    chance = np.random.default_rng(1).normal(0, 1, len(frame))
    write(stores, frame.assign(sudden=np.where(is_test, frame["is_churn"].astype(float), chance)))
    result = classify.train_classifier("churn_90d", DAY, stores)
    _, selection = logged(Registry(stores.registry).version("churn_90d", result["version"]).run_id)
    assert selection.at["sudden", "reason"].startswith("tells nothing")
    assert result["metrics"]["auc"] < 0.96


def test_booleans_are_learnt_from_and_categories_are_left_out(stores):
    frame = examples()
    churned = frame["is_churn"].to_numpy(bool)
    rng = np.random.default_rng(1)
    frame["email_consent"] = np.where(rng.random(len(frame)) < 0.1, None, churned ^ (rng.random(len(frame)) < 0.2))
    frame["gender"] = np.where(rng.random(len(frame)) < 0.2, None, np.where(rng.random(len(frame)) < 0.5, "f", "m"))
    frame["city"] = np.where(churned ^ (rng.random(len(frame)) < 0.3), "Alba", "Bath")
    write(stores, frame.assign(email_consent=frame["email_consent"].astype("boolean")))
    result = classify.train_classifier("churn_90d", DAY, stores)
    version = Registry(stores.registry).version("churn_90d", result["version"])
    _, metadata = Registry(stores.registry).load(version)
    assert metadata["columns"] == ["last_order_age_days", "email_consent"]
    _, selection = logged(version.run_id)
    assert selection.at["city", "reason"] == "for models that take categories"
    assert not selection.at["city", "kept"]
    assert selection.at["gender", "reason"].startswith("tells nothing")


def test_without_a_feature_that_varies_the_target_is_skipped(stores):
    frame = examples().drop(columns=["spend_total", "order_gap_mean_days"])
    write(stores, frame.assign(last_order_age_days=1.0))
    result = classify.train_classifier("churn_90d", DAY, stores)
    assert result["skipped"] == "no feature that is a number varies among the training examples"


def test_the_same_day_learns_the_same_model(stores):
    write(stores, examples())
    first, second = (classify.train_classifier("churn_90d", DAY, stores) for _ in range(2))
    assert first["metrics"] == second["metrics"]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (examples((90,)), "history is too short: no cutoff lies 180 days"),
        (examples((90, 180), rows=60), "positives and .* negatives of is_churn among the training examples"),
        (examples().assign(is_churn=True), "0 negatives"),
        (examples().iloc[:0], "history is too short"),
    ],
)
def test_too_few_data_skip_the_target_with_a_reason(stores, frame, reason):
    write(stores, frame)
    result = classify.train_classifier("churn_90d", DAY, stores)
    assert "version" not in result
    assert re.search(reason, result["skipped"])


def test_judge_on_numbers_one_can_check_by_hand():
    numbers = classify.judge(np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.4, 0.9]))
    assert numbers["auc"] == 0.75
    assert (numbers["precision"], numbers["recall"], numbers["f1"]) == (0.5, 0.5, 0.5)
    assert numbers["brier"] == pytest.approx((0.01 + 0.36 + 0.36 + 0.01) / 4)
    assert numbers["base_rate"] == 0.5


def test_more_rows_than_allowed_are_sampled(stores, monkeypatch):
    monkeypatch.setenv("SEGMENTATION_TRAINING__MAX_ROWS", "1000")
    write(stores, examples())
    frame = classify._examples(CHURN, DAY, stores, settings.Settings().training)
    assert len(frame) == 1000
