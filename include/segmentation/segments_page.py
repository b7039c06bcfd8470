"""
The Segments page, which Airflow shows: segments, moves, risk, strategies, campaigns, products, data quality, models.

It reads small tables only, which publishing and evaluating have filled (`page_counts`, `profiles`), so it costs the
same whatever the number of customers; one customer is looked up by key. Aggregates keep small groups back as they were
written. The page loads nothing, and runs no script.
"""

import base64
import datetime as dt
import hashlib
from pathlib import Path
from typing import Any

import jinja2

from segmentation import page_sections, settings, sql, tables, warehouse
from segmentation.page_sections import Facts
from segmentation.page_words import Language, Words

_HERE = Path(__file__)
STYLE = _HERE.with_suffix(".css").read_text(encoding="utf-8")
_PAGE = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True).from_string(
    _HERE.with_suffix(".html").read_text(encoding="utf-8")
)
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'self'",
    "Cache-Control": "private, no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_MODEL_DAYS = 400
_SECONDS = 10
_NEEDS = {
    "snapshots": (tables.SNAPSHOTS, tables.CURRENT_SNAPSHOT),
    "counts": (tables.PAGE_COUNTS,),
    "campaigns": (tables.CAMPAIGN_RESULT_ROWS,),
    "products": (tables.PRODUCT_MOVEMENT,),
    "quality": (tables.QUALITY_RESULTS,),
}
_OF_SNAPSHOT = ("segments", "moves", "risk", "strategies")


def page(
    marketing: str,
    *,
    now: dt.datetime,
    language: Language,
    mlflow: str | None,
    may_see_customers: bool,
    customer_id: str | None = None,
) -> str:
    """The page as HTML; send it with `HEADERS`.

    :param marketing: DSN of the marketing database; nothing is written.
    :param now: what the age of the snapshot is told by.
    :param mlflow: MLflow's address for links; None: no links.
    :param may_see_customers: False: aggregates only, and `customer_id` is not looked up.
    :param customer_id: whom to show besides.
    """
    config = settings.load()
    asked_for = customer_id if may_see_customers else None
    facts = read(marketing, now, config.page, asked_for)
    say = Words(language)
    sections = page_sections.of(facts, say, config.page, mlflow)
    names = [
        *(_OF_SNAPSHOT if facts.snapshot else ()), "campaigns", "products", "quality",
        *(("models", "look_up") if facts.snapshot else ()),
    ]  # fmt: skip
    return _PAGE.render(
        **sections,
        say=say,
        other="en" if language == "zh" else "zh",
        style=STYLE,
        sections=names,
        snapshot=facts.snapshot,
        is_counted=bool(facts.counts),
        alerts=_alerts(facts, say, now, config.page),
        trend_days=config.page.trend_days,
        smallest=config.publish.smallest_group,
        may_see_customers=may_see_customers,
        missing=asked_for if asked_for and not facts.customer else None,
    )


def read(marketing: str, now: dt.datetime, config: settings.Page, customer_id: str | None = None) -> Facts:
    """What the page tells, from the marketing database, in one transaction that writes nothing."""
    with warehouse.connect(marketing) as connection:
        warehouse.execute(connection, "set transaction isolation level repeatable read, read only")
        warehouse.execute(
            connection, "select set_config('statement_timeout', :limit, true)", {"limit": f"{_SECONDS * 1000}ms"}
        )
        there = _there(connection)

        def rows(statement: str, needs: str, stage: str = "page", **parameters: Any) -> list[dict[str, Any]]:
            return warehouse.fetch_dicts(connection, sql.read(stage, statement), parameters) if needs in there else []

        found = rows("current", "snapshots")
        snapshot = found[0] if found else None
        facts = Facts(
            snapshot=snapshot,
            campaigns=rows("campaigns", "campaigns", most=config.campaigns),
            products=rows("products", "products"),
            quality=rows(
                "attempts", "quality", "quality",
                since=(snapshot["as_of_date"] if snapshot else now.date()) - dt.timedelta(days=config.quality_days),
            ),
        )  # fmt: skip
        if snapshot:
            day, number = snapshot["as_of_date"], snapshot["snapshot_id"]
            facts.segments = rows("segments", "snapshots", snapshot_id=number)
            facts.trend = rows("trend", "snapshots", day=day, since=day - dt.timedelta(days=config.trend_days))
            facts.counts = rows("counts", "counts", snapshot_id=number)
            facts.models = rows("models", "snapshots", day=day, most=_MODEL_DAYS)
        if snapshot and customer_id and warehouse.can_hold(customer_id):
            facts.customer = next(iter(rows("customer", "snapshots", customer_id=customer_id)), None)
            facts.history = rows("customer_history", "snapshots", customer_id=customer_id) if facts.customer else []
    return facts


def _there(connection) -> set[str]:
    """Which of `_NEEDS` have their relations: a shop may have no campaigns, or an earlier version's tables yet."""
    names = sorted({name for needed in _NEEDS.values() for name in needed})
    found = warehouse.fetch(
        connection,
        "select name from unnest(cast(:names as text[])) as names (name) where to_regclass(name) is not null",
        {"names": names},
    )
    there = {name for (name,) in found}
    return {key for key, needed in _NEEDS.items() if there.issuperset(needed)}


def _alerts(facts: Facts, say: Words, now: dt.datetime, config: settings.Page) -> list[str]:
    if facts.snapshot is None:
        return []
    day = facts.snapshot["as_of_date"]
    age = now - dt.datetime.combine(day, dt.time(), dt.UTC)
    alerts = [say("late", days=age.days)] if age > dt.timedelta(days=config.late_days) else []
    refused = facts.snapshot["refused_day"]
    return alerts + ([say("refused", day=refused)] if refused else [])
