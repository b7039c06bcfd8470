"""What docker-compose.yaml promises: no password that works by default, nothing open to the network, all watched."""

import re
import subprocess

import pytest
import yaml

from local import compose_stack, environment
from segmentation import settings
from tests.conftest import REPOSITORY

TEXT = (REPOSITORY / "docker-compose.yaml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
ONCE = {"airflow-init", "mlflow-init", "practice-shop"}
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?::([-?])([^${}]*))?")
EXAMPLE = compose_stack.read_env(REPOSITORY / ".env.example")
SECRETS = {name for name in EXAMPLE if name.endswith(("_PASSWORD", "_KEY", "_SECRET"))}
READ_BY_COMPOSE_ITSELF = {"COMPOSE_PROFILES"}


def variables():
    """Every ${NAME:-default} or ${NAME:?message} outside of comments: (name, - or ?, default or message)."""
    lines = "\n".join(line for line in TEXT.splitlines() if not line.lstrip().startswith("#"))
    return VARIABLE.findall(lines)


def test_no_password_has_a_default():
    for name, kind, text in variables():
        assert (kind == "?" and text) if name in SECRETS else kind == "-", name
    assert {name for name, value in EXAMPLE.items() if name in SECRETS and value} == set()


def test_no_password_is_written_out():
    """Whatever stands between a login and its host is a variable."""
    assert re.findall(r"://[^\s@$]*:(?!\$\{)[^\s@/]+@", TEXT) == []
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if key.endswith(("PASSWORD", "SECRET", "SECRET_KEY", "FERNET_KEY", "AUTH")):
                assert str(value).startswith("${"), (name, key)


def test_every_variable_is_explained_and_every_explanation_is_of_one():
    used = {name for name, _, _ in variables()} | READ_BY_COMPOSE_ITSELF
    assert used == set(EXAMPLE)
    explained, above = {}, False
    for line in (REPOSITORY / ".env.example").read_text().splitlines():
        name = line.partition("=")[0] if "=" in line and not line.startswith("#") else None
        if name:
            explained[name], above = above, False
        elif not line.strip() or line.startswith("# ---"):
            above = False
        else:
            above = True
    assert [name for name, is_below_words in explained.items() if not is_below_words] == []


def test_the_defaults_are_those_of_the_example():
    by_file = {name: text for name, kind, text in variables() if kind == "-"}
    differing = {name for name, text in by_file.items() if EXAMPLE[name] != text}
    assert differing == {"SHOP_WAREHOUSE_URL"}  # empty stands for the database beside it


def test_ports_are_opened_on_loopback_unless_asked():
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(ports) == {"postgres", "mlflow", "airflow-apiserver"}
    for port in [each for several in ports.values() for each in several]:
        assert port.startswith("${BIND_ADDRESS:-127.0.0.1}:"), port


def test_what_runs_on_is_watched_and_comes_back():
    for name in set(SERVICES) - ONCE:
        assert SERVICES[name]["restart"] == "unless-stopped", name
        check = SERVICES[name]["healthcheck"]
        assert check["test"][0] in ("CMD", "CMD-SHELL"), name
        assert {"interval", "timeout", "retries", "start_period", "start_interval"} <= set(check), name


def test_the_docs_name_every_volume():
    """What is not named is not backed up."""
    text = (REPOSITORY / "docs" / "deployment.md").read_text("utf-8")
    told = text.partition("## What is kept")[2].partition("\n## ")[0]
    assert {name for name in COMPOSE["volumes"] if f"`{name}`" not in told} == set()


def test_no_container_stays_root():
    """Ours have a user in the image. The others' entrypoints step down from root for the command of their own only."""
    last_user = re.findall(r"^USER (\S+)$", (REPOSITORY / "Dockerfile").read_text(), re.M)[-1]
    assert int(last_user.partition(":")[0]) > 0
    for name, service in SERVICES.items():
        is_ours = service["image"] == SERVICES["mlflow"]["image"]
        if is_ours:
            assert "user" not in service, name
        elif "command" in service:
            assert service["user"] not in ("root", "0", 0), name


def test_nothing_starts_before_what_it_needs():
    for name, service in SERVICES.items():
        for other, needs in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other in ONCE else "service_healthy"
            assert needs["condition"] == wanted, (name, other)


def test_a_restart_of_the_api_server_costs_no_running_task():
    """It takes the tasks' heartbeats: for as long as it may be away, none of them is given up."""
    api, common = SERVICES["airflow-apiserver"], SERVICES["airflow-scheduler"]["environment"]
    away = seconds(api["stop_grace_period"]) + seconds(api["healthcheck"]["start_period"])
    assert common["AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT"] >= away


def test_dag_files_that_do_not_change_are_seldom_read_again():
    """Each time takes the scheduler's machine a quarter of a second a file; one that changes is read at once."""
    interval = SERVICES["airflow-dag-processor"]["environment"]["AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL"]
    assert interval == environment.PARSED_AGAIN_SECONDS >= 300


def seconds(text):
    return int(text.removesuffix("m")) * 60 if text.endswith("m") else int(text.removesuffix("s"))


def test_without_git_the_logs_are_not_filled_with_its_lack():
    text = (REPOSITORY / "Dockerfile").read_text()
    assert "GIT_PYTHON_REFRESH=quiet" in text or re.search(r"apt-get install [^&]* git\b", text)


