"""
Tries docker-compose.yaml for real, on any machine with Docker: `make compose-smoke [ARGS=--celery]`.

A stack of its own beside whatever runs (local/compose_stack.py), with a small simulated shop. Then, as its users would:

1. the ports are open on loopback only, nothing runs as root, nobody gets in without a password;
2. the weekly training and the daily run, asked for by Airflow's REST API, end in success;
3. marketing.customer_segments has a row for every customer it should, MLflow has the training's metrics,
   OpenLineage was told of it;
4. the Segments page answers by Airflow's login form, and each database login may do its own work only;
5. each container in turn is restarted in the middle of a daily run, and no run is lost;
6. with --celery: the tasks run on two workers, and a run goes on when one of them is killed;
7. the stack is taken down and started again, and everything is there;
8. it is backed up, loses every volume but the ledger of erasures, and is restored: deploy/backup.sh, deploy/restore.sh.

At the end, however it ends, the stack and its volumes are removed, unless --keep.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import requests

from local import airflow_api, compose_checks
from local.airflow_api import AirflowError, Run
from local.compose_stack import PROJECT, Deployment
from local.errors import StackError
from local.simulator.settings import LAST_DAY

DAY = LAST_DAY + timedelta(days=1)
TRAINING, DAILY = "train_models_weekly", "segment_customers_daily"
START_SECONDS, RUN_SECONDS, POLL_SECONDS = 1200, 3600, 3
ENDED = ("success", "failed")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 if all of it holds; otherwise the last lines say what does not."""
    parser = argparse.ArgumentParser(prog="make compose-smoke", description="Tries docker-compose.yaml for real.")
    parser.add_argument("--celery", action="store_true", help="with Redis and two workers")
    parser.add_argument("--keep", action="store_true", help="leave the stack running")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="fenqun-smoke-"))
    deployment = Deployment.new(folder, options.celery)
    try:
        timed("all of it", lambda: smoke(deployment))
        print("All of it holds.")
        return 0
    except (StackError, requests.RequestException) as error:
        print(f"{error}\n\nFAILED. The last lines of every container:", file=sys.stderr)
        print(deployment.compose("logs", "--tail", "15", check=False), file=sys.stderr)
        return 1
    finally:
        if options.keep:
            password = deployment.settings["AIRFLOW_ADMIN_PASSWORD"]
            print(f"It runs on: {deployment.settings['AIRFLOW_URL']}, user admin, password {password}")
            print(f"To remove it: docker compose -p {PROJECT} --env-file {folder}/env down --volumes")
        else:
            deployment.compose("down", "--volumes", "--remove-orphans", check=False)
            shutil.rmtree(folder)


def smoke(deployment: Deployment) -> None:
    """Every part in turn; see the module.

    :raises StackError: something does not hold.
    """
    timed("build the image", lambda: deployment.compose("build"))
    print(f"  the image has {deployment.image_mebibytes():,.0f} MiB")
    timed("start, until all are healthy", lambda: start(deployment))
    services = deployment.services()
    print(f"  {', '.join(services)}")
    for check in compose_checks.BEFORE_THE_RUNS:
        check(deployment)
    timed(f"{TRAINING} for {DAY}", lambda: run_to_its_end(deployment, TRAINING))
    timed(f"{DAILY} for {DAY}", lambda: run_to_its_end(deployment, DAILY))
    before = compose_checks.segments(deployment, DAY), compose_checks.metrics(deployment)
    compose_checks.lineage(deployment, DAILY, "marketing.customer_segments")
    compose_checks.rights(deployment)
    compose_checks.segments_page(deployment)
    if deployment.is_celery:
        both_workers(deployment)
    for service in services:
        timed(f"restart {service} during a run", lambda service=service: survive(deployment, service))
    if deployment.is_celery:
        timed("kill a worker during a run", lambda: survive_without_a_worker(deployment))
    timed("stop all, and start again", lambda: start_again(deployment))
    same_as(before, deployment)
    timed("back up, lose all, restore", lambda: lose_and_restore(deployment))
    same_as(before, deployment)


def same_as(before: tuple[object, object], deployment: Deployment) -> None:
    """The segments and MLflow's metrics are what they were.

    :raises StackError: they are not.
    """
    if (compose_checks.segments(deployment, DAY), compose_checks.metrics(deployment)) != before:
        raise StackError("After all this the segments or MLflow's metrics are others than before")


def timed(what: str, do: Callable[[], object]) -> None:
    begun = time.monotonic()
    do()
    print(f"{time.monotonic() - begun:7.1f} s  {what}", flush=True)


def start(deployment: Deployment) -> None:
    """`docker compose up`, until all are healthy."""
    scale = ["--scale", "airflow-worker=2"] if deployment.is_celery else []
    deployment.compose("up", "--detach", "--wait", "--wait-timeout", f"{START_SECONDS}", *scale)


def start_again(deployment: Deployment) -> None:
    """After `docker compose down` the runs are all there, the page answers the users that there were."""
    before = runs_of(deployment)
    deployment.compose("down")
    start(deployment)
    if (after := runs_of(deployment)) != before:
        raise StackError(f"Airflow knew these runs before it was stopped: {before}, and knows these now: {after}")
    compose_checks.segments_page(deployment)


