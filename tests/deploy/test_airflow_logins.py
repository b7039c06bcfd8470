"""A deployment's Airflow, made ready by its own script on a real Postgres: users, login form, the Segments page."""

import os
import re
import subprocess
import sys
import time

import pytest
import requests
from cryptography.fernet import Fernet

from local import compose_checks
from local.errors import StackError
from local.processes import free_port
from segmentation import warehouse
from segmentation.settings import Stores
from tests.conftest import REPOSITORY
from tests.deploy.test_compose import SERVICES
from tests.segmentation.test_segments_page import DAY, put

ADMIN = {"username": "boss", "password": "a-password-of-the-admin"}
COUNTS = "select (select count(*) from ab_user), (select slots from slot_pool where pool = 'shop_warehouse')"
MORE_SLOTS = "update slot_pool set slots = 5 where pool = 'shop_warehouse'"


@pytest.fixture(scope="module")
def airflow(postgres_server, new_warehouse, tmp_path_factory):
    """Its address: the api-server with the compose file's own auth manager, and what it publishes from."""
    folder = tmp_path_factory.mktemp("airflow")
    with warehouse.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        warehouse.execute(connection, "create database airflow")
    address = f"http://127.0.0.1:{free_port()}"
    with new_warehouse() as dsn:
        stores = Stores(warehouse=dsn, marketing=dsn, lake=str(folder / "lake"), registry="unused")
        put(stores, DAY, [1] * 30 + [2] * 30)
        environment = settings(postgres_server.url("airflow"), address, folder) | {
            "AIRFLOW_CONN_MARKETING": dsn,
            "LAKE_URI": stores.lake,
        }
        script = ["sh", REPOSITORY / "deploy" / "airflow" / "prepare_airflow.sh"]
        run = {"env": environment, "cwd": REPOSITORY, "check": True}
        counts = []
        for password in (ADMIN["password"], "another-one"):  # what every later start of the stack does
            subprocess.run(script, **run | {"env": environment | {"AIRFLOW_ADMIN_PASSWORD": password}})
            with warehouse.connect(postgres_server.url("airflow")) as connection:
                counts += warehouse.fetch(connection, COUNTS)
                warehouse.execute(connection, MORE_SLOTS)
        (users, slots), again = counts
        assert (users, slots) == (1, 2)
        assert again == (1, 5), "what somebody has set stays"
        log = (folder / "log").open("wb")
        command = [
            sys.executable,
            "-m",
            "airflow",
            *SERVICES["airflow-apiserver"]["command"][1:],
            "--port",
            address.rpartition(":")[2],
            "--workers",
            "1",
        ]
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_for(f"{address}/api/v2/version", process, folder / "log")
            yield address
        finally:
            process.terminate()
            process.wait(60)


