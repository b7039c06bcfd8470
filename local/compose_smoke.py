"""
Tries docker-compose.yaml for real, on any machine with Docker: `make compose-smoke [ARGS=--celery]`.

A stack of its own beside whatever runs (project `fenqun-smoke`, free ports, random passwords, volumes of its own), with
a small simulated shop. Then, as its users would:

1. the weekly training and the daily run, asked for by Airflow's REST API, end in success;
2. marketing.customer_segments has a row for every customer it should, MLflow has the training's metrics;
3. nobody gets in without a password, and each database login may do its own work only;
4. each container in turn is restarted in the middle of a daily run, and no run is lost;
5. with --celery: the tasks run on two workers.

At the end, however it ends, the stack and its volumes are removed, unless --keep.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import requests

from local import airflow_api
from local.airflow_api import Airflow, AirflowError, Run
from local.errors import StackError
from local.processes import free_port
from local.simulator.settings import LAST_DAY
from local.state import REPOSITORY

PROJECT = "fenqun-smoke"
DAY = LAST_DAY + timedelta(days=1)
TRAINING, DAILY = "train_models_weekly", "segment_customers_daily"
START_SECONDS, RUN_SECONDS, POLL_SECONDS = 1200, 3600, 3
ENDED = ("success", "failed")
# When to run is asked for here, and nobody waits for the best of models.
SEGMENTATION_ENV = """SEGMENTATION_DAILY_SCHEDULE=
SEGMENTATION_WEEKLY_SCHEDULE=
SEGMENTATION_CAMPAIGNS_SCHEDULE=
SEGMENTATION_PRODUCTS_SCHEDULE=
SEGMENTATION_TRAINING__SEARCH_SECONDS=3
"""
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
PASSWORDS = {
    "airflow": "AIRFLOW_DB_PASSWORD",
    "mlflow": "MLFLOW_DB_PASSWORD",
    "pipeline": "PIPELINE_DB_PASSWORD",
    "shop_reader": "SHOP_READER_PASSWORD",
}


@dataclass
class Deployment:
    """The stack under test: where its settings are, and what it is asked by."""

    env_file: Path
    is_celery: bool
    settings: dict[str, str] = field(default_factory=dict)

    @classmethod
    def new(cls, folder: Path, is_celery: bool) -> "Deployment":
        """With .env as deploy/new_env.sh makes it, and ports that nobody else has."""
        env_file, more = folder / "env", folder / "segmentation.env"
        subprocess.run(["sh", REPOSITORY / "deploy" / "new_env.sh", env_file], check=True, stdout=subprocess.DEVNULL)
        more.write_text(SEGMENTATION_ENV)
        settings = read_env(env_file)
        for name in ("AIRFLOW_PORT", "MLFLOW_PORT", "POSTGRES_PORT"):
            settings[name] = str(free_port(taken=[int(settings[each]) for each in settings if each.endswith("_PORT")]))
        settings["SEGMENTATION_ENV_FILE"] = str(more)
        settings["COMPOSE_PROFILES"] = "practice,celery" if is_celery else "practice"
        settings["AIRFLOW_EXECUTOR"] = "CeleryExecutor" if is_celery else "LocalExecutor"
        env_file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        return cls(env_file, is_celery, settings)

    def compose(self, *arguments: str, check: bool = True, give: str | None = None) -> str:
        """What `docker compose` prints. Raises StackError with its last lines if it fails."""
        command = ["docker", "compose", "--project-name", PROJECT, "--env-file", str(self.env_file), *arguments]
        # Only the file counts: variables of the caller's shell would go before it.
        kept = {name: value for name, value in os.environ.items() if name not in self.settings}
        done = subprocess.run(command, cwd=REPOSITORY, env=kept, capture_output=True, text=True, input=give)
        if check and done.returncode != 0:
            last = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
            raise StackError(f"`docker compose {' '.join(arguments)}` failed:\n{last}")
        return done.stdout if done.returncode == 0 else ""

    def services(self) -> list[str]:
        """The services that run now, those that ran once left out."""
        return sorted(set(self.compose("ps", "--services", "--status", "running").split()))

    def unhealthy(self) -> list[str]:
        """The containers that run but are not healthy."""
        lines = self.compose("ps", "--format", "json").splitlines()
        found = [json.loads(line) for line in lines if line.strip()]
        return [each["Name"] for each in found if each["State"] != "running" or each["Health"] != "healthy"]

    @property
    def airflow(self) -> Airflow:
        address = f"http://127.0.0.1:{self.settings['AIRFLOW_PORT']}"
        return Airflow(address, self.settings["AIRFLOW_ADMIN_PASSWORD"])

    @property
    def mlflow(self) -> str:
        return f"http://127.0.0.1:{self.settings['MLFLOW_PORT']}"

    def psql(self, database: str, statement: str, login: str = "postgres", check: bool = True) -> str | None:
        """What a statement answers a login, by TCP as the other containers come; None if it is refused."""
        password = self.settings[PASSWORDS.get(login, "POSTGRES_PASSWORD")]
        url = f"postgresql://{login}:{password}@127.0.0.1:5432/{database}"
        script = 'read -r url; psql -X -A -t -v ON_ERROR_STOP=1 "$url" -c "$0" && echo .'
        inside = ("exec", "-T", "postgres", "sh", "-c", script, statement)
        done = self.compose(*inside, check=False, give=f"{url}\n")
        if not done and check:
            raise StackError(f"Postgres refuses {login} in {database}: {statement}")
        return done.removesuffix(".\n").strip() if done else None


def read_env(file: Path) -> dict[str, str]:
    """The settings in a file of the kind of .env.example."""
    lines = [line.partition("=") for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return {name: value for name, _, value in lines}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 if all of it holds; otherwise the last line says what does not."""
    parser = argparse.ArgumentParser(prog="make compose-smoke", description="Tries docker-compose.yaml for real.")
    parser.add_argument("--celery", action="store_true", help="with Redis and two workers")
    parser.add_argument("--keep", action="store_true", help="leave the stack running")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="fenqun-smoke-"))
    deployment = Deployment.new(folder, options.celery)
    try:
        smoke(deployment)
        print("All of it holds.")
        return 0
    except (StackError, requests.RequestException) as error:
        print(f"{error}\n\nFAILED. The last lines of every container:", file=sys.stderr)
        print(deployment.compose("logs", "--tail", "15", check=False), file=sys.stderr)
        return 1
    finally:
        if options.keep:
            password = deployment.settings["AIRFLOW_ADMIN_PASSWORD"]
            print(f"It runs on: {deployment.airflow.address}, user admin, password {password}")
            print(f"To remove it: docker compose -p {PROJECT} --env-file {folder}/env down --volumes")
        else:
            deployment.compose("down", "--volumes", "--remove-orphans", check=False)
            shutil.rmtree(folder)


