"""Bands on numbers one can check by hand, and a whole day scored by real models."""

import datetime as dt
import json

import numpy as np
import pandas as pd
import pytest

from segmentation import classify, cluster, features, lake, promote, score, scoring, settings, tables
from segmentation.registry import NoModelError
from tests import frames

DAY = frames.DAY
NOW = dt.datetime(2026, 1, 31, 5, tzinfo=dt.UTC)
CONFIG = settings.Score()


def customer_features(**columns):
    return pd.DataFrame({"orders_count": 1, "spend_365d": 0.0, **columns})


def test_lifecycle_stage():
    frame = customer_features(
        orders_count=[0, 1, 9, 9, 9, 9, 9],
        first_order_age_days=[np.nan, 30, 31, 900, 900, 900, 900],
        last_order_age_days=[np.nan, 30, 2, 90, 91, 180, 181],
    )
    assert list(scoring.lifecycle_stage(frame, CONFIG)) == [
        "prospect", "new", "active", "active", "lapsing", "lapsing", "lapsed"
    ]  # fmt: skip


def test_value_tiers_count_buyers_only_and_never_reward_no_spend():
    import pyarrow as pa

    spend = pa.table({"orders_count": [1] * 10 + [0] * 90, "spend_365d": [float(n) for n in range(10)] + [0.0] * 90})
    limits = scoring.value_limits(spend, CONFIG)
    assert (limits.high, limits.medium) == pytest.approx((7.2, 4.5))
    frame = customer_features(spend_365d=[9.0, 7.2, 7.1, 4.5, 4.4, 0.0])
    assert list(scoring.value_tier(frame, limits)) == ["high", "high", "medium", "medium", "low", "low"]
    assert list(scoring.value_tier(frame, scoring.ValueLimits(0.0, 0.0)))[-1] == "low"


def test_value_limits_of_a_shop_without_buyers_put_nobody_on_top():
    import pyarrow as pa

    limits = scoring.value_limits(pa.table({"orders_count": [0], "spend_365d": [0.0]}), CONFIG)
    assert list(scoring.value_tier(customer_features(spend_365d=[5.0]), limits)) == ["low"]


def test_churn_risk():
    assert list(scoring.churn_risk(np.array([0.7, 0.69, 0.4, 0.39, np.nan]), CONFIG)) == [
        "high", "medium", "medium", "low", None
    ]  # fmt: skip


@pytest.fixture
def trained_shop(stores):
    """600 customers, 60 of them without an order, features of DAY and promoted models."""
    rng = np.random.default_rng(3)
    customers = [{"customer_id": f"c{n:03}", "signed_up_at": dt.date(2024, 6, 1)} for n in range(600)]
    orders = []
    for n in range(540):
        days, stop = np.cumsum(rng.exponential(10 + n / 8, 60)), rng.exponential(900)
        orders += [
            {"order_id": f"o{n}-{k}", "customer_id": f"c{n:03}", "total_amount": round(float(rng.gamma(3, 10)), 2),
             "ordered_at": dt.date(2024, 6, 2) + dt.timedelta(days=float(day))}
            for k, day in enumerate(days)
            if day < min(607, stop) or k == 0
        ]  # fmt: skip
    orders = [order for order in orders if order["ordered_at"] < DAY]
    frames.write_raw(stores, customers=customers, orders=orders)
    features.build_training_examples(DAY, stores)
    features.build_features(DAY, stores)
    trained = [cluster.train_segments(DAY, stores)]
    trained += [classify.train_classifier(model, DAY, stores) for model in tables.TARGETS]
    assert not any("skipped" in result for result in trained), trained
    promote.promote_models(DAY, trained, stores)
    return stores


def test_every_customer_is_scored_in_the_contracts_columns(trained_shop, monkeypatch):
    monkeypatch.setattr(settings, "load", lambda: settings.Settings(score=settings.Score(batch_rows=97)))
    result = score.score_customers(DAY, NOW, trained_shop)
    assert result == {
        "rows": 600,
        "model_versions": {"customer_segments": "1", "churn_90d": "1", "purchase_30d": "1"},
    }
    scores = lake.read(trained_shop.lake, tables.CUSTOMER_SCORES, DAY)
    assert scores.schema == tables.SEGMENT_COLUMNS
    frame = scores.to_pandas().set_index("customer_id")
    assert frame.index.is_unique
    prospects = frame.loc[[f"c{n:03}" for n in range(540, 600)]]
    buyers = frame.drop(prospects.index)
    assert set(prospects["segment_name"]) == set(prospects["lifecycle_stage"] + "s") == {"prospects"}
    assert prospects["churn_probability_90d"].isna().all()
    assert prospects["purchase_probability_30d"].notna().all()
    assert set(buyers["segment_id"]) == set(range(1, buyers["segment_id"].max() + 1))
    assert buyers["churn_probability_90d"].between(0, 1).all()
    assert (buyers.groupby("segment_id")["segment_name"].nunique() == 1).all()
    assert set(map(json.dumps, map(json.loads, frame["model_versions"]))) == {
        '{"churn_90d": "1", "customer_segments": "1", "purchase_30d": "1"}'
    }
    assert scores["expected_spend_90d"].null_count == scores["reasons"].null_count == 600


def test_batches_do_not_change_a_score(trained_shop, monkeypatch):
    results = []
    for rows in (7, 100_000):
        monkeypatch.setattr(
            settings, "load", lambda rows=rows: settings.Settings(score=settings.Score(batch_rows=rows))
        )
        score.score_customers(DAY, NOW, trained_shop)
        results.append(lake.read(trained_shop.lake, tables.CUSTOMER_SCORES, DAY))
    assert results[0].equals(results[1])


def test_a_day_before_the_training_is_not_scored_and_says_what_to_do(trained_shop):
    past = DAY - dt.timedelta(days=1)
    frames.write_raw(trained_shop, past, customers=[{"customer_id": "a"}])
    features.build_features(past, trained_shop)
    with pytest.raises(NoModelError, match="make run DAG=train_models_weekly DAY=2026-01-30"):
        score.score_customers(past, NOW, trained_shop)
    with pytest.raises(lake.MissingDayError):
        lake.read(trained_shop.lake, tables.CUSTOMER_SCORES, past)


def test_a_skipped_target_leaves_its_column_empty(stores):
    customers = [{"customer_id": f"c{n}"} for n in range(60)]
    orders = [
        {
            "order_id": f"o{n}-{k}",
            "customer_id": f"c{n}",
            "ordered_at": dt.date(2025, 6, 2) + dt.timedelta(days=3 * n + k),
        }
        for n in range(60)
        for k in range(1 + n % 4)
    ]
    frames.write_raw(stores, customers=customers, orders=orders)
    features.build_training_examples(DAY, stores)
    features.build_features(DAY, stores)
    trained = [cluster.train_segments(DAY, stores)]
    trained += [classify.train_classifier(model, DAY, stores) for model in tables.TARGETS]
    assert [result.get("skipped") is not None for result in trained] == [False, True, True]
    promote.promote_models(DAY, trained, stores)
    assert score.score_customers(DAY, NOW, stores)["model_versions"] == {"customer_segments": "1"}
    scores = lake.read(stores.lake, tables.CUSTOMER_SCORES, DAY)
    assert scores["churn_probability_90d"].null_count == scores["churn_risk"].null_count == 60
