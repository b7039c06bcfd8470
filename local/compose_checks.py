"""What `make compose-smoke` looks at in a deployment: who gets in and who does not, what came out, what is kept."""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import requests

from local.compose_stack import Deployment, json_lines
from local.errors import StackError

TIMEOUT_SECONDS, HEALTH_CHECK_SECONDS = 120, 10
PAGE = "/segmentation/segments"
EVENTS = "/opt/airflow/logs/openlineage.jsonl"
SOMEBODY = "select min(customer_id) from marketing.customer_segments"
# Login, database, statement, and whether Postgres should let it.
RIGHTS = (
    ("shop_reader", "warehouse", "select count(*) from shop.customers", True),
    ("shop_reader", "warehouse", "delete from shop.customers", False),
    ("shop_reader", "warehouse", "create table shop.mine (id int)", False),
    ("shop_reader", "marketing", "select 1", False),
    ("pipeline", "marketing", "select count(*) from marketing.customer_segments", True),
    ("pipeline", "warehouse", "select 1", False),
    ("pipeline", "airflow", "select 1", False),
    ("mlflow", "marketing", "select 1", False),
    ("airflow", "mlflow", "select 1", False),
)


def only_on_loopback(deployment: Deployment) -> None:
    """No port is open to other machines.

    :raises StackError: one is, or none is open at all.
    """
    opened = {
        f"{each['Service']} {port['URL']}:{port['PublishedPort']}": port["URL"]
        for each in deployment.containers()
        for port in each["Publishers"] or []
        if port["PublishedPort"]
    }
    if len(opened) != 3 or set(opened.values()) != {"127.0.0.1"}:
        raise StackError(f"Three ports should be open, on 127.0.0.1 only; open are: {', '.join(sorted(opened))}")
    print("  three ports are open, on 127.0.0.1")


def nobody_is_root(deployment: Deployment) -> None:
    """No process of any container runs as root, but for a health check that is over within seconds.

    :raises StackError: one does.
    """
    before = deployment.processes()
    time.sleep(HEALTH_CHECK_SECONDS)
    after = deployment.processes()
    if root := sorted(name for name in before.keys() & after.keys() if _roots(before[name]) & _roots(after[name])):
        raise StackError(f"Processes run as root in {', '.join(root)}")
    print(f"  no process runs as root in {len(after)} containers")


def _roots(users: Mapping[int, int]) -> set[int]:
    return {process for process, user in users.items() if user == 0}


def nobody_gets_in(deployment: Deployment) -> None:
    """Airflow, the Segments page and MLflow answer 401 to whoever has no password, or a well-known one."""
    airflow = deployment.settings["AIRFLOW_URL"]
    experiment = f"{deployment.mlflow}/api/2.0/mlflow/experiments/get"
    guesses = [{"username": name, "password": name} for name in ("admin", "airflow")]
    asked = {"params": {"experiment_id": "0"}, "timeout": TIMEOUT_SECONDS}
    found = {
        "Airflow without a login": requests.get(f"{airflow}/api/v2/dags", timeout=TIMEOUT_SECONDS),
        "The Segments page without a login": requests.get(f"{airflow}{PAGE}", timeout=TIMEOUT_SECONDS),
        "MLflow without a login": requests.get(experiment, **asked),
        "MLflow's admin:password1234": requests.get(experiment, auth=("admin", "password1234"), **asked),
    }
    for guess in guesses:
        answer = requests.post(f"{airflow}/auth/token", json=guess, timeout=TIMEOUT_SECONDS)
        found[f"Airflow's {guess['username']}:{guess['password']}"] = answer
    for who, answer in found.items():
        if answer.status_code != requests.codes.unauthorized:
            raise StackError(f"{who} should get HTTP 401, and gets {answer.status_code}")
    print("  without a password nobody gets in")


