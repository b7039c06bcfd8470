"""The daily DAG end to end through Airflow, and what of it was Airflow's own."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterable, Mapping
from graphlib import TopologicalSorter
from typing import Any

import psutil

from local import airflow_api, follow
from local.airflow_api import Airflow
from local.errors import StackError
from local.stack import Stack

DAILY = "segment_customers_daily"
LOOK_SECONDS = 1.0
MIB = 1024**2


def run(stack: Stack, day: dt.date) -> dict[str, Any]:
    """Runs the daily DAG for a day and follows it to its end, in a stack that is up.

    :returns: `seconds` from being queued to the end of the last task, `to_publish` to the end of `publish`; `stages`:
        task -> `start` and `end`, seconds since it was queued, and `seconds`; `after`: task -> the tasks before it;
        `running`: the seconds in which any task's process ran; `peak_mib`: the most memory that the tasks' processes
        held at one time, and `airflow_mib` that of Airflow's own (as proportional set size, looked at each second).
    :raises StackError: the run failed.
    """
    at = stack.addresses()
    airflow = Airflow(at.airflow, at.admin_password)
    _forget(airflow, day)
    with _Memory(stack) as memory:
        going = airflow_api.start(airflow, DAILY, day, {})
        ended = follow.follow(airflow, going)
    if not ended.is_success:
        raise StackError("\n".join(map(str, ended.failures)) or f"{going.name} ended as {ended.state}")
    path = f"/dags/{DAILY}/dagRuns/{going.run_id}"
    told = airflow.get(path)
    stages, spans = _stages(airflow.pages(f"{path}/taskInstances", "task_instances"), told["queued_at"])
    tasks = airflow.pages(f"/dags/{DAILY}/tasks", "tasks")
    return {
        "seconds": _since(told["queued_at"], told["end_date"]),
        "to_publish": stages["publish"]["end"],
        "stages": stages,
        "after": before_each({task["task_id"]: task["downstream_task_ids"] or () for task in tasks}),
        "running": covered(spans),
        "peak_mib": memory.tasks,
        "airflow_mib": memory.own,
    }


def own_share(found: Mapping[str, Any], work: Mapping[str, float]) -> dict[str, float]:
    """What of a run was Airflow's own, in seconds, by two ways of counting; the truth lies between them.

    :param found: what `run` returned.
    :param work: stage -> seconds that it takes in a process of its own, imports included, without Airflow.
    :returns: `sum_of_work`, and `least`: the run without it, as if tasks never ran side by side. `longest_path`: the
        work on the longest path through the DAG, and `most`: the run without that, as if tasks beside each other did
        not slow each other down.
    """
    work = {task: work.get(task, 0.0) for task in found["after"]}
    ends: dict[str, float] = {}
    for task in TopologicalSorter(found["after"]).static_order():
        ends[task] = work[task] + max((ends[each] for each in found["after"][task]), default=0.0)
    total, longest = sum(work.values()), max(ends.values())
    seconds = found["seconds"]
    return {
        "sum_of_work": total,
        "least": max(seconds - total, 0.0),
        "longest_path": longest,
        "most": seconds - longest,
    }


def before_each(downstream: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """task -> the tasks before it."""
    return {task: sorted(each for each in downstream if task in downstream[each]) for task in downstream}


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """The length of the union of some spans of time."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(end - max(start, until), 0.0)
        until = max(until, end)
    return total


def _forget(airflow: Airflow, day: dt.date) -> None:
    """A run of that day from a shop before: repeated, it would keep its tries and its first queueing."""
    path, moment = f"/dags/{DAILY}/dagRuns", f"{day}T00:00:00Z"
    airflow_api.wait_for_dag(airflow, DAILY, print)
    for known in airflow.pages(path, "dag_runs", logical_date_gte=moment, logical_date_lte=moment):
        airflow.send("DELETE", f"{path}/{known['dag_run_id']}")


def _stages(instances: list[Mapping[str, Any]], queued: str) -> tuple[dict[str, Any], list[tuple[float, float]]]:
    """(task -> from its first instance's start to its last one's end; the spans of all instances)."""
    stages: dict[str, Any] = {}
    spans = []
    for each in instances:
        if not each["start_date"] or not each["end_date"] or each["state"] != "success":
            continue
        start, end = _since(queued, each["start_date"]), _since(queued, each["end_date"])
        spans.append((start, end))
        known = stages.setdefault(each["task_id"], {"start": start, "end": end, "seconds": 0.0})
        known["start"], known["end"] = min(known["start"], start), max(known["end"], end)
        known["seconds"] += end - start
    return stages, spans


def _since(earlier: str, later: str) -> float:
    return (dt.datetime.fromisoformat(later) - dt.datetime.fromisoformat(earlier)).total_seconds()


class _Memory:
    """Looks each second at how much memory the stack's processes hold, MLflow's and the database's left out."""

    def __init__(self, stack: Stack) -> None:
        self.tasks = self.own = 0.0
        self._folder = str(stack.folders.run)
        self._over = threading.Event()
        self._looking = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> _Memory:
        self._looking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._looking.join()

    def _look(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            tasks = own = 0.0
            for process in psutil.process_iter(["cmdline", "cwd"]):
                words = " ".join(process.info["cmdline"] or [])
                if process.info["cwd"] != self._folder or "mlflow" in words:
                    continue
                try:
                    held = process.memory_full_info().pss / MIB
                except psutil.Error:
                    continue
                if "airflow worker" in words and self._is_task(process):
                    tasks += held
                else:
                    own += held
            self.tasks, self.own = max(self.tasks, tasks), max(self.own, own)

    @staticmethod
    def _is_task(process: psutil.Process) -> bool:
        """A worker that runs a task has a supervisor above it, which is called like it."""
        try:
            above = process.parent()
            return above is not None and "airflow worker" in " ".join(above.cmdline())
        except psutil.Error:
            return False