def settings(database, address, folder):
    """As docker-compose.yaml has them, where they are not about the containers."""
    ours = SERVICES["airflow-init"]["environment"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    same = ("AIRFLOW__CORE__AUTH_MANAGER", "AIRFLOW__DATABASE__EXTERNAL_DB_MANAGERS", "AIRFLOW__CORE__LOAD_EXAMPLES")
    return kept | {name: ours[name] for name in same} | {
        "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
        "PYTHONPATH": f"{REPOSITORY / 'include'}",
        "AIRFLOW_HOME": f"{folder / 'home'}",
        "AIRFLOW__CORE__DAGS_FOLDER": f"{REPOSITORY / 'dags'}",
        "AIRFLOW__CORE__PLUGINS_FOLDER": f"{REPOSITORY / 'plugins'}",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database.replace("postgresql://", "postgresql+psycopg2://"),
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__API__SECRET_KEY": "a-key-of-browser-sessions",
        "AIRFLOW__API_AUTH__JWT_SECRET": "a-key-of-tokens, long enough to sign with: 0123456789012345678901234567",
        "AIRFLOW_ADMIN_USER": ADMIN["username"],
        "AIRFLOW_ADMIN_EMAIL": "boss@example.com",
        "AIRFLOW_ADMIN_PASSWORD": ADMIN["password"],
    }  # fmt: skip


def wait_for(url, process, log):
    deadline = time.monotonic() + 480  # busy machines take minutes
    while True:
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        try:
            if requests.get(url, timeout=30).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(0.5)


def test_nobody_gets_in_without_a_password(airflow):
    assert requests.get(f"{airflow}/api/v2/dags", timeout=60).status_code == 401
    assert requests.get(f"{airflow}{compose_checks.PAGE}", timeout=60).status_code == 401
    for name in ("admin", "airflow", ADMIN["username"]):
        login = {"username": name, "password": name}
        assert requests.post(f"{airflow}/auth/token", json=login, timeout=60).status_code == 401


def test_cookies_are_for_tls_only_where_a_trusted_proxy_says_that_the_browser_came_by_it(airflow):
    """This machine is one; what others say of themselves is not believed (uvicorn's FORWARDED_ALLOW_IPS)."""
    browser = requests.Session()
    form = browser.get(f"{airflow}/auth/login/", timeout=60)
    fields = {**ADMIN, "csrf_token": re.search(r'name="csrf_token"[^>]*value="([^"]+)"', form.text)[1]}
    headers = {"X-Forwarded-Proto": "https", "Referer": airflow.replace("http:", "https:")}
    answer = browser.post(f"{airflow}/auth/login/", data=fields, timeout=60, allow_redirects=False, headers=headers)
    [token] = [each for each in answer.raw.headers.getlist("Set-Cookie") if each.startswith("_token=")]
    assert "; Secure" in token
    assert "; HttpOnly" in token


def test_the_segments_page_shows_each_role_what_it_may_see(airflow):
    """By the login form, as a browser: Admin and User may look a customer up, Viewer sees aggregates only."""
    compose_checks.see_page(airflow, ADMIN["username"], ADMIN["password"], "c000", may_see_customers=True)
    for role, may_see_customers in (("Viewer", False), ("User", True)):
        user = {"username": f"a-{role}", "password": f"a-password-of-{role}", "role": role}
        compose_checks.add_user(airflow, ADMIN, user)
        compose_checks.add_user(airflow, ADMIN, user)  # who is there already stays
        compose_checks.see_page(
            airflow, user["username"], user["password"], "c000", may_see_customers=may_see_customers
        )
    with pytest.raises(StackError, match="a-Viewer gets the Segments page without a look-up"):
        compose_checks.see_page(airflow, "a-Viewer", "a-password-of-Viewer", "c000", may_see_customers=True)


def test_a_browser_finds_the_page_in_airflows_navigation_and_looks_a_customer_up(airflow, browser):
    """With the page's own policy, which Airflow hands on: no script, forms to itself only."""
    time.sleep(40)  # FAB's limit of logins, which the tests before have used up
    context = browser.new_context()
    page, told = context.new_page(), []
    page.goto(f"{airflow}/auth/login/")
    page.fill("input[name=username]", ADMIN["username"])
    page.fill("input[name=password]", ADMIN["password"])
    page.locator("input[type=submit], button[type=submit]").first.click()
    page.get_by_role("button", name="Browse").click()
    with page.context.expect_page() as opened:  # Airflow gives what is not its own a tab
        page.get_by_role("menuitem", name="Segments").click()
    page = opened.value
    page.wait_for_url(f"{airflow}{compose_checks.PAGE}*")
    page.on("console", lambda message: told.append(message.text))
    assert page.get_by_role("heading", level=1).inner_text() == "Segments"
    page.get_by_role("textbox").fill("c000")
    page.get_by_role("button", name="Look up").click()
    assert page.get_by_role("heading", name="Customer c000").is_visible()
    assert "c000" not in page.url
    page.get_by_role("link", name="中文").click()
    assert page.get_by_role("heading", level=1).inner_text() == "客户分群"
    page.goto(f"{airflow}{compose_checks.PAGE}")
    assert told == [], "the policy forbids nothing that the page needs"
    page.get_by_role("link", name=f"{DAY}").first.click()
    assert page.get_by_role("heading", name=f"Data quality of {DAY}").is_visible()
    page.get_by_role("link", name="marketing.customer_segments").click()
    assert page.get_by_role("heading").first.is_visible()
    context.close()


def test_who_guesses_passwords_is_held_up(airflow):
    """By FAB's own limit, five attempts in 40 seconds. Among the guesses is what a later start had in its .env."""
    refusals = []
    for guess in ("another-one", *"abcdefgh"):
        with pytest.raises(StackError, match="does not let boss in") as refused:
            compose_checks.log_in(airflow, ADMIN["username"], guess)
        refusals.append("HTTP 429" in str(refused.value))
    assert True in refusals


def test_old_runs_are_cleared_out_of_airflows_database_as_the_deployments_page_says(airflow, postgres_server, tmp_path):
    page = (REPOSITORY / "docs" / "deployment.md").read_text("utf-8")
    [words] = re.findall(r"airflow-scheduler airflow (db clean [^`]+)`", page)
    where = settings(postgres_server.url("airflow"), airflow, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "airflow", *words.split()], env=where, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "dag_run" in done.stdout + done.stderr


def test_the_fernet_key_is_rotated_as_the_runbook_says(airflow, postgres_server, tmp_path):
    """docs/runbooks/rotate-keys.md: `new,old`, rotate, `new`. Then the old one opens nothing any more."""
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    where = settings(postgres_server.url("airflow"), airflow, tmp_path)

    def types(keys, *words):
        return subprocess.run(
            [sys.executable, "-m", "airflow", *words],
            env=where | {"AIRFLOW__CORE__FERNET_KEY": keys}, cwd=tmp_path, capture_output=True, text=True,
        )  # fmt: skip

    read = ("connections", "get", "crm", "--output", "json")
    added = types(old, "connections", "add", "crm", "--conn-uri", "postgresql://reader:the-password@db/crm")
    assert added.returncode == 0, added.stderr
    assert "the-password" in types(old, *read).stdout
    rotated = types(f"{new},{old}", "rotate-fernet-key")
    assert rotated.returncode == 0, rotated.stderr
    assert "the-password" in types(new, *read).stdout
    assert "the-password" not in types(old, *read).stdout
    with warehouse.connect(postgres_server.url("airflow")) as connection:
        [(kept, is_encrypted)] = warehouse.fetch(connection, "select password, is_encrypted from connection")
    assert is_encrypted
    assert Fernet(new).decrypt(kept.encode()) == b"the-password"
