"""
# Put an earlier model back into use

Alias `champion` of `model` (or of `all` that have a previous version) goes back to `version`, or without one to the
version before; what is newer scores no day any more, whichever. The next run of `segment_customers_daily` scores with
it; run the day again for it to show at once. Nothing is trained, and a task that is tried again goes back no further.
See docs/runbooks/roll-back-a-model.md.
"""

from airflow.sdk import Param, dag, task

from segmentation_airflow.assets import MODELS
from segmentation_airflow.defaults import FIRST_DAY, TASK_DEFAULTS
from segmentation_airflow.stages import TARGETS, UPLIFT, stores

PARAMS = {
    "model": Param(
        "all", type="string", enum=["all", "customer_segments", *TARGETS, UPLIFT], description="what goes back"
    ),
    "version": Param(
        None,
        type=["null", "string"],
        pattern="^[0-9]{0,9}(?!\\n)$",
        description="to this version; empty: to the one before",
    ),
}


@task(outlets=[MODELS])
def roll_back(model: str, version: str, request: str) -> dict:
    from segmentation import rollback

    return rollback.roll_back(model, version or None, request, stores())


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
def roll_back_model():
    roll_back("{{ params.model }}", "{{ params.version or '' }}", "{{ run_id }}")


roll_back_model()
