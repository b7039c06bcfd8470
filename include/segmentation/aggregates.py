"""
aggregates: the history of `raw.*` -> `agg.*`: per customer and day, what the snapshots add up.

Each accepted batch is worked in once. A batch changes the orders, or the customers' days, that its rows are about; for
these the aggregate is taken from before the batch and from after it, and the difference is appended: a late row costs
its own day, a row that came twice costs nothing. The rows of the batches up to a day's own, added up, are what the day
knew, and those with `changed_on` before a past day are what was known then. (Deltas of views: Gupta, Mumick and
Subrahmanian 1993, "Maintaining Views Incrementally", SIGMOD.) The first batch, all that a shop has, is taken some days
at a time, so that memory does not grow with it.
"""

import datetime as dt
import hashlib
import itertools
import logging
import posixpath
from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from segmentation import engine, history, lake, settings, sql, tables, warehouse
from segmentation.settings import Stores
from segmentation.tables import Aggregate

log = logging.getLogger(__name__)

_ORDERS = (tables.ORDER_DAYS, tables.PRODUCT_DAYS)
_EVENTS = (tables.SESSIONS, tables.PRODUCT_VIEWS)


def build_aggregates(day: dt.date, stores: Stores) -> dict[str, int]:
    """Works every batch that a day knows into the aggregates, as far as that has not been done.

    Killed at any point, a batch counts in an aggregate or does not; the next call goes on. An aggregate whose statement
    has changed is made anew.

    :returns: rows appended, by aggregate.
    :raises history.NotAcceptedError: the day has not passed the gate.
    """
    batch = history.accepted_batch(stores, day)
    if batch is None:
        raise history.NotAcceptedError(
            f"nothing has been accepted for {day}: run extract and validate_raw for it first"
        )
    appended = dict.fromkeys(tables.AGGREGATES, 0)
    with history.only_writer(stores):
        for aggregate in tables.AGGREGATES.values():
            _retire_outdated(stores, aggregate)
        done = {name: history.worked_in(stores, each.name) for name, each in tables.AGGREGATES.items()}
        for number in _batches(stores, min(done.values()), batch):
            for group in (_ORDERS, _EVENTS):
                wanting = [each for each in group if done[each.name] < number]
                if wanting:
                    for name, rows in _extend(stores, wanting, number).items():
                        appended[name] += rows
    return appended


def _extend(stores: Stores, group: list[Aggregate], batch: int) -> dict[str, int]:
    """Appends to aggregates of the same entities what a batch changes in them."""
    earlier = _last_before(stores, batch)
    log.info("working batch %s into %s", batch, ", ".join(each.table for each in group))
    appended = {}
    with engine.session(stores.lake) as session:
        put = _put_events if group[0] in _EVENTS else _put_orders
        is_touched = put(session, stores, batch, earlier)
        for aggregate in group:
            rows = _delta(session, aggregate, is_first=earlier is None) if is_touched else _no_rows(aggregate)
            appended[aggregate.name] = _append(stores, aggregate, batch, rows)
    return appended


def _put_orders(session: engine.Session, stores: Stores, batch: int, earlier: int | None) -> bool:
    """Registers the states of the orders and items that a batch touches, as it knows them (`raw`) and before (`old`).

    :returns: whether it touches any.
    """
    names = (tables.ORDERS.name, tables.ORDER_ITEMS.name)
    if earlier is None:
        for name in names:
            session.put(f"raw.{name}_timeline", history.timeline(stores, name, batch))
        return True
    for name in names:
        session.put(f"touched.{name}", _rows_of(stores, name, batch))
    session.create("touched.keys", "select order_id from touched.orders union select order_id from touched.order_items")
    if not _any(session, "touched.keys"):
        return False
    for name in names:
        now = history.timeline(stores, name, batch, f"rows.{name}")
        session.put(f"part.{name}", engine.Part(now.versions, "touched.keys as k", "r.order_id = k.order_id"))
        session.create(f"rows.{name}", f"select * from part.{name}")  # noqa: S608 - names of tables.py
        session.put(f"raw.{name}_timeline", now)
        session.put(f"old.{name}_timeline", history.timeline(stores, name, earlier, f"rows.{name}"))
    return True


