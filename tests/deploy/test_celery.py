"""Profile `celery`: what its scheduler, workers and health check import is there, in the versions that are pinned."""

import os
import re
import subprocess
import sys

from tests.deploy.test_compose import SERVICES

LOAD = """
import importlib, redis, sys
from airflow.executors.executor_loader import ExecutorLoader
executor, _ = ExecutorLoader.import_default_executor_cls()
module, _, name = sys.argv[1].rpartition(".")
print(executor.__name__, type(getattr(importlib.import_module(module), name)).__name__, redis.Redis.__name__)
"""


def test_the_executor_and_the_app_that_the_health_check_asks_can_be_imported(tmp_path):
    """Airflow's provider imports from Celery's inside; a Celery that it does not know stops scheduler and workers."""
    [app] = re.findall(r"--app (\S+)", " ".join(SERVICES["airflow-worker"]["healthcheck"]["test"]))
    ours = {"AIRFLOW__CORE__EXECUTOR": "CeleryExecutor", "AIRFLOW_HOME": f"{tmp_path}"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    command = [sys.executable, "-c", LOAD, app]
    done = subprocess.run(command, env=kept | ours, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split()[-3:] == ["CeleryExecutor", "Celery", "Redis"]
