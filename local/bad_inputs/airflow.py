"""
An Airflow in this process: the real DAG files, parsed and run by Airflow itself, without scheduler and servers.

`settings` must be in the environment before Airflow is imported anywhere in the process.
"""

import os
import secrets
import traceback
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from local.environment import QUICK_TRAINING
from local.state import REPOSITORY


@dataclass
class Ended:
    """How a run ended: its state, and the errors of its tasks in the order in which they failed."""

    state: str
    errors: list[BaseException] = field(default_factory=list)
    failed_tasks: list[str] = field(default_factory=list)


def settings(home: Path, registry: str) -> dict[str, str]:
    """The environment of an Airflow that lives below `home`; connections to the shop are added by each trial."""
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPOSITORY / "plugins"),
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW_CONN_MLFLOW": registry,
        "AIRFLOW_CONN_HOLDOUT_KEY": f"generic://:{secrets.token_urlsafe(24)}@",
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "SEGMENTATION_DAILY_SCHEDULE": "",
        "SEGMENTATION_WEEKLY_SCHEDULE": "",
        "SEGMENTATION_CAMPAIGNS_SCHEDULE": "",
        "SEGMENTATION_PRODUCTS_SCHEDULE": "",
        "SEGMENTATION_POLICY_SCHEDULE": "",
        "SEGMENTATION_DAILY_DEADLINE_MINUTES": "",  # which `dag.test` does not survive, apache/airflow#73428
        **QUICK_TRAINING,
    }


class Airflow:
    """Runs DAGs one after the other. Make one per process, with `settings` in the environment."""

    def __init__(self) -> None:
        from airflow.dag_processing.dagbag import DagBag
        from airflow.utils.db import initdb

        initdb()
        self._bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
        if self._bag.import_errors:
            raise RuntimeError(f"the DAGs cannot be imported: {self._bag.import_errors}")

    def run(self, dag_id: str, day: date, conf: dict[str, Any] | None = None) -> Ended:
        """Runs a DAG for a day, from its first task."""
        dag = self._bag.dags[dag_id]
        ended = Ended("running")

        def note(context: dict[str, Any]) -> None:
            ended.errors.append(context["exception"])
            ended.failed_tasks.append(context["task"].task_id)

        for task in dag.tasks:
            task.on_failure_callback = [note]
        run = dag.test(logical_date=datetime(day.year, day.month, day.day, tzinfo=UTC), run_conf=conf)
        ended.state = str(run.state)
        return ended


def in_words(error: BaseException) -> str:
    """What a person is told of an error."""
    return "".join(traceback.format_exception_only(error)).strip()
