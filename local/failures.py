"""Why a run failed, in words: the tasks that caused it, with the exception and the last lines of their logs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.airflow_api import Airflow, Run

LINES_SHOWN = 15
MACHINERY = ("airflow.", "task", "root", "supervisor")  # loggers of Airflow's own; `task.stdout` and others are ours


@dataclass(frozen=True)
class Failure:
    """A task instance that failed by itself (not because of another one)."""

    task_id: str
    map_index: int
    try_number: int
    error: str
    lines: tuple[str, ...]

    def __str__(self) -> str:
        name = self.task_id if self.map_index < 0 else f"{self.task_id}[{self.map_index}]"
        shown = "\n".join(f"    {line}" for line in (*self.lines, *self.error.splitlines()))
        return f"{name} failed at try {self.try_number}:\n{shown}"


def of_run(airflow: Airflow, run: Run, instances: Iterable[Mapping[str, Any]]) -> list[Failure]:
    """The failures among a run's task instances, each with what its log says."""
    return [_failure(airflow, run, instance) for instance in instances if instance["state"] == "failed"]


def _failure(airflow: Airflow, run: Run, instance: Mapping[str, Any]) -> Failure:
    task_id, map_index, attempt = instance["task_id"], instance["map_index"], instance["try_number"]
    path = f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task_id}/logs/{attempt}"
    log = airflow.get(path, map_index=map_index, full_content="true") or {}
    events = [event if isinstance(event, dict) else {"event": event} for event in log.get("content", [])]
    return Failure(task_id, map_index, attempt, error_of(events), tuple(lines_of(events)))


def error_of(events: Iterable[Mapping[str, Any]]) -> str:
    """Type, message and place of the last exception in a task's log."""
    details = [event["error_detail"] for event in events if event.get("error_detail")]
    if not details:
        return "The log holds no exception: the task was killed, timed out, or lost contact with Airflow."
    lines = []
    for number, part in enumerate(details[-1]):
        caused = "caused by " if number else ""
        lines.append(f"{caused}{part['exc_type']}: {part['exc_value']}")
        lines += [f"  note: {note}" for note in part.get("exc_notes") or []]
        own = [frame for frame in part.get("frames") or [] if "site-packages" not in Path(frame["filename"]).parts]
        lines += [f"  at {frame['filename']}:{frame['lineno']} in {frame['name']}" for frame in own[-3:]]
    return "\n".join(lines)


def lines_of(events: Iterable[Mapping[str, Any]]) -> list[str]:
    """The last lines that the task itself printed or logged, and warnings and errors of Airflow's."""
    lines: list[str] = []
    for event in events:
        text = str(event.get("event", "")).rstrip()
        logger = str(event.get("logger", "root"))
        is_machinery = logger.startswith("airflow.") or logger in MACHINERY
        is_quiet = event.get("level", "info") in ("debug", "info")
        is_python_warning = "category" in event  # such as a deprecation in some library
        if not text or text.startswith("::") or event.get("error_detail"):
            continue
        if is_python_warning or (is_machinery and is_quiet):
            continue
        lines += text.splitlines()
    return lines[-LINES_SHOWN:]
