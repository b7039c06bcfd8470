"""
What customers did after a day: by one statement for training, which learns it, and for the day that measures scores.
"""

import datetime as dt
from dataclasses import replace
from typing import Any

from segmentation import engine, history, settings, sql, tables
from segmentation.settings import Stores


def create(
    session: engine.Session, stores: Stores, *, known: dt.date, cutoff: dt.date, only: str | None = None
) -> None:
    """Creates `feat.outcomes` in a session: what the customers of its `feat.customer_daily` did from a cutoff on.

    :param known: the day whose knowledge is used; outcomes whose horizon ends after it are null.
    :param cutoff: the day of the features.
    :param only: table of the session; what is not of its customers need not be read.
    :raises history.NotAcceptedError: the day `known` has not passed the gate, or its aggregates are not built.
    """
    parameters = _parameters(known, cutoff, settings.load().targets)
    returned_by = min(parameters["far_until"], known)
    session.put(tables.ORDER_DAYS.table, history.aggregated(stores, tables.ORDER_DAYS, known, known))
    session.put(tables.SUPPORT_TICKETS.table, history.known(stores, tables.SUPPORT_TICKETS.name, known))
    for table, as_of in ((tables.PRODUCT_DAYS.table, cutoff), (f"{tables.PRODUCT_DAYS.table}_later", returned_by)):
        source = history.aggregated(stores, tables.PRODUCT_DAYS, known, as_of)
        session.put(table, replace(source, only=only))
    session.create(tables.OUTCOME_ROWS, sql.read("features", "outcomes"), parameters)


def _parameters(known: dt.date, cutoff: dt.date, targets: settings.Targets) -> dict[str, Any]:
    return {
        "as_of": known,
        "cutoff": cutoff,
        "near_until": cutoff + dt.timedelta(days=targets.near_days),
        "far_until": cutoff + dt.timedelta(days=targets.far_days),
        "new_days": targets.new_days,
        "high_value_share": targets.high_value_share,
    }
