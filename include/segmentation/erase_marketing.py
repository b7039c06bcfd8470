"""
Persons out of the database: snapshots, history, feed, quarantine, and the gates' examples.

The feed says `erased` of whom a client may know. That happens in the transaction in which their rows go, so a client
that follows the feed, or reads the table, sees both or neither.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from segmentation import feed, snapshots, sql, tables, warehouse
from segmentation.mentions import ERASED, Mentions
from segmentation.personal_data import CUSTOMER, Persons

log = logging.getLogger(__name__)


def erase(connection, persons: Persons) -> Counter:
    """Takes persons out of every table.

    :param connection: of `snapshots.only_publisher`.
    :returns: rows removed (of examples and reports: mentions), by table; `tombstones` is what the feed got.
    """
    feed.clear_unfinished(connection)
    removed = _from_marketing(connection, persons)
    with warehouse.transaction(connection):
        found = quarantined(connection, persons)
        warehouse.execute(connection, "delete from quarantine.rows where row_id = any(:ids)", {"ids": found})
        removed[tables.QUARANTINE] += len(found)
        removed[tables.QUALITY_RESULTS] += _from_examples(connection, persons)
        removed[tables.SNAPSHOTS] += _from_reports(connection, persons)
    for table in removed:
        if "." in table:
            warehouse.run_script(connection, f"vacuum (truncate false) {warehouse.identifier(table)}")
    return +removed


def quarantined(connection, persons: Persons) -> list[int]:
    """`row_id` of the rows in quarantine that are theirs."""
    found = warehouse.fetch(
        connection,
        sql.read("privacy", "quarantined"),
        {
            "customers": list(persons.customers),
            "orders": list(persons.keys["order_id"]),
            "events": list(persons.keys["event_id"]),
            "tickets": list(persons.keys["ticket_id"]),
        },
    )
    return [row_id for (row_id,) in found]


def examples(connection, persons: Persons) -> Iterator[tuple[int, list[str], int]]:
    """The rows of `quality.results` that name them: (result_id, the examples without them, how many there were)."""
    told = warehouse.fetch(
        connection, "select result_id, table_name, examples from quality.results where examples <> '{}'"
    )
    for result_id, table, keys in told:
        is_theirs = _is_key_of(table, persons)
        left = [ERASED if is_theirs(key) else key for key in keys]
        if left != keys:
            yield result_id, left, sum(is_theirs(key) for key in keys)


def _from_marketing(connection, persons: Persons) -> Counter:
    ids = {"customers": list(persons.customers)}
    removed: Counter = Counter()
    with warehouse.transaction(connection):
        known = set()
        for snapshot_id in snapshots.with_rows(connection):
            name = snapshots.partition(snapshot_id)
            gone = warehouse.fetch(
                connection,
                f"delete from {name} where customer_id = any(:customers) returning customer_id",  # noqa: S608 - a quoted name
                ids,
            )
            if gone:
                removed[f"{tables.SEGMENT_ROWS}_{snapshot_id}"] += len(gone)
                known |= {customer for (customer,) in gone}
                warehouse.execute(
                    connection,
                    "update marketing.snapshots set row_count = row_count - :gone where snapshot_id = :id",
                    {"gone": len(gone), "id": snapshot_id},
                )
        known |= {customer for (customer,) in warehouse.fetch(connection, sql.read("privacy", "published"), ids)}
        current = snapshots.current(connection)
        for table in (tables.CHANGE_ROWS, tables.SEGMENT_HISTORY):
            statement = f"delete from {warehouse.identifier(table)} where customer_id = any(:customers)"  # noqa: S608 - a quoted name
            removed[table] += warehouse.execute(connection, statement, {"customers": sorted(known)})
        if known and current and feed.has_begun(connection):
            part = feed.prepare_erased(connection, sorted(known), *current)
            feed.attach(connection, part, feed.ERASE, current[0], current[0], current[1])
            removed["tombstones"] = len(known)
    return removed


def _from_examples(connection, persons: Persons) -> int:
    mentions = 0
    for result_id, left, found in examples(connection, persons):
        warehouse.execute(
            connection,
            "update quality.results set examples = :left where result_id = :id",
            {"left": left, "id": result_id},
        )
        mentions += found
    return mentions


def _from_reports(connection, persons: Persons) -> int:
    """What the gates said of a snapshot; in former versions with keys."""
    mentions, total = Mentions(persons.names()), 0
    for snapshot_id, text in warehouse.fetch(
        connection, "select snapshot_id, validation::text from marketing.snapshots where validation is not null"
    ):
        left, found = mentions.redacted(text)
        if found:
            warehouse.execute(
                connection,
                "update marketing.snapshots set validation = cast(:left as jsonb) where snapshot_id = :id",
                {"left": left, "id": snapshot_id},
            )
            total += found
    return total


def _is_key_of(table: str, persons: Persons) -> Callable[[str], bool]:
    """Whether a key, as the gates print it, is of a row of theirs in a table."""
    entity = tables.ENTITIES.get(table.removeprefix("raw.")) if table.startswith("raw.") else None
    key: Sequence[str] = entity.key if entity else (CUSTOMER,)
    of_column = {**persons.keys, CUSTOMER: persons.customers}
    wanted = [(place, set(of_column[column])) for place, column in enumerate(key) if column in of_column]
    if len(key) == 1:
        return lambda text: any(text in names for _, names in wanted)
    # Printed as `order/line`; a key with a slash of its own is no reason to keep it
    return lambda text: any(_part(text, place, len(key)) in names for place, names in wanted)


def _part(text: str, place: int, parts: int) -> str:
    """The first or the last part of a printed key of several columns."""
    return text.rsplit("/", parts - 1)[0] if place == 0 else text.split("/", parts - 1)[-1]
