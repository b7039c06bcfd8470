"""What follows publication: promise against outcome, drift, and a training before its time where these ask for one."""

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import task, task_group

from segmentation_airflow.stages import as_day
from segmentation_airflow.stores import stores

TRAINING = "train_models_weekly"


@task
def performance(day: str) -> dict:
    """What the scores were worth whose horizon ends today."""
    from segmentation import performance

    return performance.measure_performance(as_day(day), stores())


@task
def drift(day: str) -> dict:
    """How far features and scores are from what the models have learnt from."""
    from segmentation import drift

    return drift.measure_drift(as_day(day), stores())


@task.short_circuit
def retrain(day: str) -> list:
    """The reasons for a training today; without any, what comes after is skipped."""
    from segmentation import retrain

    return retrain.retrain_reasons(as_day(day), stores())


@task_group(prefix_group_id=False)
def watch(day: str) -> None:
    """Performance and drift, then the training if they ask for it; a day that has been trained for is left alone."""
    reasons = retrain(day)
    training = TriggerDagRunOperator(
        task_id=TRAINING,
        trigger_dag_id=TRAINING,
        logical_date=day,
        conf={"reasons": reasons},
        skip_when_already_exists=True,
    )
    [performance(day), drift(day)] >> reasons >> training
