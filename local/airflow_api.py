"""Runs a DAG for a day in the practice stack's Airflow, through its REST API.

Airflow keeps one run per DAG and logical date. Asking for the same day again therefore repeats that run when it has
ended, and follows it when it is still going.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import requests

from local.errors import StackError
from local.state import REPOSITORY

UNKNOWN_DAG_SECONDS = 20  # new files are looked for every 10 seconds
FIRST_PARSE_SECONDS = 90
REPARSE_SECONDS = 60
OUTAGE_SECONDS = 120
REQUEST_TIMEOUT_SECONDS = 30
POLL_SECONDS = 0.5
PAGE = 100  # Airflow's own limit

Say = Callable[[str], None]


class AirflowError(StackError):
    """Airflow refused what was asked, or does not answer."""


@dataclass(frozen=True)
class Run:
    """One run of a DAG; `day` is None where it is for no day."""

    dag_id: str
    run_id: str
    day: date | None

    @property
    def name(self) -> str:
        """As people call it."""
        return f"{self.dag_id} for {self.day}" if self.day else self.dag_id


class Airflow:
    """A logged-in client. Reading waits out a restart of the server for up to two minutes; writing does not."""

    def __init__(self, address: str, password: str, user: str = "admin") -> None:
        self.address = address
        self._login = {"username": user, "password": password}
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy, no .netrc

    def get(self, path: str, **parameters: Any) -> Any:
        """The JSON of `/api/v2{path}`, or None where there is nothing (404)."""
        deadline = time.monotonic() + OUTAGE_SECONDS
        while True:
            try:
                return self._request("GET", path, params=parameters)
            except _UnavailableError as error:
                if time.monotonic() > deadline:
                    raise AirflowError(
                        f"Airflow has not answered for {OUTAGE_SECONDS} s ({error}): `make up` starts it again."
                    ) from error
                time.sleep(POLL_SECONDS)

    def pages(self, path: str, key: str, **parameters: Any) -> list[dict[str, Any]]:
        """All entries of a listing, which Airflow hands out a hundred at a time."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.get(path, limit=PAGE, offset=len(found), **parameters) or {}
            found += page.get(key, [])
            if len(page.get(key, [])) < PAGE:
                return found

    def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """POST, PUT, PATCH or DELETE; returns the answer's JSON."""
        try:
            return self._request(method, path, json=body)
        except _UnavailableError as error:
            raise AirflowError(f"Airflow does not answer ({error}): `make up` starts it again.") from error

    def page_of(self, run: Run) -> str:
        """Address of the run's page."""
        return f"{self.address}/dags/{run.dag_id}/runs/{run.run_id}"

    def _request(self, method: str, path: str, **arguments: Any) -> Any:
        if "Authorization" not in self._session.headers:
            self._log_in()
        response = self._call(method, f"/api/v2{path}", **arguments)
        if response.status_code == requests.codes.unauthorized:  # the token has expired
            self._log_in()
            response = self._call(method, f"/api/v2{path}", **arguments)
        if response.status_code == requests.codes.not_found and method == "GET":
            return None
        if not response.ok:
            raise AirflowError(f"Airflow refuses {method} {path}: {_reason(response)}")
        return response.json() if response.content else None

    def _log_in(self) -> None:
        self._session.headers.pop("Authorization", None)
        response = self._call("POST", "/auth/token", json=self._login)
        if not response.ok:
            raise AirflowError(f"Airflow refuses the login of {self._login['username']}: {_reason(response)}")
        self._session.headers["Authorization"] = f"Bearer {response.json()['access_token']}"

    def _call(self, method: str, path: str, **arguments: Any) -> requests.Response:
        headers = {"Accept": "application/json"}
        try:
            response = self._session.request(
                method, self.address + path, headers=headers, timeout=REQUEST_TIMEOUT_SECONDS, **arguments
            )
        except (requests.ConnectionError, requests.Timeout) as error:
            raise _UnavailableError(type(error).__name__) from error
        if response.status_code >= requests.codes.internal_server_error:
            raise _UnavailableError(f"HTTP {response.status_code}")
        return response


class _UnavailableError(Exception):
    """No answer for now."""


def _reason(response: requests.Response) -> str:
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = response.text[:500]
    return f"{detail} (HTTP {response.status_code})"


