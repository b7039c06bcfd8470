"""
# Forget persons

Takes the customers of `ids`, and those who wait in table `privacy.requests`, out of everything that the pipeline keeps:
all versions in the lake, features, scores, training sets, exports, Data Docs, snapshots, history, feed (which gets an
`erased` tombstone), quarantine, MLflow and these logs. From now on the raw gate lets in nothing of theirs. The proof, a
scan of every file and table, is in the log of task `erase` and in `privacy.erasures`. Waits for the stages that are
running, and they for it. Killed at any point, it goes on when it is run again. See docs/runbooks/erase-a-person.md.
"""

from airflow.sdk import Param, conf, dag, get_current_context, task

from segmentation_airflow.assets import CUSTOMER_SEGMENTS
from segmentation_airflow.defaults import FIRST_DAY, TASK_DEFAULTS
from segmentation_airflow.stages import stores

PARAMS = {
    "ids": Param([], type="array", items={"type": "string", "minLength": 1}, description="customer_id, one a line"),
}


@task(outlets=[CUSTOMER_SEGMENTS])
def erase() -> dict:
    from segmentation import erase

    # Not by templates: what they come to is kept, and shown
    context = get_current_context()
    logs = [conf.get("logging", "base_log_folder")]
    return erase.erase_customers(context["params"]["ids"], stores(), context["run_id"], logs)


@dag(
    schedule=None,
    start_date=FIRST_DAY,
    catchup=False,
    max_active_runs=1,
    default_args=TASK_DEFAULTS,
    params=PARAMS,
    tags=["segmentation", "on request"],
    doc_md=__doc__,
)
def erase_customers():
    erase()


erase_customers()
