"""
What nobody may overlook is told, in a real Airflow, each thing provoked where it comes from: the shop's own rows, and
what readers see. One after the other: drift, the training that it asks for, whose models are refused; a snapshot that
the audit rejects; data that come no more. Meanwhile Airflow's metrics go to an OpenTelemetry collector.
"""

import datetime as dt
import json

import pytest

from local import load, runs
from local.airflow_api import Airflow
from local.environment import QUICK_TRAINING
from local.errors import StackError
from local.simulator import practice_shop
from local.simulator.settings import LAST_DAY, Settings
from local.stack import Stack
from segmentation import notices, warehouse
from tests import receivers

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]
DAILY, WEEKLY = "segment_customers_daily", "train_models_weekly"
CUSTOMERS, DAYS = 800, 300
FIRST = LAST_DAY + dt.timedelta(days=1)
TRAINING_SECONDS = 600
# A training within a minute; of its models, after the first, none is good enough that would change anything
SETTINGS = {
    **QUICK_TRAINING,
    "SEGMENTATION_CLUSTER__FINALISTS": "1",
    "SEGMENTATION_PROMOTION__GOOD_CHANGED_SHARE": "0",
    "SEGMENTATION_PROMOTION__BAD_CHANGED_SHARE": "0",
}
METRICS = {
    "AIRFLOW__METRICS__OTEL_ON": "True",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_METRIC_EXPORT_INTERVAL": "5000",
}
PRICES_IN_CENTS = """
update shop.orders set total_amount = total_amount * 100, updated_at = :at
where total_amount < 10000;
"""
OTHER_SIGN = """
update shop.orders set total_amount = - total_amount, updated_at = :at where ordered_at >= :since and total_amount <> 0
"""
EVERYBODY_WAS_ELSEWHERE = """
update marketing_internal.segment_rows set segment_id = segment_id + 1 where as_of_date = :day
"""
SEEN = """
select as_of_date, count(*), md5(string_agg(c::text, '' order by customer_id)) from marketing.customer_segments as c
group by 1
"""


class Shop:
    """The running stack, what it has told so far, and its shop, which is known up to the day before `day`."""

    def __init__(self, stack, posts, metrics):
        self.stack, self.posts, self.metrics, self.day = stack, posts, metrics, FIRST
        addresses = stack.up()
        self.airflow = Airflow(addresses.airflow, addresses.admin_password)
        settings = Settings.until(LAST_DAY, DAYS, customers=CUSTOMERS)
        load.simulate(addresses.warehouse, settings, DAYS, lambda *_: None)

    def run(self, dag_id):
        return runs.run_dag(self.airflow, dag_id, self.day, {})

    def grow(self, days):
        practice_shop.grow(self.stack.addresses().warehouse, days, lambda *_: None)
        self.day += dt.timedelta(days=days)

    def change(self, statement, **values):
        with warehouse.connect(self.stack.addresses().warehouse) as connection:
            return warehouse.execute(connection, statement, values)

    def seen(self):
        with warehouse.connect(self.stack.addresses().warehouse) as connection:
            return warehouse.fetch(connection, SEEN)

    def told(self, kind, seconds=receivers.PATIENCE_SECONDS):
        """The one alert of a kind."""
        self.posts.wait(lambda post: post[1]["kind"] == kind, seconds)
        [(_, found)] = [post for post in self.posts if post[1]["kind"] == kind]
        return found


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    stack = Stack(tmp_path_factory.mktemp("stack"))
    with (
        pytest.MonkeyPatch.context() as patch,
        receivers.web() as (port, posts),
        receivers.collector() as (to, metrics),
    ):
        hook = {"conn_type": "http", "schema": "http", "host": "127.0.0.1", "port": port}
        patch.setenv("AIRFLOW_CONN_ALERTS_WEBHOOK", json.dumps(hook))
        for name, value in (SETTINGS | METRICS | {"OTEL_EXPORTER_OTLP_ENDPOINT": to}).items():
            patch.setenv(name, value)
        try:
            shop = Shop(stack, posts, metrics)
            shop.run(WEEKLY)
            shop.run(DAILY)
            yield shop
        finally:
            stack.down()


