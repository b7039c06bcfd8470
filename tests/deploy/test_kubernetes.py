"""What can be checked of deploy/kubernetes without a cluster: that it fits the image, the scripts and each other."""

import re

import pytest
import yaml

from local import compose_stack
from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "deploy" / "kubernetes"
VALUES = yaml.safe_load((FOLDER / "airflow-values.yaml").read_text())
OBJECTS = list(yaml.safe_load_all((FOLDER / "mlflow.yaml").read_text()))
COMPOSE = yaml.safe_load((REPOSITORY / "docker-compose.yaml").read_text())["services"]
# Keys of the official chart's values.yaml, of 1.20 and newer.
CHART = {"airflowVersion", "apiSecretKeySecretName", "apiServer", "config", "createUserJob", "data",
         "defaultAirflowRepository", "defaultAirflowTag", "env", "executor", "extraEnvFrom", "fernetKeySecretName",
         "jwtSecretName", "logs", "postgresql", "redis", "workers"}  # fmt: skip

# What is another place in each deployment
PLACES = {"LAKE_URI", "SEGMENTATION_ERASURE_LEDGER", "SEGMENTATION_PAGE__MLFLOW", "SEGMENTATION_RUNBOOKS"}
# What the chart sets by itself or by other keys of its values, and what only the compose file's own containers read
OF_THE_CHART = {
    "AIRFLOW__CORE__AUTH_MANAGER", "AIRFLOW__CORE__EXECUTOR", "AIRFLOW__CORE__PARALLELISM",
    "AIRFLOW__CORE__LOAD_EXAMPLES", "AIRFLOW__CORE__HOSTNAME_CALLABLE", "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
    "AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__API__BASE_URL",
    "AIRFLOW__API__SECRET_KEY", "AIRFLOW__API__WORKERS", "AIRFLOW__API_AUTH__JWT_SECRET",
    "AIRFLOW__API_AUTH__JWT_ISSUER", "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL", "AIRFLOW__CELERY__BROKER_URL",
    "AIRFLOW__CELERY__RESULT_BACKEND", "AIRFLOW__CELERY__WORKER_CONCURRENCY", "API_HEALTH", "NO_PROXY", "no_proxy",
}  # fmt: skip


def containers():
    return [c for each in OBJECTS if "template" in each["spec"] for c in each["spec"]["template"]["spec"]["containers"]]


def test_the_values_are_keys_of_the_chart():
    assert set(VALUES) <= CHART
    assert yaml.safe_load(VALUES["extraEnvFrom"]) == [{"secretRef": {"name": "fenqun"}}]


def test_airflow_is_of_the_version_that_is_pinned():
    pinned = re.search(r"^apache-airflow==(\S+)$", (REPOSITORY / "requirements.txt").read_text(), re.M)[1]
    assert VALUES["airflowVersion"] == pinned
    assert VALUES["executor"] in ("CeleryExecutor", "LocalExecutor")  # what the image has the packages for


def test_settings_say_the_same_as_those_of_the_compose_file():
    compose = COMPOSE["airflow-scheduler"]["environment"]
    env = {each["name"]: each["value"] for each in VALUES["env"]}
    assert VALUES["config"]["core"]["auth_manager"] == compose["AIRFLOW__CORE__AUTH_MANAGER"]
    interval = compose["AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL"]
    assert VALUES["config"]["dag_processor"]["min_file_process_interval"] == f"{interval}"
    for name, value in env.items():
        if name in compose and name not in PLACES:
            assert str(compose[name]) == value, name
    named = re.findall(r"AIRFLOW_CONN_(?!ALERTS)\w+", (FOLDER / "airflow-values.yaml").read_text())
    assert set(named) == {name for name in compose if name.startswith("AIRFLOW_CONN_")}


def test_no_setting_of_the_compose_file_is_forgotten():
    env = {each["name"] for each in VALUES["env"]}
    theirs = {name for name in COMPOSE["airflow-scheduler"]["environment"] if not name.startswith("AIRFLOW_CONN_")}
    assert theirs - env == OF_THE_CHART


def test_lineage_is_that_of_a_compose_deployment():
    env = {each["name"]: each["value"] for each in VALUES["env"]}
    told = compose_stack.read_env(REPOSITORY / "deploy" / "openlineage.env")
    assert {name: yaml.safe_load(value.strip("'")) for name, value in told.items()} == {
        name: yaml.safe_load(value) for name, value in env.items() if "OPENLINEAGE" in name
    }


def test_paths_are_those_of_the_image():
    dockerfile = (REPOSITORY / "Dockerfile").read_text()
    env = {each["name"]: each["value"] for each in VALUES["env"]}
    for name in ("AIRFLOW__CORE__DAGS_FOLDER", "AIRFLOW__CORE__PLUGINS_FOLDER"):
        assert f"{name}={env[name]}" in dockerfile
    for container in containers():
        script = container["command"][-1]
        assert script.startswith("/opt/fenqun/deploy/")
        assert (REPOSITORY / "deploy" / "mlflow" / script.rsplit("/", 1)[1]).exists()
    assert "/entrypoint" in dockerfile
    # The chart's sidecars, which are on unless they are switched off, run it by bash
    assert "ln -s /opt/fenqun/deploy/clean_logs.sh /clean-logs" in dockerfile
    assert (REPOSITORY / "deploy" / "airflow" / "clean_logs.sh").exists()


def test_browsers_reach_mlflow_by_a_name_that_it_answers_to():
    env = {each["name"]: each["value"] for each in VALUES["env"]}
    host = env["SEGMENTATION_PAGE__MLFLOW"].removeprefix("https://")
    hosts = {each["name"]: each.get("value") for each in containers()[0]["env"]}["MLFLOW_HOSTS"]
    assert host in hosts.split(",")


def test_the_api_server_is_started_as_by_the_compose_file():
    assert " ".join(COMPOSE["airflow-apiserver"]["command"]) in VALUES["apiServer"]["args"][-1]


@pytest.mark.parametrize(
    ("container", "script"), [("mlflow", "serve_mlflow.sh"), ("mlflow-user", "add_mlflow_user.py")]
)
def test_each_container_gets_what_its_script_reads(container, script):
    text = (REPOSITORY / "deploy" / "mlflow" / script).read_text()
    read = set(re.findall(r"\$(MLFLOW_\w+)|environ\[\"(MLFLOW_\w+)\"\]", text))
    read = {one or other for one, other in read} - {"MLFLOW_AUTH_CONFIG_PATH"}
    [found] = [each for each in containers() if each["name"] == container]
    in_secret = set(re.findall(r"MLFLOW_\w+", (FOLDER / "mlflow.yaml").read_text().split("apiVersion")[0]))
    assert read <= {each["name"] for each in found["env"]} | in_secret


def test_service_and_deployment_find_each_other():
    deployment, service = OBJECTS[:2]
    assert [each["kind"] for each in OBJECTS] == ["Deployment", "Service", "Job"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == labels == deployment["spec"]["selector"]["matchLabels"]
    assert service["spec"]["ports"][0]["targetPort"] == containers()[0]["ports"][0]["containerPort"]


def test_no_password_is_in_it():
    for file in FOLDER.iterdir():
        assert not re.search(r"(?i)(password|secret_key|fernet.key): *[\"']?\w", file.read_text()), file.name
