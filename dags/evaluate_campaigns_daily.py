"""
# Measure what each campaign changed, every day

`raw.*` of the lake and `marketing.segment_history` -> `marketing.campaign_results`, and a page per campaign, for one
day: conversion, revenue, margin, satisfaction and unsubscribes of every arm against the customers who were held out,
among all and per segment, with intervals, costs and the checks behind them. Campaigns whose window is still open are
marked as running; a month after its end a campaign's results are final, and it is evaluated no more.

The day is the run's logical date: everything known before its 00:00 UTC goes in, nothing after. Any day can be run
again and writes the same rows, in the place of its own. A day is extracted once, by whichever DAG comes first;
`reload_since` and `reload_until` load rows again. How to read the results: docs/campaign-results.md.
"""

from airflow.sdk import dag, task

from segmentation_airflow.assets import CAMPAIGN_RESULTS
from segmentation_airflow.defaults import CAMPAIGNS, FIRST_DAY, TASK_DEFAULTS
from segmentation_airflow.stages import RELOAD, as_day, extract_and_accept, stores


@task(outlets=[CAMPAIGN_RESULTS])
def evaluate(day: str) -> dict:
    from segmentation import evaluate

    return evaluate.evaluate_campaigns(as_day(day), stores())


@dag(
    schedule=CAMPAIGNS,
    start_date=FIRST_DAY,
    catchup=False,
    max_active_runs=1,
    default_args=TASK_DEFAULTS,
    params=RELOAD,
    tags=["segmentation", "daily"],
    doc_md=__doc__,
)
def evaluate_campaigns_daily():
    day = "{{ ds }}"
    extract_and_accept(day) >> evaluate(day)


evaluate_campaigns_daily()
