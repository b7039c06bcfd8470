"""How each try of a task went, to `ops.runs`: the callbacks that every DAG has. Whatever fails here harms no task."""

import logging
import resource
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Connection

from segmentation_airflow.stores import MARKETING, dsn

log = logging.getLogger(__name__)
SUCCESS, SKIPPED, RETRY, FAILED = "success", "skipped", "up_for_retry", "failed"


def succeeded(context: Any) -> None:
    """Callback of a task that has ended well."""
    record(context, SUCCESS)


def skipped(context: Any) -> None:
    """Callback of a task that has skipped itself."""
    record(context, SKIPPED)


def will_retry(context: Any) -> None:
    """Callback of a try that has failed, where another one follows."""
    record(context, RETRY)


def failed(context: Any) -> None:
    """Callback of the last try, where it has failed."""
    record(context, FAILED)


def record(context: Any, state: str) -> None:
    """Writes the row of a try; if that cannot be, says so in the log and does no more."""
    try:
        from segmentation import task_runs

        task_runs.write(marketing(), task_run(context, state))
    except Exception as error:
        log.warning("ops.runs does not get this try: %s", told(error))


def task_run(context: Any, state: str):
    """The row of a try. Called in the task's own process, or for one that was killed, in the DAG processor."""
    from segmentation import causes, task_runs

    ti, is_own = context["ti"], in_own_process(context)
    has_failed = state in (RETRY, FAILED)
    rows_in, rows_out = task_runs.rows_of(ti.task_id, result_of(context)) if state == SUCCESS else (None, None)
    return task_runs.TaskRun(
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=ti.map_index if ti.map_index is not None else -1,
        try_number=ti.try_number,
        day=day_of(context),
        stage=stage_of(context),
        started_at=getattr(ti, "start_date", None),
        finished_at=getattr(ti, "end_date", None) or datetime.now(UTC),
        rows_in=rows_in,
        rows_out=rows_out,
        peak_memory_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024 if is_own else None,
        state=state,
        cause=masked(causes.cause_of(context.get("exception"))) if has_failed else None,
    )


def in_own_process(context: Any) -> bool:
    """Whether this is the task's own process, which says how it ended, and not another one after it was killed."""
    return "exception" in context


def day_of(context: Any):
    """The run's day; None if it has none, as when it was asked for without."""
    logical = context.get("logical_date")
    return logical.date() if logical else None


def stage_of(context: Any) -> str:
    """The task's id, and which of its entities or models where there are several."""
    ti = context["ti"]
    if ti.map_index is None or ti.map_index < 0:
        return ti.task_id
    return f"{ti.task_id} {getattr(ti, 'rendered_map_index', None) or ti.map_index}"


def result_of(context: Any) -> Any:
    """What the task has returned."""
    ti = context["ti"]
    return ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index)


def marketing() -> str:
    """The DSN of the database with schema `ops`."""
    return dsn(Connection.get(MARKETING))


def masked(text: str) -> str:
    """A text without the passwords that Airflow knows of."""
    from airflow.sdk.log import redact

    return str(redact(text))


def told(error: BaseException) -> str:
    """An error of what is beside the point here, in one line that tells no secret."""
    from segmentation import causes

    return masked(causes.cause_of(error)).partition("\n")[0]
