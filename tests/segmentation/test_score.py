"""Bands on numbers one can check by hand, and a whole day scored by real models."""

import contextlib
import copy
import dataclasses
import datetime as dt
import functools
import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit

from segmentation import (
    features,
    lake,
    naming,
    preparation,
    publish,
    score,
    scoring,
    settings,
    strategy,
    tables,
    validate,
    warehouse,
)
from segmentation.registry import NoModelError, Registry
from tests import champions, frames

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
    limits = scoring.value_limits(lambda: spend.to_batches(max_chunksize=7), CONFIG)
    assert (limits.high, limits.medium) == pytest.approx((7.2, 4.5))
    frame = customer_features(spend_365d=[9.0, 7.2, 7.1, 4.5, 4.4, 0.0])
    assert list(scoring.value_tier(frame, limits)) == ["high", "high", "medium", "medium", "low", "low"]
    assert list(scoring.value_tier(frame, scoring.ValueLimits(0.0, 0.0)))[-1] == "low"


def test_value_limits_of_a_shop_without_buyers_put_nobody_on_top():
    import pyarrow as pa

    limits = scoring.value_limits(pa.table({"orders_count": [0], "spend_365d": [0.0]}).to_batches, CONFIG)
    assert list(scoring.value_tier(customer_features(spend_365d=[5.0]), limits)) == ["low"]


def test_churn_risk():
    assert list(scoring.churn_risk(np.array([0.7, 0.69, 0.4, 0.39, np.nan]), CONFIG)) == [
        "high", "medium", "medium", "low", None
    ]  # fmt: skip


def test_bands():
    found = scoring.band(np.array([0.9, 0.5, 0.3, 0.1, np.nan]), ("high", 0.5), ("general", 0.3))
    assert list(found) == ["high", "high", "general", "low", None]


@pytest.fixture(scope="module")
def trained_shop(module_stores, tmp_path_factory):
    """600 customers, 60 of them without an order and 20 new ones, features of DAY and promoted models."""
    stores = module_stores
    rng = np.random.default_rng(3)
    customers = [
        {"customer_id": f"c{n:03}", "signed_up_at": dt.date(2024, 6, 1), "email_consent": n % 2 == 0}
        for n in range(600)
    ]
    orders = []
    for n in range(540):
        days, stop = np.cumsum(rng.exponential(10 + n / 8, 60)), rng.exponential(900)
        days -= days[0]
        first = 600 if n >= 520 else 1
        orders += [
            {"order_id": f"o{n}-{k}", "customer_id": f"c{n:03}", "total_amount": round(float(rng.gamma(3, 10)), 2),
             "ordered_at": dt.date(2024, 6, 1) + dt.timedelta(days=float(first + day))}
            for k, day in enumerate(days)
            if day < min(609, stop)
        ]  # fmt: skip
    orders = [order for order in orders if order["ordered_at"] < DAY]
    tickets = [
        {"ticket_id": f"t{n}-{k}", "customer_id": f"c{n:03}", "category": "complaint",
         "opened_at": dt.date(2024, 7, 1) + dt.timedelta(days=int(rng.integers(0, 570)))}
        for n in range(0, 600, 3)
        for k in range(1 + n % 4)
    ]  # fmt: skip
    frames.write_raw(stores, customers=customers, orders=orders, support_tickets=tickets)
    features.build_training_examples(DAY, stores)
    features.build_features(DAY, stores)
    with contextlib.chdir(tmp_path_factory.mktemp("registry")):  # where MLflow on SQLite keeps its artifacts
        champions.promote(stores, DAY)
        yield stores


def scores_of(stores, **config):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "load", lambda: settings.Settings(score=settings.Score(**config)))
        result = score.score_customers(DAY, NOW, stores)
    return result, lake.read(stores.lake, tables.CUSTOMER_SCORES, DAY)


