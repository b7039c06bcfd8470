"""Shows a run's tasks while they go: a live table on a terminal, a line per change elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from graphlib import CycleError, TopologicalSorter
from typing import Any, Protocol

from local import failures
from local.airflow_api import OUTAGE_SECONDS, POLL_SECONDS, Airflow, AirflowError, Run, Say
from local.failures import Failure

HEALTH_CHECK_SECONDS = 10
ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")
# Of a mapped task's instances, the state found first here stands for the whole.
PRECEDENCE = ("running", "up_for_retry", "failed", "queued", "scheduled", "deferred", "awaiting_input", "restarting")
COLOURS = {"success": "green", "failed": "red", "running": "cyan", "up_for_retry": "yellow", "upstream_failed": "dim"}
WORDS = {
    "up_for_retry": "failed, will be tried again",
    "upstream_failed": "not run: a task before it failed",
    "awaiting_input": "waits for an answer in Airflow: Browse, Required Actions",
}
WAITING = ("", "scheduled", "queued")


@dataclass(frozen=True)
class TaskLine:
    """One task of a run; `seconds` is None until it has begun. Mapped tasks count their instances."""

    task_id: str
    state: str
    seconds: float | None
    done: int = 0
    instances: int = 1
    is_mapped: bool = False
    try_number: int = 1

    @property
    def words(self) -> str:
        count = f" {self.done}/{self.instances}" if self.is_mapped else ""
        attempt = f" (try {self.try_number})" if self.try_number > 1 and self.state == "running" else ""
        return f"{WORDS.get(self.state, self.state or 'waiting')}{count}{attempt}"


@dataclass(frozen=True)
class RunResult:
    """How a run ended; `seconds` is wall time from the moment it was followed."""

    run: Run
    state: str
    seconds: float
    failures: Sequence[Failure] = ()

    @property
    def is_success(self) -> bool:
        return self.state == "success"


class Display(Protocol):
    """Is told the state of all tasks at every look."""

    def show(self, lines: Sequence[TaskLine], seconds: float) -> None: ...


def follow(airflow: Airflow, run: Run, say: Say = print) -> RunResult:
    """Show a run until it ends. Restarts of Airflow's server and scheduler in between are waited out for two minutes.

    :raises AirflowError: Airflow stays away for longer. The run itself is not touched by that, nor by a Ctrl-C.
    """
    begun = time.monotonic()
    path = f"/dags/{run.dag_id}/dagRuns/{run.run_id}"
    order = _order(airflow.pages(f"/dags/{run.dag_id}/tasks", "tasks"))
    watch = _SchedulerWatch(airflow, say)
    with _display(run) as display:
        while True:
            state = (airflow.get(path) or {"state": "deleted"})["state"]
            instances = airflow.pages(f"{path}/taskInstances", "task_instances")
            seconds = time.monotonic() - begun
            display.show(task_lines(instances, order, datetime.now(UTC)), seconds)
            if state in ("success", "failed", "deleted"):
                break
            watch.look()
            time.sleep(POLL_SECONDS)
    causes = failures.of_run(airflow, run, instances) if state == "failed" else []
    return RunResult(run, state, seconds, causes)


def task_lines(instances: Iterable[Mapping[str, Any]], order: Mapping[str, int], now: datetime) -> list[TaskLine]:
    """One line per task in the order of the DAG's arrows, mapped instances gathered into one."""
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for instance in instances:
        grouped.setdefault(instance["task_id"], []).append(instance)
    names = sorted(grouped, key=lambda name: (order.get(name, len(order)), name))
    return [_task_line(name, grouped[name], now) for name in names]


def _task_line(task_id: str, group: Sequence[Mapping[str, Any]], now: datetime) -> TaskLine:
    states = [instance["state"] or "" for instance in group]
    begun = [_time(instance["start_date"]) for instance in group if instance["start_date"]]
    ended = [_time(instance["end_date"]) for instance in group if instance["end_date"]]
    is_over = all(state in ENDED for state in states)
    last = max(ended) if is_over and ended else now
    seconds = max((last - min(begun)).total_seconds(), 0.0) if begun and (is_over or "running" in states) else None
    state = next((state for state in PRECEDENCE if state in states), states[0])
    return TaskLine(
        task_id=task_id,
        state=state,
        seconds=seconds,
        done=sum(state in ENDED for state in states),
        instances=len(group),
        is_mapped=any(instance["map_index"] >= 0 for instance in group),
        try_number=max(instance["try_number"] for instance in group),
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _order(tasks: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Place of each task in the DAG's order."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for task in tasks:
        sorter.add(task["task_id"])
        for after in task["downstream_task_ids"] or []:
            sorter.add(after, task["task_id"])
    try:
        return {task_id: place for place, task_id in enumerate(sorter.static_order())}
    except CycleError:  # the DAG is being changed under our eyes
        return {}


class _SchedulerWatch:
    """Without a scheduler a run stands still in silence: says so, and gives up after two minutes."""

    def __init__(self, airflow: Airflow, say: Say) -> None:
        self._airflow = airflow
        self._say = say
        self._looked = self._seen = time.monotonic()
        self._has_said = False

    def look(self) -> None:
        now = time.monotonic()
        if now - self._looked < HEALTH_CHECK_SECONDS:
            return
        self._looked = now
        health = self._airflow.get("/monitor/health") or {}
        if (health.get("scheduler") or {}).get("status") == "healthy":
            self._seen, self._has_said = now, False
        elif now - self._seen > OUTAGE_SECONDS:
            raise AirflowError(
                "Airflow's scheduler does not run, so the run stands still: `make up` starts it again, "
                "and the run then goes on."
            )
        elif not self._has_said:
            self._say("Airflow's scheduler does not run: `make up` starts it again. Waiting.")
            self._has_said = True


class _Lines:
    """A line whenever a task changes its state."""

    def __init__(self) -> None:
        self._shown: dict[str, tuple[str, int]] = {}

    def show(self, lines: Sequence[TaskLine], seconds: float) -> None:
        for line in lines:
            look = (line.state, line.try_number)
            if look == self._shown.get(line.task_id) or line.state in WAITING:
                continue
            self._shown[line.task_id] = look
            took = f"  {line.seconds:.1f} s" if line.seconds and line.state in ENDED else ""
            print(f"{seconds:7.1f} s  {line.task_id:<32} {line.words}{took}", flush=True)


class _Table:
    """A table that is drawn anew at every look."""

    def __init__(self, run: Run, live: Any) -> None:
        self._run = run
        self._live = live

    def show(self, lines: Sequence[TaskLine], seconds: float) -> None:
        from rich.table import Table
        from rich.text import Text

        table = Table(title=f"{self._run.name}, {seconds:.0f} s", title_justify="left")
        for heading, justify in (("task", "left"), ("state", "left"), ("seconds", "right")):
            table.add_column(heading, justify=justify)
        for line in lines:
            took = "" if not line.seconds else f"{line.seconds:.1f}"
            table.add_row(Text(line.task_id), Text(line.words, style=COLOURS.get(line.state, "")), took)
        self._live.update(table, refresh=True)


@contextmanager
def _display(run: Run) -> Iterator[Display]:
    if not sys.stdout.isatty():
        yield _Lines()
        return
    from rich.live import Live

    with Live(auto_refresh=False) as live:
        yield _Table(run, live)