def _put_events(session: engine.Session, stores: Stores, batch: int, earlier: int | None) -> bool:
    """Like `_put_orders`, for the events of the days on which a batch's customers did something."""
    name = tables.EVENTS.name
    now = history.happened(stores, name, batch)
    if earlier is None:
        session.put("raw.events", now)
        return True
    before = history.happened(stores, name, earlier)
    session.put("touched.rows", _rows_of(stores, name, batch))
    touched = "select distinct customer_id, cast(occurred_at as date) as day from touched.rows where not is_deleted"
    if _any(session, "touched.rows where is_deleted"):
        session.create("touched.gone", "select distinct event_id from touched.rows where is_deleted")
        session.put("part.gone", engine.Part(before.versions, "touched.gone as k", "r.event_id = k.event_id"))
        touched += " union select customer_id, cast(occurred_at as date) from part.gone where not is_deleted"
    session.create("touched.keys", touched)
    found = engine.table_of(session.batches("select min(day) as first, max(day) as last from touched.keys"))
    between = found["first"][0].as_py(), found["last"][0].as_py()
    if between[0] is None:
        return False
    partner = "r.customer_id = k.customer_id and cast(r.occurred_at as date) = k.day"
    session.put("part.events", engine.Part(now.versions, "touched.keys as k", partner, between))
    session.create("rows.events", "select * from part.events")
    for schema, source in (("raw", now), ("old", before)):
        session.put(f"{schema}.events", replace(source, rows="rows.events"))
    return True


def _delta(session: engine.Session, aggregate: Aggregate, *, is_first: bool) -> Iterator[pa.RecordBatch]:
    """The rows to append, those of one day beside each other so that a window reads little."""
    statement = sql.read("aggregates", aggregate.name)
    keys, measures = aggregate.keys.names, aggregate.measures.names
    columns = ", ".join(map(engine.quoted, (*keys, *measures)))
    order = ", ".join(map(engine.quoted, (aggregate.day, *(key for key in keys if key != aggregate.day))))
    if is_first:
        whole = f"select {columns} from ({statement}) as now order by {order}"  # noqa: S608
        return itertools.chain.from_iterable(map(session.batches, _of_days(session, aggregate, whole)))
    session.create(f"now.{aggregate.name}", statement)
    session.create(f"before.{aggregate.name}", statement.replace(" raw.", " old."))
    group = ", ".join(map(engine.quoted, keys))
    less = ", ".join(f"-{engine.quoted(name)} as {engine.quoted(name)}" for name in measures)
    sums = ", ".join(
        f"cast(sum({engine.quoted(field.name)}) as {_SQL_TYPES[field.type]}) as {engine.quoted(field.name)}"
        for field in aggregate.measures
    )
    is_change = " or ".join(f"sum({engine.quoted(name)}) <> 0" for name in measures)
    return session.batches(
        f"""
        select {group}, {sums} from (
            select {columns} from now.{aggregate.name}
            union all
            select {group}, {less} from before.{aggregate.name}
        ) as changes
        group by {group} having {is_change} order by {order}
        """  # noqa: S608 - names of tables.py
    )


def _of_days(session: engine.Session, aggregate: Aggregate, statement: str) -> Iterator[str]:
    """A statement for some consecutive days after the other, each of about `settings.history.first_rows` rows at most;
    as it is where all are no more. Every key has the day, so no group is in two of them."""
    relation, moment = _READ[aggregate in _EVENTS]
    counted = session.batches(
        f"select cast({moment} as date) as day, count(*) as row_count from {relation} group by cast({moment} as date)"  # noqa: S608
    )
    counts = sorted((row["day"], row["row_count"]) for row in engine.table_of(counted).to_pylist())
    begins, in_part = [], 0
    for day, count in counts:
        if not begins or in_part + count > settings.load().history.first_rows:
            begins.append(day)
            in_part = 0
        in_part += count
    if len(begins) < 2:
        yield statement
        return
    for begin, end in zip(begins, [*begins[1:], None], strict=True):
        within = f"{moment} >= {engine.literal(engine.midnight(begin))}"
        within += f" and {moment} < {engine.literal(engine.midnight(end))}" if end else ""
        log.info("%s from %s on", aggregate.table, begin)
        part = f"(select * from {relation} where {within}) as {relation.partition('.')[2]}"  # noqa: S608
        yield statement.replace(f"from {relation}", f"from {part}")


