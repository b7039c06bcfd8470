"""
The feed and the history: what a move of the current snapshot changes for each customer.

`marketing.segment_changes` tells, for every time that another snapshot becomes current, how that differs from the one
before: replayed on a snapshot, it gives what is current. So publishing a day again, or going back to an earlier day,
appends the difference and rewrites nothing that a reader may have read already. `marketing.segment_history` (type 2 of
slowly changing dimensions; Kimball, Ross: The Data Warehouse Toolkit, 2013, chapter 5) has the same by validity: its
open rows are what is current, and it holds no day later than the current one.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from segmentation import snapshots, sql, tables, warehouse

PUBLISH, ROLL_BACK, ERASE = "publish", "roll back", "erase"


@dataclass(frozen=True)
class Part:
    """The feed's part of one publication: a table of its own, not attached yet; `first` > `last` if nothing changed."""

    publication_id: int
    first: int
    last: int


def has_begun(connection) -> bool:
    """Whether the feed knows what is current; not so where a version of before the feed has published it."""
    return bool(warehouse.fetch(connection, "select 1 from marketing_internal.publications limit 1"))


def find(connection) -> None:
    """Finds what changes if `new_rows` becomes current instead of `old_rows`, views of `snapshots.view_as`: temporary
    table `changed`."""
    warehouse.execute(connection, "drop table if exists changed")
    with snapshots.in_order(connection):
        warehouse.execute(connection, f"create temporary table changed as {sql.read('publish', 'changed')}")
    warehouse.run_script(connection, "analyze changed")


def prepare(connection, snapshot_id: int, day: dt.date) -> Part:
    """Writes `changed` for the feed; nobody sees it before `attach`."""
    [(publication_id, last)] = warehouse.fetch(
        connection,
        "select nextval(pg_get_serial_sequence('marketing_internal.publications', 'publication_id')), "
        "(select coalesce(max(last_change_id), 0) from marketing_internal.publications)",
    )
    return _written(connection, publication_id, last + 1, snapshot_id, day)


def prepare_erased(connection, customers: Sequence[str], snapshot_id: int, day: dt.date) -> Part:
    """A tombstone for each of some customers, as a part of the feed like that of `prepare`."""
    warehouse.execute(connection, "drop table if exists changed")
    warehouse.execute(
        connection,
        f"create temporary table changed as {sql.read('privacy', 'tombstones')}",
        {"customers": list(customers)},
    )
    warehouse.run_script(connection, "analyze changed")
    return prepare(connection, snapshot_id, day)


def _written(connection, publication_id: int, first: int, snapshot_id: int, day: dt.date) -> Part:
    name = _table(publication_id)
    parent = warehouse.identifier(tables.CHANGE_ROWS)
    warehouse.run_script(connection, f"create table {name} (like {parent} including defaults including constraints)")
    rows = warehouse.execute(
        connection,
        f"insert into {name} {sql.read('publish', 'change_rows')}",
        {"first_change_id": first, "day": day, "snapshot_id": snapshot_id},
    )
    part = Part(publication_id, first, first + rows - 1)
    if rows:
        warehouse.run_script(
            connection,
            f"alter table {name} add primary key (change_id), "
            f"add constraint is_part check (change_id >= {part.first} and change_id <= {part.last})",
        )
    else:
        warehouse.run_script(connection, f"drop table {name}")
    return part


def attach(connection, part: Part, kind: str, snapshot_id: int, former: int | None, day: dt.date) -> None:
    """Makes a part visible, in the caller's transaction, and notes the publication."""
    if part.last >= part.first:
        warehouse.run_script(
            connection,
            f"alter table {warehouse.identifier(tables.CHANGE_ROWS)} attach partition {_table(part.publication_id)} "
            f"for values from ({part.first}) to ({part.last + 1})",
        )
    warehouse.execute(
        connection,
        "insert into marketing_internal.publications (publication_id, kind, snapshot_id, former_snapshot_id, "
        "as_of_date, first_change_id, last_change_id) overriding system value "
        "values (:id, :kind, :snapshot_id, :former, :day, :first, :last)",
        {
            "id": part.publication_id, "kind": kind, "snapshot_id": snapshot_id, "former": former, "day": day,
            "first": part.first if part.last >= part.first else None, "last": part.last,
        },
    )  # fmt: skip
    warehouse.execute(
        connection,
        "update marketing.snapshots set last_change_id = :last where snapshot_id = :snapshot_id",
        {"last": part.last, "snapshot_id": snapshot_id},
    )


def write_history(connection, day: dt.date, former_day: dt.date | None) -> None:
    """Brings `segment_history` to what `new_rows` says from a day on, in the caller's transaction.

    Where the day is not later than the former current one, all that was said from that day on is taken back first.
    """
    warehouse.execute(connection, "drop table if exists history_changed")
    if former_day is None or day > former_day:
        found = "select customer_id from changed where is_history"
    else:
        warehouse.execute(connection, "delete from marketing.segment_history where valid_from >= :day", {"day": day})
        warehouse.execute(
            connection, "update marketing.segment_history set valid_to = null where valid_to >= :day", {"day": day}
        )
        found = sql.read("publish", "history_changed")
    warehouse.execute(connection, f"create temporary table history_changed as {found}")
    warehouse.run_script(connection, "analyze history_changed")
    warehouse.execute(connection, sql.read("publish", "history_closed"), {"day": day})
    warehouse.execute(connection, sql.read("publish", "history_opened"), {"day": day})


def clear_unfinished(connection) -> None:
    """Drops the parts that a killed publication left."""
    schema, name = tables.CHANGE_ROWS.split(".")
    left = warehouse.fetch(
        connection,
        "select c.relname from pg_class as c inner join pg_namespace as n on c.relnamespace = n.oid "
        "where n.nspname = :schema and c.relname like :pattern and c.relkind = 'r' and not c.relispartition",
        {"schema": schema, "pattern": f"{name}\\_%"},
    )
    for (each,) in left:
        warehouse.run_script(connection, f"drop table {warehouse.identifier(f'{schema}.{each}')}")


def _table(publication_id: int) -> str:
    return warehouse.identifier(f"{tables.CHANGE_ROWS}_{int(publication_id)}")
