"""
The proof of an erasure: every file of the lake, the Data Docs and MLflow, every table and every log is looked through.

In tables and Parquet files a column of text is compared whole; texts are searched for mentions (see `mentions`). A
customer_id that is a mere number may be the number of a product as well: such ids are looked for where the column is
`customer_id`. Pictures are not text and are counted as such.
"""

import logging
import posixpath
import tempfile
import zipfile
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from segmentation import engine, erase_marketing, lake, registry_files, settings, tables, warehouse
from segmentation.mentions import Mentions
from segmentation.personal_data import CUSTOMER, Persons
from segmentation.registry import Registry
from segmentation.settings import Stores

log = logging.getLogger(__name__)

# All that the pipeline writes. `ops` is to hold no key of a row (see `causes`), which is looked after here as well.
SCHEMAS = ("marketing", "marketing_internal", "evaluation", "quality", "quarantine", "ops", "privacy")
# Who is being erased stands there until the scan has found nothing; the tombstones are meant to be read
_MEANT = ("privacy.requests", "privacy.unfinished")
_TEXT = (".html", ".htm", ".md", ".txt", ".json", ".yaml", ".yml", ".svg", ".csv", ".log")
_NOT_TEXT = (".png", ".jpg", ".npy")


class NotLookedThroughError(RuntimeError):
    """The lake does not show what has to be in it, as when its store is away: nothing is proved. Try again."""


@dataclass
class Scan:
    """What was looked through, by kind of place, and where persons were found, with how often."""

    looked_at: dict[str, int] = field(default_factory=dict)
    found: dict[str, int] = field(default_factory=dict)
    tombstones: int = 0

    def add(self, kind: str, place: str, found: int) -> None:
        self.looked_at[kind] = self.looked_at.get(kind, 0) + 1
        if found:
            self.found[place] = self.found.get(place, 0) + found


def scan(stores: Stores, persons: Persons, logs: Iterable[str] = ()) -> Scan:
    """Looks for persons everywhere.

    :param logs: local folders of text files.
    :raises NotLookedThroughError: files of the history are not to be seen.
    """
    result, mentions = Scan(), Mentions(persons.customers)
    _lake(stores, persons, mentions, result)
    log.info("lake and Data Docs: %s files", f"{result.looked_at.get('files', 0):,}")
    with warehouse.connect(stores.marketing) as connection:
        _database(connection, persons, result)
    log.info("database: %s tables", f"{result.looked_at.get('tables', 0):,}")
    with tempfile.TemporaryDirectory() as folder:
        for number, uri in enumerate(registry_files.files(Registry(stores.registry, stores.marketing))):
            result.add("MLflow files", uri, _in_file(registry_files.fetch(uri, folder), mentions))
            if number % 1_000 == 999:
                log.info("MLflow: %s files so far", f"{number + 1:,}")
    log.info("MLflow: %s files", f"{result.looked_at.get('MLflow files', 0):,}")
    for path in log_files(logs):
        result.add("logs", str(path), _in_file(str(path), mentions))
    log.info("logs: %s files", f"{result.looked_at.get('logs', 0):,}")
    return result


def log_files(folders: Iterable[str]) -> Iterator[Path]:
    """The files of local folders, links left out."""
    for folder in folders:
        yield from (path for path in sorted(Path(folder).rglob("*")) if path.is_file() and not path.is_symlink())


def _lake(stores: Stores, persons: Persons, mentions: Mentions, result: Scan) -> None:
    folders = dict.fromkeys((stores.lake, settings.data_docs_of(stores.lake)))
    found = dict.fromkeys(path for folder in folders for path in lake.walk(folder))
    _refuse_half_a_lake(stores, found)
    for path in found:
        if path.endswith(".parquet"):
            result.add("files", path, _in_parquet(path, persons))
        else:
            with tempfile.TemporaryDirectory() as folder:
                local = posixpath.join(folder, posixpath.basename(path))
                lake.get_file(path, local)
                result.add("files", path, _in_file(local, mentions))


