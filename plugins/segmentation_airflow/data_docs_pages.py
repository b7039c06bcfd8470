"""
The Data Docs inside Airflow's own pages: for whoever may see the DAGs, since their examples name customers.

`/segmentation/data-docs/<day>/<table>.html` hands out a page of the lake; `/segmentation/data-docs-of-run` finds the
day of a run. `/segmentation/data-docs/campaigns/index.html` leads to what each campaign has changed.
"""

import os
import re

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.models import DagRun
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import HTMLResponse, RedirectResponse
from sqlalchemy import select

WATCHED_DAG = "segment_customers_daily"
PAGE = re.compile(r"(?:(?:\d{4}-\d{2}-\d{2}/)?[a-z_.]+|campaigns/[A-Za-z0-9_-]+)\.html")

app = FastAPI(
    title="Segmentation",
    dependencies=[Depends(requires_access_dag("GET", param_dag_id=WATCHED_DAG))],
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
)


@app.get("/data-docs/{path:path}", response_class=HTMLResponse)
def page(path: str) -> str:
    """A page of the Data Docs."""
    from segmentation import lake, settings

    found = None
    if PAGE.fullmatch(path) and ".." not in path:
        found = lake.read_text_in(settings.data_docs_of(lake.checked(os.environ["LAKE_URI"])), path)
    if found is None:
        raise HTTPException(404, f"There are no Data Docs at {path}: no gate has looked at that day or table.")
    return found


@app.get("/data-docs-of-run")
def page_of_run(dag_id: str, run_id: str, session: SessionDep) -> RedirectResponse:
    """The Data Docs of the day that a run is for."""
    day = session.scalar(select(DagRun.logical_date).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
    if day is None:
        raise HTTPException(404, f"There is no run {run_id} of {dag_id}, or it is for no day.")
    return RedirectResponse(f"data-docs/{day:%Y-%m-%d}/index.html")