def start(airflow: Airflow, dag_id: str, day: date, conf: Mapping[str, Any], say: Say = print) -> Run:
    """Have a DAG run for `day` (its logical date is that day, 00:00 UTC), and return without waiting for the end.

    A run of that day that is still going is returned as it is; one that has ended is repeated from its first task. One
    that was part of a cancelled back-fill Airflow would keep queued for ever: a new one takes its place.
    :raises AirflowError: no such DAG, its file cannot be imported, or a run of that day with another `conf` is going.
    """
    wait_for_dag(airflow, dag_id, say)
    logical_date = datetime(day.year, day.month, day.day, tzinfo=UTC).isoformat().replace("+00:00", "Z")
    path = f"/dags/{dag_id}/dagRuns"
    found = airflow.pages(path, "dag_runs", logical_date_gte=logical_date, logical_date_lte=logical_date)
    if found:
        known = found[0]
        run = Run(dag_id, known["dag_run_id"], day)
        is_held = known["run_type"] == "backfill" and _is_of_cancelled(airflow, dag_id, logical_date)
        has_ended = known["state"] in ("success", "failed") or (is_held and known["state"] == "queued")
        is_same = (known["conf"] or {}) == dict(conf)
        if not has_ended and not is_same:
            raise AirflowError(
                f"A run of {dag_id} for {day} is going with CONF={known['conf']}; "
                f"wait for its end, or stop it on {airflow.page_of(run)}"
            )
        if not has_ended:
            say(f"A run of {dag_id} for {day} is going already; following it.")
            return run
        if is_same and not is_held:
            airflow.send(
                "POST",
                f"{path}/{run.run_id}/clear",
                {"dry_run": False, "only_failed": False, "run_on_latest_version": True},
            )
            return run
        # Airflow cannot change the conf of a run, nor the back-fill that it is of, and keeps only one per day.
        airflow.send("DELETE", f"{path}/{run.run_id}")
    made = airflow.send("POST", path, {"logical_date": logical_date, "conf": dict(conf)})
    return Run(dag_id, made["dag_run_id"], day)


def _is_of_cancelled(airflow: Airflow, dag_id: str, logical_date: str) -> bool:
    """Whether a back-fill of that day was cancelled, and none is going that might run it. Airflow does not tell a run's
    back-fill, so it may have been another one."""
    found = airflow.pages("/backfills", "backfills", dag_id=dag_id)
    at = datetime.fromisoformat(logical_date)
    of_day = [
        each for each in found
        if datetime.fromisoformat(each["from_date"]) <= at <= datetime.fromisoformat(each["to_date"])
    ]  # fmt: skip
    is_going = any(each["completed_at"] is None for each in of_day)
    return not is_going and any(each["is_paused"] for each in of_day)


def request(airflow: Airflow, dag_id: str, conf: Mapping[str, Any], say: Say = print) -> Run:
    """Have a DAG run that is for no day; each request is a run of its own.

    :raises AirflowError: no such DAG, its file cannot be imported, or `conf` is not what its parameters allow.
    """
    wait_for_dag(airflow, dag_id, say)
    made = airflow.send("POST", f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": dict(conf)})
    return Run(dag_id, made["dag_run_id"], None)


def add_pools(airflow: Airflow, wanted: Mapping[str, Mapping[str, Any]]) -> None:
    """Give Airflow the pools that it lacks, as `airflow pools import` has them; one that is there keeps its slots."""
    known = {pool["name"] for pool in airflow.pages("/pools", "pools")}
    for name, pool in wanted.items():
        if name not in known:
            airflow.send("POST", "/pools", {"name": name, **pool})


def returned(airflow: Airflow, run: Run, task_id: str) -> Any:
    """What a task of a run returned; None if it returned nothing."""
    path = f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task_id}/xcomEntries/return_value"
    return (airflow.get(path, deserialize=True) or {}).get("value")


def wait_for_dag(airflow: Airflow, dag_id: str, say: Say) -> None:
    """Until Airflow has read the DAG's file as it is now; a paused DAG is resumed, as its runs would wait for ever."""
    begun = time.monotonic()
    asked_again = False
    while True:
        waited = time.monotonic() - begun
        dag = airflow.get(f"/dags/{dag_id}")
        _refuse_broken_file(airflow, dag_id, dag)
        if dag is None or dag["is_stale"]:
            known = sorted(entry["dag_id"] for entry in airflow.pages("/dags", "dags"))
            if waited > (UNKNOWN_DAG_SECONDS if known else FIRST_PARSE_SECONDS):
                raise AirflowError(f"Airflow knows no DAG {dag_id}. It knows: {', '.join(known) or 'none'}.")
        elif dag["last_parsed_time"] and not _is_changed_since(Path(dag["fileloc"]), dag["last_parsed_time"]):
            break
        elif waited > REPARSE_SECONDS:
            raise AirflowError(f"Airflow has not read {dag['fileloc']} again within {REPARSE_SECONDS} s of its change.")
        elif not asked_again:
            airflow.send("PUT", f"/parseDagFile/{dag['file_token']}")
            asked_again = True
        time.sleep(POLL_SECONDS)
    if dag["is_paused"]:
        say(f"{dag_id} was paused in Airflow; resuming it.")
        airflow.send("PATCH", f"/dags/{dag_id}", {"is_paused": False})


def _refuse_broken_file(airflow: Airflow, dag_id: str, dag: Mapping[str, Any] | None) -> None:
    """Raise when the file of this DAG (known, or by its name) could not be imported as it is now."""
    for entry in airflow.pages("/importErrors", "import_errors"):
        file = Path(entry["filename"])
        concerns_it = dag["relative_fileloc"] == entry["filename"] if dag else file.stem == dag_id
        path = Path(dag["fileloc"]) if dag else REPOSITORY / "dags" / file
        if concerns_it and not _is_changed_since(path, entry["timestamp"]):
            raise AirflowError(f"Airflow cannot import {file}:\n{entry['stack_trace'].strip()}")


def _is_changed_since(path: Path, timestamp: str) -> bool:
    try:
        return path.stat().st_mtime > datetime.fromisoformat(timestamp).timestamp()
    except OSError:
        return False
