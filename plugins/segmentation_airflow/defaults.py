"""When the DAGs run, and how their tasks are retried. A shop changes the times by the environment."""

import os
from datetime import UTC, datetime, timedelta

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from segmentation.errors import FinalError


def schedule(variable: str, default: str) -> str | None:
    """A DAG's cron schedule from the environment; set but empty means: only when asked."""
    return os.environ.get(variable, default).strip() or None


DAILY = schedule("SEGMENTATION_DAILY_SCHEDULE", "0 5 * * *")
CAMPAIGNS = schedule("SEGMENTATION_CAMPAIGNS_SCHEDULE", "0 7 * * *")
WEEKLY = schedule("SEGMENTATION_WEEKLY_SCHEDULE", "0 2 * * 1")
POLICY = schedule("SEGMENTATION_POLICY_SCHEDULE", "0 8 * * 1")
PRODUCTS = schedule("SEGMENTATION_PRODUCTS_SCHEDULE", "0 6 * * 1")

# Before any shop's history: Airflow leaves out the tasks of a run whose logical date lies before the start date.
FIRST_DAY = datetime(1990, 1, 1, tzinfo=UTC)

TASK_DEFAULTS = {
    "owner": "data-engineering",
    "retries": 2,
    "retry_delay": timedelta(seconds=30),
    "execution_timeout": timedelta(hours=1),
    # Trying again does not mend bad data or a missing model: those fail at once.
    "retry_policy": ExceptionRetryPolicy(rules=[RetryRule(exception=FinalError, action=RetryAction.FAIL)]),
}
