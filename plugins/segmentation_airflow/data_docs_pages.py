"""
The Data Docs inside Airflow's own pages: what broke on which day is for whoever may see the daily DAG; the page of a
table, whose examples are keys of rows and so may name customers, for whoever may see customers (`rights`).

`/segmentation/data-docs/<day>/<table>.html` hands out a page of the lake; `/segmentation/data-docs-of-run` finds the
day of a run. `/segmentation/data-docs/campaigns/index.html` leads to what each campaign has changed.
"""

import os
import re

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models import DagRun
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from sqlalchemy import select

from segmentation_airflow import rights

PAGE = re.compile(r"(?:(?:\d{4}-\d{2}-\d{2}/)?[a-z_.]+|campaigns/[A-Za-z0-9_-]+)\.html")
WITHOUT_EXAMPLES = re.compile(r"(?:\d{4}-\d{2}-\d{2}/)?index\.html|campaigns/.*")

app = FastAPI(
    title="Segmentation",
    dependencies=[Depends(rights.requires_aggregates)],
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
)


@app.get("/data-docs/{path:path}", response_class=HTMLResponse)
def page(path: str, request: Request, user: GetUserDep) -> str:
    """A page of the Data Docs, if the user may see it."""
    if not WITHOUT_EXAMPLES.fullmatch(path) and not rights.may_see_customers(request, user):
        raise HTTPException(
            403, f"The page of a table may name customers: it is for whoever may run {rights.EXPORT_DAG}."
        )
    return text_of(path)


def text_of(path: str) -> str:
    """A page of the Data Docs.

    :raises HTTPException: 404, there is none; or the path is none of theirs.
    """
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