def test_every_customer_is_scored_in_the_contracts_columns(trained_shop):
    result, scores = scores_of(trained_shop, batch_rows=97)
    versions = dict.fromkeys([*tables.TARGETS, tables.SEGMENTS_MODEL], "1")
    assert result == {"rows": 600, "model_versions": versions}
    assert scores.schema == tables.SEGMENT_COLUMNS
    frame = scores.to_pandas().set_index("customer_id")
    assert frame.index.is_unique
    prospects = frame.loc[[f"c{n:03}" for n in range(540, 600)]]
    buyers = frame.drop(prospects.index)
    assert set(prospects["segment_name"]) == set(prospects["lifecycle_stage"] + "s") == {"prospects"}
    for column in ("churn_probability_90d", "churn_risk", "high_value_probability_90d"):
        assert prospects[column].isna().all()
        assert buyers[column].notna().all()
    newcomers = frame["lifecycle_stage"].isin(["prospect", "new"])
    assert 60 < newcomers.sum() < 100
    assert (frame["new_customer_potential"].notna() == newcomers).all()
    assert set(frame["new_customer_potential"].dropna()) <= {"high", "general", "low"}
    assert set(frame["service_risk"]) <= {"high", "medium", "low"}
    assert frame["purchase_probability_30d"].between(0, 1).all()
    assert frame["expected_spend_90d"].map(lambda amount: amount >= 0 and amount.as_tuple().exponent == -2).all()
    assert set(buyers["segment_id"]) == {1, 2, 3}
    assert (buyers.groupby("segment_id")["segment_name"].nunique() == 1).all()
    assert set(frame["model_versions"].map(json.loads).map(dict.items).map(frozenset)) == {frozenset(versions.items())}


def test_scores_are_those_of_the_registered_models(trained_shop):
    _, scores = scores_of(trained_shop)
    registry = Registry(trained_shop.registry, trained_shop.marketing)
    estimator, metadata = registry.load(registry.resolve(tables.PURCHASE.model, DAY))
    rows = lake.read(trained_shop.lake, tables.CUSTOMER_FEATURES, DAY).to_pandas()
    expected = estimator.predict_proba(preparation.inputs(rows, metadata["columns"]))[:, 1]
    np.testing.assert_allclose(scores["purchase_probability_30d"].to_numpy(), expected, rtol=1e-6)


def test_a_day_is_scored_with_its_season_and_a_band_without(trained_shop):
    registry, told = Registry(trained_shop.registry, trained_shop.marketing), {}
    loaded = scoring.load_champions(registry, DAY, trained_shop.lake, NOW)
    rows = lake.read(trained_shop.lake, tables.CUSTOMER_FEATURES, DAY).to_pandas()
    for shift in (0.0, 0.7):
        seasonal = {model: (version, copy.copy(estimator), known) for model, (version, estimator, known)
                    in loaded.targets.items()}  # fmt: skip
        for model in (tables.PURCHASE.model, tables.NEWCOMER.model):
            seasonal[model][1].season = {f"{DAY}": shift, f"{DAY + dt.timedelta(days=1)}": -5.0}
        models = dataclasses.replace(loaded, targets=seasonal)
        limits = scoring.ValueLimits(100.0, 10.0)
        told[shift] = scoring.score_batch(rows, DAY, NOW, models, limits, CONFIG, has_reasons=False).to_pandas()
    before, after = (logit(told[shift]["purchase_probability_30d"].astype(float)) for shift in (0.0, 0.7))
    assert (after - before).to_numpy() == pytest.approx(0.7, abs=1e-3)
    changed = [name for name in told[0.0] if not told[0.0][name].equals(told[0.7][name])]
    assert changed == ["purchase_probability_30d"]


