"""The practice stack: PostgreSQL, MLflow and the four components of Airflow, started, watched and stopped as one.

`up` starts what does not run and leaves alone what does; `down` stops what `up` started and nothing else. Neither
needs the other to have ended well: a Ctrl-C, a killed terminal, a crash or a reboot in between is made good by the
next `up`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from local import components, database, environment
from local.airflow_api import Airflow, add_pools
from local.components import Component, Health
from local.errors import StackError
from local.files import write_private
from local.processes import family, free_port, kill, spawn, stop, tail, wait, working_in
from local.state import REPOSITORY, Folders, Running, State

START_TIMEOUT_SECONDS = 240
PATIENCE_WITH_FOUND_SECONDS = 30  # a component found running gets so long to answer before it is started anew
STOP_PATIENCE_SECONDS = 15  # the scheduler waits for running tasks; Airflow tries those again that are cut short

POLL_SECONDS = 0.25
POOLS = REPOSITORY / "plugins" / "segmentation_airflow" / "pools.json"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Addresses:
    """Where the running stack is reached; `warehouse` as the superuser, `marketing` (the same database) as the
    pipeline."""

    airflow: str
    mlflow: str
    admin_password: str
    warehouse: str
    marketing: str


@dataclass(frozen=True)
class Status:
    """One line of `status`: `state` is healthy, not answering, or not running; times are in UTC."""

    name: str
    state: str
    pid: int | None
    since: datetime | None
    address: str


class Stack:
    """The stack below one home folder (by default `.local/` or `$FENQUN_LOCAL`), running the DAGs of one folder."""

    def __init__(self, home: Path | None = None, dags: Path | None = None) -> None:
        self.folders = Folders(home.resolve()) if home else Folders.default()
        self.dags = dags or REPOSITORY / "dags"
        self.postgres = self.folders.postgres()

    def up(self, say: Say = print, *, is_restoring: bool = False, names: Sequence[str] = components.NAMES) -> Addresses:
        """Start whatever does not run or does not answer, and wait until all of it is healthy.

        :param names: the components that are wanted beside the database; what else runs is left alone.
        :raises StackError: a component does not start; its log's last lines are in the message.
        """
        with self.folders.locked(say):
            if self.folders.restoring.exists() and not is_restoring:
                source = self.folders.restoring.read_text().strip()
                raise StackError(f"A restore was cut short: `make restore BACKUP={source}` goes on with it.")
            self.folders.create()
            state = State.load(self.folders.state)
            database_since = self._start_postgres(state, say)
            self._choose_ports(state)
            wanted = components.all_of(self.folders, state, self.postgres, self.dags)
            self._end_unfit(state, wanted, say)
            self._write_airflow_files(state)
            found = set(state.alive())
            self._start(wanted["mlflow"], state)
            if "scheduler" in names:
                self._migrate(wanted["scheduler"], state, say)
                if "scheduler" not in found:
                    database.retire_schedulers(self.postgres)
            for name in names:
                self._start(wanted[name], state)
            self._wait_until_healthy({name: wanted[name] for name in names}, found, state, say, database_since)
            addresses = self.addresses()
            if "api-server" in names:
                add_pools(Airflow(addresses.airflow, addresses.admin_password), json.loads(POOLS.read_text("utf-8")))
        return addresses

    def down(self, say: Say = print) -> None:
        """Stop every component and the database; what is not running is no error."""
        with self.folders.locked(say):
            state = State.load(self.folders.state)
            was_running = bool(state.alive()) or self.postgres.is_running()
            stop([running.identity for running in state.alive().values()], patience_seconds=STOP_PATIENCE_SECONDS)
            kill(self._strays(state))
            self.postgres.stop()
            state.components = {}
            state.save(self.folders.state)
            say("Stopped." if was_running else "The stack was not running.")

    def status(self) -> list[Status]:
        """What runs, and whether it answers."""
        state = State.load(self.folders.state)
        alive = state.alive()
        health = Health(state.ports)
        pid = self.postgres.pid
        address = f"127.0.0.1:{self.postgres.port}" if pid else ""
        lines = [Status("postgres", "healthy" if pid else "not running", pid, None, address)]
        for name in components.NAMES:
            running = alive.get(name)
            if running is None:
                lines.append(Status(name, "not running", None, None, ""))
                continue
            shown = {"mlflow": "mlflow", "api-server": "airflow"}.get(name)
            lines.append(
                Status(
                    name,
                    "healthy" if health.of(name, running.born) else "not answering",
                    running.pid,
                    datetime.fromtimestamp(running.born, UTC),
                    f"http://127.0.0.1:{state.ports[shown]}" if shown else "",
                )
            )
        return lines

    def addresses(self) -> Addresses:
        """Where things are. Raises StackError when the stack is down."""
        state = State.load(self.folders.state)
        if not self.postgres.is_running() or "airflow" not in state.ports:
            raise StackError("The stack is not running: `make up` starts it.")
        return Addresses(
            airflow=f"http://127.0.0.1:{state.ports['airflow']}",
            mlflow=f"http://127.0.0.1:{state.ports['mlflow']}",
            admin_password=state.secrets.admin,
            warehouse=self.postgres.url("warehouse"),
            marketing=self.postgres.url("warehouse", "pipeline", state.secrets.pipeline),
        )

    def _start_postgres(self, state: State, say: Say) -> float:
        """Returns since when the database is there, as far as this command knows (seconds since the epoch)."""
        started = time.monotonic()
        was_running = self.postgres.is_running()
        self.postgres.start()
        database.prepare(self.postgres, state.secrets.roles)
        state.save(self.folders.state)
        say(_line("postgres", "was running" if was_running else f"ready in {time.monotonic() - started:.1f} s"))
        return 0.0 if was_running else time.time()

    def _choose_ports(self, state: State) -> None:
        """Keep the ports of what runs; for the rest the one of last time, unless another program has taken it."""
        alive = state.alive()
        for server, component in (("mlflow", "mlflow"), ("airflow", "api-server")):
            if component not in alive or server not in state.ports:
                others = [port for name, port in state.ports.items() if name != server]
                state.ports[server] = free_port(state.ports.get(server), taken=others)
        state.save(self.folders.state)

    def _end_unfit(self, state: State, wanted: dict[str, Component], say: Say) -> None:
        """Stop what runs with other settings than it would get now, and what dead components left behind."""
        unfit = {name: run for name, run in state.alive().items() if run.fingerprint != wanted[name].fingerprint}
        if unfit:
            say(f"  Settings have changed; starting anew: {', '.join(unfit)}.")
            stop([running.identity for running in unfit.values()], patience_seconds=STOP_PATIENCE_SECONDS)
        kill(self._strays(state))

    def _strays(self, state: State) -> list:
        """Our processes without a living component above them: workers of a killed scheduler, a cut-short start."""
        alive = [process for running in state.alive().values() if (process := running.identity.process())]
        kept = {process.pid for process in family(alive)}
        return [p for p in working_in(self.folders.run, components.is_component) if p.pid not in kept]

    def _write_airflow_files(self, state: State) -> None:
        write_private(self.folders.airflow / "passwords.json", json.dumps({"admin": state.secrets.admin}) + "\n")
        # Airflow would generate this file, from several processes at once.
        (self.folders.airflow / "airflow.cfg").write_text("# All settings come from the environment.\n")

    def _start(self, component: Component, state: State) -> None:
        """Spawn a component unless it is alive, and remember its process before anything else happens."""
        if component.name in state.alive():
            return
        log = self._fresh_log(component.name)
        env = {**environment.inherited(), **component.settings}
        process = spawn(component.command, cwd=self.folders.run, log=log, env=env)
        state.components[component.name] = Running(process.pid, process.born, component.fingerprint)
        state.save(self.folders.state)

    def _migrate(self, airflow: Component, state: State, say: Say) -> None:
        """Create or upgrade Airflow's tables, once per Airflow version."""
        release = version("apache-airflow-core")
        if database.airflow_version(self.postgres) == release:
            return
        started = time.monotonic()
        log = self._fresh_log("airflow-migrate")
        env = {**environment.inherited(), **airflow.settings}
        migration = spawn(components.airflow_command("db", "migrate"), cwd=self.folders.run, log=log, env=env)
        if wait(migration, START_TIMEOUT_SECONDS) != 0:
            raise StackError(f"Airflow's tables could not be made; {log} says:\n{tail(log)}")
        database.set_airflow_version(self.postgres, release)
        say(_line("airflow tables", f"ready in {time.monotonic() - started:.1f} s"))

    def _wait_until_healthy(
        self, wanted: dict[str, Component], found: set[str], state: State, say: Say, database_since: float = 0.0
    ) -> None:
        """Wait for every component; one that was found running but is of no use is replaced, once.

        One that has lost its database may be about to end of that: it counts when it has reported since.
        """
        begun = time.monotonic()
        deadlines = {
            name: begun + (PATIENCE_WITH_FOUND_SECONDS if name in found else START_TIMEOUT_SECONDS) for name in wanted
        }
        while deadlines:
            health = Health(state.ports)
            for name, deadline in list(deadlines.items()):
                running = state.components[name]
                is_alive = running.identity.is_alive()
                if is_alive and health.of(name, max(running.born, database_since)):
                    say(_line(name, "was running" if name in found else f"ready in {time.time() - running.born:.1f} s"))
                    del deadlines[name]
                elif is_alive and time.monotonic() < deadline:
                    continue
                elif name in found:
                    say(_line(name, "was running but does not answer: starting it anew"))
                    found.discard(name)
                    self._replace(wanted[name], state)
                    deadlines[name] = time.monotonic() + START_TIMEOUT_SECONDS
                else:
                    raise StackError(_obituary(name, is_alive, self.folders.logs / f"{name}.log"))
            time.sleep(POLL_SECONDS)

    def _replace(self, component: Component, state: State) -> None:
        stop([state.components[component.name].identity], patience_seconds=STOP_PATIENCE_SECONDS)
        kill(self._strays(state))
        if component.name == "scheduler":
            database.retire_schedulers(self.postgres)
        self._start(component, state)

    def _fresh_log(self, name: str) -> Path:
        """The log file of a component that is about to start; the one of its last life is kept beside it."""
        log = self.folders.logs / f"{name}.log"
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        return log


def _line(name: str, text: str) -> str:
    return f"  {name:<15}{text}"


def _obituary(name: str, is_alive: bool, log: Path) -> str:
    what = f"did not become healthy within {START_TIMEOUT_SECONDS} s" if is_alive else "ended while starting"
    return f"{name} {what}; {log} says:\n{tail(log)}"
