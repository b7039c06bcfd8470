"""
export: all that is kept of one person, as a file that they can be given (GDPR, articles 15 and 20).

The shop's rows in every version that was read, what was derived from them, what was published, and what a gate refused;
found by the same rules as `erase` finds them.
"""

import datetime as dt
import json
import posixpath
from decimal import Decimal
from typing import Any

from segmentation import (
    erase_marketing,
    erasures,
    history,
    history_files,
    lake,
    personal_data,
    snapshots,
    tables,
    warehouse,
)
from segmentation.errors import FinalError
from segmentation.personal_data import Persons
from segmentation.settings import Stores

_PUBLISHED = (tables.SEGMENT_ROWS, tables.SEGMENT_HISTORY, tables.CHANGE_ROWS)


class NobodyError(FinalError):
    """Nothing is kept of such a customer."""


@erasures.holds_off_erasure
def export_customer(customer_id: str, made_at: dt.datetime, stores: Stores) -> dict[str, Any]:
    """Writes what is kept of a customer to `exports/customers/<pseudonym>.json` in the lake, over an earlier such file.

    :param made_at: goes into the file.
    :returns: `path`, and `rows` by place.
    :raises NobodyError: there is nothing.
    """
    history.ensure_schema(stores.marketing)
    snapshots.ensure_schema(stores.marketing)
    if not warehouse.can_hold(customer_id):
        raise NobodyError(f"no customer can have the id {customer_id!r:.100}")
    persons = personal_data.find([customer_id], stores)
    parts = {"shop": {}, "derived": {}, "published": {}, "refused": {}}
    for name, file in history_files.all_of(stores):
        part = parts["shop" if name in tables.ENTITIES else "derived"]
        part.setdefault(name, []).extend(_rows(posixpath.join(stores.lake, file.path), persons))
    for path in personal_data.day_files(stores.lake):
        table = "/".join(posixpath.relpath(path, stores.lake).split("/")[:-1])
        parts["derived"].setdefault(table, []).extend(_rows(path, persons))
    with warehouse.connect(stores.marketing) as connection:
        for table in _PUBLISHED:
            alive = " and change <> 'erased'" if table == tables.CHANGE_ROWS else ""
            query = f"select * from {warehouse.identifier(table)} where customer_id = :id{alive}"  # noqa: S608 - a quoted name
            parts["published"][table] = warehouse.fetch_dicts(connection, query, {"id": customer_id})
        parts["refused"][tables.QUARANTINE] = warehouse.fetch_dicts(
            connection,
            "select * from quarantine.rows where row_id = any(:ids) order by row_id",
            {"ids": erase_marketing.quarantined(connection, persons)},
        )
    parts = {kind: {place: rows for place, rows in part.items() if rows} for kind, part in parts.items()}
    counts = {place: len(rows) for part in parts.values() for place, rows in part.items()}
    if not counts:
        raise NobodyError("nothing is kept of a customer of this id; who was erased is not known any more")
    told = {"customer_id": customer_id, "made_at": made_at, **parts}
    path = personal_data.export_path(stores, customer_id)
    lake.write_text(path, json.dumps(told, default=_plain, ensure_ascii=False, indent=1))
    return {"path": path, "rows": counts}


def _rows(path: str, persons: Persons) -> list[dict[str, Any]]:
    rows = (row for batch in personal_data.rows_in(path, persons) for row in batch.to_pylist())
    return [{name: value for name, value in row.items() if name != "_batch"} for row in rows]


def _plain(value: Any) -> Any:
    """What JSON has no word for: money as a number's text, times in ISO 8601."""
    return str(value) if isinstance(value, Decimal) else value.isoformat()
