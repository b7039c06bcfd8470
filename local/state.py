"""What the practice stack remembers between two commands: its folders, secrets, ports and processes.

Everything lies below one folder, `.local/` of the repository or `$FENQUN_LOCAL`. Deleting that folder is a clean
start; there is no state anywhere else.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from local.files import write_private
from local.postgres import Postgres
from local.processes import Identity

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Folders:
    """Where things lie, below the stack's home folder."""

    home: Path

    @classmethod
    def default(cls) -> Folders:
        """`$FENQUN_LOCAL` if it is set, else `.local/` of the repository."""
        return cls(Path(os.environ.get("FENQUN_LOCAL") or REPOSITORY / ".local").resolve())

    @property
    def run(self) -> Path:
        """The working directory of every component, by which left-over processes are recognised."""
        return self.home / "run"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def airflow(self) -> Path:
        return self.home / "airflow"

    @property
    def artifacts(self) -> Path:
        return self.home / "mlflow" / "artifacts"

    @property
    def lake(self) -> Path:
        return self.home / "lake"

    @property
    def backups(self) -> Path:
        return self.home / "backups"

    @property
    def erased(self) -> Path:
        """The ledger of erasures, which no restore overwrites."""
        return self.backups / "erased"

    @property
    def restoring(self) -> Path:
        """There while a restore is under way; it holds the backup's folder."""
        return self.home / "restoring"

    @property
    def state(self) -> Path:
        return self.home / "state.json"

    def create(self) -> None:
        for folder in (self.run, self.logs, self.airflow, self.artifacts, self.lake):
            folder.mkdir(parents=True, exist_ok=True)

    def postgres(self) -> Postgres:
        """The stack's database server (which need not run)."""
        return Postgres(self.home / "postgres", log=self.logs / "postgres.log")

    @contextlib.contextmanager
    def locked(self, say: Callable[[str], None]) -> Iterator[None]:
        """One command at a time starts or stops this stack; the next one says that it waits."""
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("Another command is starting or stopping the stack; waiting for it.")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


@dataclass(frozen=True)
class Running:
    """A component that was started: which process, and a digest of the command and settings it was started with."""

    pid: int
    born: float
    fingerprint: str

    @property
    def identity(self) -> Identity:
        return Identity(self.pid, self.born)


def _token() -> str:
    return secrets.token_urlsafe(24)


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


@dataclass
class Secrets:
    """Made once at random: database passwords per role, the password of Airflow's user admin, Airflow's keys,
    and the one that control groups are drawn by."""

    airflow: str = field(default_factory=_token)
    mlflow: str = field(default_factory=_token)
    pipeline: str = field(default_factory=_token)
    admin: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    jwt: str = field(default_factory=_token)
    api: str = field(default_factory=_token)
    fernet: str = field(default_factory=_fernet_key)
    holdout: str = field(default_factory=_token)

    @property
    def roles(self) -> dict[str, str]:
        """Password per database role that may log in."""
        return {"airflow": self.airflow, "mlflow": self.mlflow, "pipeline": self.pipeline}


@dataclass
class State:
    """The content of state.json (readable by its owner only)."""

    secrets: Secrets = field(default_factory=Secrets)
    ports: dict[str, int] = field(default_factory=dict)
    components: dict[str, Running] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> State:
        """Read it; a missing file or one cut short by a power failure is a new state.

        A new state is safe: roles get the new passwords at the next start, and processes that were forgotten are
        found by their working directory.
        """
        try:
            kept = json.loads(path.read_text())
            return cls(
                secrets=Secrets(**kept["secrets"]),
                ports=dict(kept["ports"]),
                components={name: Running(**entry) for name, entry in kept["components"].items()},
            )
        except (FileNotFoundError, json.JSONDecodeError, KeyError, TypeError):
            return cls()

    def save(self, path: Path) -> None:
        """Write it whole or not at all."""
        write_private(path, json.dumps(asdict(self), indent=2) + "\n")

    def alive(self) -> dict[str, Running]:
        """The components whose process still lives."""
        return {name: running for name, running in self.components.items() if running.identity.is_alive()}
