"""
Withdrawals: who has taken back a consent goes out of the kept snapshots too, not only out of the one that is published.
"""

import datetime as dt

from segmentation import consent, sql, warehouse
from segmentation.settings import Stores

# What was accepted while a snapshot was begun may be dated a little before it. Not much longer: the first load
# of a shop accepts everybody, and should not be looked through at each publication until the first snapshot is dropped.
_MARGIN = dt.timedelta(minutes=15)


def forget(connection, stores: Stores) -> None:
    """Takes who has withdrawn the consent to profiling, or is gone, out of every kept snapshot but the current one, and
    blanks the channels there that are no longer consented to; feed and history stay. No reader waits.

    A snapshot is made without those who had withdrawn by then, so only customers of whom something was accepted since
    the oldest one are looked at; those among them who have withdrawn are looked up by the snapshots' keys.

    :param connection: of `snapshots.only_publisher`.
    """
    [(oldest,)] = warehouse.fetch(
        connection,
        "select min(s.created_at) from marketing.snapshots as s "
        "where s.is_kept and s.snapshot_id <> (select c.snapshot_id from marketing_internal.current_snapshot as c)",
    )
    found = consent.withdrawals(oldest - _MARGIN, stores) if oldest else None
    if not found:
        return
    with warehouse.transaction(connection):
        warehouse.run_script(
            connection, "create temporary table withdrawals (customer_id text, channel text) on commit drop"
        )
        warehouse.copy_in(connection, "withdrawals", [found], found.column_names)
        warehouse.run_script(connection, "analyze withdrawals")
        warehouse.execute(connection, sql.read("publish", "withdrawn_rows"))
        warehouse.execute(connection, sql.read("publish", "withdrawn_channels"))
