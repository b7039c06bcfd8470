"""
Personal data: which rows in the lake and the database are a person's, for erasing them and for handing them out.

A row is a person's that names them in `customer_id`. One that names nobody (an order's item, or the mark that an event
was deleted) is theirs if its order, event or ticket is; a row of somebody else never is.
"""

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from segmentation import engine, erasures, history, lake, tables
from segmentation.settings import Stores

CUSTOMER = "customer_id"
# What belongs to a customer and has a key of its own: `order_id`, `event_id`, `ticket_id`
_OWNED = {
    entity.key[0]: entity
    for entity in tables.ENTITIES.values()
    if CUSTOMER in entity.schema.names and CUSTOMER not in entity.key
}


@dataclass(frozen=True)
class Persons:
    """Some customers, and the keys of what is theirs.

    :param keys: `order_id`, `event_id`, `ticket_id` -> their values that are theirs -> the customer.
    """

    customers: tuple[str, ...]
    keys: Mapping[str, Mapping[str, str]]

    def columns(self, schema: pa.Schema) -> list[str]:
        """The columns of a table by which its rows are told apart; none: no row of it is a person's."""
        return [name for name in (CUSTOMER, *self.keys) if name in schema.names]

    def own(self, rows: pa.RecordBatch) -> pa.Array:
        """Which rows are theirs: true or false for each."""
        names = rows.schema.names
        nobody = pa.nulls(rows.num_rows, pa.bool_()).fill_null(False)
        theirs = nobody
        if CUSTOMER in names:
            theirs = pc.is_in(rows[CUSTOMER], pa.array(self.customers, rows[CUSTOMER].type))
            nobody = pc.is_null(rows[CUSTOMER])
        else:
            nobody = pc.invert(nobody)
        for column, values in self.keys.items():
            if column in names and values:
                of_theirs = pc.fill_null(pc.is_in(rows[column], pa.array(list(values), rows[column].type)), False)
                theirs = pc.or_(theirs, pc.and_(nobody, of_theirs))
        return theirs

    def names(self) -> set[str]:
        """Every value that names one of them, or what is theirs."""
        return {*self.customers, *(key for values in self.keys.values() for key in values)}


def find(customers: Sequence[str], stores: Stores) -> Persons:
    """Looks up the keys of what is theirs, in every version that the lake has of it.

    What went over to somebody else is not theirs any more.
    """
    asked = pa.table({CUSTOMER: pa.array(customers, pa.string())})
    keys = {}
    for column, entity in _OWNED.items():
        statement = (
            f"select distinct {column} as key, {CUSTOMER} as owner from held.rows "  # noqa: S608 - names of tables.py
            f"where {column} is not null and {CUSTOMER} in (select {CUSTOMER} from asked.ids)"
        )
        found: dict[str, str] = {}
        for path in _files(entity, stores):
            for batch in engine.query(statement, {"held.rows": path, "asked.ids": asked}):
                found.update(zip(batch["key"].to_pylist(), batch["owner"].to_pylist(), strict=True))
        gone = _of_others(entity, column, found, asked, stores)
        keys[column] = {key: owner for key, owner in found.items() if key not in gone}
    return Persons(tuple(customers), keys)


def export_path(stores: Stores, customer_id: str) -> str:
    """Where a customer's file is, if there is one. Its name does not tell whose it is."""
    return posixpath.join(stores.lake, "exports", "customers", f"{erasures.hashed(stores, customer_id)}.json")


def day_files(lake_uri: str) -> Iterator[str]:
    """The Parquet files of the lake that hold a day or an export, so not those of the history."""
    for path in lake.walk(lake_uri):
        is_history = posixpath.relpath(path, lake_uri).startswith("history/")
        if path.endswith(".parquet") and not is_history:
            yield path


def rows_in(path: str, persons: Persons) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file that are theirs, without batches that have none."""
    schema = lake.schema_of(path)
    if not persons.columns(schema) or not holds(path, persons, schema):
        return
    for batch in lake.batches_of(path, lake.ROWS_PER_GROUP):
        theirs = batch.filter(persons.own(batch))
        if theirs.num_rows:
            yield theirs


def holds(path: str, persons: Persons, schema: pa.Schema | None = None) -> int:
    """How many rows of a Parquet file are theirs; reads only the columns that tell."""
    columns = persons.columns(schema or lake.schema_of(path))
    if not columns:
        return 0
    batches = lake.batches_of(path, lake.ROWS_PER_GROUP, columns)
    return sum(pc.sum(persons.own(batch)).as_py() or 0 for batch in batches)


def _files(entity: tables.Entity, stores: Stores) -> Iterator[str]:
    for file in history.files_of(stores, entity.name):
        yield posixpath.join(stores.lake, file.path)
    for table in (entity.staged, entity.incoming):
        yield from (lake.path(stores.lake, table, day) for day in lake.days_of(stores.lake, table))


def _of_others(entity: tables.Entity, column: str, keys: Iterable[str], asked: pa.Table, stores: Stores) -> set[str]:
    known = history.latest(stores, entity.name)
    if not keys or not known.files:
        return set()
    statement = (
        f"select {column} as key from known.rows where {column} in (select key from their.keys) "  # noqa: S608 - names of tables.py
        f"and {CUSTOMER} not in (select {CUSTOMER} from asked.ids)"
    )
    inputs = {
        "known.rows": known,
        "asked.ids": asked,
        "their.keys": pa.table({"key": pa.array(list(keys), pa.string())}),
    }
    return {key for batch in engine.query(statement, inputs) for key in batch["key"].to_pylist()}
