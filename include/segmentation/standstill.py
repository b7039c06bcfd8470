"""
standstill: for as long as it lasts, database and lake belong together, and nobody changes either. For backups.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from segmentation import erasures, history, snapshots, warehouse
from segmentation.settings import Stores


@contextlib.contextmanager
def standstill(stores: Stores) -> Iterator[tuple[Any, str]]:
    """Waits until the stages that are writing rows have ended; those that come later, an erasure too, wait for it.

    Not held up: readers, and what runs write to MLflow and to `ops.performance`, `drift` and `retrains`; the snapshot
    says which of that belongs to it.

    :returns: a connection in a transaction that sees the database as it stands, and that snapshot's name, by which
        others (`pg_dump --snapshot`) see the same.
    """
    erasures.ensure_schema(stores.marketing)  # its salt recognises, after a restore, who was erased after the backup
    with (
        erasures.alone(stores),
        history.only_writer(stores),
        snapshots.only_publisher(stores.marketing),
        warehouse.connect(stores.marketing) as connection,
    ):
        warehouse.execute(connection, "set transaction isolation level repeatable read, read only")
        [(name,)] = warehouse.fetch(connection, "select pg_export_snapshot()")
        yield connection, name
