"""
What a gate is about to judge of an entity: the rows that the extract has staged, and what belongs to them.

To the staged rows come orphans whose parent has arrived (see `quarantine`), the deletions that follow from those of the
customers, and what cleaning makes of the numbers; what belongs to a person who was erased is left out (see `erasures`).
Where none of that changes them, they are judged where they lie.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from segmentation import cleaning, engine, erasures, lake, quarantine, settings, tables
from segmentation.cleaning import Cleaning
from segmentation.row_rules import Parent
from segmentation.settings import Stores
from segmentation.suites import REFERENCES, Rule, Suite

BATCH_ROWS = 100_000


@dataclass(frozen=True)
class Incoming:
    """What is judged.

    :param path: Parquet file of `staged_schema`.
    :param staged_rows: how many rows the extract staged.
    :param taken_back: rows in it that were in quarantine.
    :param cleaning: what was done to it, and the rules that came of that.
    :param unreadable: columns of which some values could not be read.
    :param kept_out: staged rows that are left out, because their person was erased.
    """

    path: str
    staged_rows: int
    taken_back: int = 0
    cleaning: Cleaning = field(default_factory=Cleaning)
    unreadable: tuple[str, ...] = ()
    kept_out: int = 0


def gather(
    entity: tables.Entity,
    suite: Suite,
    known: engine.Versions,
    parents: Mapping[str, Parent],
    day: dt.date,
    stores: Stores,
) -> Incoming:
    """Puts together what is judged of an entity, in its file of the lake unless the staged one has it all.

    :param known: the entity's history, in its latest state.
    :param parents: what its rows may refer to, judged already; by table.
    :raises lake.MissingDayError: nothing was staged.
    """
    staged = lake.existing(stores.lake, entity.staged, day)
    added = _waiting(entity, suite, parents, known, day, stores, staged)
    gone = _orphaned(entity, suite, parents, known, staged)
    plan = cleaning.plan(entity, engine.Numbered(staged), known, settings.load().clean)
    unreadable = _unreadable(staged)
    with lake.open_parquet(stores.lake, entity.staged, day) as file:
        staged_rows = file.metadata.num_rows
    kept_out = _kept_out(entity, stores, staged)
    if not added.num_rows and not gone.num_rows and not plan.changes and not len(kept_out):
        return Incoming(staged, staged_rows, cleaning=plan, unreadable=unreadable)
    path = lake.path(stores.lake, entity.incoming, day)

    def rows() -> Iterator[pa.RecordBatch]:
        yield from _without(cleaning.mended(lake.batches_of(staged, BATCH_ROWS), plan), kept_out)
        yield from cleaning.mended(iter(added.to_batches()), plan)
        yield from gone.to_batches()

    lake.write_file(path, rows(), entity.staged_schema)
    return Incoming(path, staged_rows, added.num_rows, plan, unreadable, len(kept_out))


def _kept_out(entity: tables.Entity, stores: Stores, staged: str) -> np.ndarray:
    """The staged rows of persons who were erased, counted from 0. Their orders are kept out from then on by their ids:
    items do not say whose they are."""
    known = erasures.kept_out(stores) if {"customer_id", "order_id"} & set(entity.schema.names) else None
    if known is None:
        return np.array([], np.int64)
    found = known.rows(entity, staged)
    if entity is tables.ORDERS and found.num_rows:
        erasures.keep_out(stores, found["order_id"].drop_null().to_pylist())
    return found["row_no"].to_numpy()


def _without(batches: Iterator[pa.RecordBatch], rows: np.ndarray) -> Iterator[pa.RecordBatch]:
    """The batches but for some of their rows, counted over all of them."""
    start = 0
    for batch in batches:
        inside = rows[(rows >= start) & (rows < start + batch.num_rows)] - start
        start += batch.num_rows
        is_in = np.ones(batch.num_rows, bool)
        is_in[inside] = False
        yield batch if len(inside) == 0 else batch.filter(pa.array(is_in))


def _waiting(
    entity: tables.Entity,
    suite: Suite,
    parents: Mapping[str, Parent],
    known: engine.Versions,
    day: dt.date,
    stores: Stores,
    staged: str,
) -> pa.Table:
    """Rows in quarantine whose parents are all there now, unless the extract brings the same keys anyway."""
    references = [rule for rule in _references(suite) if rule.name.startswith(quarantine.ORPHAN)]
    if not references:
        return entity.staged_schema.empty_table()
    days = settings.load().gates.orphan_days
    found = pa.Table.from_batches(
        quarantine.waiting(stores.marketing, entity, known, day, days), schema=entity.staged_schema
    )
    if not found.num_rows:
        return found
    inputs: dict[str, engine.Input] = {"waiting.rows": found, "staged.rows": staged}
    there = []
    for number, rule in enumerate(references):
        parent, column = parents[rule.kwargs["table"]], engine.quoted(rule.kwargs["column"])
        inputs |= parent.inputs(number)
        asked = f"select {column} from waiting.rows"  # noqa: S608
        there.append(f"{column} in ({parent.keys(number, asked)})")
    key = ", ".join(map(engine.quoted, entity.key))
    statement = f"select w.* from waiting.rows as w anti join staged.rows using ({key}) where {' and '.join(there)}"  # noqa: S608
    return engine.table_of(engine.query(statement, inputs)).cast(entity.staged_schema)


def _orphaned(
    entity: tables.Entity, suite: Suite, parents: Mapping[str, Parent], known: engine.Versions, staged: str
) -> pa.Table:
    """Deletions that no source tells of: of an entity that is only ever added to, when its customer is deleted."""
    owner = next((rule for rule in _references(suite) if rule.kwargs["table"] == tables.CUSTOMERS.table), None)
    if not entity.is_append_only or owner is None or not known.files:
        return entity.staged_schema.empty_table()
    parent = parents[tables.CUSTOMERS.table]
    if parent.incoming is None:
        return entity.staged_schema.empty_table()
    key, column = ", ".join(map(engine.quoted, entity.key)), engine.quoted(owner.kwargs["column"])
    statement = (
        f"select {key} from known.rows where {column} in "  # noqa: S608
        f"(select {engine.quoted(parent.key)} from parents.incoming where is_deleted)"
    )
    has_any = "select 1 from parents.incoming where is_deleted limit 1"
    inputs: dict[str, engine.Input] = {"known.rows": known, "parents.incoming": parent.incoming}
    if not engine.table_of(engine.query(has_any, {"parents.incoming": parent.incoming})).num_rows:
        return entity.staged_schema.empty_table()
    found = engine.table_of(engine.query(statement, inputs))
    gone = {name: found[name] for name in entity.key} | {"is_deleted": pa.array([True] * found.num_rows)}
    columns = [gone.get(f.name, pa.nulls(found.num_rows, f.type)) for f in entity.staged_schema]
    return pa.Table.from_arrays(columns, schema=entity.staged_schema)


def _unreadable(staged: str) -> tuple[str, ...]:
    statement = (
        "select distinct unnest(json_keys(unreadable)) as name from staged.rows where unreadable is not null order by 1"
    )
    return tuple(engine.table_of(engine.query(statement, {"staged.rows": staged}))["name"].to_pylist())


def _references(suite: Suite) -> list[Rule]:
    return [rule for rule in suite.rows if rule.type == REFERENCES]