def test_an_ordinary_day_tells_nothing(shop):
    assert not shop.posts


def test_airflows_metrics_go_to_a_collector(shop):
    _, about = shop.metrics.wait(lambda metric: metric[0] == "airflow.task.duration" and metric[1]["dag_id"] == DAILY)
    assert about["task_id"]
    for name in (f"airflow.dag.{DAILY}.publish.duration", "airflow.pool.open_slots.shop_warehouse"):
        shop.metrics.wait(lambda metric, name=name: metric[0] == name)


def test_drift_asks_for_a_training_whose_models_are_refused(shop):
    """Somebody changes the unit of the amounts: the customers look like others, and a training would learn from it."""
    shop.grow(4)
    assert shop.change(PRICES_IN_CENTS, at=dt.datetime.combine(shop.day, dt.time(), dt.UTC) - dt.timedelta(hours=2))
    shop.run(DAILY)
    drift, training = shop.told(notices.DRIFT), shop.told(notices.TRAINING)
    assert (drift["dag_id"], drift["day"], drift["task"]) == (DAILY, f"{shop.day}", "drift")
    assert "feature columns have drifted, most of all " in drift["cause"]
    assert "spend" in drift["cause"]
    assert drift["runbook"] == "docs/runbooks/drift.md"
    assert (training["run_id"], training["task"]) == (drift["run_id"], "retrain")
    refused = shop.told(notices.PROMOTION, TRAINING_SECONDS)
    assert (refused["dag_id"], refused["task"]) == (WEEKLY, "promote")
    assert "refused: " in refused["cause"]
    assert refused["runbook"] == "docs/runbooks/failed-promotion.md"


def test_a_rejected_snapshot_is_told_and_readers_keep_the_one_before(shop):
    """What is published now has all customers in another segment than the models say."""
    assert shop.change(EVERYBODY_WAS_ELSEWHERE, day=shop.day)
    before = shop.seen()
    shop.grow(1)
    with pytest.raises(StackError, match="too many customers have moved to another segment"):
        shop.run(DAILY)
    rejected = shop.told(notices.SNAPSHOT)
    assert (rejected["dag_id"], rejected["day"], rejected["task"]) == (DAILY, f"{shop.day}", "publish")
    assert "too many customers have moved to another segment" in rejected["cause"]
    assert rejected["runbook"] == "docs/runbooks/rejected-snapshot.md"
    assert shop.seen() == before


def test_rows_that_break_a_rule_stop_the_day_at_its_gate(shop):
    """The shop's warehouse books a month of its orders with the wrong sign."""
    before = shop.seen()
    shop.grow(1)
    midnight = dt.datetime.combine(shop.day, dt.time(), dt.UTC)
    wrong = {"since": midnight - dt.timedelta(days=30), "at": midnight - dt.timedelta(hours=1)}
    assert shop.change(OTHER_SIGN, **wrong)
    with pytest.raises(StackError, match="too many rows are quarantined"):
        shop.run(DAILY)
    failed = shop.told(notices.GATE)
    assert (failed["dag_id"], failed["day"], failed["task"]) == (DAILY, f"{shop.day}", "validate_raw")
    assert "raw.orders" in failed["cause"]
    assert "too many rows are quarantined" in failed["cause"]
    assert failed["runbook"] == "docs/runbooks/failed-gate.md#validate_raw"
    assert shop.seen() == before
    shop.change(OTHER_SIGN, **wrong)


def test_data_that_come_no_more_are_told_as_late(shop):
    shop.day += dt.timedelta(days=20)
    with pytest.raises(StackError, match=notices.LATE_RULE):
        shop.run(DAILY)
    late = shop.told(notices.LATE)
    assert (late["dag_id"], late["day"], late["task"]) == (DAILY, f"{shop.day}", "validate_raw")
    assert notices.LATE_RULE in late["cause"]
    assert late["runbook"] == "docs/runbooks/late-data.md"
