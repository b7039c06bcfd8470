"""What scores were worth, on a shop small enough to count by hand."""

import datetime as dt
import json
import math

import pytest

from segmentation import features, lake, performance, tables, warehouse
from segmentation.registry import Registry
from tests import frames
from tests.versions import register

SCORED = frames.DAY
NEAR, FAR = SCORED + dt.timedelta(days=30), SCORED + dt.timedelta(days=90)
TRAINED = SCORED - dt.timedelta(days=4)
PROMISE = {"auc": 0.8, "auc_low": 0.75, "auc_high": 0.85, "spearman": 0.5}
# a and c buy within 30 days, d within 90, b never again; e withdraws, f is erased; p never bought
CHANCE = {"a": 0.9, "b": 0.6, "c": 0.4, "d": 0.1, "e": 0.5, "f": 0.5, "p": 0.2}
CUSTOMERS = [{"customer_id": key, "signed_up_at": dt.date(2025, 3, 1)} for key in CHANCE]
BEFORE = [{"order_id": f"{key}1", "customer_id": key, "ordered_at": dt.date(2025, 9, 1)} for key in "abcdef"]
SINCE = [
    {"order_id": "a2", "customer_id": "a", "ordered_at": SCORED, "total_amount": 30},
    {"order_id": "c2", "customer_id": "c", "ordered_at": NEAR - dt.timedelta(days=1), "total_amount": 10},
    {"order_id": "d2", "customer_id": "d", "ordered_at": NEAR, "total_amount": 60},
    {"order_id": "b2", "customer_id": "b", "ordered_at": FAR, "total_amount": 500},
]


def scored(stores, models: list[str]) -> None:
    versions = json.dumps({model: register(stores, model, TRAINED, PROMISE) for model in models})
    rows = [
        {
            "customer_id": key,
            "purchase_probability_30d": chance,
            "churn_probability_90d": None if key == "p" else 1 - chance,
            "expected_spend_90d": 100 * chance,
            "service_risk": "high" if key in "ab" else "low",
            "model_versions": versions,
        }
        for key, chance in CHANCE.items()
    ]
    table = frames.typed(rows, tables.SEGMENT_COLUMNS)
    lake.write(stores.lake, tables.CUSTOMER_SCORES, SCORED, table.to_batches(), tables.SEGMENT_COLUMNS)


@pytest.fixture
def shop(stores):
    frames.write_raw(stores, SCORED, customers=CUSTOMERS, orders=BEFORE)
    features.build_features(SCORED, stores)
    withdrawn = {**CUSTOMERS[4], "profiling_consent": False, "updated_at": dt.date(2026, 2, 2)}
    for day in (NEAR, FAR):
        orders = [order for order in SINCE if order["ordered_at"] < day]
        tickets = [{"ticket_id": "t1", "customer_id": "b", "category": "complaint", "opened_at": SCORED}]
        frames.write_raw(stores, day, customers=[withdrawn], orders=orders, support_tickets=tickets)
        erase(stores, "f")
    return stores


def erase(stores, customer: str) -> None:
    """As if no file had ever named the customer."""
    from segmentation import history

    for file in history.files_of(stores, "customers"):
        path = f"{stores.lake}/{file.path}"
        batches = [b.filter([c != customer for c in b["customer_id"].to_pylist()]) for b in lake.batches_of(path, 1000)]
        lake.write_file(path, batches, history.schema_of("customers"))


def written(stores) -> dict[tuple, dict]:
    columns = "model, metric, promised, realised, realised_low, realised_high, version, as_of_date, computed_on"
    with warehouse.connect(stores.marketing) as connection:
        found = warehouse.fetch(connection, f"select {columns} from ops.performance order by model, metric")
    return {row[:2]: dict(zip(columns.split(", ")[2:], row[2:], strict=True)) for row in found}


