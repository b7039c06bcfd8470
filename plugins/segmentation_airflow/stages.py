"""The tasks that more than one DAG has. Heavy imports stay inside: a DAG file is parsed every few seconds."""

from datetime import date

from airflow.sdk import task

from segmentation_airflow.stores import stores

__all__ = ["ENTITIES", "RAW_TABLES", "as_day", "extract", "stores", "validate"]

ENTITIES = [
    "customers",
    "products",
    "orders",
    "order_items",
    "events",
    "support_tickets",
    "campaigns",
    "campaign_contacts",
]
RAW_TABLES = [f"raw.{entity}" for entity in ENTITIES]


def as_day(text: str) -> date:
    """The run's day from its template, `{{ ds }}`."""
    return date.fromisoformat(text)


@task(map_index_template="{{ task.op_kwargs['entity'] }}")
def extract(entity: str, day: str) -> int:
    """One entity from the warehouse to the lake; returns its rows."""
    from segmentation import extract

    return extract.extract_entity(entity, as_day(day), stores())


@task
def validate(day: str, tables: list[str]) -> dict:
    """Checks tables against their suites, one by one: loading Great Expectations costs more than the checks."""
    from segmentation import validate

    return {table: validate.validate_table(table, as_day(day), stores()) for table in tables}
