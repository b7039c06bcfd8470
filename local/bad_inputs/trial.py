"""
Tries a bad input: a shop of its own, the real daily DAG, and a look at everything that came of it.

What has to hold each time: what was published is, row for row, what the same day gives without the bad rows; every bad
row is in quarantine with its reason; and where the run is stopped, the day before stays current, and the run of the
mended shop gives the same as if nothing had been wrong.
"""

import datetime as dt
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local import load
from local.bad_inputs import airflow
from local.bad_inputs.cases import QUARANTINED, STOPPED, WARNED, Case
from local.components import get_json
from local.postgres import Postgres
from local.processes import free_port, wait_until
from local.simulator import practice_shop
from local.simulator.settings import LAST_DAY, Settings
from segmentation import warehouse

DAILY, WEEKLY = "segment_customers_daily", "train_models_weekly"
MLFLOW_SECONDS = 240
_PUBLISHED = """
select
    customer_id, as_of_date, segment_id, segment_name, lifecycle_stage, value_tier, purchase_probability_30d,
    churn_probability_90d, churn_risk
from marketing.customer_segments_at(:day)
order by customer_id
"""
_REFUSED = """
select table_name, reason, count(*)::int from quarantine.rows where source = 'raw gate' and day = :day group by 1, 2
"""
_WARNINGS = """
select table_name || ': ' || rule || ': ' || broken_count || ' of ' || row_count from quality.results
where day = :day and not is_met and severity = 'warn' order by result_id
"""


@dataclass(frozen=True)
class Outcome:
    """What came of a bad input.

    :param what: QUARANTINED, STOPPED, WARNED, or `published` where nobody noticed.
    :param message: the first reason, the warning, or the error's first line about it.
    :param task: the task that failed; empty if none did.
    :param published: rows published for the day.
    :param quarantined: rows in quarantine for the day.
    :param faults: what should not have happened; empty if all is well.
    """

    what: str
    message: str
    task: str
    published: int
    quarantined: int
    faults: tuple[str, ...] = ()


