"""Where a human decides about models that neither pass nor fail: Airflow's page of required actions."""

import os
from datetime import timedelta

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import task, task_group

# as in segmentation.promote; the heavy imports stay out of parsing
APPROVE, KEEP = "promote", "keep the champion"
ANSWER_HOURS = float(os.environ.get("SEGMENTATION_ANSWER_HOURS", "24"))


@task
def questions(comparison: dict) -> list:
    """One for each model that the comparison leaves open: its subject, and the comparison as the page's body."""
    return comparison["questions"]


@task_group(prefix_group_id=False)
def decided(comparison: dict):
    """Asks each question, all at once; returns the answers in their order, `KEEP` where none came in time.

    Where there is no question, `decide` is skipped.
    """
    decide = HITLOperator.partial(
        task_id="decide",
        options=[APPROVE, KEEP],
        defaults=KEEP,
        response_timeout=timedelta(hours=ANSWER_HOURS),
        map_index_template="{{ task.subject.split(':')[0] }}",
    )
    return decide.expand_kwargs(questions(comparison)).output
