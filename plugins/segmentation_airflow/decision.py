"""Where a human decides about models that neither pass nor fail: Airflow's page of required actions."""

import os
from datetime import timedelta

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import task, task_group

# as in segmentation.promote; the heavy imports stay out of parsing
APPROVE, KEEP = "promote", "keep the champions"
ANSWER_HOURS = float(os.environ.get("SEGMENTATION_ANSWER_HOURS", "24"))


@task.short_circuit(ignore_downstream_trigger_rules=False)
def is_asked(comparison: dict) -> bool:
    """Whether there is anything to decide; if not, the question is skipped."""
    return bool(comparison["asked"])


@task_group(prefix_group_id=False)
def decided(comparison: dict):
    """The question, with the comparison, if there is one; returns the answer, or the default after the set time."""
    decide = HITLOperator(
        task_id="decide",
        subject="Promote {{ ti.xcom_pull(task_ids='compare')['asked'] | join(', ') }} of {{ ds }}?",
        body="{{ ti.xcom_pull(task_ids='compare')['page'] }}",
        options=[APPROVE, KEEP],
        defaults=KEEP,
        response_timeout=timedelta(hours=ANSWER_HOURS),
    )
    is_asked(comparison) >> decide
    return decide.output
