"""
A deployment of docker-compose.yaml on its own, for `make compose-smoke`: its settings, and what it is asked by.

Beside whatever else runs: project `fenqun-smoke`, free ports, random passwords, volumes of its own.
"""

import json
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.airflow_api import Airflow
from local.environment import QUICK_TRAINING
from local.errors import StackError
from local.processes import free_port
from local.state import REPOSITORY

PROJECT = "fenqun-smoke"
CUSTOMERS, DAYS = 1_000, 546
# When to run is asked for
SCHEDULES = {f"SEGMENTATION_{name}_SCHEDULE": "" for name in ("DAILY", "WEEKLY", "CAMPAIGNS", "PRODUCTS", "POLICY")}
SEGMENTATION_ENV = "".join(f"{name}={value}\n" for name, value in (SCHEDULES | QUICK_TRAINING).items())
PASSWORDS = {
    "airflow": "AIRFLOW_DB_PASSWORD",
    "mlflow": "MLFLOW_DB_PASSWORD",
    "pipeline": "PIPELINE_DB_PASSWORD",
    "shop_reader": "SHOP_READER_PASSWORD",
}


@dataclass
class Deployment:
    """The stack under test. What starts with `env` in its folder are its settings."""

    env_file: Path
    is_celery: bool
    settings: dict[str, str] = field(default_factory=dict)

    @classmethod
    def new(cls, folder: Path, is_celery: bool) -> "Deployment":
        """With .env as deploy/new_env.sh makes it, ports that nobody else has, and a small shop."""
        env_file, more = folder / "env", folder / "segmentation.env"
        subprocess.run(["sh", REPOSITORY / "deploy" / "new_env.sh", env_file], check=True, stdout=subprocess.DEVNULL)
        more.write_text(SEGMENTATION_ENV)
        settings = read_env(env_file)
        for name in ("AIRFLOW_PORT", "MLFLOW_PORT", "POSTGRES_PORT"):
            settings[name] = str(free_port(taken=[int(settings[each]) for each in settings if each.endswith("_PORT")]))
        for name in ("AIRFLOW", "MLFLOW"):
            settings[f"{name}_URL"] = f"http://127.0.0.1:{settings[f'{name}_PORT']}"
        settings["SEGMENTATION_ENV_FILE"] = str(more)
        settings["COMPOSE_PROFILES"] = "practice,celery" if is_celery else "practice"
        settings["AIRFLOW_EXECUTOR"] = "CeleryExecutor" if is_celery else "LocalExecutor"
        settings["PRACTICE_CUSTOMERS"], settings["PRACTICE_DAYS"] = f"{CUSTOMERS}", f"{DAYS}"
        env_file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        return cls(env_file, is_celery, settings)

    @property
    def airflow(self) -> Airflow:
        return Airflow(self.settings["AIRFLOW_URL"], self.settings["AIRFLOW_ADMIN_PASSWORD"])

    @property
    def mlflow(self) -> str:
        return self.settings["MLFLOW_URL"]

    def compose(self, *arguments: str, check: bool = True, give: str | None = None) -> str:
        """What `docker compose` prints. Raises StackError with its last lines if it fails."""
        return self._docker(
            ["compose", "--project-name", PROJECT, "--env-file", f"{self.env_file}", *arguments], check, give
        )

    def script(self, name: str, *arguments: str) -> None:
        """Runs a script of deploy/ that speaks to the deployment by `docker compose`.

        :raises StackError: it fails; with its last lines.
        """
        kept = {name: value for name, value in os.environ.items() if name not in self.settings}
        chosen = {"COMPOSE_PROJECT_NAME": PROJECT, "COMPOSE_ENV_FILES": f"{self.env_file}"}
        command = ["sh", f"{REPOSITORY / 'deploy' / name}", *arguments]
        done = subprocess.run(
            command,
            env=kept | chosen,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode != 0:
            last = "\n".join(done.stdout.splitlines()[-30:])
            raise StackError(f"`{' '.join(command)}` failed:\n{last}")

    def docker(self, *arguments: str, check: bool = True) -> str:
        """What `docker` prints. Raises StackError with its last lines if it fails."""
        return self._docker([*arguments], check, None)

    def _docker(self, arguments: list[str], check: bool, give: str | None) -> str:
        # Only the file counts: variables of the caller's shell would go before it.
        kept = {name: value for name, value in os.environ.items() if name not in self.settings}
        done = subprocess.run(
            ["docker", *arguments], cwd=REPOSITORY, env=kept, capture_output=True, text=True, input=give
        )
        if check and done.returncode != 0:
            last = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
            raise StackError(f"`docker {' '.join(arguments)}` failed:\n{last}")
        return done.stdout if done.returncode == 0 else ""

    def containers(self) -> list[dict[str, Any]]:
        """What `docker compose ps` knows of each container that runs or should."""
        return json_lines(self.compose("ps", "--format", "json").splitlines())

    def services(self) -> list[str]:
        """The services that run now, those that ran once left out."""
        return sorted({each["Service"] for each in self.containers() if each["State"] == "running"})

    def unhealthy(self) -> list[str]:
        """The containers that run but are not healthy."""
        return [each["Name"] for each in self.containers() if (each["State"], each["Health"]) != ("running", "healthy")]

    def processes(self) -> dict[str, dict[int, int]]:
        """Container -> process -> the number of the user that it runs as."""
        found = {}
        for each in self.containers():
            table = self.docker("top", each["ID"], "-eo", "uid,pid").splitlines()[1:]
            found[each["Name"]] = {int(pid): int(user) for user, pid in map(str.split, table)}
        return found

    def image_mebibytes(self) -> float:
        """The size of the image that the Dockerfile makes."""
        return int(self.docker("image", "inspect", "--format", "{{.Size}}", self.settings["FENQUN_IMAGE"])) / 2**20

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


def json_lines(lines: Iterable[str]) -> list[dict[str, Any]]:
    """One JSON object a line, as docker prints lists."""
    return [json.loads(line) for line in lines if line.strip()]
