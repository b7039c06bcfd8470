"""
evaluate: `raw.*` of the lake and who was in which segment -> `marketing.campaign_results`, for one day; and pages.

What each campaign changed: every campaign that has contacted somebody, from its first day until `settle_days` after its
end, when what was late has come. What the day knew goes in, nothing else; who does not consent to profiling now is left
out. How to read it: docs/campaign-results.md.
"""

import datetime as dt
from typing import Any

import pandas as pd
import pyarrow as pa

from segmentation import (
    campaign_effects,
    campaign_pages,
    campaign_results,
    engine,
    history,
    settings,
    snapshots,
    sql,
    tables,
    warehouse,
)
from segmentation.campaign_effects import Campaign
from segmentation.settings import Stores

_ENTITIES = (
    tables.CUSTOMERS,
    tables.PRODUCTS,
    tables.ORDERS,
    tables.ORDER_ITEMS,
    tables.CAMPAIGNS,
    tables.CAMPAIGN_CONTACTS,
)
_HISTORY = pa.schema(
    [
        ("customer_id", pa.string()),
        ("segment_id", pa.int32()),
        ("segment_name", pa.string()),
        ("valid_from", pa.date32()),
        ("valid_to", pa.date32()),
    ]
)


def evaluate_campaigns(day: dt.date, stores: Stores) -> dict[str, Any]:
    """Writes the results of one day in the place of what was written for it; a day without a campaign has no rows.

    :returns: `campaigns`, how many, `running`, how many of these are, `rows`, and `pages`, where their list is.
    :raises history.NotAcceptedError: the day has not passed the gate.
    """
    campaign_results.ensure_schema(stores.marketing)
    config, smallest = settings.load().evaluate, settings.load().publish.smallest_group
    with engine.session(stores.lake) as session:
        for entity in _ENTITIES:
            session.put(entity.table, history.known(stores, entity.name, day))
        session.put(tables.CUSTOMERS_NOW, history.latest(stores, tables.CUSTOMERS.name))
        campaigns = _due(session, day, stores)
        customers = _customers(session, day, stores, config) if campaigns else None
    rows: list[dict[str, Any]] = []
    if customers is not None:
        for campaign_id, group in customers.groupby("campaign_id", sort=True):
            rows += campaign_effects.rows_of(campaigns[campaign_id], group, day, config, smallest)
    campaign_results.replace_day(stores.marketing, day, rows)
    running = sum(campaign.status == "running" for campaign in campaigns.values())
    pages = campaign_pages.write(stores, campaigns)
    return {"campaigns": len(campaigns), "running": running, "rows": len(rows), "pages": pages}


def _due(session: engine.Session, day: dt.date, stores: Stores) -> dict[str, Campaign]:
    """The campaigns to evaluate, by id; also `evaluate.due` in the session."""
    begun = engine.table_of(session.batches(sql.read("evaluate", "campaigns"), {"as_of": day}))
    settled = campaign_results.settled(stores.marketing, day)
    due = begun.filter(pa.array([name not in settled for name in begun["campaign_id"].to_pylist()], pa.bool_()))
    session.put(tables.DUE_CAMPAIGNS, due)
    made = due.drop_columns(["contacts", "held_out"]).to_pylist()
    return {row["campaign_id"]: Campaign(**row, status=status(row["ends_at"], day)) for row in made}


def status(ends_at: dt.datetime, day: dt.date) -> str:
    """`running`, `closed`, or `final`: closed so long that nothing more is expected to come."""
    now = engine.midnight(day)
    if ends_at > now:
        return "running"
    return "final" if ends_at + dt.timedelta(days=settings.load().evaluate.settle_days) <= now else "closed"


def _customers(session: engine.Session, day: dt.date, stores: Stores, config: settings.Evaluate) -> pd.DataFrame:
    """Everyone who is compared, with what they did: the columns of `outcomes.sql`, by campaign and customer."""
    session.put(tables.SEGMENT_HISTORY, _segments(stores))
    session.create(tables.DRAWN, sql.read("evaluate", "drawn"), {"as_of": day})
    session.create(tables.NOT_CONTACTED, sql.read("evaluate", "not_contacted"), {"most": config.most_compared})
    both = f"select * from {tables.DRAWN} union all select * from {tables.NOT_CONTACTED}"  # noqa: S608 - constants
    session.create(tables.MEASURED_CUSTOMERS, both)
    return engine.table_of(session.batches(sql.read("evaluate", "outcomes"))).to_pandas()


def _segments(stores: Stores) -> pa.Table:
    """Who was in which segment since when."""
    snapshots.ensure_schema(stores.marketing)
    names = ", ".join(_HISTORY.names)
    statement = f"select {names} from {warehouse.identifier(tables.SEGMENT_HISTORY)}"  # noqa: S608 - a quoted name
    return pa.Table.from_batches(warehouse.stream(stores.marketing, statement, _HISTORY), _HISTORY)
