"""A practice shop that is left alone does not drift; prices that double and browsing that is lost do."""

import csv
import dataclasses
import datetime as dt
import io
import json

import mlflow
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from local.simulator import practice_shop
from segmentation import aggregates, drift, extract, families, features, lake, settings, tables, validate, warehouse
from segmentation.registry import Registry, UnreachableError
from tests import frames
from tests.local.simulator.conftest import DIRTY, silent
from tests.versions import register

SHOP = dataclasses.replace(DIRTY, customers=600, span_days=300, contact_share=0.6)
FIRST = SHOP.first_day + dt.timedelta(days=280)
WEEKS = 3
BROWSING = ("browsing", "viewed_interest", "media")


def scored(stores, day: dt.date, versions: dict[str, str], rise: float = 0.0) -> None:
    """Scores that follow from the features: `purchase_30d` by who is still there, a segment by who has ordered."""
    frame = lake.read(stores.lake, tables.CUSTOMER_FEATURES, day, ["customer_id", "alive_probability", "orders_count"])
    rows = [
        {
            "customer_id": row["customer_id"],
            "purchase_probability_30d": min(1.0, rise + 0.5 * (row["alive_probability"] or 0)),
            "segment_id": 1 if row["orders_count"] else 0,
            "model_versions": json.dumps(versions),
        }
        for row in frame.to_pylist()
    ]
    table = frames.typed(rows, tables.SEGMENT_COLUMNS)
    lake.write(stores.lake, tables.CUSTOMER_SCORES, day, table.to_batches(), tables.SEGMENT_COLUMNS)


@pytest.fixture(scope="module")
def shop(module_stores, tmp_path_factory):
    """The stores and the days: models of the first, which all days are scored by."""
    with warehouse.connect(module_stores.warehouse) as connection:
        practice_shop.create(connection, SHOP, 280, silent)
    days = [FIRST + dt.timedelta(days=7 * week) for week in range(WEEKS + 1)]
    versions = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("mlflow"))
        for day in days:
            if day > FIRST:
                practice_shop.grow(module_stores.warehouse, 7, silent)
            for name in tables.ENTITIES:
                extract.extract_entity(name, day, module_stores)
            validate.accept_raw(day, module_stores)
            aggregates.build_aggregates(day, module_stores)
            features.build_features(day, module_stores)
            if day == FIRST:
                features.build_training_examples(day, module_stores, settings.Training(max_cutoffs=2))
                for model in (tables.SEGMENTS_MODEL, tables.PURCHASE.model):
                    versions[model] = register(module_stores, model, day)
            scored(module_stores, day, versions)
    return module_stores, days, versions


def changed(stores, day: dt.date, change) -> None:
    """Plants what becomes of each column in the features of a day."""
    table = lake.read(stores.lake, tables.CUSTOMER_FEATURES, day)
    for index, field in enumerate(table.schema):
        table = table.set_column(index, field, change(field.name, table[field.name]).cast(field.type))
    lake.write(stores.lake, tables.CUSTOMER_FEATURES, day, table.to_batches(), table.schema)


@pytest.fixture
def last_day(shop):
    """The last day, which is afterwards as it was."""
    stores, days, _ = shop
    kept = {each: lake.read(stores.lake, each, days[-1]) for each in (tables.CUSTOMER_FEATURES, tables.CUSTOMER_SCORES)}
    yield days[-1]
    for name, table in kept.items():
        lake.write(stores.lake, name, days[-1], table.to_batches(), table.schema)


def written(stores, day: dt.date) -> list[tuple]:
    query = (
        "select kind, column_name, reference_date, psi, threshold, is_drifted from ops.drift where as_of_date = :day"
    )
    with warehouse.connect(stores.marketing) as connection:
        return sorted(warehouse.fetch(connection, query, {"day": day}))


def test_the_training_day_itself_has_not_drifted_at_all(shop):
    stores, days, _ = shop
    assert drift.measure_drift(days[0], stores) == {"feature": [], "score": [], "is_far": False}
    rows = written(stores, days[0])
    assert {row[:3] for row in rows if row[0] == "score"} == {
        ("score", "purchase_probability_30d", FIRST),
        ("score", "segment_id", FIRST),
    }
    assert sum(row[0] == "feature" for row in rows) > 100
    assert max(row[3] for row in rows) == 0


