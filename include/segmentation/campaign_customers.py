"""
The customers of campaigns, and what they did in its window: what effects are measured from and learnt from.
"""

import datetime as dt

import pandas as pd
import pyarrow as pa

from segmentation import engine, history, snapshots, sql, tables, warehouse
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


def look_up(session: engine.Session, day: dt.date, stores: Stores) -> None:
    """Gives the session what a day knew of the shop, and who consents now.

    :raises history.NotAcceptedError: the day has not passed the gate.
    """
    for entity in _ENTITIES:
        session.put(entity.table, history.known(stores, entity.name, day))
    session.put(tables.CUSTOMERS_NOW, history.latest(stores, tables.CUSTOMERS.name))


def outcomes(session: engine.Session, day: dt.date, stores: Stores, due: pa.Table, most_compared: int) -> pd.DataFrame:
    """Everyone who is compared, with what they did: the columns of `outcomes.sql`, by campaign and customer.

    :param session: after `look_up`.
    :param due: the campaigns, with `campaign_id`, `starts_at`, `ends_at` and `held_out`.
    :param most_compared: customers who were not contacted, of a campaign that held nobody out.
    """
    session.put(tables.DUE_CAMPAIGNS, due)
    session.put(tables.SEGMENT_HISTORY, _segments(stores))
    session.create(tables.DRAWN, sql.read("evaluate", "drawn"), {"as_of": day})
    session.create(tables.NOT_CONTACTED, sql.read("evaluate", "not_contacted"), {"most": most_compared})
    both = f"select * from {tables.DRAWN} union all select * from {tables.NOT_CONTACTED}"  # noqa: S608 - constants
    session.create(tables.MEASURED_CUSTOMERS, both)
    return engine.table_of(session.batches(sql.read("evaluate", "outcomes"))).to_pandas()


def _segments(stores: Stores) -> pa.Table:
    """Who was in which segment since when."""
    snapshots.ensure_schema(stores.marketing)
    names = ", ".join(_HISTORY.names)
    statement = f"select {names} from {warehouse.identifier(tables.SEGMENT_HISTORY)}"  # noqa: S608 - a quoted name
    return pa.Table.from_batches(warehouse.stream(stores.marketing, statement, _HISTORY), _HISTORY)
