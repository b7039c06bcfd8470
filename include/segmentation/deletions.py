"""
deletions: keys that the history has and the source has no longer, found without comparing all of them.

A warehouse does not tell what it has deleted. But both sides can count their rows by the day of `updated_at`, and where
no row was deleted the counts are equal. Only of the days that differ are the keys compared; and of those on which rows
wait in quarantine, which the history does not have, so that counts might be equal by chance.
"""

import contextlib
import datetime as dt
import re
from collections.abc import Iterable, Iterator

import pyarrow as pa

from segmentation import engine, history, lake, settings, sql, tables, warehouse
from segmentation.extract_window import Window
from segmentation.settings import Stores

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")  # neither null nor infinity


def find(
    entity: tables.Entity, day: dt.date, stores: Stores, window: Window, moment: dt.datetime | None
) -> list[pa.RecordBatch]:
    """The deletions as `staged_schema`: the key, `is_deleted`, and null for the rest.

    :param day: whose run it is: it names the files that are needed for a while.
    :param window: what is read of the entity in the same run.
    :param moment: the entity's watermark; None: the history has nothing yet.
    """
    config = settings.load().extract
    if entity.is_append_only or moment is None or not config.finds_deletions:
        return []
    query, known = sql.read("extract", entity.name), history.latest(stores, entity.name)
    limits = settings.DuckDB(memory_limit=config.memory_limit)
    with _keys(entity, day, stores, window.around(query)) as came:
        now = _there(entity)
        inputs: dict[str, engine.Input] = {"known.rows": known, "came.rows": came}
        days = _doubtful_days(stores, entity, query, now, inputs, limits)
        if not days:
            return []
        since = min(filter(None, (window.since, moment)))
        updated = [_of_days("updated_at", days, warehouse.literal), f"updated_at >= {warehouse.literal(since)}"]
        suspects = f"select * from {query_of(query)} where {' or '.join(updated)}"  # noqa: S608 - a file of ours
        with _keys(entity, day, stores, suspects, "suspects") as here:
            key = ", ".join(entity.key)
            statement = (
                f"select distinct {key} from ({now}) as n anti join here.rows using ({key}) "  # noqa: S608
                f"where {_of_days('n.updated_at', days, engine.literal)} order by {key}"
            )
            found = engine.query(statement, {**inputs, "here.rows": here}, limits)
            return [_as_deletions(batch, entity) for batch in found if batch.num_rows]


def query_of(query: str) -> str:
    """A query as a source of another one."""
    return f"({query}) as q"


def _doubtful_days(
    stores: Stores,
    entity: tables.Entity,
    query: str,
    now: str,
    inputs: dict[str, engine.Input],
    limits: settings.DuckDB,
) -> list[dt.date]:
    """The days of `updated_at` on which the history may have a key that the source has not."""
    of_day = "cast(cast(updated_at as date) as char(10))"
    counted = f"select {of_day} as day, count(*) from {query_of(query)} group by {of_day}"  # noqa: S608
    source = {day: rows for day, rows in warehouse.select(stores.warehouse, counted) if _DAY.fullmatch(str(day))}
    counted = f"select updated_at::date as day, count(*) as rows from ({now}) as n group by 1"  # noqa: S608
    ours = {
        f"{each['day']}": each["rows"]
        for each in engine.table_of(engine.query(counted, inputs, limits)).to_pylist()
        if each["day"] is not None
    }
    waiting = f"""
        select distinct left(row ->> 'updated_at', 10) from {tables.QUARANTINE}
        where table_name = '{entity.table}' and released_at is null
    """  # noqa: S608 - names of tables.py
    with warehouse.connect(stores.marketing) as connection:
        refused = {day for (day,) in warehouse.fetch(connection, waiting)}
    # A row whose `updated_at` was set back makes two days differ: where it is missing, and where it is one too many.
    differing = {day for day in source.keys() | ours.keys() if source.get(day, 0) != ours.get(day, 0)}
    return sorted(map(dt.date.fromisoformat, differing | (refused & ours.keys())))


def _there(entity: tables.Entity) -> str:
    """SQL: key and `updated_at` of what the history has, with what came in this run."""
    key = ", ".join(entity.key)
    return (
        f"select {key}, updated_at from known.rows anti join came.rows using ({key}) "  # noqa: S608
        f"union all select {key}, updated_at from came.rows"
    )


def _of_days(column: str, days: Iterable[dt.date], literal) -> str:
    """SQL: whether a time lies on one of the days, as few ranges of it."""
    ranges: list[list[dt.date | None]] = []
    for day in days:
        after = day + dt.timedelta(days=1) if day < dt.date.max else None  # 9999-12-31 often stands for "never"
        if ranges and ranges[-1][1] == day:
            ranges[-1][1] = after
        else:
            ranges.append([day, after])
    bounds = []
    for first, end in ranges:
        until = f" and {column} < {literal(engine.midnight(end))}" if end else ""
        bounds.append(f"({column} >= {literal(engine.midnight(first))}{until})")
    return "(" + " or ".join(bounds) + ")"


def _as_deletions(keys: pa.RecordBatch, entity: tables.Entity) -> pa.RecordBatch:
    told = {"is_deleted": pa.nulls(keys.num_rows, pa.bool_()).fill_null(True)}
    told |= {column: keys[column] for column in entity.key}
    columns = [told.get(field.name, pa.nulls(keys.num_rows, field.type)) for field in entity.staged_schema]
    return pa.RecordBatch.from_arrays(columns, schema=entity.staged_schema)


@contextlib.contextmanager
def _keys(entity: tables.Entity, day: dt.date, stores: Stores, query: str, name: str = "keys") -> Iterator[str]:
    """The keys that a query returns, and `updated_at`, as a Parquet file for as long as the block lasts."""
    schema = pa.schema([entity.schema.field(column) for column in (*entity.key, "updated_at")])
    selected = f"select {', '.join(schema.names)} from ({query}) as k"  # noqa: S608 - a file of ours
    table = f"{name}.{entity.name}"
    most = settings.load().extract.most_unreadable
    batches = warehouse.stream_leniently(stores.warehouse, selected, schema, most)
    lake.write(stores.lake, table, day, (batch.select(schema.names) for batch in batches), schema)
    try:
        yield lake.path(stores.lake, table, day)
    finally:
        lake.remove(lake.path(stores.lake, table, day))
