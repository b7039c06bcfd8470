"""
Who may see what on the pages inside Airflow, by rights that Airflow's own roles give.

Aggregates are for whoever may see the daily DAG. What names customers is for whoever may run `export_customer`, which
hands out all that is kept of a person: he learns nothing from a page that he could not ask for there.
"""

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import HTTPException, Request

WATCHED_DAG = "segment_customers_daily"
EXPORT_DAG = "export_customer"
requires_aggregates = requires_access_dag("GET", param_dag_id=WATCHED_DAG)
requires_customers = requires_access_dag("POST", DagAccessEntity.RUN, param_dag_id=EXPORT_DAG)


def may_see_customers(request: Request, user) -> bool:
    """Whether a user may see what names customers."""
    try:
        requires_customers(request, user)
    except HTTPException:
        return False
    return True
