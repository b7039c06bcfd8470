"""
The main job in a real Airflow on a real Postgres and MLflow: train, segment, run again, back-fill, fail, be killed.

The tests build on each other, in order, as a day at a shop does; the stack and its practice shop are made once.
"""

import datetime as dt
import json
import os
import re
import signal
import threading
import time
from pathlib import Path
from urllib.parse import quote

import pytest
import requests

from local import airflow_api, demo, environment, follow, runs, state
from local.airflow_api import Airflow
from local.errors import StackError
from local.simulator import practice_shop
from local.stack import Stack
from segmentation import tables, warehouse
from segmentation.registry import Registry
from tests.integration import secrets_everywhere

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]
DAILY, WEEKLY = "segment_customers_daily", "train_models_weekly"
ROWS = """
    select customer_id, as_of_date, segment_id, segment_name, lifecycle_stage, value_tier, purchase_probability_30d,
        churn_probability_90d, churn_risk, model_versions
    from marketing.customer_segments_at(:day) order by customer_id
"""


class Shop:
    """The running stack, and what a data engineer does with it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.addresses = stack.up()
        self.airflow = Airflow(self.addresses.airflow, self.addresses.admin_password)
        self.day = demo.fill(stack, None).day
        self.past_day = self.day - dt.timedelta(days=120)

    @property
    def yesterday(self):
        return self.day - dt.timedelta(days=1)

    def grow(self):
        """A day passes."""
        practice_shop.grow(self.addresses.warehouse, 1, lambda *_: None)
        self.day += dt.timedelta(days=1)

    def run(self, dag_id, day, conf=None):
        return runs.run_dag(self.airflow, dag_id, day, conf or {})

    def get(self, url, **arguments):
        """A page of Airflow's, as its admin sees it; the path goes out as it stands."""
        login = {"username": "admin", "password": self.addresses.admin_password}
        token = requests.post(f"{self.addresses.airflow}/auth/token", json=login, timeout=30).json()["access_token"]
        request = requests.Request("GET", url, headers={"Authorization": f"Bearer {token}"}, **arguments).prepare()
        if ".." in url:
            request.url = url
        return requests.Session().send(request, timeout=30)

    def run_of(self, dag_id, day):
        midnight, runs = f"{day}T00:00:00Z", f"/dags/{dag_id}/dagRuns"
        [run] = self.airflow.pages(runs, "dag_runs", logical_date_gte=midnight, logical_date_lte=midnight)
        return run

    def link(self, dag_id, day, task_id, name):
        """Where a task of the day's run links to."""
        run_id = self.run_of(dag_id, day)["dag_run_id"]
        return self.airflow.get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/links")["extra_links"][name]

    def fetch(self, query, **parameters):
        with warehouse.connect(self.addresses.warehouse) as connection:
            return warehouse.fetch(connection, query, parameters)

    def execute(self, statement):
        with warehouse.connect(self.addresses.warehouse) as connection:
            return warehouse.execute(connection, statement)

    def tasks(self, dag_id, day):
        """task id -> (state, tries) of the day's run; mapped tasks count as the worst of theirs."""
        run_id = self.run_of(dag_id, day)["dag_run_id"]
        instances = self.airflow.pages(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", "task_instances")
        return {each["task_id"]: (each["state"], each["try_number"]) for each in instances}


# Secrets that are nobody's: in each connection's extras, and where there is no password as yet
PLANTED = {
    "an extra of shop_warehouse": "Pl4nted-Extra/%41'one",
    "an extra of marketing": "Pl4nted-Extra/%41'two",
    "the password of mlflow": "Pl4nted+mlflow?&word",
    "an extra of holdout_key": "Pl4nted-Extra/%41'four",
    "the password of alerts_webhook": "Pl4nted-hook/t0ken",
    "a header of alerts_webhook": "Pl4nted-Header%41'six",
    "a setting of Spark": "Pl4nted-Spark%41'seven",
    "a key of an object store": "Pl4nted+store/eight",
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    stack, planted = Stack(tmp_path_factory.mktemp("stack")), [quote(each, safe="") for each in PLANTED.values()]
    quiet = list(PLANTED.values())[4:]
    of_airflow = environment.of_airflow

    def with_planted(*arguments):
        settings = of_airflow(*arguments)
        settings["AIRFLOW_CONN_SHOP_WAREHOUSE"] += f"?sslpassword={planted[0]}"
        settings["AIRFLOW_CONN_MARKETING"] += f"?sslpassword={planted[1]}"
        settings["AIRFLOW_CONN_MLFLOW"] = settings["AIRFLOW_CONN_MLFLOW"].replace("//", f"//someone:{planted[2]}@")
        settings["AIRFLOW_CONN_HOLDOUT_KEY"] += f"?note={planted[3]}"
        webhook = {"conn_type": "http", "schema": "http", "host": "127.0.0.1", "port": 9, "password": quiet[0],
                   "extra": {"headers": {"Authorization": quiet[1]}}}  # fmt: skip
        settings["AIRFLOW_CONN_ALERTS_WEBHOOK"] = json.dumps(webhook)  # where nobody listens
        settings["SEGMENTATION_SPARK__CONF"] = json.dumps({"spark.hadoop.fs.s3a.secret.key": quiet[2]})
        settings["AWS_SECRET_ACCESS_KEY"] = quiet[3]
        return settings | environment.QUICK_TRAINING

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environment, "of_airflow", with_planted)
        try:
            yield Shop(stack)
        finally:
            stack.down()


def consenting(shop, day):
    return shop.fetch(
        "select count(*) from shop.customers where profiling_consent and signed_up_at < cast(:day as timestamptz)",
        day=day,
    )[0][0]


def test_training_makes_champions_and_the_daily_run_publishes_every_customer(shop):
    shop.run(WEEKLY, shop.day)
    registry = Registry(shop.addresses.mlflow)
    champions = [registry.resolve(model, shop.day) for model in (tables.SEGMENTS_MODEL, *tables.TARGETS)]
    assert [champion.training_day for champion in champions] == [shop.day] * 7
    assert {"profiles.png", "sizes.png"} <= set(registry.pictures(champions[0]))
    assert {"candidates.png", "calibration.png", "contributions.png"} <= set(registry.pictures(champions[1]))
    steps = shop.tasks(WEEKLY, shop.day)
    assert {step: steps[step][0] for step in ("compare", "decide", "promote")} == {
        "compare": "success", "decide": "skipped", "promote": "success"
    }  # fmt: skip

    shop.run(DAILY, shop.day)
    [(customers, days, snapshots)] = shop.fetch(
        "select count(*), count(distinct as_of_date), count(distinct snapshot_id) from marketing.customer_segments"
    )
    assert (customers, days, snapshots) == (consenting(shop, shop.day), 1, 1)
    shares = shop.fetch(
        "select count(*)::float / sum(count(*)) over () from marketing.customer_segments where segment_id > 0 "
        "group by segment_id"
    )
    assert all(0.02 <= share <= 0.60 for (share,) in shares)
    [(status, rows, versions, run_id)] = shop.fetch(
        "select status, row_count, model_versions, dag_run_id from marketing.snapshots"
    )
    assert (status, rows) == ("published", customers)
    assert versions == {champion.model: champion.version for champion in champions}
    [(scored, explained)] = shop.fetch(
        "select count(*) filter (where expected_spend_90d is not null and service_risk is not null), "
        "count(*) filter (where cardinality(reasons) = 3) from marketing.customer_segments"
    )
    assert (scored, explained) == (customers, customers)
    assert run_id.startswith("manual__")
    tasks = shop.tasks(DAILY, shop.day)
    states = {task: tasks[task][0] for task in ("performance", "drift", "retrain", WEEKLY)}
    assert states == {"performance": "success", "drift": "success", "retrain": "success", WEEKLY: "skipped"}
    assert shop.fetch("select as_of_date, is_asked, reasons from ops.retrains") == [(shop.day, False, [])]


def test_running_the_same_day_again_gives_the_same_rows(shop):
    before = shop.fetch(ROWS, day=shop.day)
    shop.run(DAILY, shop.day)
    assert shop.fetch(ROWS, day=shop.day) == before
    assert shop.fetch("select status, count(*) from marketing.snapshots group by 1 order by 1") == [
        ("published", 1),
        ("superseded", 1),
    ]


def test_a_past_day_without_a_model_stops_and_says_which_command_helps(shop):
    with pytest.raises(StackError, match=f"make run DAG=train_models_weekly DAY={shop.past_day}"):
        shop.run(DAILY, shop.past_day)
    tasks = shop.tasks(DAILY, shop.past_day)
    assert tasks["score"] == ("failed", 1), "an error that retrying does not mend is not retried"
    assert tasks["publish"][0] == "upstream_failed"
    assert shop.fetch(ROWS, day=shop.past_day) == []


def test_a_past_day_is_published_beside_the_current_one_by_its_own_models(shop):
    current = shop.fetch(ROWS, day=shop.day)
    shop.run(WEEKLY, shop.past_day)
    shop.run(DAILY, shop.past_day)
    past = shop.fetch(ROWS, day=shop.past_day)
    assert len(past) == consenting(shop, shop.past_day) < len(current)
    registry = Registry(shop.addresses.mlflow)
    assert registry.resolve("customer_segments", shop.day).training_day == shop.day
    assert registry.resolve("customer_segments", shop.past_day).training_day == shop.past_day
    assert {row[-1]["customer_segments"] for row in past} == {"2"}
    assert shop.fetch("select distinct as_of_date from marketing.customer_segments") == [(shop.day,)]
    assert shop.fetch(ROWS, day=shop.day) == current


def test_a_bad_row_goes_to_quarantine_and_the_day_is_published_without_it(shop):
    shop.grow()
    shop.execute("update shop.orders set total_amount = -5 where order_id in (select max(order_id) from shop.orders)")
    shop.run(DAILY, shop.day)
    assert shop.fetch("select distinct as_of_date from marketing.customer_segments") == [(shop.day,)]
    [(table, reason, run_id)] = shop.fetch(
        "select distinct table_name, reason, run_id from quarantine.rows where source = 'raw gate' "
        "and reason not like 'orphan%'"
    )
    assert (table, reason) == ("raw.orders", "total_amount is negative")
    assert shop.fetch("select dag_run_id from marketing.snapshots order by snapshot_id desc limit 1") == [(run_id,)]


def test_a_broken_table_stops_the_run_before_anything_changes_and_links_to_what_it_found(shop):
    shop.grow()
    before = shop.fetch("select * from marketing.customer_segments order by customer_id")
    shop.execute(f"update shop.orders set total_amount = -total_amount - 1 where updated_at >= '{shop.yesterday}'")
    with pytest.raises(StackError, match=r"raw\.orders: too many rows are quarantined: \d+ of \d+ rows.*for example O"):
        shop.run(DAILY, shop.day)
    tasks = shop.tasks(DAILY, shop.day)
    assert tasks["validate_raw"] == ("failed", 1), "an error that retrying does not mend is not retried"
    assert {tasks[task][0] for task in ("features", "score", "publish")} == {"upstream_failed"}
    assert shop.fetch("select * from marketing.customer_segments order by customer_id") == before

    page = shop.link(DAILY, shop.day, "validate_raw", "Data Docs")
    assert page == f"{shop.addresses.airflow}/segmentation/data-docs/{shop.day}/index.html"
    answer = shop.get(page)
    assert answer.status_code == 200
    assert "too many rows are quarantined" in answer.text
    assert shop.get(page.replace("index.html", "raw.orders.html")).status_code == 200

    shop.execute(f"update shop.orders set total_amount = -total_amount - 1 where updated_at >= '{shop.yesterday}'")
    shop.run(DAILY, shop.day)
    assert shop.fetch("select distinct as_of_date from marketing.customer_segments") == [(shop.day,)]


def test_the_data_docs_are_for_those_who_may_see_the_dags_and_lead_nowhere_else(shop):
    docs = f"{shop.addresses.airflow}/segmentation"
    assert requests.get(f"{docs}/data-docs/index.html", timeout=30).status_code == 401
    assert shop.get(f"{docs}/data-docs/index.html").text.count("<a href=") >= 3
    for path in ("../../../etc/passwd", "..%2f..%2fairflow.cfg", "2026-01-01/../../x.html", "1999-01-01/index.html"):
        assert shop.get(f"{docs}/data-docs/{path}").status_code == 404
    run_id = shop.run_of(DAILY, shop.day)["dag_run_id"]
    found = shop.get(f"{docs}/data-docs-of-run", params={"dag_id": DAILY, "run_id": run_id})
    assert found.url.endswith(f"/data-docs/{shop.day}/index.html")
    assert f"Data quality of {shop.day}" in found.text
    assert shop.get(f"{docs}/data-docs-of-run", params={"dag_id": DAILY, "run_id": "none"}).status_code == 404


def test_a_window_is_loaded_again_on_request(shop):
    """Rows that were set right in the shop behind the pipeline's back: `updated_at` did not change."""
    [(customer,)] = shop.fetch("select min(customer_id) from marketing.customer_segments")
    shop.execute(f"update shop.customers set profiling_consent = false where customer_id = '{customer}'")
    shop.run(DAILY, shop.day)
    here = f"select count(*) from marketing.customer_segments where customer_id = '{customer}'"
    assert shop.fetch(here) == [(1,)]
    shop.run(DAILY, shop.day, {"reload_since": "2020-01-01T00:00:00Z"})
    assert shop.fetch(here) == [(0,)]
    assert shop.fetch("select count(*) from ops.acceptances where day = :day", day=shop.day) == [(2,)]


def test_a_scheduler_killed_in_the_middle_costs_nothing_but_time(shop):
    before = {row[0] for row in shop.fetch(ROWS, day=shop.day)}
    stop, faults = threading.Event(), []

    def read():
        query = "select count(*), count(distinct snapshot_id) from marketing.customer_segments"
        with warehouse.connect(shop.addresses.warehouse, autocommit=True) as connection:
            while not stop.is_set():
                [seen] = warehouse.fetch(connection, query)
                if seen != (len(before), 1):
                    faults.append(seen)
                time.sleep(0.005)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        run = airflow_api.start(shop.airflow, DAILY, shop.day, {})
        deadline = time.monotonic() + 120
        while shop.tasks(DAILY, shop.day).get("validate_raw", (None,))[0] not in ("running", "success"):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        scheduler = state.State.load(shop.stack.folders.state).alive()["scheduler"]
        os.kill(scheduler.pid, signal.SIGKILL)
        shop.stack.up()
        result = follow.follow(shop.airflow, run)
    finally:
        stop.set()
        reader.join()
    assert result.is_success, result.failures
    assert faults == []
    assert {row[0] for row in shop.fetch(ROWS, day=shop.day)} == before
    assert shop.fetch("select count(*) from marketing.snapshots where status = 'building'") == [(0,)]


def test_a_person_is_handed_what_is_kept_of_them_and_forgotten(shop, capsys):
    """Through Airflow, as its user does it; the shop goes on having them."""
    [(customer,)] = shop.fetch("select max(customer_id) from marketing.customer_segments")
    runs.export_customer(shop.airflow, customer)
    file = Path(re.search(r"path +(\S+)", capsys.readouterr().out)[1])
    assert json.loads(file.read_text())["customer_id"] == customer
    runs.erase_customer(shop.airflow, shop.addresses, customer)
    assert re.search(r"removed +1  tombstones", capsys.readouterr().out)
    feed = "select customer_id, change from marketing.segment_changes order by change_id desc limit 1"
    assert shop.fetch(feed) == [(customer, "erased")]
    logs = [path for path in shop.stack.folders.airflow.rglob("*.log") if path.is_file()]
    assert not [path for path in logs if customer in path.read_text(errors="replace")]
    [request] = shop.airflow.pages("/dags/erase_customers/dagRuns", "dag_runs")
    assert customer not in json.dumps(request)
    with pytest.raises(StackError, match="nothing is kept of a customer"):
        runs.export_customer(shop.airflow, customer)
    shop.run(DAILY, shop.day, {"reload_since": "2020-01-01T00:00:00Z"})
    assert shop.fetch("select count(*) from shop.customers where customer_id = :id", id=customer) == [(1,)]
    assert shop.fetch("select count(*) from marketing.customer_segments where customer_id = :id", id=customer) == [(0,)]
    assert shop.fetch("select count(*) from quarantine.rows where row::text like :id", id=f"%{customer}%") == [(0,)]


def test_nothing_secret_lies_in_the_logs(shop):
    secrets = state.State.load(shop.stack.folders.state).secrets
    logs = [path for path in shop.stack.folders.airflow.rglob("*.log") if path.is_file()]
    assert logs
    text = "\n".join(path.read_text(errors="replace") for path in logs)
    assert secrets.pipeline not in text


def test_a_password_that_is_wrong_is_told_without_any(shop):
    """The first try fails while the database knows another password; the next ones are not waited for."""
    [(snapshot,)] = shop.fetch("select snapshot_id from marketing_internal.current_snapshot")
    secret = state.State.load(shop.stack.folders.state).secrets.pipeline
    shop.execute("alter role pipeline password 'another one'")
    try:
        run = airflow_api.request(shop.airflow, "roll_back_segments", {"snapshot_id": snapshot})
        path = f"/dags/roll_back_segments/dagRuns/{run.run_id}/taskInstances/roll_back"
        deadline = time.monotonic() + 120
        while shop.airflow.get(path)["state"] != "up_for_retry":
            assert time.monotonic() < deadline
            time.sleep(0.5)
    finally:
        with warehouse.connect(shop.addresses.warehouse) as connection:
            warehouse.execute(connection, "alter role pipeline password :secret", {"secret": secret})
    logs = [path for path in shop.stack.folders.airflow.rglob("*.log") if "roll_back_segments" in f"{path}"]
    assert "password authentication failed for user" in "".join(path.read_text(errors="replace") for path in logs)


def test_no_secret_lies_anywhere(shop):
    """After runs that went well and badly: logs, XCom, templates, MLflow, Data Docs, lake, tables, processes."""
    kept = vars(state.State.load(shop.stack.folders.state).secrets)
    secrets = {f"secret {name}": value for name, value in kept.items()}
    secrets["secret superuser"] = shop.stack.folders.postgres().password
    assert {"secret pipeline", "secret holdout", "secret fernet"} <= secrets.keys()
    places, looked_at = secrets_everywhere.found(shop.stack, {**secrets, **PLANTED})
    assert places == []
    for kind, least in {"logs": 50, "lake": 50, "mlflow": 50, "tables": 100, "processes": 10}.items():
        assert looked_at[kind] >= least, looked_at
    [(xcoms, templates)] = _airflow(
        shop, "select (select count(*) from xcom), (select count(*) from rendered_task_instance_fields)"
    )
    assert xcoms > 20
    assert templates > 20


def test_a_secret_that_lies_somewhere_would_be_found(shop):
    shop.execute("create table ops.planted as select 'x Pl4nted-Extra/%41''one y'::text as told")
    (shop.stack.folders.lake / "planted.html").write_text("Pl4nted-Extra/%41&#x27;two")
    try:
        places, _ = secrets_everywhere.found(shop.stack, PLANTED)
    finally:
        shop.execute("drop table ops.planted")
        (shop.stack.folders.lake / "planted.html").unlink()
    assert sorted(places) == [
        "lake/planted.html: an extra of marketing", "warehouse: ops.planted: an extra of shop_warehouse"
    ]  # fmt: skip


def _airflow(shop, query):
    with warehouse.connect(shop.stack.folders.postgres().url("airflow")) as connection:
        return warehouse.fetch(connection, query)