def smoke(deployment: Deployment) -> None:
    """Every part in turn; see the module.

    :raises StackError: something does not hold.
    """
    timed("build the image", lambda: deployment.compose("build"))
    scale = ["--scale", "airflow-worker=2"] if deployment.is_celery else []
    timed(
        "start, until all are healthy",
        lambda: deployment.compose("up", "--detach", "--wait", "--wait-timeout", f"{START_SECONDS}", *scale),
    )
    services = deployment.services()
    print(f"  {', '.join(services)}")
    nobody_gets_in(deployment)
    timed(f"{TRAINING} for {DAY}", lambda: run_to_its_end(deployment, TRAINING))
    timed(f"{DAILY} for {DAY}", lambda: run_to_its_end(deployment, DAILY))
    published = segments(deployment)
    metrics(deployment)
    rights(deployment)
    if deployment.is_celery:
        both_workers(deployment)
    for service in services:
        timed(f"restart {service} during a run", lambda service=service: survive(deployment, service))
    if segments(deployment) != published:
        raise StackError("After the restarts marketing.customer_segments has other rows than before")


def timed(what: str, do: Callable[[], object]) -> None:
    begun = time.monotonic()
    do()
    print(f"{time.monotonic() - begun:7.1f} s  {what}", flush=True)


def nobody_gets_in(deployment: Deployment) -> None:
    """Airflow and MLflow answer 401 to whoever has no password, or a well-known one."""
    airflow = deployment.airflow.address
    guess, experiment = (
        {"username": "admin", "password": "admin"},
        f"{deployment.mlflow}/api/2.0/mlflow/experiments/get",
    )
    asked = {"params": {"experiment_id": "0"}, "timeout": 120}
    found = {
        "Airflow without a login": requests.get(f"{airflow}/api/v2/dags", timeout=120),
        "Airflow's admin:admin": requests.post(f"{airflow}/auth/token", json=guess, timeout=120),
        "MLflow without a login": requests.get(experiment, **asked),
        "MLflow's admin:password1234": requests.get(experiment, auth=("admin", "password1234"), **asked),
    }
    for who, answer in found.items():
        if answer.status_code != requests.codes.unauthorized:
            raise StackError(f"{who} should get HTTP 401, and gets {answer.status_code}")
    print("  without a password nobody gets in")


def run_to_its_end(deployment: Deployment, dag_id: str) -> Run:
    """A run for DAY, asked for by the REST API; repeated if there was one.

    :raises StackError: it fails, or has not ended within RUN_SECONDS.
    """
    run = patiently(lambda: airflow_api.start(deployment.airflow, dag_id, DAY, {}, _silent))
    return to_its_end(deployment, run)