def rights(deployment: Deployment) -> None:
    """Each database login may do its own work and nothing else."""
    for login, database, statement, is_allowed in RIGHTS:
        may = deployment.psql(database, statement, login, check=False) is not None
        if may != is_allowed:
            raise StackError(f"{login} may{'' if may else ' not'} {statement!r} in {database}")
    print("  database logins may do what they should, and nothing else of what was tried")


def segments(deployment: Deployment, day: date) -> tuple[str, str]:
    """(customers in the published table, a digest of who is in which segment), if it is whole.

    :raises StackError: somebody is missing, or there is nobody.
    """
    summary = (
        "select count(*), count(distinct customer_id), min(as_of_date), "
        "md5(string_agg(customer_id || ':' || segment_id, ',' order by customer_id)) from marketing.customer_segments"
    )
    rows, customers, found, digest = (deployment.psql("marketing", summary) or "").split("|")
    wanted = deployment.psql("warehouse", "select count(*) from shop.customers where profiling_consent")
    if not rows == customers == wanted or rows == "0" or found != f"{day}":
        raise StackError(
            f"marketing.customer_segments has {rows} rows of {customers} customers on {found}, not {wanted} on {day}"
        )
    print(f"  marketing.customer_segments: {rows} customers on {found}")
    return rows, digest


def metrics(deployment: Deployment) -> dict[str, int]:
    """Experiment of MLflow -> how many numbers the runs of each left there.

    A small shop may have too few customers for a target: no numbers there, but a run with the reason (`skipped`).

    :raises StackError: MLflow has no numbers at all, or an experiment with neither numbers nor a reason.
    """
    login = ("pipeline", deployment.settings["MLFLOW_PIPELINE_PASSWORD"])

    def ask(path: str, body: dict) -> dict:
        address = f"{deployment.mlflow}/api/2.0/mlflow/{path}"
        answer = requests.post(address, json=body, auth=login, timeout=TIMEOUT_SECONDS)
        answer.raise_for_status()
        return answer.json()

    runs_of = {}
    for experiment in ask("experiments/search", {"max_results": 100}).get("experiments", []):
        if experiment["name"] != "Default":
            asked = {"experiment_ids": [experiment["experiment_id"]], "max_results": 100}
            runs_of[experiment["name"]] = ask("runs/search", asked).get("runs", [])
    numbers = numbers_of(runs_of)
    print(f"  MLflow: {sum(numbers.values())} metrics in {len(numbers)} experiments")
    return numbers


def numbers_of(runs_of: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, int]:
    """Experiment -> how many numbers its runs have, of the runs as MLflow's REST API tells them.

    :raises StackError: there are none at all, or an experiment has neither numbers nor a run that says why.
    """
    numbers = {name: sum(len(run["data"].get("metrics", [])) for run in runs) for name, runs in runs_of.items()}
    unexplained = [name for name, count in numbers.items() if not count and not any(map(_skipped, runs_of[name]))]
    if unexplained or not any(numbers.values()):
        raise StackError(f"MLflow should have metrics in each experiment, or why there are none, and has {numbers}")
    return numbers


def _skipped(run: Mapping[str, Any]) -> bool:
    return any(param["key"] == "skipped" for param in run["data"].get("params", []))


def lineage(deployment: Deployment, dag_id: str, table: str) -> None:
    """OpenLineage was told that a run of a DAG has written a table.

    :raises StackError: it was not.
    """
    events = json_lines(deployment.compose("exec", "-T", "airflow-scheduler", "cat", EVENTS).splitlines())
    written = written_by(events, dag_id)
    if table not in written:
        raise StackError(f"OpenLineage's {len(events)} events of {dag_id} tell of {sorted(written)}, not of {table}")
    print(f"  OpenLineage: {len(events)} events; {dag_id} has written {len(written)} tables")


def written_by(events: Iterable[Mapping[str, Any]], dag_id: str) -> set[str]:
    """The tables that tasks of a DAG which have ended have written, by OpenLineage's events."""
    return {
        each["name"]
        for event in events
        if event["eventType"] == "COMPLETE" and event["job"]["name"].startswith(f"{dag_id}.")
        for each in event.get("outputs", [])
    }


