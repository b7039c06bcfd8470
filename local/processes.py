"""Processes that outlive the command which started them: how they are spawned, recognised later and ended.

A pid alone says little: after a crash or a reboot it may belong to somebody else's program. Everything here therefore
works on an `Identity` (pid and time of birth), and nothing is signalled whose identity does not match.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

# psutil derives the time of birth from the wall clock, which a time server may nudge between two commands.
BIRTH_TOLERANCE_SECONDS = 2.0

_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Identity:
    """One process for its whole life: its pid and when it was born (seconds since the epoch)."""

    pid: int
    born: float

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """The identity of the process that has this pid now, or None if there is none."""
        try:
            return cls(pid, psutil.Process(pid).create_time())
        except psutil.Error:
            return None

    def process(self) -> psutil.Process | None:
        """The live process, or None when it is gone, a zombie, or its pid went to another program."""
        child = _children.get(self.pid)
        if child is not None:
            child.poll()  # reaps a child of ours that has died
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.born) > BIRTH_TOLERANCE_SECONDS:
                return None
            return None if process.status() == psutil.STATUS_ZOMBIE else process
        except psutil.Error:
            return None

    def is_alive(self) -> bool:
        """Whether this very process still runs."""
        return self.process() is not None


def spawn(
    command: Sequence[str | Path], *, cwd: Path, log: Path, env: Mapping[str, str], user: int | None = None
) -> Identity:
    """Start a process in a session of its own, so that Ctrl-C and a closed terminal do not reach it.

    Its output is appended to `log`. `user` is the uid (and name of the group of that uid) to run as, for root only.
    Raises OSError when the program cannot be executed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **run_as(user),
        )
    _children[child.pid] = child
    return Identity.of(child.pid) or Identity(child.pid, time.time())


def wait(identity: Identity, timeout_seconds: float) -> int | None:
    """The exit code of a process that this program spawned; None (and the process is ended) if it takes longer.

    When the wait itself is interrupted, the process is ended too.
    """
    try:
        return _children[identity.pid].wait(timeout_seconds)
    except subprocess.TimeoutExpired:
        stop([identity], patience_seconds=5)
        return None
    except BaseException:
        stop([identity], patience_seconds=5)
        raise


def run_as(user: int | None) -> dict[str, object]:
    """Arguments of subprocess functions that drop root's rights for those of `user` (a uid); none for None."""
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwuid(user).pw_gid, "extra_groups": []}


def family(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """The processes and all their living descendants, each once."""
    found: dict[int, psutil.Process] = {}
    for process in processes:
        found[process.pid] = process
        with contextlib.suppress(psutil.Error):
            found.update({child.pid: child for child in process.children(recursive=True)})
    return list(found.values())


def stop(
    identities: Iterable[Identity], *, patience_seconds: float, first: signal.Signals = signal.SIGTERM
) -> list[Identity]:
    """End processes: `first` to each, then SIGKILL to whatever of them and of their descendants is left.

    Returns those that had to be killed. Does nothing to identities that are already gone.
    """
    asked = [(identity, process) for identity in identities if (process := identity.process()) is not None]
    descendants = family(process for _, process in asked)
    for _, process in asked:
        with contextlib.suppress(psutil.Error):
            process.send_signal(first)
    wait_until(lambda: not any(identity.is_alive() for identity, _ in asked), patience_seconds)
    stubborn = [identity for identity, _ in asked if identity.is_alive()]
    kill(descendants)
    return stubborn


def kill(processes: Iterable[psutil.Process]) -> None:
    """SIGKILL, and wait up to 10 seconds until they are gone. psutil itself guards against reused pids."""
    processes = list(processes)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=10)


def working_in(folder: Path, is_ours: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    """Living processes whose working directory is `folder` (even if it was deleted since) and that are `is_ours`."""
    found = []
    target = str(folder.resolve())
    for process in psutil.process_iter():
        try:
            # Comparing the working directory first keeps this to one readlink for nearly all processes.
            if process.cwd() == target and process.status() != psutil.STATUS_ZOMBIE and is_ours(process):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def wait_until(condition: Callable[[], bool], timeout_seconds: float, every_seconds: float = 0.05) -> bool:
    """Ask `condition` until it holds; False when it did not within `timeout_seconds`."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_seconds)
    return True


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port(preferred: int | None = None, taken: Iterable[int] = ()) -> int:
    """A port of 127.0.0.1 that nobody listens on: `preferred` if it is still free, else any that is not in `taken`."""
    if preferred and preferred not in taken and is_free(preferred):
        return preferred
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in taken:
            return port


def tail(log: Path, lines: int = 20, since: int = 0) -> str:
    """The last lines of a log file, of what was written after byte `since`; empty when there is no file."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(since, log.stat().st_size - 64_000))
        text = file.read().decode("utf-8", "replace")
    return "\n".join(text.splitlines()[-lines:])


def is_root() -> bool:
    """Whether this runs with root's rights."""
    return os.geteuid() == 0
