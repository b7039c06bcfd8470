"""Alerts against servers on loopback: what arrives, and that nothing which goes wrong here harms a task."""

import asyncio
import datetime as dt
import json
import logging
import re
from pathlib import Path

import pytest

from segmentation import gate, notices, warehouse
from segmentation_airflow import alert_text, alerts, run_log
from segmentation_airflow.alerts import Alert
from tests import receivers

DOCS = Path(__file__).resolve().parents[2] / "docs"
DAY = dt.datetime(2026, 7, 1, tzinfo=dt.UTC)
ERROR = gate.GateError("raw: 3 rows, for example C-4", summary="raw.orders: price is negative: 3 of 9 rows")


class TaskInstance:
    """What Airflow hands to callbacks, as far as they ask."""

    dag_id, run_id, task_id, try_number, map_index = "segment_customers_daily", "manual__1", "validate_raw", 3, -1
    start_date, end_date, log_url = DAY, DAY, "http://airflow/dags/d/runs/r/tasks/t"
    result = None

    def xcom_pull(self, task_ids, map_indexes):
        return self.result


def context(error=ERROR, result=None, task_id="validate_raw"):
    ti = TaskInstance()
    ti.result, ti.task_id = result, task_id
    return {"ti": ti, "exception": error, "logical_date": DAY, "run_id": ti.run_id}


def connections(monkeypatch, mail_port=None, web_port=None, **extra):
    if mail_port:
        settings = {"disable_ssl": True, "disable_tls": True, "from_email": "f@x.example", "to_email": "team@x.example"}
        value = {"conn_type": "smtp", "host": "127.0.0.1", "port": mail_port, "extra": settings}
        monkeypatch.setenv("AIRFLOW_CONN_ALERTS_SMTP", json.dumps(value))
    if web_port:
        value = {"conn_type": "http", "schema": "http", "host": "127.0.0.1", "port": web_port, "password": "T0/tok"}
        monkeypatch.setenv("AIRFLOW_CONN_ALERTS_WEBHOOK", json.dumps({**value, "extra": {"path": "services", **extra}}))


@pytest.fixture
def database(monkeypatch, warehouse_dsn):
    monkeypatch.setattr(run_log, "marketing", lambda: warehouse_dsn)
    return warehouse_dsn


def test_a_failure_arrives_by_mail_and_by_webhook_with_all_that_one_needs(monkeypatch, database):
    with receivers.mail() as (mail_port, mails), receivers.web() as (web_port, posts):
        connections(monkeypatch, mail_port, web_port)
        Alert()(context())
        path, body = posts.wait(lambda _: True)
        mail = mails.wait(lambda _: True)
    assert path == "/services/T0/tok"
    assert (
        body["title"] == mail["subject"] == "[fenqun] failed gate: segment_customers_daily of 2026-07-01, validate_raw"
    )
    assert mail["to"] == "team@x.example"
    text = mail.get_body().get_content()
    for part in ("manual__1", "2026-07-01", "validate_raw", "price is negative: 3 of 9 rows", "Look at the Data Docs",
                 "docs/runbooks/failed-gate.md#validate_raw", TaskInstance.log_url):  # fmt: skip
        assert part in text
        assert part in body["text"]
    assert "C-4" not in text + body["text"]


def test_each_thing_is_told_once_and_again_after_the_task_was_cleared(monkeypatch, database):
    with receivers.web() as (port, posts):
        connections(monkeypatch, web_port=port)
        for map_index, try_number in ((0, 3), (1, 3), (0, 4)):
            each = context()
            each["ti"].map_index, each["ti"].try_number = map_index, try_number
            Alert()(each)
        assert [body["task"] for _, body in posts] == ["validate_raw 0", "validate_raw 0"]


def test_a_task_that_has_ended_well_tells_what_it_found_and_else_nothing(monkeypatch, database):
    with receivers.web() as (port, posts):
        connections(monkeypatch, web_port=port)
        Alert()(context(None, {"churn_90d": "version 2 refused: auc; version 1 goes on"}, "promote"))
        Alert()(context(None, {"churn_90d": "version 2, champion: passed"}, "promote"))
        Alert()(context(None, {"rows": 3}, "score"))
        [(_, body)] = posts
    assert (body["kind"], body["runbook"]) == ("failed promotion", "docs/runbooks/failed-promotion.md")
    with warehouse.connect(database) as connection:
        kept = warehouse.fetch(connection, "select kind, cause from ops.alerts where task_id = 'promote'")
    assert kept == [("failed promotion", body["cause"])]


def test_a_killed_task_is_told_of_too(monkeypatch, database):
    """From the DAG processor, which knows no error."""
    with receivers.web() as (port, posts):
        connections(monkeypatch, web_port=port)
        killed = context()
        del killed["exception"]
        Alert()(killed)
        [(_, body)] = posts
    assert body["kind"] == notices.FAILURE
    assert "killed" in body["cause"]


