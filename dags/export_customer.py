"""
# Hand a person what is kept of them

All rows of customer `id`: the shop's in every version that was read, what was derived from them, what was published,
and what a gate refused. As one JSON file, `exports/customers/<pseudonym>.json` in the lake; task `export` returns where
it is and how many rows of what. Remove the file when it has been handed over. `erase_customers` removes it too.
"""

from airflow.sdk import Param, dag, get_current_context, task

from segmentation_airflow.defaults import FIRST_DAY, TASK_DEFAULTS
from segmentation_airflow.stages import stores

PARAMS = {"id": Param(type="string", minLength=1, description="a customer_id")}


@task
def export() -> dict:
    from segmentation import personal_export

    # Not by templates: what they come to is kept, and shown
    context = get_current_context()
    return personal_export.export_customer(context["params"]["id"], context["dag_run"].start_date, stores())


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
def export_customer():
    export()


export_customer()