# What is read of orders and of events, and when each row happened
_READ = (("raw.orders_timeline", "ordered_at"), ("raw.events", "occurred_at"))
_SQL_TYPES = {pa.int64(): "bigint", tables.ORDER_DAYS.measures.field("amount").type: "decimal(18, 2)"}


def _rows_of(stores: Stores, name: str, batch: int) -> pa.Table:
    """The rows of one batch: the keys and the time only."""
    entity = tables.ENTITIES[name]
    columns = [*dict.fromkeys((*entity.key, "customer_id", entity.time or entity.key[0])), "is_deleted"]
    columns = [column for column in columns if column in entity.version_schema.names]
    schema = pa.schema([entity.version_schema.field(column) for column in columns])
    found = [schema.empty_table()]
    for file in history.files_of(stores, name):
        if file.first_batch <= batch <= file.last_batch:
            path = posixpath.join(stores.lake, file.path)
            for rows in lake.batches_of(path, settings.load().history.merge_rows, [*columns, "_batch"]):
                mine = pa.Table.from_batches([rows]).filter(pc.equal(rows["_batch"], batch))
                found.append(mine.select(columns).cast(schema))
    return pa.concat_tables(found)


def _any(session: engine.Session, relation: str) -> bool:
    return engine.table_of(session.batches(f"select 1 as one from {relation} limit 1")).num_rows > 0  # noqa: S608


def _no_rows(aggregate: Aggregate) -> Iterator[pa.RecordBatch]:
    yield pa.RecordBatch.from_pylist([], schema=pa.schema([*aggregate.keys, *aggregate.measures]))


def _append(stores: Stores, aggregate: Aggregate, batch: int, rows: Iterator[pa.RecordBatch]) -> int:
    path = history.new_path(aggregate.name, batch, batch)
    schema = aggregate.file_schema

    def numbered() -> Iterator[pa.RecordBatch]:
        for each in rows:
            columns = [each[name].cast(schema.field(name).type) for name in schema.names[:-1]]
            columns.append(pa.array([batch] * each.num_rows, pa.int64()))
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    written = lake.write_file(posixpath.join(stores.lake, path), numbered(), schema)
    with warehouse.connect(stores.marketing) as connection:
        warehouse.execute(
            connection,
            "insert into ops.versions (entity, first_batch, last_batch, path, row_count, definition) "
            "values (:name, :batch, :batch, :path, :rows, :definition)",
            {
                "name": aggregate.name,
                "batch": batch,
                "path": path,
                "rows": written,
                "definition": _definition(aggregate),
            },
        )
    return written


def _batches(stores: Stores, after: int, through: int) -> list[int]:
    with warehouse.connect(stores.marketing) as connection:
        found = warehouse.fetch(
            connection,
            "select batch from ops.acceptances where batch > :after and batch <= :through order by batch",
            {"after": after, "through": through},
        )
    return [batch for (batch,) in found]


def _last_before(stores: Stores, batch: int) -> int | None:
    with warehouse.connect(stores.marketing) as connection:
        [(found,)] = warehouse.fetch(
            connection, "select max(batch) from ops.acceptances where batch < :batch", {"batch": batch}
        )
    return found


def _retire_outdated(stores: Stores, aggregate: Aggregate) -> None:
    """Has the files of another definition count no more; they are removed as files that were merged are."""
    with warehouse.connect(stores.marketing) as connection:
        warehouse.execute(
            connection,
            "update ops.versions set retired_at = now() where entity = :name and retired_at is null "
            "and definition is distinct from :definition",
            {"name": aggregate.name, "definition": _definition(aggregate)},
        )


def _definition(aggregate: Aggregate) -> str:
    text = f"{sql.read('aggregates', aggregate.name)}\n{aggregate.file_schema}"
    return hashlib.sha256(text.encode()).hexdigest()
