"""
The audit of a snapshot: what Great Expectations has to say of it in the database, before anybody sees it.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from segmentation import sql, suites, tables, warehouse
from segmentation.measures import Profile
from segmentation.verdict import Verdict, of_whole


def measured(connection, snapshot_id: int, day: dt.date) -> dict[str, Any]:
    """What the audit looks at in `new_rows`, which is read once: numbers by name."""
    [found] = warehouse.fetch_dicts(connection, sql.read("publish", "audit"), {"day": day, "snapshot_id": snapshot_id})
    return found


def judge(
    found: Mapping[str, Any],
    day: dt.date,
    rows_sent: int,
    rows_eligible: int,
    migration: Sequence[tuple[int | None, int | None, int]],
) -> Verdict:
    """What the suite `marketing.customer_segments` says of a snapshot.

    :param found: what `measured` gave.
    :param rows_sent: how many rows COPY has taken.
    :param rows_eligible: how many customers ought to be in it.
    :param migration: (segment before, segment now, customers) against the snapshot of the day before; may be empty.
    """
    stayed = sum(count for was, now, count in migration if was is not None and was == now)
    both = sum(count for was, now, count in migration if was is not None and now is not None)
    rows = found["rows_in_all"]
    profile = Profile({**found, "rows_sent": rows_sent, "rows_eligible": rows_eligible})
    profile.values["moved_share"] = (both - stayed) / both if both else None
    profile.counts["moved_share"] = (both - stayed, both)
    suite = suites.read(tables.CUSTOMER_SEGMENTS, suites.parameters(day))
    return Verdict(
        tables.CUSTOMER_SEGMENTS, rows, results=of_whole(tables.CUSTOMER_SEGMENTS, suite.whole, profile, rows)
    )
