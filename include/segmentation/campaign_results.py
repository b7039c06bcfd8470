"""
The table of the campaigns' results: the rows of each day, of which the contract shows the latest of each campaign.
"""

import datetime as dt
import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from segmentation import sql, tables, warehouse

_SCHEMA = ("schema", "comments", "grants")
_READERS = ["crm_reader", "dashboard_reader"]
_LOCK = int.from_bytes(hashlib.sha256(b"fenqun.evaluate").digest()[:8], "big", signed=True)
_MADE = re.compile("-[0-9a-f]{16}$")  # so end the names that are made here, and no other


def ensure_schema(dsn: str) -> None:
    """Creates or upgrades the relations, but touches nothing while they, and the roles, are as this version wants."""
    with warehouse.connect(dsn) as connection:
        roles = warehouse.fetch(
            connection, "select rolname from pg_roles where rolname = any(:roles) order by 1", {"roles": _READERS}
        )
    parts = [f"-- {', '.join(name for (name,) in roles)}", *(sql.read("campaign_results", each) for each in _SCHEMA)]
    warehouse.ensure_schema(dsn, "evaluation", ";\n".join(parts), _LOCK)


def settled(dsn: str, day: dt.date) -> set[str]:
    """The campaigns whose final results an earlier day has written."""
    with warehouse.connect(dsn) as connection:
        return {name for (name,) in warehouse.fetch(connection, sql.read("campaign_results", "settled"), {"day": day})}


def replace_day(dsn: str, day: dt.date, rows: Iterable[Mapping[str, Any]]) -> int:
    """Puts rows in the place of what was written for the day, all or nothing.

    :param rows: with the columns of `tables.RESULT_COLUMNS`; those left out are null.
    :returns: how many.
    """
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=tables.RESULT_COLUMNS)
    with warehouse.connect(dsn) as connection:
        warehouse.execute(connection, "select pg_advisory_xact_lock(:lock)", {"lock": _LOCK})
        warehouse.execute(connection, "delete from evaluation.campaign_results where as_of_date = :day", {"day": day})
        return warehouse.copy_in(connection, tables.CAMPAIGN_RESULT_ROWS, [table], table.column_names)


def file_of(campaign_id: str) -> str:
    """The file of a campaign's page: its id where that can be a file's name, else something like it.

    >>> file_of("CAMPAIGN-00012")
    'CAMPAIGN-00012.html'
    """
    if re.fullmatch(r"[A-Za-z0-9_-]{1,60}", campaign_id) and campaign_id != "index" and not _MADE.search(campaign_id):
        return f"{campaign_id}.html"
    name = re.sub(r"[^A-Za-z0-9_-]", "_", campaign_id)[:50]
    return f"{name}-{hashlib.sha256(campaign_id.encode()).hexdigest()[:16]}.html"
