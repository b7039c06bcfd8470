"""When the DAGs run, how their tasks are retried, and who is told. A shop changes the times by the environment."""

import os
from datetime import UTC, datetime, timedelta

from airflow.sdk import AsyncCallback, DeadlineAlert, ExceptionRetryPolicy, RetryAction, RetryRule

from segmentation.errors import FinalError
from segmentation_airflow import run_log
from segmentation_airflow.alerts import Alert
from segmentation_airflow.deadlines import FirstQueued
from segmentation_airflow.timetables import WhenAsked


def schedule(variable: str, default: str) -> str | WhenAsked:
    """A DAG's cron schedule from the environment; set but empty means: only when asked, for a day or a back-fill of
    the default's days, each at 00:00 UTC."""
    days = default.split()[-1]
    return os.environ.get(variable, default).strip() or WhenAsked(f"0 0 * * {days}", timezone="UTC")


def deadline(variable: str, minutes: str) -> DeadlineAlert | None:
    """Tells that a run has not ended so many minutes after it was first queued; set but empty means: never.

    :raises ValueError: the variable is no number above 0.
    """
    text = os.environ.get(variable, minutes).strip()
    if not text:
        return None
    try:
        allowed = timedelta(minutes=float(text))
        if not allowed > timedelta():
            raise ValueError
    except ValueError:
        raise ValueError(f"{variable} must be a number of minutes above 0, not {text!r}") from None
    return DeadlineAlert(FirstQueued(), allowed, AsyncCallback(Alert))


def seconds(variable: str, default: str) -> timedelta:
    """A time from the environment.

    :raises ValueError: the variable is no number of seconds, or below 0.
    """
    text = os.environ.get(variable, default).strip()
    try:
        found = timedelta(seconds=float(text))
        if found < timedelta():
            raise ValueError
    except (ValueError, OverflowError):
        raise ValueError(f"{variable} must be a number of seconds, not {text!r}") from None
    return found


DAILY = schedule("SEGMENTATION_DAILY_SCHEDULE", "0 5 * * *")
CAMPAIGNS = schedule("SEGMENTATION_CAMPAIGNS_SCHEDULE", "0 7 * * *")
WEEKLY = schedule("SEGMENTATION_WEEKLY_SCHEDULE", "0 2 * * 1")
POLICY = schedule("SEGMENTATION_POLICY_SCHEDULE", "0 8 * * 1")
PRODUCTS = schedule("SEGMENTATION_PRODUCTS_SCHEDULE", "0 6 * * 1")
DAILY_DEADLINE = deadline("SEGMENTATION_DAILY_DEADLINE_MINUTES", "120")

# Before any shop's history: Airflow leaves out the tasks of a run whose logical date lies before the start date.
FIRST_DAY = datetime(1990, 1, 1, tzinfo=UTC)

TASK_DEFAULTS = {
    "owner": "data-engineering",
    "retries": 2,
    "retry_delay": seconds("SEGMENTATION_RETRY_SECONDS", "30"),
    "execution_timeout": timedelta(hours=1),
    # Trying again does not mend bad data or a missing model: those fail at once.
    # How it went, to ops.runs; and what somebody should know. A try that another one follows is told to nobody.
    "on_success_callback": [run_log.succeeded, Alert()],
    "on_skipped_callback": [run_log.skipped],
    "on_retry_callback": [run_log.will_retry],
    "on_failure_callback": [run_log.failed, Alert()],
    "retry_policy": ExceptionRetryPolicy(rules=[RetryRule(exception=FinalError, action=RetryAction.FAIL)]),
}
