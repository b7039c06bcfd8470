"""One piece of work in a process of its own, and what it cost: there, in the database server, and to others."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from local.bench.daily import shop
from local.postgres import Postgres
from local.stack import Stack
from local.state import REPOSITORY

POLL_SECONDS, TREE_SECONDS = 0.1, 0.5
MIB = 1024**2


class PieceError(Exception):
    """A piece of work has failed; its own words are on the terminal."""


def run(
    stack: Stack,
    piece: str,
    day: dt.date,
    most_mib: float | None = None,
    *,
    lake_folder: Path | None = None,
    more: Mapping[str, str] | None = None,
    is_tree: bool = False,
) -> dict[str, Any]:
    """Runs a piece (see `work.PIECES`) and waits for its end.

    :param most_mib: memory above which it is ended.
    :param lake_folder: of another lake than the stack's.
    :param more: further environment variables.
    :param is_tree: whether its CPU and memory are those of all processes below it, looked at every `TREE_SECONDS`.
    :returns: `rows`, `seconds`, `cpu` and `peak_mib` as it told; `process_seconds`, with starting Python and imports;
        `database_cpu`, the seconds of CPU that PostgreSQL spent meanwhile; `others`, the cores that programs which are
        none of these used on average; `load`, the machine's at its end. One that was ended for its memory has
        `peak_mib`, `process_seconds` and `too_large`.
    :raises PieceError: it failed.
    """
    command = [sys.executable, "-m", "local.bench.daily.work", piece, "--home", str(stack.folders.home)]
    command += ["--lake", str(lake_folder)] if lake_folder else []
    path = f"{REPOSITORY / 'include'}{os.pathsep}{REPOSITORY}"
    surroundings = shop.surroundings(stack) | {"PYTHONPATH": path} | dict(more or {})
    before, busy, begun = database_cpu(stack.postgres), _busy(), time.perf_counter()
    with tempfile.TemporaryFile("w+") as told:
        working = subprocess.Popen([*command, "--day", f"{day}"], cwd=REPOSITORY, env=surroundings, stdout=told)
        tree = _Tree(working.pid) if is_tree else None
        peak = _watched(working, most_mib)
        seconds = time.perf_counter() - begun
        if tree:
            tree.join()
        told.seek(0)
        lines = told.read().splitlines()
    if peak is not None:
        return {"too_large": True, "peak_mib": peak, "process_seconds": seconds, "load": os.getloadavg()[0]}
    if working.returncode:
        raise PieceError(f"{piece} of {day} failed with status {working.returncode}")
    found = json.loads(lines[-1])
    if tree:
        found |= {"cpu": tree.cpu, "whole_cpu": tree.cpu, "peak_mib": tree.peak_mib}
    database = database_cpu(stack.postgres) - before
    others = max(_busy() - busy - found.pop("whole_cpu") - database, 0) / seconds
    return found | {
        "process_seconds": seconds, "database_cpu": database, "others": others, "load": os.getloadavg()[0]
    }  # fmt: skip


class _Tree:
    """What a process and all below it have used, until it ends: CPU seconds, and the most memory at one time (PSS)."""

    def __init__(self, pid: int) -> None:
        self.peak_mib = 0.0
        self._root, self._spent = psutil.Process(pid), {}
        self._looking = threading.Thread(target=self._look, daemon=True)
        self._looking.start()

    def join(self) -> None:
        """Waits until it has seen that the process has ended; its figures stay as they are then."""
        self._looking.join()

    @property
    def cpu(self) -> float:
        return sum(self._spent.values())

    def _look(self) -> None:
        while True:
            try:
                every = [self._root, *self._root.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            held = 0.0
            for each in every:
                try:
                    times = each.cpu_times()
                    held += each.memory_full_info().pss / MIB
                except (psutil.NoSuchProcess, psutil.ZombieProcess):
                    continue
                self._spent[each.pid, each.create_time()] = times.user + times.system
            self.peak_mib = max(self.peak_mib, held)
            time.sleep(TREE_SECONDS)


def _watched(working: subprocess.Popen, most_mib: float | None) -> float | None:
    """Waits for the end of a process; the memory that it held when it was ended for it, else None."""
    if most_mib is None:
        working.wait()
        return None
    watched = psutil.Process(working.pid)
    while working.poll() is None:
        try:
            held = watched.memory_info().rss / MIB
        except psutil.NoSuchProcess:
            break
        if held > most_mib:
            working.kill()
            working.wait()
            return held
        time.sleep(POLL_SECONDS)
    working.wait()
    return None


def database_cpu(server: Postgres) -> float:
    """Seconds of CPU of the database server: its own, of sessions that have ended, and of those that are there."""
    main = psutil.Process(server.pid)
    times = main.cpu_times()
    spent = times.user + times.system + times.children_user + times.children_system
    for session in main.children():
        try:
            times = session.cpu_times()
            spent += times.user + times.system
        except psutil.NoSuchProcess:
            continue
    return spent


def _busy() -> float:
    """Seconds of CPU that anything on this machine has used."""
    times = psutil.cpu_times()
    return times.user + times.nice + times.system + getattr(times, "irq", 0) + getattr(times, "softirq", 0)
