"""
# Segment every customer, every day

`shop.*` -> `raw.*` -> `agg.*` -> `feat.customer_daily` -> `score.customer_daily`, `score.strategy_daily`,
`score.recommendations_daily` -> `marketing.customer_segments`, for one day, the run's logical date: everything
known before its 00:00 UTC goes in, nothing after.

Any day can be run again: it reads what it knew when it passed the raw gate first, and each step replaces its rows. A
gate between the steps stops the run before anything after it has changed, and links to what it found. Rows that break
a rule wait in `quarantine.rows`. With `reload_since`, `reload_until` or both, rows that were updated between these
times are loaded once more, and the day knows them. Scored by the promoted models that had been trained by that day;
without any, `score` says so. Strategies come from include/config/strategies.yaml; `strategy` says which are off. What
follows publication delays and undoes nothing: see docs/after-promotion.md. A run that takes too long is told of.
"""

from datetime import datetime

from airflow.sdk import dag, task

from segmentation_airflow.assets import CUSTOMER_SEGMENTS
from segmentation_airflow.defaults import DAILY, DAILY_DEADLINE, FIRST_DAY, TASK_DEFAULTS
from segmentation_airflow.gates import GateOperator
from segmentation_airflow.products import recommend
from segmentation_airflow.stages import RELOAD, aggregates, extract_and_accept
from segmentation_airflow.strategies import strategy
from segmentation_airflow.tidy import compact, drop_snapshots
from segmentation_airflow.watch import watch


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
    deadline=DAILY_DEADLINE,
    start_date=FIRST_DAY,
    catchup=False,
    max_active_runs=1,
    default_args=TASK_DEFAULTS,
    params=RELOAD,
    tags=["segmentation", "daily"],
    doc_md=__doc__,
)
def segment_customers_daily():
    day = "{{ ds }}"
    built = features(day)
    checked = GateOperator(task_id="validate_features", table="feat.customer_daily")
    scored = score(day, "{{ dag_run.start_date.isoformat() }}")
    passed = GateOperator(task_id="validate_scores", table="score.customer_daily")
    allowed = GateOperator(task_id="validate_strategies", table="score.strategy_daily")
    extract_and_accept(day) >> aggregates(day) >> built >> checked >> scored >> passed
    scored >> strategy(day) >> allowed
    tidied = [compact(), drop_snapshots("{{ dag_run.start_date.isoformat() }}")]
    published = publish(day, passed.output, "{{ run_id }}")
    checked >> recommend(day) >> published
    allowed >> published >> [*tidied, watch(day)]


segment_customers_daily()