def lose_and_restore(deployment: Deployment) -> None:
    """A backup while it runs; then every volume but `erased` is removed; the restore brings back runs, users and pages,
    and a daily run ends in success on what was restored.

    :raises StackError: it does not.
    """
    runs, folder = runs_of(deployment), deployment.env_file.parent / "backups"
    deployment.script("backup.sh", f"{folder}")
    [made] = folder.iterdir()
    deployment.compose("down")
    for name in ("postgres", "lake", "mlflow", "logs"):
        deployment.docker("volume", "rm", f"{PROJECT}_{name}")
    deployment.script("restore.sh", f"{made}", "--replace")
    all_healthy(deployment)
    if (after := runs_of(deployment)) != runs:
        raise StackError(f"Airflow knew these runs before it was restored: {runs}, and knows these now: {after}")
    compose_checks.segments_page(deployment)
    run_to_its_end(deployment, DAILY)


def runs_of(deployment: Deployment) -> dict[str, str]:
    """Run -> state, of all DAGs."""
    found = patiently(lambda: deployment.airflow.pages("/dags/~/dagRuns", "dag_runs"))
    return {f"{each['dag_id']} {each['dag_run_id']}": each["state"] for each in found}


def run_to_its_end(deployment: Deployment, dag_id: str) -> Run:
    """A run for DAY, asked for by the REST API; repeated if there was one.

    :raises StackError: it fails, or has not ended within RUN_SECONDS.
    """
    return to_its_end(deployment, begin(deployment, dag_id))


def begin(deployment: Deployment, dag_id: str) -> Run:
    return patiently(lambda: airflow_api.start(deployment.airflow, dag_id, DAY, {}, _silent))


def to_its_end(deployment: Deployment, run: Run) -> Run:
    airflow, deadline = deployment.airflow, time.monotonic() + RUN_SECONDS
    path = f"/dags/{run.dag_id}/dagRuns/{run.run_id}"
    while (found := patiently(lambda: airflow.get(path)))["state"] not in ENDED:
        if time.monotonic() > deadline:
            raise StackError(f"{run.name} has not ended within {RUN_SECONDS} s")
        time.sleep(POLL_SECONDS)
    if found["state"] != "success":
        failed = [each["task_id"] for each in tasks(deployment, run.dag_id, run.run_id) if each["state"] == "failed"]
        raise StackError(f"{run.name} failed: {', '.join(failed)}")
    return run


def tasks(deployment: Deployment, dag_id: str, run_id: str) -> list[dict[str, Any]]:
    path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
    return patiently(lambda: deployment.airflow.pages(path, "task_instances"))


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


def both_workers(deployment: Deployment) -> None:
    """The tasks of the runs so far ran on two hosts, both of them workers.

    :raises StackError: they did not.
    """
    hosts = {each["hostname"] for each in tasks(deployment, "~", "~") if each["hostname"]}
    if hosts != set(workers(deployment)) or len(hosts) != 2:
        raise StackError(f"Tasks should have run on the workers {sorted(workers(deployment))}, and ran on {hosts}")
    print("  tasks ran on 2 workers")


def workers(deployment: Deployment) -> dict[str, str]:
    """Host name, as Airflow calls it -> container, of every worker."""
    found = deployment.compose("ps", "--quiet", "airflow-worker").split()
    return {container[:12]: container for container in found}


def survive(deployment: Deployment, service: str) -> None:
    """A service is restarted while a daily run has a task running; the run ends in success, all are healthy again.

    :raises StackError: the run is lost, or the service does not come back.
    """
    run, _ = begin_and_wait_for_a_task(deployment)
    deployment.compose("restart", service)
    to_its_end(deployment, run)
    all_healthy(deployment)


def survive_without_a_worker(deployment: Deployment) -> None:
    """The worker that has the task is killed, and stays away; the run ends on the other. Then it is started again.

    :raises StackError: the run is lost, or no task had to be tried again.
    """
    run, [task, *_] = begin_and_wait_for_a_task(deployment)
    lost = workers(deployment)[task["hostname"]]
    deployment.docker("kill", lost)
    to_its_end(deployment, run)
    [again] = [each for each in tasks(deployment, run.dag_id, run.run_id) if which(each) == which(task)]
    if again["try_number"] <= task["try_number"]:
        raise StackError(f"{run.name}: the worker of {task['task_id']} was killed, and the task was not tried again")
    if lost in deployment.compose("ps", "--quiet", "airflow-worker").split():
        raise StackError("The killed worker runs again, so that nothing was seen of a run without it")
    start(deployment)
    all_healthy(deployment)


def begin_and_wait_for_a_task(deployment: Deployment) -> tuple[Run, list[dict[str, Any]]]:
    """A daily run, and its tasks that run by now.

    :raises StackError: none has begun within RUN_SECONDS.
    """
    run, deadline = begin(deployment, DAILY), time.monotonic() + RUN_SECONDS
    while not (running := [each for each in tasks(deployment, run.dag_id, run.run_id) if is_running(each)]):
        if time.monotonic() > deadline:
            raise StackError(f"No task of {run.name} has begun within {RUN_SECONDS} s")
        time.sleep(1)
    return run, running


def which(task: dict[str, Any]) -> tuple[str, int]:
    """What a task instance is called in its run."""
    return task["task_id"], task["map_index"]


def is_running(task: dict[str, Any]) -> bool:
    return task["state"] == "running" and bool(task["hostname"])


def all_healthy(deployment: Deployment) -> None:
    """Waits until they are.

    :raises StackError: some are not within START_SECONDS.
    """
    deadline = time.monotonic() + START_SECONDS
    while unhealthy := deployment.unhealthy():
        if time.monotonic() > deadline:
            raise StackError(f"Not healthy: {', '.join(unhealthy)}")
        time.sleep(POLL_SECONDS)


def _silent(text: str) -> None:
    """What airflow_api says, which nobody watches."""


if __name__ == "__main__":
    sys.exit(main())
