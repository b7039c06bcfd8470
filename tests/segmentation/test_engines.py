"""DuckDB and Spark build the same features from the same statements: every table, every column, every row."""

import contextlib
import dataclasses
import datetime as dt
import pathlib
import shutil

import numpy as np
import pyarrow as pa
import pytest

from local.simulator import practice_shop
from segmentation import (
    aggregates,
    engine,
    extract,
    families,
    features,
    history,
    lake,
    score,
    settings,
    tables,
    validate,
    warehouse,
)
from tests import champions
from tests.local.simulator.conftest import DIRTY, silent

pytest.importorskip("pyspark", reason="pyspark is not installed: `make dev-ready` installs it")
if shutil.which("java") is None:
    pytest.skip("there is no Java: `apt-get install default-jre-headless`", allow_module_level=True)

FIRST, GROWN = 150, (3,)
SHOP = dataclasses.replace(DIRTY, customers=300, span_days=160, contact_share=0.6)
LAST = SHOP.first_day + dt.timedelta(days=FIRST + sum(GROWN))
NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
TRAINING = settings.Training(max_cutoffs=2, cutoff_step_days=40, min_examples=20)
TARGETS = settings.Targets(far_days=40)
CONF = {"spark.sql.shuffle.partitions": "4", "spark.ui.enabled": "false", "spark.driver.memory": "1g"}
KEYS = {name: [*each.schema.names[: len(each.keys) - 1]] for name, each in tables.AGGREGATES.items()}


@pytest.fixture(scope="module")
def built(module_stores, new_warehouse, tmp_path_factory):
    """The same shop in two lakes: everything built by DuckDB in the one, by Spark in the other."""
    made = {}
    with (
        new_warehouse() as marketing,
        pytest.MonkeyPatch.context() as patch,
        contextlib.chdir(tmp_path_factory.mktemp("registry")),  # where MLflow on SQLite keeps its artifacts
    ):
        other = dataclasses.replace(module_stores, marketing=marketing, lake=str(tmp_path_factory.mktemp("lake")))
        made = {"duckdb": module_stores, "spark": other}
        spark = settings.Spark(master="local[2]", conf=CONF)
        with_engine = {
            name: settings.Settings(engine=name, training=TRAINING, targets=TARGETS, spark=spark) for name in made
        }
        with warehouse.connect(module_stores.warehouse) as connection:
            practice_shop.create(connection, SHOP, FIRST, silent)
        day = SHOP.first_day + dt.timedelta(days=FIRST)
        for step in (0, *GROWN):
            if step:
                practice_shop.grow(module_stores.warehouse, step, silent)
                day += dt.timedelta(days=step)
            for name, stores in made.items():
                for entity in tables.ENTITIES:
                    extract.extract_entity(entity, day, stores)
                validate.accept_raw(day, stores)
                patch.setattr(settings, "load", lambda name=name: with_engine[name])
                aggregates.build_aggregates(day, stores)
                patch.undo()
        for name, stores in made.items():
            patch.setattr(settings, "load", lambda name=name: with_engine[name])
            features.build_features(LAST, stores)
            features.build_training_examples(LAST, stores, TRAINING)
            if name == "duckdb":
                champions.promote(stores, LAST, skipped=["churn_90d"])
            score.score_customers(LAST, NOW, stores)
            patch.undo()
        yield made

    return warehouse.connect(stores.warehouse)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", tables.AGGREGATES)
def test_aggregates_are_the_same(built, name):
    left, right = (_summed(stores, tables.AGGREGATES[name]) for stores in built.values())
    assert left
    assert left == right


@pytest.mark.parametrize("family", [family.name for family in families.every()])
def test_a_family_is_the_same(built, family):
    left, right = (lake.read(stores.lake, tables.CUSTOMER_FEATURES, LAST) for stores in built.values())
    names = {each.name: each for each in families.every()}[family]
    _same(left, right, [column.name for column in names.columns])


def test_training_examples_are_the_same(built):
    left, right = (lake.read(stores.lake, tables.TRAINING_EXAMPLES, LAST) for stores in built.values())
    assert set(left["is_purchase"].to_pylist()) == {True, False, None}
    _same(left, right, left.column_names)


def test_scores_are_the_same(built):
    left, right = (lake.read(stores.lake, tables.CUSTOMER_SCORES, LAST) for stores in built.values())
    assert left["purchase_probability_30d"].null_count == left["reasons"].null_count == 0
    _same(left, right, left.column_names)


def test_nothing_is_left_in_the_scratch_folder(built):
    assert not list(pathlib.Path(built["spark"].lake, "scratch").glob("*"))


def _summed(stores, aggregate):
    with engine.session(stores.lake, settings.Settings()) as session:
        session.put(aggregate.table, history.aggregated(stores, aggregate, LAST, LAST))
        keys = ", ".join(KEYS[aggregate.name])
        sums = ", ".join(f"sum({name}) as {name}" for name in aggregate.measures.names)
        found = session.batches(f"select {keys}, {sums} from {aggregate.table} group by all order by all")
        return engine.table_of(found).to_pylist()


def _same(left: pa.Table, right: pa.Table, columns: list[str]) -> None:
    keys = ["customer_id", "as_of_date"]
    assert left.schema.equals(right.schema), (left.schema, right.schema)
    order = [(key, "ascending") for key in keys]
    left, right = left.sort_by(order), right.sort_by(order)
    assert left.num_rows == right.num_rows > 100
    assert left.select(keys).equals(right.select(keys))
    for column in columns:
        kind = left.schema.field(column).type
        if pa.types.is_floating(kind):
            assert left[column].is_null().equals(right[column].is_null()), column
            pair = [side[column].to_numpy() for side in (right, left)]
            np.testing.assert_allclose(*pair, rtol=1e-9 if kind == pa.float64() else 1e-6, atol=1e-12, err_msg=column)
        else:
            assert left[column].to_pylist() == right[column].to_pylist(), column