def segments_page(deployment: Deployment) -> None:
    """By Airflow's login form: its admin may look customers up, role Viewer gets the same page without that.

    :raises StackError: the page does not answer, or shows somebody more or less than he may see.
    """
    airflow, customer = deployment.settings["AIRFLOW_URL"], deployment.psql("marketing", SOMEBODY) or ""
    admin = {
        "username": deployment.settings["AIRFLOW_ADMIN_USER"],
        "password": deployment.settings["AIRFLOW_ADMIN_PASSWORD"],
    }
    viewer = {"username": "marketer", "password": admin["password"][::-1], "role": "Viewer"}
    add_user(airflow, admin, viewer)
    see_page(airflow, admin["username"], admin["password"], customer, may_see_customers=True)
    see_page(airflow, viewer["username"], viewer["password"], customer, may_see_customers=False)
    print("  the Segments page, by the login form: Admin may look customers up, Viewer sees aggregates only")


def see_page(airflow: str, user: str, password: str, customer: str, *, may_see_customers: bool) -> None:
    """The Segments page as somebody sees it in a browser, and asks for a customer there.

    :raises StackError: there is no page, or it shows him more or less than he may see.
    """
    browser, address = log_in(airflow, user, password), f"{airflow}{PAGE}"
    page = browser.get(address, timeout=TIMEOUT_SECONDS)
    if not page.ok or "<table" not in page.text:
        raise StackError(f"The Segments page answers {user} HTTP {page.status_code}, without segments")
    asked = browser.post(address, data={"customer": customer}, timeout=TIMEOUT_SECONDS)
    has_form, is_shown = 'name="customer"' in page.text, asked.ok and customer in asked.text
    wanted = requests.codes.ok if may_see_customers else requests.codes.forbidden
    if (has_form, is_shown, asked.status_code) != (may_see_customers, may_see_customers, wanted):
        raise StackError(
            f"{user} gets the Segments page with{'' if has_form else 'out'} a look-up, which answers HTTP "
            f"{asked.status_code}, not {wanted}"
        )


def log_in(airflow: str, user: str, password: str) -> requests.Session:
    """A browser that has filled in the form.

    :raises StackError: Airflow did not let him in.
    """
    browser = requests.Session()
    browser.trust_env = False
    form = browser.get(f"{airflow}/auth/login/", timeout=TIMEOUT_SECONDS)
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', form.text)
    fields = {"csrf_token": token[1] if token else "", "username": user, "password": password}
    answer = browser.post(f"{airflow}/auth/login/", data=fields, timeout=TIMEOUT_SECONDS)
    if "_token" not in browser.cookies:
        raise StackError(f"Airflow's login form does not let {user} in: HTTP {answer.status_code}")
    return browser


def add_user(airflow: str, admin: dict[str, str], user: dict[str, str]) -> None:
    """A user of FAB's with a role; who is there already stays as he is.

    :raises StackError: Airflow makes none.
    """
    login = requests.post(f"{airflow}/auth/token", json=admin, timeout=TIMEOUT_SECONDS)
    login.raise_for_status()
    body = {
        "username": user["username"],
        "password": user["password"],
        "email": f"{user['username']}@example.com",
        "first_name": "A",
        "last_name": user["role"],
        "roles": [{"name": user["role"]}],
    }
    bearer = {"Authorization": f"Bearer {login.json()['access_token']}"}
    made = requests.post(f"{airflow}/auth/fab/v1/users", json=body, headers=bearer, timeout=TIMEOUT_SECONDS)
    if not made.ok and made.status_code != requests.codes.conflict:
        raise StackError(f"Airflow makes no user {user['username']}: HTTP {made.status_code} {made.text[:300]}")


BEFORE_THE_RUNS = (only_on_loopback, nobody_is_root, nobody_gets_in)
