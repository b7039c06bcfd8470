"""
Persons out of the lake: the files of the history, the tables by day, exports, and pages that give examples.

Every file is replaced as a whole, so that a reader never meets half of one and a kill leaves the old one or the new.
"""

import io
import logging
import posixpath
from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from segmentation import history, history_files, lake, personal_data, settings, tables
from segmentation.mentions import Mentions
from segmentation.personal_data import CUSTOMER, Persons
from segmentation.settings import Stores

log = logging.getLogger(__name__)

TEXTS = (".html", ".htm", ".md", ".txt", ".json", ".yaml", ".yml", ".svg")
# What killed writers leave, and keys of the source that the extract needs for a moment; nobody writes during an erasure
_LEFTOVERS = ("keys/", "suspects/")


def erase(stores: Stores, persons: Persons) -> Counter:
    """Takes persons out of every file of the lake and of the Data Docs.

    Needs `erasures.alone` and `history.only_writer`.

    :returns: rows (of texts: mentions) removed, by entity or folder.
    """
    _remove_leftovers(stores.lake)
    removed = _from_history(stores, persons)
    for path in personal_data.day_files(stores.lake):
        schema = lake.schema_of(path)
        rows = personal_data.holds(path, persons, schema)
        if rows:
            lake.rewrite_without(path, path, persons.own)
            removed[_table_of(stores.lake, path)] += rows
    mentions = Mentions(persons.names())
    for path in texts(stores):
        removed[_table_of(stores.lake, path)] += _from_text(path, persons, mentions)
    return +removed


def texts(stores: Stores) -> Iterator[str]:
    """The files of text in the lake and in the Data Docs, but for the copies of models, which never change."""
    models = posixpath.join(stores.lake, "models", "")
    folders = dict.fromkeys((stores.lake, settings.data_docs_of(stores.lake)))
    found = dict.fromkeys(path for folder in folders for path in lake.walk(folder))
    yield from (path for path in found if path.endswith((*TEXTS, ".csv")) and not path.startswith(models))


def _from_history(stores: Stores, persons: Persons) -> Counter:
    removed: Counter = Counter()
    for name, file in history_files.all_of(stores):
        path = posixpath.join(stores.lake, file.path)
        rows = personal_data.holds(path, persons)
        if rows:
            successor = history.new_path(name, file.first_batch, file.last_batch)
            left = lake.rewrite_without(path, posixpath.join(stores.lake, successor), persons.own)
            history_files.replace(stores, file.path, successor, left)
            removed[f"history/{name}"] += rows
            log.info("history of %s: %s rows removed, %s left in the file", name, f"{rows:,}", f"{left:,}")
    return removed


def _from_text(path: str, persons: Persons, mentions: Mentions) -> int:
    if path.endswith(".csv") and (rows := _from_csv(path, persons)) is not None:
        return rows
    left, found = mentions.redacted_bytes(lake.read_bytes(path))
    if found:
        lake.write_bytes(path, left)
    return found


def _from_csv(path: str, persons: Persons) -> int | None:
    """Rows removed from a file of customers; None: it is no such file."""
    raw = lake.read_bytes(path)
    header = raw.partition(b"\n")[0].decode("utf-8", "replace").replace('"', "").strip().split(",")
    if CUSTOMER not in header:
        return None
    types = {name: tables.SEGMENT_COLUMNS.field(name).type for name in header if name in tables.SEGMENT_COLUMNS.names}
    as_written = pyarrow.csv.ConvertOptions(
        column_types=types | {CUSTOMER: pa.string()}, strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    rows = pyarrow.csv.read_csv(io.BytesIO(raw), convert_options=as_written)
    left = rows.filter(pc.invert(pc.is_in(rows[CUSTOMER], pa.array(persons.customers))))
    if left.num_rows < rows.num_rows:
        printed = io.BytesIO()
        pyarrow.csv.write_csv(left, printed)
        lake.write_bytes(path, printed.getvalue())
    return rows.num_rows - left.num_rows


def _remove_leftovers(lake_uri: str) -> None:
    for path in lake.walk(lake_uri):
        inside = posixpath.relpath(path, lake_uri)
        if inside.startswith(_LEFTOVERS) or (inside.endswith(".tmp") and not inside.startswith("models/")):
            lake.remove(path)


def _table_of(lake_uri: str, path: str) -> str:
    """The first two folders below the lake, e.g. `feat/customer_daily`; of what lies elsewhere, its own folder."""
    if not path.startswith(lake_uri):
        return "data_docs"
    parts = posixpath.relpath(path, lake_uri).split("/")
    return parts[0] if parts[0] in ("data_docs", "exports") else "/".join(parts[:2])
