"""
The files of the history: one put in the place of another, and those that count no more removed.

Needs `history.only_writer`, so that nobody is about to count one of them.
"""

import datetime as dt
import posixpath

from segmentation import history, lake, tables, warehouse
from segmentation.history import File
from segmentation.settings import Stores

AT_ONCE = dt.timedelta(0)


def all_of(stores: Stores) -> list[tuple[str, File]]:
    """Every file that counts, with the entity or aggregate it belongs to."""
    return [(name, file) for name in (*tables.ENTITIES, *tables.AGGREGATES) for file in history.files_of(stores, name)]


def replace(stores: Stores, path: str, new_path: str, rows: int) -> None:
    """Has a new file count in the place of one of the same batches, which is removed at once.

    :param path: of the old one, relative to the lake, like `new_path`.
    :param rows: of the new one.
    """
    with warehouse.connect(stores.marketing) as connection:
        warehouse.execute(
            connection,
            "update ops.versions set path = :new, row_count = :rows where path = :old",
            {"new": new_path, "rows": rows, "old": path},
        )
    lake.remove(posixpath.join(stores.lake, path))


def remove_retired(stores: Stores, kept: dt.timedelta) -> None:
    """Removes files that were replaced longer ago than so, and those that a killed acceptance or merge left."""
    with warehouse.connect(stores.marketing) as connection:
        gone = warehouse.fetch(
            connection, "delete from ops.versions where retired_at <= now() - :kept returning path", {"kept": kept}
        )
    for (path,) in gone:
        lake.remove(posixpath.join(stores.lake, path))
    _remove_strangers(stores)


def _remove_strangers(stores: Stores) -> None:
    with warehouse.connect(stores.marketing) as connection:
        counted = {path for (path,) in warehouse.fetch(connection, "select path from ops.versions")}
    for name in (*tables.ENTITIES, *tables.AGGREGATES):
        for file in lake.files_in(posixpath.join(stores.lake, "history", name)):
            if posixpath.join("history", name, file) not in counted:
                lake.remove(posixpath.join(stores.lake, "history", name, file))
