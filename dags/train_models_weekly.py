"""
# Train the segments and the models, every week

`raw.*` -> `agg.*` -> `feat.training_examples` (features at past cutoffs, and what the customers did next) -> models of
segments, churn, purchase, high value, newcomers, service risk and spend in MLflow -> comparison -> promotion.

The training day is the run's logical date: nothing that happened on it or later is learnt. `compare` judges each model
against its champion: what passes is promoted, what fails is not. What lies in between waits for a human under Browse,
Required Actions, one question a model, with the comparison; without an answer in time the champion goes on. Alias
`champion` moves unless it stands on a later training day already: training a past day serves past days only.
What became of each model is what `promote` returns; it is red only if a refused model has no champion to go on.
A day is extracted once, by whichever DAG comes first; `reload_since` and `reload_until` load rows again.
"""

from airflow.sdk import dag, task

from segmentation_airflow.defaults import FIRST_DAY, TASK_DEFAULTS, WEEKLY
from segmentation_airflow.promotion import judged
from segmentation_airflow.stages import RELOAD, TARGETS, aggregates, as_day, extract_and_accept, stores


@task
def training_examples(day: str) -> dict:
    from segmentation import features

    return features.build_training_examples(as_day(day), stores())


@task
def cluster(day: str) -> dict:
    from segmentation import cluster

    return cluster.train_segments(as_day(day), stores())


@task(max_active_tis_per_dagrun=2)
def classify(model: str, day: str) -> dict:
    from segmentation import classify

    return classify.train_target(model, as_day(day), stores())


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
    targets = classify.partial(day=day).expand(model=TARGETS)
    extract_and_accept(day) >> aggregates(day) >> examples >> [segments, targets]
    judged(day, segments, targets)


train_models_weekly()
