"""
compact: small files of the history are put together, so that their number grows with the logarithm of the days.

Every version stays; what a day knew is told by the batch number in each row.
"""

import datetime as dt
import math
import posixpath

from segmentation import history, history_files, lake, settings, tables, warehouse
from segmentation.history import File
from segmentation.settings import Stores

RETIRED_FILES_KEPT = dt.timedelta(days=1)


def compact_history(stores: Stores) -> int:
    """Puts small neighbouring files together; the first load stays by itself.

    Files that were replaced are removed a day later, when no reader can hold them any more; so is what killed writers
    have left unfinished anywhere in the lake.

    :returns: how many files were replaced.
    """
    fan_in = settings.load().history.files_per_merge
    replaced = 0
    with history.only_writer(stores) as guard:
        for name in (*tables.ENTITIES, *tables.AGGREGATES):
            while run := _neighbours(history.files_of(stores, name)[1:], fan_in):
                _merge(stores, name, run)
                replaced += len(run)
        history_files.remove_retired(stores, RETIRED_FILES_KEPT)
        [(now,)] = warehouse.fetch(guard, "select now()")
    lake.drop_unfinished(stores.lake, now - RETIRED_FILES_KEPT)
    return replaced


def _neighbours(files: list[File], fan_in: int) -> list[File]:
    """The first `fan_in` neighbours of about one size: the log-structured merge of O'Neil et al. (1996), tiered."""
    tiers = [int(math.log(file.last_batch - file.first_batch + 1, fan_in)) for file in files]
    for start in range(len(files) - fan_in + 1):
        if len(set(tiers[start : start + fan_in])) == 1:
            return files[start : start + fan_in]
    return []


def _merge(stores: Stores, name: str, run: list[File]) -> None:
    path = history.new_path(name, run[0].first_batch, run[-1].last_batch)
    rows = (
        batch
        for file in run
        for batch in lake.batches_of(posixpath.join(stores.lake, file.path), settings.load().history.merge_rows)
    )
    written = lake.write_file(posixpath.join(stores.lake, path), rows, history.schema_of(name))
    with warehouse.connect(stores.marketing) as connection:
        warehouse.execute(
            connection,
            "update ops.versions set retired_at = now() where path = any(:paths)",
            {"paths": [file.path for file in run]},
        )
        warehouse.execute(
            connection,
            "insert into ops.versions (entity, first_batch, last_batch, path, row_count, definition) "
            "values (:name, :first, :last, :path, :rows, "
            "(select max(definition) from ops.versions where path = any(:paths)))",
            {
                "paths": [file.path for file in run],
                "name": name,
                "first": run[0].first_batch,
                "last": run[-1].last_batch,
                "path": path,
                "rows": written,
            },
        )
