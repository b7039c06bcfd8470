"""The faults, and how each is done to a running stack and undone again.

| kind | what is done | undone by |
|---|---|---|
| `task` | kill -9 of the process that runs the task | Airflow's own retry |
| `scheduler` | kill -9 of Airflow's scheduler | `make up` |
| `postgres` | kill -9 of the postmaster: every database, Airflow's and MLflow's too | `make up` |
| `mlflow` | kill -9 of MLflow and its workers | `make up` |
| `connections` | `pg_terminate_backend` of every session but the readers' | they connect anew, or `make up` |
| `disk` | the disk under database, lake, artifacts and logs is filled to the last byte | it is emptied, `make up` |
| `artifacts` | MLflow's artifact store answers each read and write with an error | it comes back |
| `lake` | so does the lake | it comes back |

The disk is a small tmpfs under the stack's folder, so `disk` needs the right to mount; without it the kind is left out,
and that is said. A store fails by its folder giving way to a file: each access below it is an error of the system's.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from local.chaos.readers import ROLE, Readers
from local.errors import StackError
from local.processes import family, kill
from local.stack import Addresses, Stack
from local.state import State
from segmentation import warehouse

DISK_BYTES = 3 * 1024**3
UP_TRIES = 3
BALLAST = "ballast"


@dataclass(frozen=True)
class Fault:
    """One fault that is to come: `kind`, into `task`, when `moment` (0..1) of its usual time has gone by; what is taken
    away stays away for `seconds`."""

    kind: str
    task: str
    moment: float
    seconds: float


@dataclass
class Outcome:
    """What became of a fault."""

    number: int
    fault: Fault
    dag: str
    step: str
    hit: str = ""
    restored_seconds: float = 0.0  # until all components were healthy again
    run_seconds: float = 0.0  # until its run had ended well
    problems: list[str] = field(default_factory=list)

    @property
    def is_recovered(self) -> bool:
        return not self.problems


@dataclass
class Ground:
    """The stack that is harmed, and its readers."""

    stack: Stack
    readers: Readers
    log: Callable[[str], None]

    @property
    def addresses(self) -> Addresses:
        return self.stack.addresses()

    def up(self) -> None:
        """As the operator or a supervisor does it, again if the machine is still in trouble.

        :raises StackError: it does not come up.
        """
        for number in range(1, UP_TRIES + 1):
            try:
                self.stack.up(lambda line: None)
                return
            except Exception as error:
                self.log(f"  `make up` failed, try {number} of {UP_TRIES}: {type(error).__name__}: {error!s:.300}")
                if number == UP_TRIES:
                    raise StackError(f"`make up` does not bring the stack back: {error}") from error
                time.sleep(2)

    def watch_over(self) -> None:
        """Brings back what has ended by itself, as a supervisor does: a scheduler ends some time after its sessions
        were cut off, when it next needs one of them."""
        state = State.load(self.stack.folders.state)
        ended = sorted(state.components.keys() - state.alive().keys())
        if ended:
            self.log(f"      {', '.join(ended)} ended; `make up`")
            self.up()

    def inject(self, fault: Fault, pid: int | None) -> str:
        """Does it, waits, and brings back what it took away; returns what was hit: nothing where the task is over."""
        return _KINDS[fault.kind](self, fault, pid)


def can_mount() -> str | None:
    """None if a tmpfs can be mounted here; else why not."""
    if os.geteuid() != 0:
        return "only root may mount a small disk"
    trial = Path("/tmp") / f"chaos-mount-{os.getpid()}"
    trial.mkdir()
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(trial)], capture_output=True, text=True
        )
        if done.returncode:
            return f"mounting a tmpfs is not permitted here: {done.stderr.strip()}"
        subprocess.run(["umount", str(trial)], check=True)
        return None
    except FileNotFoundError:
        return "there is no program `mount`"
    finally:
        trial.rmdir()


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A tmpfs on a folder, for as long as the block lasts; what is written there is gone afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={DISK_BYTES},mode=0755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def kinds(has_disk: bool, has_airflow: bool = True) -> list[str]:
    """The names of the kinds that can be done here."""
    missing = {name for name, there in (("disk", has_disk), ("scheduler", has_airflow)) if not there}
    return [name for name in _KINDS if name not in missing]


def _kill_task(ground: Ground, fault: Fault, pid: int | None) -> str:
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid) if pid else None
        if process and Path(process.cwd()).is_relative_to(ground.stack.folders.home):
            process.send_signal(signal.SIGKILL)
            return f"process {pid}"
    return ""


def _kill_component(name: str) -> Callable[[Ground, Fault, int | None], str]:
    def kill_it(ground: Ground, fault: Fault, pid: int | None) -> str:
        running = State.load(ground.stack.folders.state).alive().get(name)
        process = running.identity.process() if running else None
        if process is None:
            raise StackError(f"{name} is not there to be killed")
        if name == "mlflow":
            kill(family([process]))
        else:
            process.send_signal(signal.SIGKILL)
        time.sleep(fault.seconds)
        ground.up()
        return f"process {process.pid}"

    return kill_it


def _kill_postgres(ground: Ground, fault: Fault, pid: int | None) -> str:
    server = ground.stack.postgres.pid
    with ground.readers.outage():
        if server is None:
            raise StackError("Postgres is not there to be killed")
        os.kill(server, signal.SIGKILL)
        time.sleep(fault.seconds)
        ground.up()
    return f"postmaster {server}"


def _drop_connections(ground: Ground, fault: Fault, pid: int | None) -> str:
    with warehouse.connect(ground.stack.postgres.url()) as connection:
        cut = warehouse.fetch(
            connection,
            "select coalesce(datname, '') , pg_terminate_backend(pid) from pg_stat_activity "
            "where backend_type = 'client backend' and pid <> pg_backend_pid() and usename <> :readers",
            {"readers": ROLE},
        )
    counts = {name: sum(each == name for each, _ in cut) for name, _ in cut}
    ground.up()
    return "sessions of " + ", ".join(f"{name}: {count}" for name, count in sorted(counts.items()))


def _fill_disk(ground: Ground, fault: Fault, pid: int | None) -> str:
    ballast = ground.stack.folders.home / BALLAST
    with ground.readers.outage():  # a database that cannot write its log stops by itself
        filled = _fill(ballast)
        try:
            time.sleep(fault.seconds)
        finally:
            ballast.unlink()
        ground.up()
    return f"{filled / 1024**2:,.0f} MiB were free"


def _fill(ballast: Path) -> int:
    """Writes until nothing more goes in; returns how many bytes that were."""
    piece = 1 << 20
    with ballast.open("wb", buffering=0) as file:
        while piece:
            try:
                file.write(b"\0" * piece)
            except OSError:
                piece //= 2
        return file.tell()


def _fail_store(name: str) -> Callable[[Ground, Fault, int | None], str]:
    def fail(ground: Ground, fault: Fault, pid: int | None) -> str:
        folder: Path = getattr(ground.stack.folders, name)
        away = folder.with_name(f"{folder.name}.away")
        folder.rename(away)
        folder.touch()
        try:
            time.sleep(fault.seconds)
        finally:
            folder.unlink()
            away.rename(folder)
        ground.up()
        return f"{folder.name} for {fault.seconds:.1f} s"

    return fail


_KINDS: dict[str, Callable[[Ground, Fault, int | None], str]] = {
    "task": _kill_task,
    "scheduler": _kill_component("scheduler"),
    "postgres": _kill_postgres,
    "mlflow": _kill_component("mlflow"),
    "connections": _drop_connections,
    "disk": _fill_disk,
    "artifacts": _fail_store("artifacts"),
    "lake": _fail_store("lake"),
}
# How long something is away: the first and the last number of seconds
_AWAY = {"scheduler": (0, 3), "postgres": (0, 5), "mlflow": (1, 8), "disk": (2, 6), "artifacts": (2, 8), "lake": (1, 6)}


def drawn(draw: random.Random, kind: str, task: str) -> Fault:
    """A fault of a kind into a task, its moment and length by lot."""
    return Fault(kind, task, round(draw.random(), 2), round(draw.uniform(*_AWAY.get(kind, (0, 0))), 1))
