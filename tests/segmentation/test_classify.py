"""Classifiers learn only from what was known, are judged later in time, and step aside where data are too few."""

import datetime as dt
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from segmentation import classify, lake, settings, tables
from segmentation.registry import Registry

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
        part["is_churn_90d"] = rng.random(rows) < 1 / (1 + np.exp((60 - silence) / 15))
        part["is_purchase_30d"] = None
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def write(stores, frame):
    table = pa.Table.from_pandas(frame, preserve_index=False)
    position = table.column_names.index("is_purchase_30d")
    table = table.set_column(position, "is_purchase_30d", table["is_purchase_30d"].cast(pa.bool_()))
    lake.write(stores.lake, tables.TRAINING_EXAMPLES, DAY, table.to_batches(), table.schema)


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
    assert metadata["columns"] == ["last_order_age_days", "spend_total", "order_gap_mean_days", "returned_share"]
    rows = pd.DataFrame({"last_order_age_days": [1.0, 300.0], "spend_total": 50.0, "order_gap_mean_days": np.nan})
    low, high = model.predict_proba(rows.assign(returned_share=np.nan)[metadata["columns"]])[:, 1]
    assert low < 0.2 < 0.8 < high
    assert registry.pictures(version) == ["calibration.png", "confusion.png", "precision_recall.png", "roc.png"]


def test_the_same_day_learns_the_same_model(stores):
    write(stores, examples())
    first, second = (classify.train_classifier("churn_90d", DAY, stores) for _ in range(2))
    assert first["metrics"] == second["metrics"]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (examples((90,)), "history is too short: no cutoff lies 180 days"),
        (examples((90, 180), rows=60), "positives and .* negatives of is_churn_90d among the training examples"),
        (examples().assign(is_churn_90d=True), "0 negatives"),
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
