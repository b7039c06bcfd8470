"""The MLflow server of a deployment, by its own script: who is let in, and what the registry makes of a refusal."""

import datetime as dt
import os
import subprocess
import sys
import time

import pytest
import requests

from local.processes import free_port
from segmentation import warehouse
from segmentation.registry import NoModelError, Registry
from segmentation_airflow import stores
from tests.conftest import REPOSITORY
from tests.segmentation.test_registry import JUNE, MODEL, train

# skops walks through every loaded module, Airflow's announce what has moved.
pytestmark = pytest.mark.filterwarnings("ignore::airflow.utils.deprecation_tools.DeprecatedImportWarning")
ADMIN, PIPELINE = ("admin", "a-password-of-the-admin"), ("pipeline", "a-password-of-the-pipeline")
SCRIPTS = REPOSITORY / "deploy" / "mlflow"


@pytest.fixture(scope="module")
def server(postgres_server, tmp_path_factory):
    """The address of a server on a Postgres of its own databases, with user `pipeline`."""
    folder = tmp_path_factory.mktemp("mlflow")
    with warehouse.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        for name in ("mlflow", "mlflow_auth"):
            warehouse.execute(connection, f"create database {name}")
    port = free_port()
    # The script's port is the container's own; beside others it has to be another.
    script = (SCRIPTS / "serve_mlflow.sh").read_text().replace("--port 5000", f"--port {port}")
    (folder / "serve.sh").write_text(script.replace("/tmp/basic_auth.ini", f"{folder}/basic_auth.ini"))
    address = f"http://127.0.0.1:{port}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")},
        "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
        "MLFLOW_BACKEND_STORE_URI": sqlalchemy(postgres_server.url("mlflow")),
        "MLFLOW_AUTH_STORE_URI": sqlalchemy(postgres_server.url("mlflow_auth")),
        "MLFLOW_ARTIFACTS_DESTINATION": str(folder / "artifacts"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "a-key-of-sessions",
        "MLFLOW_HOSTS": "127.0.0.1,127.0.0.1:*",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_URL": address,
        "MLFLOW_PIPELINE_PASSWORD": PIPELINE[1],
    }
    log = (folder / "log").open("wb")
    process = subprocess.Popen(["sh", str(folder / "serve.sh")], env=environment, cwd=folder, stdout=log, stderr=log,
                               start_new_session=True)  # fmt: skip
    try:
        deadline = time.monotonic() + 480  # busy machines take minutes
        while not is_up(address):
            assert process.poll() is None, (folder / "log").read_text()[-3000:]
            assert time.monotonic() < deadline, (folder / "log").read_text()[-3000:]
            time.sleep(0.5)
        for _ in range(2):  # once more is what every later start of the stack does
            subprocess.run([sys.executable, SCRIPTS / "add_mlflow_user.py"], env=environment, check=True)
        yield address
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def registry(server, monkeypatch):
    """The registry as a task has it: the login comes from Airflow's connection."""
    host = server.removeprefix("http://")
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_WAREHOUSE", "postgres://reader:a@one:1/shop")
    monkeypatch.setenv("AIRFLOW_CONN_MARKETING", "postgres://writer:b@two:2/crm")
    monkeypatch.setenv("LAKE_URI", "/lake")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "")
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW", f"http://{':'.join(PIPELINE)}@{host}")
    found = stores.stores()
    assert found.registry == server  # no password in what may be shown
    return Registry(found.registry)


def is_up(address):
    try:
        return requests.get(f"{address}/health", timeout=5).ok
    except requests.RequestException:
        return False


def sqlalchemy(url):
    return url.replace("postgresql://", "postgresql+psycopg2://", 1)


def post(server, path, login, **body):
    return requests.post(f"{server}/api/2.0/mlflow/{path}", json=body, auth=login, timeout=30)


@pytest.mark.parametrize("login", [None, ("admin", "password1234"), ("pipeline", "guessed-by-somebody")])
def test_nobody_is_let_in_without_the_password(server, login):
    assert post(server, "experiments/search", login, max_results=1).status_code == 401


def test_the_pipeline_is_no_administrator(server):
    answer = post(server, "users/create", PIPELINE, username="friend", password="a-long-password")
    assert answer.status_code == 403


def test_a_model_that_was_never_trained_has_no_champion(registry):
    """A server with logins answers 403 where one without says that there is no such model."""
    assert registry.champion("never_trained") is None
    with pytest.raises(NoModelError, match="none has been promoted yet"):
        registry.resolve("never_trained", JUNE)


def test_training_and_promotion_work_with_the_login_of_the_connection(registry):
    assert registry.champion(MODEL) is None
    assert registry.promote(MODEL, train(registry, JUNE), "fine")
    assert registry.resolve(MODEL, dt.date(2026, 7, 1)).training_day == JUNE
    assert registry.previous(MODEL) is None  # an alias that is missing of a model that is there
    assert registry.load(registry.resolve(MODEL, JUNE))[1]["columns"] == ["x"]


def test_a_lack_of_rights_is_not_taken_for_a_missing_model(server, registry):
    """Otherwise a training would believe to be the first."""
    post(server, "registered-models/create", ADMIN, name="secret").raise_for_status()
    denied = {
        "username": "pipeline",
        "resource_type": "registered_model",
        "resource_id": "secret",
        "permission": "DENY",
    }
    grant = f"{server}/api/3.0/mlflow/users/permissions/grant"
    requests.post(grant, json=denied, auth=ADMIN, timeout=30).raise_for_status()
    with pytest.raises(Exception, match=r"(?i)permission denied"):
        registry.champion("secret")
