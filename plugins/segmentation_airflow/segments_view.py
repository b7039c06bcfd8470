"""
The Segments page inside Airflow, at `/segmentation/segments`, beside the Data Docs and behind the same login.

Aggregates are for whoever may see the daily DAG, one customer is not: see `rights`.
"""

import logging
from datetime import UTC, datetime
from typing import Annotated

from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from fastapi import APIRouter, Depends, Form, Header, HTTPException, Request
from fastapi.responses import HTMLResponse

from segmentation_airflow import rights
from segmentation_airflow.data_docs_pages import app
from segmentation_airflow.stores import MARKETING, MLFLOW, dsn

log = logging.getLogger(__name__)

router = APIRouter()


@router.get("/segments", response_class=HTMLResponse)
def segments(
    request: Request, user: GetUserDep, lang: str | None = None, accept_language: Annotated[str | None, Header()] = None
) -> HTMLResponse:
    """The page, in the language of `?lang=` (en, zh), else in the browser's."""
    return _page(lang, accept_language, may_see_customers=rights.may_see_customers(request, user))


@router.post("/segments", response_class=HTMLResponse, dependencies=[Depends(rights.requires_customers)])
def customer(
    user: GetUserDep,
    customer: Annotated[str, Form(max_length=200)],
    lang: str | None = None,
    accept_language: Annotated[str | None, Header()] = None,
) -> HTMLResponse:
    """The page with one customer. By POST, so that no address and no access log names a customer."""
    log.info("%s looked up a customer on the Segments page", user.get_name())
    return _page(lang, accept_language, may_see_customers=True, customer_id=customer.strip())


def _page(lang, accept_language, *, may_see_customers: bool, customer_id: str | None = None) -> HTMLResponse:
    from segmentation import page_words, segments_page, settings

    try:
        marketing = dsn(Connection.get(MARKETING))
    except AirflowNotFoundException as error:
        raise HTTPException(503, f"The page needs the Airflow connection `{MARKETING}`.") from error
    html = segments_page.page(
        marketing,
        now=datetime.now(UTC),
        language=page_words.language_of(lang, accept_language),
        mlflow=settings.load().page.mlflow or _mlflow(),
        may_see_customers=may_see_customers,
        customer_id=customer_id,
    )
    return HTMLResponse(html, headers=segments_page.HEADERS)


def _mlflow() -> str | None:
    try:
        connection = Connection.get(MLFLOW)
    except AirflowNotFoundException:
        return None
    return f"{connection.conn_type}://{connection.host}:{connection.port}"


app.include_router(router)
