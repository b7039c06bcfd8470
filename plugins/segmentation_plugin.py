"""Registers what the project adds to Airflow: a timetable, a deadline, the Segments page and those of the data."""

from airflow.plugins_manager import AirflowPlugin

from segmentation_airflow.deadlines import FirstQueued
from segmentation_airflow.timetables import WhenAsked


async def pages(scope, receive, send):
    """The pages' application, imported when it is first asked: every process of Airflow executes this file."""
    from segmentation_airflow.segments_view import app

    await app(scope, receive, send)


class SegmentationPlugin(AirflowPlugin):
    """See https://airflow.apache.org/docs/apache-airflow/stable/administration-and-deployment/plugins.html."""

    name = "segmentation"
    timetables = [WhenAsked]  # noqa: RUF012 - so wanted
    deadline_references = [FirstQueued]  # noqa: RUF012 - so wanted
    fastapi_apps = [{"app": pages, "url_prefix": "/segmentation", "name": "Segmentation"}]  # noqa: RUF012 - so wanted
    external_views = [  # noqa: RUF012 - so wanted
        {  # without a `url_route` it is a link: in the frame that this would make, links to MLflow lead nowhere
            "name": "Segments",
            "href": "segmentation/segments",
            "destination": "nav",
            "category": "browse",
        },
        {
            "name": "Data quality",
            "href": "segmentation/data-docs/index.html",
            "destination": "nav",
            "category": "browse",
            "url_route": "data-quality",
        },
        {
            "name": "Data Docs",
            "href": "segmentation/data-docs-of-run?dag_id={DAG_ID}&run_id={RUN_ID}",
            "destination": "dag_run",
            "url_route": "data-docs",
        },
    ]
