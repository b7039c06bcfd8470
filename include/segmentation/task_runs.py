"""
task_runs: `ops.runs`, one row per try of a task, and `ops.alerts`, what was told of it.

Written from outside the stages, when they have ended: that may fail and harms nothing. It holds counts, times and
causes in words that name no row (see `causes`), so erasing a person has nothing to do here, and the proof of an erasure
looks through it all the same. `include/sql/runs/slow.sql` asks it why a day was slow.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from segmentation import tables, warehouse

_BEING_TOLD = dt.timedelta(minutes=1)  # after that, whoever was telling something is not there any more
_SUMS = ("aggregates", "training_examples", "movement")  # which return counts of rows by name, and nothing else


@dataclass(frozen=True)
class TaskRun:
    """One try of a task: a row of `ops.runs`; see the comments there."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    day: dt.date | None
    stage: str
    started_at: dt.datetime | None
    finished_at: dt.datetime
    rows_in: int | None
    rows_out: int | None
    peak_memory_mib: int | None
    state: str
    cause: str | None


def rows_of(task_id: str, result: Any) -> tuple[int | None, int | None]:
    """How many rows a stage looked at and how many it wrote or let pass, by what it returned; None: it does not say."""
    if task_id == "features":
        return None, result
    if not isinstance(result, Mapping):
        return None, None
    if task_id in _SUMS:
        return None, sum(result.values())
    if "tables" in result:
        parts = result["tables"].values()
        return sum(part["rows"] for part in parts), sum(part["accepted"] for part in parts)
    rows = result.get("rows")
    if not isinstance(rows, int):
        return None, None
    return (rows, rows) if "rules" in result else (None, rows)


def write(dsn: str, run: TaskRun) -> None:
    """Writes the row of a try, in the place of what was known of it."""
    columns = [field.name for field in fields(TaskRun)]
    values = ", ".join(f":{column}" for column in columns)
    others = ", ".join(f"{column} = excluded.{column}" for column in columns)
    with _connected(dsn) as connection:
        warehouse.execute(
            connection,
            f"insert into {tables.RUNS} ({', '.join(columns)}) values ({values}) "  # noqa: S608 - names of ours
            f"on conflict (dag_id, run_id, task_id, map_index, try_number) do update set {others}",
            asdict(run),
        )


def claim(dsn: str, run: TaskRun, kind: str, cause: str) -> bool:
    """Notes that something of a try is being told; whether it is news.

    It is not if the same kind was told of the same try of the task already, for another entity or model: unless that
    did not arrive, or who was to say whether it did was killed meanwhile. See `delivered`.
    """
    with _connected(dsn) as connection:
        touched = warehouse.execute(
            connection,
            f"insert into {tables.ALERTS} as known (dag_id, run_id, task_id, try_number, kind, day, cause) "  # noqa: S608
            "values (:dag_id, :run_id, :task_id, :try_number, :kind, :day, :cause) "
            "on conflict (dag_id, run_id, task_id, try_number, kind) do update "
            "set told_at = now(), cause = excluded.cause, is_delivered = null "
            "where not known.is_delivered or (known.is_delivered is null and known.told_at < now() - :patience)",
            {**_alert(run, kind), "day": run.day, "cause": cause, "patience": _BEING_TOLD},
        )
    return touched == 1


def delivered(dsn: str, run: TaskRun, kind: str, is_delivered: bool) -> None:
    """Notes whether what was claimed has gone any way; what has not is news again."""
    with _connected(dsn) as connection:
        warehouse.execute(
            connection,
            f"update {tables.ALERTS} set is_delivered = :is_delivered where dag_id = :dag_id and run_id = :run_id "  # noqa: S608
            "and task_id = :task_id and try_number = :try_number and kind = :kind",
            {**_alert(run, kind), "is_delivered": is_delivered},
        )


def _alert(run: TaskRun, kind: str) -> dict[str, Any]:
    """The key of a row of `ops.alerts`."""
    known = {
        name: value for name, value in asdict(run).items() if name in ("dag_id", "run_id", "task_id", "try_number")
    }
    return {**known, "kind": kind}


def drop_old(connection, before: dt.datetime) -> int:
    """Drops what ended before a moment; returns how many tries that were."""
    moment = {"before": before}
    warehouse.execute(connection, f"delete from {tables.ALERTS} where told_at < :before", moment)  # noqa: S608
    return warehouse.execute(connection, f"delete from {tables.RUNS} where finished_at < :before", moment)  # noqa: S608


def _connected(dsn: str):
    """A connection to a database that has the tables."""
    with warehouse.connect(dsn) as connection:
        [(is_there,)] = warehouse.fetch(connection, "select to_regclass(:name) is not null", {"name": tables.ALERTS})
    if not is_there:
        from segmentation import history  # heavy, and needed once in the life of a database

        history.ensure_schema(dsn)
    return warehouse.connect(dsn)
