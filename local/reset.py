"""Forgets what was derived from a shop that is no longer in the warehouse.

Segments, features and models of one shop mean nothing for the next. Which shop they belong to is noted beside them,
so that a reset that was cut short is made good by the next load.
"""

from __future__ import annotations

import shutil
import time
from typing import Any

import requests

from local.airflow_api import Airflow
from local.errors import StackError
from local.files import write_private
from local.stack import Say, Stack

KEPT_SCHEMAS = ("shop", "quarantine")  # the loader's
LAST_TASKS_SECONDS = 15  # within this time a task whose run was stopped notices it, and ends
REQUEST_TIMEOUT_SECONDS = 30

_LOADED = "select coalesce(string_agg(source || ' ' || sha256, ', ' order by source), '') from quarantine.loads"
REFUSED = "delete from quarantine.rows where source = 'raw gate'"  # the loader's own lines stay
DERIVED_SCHEMAS = """
select nspname from pg_namespace
where nspowner = (select oid from pg_roles where rolname = 'pipeline') and not nspname = any(:kept)
order by nspname
"""


def forget_previous_shop(stack: Stack, say: Say = print) -> bool:
    """After a load: drop what was derived from another shop than the one now in the warehouse, if there is any.

    :returns: whether anything was forgotten. Nothing is touched when the shop is still the same.
    :raises StackError: MLflow refuses or does not answer.
    """
    from segmentation import warehouse

    note = stack.folders.home / "derived-from"
    with warehouse.connect(stack.addresses().warehouse) as connection:
        loaded = warehouse.fetch(connection, _LOADED)[0][0]
        schemas = [name for (name,) in warehouse.fetch(connection, DERIVED_SCHEMAS, {"kept": list(KEPT_SCHEMAS)})]
    if note.exists() and note.read_text() == loaded:
        return False
    models = _Models(stack.addresses().mlflow)
    names = models.names()
    files = list(stack.folders.lake.iterdir())
    if schemas or names or files:
        say("Another shop was here before; forgetting what was derived from it:")
        _stop_runs(stack, say)
        for schema in schemas:
            say(f"  schema {schema}")
            with warehouse.connect(stack.addresses().warehouse) as connection:
                warehouse.execute(connection, f"drop schema {warehouse.identifier(schema)} cascade")
        with warehouse.connect(stack.addresses().warehouse) as connection:
            warehouse.execute(connection, REFUSED)
        for name in names:
            say(f"  model {name}")
            models.delete(name)
        if files:
            say(f"  the lake, {stack.folders.lake}")
        for path in files:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    write_private(note, loaded)
    return bool(schemas or names or files)


def _stop_runs(stack: Stack, say: Say) -> None:
    """Mark runs that are still going as failed, so that they write nothing more of the old shop."""
    addresses = stack.addresses()
    airflow = Airflow(addresses.airflow, addresses.admin_password)
    going = airflow.pages("/dags/~/dagRuns", "dag_runs", state=["running", "queued"])
    for run in going:
        say(f"  stopping the run of {run['dag_id']} for {(run['logical_date'] or '')[:10]}")
        airflow.send("PATCH", f"/dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}", {"state": "failed"})
    if going:
        time.sleep(LAST_TASKS_SECONDS)


class _Models:
    """The few calls of MLflow's REST API that are needed here; importing MLflow takes longer than all of them."""

    def __init__(self, address: str) -> None:
        self._url = f"{address}/api/2.0/mlflow/registered-models"
        self._session = requests.Session()
        self._session.trust_env = False

    def names(self) -> list[str]:
        found: list[str] = []
        token = ""
        while True:
            page = self._call("GET", "search", params={"max_results": 100, "page_token": token} if token else {})
            found += [model["name"] for model in page.get("registered_models", [])]
            token = page.get("next_page_token", "")
            if not token:
                return found

    def delete(self, name: str) -> None:
        self._call("DELETE", "delete", json={"name": name})

    def _call(self, method: str, verb: str, **arguments: Any) -> dict[str, Any]:
        try:
            response = self._session.request(
                method, f"{self._url}/{verb}", timeout=REQUEST_TIMEOUT_SECONDS, **arguments
            )
            response.raise_for_status()
            return response.json()
        except (requests.RequestException, ValueError) as error:
            raise StackError(f"MLflow's model registry does not do what is asked: {error}") from error
