"""The tasks that more than one DAG has. Heavy imports stay inside: a DAG file is parsed every few seconds."""

from datetime import UTC, date, datetime

from airflow.sdk import Param, task

from segmentation_airflow.gates import GateOperator
from segmentation_airflow.stores import stores

__all__ = ["RELOAD", "TARGETS", "UPLIFT", "aggregates", "as_day", "extract_and_accept", "stores"]

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
TARGETS = [
    "churn_90d",
    "purchase_30d",
    "high_value_90d",
    "new_customer_90d",
    "service_risk_90d",
    "spend_90d",
]
UPLIFT = "strategy_uplift"
_TIME = {"type": ["null", "string"], "format": "date-time"}
RELOAD = {
    "reload_since": Param(None, **_TIME, description="load again what was updated at or after this time"),
    "reload_until": Param(None, **_TIME, description="load again what was updated before this time"),
}
SHOP_WAREHOUSE = "shop_warehouse"  # a pool of Airflow's, see pools.json: so many tasks read the warehouse at once
_IS_RELOAD = "{{ params.reload_since or params.reload_until or '' }}"


def as_day(text: str) -> date:
    """The run's day from its template, `{{ ds }}`."""
    return date.fromisoformat(text)


def as_time(text: str) -> datetime | None:
    """A time of a run's parameters, in UTC if it does not say; nothing stands for None."""
    moment = datetime.fromisoformat(text) if text else None
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


@task(map_index_template="{{ task.op_kwargs['entity'] }}", pool=SHOP_WAREHOUSE)
def extract(entity: str, day: str, since: str, until: str) -> dict:
    """One entity from the warehouse to the lake; returns how many rows it brought."""
    from segmentation import extract

    is_reload = since or until
    window = extract.Window(as_time(since), as_time(until)) if is_reload else None
    return extract.extract_entity(entity, as_day(day), stores(), window)


@task
def aggregates(day: str) -> dict:
    """What the accepted rows amount to per customer and day; returns how many rows that added."""
    from segmentation import aggregates

    return aggregates.build_aggregates(as_day(day), stores())


def extract_and_accept(day: str):
    """Every entity from the warehouse to the lake, and what is good of it into the history; returns the gate."""
    gate = GateOperator(task_id="validate_raw", is_reload=_IS_RELOAD)
    window = {"since": "{{ params.reload_since or '' }}", "until": "{{ params.reload_until or '' }}"}
    extract.partial(day=day, **window).expand(entity=ENTITIES) >> gate
    return gate