def test_everyone_has_reasons_that_differ_among_customers_and_from_each_other(trained_shop):
    _, scores = scores_of(trained_shop)
    frame = scores.to_pandas().set_index("customer_id")
    assert frame["reasons"].map(len).between(1, 3).all()
    assert (frame.loc[frame["lifecycle_stage"] == "active", "reasons"].map(len) == 3).all()
    assert (frame["reasons"].map(lambda told: len({each.split(" (")[0] for each in told}) == len(told))).all()
    assert frame["reasons"].map(tuple).nunique() > 200
    prospects = frame.loc[frame["lifecycle_stage"] == "prospect", "reasons"]
    assert all(any("chance of an order" in each for each in told) for told in prospects)
    old = frame.loc[frame["lifecycle_stage"].isin(["active", "lapsed"]), "reasons"]
    assert all("the risk to leave" in each for told in old for each in told)


def test_reasons_are_in_the_language_that_is_set(trained_shop):
    registry = Registry(trained_shop.registry, trained_shop.marketing)
    loaded = scoring.load_champions(registry, DAY, trained_shop.lake, NOW)
    rows = lake.read(trained_shop.lake, tables.CUSTOMER_FEATURES, DAY).to_pandas()
    limits = scoring.ValueLimits(100.0, 10.0)
    english, chinese = (
        scoring.score_batch(rows, DAY, NOW, loaded, limits, config).to_pandas()
        for config in (CONFIG, CONFIG.model_copy(update={"reasons_language": "zh"}))
    )
    assert english["reasons"].map(len).equals(chinese["reasons"].map(len))
    effects = {each.rpartition("（")[2] for told in chinese["reasons"] for each in told}
    assert effects == {"流失风险升高）", "流失风险降低）", "近期下单概率升高）", "近期下单概率降低）"}
    rest = [name for name in english if name != "reasons"]
    assert english[rest].equals(chinese[rest])


def test_what_passes_the_gate_is_what_was_scored(trained_shop):
    scores_of(trained_shop)
    assert validate.validate_table(tables.CUSTOMER_SCORES, DAY, trained_shop)["rows"] == 600


def test_batches_do_not_change_a_score(trained_shop):
    small, large = scores_of(trained_shop, batch_rows=7)[1], scores_of(trained_shop, batch_rows=100_000)[1]
    assert small.equals(large)
    assert scores_of(trained_shop, batch_rows=7, threads=3)[1].equals(scores_of(trained_shop, threads=1)[1])


def test_a_day_before_the_training_is_not_scored_and_says_what_to_do(trained_shop):
    past = DAY - dt.timedelta(days=1)
    with pytest.raises(NoModelError, match="make run DAG=train_models_weekly DAY=2026-01-30"):
        score.score_customers(past, NOW, trained_shop)
    with pytest.raises(lake.MissingDayError):
        lake.read(trained_shop.lake, tables.CUSTOMER_SCORES, past)


def test_skipped_targets_leave_their_columns_empty_and_the_chance_to_buy_gives_the_reasons(trained_shop, stores):
    skipped = ["churn_90d", "new_customer_90d", "spend_90d", "service_risk_90d"]
    shop = dataclasses.replace(stores, lake=trained_shop.lake)
    champions.promote(shop, DAY, skipped)
    result, scores = scores_of(shop)
    assert set(result["model_versions"]) == {"customer_segments", "purchase_30d", "high_value_90d"}
    empty = ["churn_probability_90d", "churn_risk", "new_customer_potential", "service_risk"]
    assert all(scores[name].null_count == 600 for name in empty)
    features = lake.read(shop.lake, tables.CUSTOMER_FEATURES, DAY, ["customer_id", "expected_spend_90d"]).to_pylist()
    foreseen = {row["customer_id"]: row["expected_spend_90d"] for row in features}
    for row in scores.select(["customer_id", "expected_spend_90d"]).to_pylist():  # the purchase model's, to the cent
        wanted, said = foreseen[row["customer_id"]], row["expected_spend_90d"]
        assert (wanted is None) == (said is None)
        assert wanted is None or float(said) == pytest.approx(wanted, abs=0.0051)
    assert 0 < scores["expected_spend_90d"].null_count < 600
    assert scores["purchase_probability_30d"].null_count == 0
    assert all("the chance of an order" in each for told in scores["reasons"].to_pylist() for each in told)


