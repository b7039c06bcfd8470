"""From when Airflow counts the time that a run is allowed."""

from datetime import datetime
from typing import TYPE_CHECKING

from airflow.sdk.definitions.deadline import BaseDeadlineReference

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


class FirstQueued(BaseDeadlineReference):
    """When a run was queued for the first time; clearing it later gives it no more time.

    Airflow's own `DAGRUN_QUEUED_AT` counts anew for a cleared run, and there answers every clearing with HTTP 500
    (Airflow 3.3, apache/airflow#70368): no day could be run again. Deadlines of other references are left alone.
    """

    required_kwargs = frozenset({"dag_id", "run_id"})

    def _evaluate_with(self, *, session: "Session", dag_id: str, run_id: str) -> datetime | None:
        """Called where the run is created: by the scheduler and the API server."""
        from airflow.models import DagRun
        from sqlalchemy import select

        return session.scalar(select(DagRun.queued_at).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
