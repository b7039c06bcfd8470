"""A task fails in a real Airflow: the alert arrives, `ops.runs` knows it, events and metrics go out."""

import json

import pytest

from local import demo, runs
from local.airflow_api import Airflow
from local.errors import StackError
from local.stack import Stack
from segmentation import sql, warehouse
from tests import receivers

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]
DAILY = "segment_customers_daily"


def test_a_failed_run_is_told_kept_and_seen_from_outside(tmp_path, monkeypatch):
    stack = Stack(tmp_path / "stack")
    with receivers.mail() as (mail, mails), receivers.web() as (web, posts), receivers.datagrams() as (udp, metrics):
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": "f@x.example", "to_email": "team@x.example"}
        smtp = {"conn_type": "smtp", "host": "127.0.0.1", "port": mail, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_ALERTS_SMTP", json.dumps(smtp))
        hook = {"conn_type": "http", "schema": "http", "host": "127.0.0.1", "port": web}
        monkeypatch.setenv("AIRFLOW_CONN_ALERTS_WEBHOOK", json.dumps(hook))
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "True")
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_PORT", f"{udp}")
        monkeypatch.setenv("SEGMENTATION_DAILY_DEADLINE_MINUTES", "0.05")
        try:
            addresses = stack.up()
            day = demo.fill(stack, None).day
            with pytest.raises(StackError, match="train_models_weekly"):
                runs.run_dag(Airflow(addresses.airflow, addresses.admin_password), DAILY, day, {})
            _, failed = posts.wait(lambda post: post[1]["kind"] == "failed task")
            _, late = posts.wait(lambda post: post[1]["kind"] == "missed deadline")
            letter = mails.wait(lambda each: "failed task" in each["subject"])
            with warehouse.connect(addresses.warehouse) as connection:
                slow = warehouse.fetch_dicts(connection, sql.read("runs", "slow"), {"dag_id": DAILY, "day": day})
        finally:
            stack.down()
        assert (failed["dag_id"], failed["day"], failed["task"]) == (DAILY, f"{day}", "score")
        assert f"make run DAG=train_models_weekly DAY={day}" in failed["cause"]
        assert failed["runbook"] == "docs/runbooks/failed-task.md#score"
        assert (late["day"], late["run_id"]) == (f"{day}", failed["run_id"])
        assert failed["what_to_do"] in " ".join(letter.get_body().get_content().split()).replace("&#x27;", "'")
        assert len([post for _, post in posts if post["task"] == "score"]) == 1
        assert {row["stage"]: row["state"] for row in slow}["score"] == "failed"
        assert {row["stage"]: row["rows_out"] for row in slow}["extract customers"] > 0
        metrics.wait(lambda line: line.startswith(f"airflow.dag.{DAILY}.extract.duration:"))
    lines = (stack.folders.airflow / "logs" / "openlineage.jsonl").read_text().splitlines()
    events = {(each["job"]["name"], each["eventType"]): each for each in map(json.loads, lines)}
    [read] = events[f"{DAILY}.features", "COMPLETE"]["outputs"]
    assert (read["namespace"], read["name"]) == ("fenqun", "feat.customer_daily")
    assert (f"{DAILY}.score", "FAIL") in events