def test_one_image_is_built_and_the_rest_use_it():
    built = [name for name, service in SERVICES.items() if "build" in service]
    assert len(built) == 1
    images = {service["image"] for service in SERVICES.values()}
    foreign = {"${POSTGRES_IMAGE:-postgres:18}", "${REDIS_IMAGE:-redis:8}"}
    assert images == {SERVICES[built[0]]["image"]} | foreign


def test_profiles_add_and_the_rest_needs_none():
    profiles = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert profiles == {"redis": ["celery"], "airflow-worker": ["celery"], "practice-shop": ["practice"]}
    for name in set(SERVICES) - set(profiles):
        for other, needs in SERVICES[name].get("depends_on", {}).items():
            assert other not in profiles or needs["required"] is False, (name, other)


def test_all_of_airflow_has_the_same_settings():
    """Different secrets, or a connection that only some have, would show late."""
    parts = [service["environment"] for name, service in SERVICES.items() if name.startswith("airflow-")]
    common = SERVICES["airflow-scheduler"]["environment"]
    assert len(parts) == 6
    assert all(common.items() <= each.items() for each in parts)
    assert "SimpleAuthManager" not in TEXT


def test_every_run_of_a_deployment_is_told_to_openlineage_without_rows():
    """As in the practice stack, but for the folder."""
    first = SERVICES["airflow-scheduler"]["env_file"][0]
    told = {name: value.strip("'") for name, value in compose_stack.read_env(REPOSITORY / first).items()}
    ours = environment.lineage("/opt/airflow/logs/openlineage.jsonl")
    assert told.keys() == {f"AIRFLOW__{name.upper()}" for name in ours}
    for name, value in ours.items():
        assert yaml.safe_load(told[f"AIRFLOW__{name.upper()}"]) == yaml.safe_load(value), name


def test_keys_of_an_object_store_reach_who_reads_and_who_keeps_artifacts():
    assert SERVICES["mlflow"]["env_file"] == [{"path": "${MLFLOW_ENV_FILE:-mlflow.env}", "required": False}]
    for name, service in SERVICES.items():
        if name.startswith("airflow-"):
            assert service["env_file"][1] == {"path": "${SEGMENTATION_ENV_FILE:-segmentation.env}", "required": False}


def test_settings_of_the_product_exist(monkeypatch):
    for name, value in SERVICES["airflow-scheduler"]["environment"].items():
        if name.startswith("SEGMENTATION_"):
            monkeypatch.setenv(name, "http://mlflow.example" if "$" in str(value) else str(value))
    settings.load.cache_clear()
    try:
        assert settings.load().page.mlflow == "http://mlflow.example"
    finally:
        settings.load.cache_clear()


def test_settings_of_the_smoke_test_exist(monkeypatch):
    """A name that is none would be passed over, and the training be the long one."""
    told = dict(line.split("=", 1) for line in compose_stack.SEGMENTATION_ENV.splitlines())
    for name, value in told.items():
        if "__" in name:
            monkeypatch.setenv(name, value)
    settings.load.cache_clear()
    try:
        training, cluster = settings.load().training, settings.load().cluster
        assert (training.search, training.has_learning_curve, training.validations) == ("none", False, 1)
        assert (cluster.inits, cluster.resamples) == (10, 2)
    finally:
        settings.load.cache_clear()


@pytest.fixture
def env_file(tmp_path):
    file = tmp_path / "env"
    subprocess.run(["sh", REPOSITORY / "deploy" / "new_env.sh", file], check=True)
    return file


def test_new_passwords_are_long_random_and_for_the_owner_only(env_file, tmp_path):
    subprocess.run(["sh", REPOSITORY / "deploy" / "new_env.sh", tmp_path / "another"], check=True)
    one, other = compose_stack.read_env(env_file), compose_stack.read_env(tmp_path / "another")
    assert set(one) == set(EXAMPLE)
    assert all(len(one[name]) >= 44 and one[name] != other[name] for name in SECRETS)
    assert len({one[name] for name in SECRETS}) == len(SECRETS)
    assert all(re.fullmatch(r"[0-9a-f]+", one[name]) for name in SECRETS - {"AIRFLOW_FERNET_KEY"})
    assert {name: value for name, value in one.items() if name not in SECRETS} == {
        name: value for name, value in EXAMPLE.items() if name not in SECRETS
    }
    assert env_file.stat().st_mode & 0o777 == 0o600


def test_airflow_takes_the_fernet_key(env_file):
    from cryptography.fernet import Fernet

    key = compose_stack.read_env(env_file)["AIRFLOW_FERNET_KEY"]
    assert Fernet(key).decrypt(Fernet(key).encrypt(b"x")) == b"x"


def test_passwords_that_are_there_are_never_replaced(env_file):
    before = env_file.read_bytes()
    again = subprocess.run(["sh", REPOSITORY / "deploy" / "new_env.sh", env_file], capture_output=True, text=True)
    assert (again.returncode, env_file.read_bytes()) == (1, before)
    assert "is there already" in again.stderr


def test_the_image_holds_no_secret_and_all_that_runs():
    """.dockerignore lets in by name; the Dockerfile copies nothing that it keeps out."""
    rules = (REPOSITORY / ".dockerignore").read_text().splitlines()
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    assert "*" in rules
    copied = re.findall(r"^COPY ((?:\S+ )+)\S+$", (REPOSITORY / "Dockerfile").read_text(), re.M)
    assert {source for line in copied for source in line.split()} == allowed
    assert all((REPOSITORY / each).exists() for each in allowed)