def test_a_missed_deadline_is_told_by_the_triggerer(monkeypatch):
    run = {"dag_id": "segment_customers_daily", "dag_run_id": "r", "logical_date": "2026-07-01T00:00:00Z"}
    missed = {"dag_run": run, "deadline": {"id": "1", "deadline_time": DAY}}

    async def tell():
        await Alert(context=missed)

    with receivers.web() as (port, posts):
        connections(monkeypatch, web_port=port)
        asyncio.run(tell())
        [(_, body)] = posts
    assert (body["kind"], body["day"], body["runbook"]) == (
        "missed deadline", "2026-07-01", "docs/runbooks/deadline-missed.md"
    )  # fmt: skip


def test_nobody_to_tell_is_said_in_the_log_and_nothing_is_sent(database, caplog):
    with caplog.at_level(logging.INFO):
        Alert()(context())
    assert "There is neither connection alerts_smtp nor alerts_webhook" in caplog.text


def test_what_cannot_be_delivered_fails_nothing_tells_no_secret_and_does_not_keep_the_other_way(
    monkeypatch, database, caplog
):
    with receivers.mail() as (mail_port, mails), receivers.web(status=500) as (web_port, _):
        connections(monkeypatch, mail_port, web_port)
        Alert()(context())
        assert len(mails) == 1
    assert "could not be told by alerts_webhook: ConnectionError: the receiver answered 500" in caplog.text
    Alert()(context() | {"ti": None})
    assert "Nobody was told" in caplog.text
    assert "tok" not in caplog.text


@pytest.mark.parametrize("page", ["watching.md", "deployment.md"])
@pytest.mark.parametrize("tls", ["from_the_beginning", "starttls"])
def test_the_documents_connection_delivers_over_tls_with_a_login(monkeypatch, database, tmp_path, page, tls):
    """With its host and port replaced: 465 as any port, 587 as one that is known for STARTTLS."""
    text = (DOCS / page).read_text("utf-8")
    [value] = re.findall(r"AIRFLOW_CONN_ALERTS_SMTP='?(\{.*?\}\})", text, re.DOTALL)
    connection = json.loads(value)
    assert connection["port"] == 465
    certificate = receivers.certificate(tmp_path)
    login = (connection["login"], connection["password"])
    with receivers.mail(tls, certificate, login) as (port, mails):
        if tls == "starttls":
            monkeypatch.setattr(alerts, "STARTTLS_PORTS", (port,))
        monkeypatch.setenv("AIRFLOW_CONN_ALERTS_SMTP", json.dumps({**connection, "host": "127.0.0.1", "port": port}))
        monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}")
        Alert()(context())
        [mail] = mails
        assert mail["to"] == connection["extra"]["to_email"][0]


def test_a_mail_server_whose_certificate_nobody_trusts_gets_no_password(monkeypatch, database, tmp_path, caplog):
    with receivers.mail("from_the_beginning", receivers.certificate(tmp_path), ("u", "secret")) as (port, mails):
        value = {"conn_type": "smtp", "host": "127.0.0.1", "port": port, "login": "u", "password": "secret"}
        value["extra"] = {"from_email": "f@x.example", "to_email": "team@x.example"}
        monkeypatch.setenv("AIRFLOW_CONN_ALERTS_SMTP", json.dumps(value))
        Alert()(context())
    assert not mails
    assert "could not be told by alerts_smtp: SSLCertVerificationError" in caplog.text


def test_what_went_no_way_is_tried_again_by_the_next_part_that_fails(monkeypatch, database):
    def fail(map_index):
        each = context()
        each["ti"].map_index = map_index
        Alert()(each)

    with receivers.web(status=500) as (port, posts):
        connections(monkeypatch, web_port=port)
        fail(0)
        assert len(posts) == 1
    with receivers.web() as (port, posts):
        connections(monkeypatch, web_port=port)
        fail(1)
        fail(2)
        assert [body["task"] for _, body in posts] == ["validate_raw 1"]
    with warehouse.connect(database) as connection:
        assert warehouse.fetch(connection, "select is_delivered from ops.alerts") == [(True,)]


def test_a_receiver_that_does_not_answer_is_left_before_airflow_ends_the_task(monkeypatch, database, caplog):
    monkeypatch.setattr(alerts, "PATIENCE_SECONDS", 0.2)
    with receivers.web(delay_seconds=1) as (port, _):
        connections(monkeypatch, web_port=port)
        Alert()(context())
    assert "could not be told by alerts_webhook" in caplog.text
    assert 2 * 7 < 20


def test_a_database_that_is_away_keeps_no_alert(monkeypatch):
    monkeypatch.setattr(run_log, "marketing", lambda: "postgresql://x:x@127.0.0.1:9/x")
    with receivers.web() as (port, posts):
        connections(monkeypatch, web_port=port)
        Alert()(context())
        assert len(posts) == 1
    run_log.failed(context())  # and no row fails no task


@pytest.mark.parametrize("shape", alert_text.SHAPES)
def test_each_shape_has_title_and_text_where_its_system_looks(monkeypatch, database, shape):
    with receivers.web() as (port, posts):
        connections(monkeypatch, web_port=port, shape=shape)
        Alert()(context())
        [(_, body)] = posts
    if shape == "teams":
        [attachment] = body["attachments"]
        told = "\n".join(block["text"] for block in attachment["content"]["body"])
    else:
        told = body["content"]["text"] if shape == "feishu" else body["text"]
        assert shape != "feishu" or body["msg_type"] == "text"
    assert "price is negative" in told