def to_its_end(deployment: Deployment, run: Run) -> Run:
    airflow, deadline = deployment.airflow, time.monotonic() + RUN_SECONDS
    path = f"/dags/{run.dag_id}/dagRuns/{run.run_id}"
    while (found := patiently(lambda: airflow.get(path)))["state"] not in ENDED:
        if time.monotonic() > deadline:
            raise StackError(f"{run.name} has not ended within {RUN_SECONDS} s")
        time.sleep(POLL_SECONDS)
    if found["state"] != "success":
        tasks = airflow.pages(f"{path}/taskInstances", "task_instances")
        failed = [each["task_id"] for each in tasks if each["state"] == "failed"]
        raise StackError(f"{run.name} failed: {', '.join(failed)}")
    return run


def patiently(ask: Callable[[], Any]) -> Any:
    """An answer of Airflow's, which may be away for a while."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return ask()
        except AirflowError:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_SECONDS)


def segments(deployment: Deployment) -> tuple[str, str]:
    """(customers in the published table, a digest of who is in which segment), if it is whole.

    :raises StackError: somebody is missing, or there is nobody.
    """
    summary = (
        "select count(*), count(distinct customer_id), min(as_of_date), "
        "md5(string_agg(customer_id || ':' || segment_id, ',' order by customer_id)) from marketing.customer_segments"
    )
    rows, customers, day, digest = (deployment.psql("marketing", summary) or "").split("|")
    wanted = deployment.psql("warehouse", "select count(*) from shop.customers where profiling_consent")
    if not rows == customers == wanted or rows == "0" or day != f"{DAY}":
        found = f"{rows} rows of {customers} customers on {day}, not {wanted} on {DAY}"
        raise StackError(f"marketing.customer_segments has {found}")
    print(f"  marketing.customer_segments: {rows} customers on {day}")
    return rows, digest


def metrics(deployment: Deployment) -> None:
    """Every model's training left numbers in MLflow.

    :raises StackError: MLflow has no run with metrics.
    """
    login = ("pipeline", deployment.settings["MLFLOW_PIPELINE_PASSWORD"])
    ask = f"{deployment.mlflow}/api/2.0/mlflow"
    body = {"max_results": 100}
    found = requests.post(f"{ask}/experiments/search", json=body, auth=login, timeout=120).json()["experiments"]
    for experiment in found:
        if experiment["name"] == "Default":
            continue
        asked = {"experiment_ids": [experiment["experiment_id"]], "max_results": 100}
        runs = requests.post(f"{ask}/runs/search", json=asked, auth=login, timeout=120).json().get("runs", [])
        numbers = sum(len(run["data"].get("metrics", [])) for run in runs)
        if not numbers:
            raise StackError(f"MLflow has no metrics of {experiment['name']}")
        print(f"  MLflow: {experiment['name']}, {len(runs)} runs, {numbers} metrics")
    if len(found) < 2:
        raise StackError("MLflow has no experiments")


def rights(deployment: Deployment) -> None:
    """Each login may do its own work and nothing else."""
    for login, database, statement, is_allowed in RIGHTS:
        may = deployment.psql(database, statement, login, check=False) is not None
        if may != is_allowed:
            raise StackError(f"{login} may{'' if may else ' not'} {statement!r} in {database}")
    print("  database logins may do what they should, and nothing else of what was tried")


def both_workers(deployment: Deployment) -> None:
    """Tasks of the two runs ran on two hosts, neither of them the scheduler's.

    :raises StackError: they did not.
    """
    airflow, hosts = deployment.airflow, set()
    for dag_id in (TRAINING, DAILY):
        path = f"/dags/{dag_id}/dagRuns/~/taskInstances"
        hosts |= {each["hostname"] for each in airflow.pages(path, "task_instances") if each["hostname"]}
    workers = set(deployment.compose("ps", "--quiet", "airflow-worker").split())
    if len(workers) != 2 or {host[:12] for host in hosts} != {worker[:12] for worker in workers}:
        raise StackError(f"Tasks should have run on both workers {sorted(workers)}, and ran on {sorted(hosts)}")
    print(f"  tasks ran on {len(hosts)} workers")


def survive(deployment: Deployment, service: str) -> None:
    """A service is restarted while a daily run has a task running; the run ends in success, all are healthy again.

    :raises StackError: the run is lost, or the service does not come back.
    """
    airflow = deployment.airflow
    run = patiently(lambda: airflow_api.start(airflow, DAILY, DAY, {}, _silent))
    path, deadline = f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances", time.monotonic() + RUN_SECONDS
    while not any(each["state"] == "running" for each in patiently(lambda: airflow.pages(path, "task_instances"))):
        if time.monotonic() > deadline:
            raise StackError(f"No task of {run.name} has begun within {RUN_SECONDS} s")
        time.sleep(1)
    deployment.compose("restart", service)
    to_its_end(deployment, run)
    while unhealthy := deployment.unhealthy():
        if time.monotonic() > deadline:
            raise StackError(f"After a restart of {service} are not healthy: {', '.join(unhealthy)}")
        time.sleep(POLL_SECONDS)


def _silent(text: str) -> None:
    """What airflow_api says, which nobody watches."""


if __name__ == "__main__":
    sys.exit(main())
