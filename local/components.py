"""The programs of the practice stack: how each is started, recognised and asked for its health."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import psutil
import requests

from local import environment
from local.postgres import Postgres
from local.state import Folders, State

HEALTH_TIMEOUT_SECONDS = 5
AIRFLOW_COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
NAMES = ("mlflow", *AIRFLOW_COMPONENTS)


@dataclass(frozen=True)
class Component:
    """One program: its command, and the environment it gets beside the inherited one."""

    name: str
    command: Sequence[str]
    settings: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """Changes when the command, a setting or the program's version does: then it has to be started anew."""
        release = version("mlflow" if self.name == "mlflow" else "apache-airflow-core")
        text = json.dumps([release, list(self.command), dict(self.settings)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def all_of(folders: Folders, state: State, postgres: Postgres, dags: Path) -> dict[str, Component]:
    """Every component but the database server, by name; `state` must hold the ports."""
    mlflow_port = str(state.ports["mlflow"])
    mlflow = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", mlflow_port]
    mlflow += ["--workers", "1", "--serve-artifacts", "--artifacts-destination", str(folders.artifacts)]
    airflow = environment.of_airflow(folders, state, postgres, dags)
    # The log servers of scheduler and triggerer would listen on every address; logs are read from the disk instead.
    arguments = {
        "api-server": ["--host", "127.0.0.1", "--port", str(state.ports["airflow"]), "--workers", "1"],
        "scheduler": ["--skip-serve-logs"],
        "dag-processor": [],
        "triggerer": ["--skip-serve-logs"],
    }
    found = {"mlflow": Component("mlflow", mlflow, environment.of_mlflow(state, postgres))}
    for name in AIRFLOW_COMPONENTS:
        found[name] = Component(name, [*airflow_command(name), *arguments[name]], airflow)
    return found


def airflow_command(*arguments: str) -> list[str]:
    """Airflow's command line by module, as the script's first line may be too long for a deep folder."""
    return [sys.executable, "-m", "airflow", *arguments]


def is_component(process: psutil.Process) -> bool:
    """Whether a process in the stack's working folder is one of ours, and not somebody's shell or editor there.

    Ours are Pythons without a terminal whose command line or process title names Airflow or MLflow.
    """
    if not Path(process.exe()).name.startswith("python") or _has_terminal(process.pid):
        return False
    words = " ".join(process.cmdline())
    return any(word in words for word in ("airflow", "mlflow", "multiprocessing"))


def _has_terminal(pid: int) -> bool:
    """Asked of the kernel, as psutil knows only the terminals there were when it first looked."""
    # "pid (name) state parent group session terminal ...", where the name may hold spaces and brackets
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[4] != "0"


class Health:
    """Asks the running servers; one instance is one look, so that four components cost one request."""

    def __init__(self, ports: Mapping[str, int]) -> None:
        self._ports = ports
        self._airflow: dict[str, dict[str, str | None]] | None = None

    def of(self, name: str, since: float) -> bool:
        """Whether a component works, and has reported so after `since` (seconds since the epoch)."""
        if name == "mlflow":
            return get_json(f"http://127.0.0.1:{self._ports['mlflow']}/health") is not None
        if self._airflow is None:
            self._airflow = get_json(f"http://127.0.0.1:{self._ports['airflow']}/api/v2/monitor/health") or {}
        if name == "api-server":
            return self._airflow.get("metadatabase", {}).get("status") == "healthy"
        key = name.replace("-", "_")
        report = self._airflow.get(key) or {}
        heartbeat = report.get(f"latest_{key}_heartbeat")
        # A killed component counts as healthy for a while yet: only a heartbeat of the new one's is proof.
        return report.get("status") == "healthy" and bool(heartbeat) and _seconds(str(heartbeat)) >= since


def get_json(url: str) -> dict | None:
    """The JSON (or, as `{}`, other content) of a page that answers with success; None when it does not."""
    try:
        with requests.Session() as session:
            session.trust_env = False  # no proxy, no .netrc
            response = session.get(url, timeout=HEALTH_TIMEOUT_SECONDS)
            if not response.ok:
                return None
            is_json = response.headers.get("Content-Type", "").startswith("application/json")
            return response.json() if is_json else {}
    except (requests.RequestException, ValueError):
        return None


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()
