"""
# Learn from campaigns whom a strategy changes, every week

`raw.*`, `agg.*` and `score.strategy_daily` of past days -> `feat.contact_examples` (what was known of everyone whom a
campaign drew, on the day of that choice) -> model `strategy_uplift` in MLflow -> comparison -> promotion.

The day is the run's logical date: campaigns that are over by then, and held customers out by lot, are learnt from.
MLflow has what the learnt policy is worth against everybody the best single offer, and against nobody, with
intervals; Qini and uplift curves as pictures. `compare` judges it by the rules of promotion: what passes is promoted,
what fails is not, and what lies in between waits for a human under Browse, Required Actions. From then on the daily
run chooses strategies by it; until then, and where it was refused, by what include/config/strategies.yaml assumes.
Without results enough it says which are missing, and nothing changes. See docs/policy.md.
"""

from airflow.sdk import dag, task

from segmentation_airflow.defaults import FIRST_DAY, POLICY, TASK_DEFAULTS
from segmentation_airflow.promotion import judged
from segmentation_airflow.stages import RELOAD, aggregates, as_day, extract_and_accept, stores


@task
def contact_examples(day: str) -> dict:
    from segmentation import contact_features

    return contact_features.build_contact_features(as_day(day), stores())


@task
def learn(day: str) -> dict:
    from segmentation import learn_policy

    return learn_policy.learn_strategies(as_day(day), stores())


@dag(
    schedule=POLICY,
    start_date=FIRST_DAY,
    catchup=False,
    max_active_runs=1,
    default_args=TASK_DEFAULTS,
    params=RELOAD,
    tags=["segmentation", "weekly"],
    doc_md=__doc__,
)
def learn_policy_weekly():
    day = "{{ ds }}"
    learnt = learn(day)
    extract_and_accept(day) >> aggregates(day) >> contact_examples(day) >> learnt
    judged(day, learnt, [])


learn_policy_weekly()
