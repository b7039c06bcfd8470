"""
standstill: for as long as it lasts, database and lake belong together, and nobody changes either. For backups.
"""

import contextlib
from collections.abc import Iterator

from segmentation import erasures, history, snapshots, warehouse
from segmentation.settings import Stores


@contextlib.contextmanager
def standstill(stores: Stores) -> Iterator[str]:
    """Waits until the stages that are writing rows have ended; those that come later, an erasure too, wait for it.

    Not held up: readers, and what runs write to MLflow and to `ops.performance`, `drift` and `retrains`; the snapshot
    says which of that belongs to it.

    :returns: the name of a snapshot of the database as it stands: `pg_dump --snapshot`, `set transaction snapshot`.
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
        yield name
