"""How a DAG ends that has trained models: each is compared with its champion, a human is asked, it is promoted."""

import os
from datetime import timedelta

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import task, task_group

from segmentation_airflow.assets import MODELS
from segmentation_airflow.stages import as_day, stores

# as in segmentation.promote; the heavy imports stay out of parsing
APPROVE, KEEP = "promote", "keep the champion"
ANSWER_HOURS = float(os.environ.get("SEGMENTATION_ANSWER_HOURS", "24"))


@task
def compare(day: str, trained: dict, others: list[dict]) -> dict:
    from segmentation import compare

    return compare.compare_models(as_day(day), [trained, *others], stores())


@task
def questions(comparison: dict) -> list:
    """One for each model that the comparison leaves open: its subject, and the comparison as the page's body."""
    return comparison["questions"]


@task_group(prefix_group_id=False)
def decided(comparison: dict):
    """Asks each question, all at once; returns the answers in their order, `KEEP` where none came in time.

    They stand under Browse, Required Actions. Where there is no question, `decide` is skipped.
    """
    decide = HITLOperator.partial(
        task_id="decide",
        options=[APPROVE, KEEP],
        defaults=KEEP,
        response_timeout=timedelta(hours=ANSWER_HOURS),
        map_index_template="{{ task.subject.split(':')[0] }}",
    )
    return decide.expand_kwargs(questions(comparison)).output


@task(outlets=[MODELS], trigger_rule="none_failed")
def promote(day: str, comparison: dict, answers: list | None) -> dict:
    from segmentation import promote

    return promote.promote_models(as_day(day), comparison, answers, stores())


def judged(day: str, trained: dict, others: list[dict]):
    """Tasks `compare`, `questions`, `decide` and `promote`, for what the tasks before them return of each model."""
    comparison = compare(day, trained, others)
    return promote(day, comparison, decided(comparison))
