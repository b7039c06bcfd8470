"""
# Train the segments and the classifiers, every week

`raw.*` -> `agg.*` -> `feat.training_examples` (features at past cutoffs, and what the customers did next) -> models
`customer_segments`, `churn_90d` and `purchase_30d` in MLflow, with metrics, pictures and signature -> promotion.

The training day is the run's logical date: nothing that happened on it or later is learnt. Alias `champion` moves to
what passes the gate, unless it stands on a later training day already: training a past day serves past days only.
A day is extracted once, by whichever DAG comes first; `reload_since` and `reload_until` load rows again.
"""

from airflow.sdk import dag, task

from segmentation_airflow.assets import MODELS
from segmentation_airflow.defaults import FIRST_DAY, TASK_DEFAULTS, WEEKLY
from segmentation_airflow.stages import RELOAD, aggregates, extract_and_accept


@task
def training_examples(day: str) -> dict:
    from segmentation import features
    from segmentation_airflow.stages import as_day, stores

    return features.build_training_examples(as_day(day), stores())


@task
def cluster(day: str) -> dict:
    from segmentation import cluster
    from segmentation_airflow.stages import as_day, stores

    return cluster.train_segments(as_day(day), stores())


@task
def classify(model: str, day: str) -> dict:
    from segmentation import classify
    from segmentation_airflow.stages import as_day, stores

    return classify.train_classifier(model, as_day(day), stores())


@task(outlets=[MODELS])
def promote(day: str, segments: dict, classifiers: list[dict]) -> dict:
    from segmentation import promote
    from segmentation_airflow.stages import as_day, stores

    return promote.promote_models(as_day(day), [segments, *classifiers], stores())


@dag(
    schedule=WEEKLY,
    start_date=FIRST_DAY,
    catchup=False,
    max_active_runs=1,
    default_args=TASK_DEFAULTS,
    params=RELOAD,
    tags=["segmentation", "weekly"],
    doc_md=__doc__,
)
def train_models_weekly():
    day = "{{ ds }}"
    examples = training_examples(day)
    segments = cluster(day)
    classifiers = classify.partial(day=day).expand(model=["churn_90d", "purchase_30d"])
    extract_and_accept(day) >> aggregates(day) >> examples >> [segments, classifiers]
    promote(day, segments, classifiers)


train_models_weekly()