class Trial:
    """A shop whose last day is to be run, and copies of it to spoil. Needs `airflow.settings` in the environment."""

    def __init__(self, home: Path, server: Postgres, environment: dict[str, str]) -> None:
        self._home, self._server, self._environment = home, server, environment
        self._airflow = airflow.Airflow()
        self.day = LAST_DAY + dt.timedelta(days=2)
        settings = Settings.until(LAST_DAY, 240, customers=2_000, sessions=0.5, campaigns_per_block=2)
        dsn, lake = self._connect("base", "template1")
        load.simulate(dsn, settings, 240)
        for dag_id in (WEEKLY, DAILY):
            ended = self._airflow.run(dag_id, self.day - dt.timedelta(days=1))
            if ended.errors:
                raise RuntimeError(f"{dag_id} fails on a sound shop: {airflow.in_words(ended.errors[0])}")
        practice_shop.grow(dsn, 1, lambda *_: None)
        self._lake = lake
        with self._copy("sound") as sound:
            self._run()
            self._wanted = _fetch(sound, _PUBLISHED, self.day)
            self._before = _fetch(sound, _PUBLISHED, self.day - dt.timedelta(days=1))

    def of(self, case: Case) -> Outcome:
        """Spoils a copy of the shop, runs the day, and looks."""
        with self._copy(case.name) as dsn:
            with warehouse.connect(dsn) as connection:
                warehouse.run_script(connection, case.spoil.replace(":day", f"{self.day} 00:00:00+00"))
            ended = self._run()
            outcome = self._look(case, dsn, ended)
            if outcome.what == STOPPED:
                outcome = self._mend(dsn, outcome)
        return outcome

    def _look(self, case: Case, dsn: str, ended: airflow.Ended) -> Outcome:
        published = _fetch(dsn, _PUBLISHED, self.day)
        refused = sorted(_fetch(dsn, _REFUSED, self.day))
        rows = sum(count for *_, count in refused)
        if ended.errors:
            told = airflow.in_words(ended.errors[0]).splitlines()
            message = next((line for line in told if case.told in line), told[0])
            faults = [f"{len(published)} rows were published"] if published else []
            if _fetch(dsn, _PUBLISHED, self.day - dt.timedelta(days=1)) != self._before:
                faults.append("the day before is no longer what it was")
            return Outcome(STOPPED, message, ended.failed_tasks[0], len(published), rows, tuple(faults))
        faults = []
        if case.outcome != WARNED and published != self._wanted:
            faults.append("what was published is not what the shop gives without the bad rows")
        if {row[0] for row in published} != {row[0] for row in self._wanted}:
            faults.append("customers were lost, or came of nothing")
        warnings = [text for (text,) in _fetch(dsn, _WARNINGS, self.day)]
        if refused:
            reasons = [f"{reason}" for table, reason, _ in refused if table == f"raw.{case.table}"]
            message = reasons[0] if reasons else f"{refused[0][0]}: {refused[0][1]}"
            return Outcome(QUARANTINED, message, "", len(published), rows, tuple(faults))
        warning = next((text for text in warnings if case.told in text), "")
        return Outcome(WARNED if warning else "published", warning, "", len(published), rows, tuple(faults))

    def _mend(self, dsn: str, stopped: Outcome) -> Outcome:
        """Puts the sound shop back, runs the day again, and compares."""
        base = self._server.url("base")
        dump = [str(self._server.bin("pg_dump")), "--schema=shop", "--clean", "--if-exists", base]
        script = subprocess.run(dump, check=True, capture_output=True, text=True).stdout
        restore = [str(self._server.bin("psql")), "-q", "-v", "ON_ERROR_STOP=1", "-1", dsn]
        subprocess.run(restore, input=script, check=True, capture_output=True, text=True)
        ended = self._run()
        faults = list(stopped.faults)
        if ended.errors:
            faults.append(f"the mended shop is stopped too: {airflow.in_words(ended.errors[0])}")
        elif _fetch(dsn, _PUBLISHED, self.day) != self._wanted:
            faults.append("the mended shop gives other rows than one in which nothing was wrong")
        return Outcome(
            stopped.what, stopped.message, stopped.task, stopped.published, stopped.quarantined, tuple(faults)
        )

    def _run(self) -> airflow.Ended:
        return self._airflow.run(DAILY, self.day)

    @contextmanager
    def _copy(self, name: str) -> Iterator[str]:
        """A copy of the shop, of what was published and of the lake, for as long as the block lasts; its DSN."""
        dsn, lake = self._connect(name, "base")
        shutil.copytree(self._lake, lake)
        try:
            yield dsn
        finally:
            shutil.rmtree(lake)
            with warehouse.connect(self._server.url(), autocommit=True) as connection:
                warehouse.execute(connection, f"drop database {warehouse.identifier(name)} with (force)")

    def _connect(self, name: str, template: str) -> tuple[str, Path]:
        """Makes a database, and points Airflow's connections and the lake to it and to a folder of its name."""
        with warehouse.connect(self._server.url(), autocommit=True) as connection:
            warehouse.execute(
                connection,
                f"create database {warehouse.identifier(name)} template {warehouse.identifier(template)}",
            )
        dsn, lake = self._server.url(name), self._home / "lakes" / name
        self._environment |= {"LAKE_URI": str(lake)}
        self._environment |= dict.fromkeys(("AIRFLOW_CONN_SHOP_WAREHOUSE", "AIRFLOW_CONN_MARKETING"), dsn)
        return dsn, lake


@contextmanager
def servers(home: Path) -> Iterator[tuple[Postgres, str]]:
    """A Postgres and an MLflow server below a folder: the former, and the latter's address."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--serve-artifacts", "--artifacts-destination", str(home / "artifacts")]
    command += ["--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}"]
    server = Postgres(home / "postgres", durable=False)
    server.start()
    address = f"http://127.0.0.1:{port}"
    with (home / "mlflow.log").open("w") as log:
        mlflow = subprocess.Popen(command, stdout=log, stderr=log, env=_quiet())
    try:
        if not wait_until(lambda: get_json(f"{address}/health") is not None, MLFLOW_SECONDS, 0.3):
            raise RuntimeError(f"MLflow did not start: {home / 'mlflow.log'}")
        yield server, address
    finally:
        mlflow.terminate()
        mlflow.wait()
        server.stop()


def _quiet() -> dict[str, str]:
    from local import environment

    return environment.inherited() | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


def _fetch(dsn: str, query: str, day: dt.date) -> list[tuple]:
    with warehouse.connect(dsn) as connection:
        return warehouse.fetch(connection, query, {"day": day})


def seconds_since(begun: float) -> str:
    """For people."""
    return f"{time.monotonic() - begun:.0f} s"
