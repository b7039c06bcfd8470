"""
# Segment every customer, every day

`shop.*` -> `raw.*` -> `feat.customer_daily` -> `score.customer_daily` -> `marketing.customer_segments`, for one day.
The day is the run's logical date: everything known before its 00:00 UTC goes in, nothing after.

Each step replaces that day's rows, so any day can be run again. A gate between the steps stops the run before anything
after it has changed. Scored by the promoted models that had been trained by that day; without any, `score` says so.
"""

from datetime import datetime

from airflow.sdk import dag, task

from segmentation_airflow.assets import CUSTOMER_SEGMENTS
from segmentation_airflow.defaults import DAILY, FIRST_DAY, TASK_DEFAULTS
from segmentation_airflow.stages import ENTITIES, RAW_TABLES, extract, validate


@task
def features(day: str) -> int:
    from segmentation import features
    from segmentation_airflow.stages import as_day, stores

    return features.build_features(as_day(day), stores())


@task
def score(day: str, scored_at: str) -> dict:
    from segmentation import score
    from segmentation_airflow.stages import as_day, stores

    return score.score_customers(as_day(day), datetime.fromisoformat(scored_at), stores())


@task(outlets=[CUSTOMER_SEGMENTS])
def publish(day: str, validation: dict, dag_run_id: str) -> dict:
    from segmentation import publish
    from segmentation_airflow.stages import as_day, stores

    return publish.publish_segments(as_day(day), stores(), validation, dag_run_id)


@dag(
    schedule=DAILY,
    start_date=FIRST_DAY,
    catchup=False,
    max_active_runs=1,
    default_args=TASK_DEFAULTS,
    tags=["segmentation", "daily"],
    doc_md=__doc__,
)
def segment_customers_daily():
    day = "{{ ds }}"
    raw = validate.override(task_id="validate_raw")(day, RAW_TABLES)
    built = features(day)
    checked = validate.override(task_id="validate_features")(day, ["feat.customer_daily"])
    scored = score(day, "{{ dag_run.start_date.isoformat() }}")
    passed = validate.override(task_id="validate_scores")(day, ["score.customer_daily"])
    extract.partial(day=day).expand(entity=ENTITIES) >> raw
    raw >> built >> checked >> scored >> passed >> publish(day, passed, "{{ run_id }}")


segment_customers_daily()
