"""
evaluate: `raw.*` of the lake and who was in which segment -> `marketing.campaign_results`, for one day; and pages.

What each campaign changed: every campaign that has contacted somebody, from its first day until `settle_days` after its
end, when what was late has come. What the day knew goes in, nothing else; who does not consent to profiling now is left
out. How to read it: docs/campaign-results.md.
"""

import datetime as dt
from typing import Any

import pyarrow as pa

from segmentation import (
    campaign_customers,
    campaign_effects,
    campaign_pages,
    campaign_results,
    choice_days,
    engine,
    lake,
    settings,
    sql,
    tables,
)
from segmentation.campaign_effects import Campaign
from segmentation.settings import Stores


def evaluate_campaigns(day: dt.date, stores: Stores) -> dict[str, Any]:
    """Writes the results of one day in the place of what was written for it; a day without a campaign has no rows.

    :returns: `campaigns`, how many, `running`, how many of these are, `rows`, and `pages`, where their list is.
    :raises history.NotAcceptedError: the day has not passed the gate.
    """
    campaign_results.ensure_schema(stores.marketing)
    config, smallest = settings.load().evaluate, settings.load().publish.smallest_group
    with engine.session(stores.lake) as session:
        campaign_customers.look_up(session, day, stores)
        due = _due(session, day, stores)
        campaigns = _campaigns(due, day, stores)
        customers = None
        if campaigns:
            customers = campaign_customers.outcomes(session, day, stores, due, config.most_compared)
    rows: list[dict[str, Any]] = []
    if customers is not None:
        for campaign_id, group in customers.groupby("campaign_id", sort=True):
            rows += campaign_effects.rows_of(campaigns[campaign_id], group, day, config, smallest)
    campaign_results.replace_day(stores.marketing, day, rows)
    running = sum(campaign.status == "running" for campaign in campaigns.values())
    pages = campaign_pages.write(stores, campaigns)
    return {"campaigns": len(campaigns), "running": running, "rows": len(rows), "pages": pages}


def _due(session: engine.Session, day: dt.date, stores: Stores) -> pa.Table:
    """The campaigns to evaluate: the columns of `campaigns.sql`."""
    begun = engine.table_of(session.batches(sql.read("evaluate", "campaigns"), {"as_of": day}))
    settled = campaign_results.settled(stores.marketing, day)
    return begun.filter(pa.array([name not in settled for name in begun["campaign_id"].to_pylist()], pa.bool_()))


def _campaigns(due: pa.Table, day: dt.date, stores: Stores) -> dict[str, Campaign]:
    days, most = lake.days_of(stores.lake, tables.STRATEGIES), settings.load().policy.choice_days
    found = {}
    for row in due.drop_columns(["contacts", "held_out"]).to_pylist():
        chosen_on = choice_days.choice_day(row.pop("first_contact"), days, most)
        share = choice_days.holdout_share(row["strategy_id"], chosen_on, stores.lake)
        found[row["campaign_id"]] = Campaign(**row, status=status(row["ends_at"], day), holdout_share=share)
    return found


def status(ends_at: dt.datetime, day: dt.date) -> str:
    """`running`, `closed`, or `final`: closed so long that nothing more is expected to come."""
    now = engine.midnight(day)
    if ends_at > now:
        return "running"
    return "final" if ends_at + dt.timedelta(days=settings.load().evaluate.settle_days) <= now else "closed"
