"""The environment variables that the components are started with: all of the stack's configuration.

Everything binds to 127.0.0.1. Nothing of Airflow, MLflow, Python or libpq is inherited from the caller's shell,
so that the stack behaves the same whoever starts it, but for where alerts and metrics go (`PASSED_ON`).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from local.postgres import Postgres
from local.state import REPOSITORY, Folders, State

FOREIGN_PREFIXES = ("AIRFLOW", "MLFLOW", "PG", "PYTHON", "VIRTUAL_ENV")
EXECUTION_TOKEN_SECONDS = 4 * 3600  # must outlast the longest training task
# Told of alerts and metrics if the caller's shell says where: practice as well.
PASSED_ON = ("AIRFLOW_CONN_ALERTS_SMTP", "AIRFLOW_CONN_ALERTS_WEBHOOK", "SEGMENTATION_DAILY_DEADLINE_MINUTES")
PASSED_ON_PREFIX = "AIRFLOW__METRICS__"
# Requests to forget a person or to hand out what is kept of them name that person in the run's parameters.
NOT_IN_EVENTS = ("erase_customers", "export_customer")
# For trials that need models, and not the best: the same kinds of them, by fewer tries and validations
QUICK_TRAINING = {
    "SEGMENTATION_TRAINING__SEARCH": "none",
    "SEGMENTATION_TRAINING__HAS_LEARNING_CURVE": "false",
    "SEGMENTATION_TRAINING__VALIDATIONS": "1",
    "SEGMENTATION_CLUSTER__INITS": "10",
    "SEGMENTATION_CLUSTER__RESAMPLES": "2",
}
PARSED_AGAIN_SECONDS = 300  # a DAG file that has not changed; one that has is read again at once
LOST_TASK_SECONDS = 60  # a task without a heartbeat for so long is taken for killed, and tried again


def inherited() -> dict[str, str]:
    """The caller's environment without what would change the stack, and with this Python's programs first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_PREFIXES)}
    kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}"
    return kept


def of_airflow(folders: Folders, state: State, postgres: Postgres, dags: Path) -> dict[str, str]:
    """What the api-server, scheduler, dag-processor and triggerer share, the DAGs' own settings included."""
    address = f"http://127.0.0.1:{state.ports['airflow']}"
    warehouse = postgres.url("warehouse", "pipeline", state.secrets.pipeline)
    settings = {
        "core__executor": "LocalExecutor",
        "core__parallelism": 4,
        "core__dags_folder": dags,
        "core__plugins_folder": REPOSITORY / "plugins",
        "core__load_examples": False,
        "core__dags_are_paused_at_creation": False,
        "core__fernet_key": state.secrets.fernet,
        "core__hostname_callable": "socket.gethostname",  # the default asks DNS, which may take seconds to fail
        "core__auth_manager": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
        "core__simple_auth_manager_users": "admin:admin",
        "core__simple_auth_manager_passwords_file": folders.airflow / "passwords.json",
        "core__execution_api_server_url": f"{address}/execution/",
        "database__sql_alchemy_conn": _sqlalchemy(postgres.url("airflow", "airflow", state.secrets.airflow)),
        "logging__base_log_folder": folders.airflow / "logs",
        "api__base_url": address,
        "api__secret_key": state.secrets.api,
        "api__workers": 1,
        "api_auth__jwt_secret": state.secrets.jwt,
        "execution_api__jwt_expiration_time": EXECUTION_TOKEN_SECONDS,
        "workers__execution_api_timeout": 30,  # two busy cores answer slowly
        "scheduler__scheduler_idle_sleep_time": 0.2,
        "scheduler__task_instance_heartbeat_timeout": LOST_TASK_SECONDS,
        "scheduler__task_instance_heartbeat_timeout_detection_interval": 5,
        "scheduler__orphaned_tasks_check_interval": 15,
        "dag_processor__refresh_interval": 10,
        "dag_processor__min_file_process_interval": PARSED_AGAIN_SECONDS,
        "usage_data_collection__enabled": False,
        **lineage(f"{folders.airflow / 'logs' / 'openlineage.jsonl'}"),
    }
    return {
        **{f"AIRFLOW__{name.upper()}": str(value) for name, value in settings.items()},
        "AIRFLOW_HOME": str(folders.airflow),
        "AIRFLOW_CONN_SHOP_WAREHOUSE": warehouse,
        "AIRFLOW_CONN_MARKETING": warehouse,
        "AIRFLOW_CONN_MLFLOW": f"http://127.0.0.1:{state.ports['mlflow']}",
        "AIRFLOW_CONN_HOLDOUT_KEY": f"generic://:{state.secrets.holdout}@",
        "LAKE_URI": str(folders.lake),
        "SEGMENTATION_ERASURE_LEDGER": str(folders.erased),
        # The practice shop's history lies in the past: a DAG runs when it is asked to, not by the clock.
        "SEGMENTATION_DAILY_SCHEDULE": "",
        "SEGMENTATION_WEEKLY_SCHEDULE": "",
        "SEGMENTATION_CAMPAIGNS_SCHEDULE": "",
        "SEGMENTATION_PRODUCTS_SCHEDULE": "",
        "SEGMENTATION_POLICY_SCHEDULE": "",
        # Somebody is waiting for it.
        "SEGMENTATION_TRAINING__SEARCH_SECONDS": os.environ.get("SEGMENTATION_TRAINING__SEARCH_SECONDS", "3"),
        "PYTHONPATH": str(REPOSITORY / "include"),
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
        **_passed_on(),
        **_unproxied(),
    }


def lineage(path: str) -> dict[str, str]:
    """Events of every run, to a file; see docs/watching.md. Beside the logs, where erasing a person looks as well."""
    file = {"type": "file", "log_file_path": path, "append": True}
    transport = {
        "type": "transform",
        "transformer_class": "segmentation_airflow.lineage_events.WithoutRows",
        "transport": file,
    }
    policy = [{"scope": {"dag_id": dag_id}, "controls": {"emit": False}} for dag_id in NOT_IN_EVENTS]
    return {
        "openlineage__transport": json.dumps(transport),
        "openlineage__namespace": "fenqun",
        "openlineage__extractors": "segmentation_airflow.lineage_events.StageLineage",
        "openlineage__emission_policy": json.dumps(policy),
        "openlineage__disable_source_code": "True",
    }


def _passed_on() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in PASSED_ON or name.startswith(PASSED_ON_PREFIX)}


def of_mlflow(state: State, postgres: Postgres) -> dict[str, str]:
    """What the MLflow server is started with beside its command line, which everyone on the machine may read."""
    return {
        "MLFLOW_BACKEND_STORE_URI": _sqlalchemy(postgres.url("mlflow", "mlflow", state.secrets.mlflow)),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # the job runner triples the server's memory
        **_unproxied(),
    }


def _sqlalchemy(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg2://", 1)


def _unproxied() -> dict[str, str]:
    """A proxy of the caller's must not be asked for what lies on this machine."""
    return dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