def test_a_shop_that_is_left_alone_does_not_drift_in_weeks(shop):
    """But for the days since the last campaign: there is one every four weeks, for many at once."""
    stores, days, _ = shop
    for day in days[1:]:
        found = drift.measure_drift(day, stores)
        assert found["score"] == []
        assert set(found["feature"]) <= {"last_contact_age_days", "expected_day_spend"}
        assert {row[2] for row in written(stores, day)} == {FIRST}


def test_doubled_prices_drift(shop, last_day):
    stores, _, _ = shop
    units = {column.name: column.unit for family in families.every() for column in family.columns}

    def doubled(name, values):
        return pc.multiply(values.cast(pa.float64()), 2.0) if units.get(name) == "currency" else values

    changed(stores, last_day, doubled)
    drifted = drift.measure_drift(last_day, stores)["feature"]
    assert {"unit_price_mean", "order_value_mean", "expected_day_spend"} <= set(drifted)
    share = len(drifted) / sum(row[0] == "feature" for row in written(stores, last_day))
    assert share > settings.Retrain().most_drifted_share


def test_browsing_that_is_lost_drifts(shop, last_day):
    stores, _, _ = shop
    lost = {column.name for family in families.every() if family.name in BROWSING for column in family.columns}
    changed(stores, last_day, lambda name, v: pa.chunked_array([pa.nulls(len(v), v.type)]) if name in lost else v)
    drifted = set(drift.measure_drift(last_day, stores)["feature"])
    assert len(drifted & lost) > 0.8 * len(lost)


def test_scores_drift_from_the_first_day_that_their_version_scored(shop, last_day):
    stores, days, versions = shop
    scored(stores, last_day, versions, rise=0.5)
    assert drift.measure_drift(last_day, stores)["score"] == ["purchase_probability_30d"]
    newer = {**versions, tables.PURCHASE.model: register(stores, tables.PURCHASE.model, days[1])}
    scored(stores, last_day, newer, rise=0.5)
    with pytest.raises(lake.MissingDayError, match=f"feat.training_examples for {days[1]}"):
        drift.measure_drift(last_day, stores)
    features.build_training_examples(days[1], stores, settings.Training(max_cutoffs=2))
    assert drift.measure_drift(last_day, stores)["score"] == []
    assert {(row[1], row[2]) for row in written(stores, last_day) if row[0] == "score"} == {
        ("purchase_probability_30d", last_day),
        ("segment_id", FIRST),
    }
    assert {row[2] for row in written(stores, last_day) if row[0] == "feature"} == {days[1]}


def test_again_the_same_is_written_and_mlflow_holds_table_picture_and_curve(shop):
    stores, days, versions = shop
    drift.measure_drift(days[1], stores)
    before = written(stores, days[1])
    drift.measure_drift(days[1], stores)
    assert written(stores, days[1]) == before
    client = mlflow.MlflowClient(stores.registry)
    run = (
        Registry(stores.registry, stores.marketing)
        .version(tables.SEGMENTS_MODEL, versions[tables.SEGMENTS_MODEL])
        .run_id
    )
    assert {f"drift/{days[1]}.csv", f"drift/{days[1]}.png"} <= {
        each.path for each in client.list_artifacts(run, "drift")
    }
    rows = list(csv.DictReader(io.StringIO(mlflow.artifacts.load_text(f"runs:/{run}/drift/{days[1]}.csv"))))
    assert len(rows) == len(before)
    [point] = [each for each in client.get_metric_history(run, "feature_psi_max") if each.step == 7]
    assert point.value == pytest.approx(max(row[3] for row in before if row[0] == "feature"))
    assert [each.step for each in client.get_metric_history(run, "score_psi")].count(7) == 1


def test_without_mlflow_the_task_says_so_and_may_be_tried_again(shop, monkeypatch):
    stores, days, _ = shop
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    before = written(stores, days[1])
    with pytest.raises(UnreachableError, match="MLflow does not answer"):
        drift.measure_drift(days[1], dataclasses.replace(stores, registry="http://127.0.0.1:9"))
    assert written(stores, days[1]) == before


def test_a_day_that_is_not_scored_is_named(shop):
    stores, days, _ = shop
    with pytest.raises(lake.MissingDayError, match=r"score\.customer_daily"):
        drift.measure_drift(days[-1] + dt.timedelta(days=1), stores)