def test_without_any_target_there_are_segments_and_no_reasons(trained_shop, stores):
    shop = dataclasses.replace(stores, lake=trained_shop.lake)
    champions.promote(shop, DAY, list(tables.TARGETS))
    _, scores = scores_of(shop)
    assert scores["reasons"].null_count == 600
    assert scores["segment_id"].null_count == 0


def test_a_day_is_scored_while_mlflow_is_down_and_the_log_says_by_what(trained_shop, caplog, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    _, before = scores_of(trained_shop)
    down = dataclasses.replace(trained_shop, registry="http://127.0.0.1:9")
    with caplog.at_level("WARNING"):
        _, scores = scores_of(down)
    assert scores.equals(before)
    assert "MLflow cannot be reached" in caplog.text
    assert "churn_90d 1" in caplog.text
    assert "2026-01-31T05:00:00+00:00" in caplog.text


def test_a_segment_is_published_by_the_name_that_a_marketer_gave_it_and_nothing_else_changes(
    trained_shop, tmp_path, monkeypatch
):
    own = lake.read(trained_shop.lake, tables.CUSTOMER_SCORES, DAY).to_pandas()
    file = tmp_path / "segment_names.yaml"
    file.write_text("1: {en: big regulars}\n0: {en: guests}\n", encoding="utf-8")
    monkeypatch.setattr(naming, "edited", functools.partial(naming.edited, path=file))
    score.score_customers(DAY, NOW, trained_shop)
    renamed = lake.read(trained_shop.lake, tables.CUSTOMER_SCORES, DAY).to_pandas()
    assert renamed["segment_id"].tolist() == own["segment_id"].tolist()
    names = renamed.groupby("segment_id")["segment_name"].agg(set).to_dict()
    assert names == {0: {"guests"}, 1: {"big regulars"}, 2: {"kind_2"}, 3: {"kind_3"}}


def test_names_that_cannot_be_right_stop_the_day_by_the_line(trained_shop, tmp_path, monkeypatch):
    file = tmp_path / "segment_names.yaml"
    file.write_text("1: {en: kind_2}\n", encoding="utf-8")
    monkeypatch.setattr(naming, "edited", functools.partial(naming.edited, path=file))
    with pytest.raises(naming.NamesError, match=r"segment_names\.yaml line 1: segment 2 is called"):
        score.score_customers(DAY, NOW, trained_shop)


def test_a_day_goes_on_from_the_scores_to_the_delivered_strategies_and_into_the_snapshot(trained_shop):
    scores_of(trained_shop)
    result = strategy.choose_strategies(DAY, trained_shop, "a key for tests only")
    assert {"interest_group_picks", "responding_channel", "video_stories"} <= result["off"].keys()
    assert "points_bonus" not in result["off"]
    assert sum(each["customers"] for each in result["strategies"].values()) > 60
    assert validate.validate_table(tables.STRATEGIES, DAY, trained_shop)["rows"] == 600
    assert publish.publish_segments(DAY, trained_shop)["rows"] == 600
    with warehouse.connect(trained_shop.marketing) as connection:
        counted = warehouse.fetch(
            connection,
            "select strategy_id, count(*), count(*) filter (where in_holdout) from marketing.customer_segments "
            "where strategy_id is not null group by 1",
        )
        [(unasked,)] = warehouse.fetch(
            connection,
            "select count(*) from marketing.customer_segments where contact_channel is not null "
            "and (contact_channel <> 'email' or right(customer_id, 1)::int % 2 = 1)",
        )
    assert {name: (customers, held) for name, customers, held in counted} == {
        name: (each["customers"], each["held_out"]) for name, each in result["strategies"].items()
    }
    assert unasked == 0