def _refuse_half_a_lake(stores: Stores, found: Collection[str]) -> None:
    """A store that is away, or a folder that is not mounted, looks like one where there is nobody."""
    with warehouse.connect(stores.marketing) as connection:
        named = warehouse.fetch(connection, f"select path from {tables.VERSIONS}")  # noqa: S608 - a name of ours
    missing = [path for (path,) in named if posixpath.join(stores.lake, path) not in found]
    if missing:
        raise NotLookedThroughError(
            f"the lake {stores.lake} does not show {len(missing):,} of {len(named):,} files that {tables.VERSIONS} "
            f"names, such as {missing[0]}: nothing is proved; see that it can be read, and run this again"
        )


def _in_parquet(path: str, persons: Persons) -> int:
    ids = _unambiguous(persons)
    clauses = []
    for column in lake.schema_of(path):
        name = engine.quoted(column.name)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            table = "asked.ids" if column.name == CUSTOMER else "asked.unambiguous"
            clauses.append(f"{name} in (select id from {table})")  # noqa: S608
        elif pa.types.is_list(column.type) and pa.types.is_string(column.type.value_type):
            clauses.append(f"list_has_any({name}, (select list(id) from asked.unambiguous))")  # noqa: S608
    if not clauses:
        return 0
    statement = f"select count(*) as rows from looked.at where {' or '.join(clauses)}"  # noqa: S608
    inputs = {
        "looked.at": path,
        "asked.ids": pa.table({"id": pa.array(persons.customers, pa.string())}),
        "asked.unambiguous": pa.table({"id": pa.array(ids, pa.string())}),
    }
    return engine.table_of(engine.query(statement, inputs))["rows"][0].as_py()


def _in_file(path: str, mentions: Mentions) -> int:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if not name.endswith(_NOT_TEXT)]
            return sum(mentions.count(archive.read(name)) for name in members)
    return 0 if path.endswith(_NOT_TEXT) else mentions.count(Path(path).read_bytes())


def _database(connection, persons: Persons, result: Scan) -> None:
    columns = warehouse.fetch(
        connection,
        "select c.table_schema || '.' || c.table_name, c.column_name, c.udt_name from information_schema.columns as c "
        "inner join pg_class as r on r.oid = format('%I.%I', c.table_schema, c.table_name)::regclass "
        "where c.table_schema = any(:schemas) and r.relkind = 'r' order by 1, c.ordinal_position",
        {"schemas": list(SCHEMAS)},
    )
    by_table: dict[str, list[tuple[str, str]]] = {}
    for table, column, kind in columns:
        by_table.setdefault(table, []).append((column, kind))
    for table, of_table in by_table.items():
        if table not in _MEANT:
            result.add("tables", table, _in_table(connection, table, of_table, persons, result))


def _in_table(connection, table: str, columns: list[tuple[str, str]], persons: Persons, result: Scan) -> int:
    if table == tables.QUARANTINE:
        return len(erase_marketing.quarantined(connection, persons))
    if table == tables.QUALITY_RESULTS:
        return sum(found for *_, found in erase_marketing.examples(connection, persons))
    clauses = [clause for name, kind in columns if (clause := _clause(name, kind))]
    if not clauses:
        return 0
    is_feed = table.startswith(tables.CHANGE_ROWS)
    what = "count(*) filter (where change <> 'erased'), count(*)" if is_feed else "count(*), count(*)"
    [(found, every)] = warehouse.fetch(
        connection,
        f"select {what} from {warehouse.identifier(table)} where {' or '.join(clauses)}",  # noqa: S608 - quoted names
        {"ids": list(persons.customers), "unambiguous": _unambiguous(persons)},
    )
    result.tombstones += every - found
    return found


def _clause(column: str, kind: str) -> str | None:
    """SQL: whether a column of text, a list of it or a JSON document says one of the ids."""
    name = warehouse.identifier(column)
    if kind in ("text", "varchar", "bpchar"):
        return f"{name} = any(:ids)" if column == CUSTOMER else f"{name} = any(:unambiguous)"
    if kind in ("_text", "_varchar"):
        return f"{name} && cast(:unambiguous as text[])"
    if kind in ("json", "jsonb"):
        strings = f"jsonb_path_query({name}::jsonb, 'strict $.**') as v"
        return f"exists (select from {strings} where jsonb_typeof(v) = 'string' and v #>> '{{}}' = any(:unambiguous))"
    return None


def _unambiguous(persons: Persons) -> list[str]:
    return [name for name in persons.customers if not name.isdigit()]