def test_near_outcomes_are_measured_when_their_horizon_has_passed(shop):
    scored(shop, [tables.PURCHASE.model, tables.CHURN.model])
    told = performance.measure_performance(NEAR, shop)
    assert told[tables.PURCHASE.model] == f"version 1, 5 customers of {SCORED}"
    assert told[tables.CHURN.model] == "the lake has no score.customer_daily and no feat.customer_daily of 2025-12-02"
    found = written(shop)
    assert {model for model, _ in found} == {tables.PURCHASE.model}
    auc = found[tables.PURCHASE.model, "auc"]
    # a before b, d, p; c before d, p but not before b: 5 of 6 pairs
    assert auc["realised"] == pytest.approx(5 / 6)
    assert (auc["promised"], auc["version"], auc["as_of_date"], auc["computed_on"]) == (0.8, "1", SCORED, NEAR)
    assert auc["realised_low"] <= auc["realised"] <= auc["realised_high"]
    brier = (0.1**2 + 0.6**2 + 0.6**2 + 0.1**2 + 0.2**2) / 5
    loss = -sum(map(math.log, (0.9, 0.4, 0.4, 0.9, 0.8))) / 5
    wanted = {"brier": brier, "log_loss": loss, "base_rate": 0.4, "customers": 5, "customers_gone": 2}
    assert {name: found[tables.PURCHASE.model, name]["realised"] for name in wanted} == pytest.approx(wanted, rel=1e-6)
    assert found[tables.PURCHASE.model, "brier"]["promised"] is None


def test_far_outcomes_amounts_and_bands(shop):
    scored(shop, [tables.CHURN.model, tables.SPEND.model, tables.SERVICE.model])
    told = performance.measure_performance(FAR, shop)
    assert told[tables.CHURN.model] == f"version 1, 4 customers of {SCORED}"  # p never bought
    assert told[tables.HIGH_VALUE.model] == f"not scored on {SCORED}"
    found = written(shop)
    churn, spend, service = tables.CHURN.model, tables.SPEND.model, tables.SERVICE.model
    # only b left: more probable than a, and than neither of c and d
    assert found[churn, "auc"]["realised"] == pytest.approx(1 / 3)
    assert found[churn, "base_rate"]["realised"] == 0.25
    # 90 + 60 + 40 + 10 + 20 foreseen, 30 + 0 + 10 + 60 + 0 spent
    assert found[spend, "total_ratio"]["realised"] == pytest.approx(220 / 100)
    assert found[spend, "spearman"]["promised"] == 0.5
    assert found[service, "rate_high"]["realised"] == 0.5
    assert found[service, "rate_low"]["realised"] == 0
    assert [found[service, f"customers_{band}"]["realised"] for band in ("high", "low")] == [2, 3]


def test_again_and_with_what_came_late_the_same_is_written_and_mlflow_keeps_one_point(shop):
    scored(shop, [tables.PURCHASE.model])
    performance.measure_performance(NEAR, shop)
    before = written(shop)
    late = {"order_id": "b9", "customer_id": "b", "ordered_at": SCORED, "updated_at": FAR}
    frames.write_raw(shop, FAR + dt.timedelta(days=1), orders=[late])
    performance.measure_performance(NEAR, shop)
    assert written(shop) == before
    registry = Registry(shop.registry, shop.marketing)
    run = registry.version(tables.PURCHASE.model, "1").run_id
    [point] = registry._client.get_metric_history(run, "realised_auc")
    assert (point.value, point.step) == (pytest.approx(5 / 6), 4)
    assert registry.metrics(registry.version(tables.PURCHASE.model, "1"))["auc"] == 0.8


def test_scores_of_which_nobody_is_left_or_that_are_all_null_are_counted(shop):
    scored(shop, [tables.HIGH_VALUE.model])
    told = performance.measure_performance(FAR, shop)
    assert told[tables.HIGH_VALUE.model] == f"version 1, 0 customers of {SCORED}"
    assert {metric for _, metric in written(shop)} == {"customers", "customers_gone"}


def test_what_no_run_has_looked_back_at_the_next_ones_catch_up_with(shop):
    scored(shop, [tables.PURCHASE.model])
    later = NEAR + dt.timedelta(days=2)
    frames.write_raw(shop, later)
    told = performance.measure_performance(later, shop)
    missing = f"the lake has no score.customer_daily and no feat.customer_daily of {SCORED + dt.timedelta(days=2)}"
    assert told[tables.PURCHASE.model] == missing, "the day itself"
    found = written(shop)[tables.PURCHASE.model, "auc"]
    assert (found["as_of_date"], found["computed_on"]) == (SCORED, later)
    before = written(shop)
    performance.measure_performance(later, shop)
    assert written(shop) == before
    next_day = later + dt.timedelta(days=1)
    frames.write_raw(shop, next_day)
    performance.measure_performance(next_day, shop)
    assert written(shop) == before, "once is enough"


def test_what_was_missed_long_ago_stays_unmeasured(shop):
    scored(shop, [tables.PURCHASE.model])
    later = NEAR + dt.timedelta(days=8)
    frames.write_raw(shop, later)
    performance.measure_performance(later, shop)
    assert written(shop) == {}
