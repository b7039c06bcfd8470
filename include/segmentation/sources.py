"""
What the engines can read: files, Arrow tables, and rows that are kept as versions.

The SELECTs made here are in DuckDB's dialect, of the kind that SQLGlot carries over to other engines unchanged.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

# Days before and after every day that a shop knows: what holds from the first, and what holds until further notice
ALWAYS, FOREVER = dt.date(1900, 1, 1), dt.date(9999, 12, 31)


@dataclass(frozen=True)
class Versions:
    """A table that is kept as versions of rows, as known for a day.

    :param files: Parquet files, the oldest first, each row with its `_batch` and `is_deleted`. The first has at most
        one version of each key.
    :param key: the columns that make two rows versions of one thing.
    :param through: the last batch that the day knows.
    :param schema: the columns of the table, for when there is no file yet.
    :param before: only what happened before this moment is in the table; None: everything is.
    :param time: the column that says when the thing happened; None: it has no time of its own.
    :param is_state_of_then: of several versions, the one that was current at `before` counts (by `updated_at`), or the
        oldest where every one is younger; else the latest of all counts.
    :param is_append_only: all versions of a key are the same row, until it is deleted: earlier ones need not be looked
        up, which saves reading the first file, by far the largest, for them.
    """

    files: tuple[str, ...]
    key: tuple[str, ...]
    through: int
    schema: pa.Schema
    before: dt.datetime | None = None
    time: str | None = None
    is_state_of_then: bool = False
    is_append_only: bool = False


@dataclass(frozen=True)
class Timeline:
    """Every state in which a table's rows were known, with `valid_from` (a date, exclusive) and `valid_to` (inclusive).

    A state holds for the days after that of its `updated_at`, but no day knows it whose batch came before it. Of rows
    whose first state is known by a later batch than the first file's, that state holds from the batch's own day on; of
    those in the first file, always. A row that was deleted has none.

    :param versions: its `before` and what follows from it do not matter here.
    :param days: the day that accepted each batch, for those after the first file's.
    :param rows: table of the session with a `Part` of the versions, to be read instead of the files.
    :param as_of: only the state that this day knows, and only of what happened before it, without the two columns.
    """

    versions: Versions
    days: tuple[tuple[int, dt.date], ...] = ()
    rows: str | None = None
    as_of: dt.date | None = None


@dataclass(frozen=True)
class Happened:
    """The rows of an append-only table that are not deleted, each of them once, with `known_on` (a date).

    The days after `known_on` know the row: always, of those in the first file, else from the day of their batch on.

    :param versions: its `before` does not matter here.
    :param days: the day that accepted each batch, for those after the first file's.
    :param rows: table of the session with a `Part` of the versions, to be read instead of the files.
    """

    versions: Versions
    days: tuple[tuple[int, dt.date], ...] = ()
    rows: str | None = None


@dataclass(frozen=True)
class Part:
    """Some of a table's versions as they lie in its files, with `_batch`, `is_deleted` and `in_first`.

    :param versions: its `before` and what follows from it do not matter here.
    :param only: table of the session that the wanted rows have a partner in; deletions come all.
    :param on: what makes them partners, of `r` and `only`.
    :param between: the earliest and the latest day of the versions' time; so that most of the files need not be read.
    """

    versions: Versions
    only: str
    on: str
    between: tuple[dt.date, dt.date] | None = None


@dataclass(frozen=True)
class Aggregated:
    """An aggregate by day, as known by a batch, of what happened before a day in the state of then.

    :param files: Parquet files, each row with its `_batch`.
    :param schema: the columns, without `changed_on` and `_batch`.
    :param day: the column that says on which day it happened.
    :param only: table of the session; only rows of its customers are there. None: everyone's.
    """

    files: tuple[str, ...]
    schema: pa.Schema
    day: str
    through: int
    before: dt.date
    only: str | None = None


@dataclass(frozen=True)
class Numbered:
    """A table whose rows have their place in it, from 0, as a first column `row_no`.

    :param source: one Parquet file, or an Arrow table.
    """

    source: str | pa.Table


Function = Callable[[pa.RecordBatch], pa.RecordBatch]
Input = str | pa.Table | Versions | Timeline | Happened | Part | Aggregated | Numbered


def schema_of(source: Versions | Timeline | Happened | Part) -> pa.Schema:
    """The columns that a source of versions has."""
    if isinstance(source, Versions):
        return source.schema
    more: list[tuple[str, pa.DataType]] = []
    if isinstance(source, Part):
        more = [("_batch", pa.int64()), ("is_deleted", pa.bool_()), ("in_first", pa.bool_())]
    elif isinstance(source, Happened):
        more = [("known_on", pa.date32())]
    elif source.as_of is None:
        more = [("valid_from", pa.date32()), ("valid_to", pa.date32())]
    return pa.schema([*source.versions.schema, *more])


def select_of(source: Versions | Timeline | Happened | Part, first: str, later: str | None) -> str:
    """The SELECT that a source of versions amounts to; `first` and `later` as for `chosen`."""
    makers = {Versions: chosen, Timeline: timeline, Happened: happened, Part: part}
    return makers[type(source)](source, first, later)


def literal(value: Any) -> str:
    """A value as SQL, for statements that are put together in code."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, dt.datetime):
        plain = value.astimezone(dt.UTC).replace(tzinfo=None)
        return f"timestamptz '{plain.isoformat(' ', 'microseconds')}+00'"
    if isinstance(value, dt.date):
        return f"date '{value}'"
    return "'" + str(value).replace("'", "''") + "'"


def quoted(name: str) -> str:
    """A column's name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def chosen(versions: Versions, first: str, later: str | None) -> str:
    """The SELECT that picks one version per key.

    Only keys that occur in a later file are compared; the rest of the first file, nearly all of it, streams through.

    :param first: relation with the rows of the first file.
    :param later: relation with the rows of the others; None: there is none.
    """
    known = f"_batch <= {int(versions.through)}"
    key, columns = _list(versions.key), _list(versions.schema.names)
    time = quoted(versions.time) if versions.time else None
    happened = f"({time} is null or {time} < {literal(versions.before)})" if time and versions.before else "true"
    if later is None:
        return f"select {columns} from {first} where {known} and not is_deleted and {happened}"  # noqa: S608
    if versions.before and versions.is_state_of_then:
        # Those current then, the youngest first; after them the younger ones, the oldest first.
        moment = literal(versions.before)
        order = (
            f"updated_at < {moment} desc nulls last, "
            f"case when updated_at < {moment} then updated_at end desc nulls last, updated_at asc, _batch desc"
        )
    else:
        order = "_batch desc, updated_at desc"
    every = f"{columns}, _batch, is_deleted"
    earlier = "" if versions.is_append_only else f"union all select {every} from base semi join touched using ({key})"  # noqa: S608
    return f"""
        with later as (select * from {later} where {known}),
        touched as (select distinct {key} from later),
        base as not materialized (select * from {first} where {known}),
        candidates as (
            select {every} from later {earlier}
        ),
        dated as (
            select *, max(case when is_deleted then _batch else -1 end) over (partition by {key}) as deleted_in
            from candidates
        ),
        placed as (
            select *, row_number() over (partition by {key} order by {order}) as place from dated
            where _batch > deleted_in
        )
        select {columns} from placed where place = 1 and {happened}
        union all
        select {columns} from base anti join touched using ({key})
        where not is_deleted and {happened}
    """  # noqa: S608 - names of tables.py, numbers, times and paths that are quoted


def timeline(source: Timeline, first: str, later: str | None) -> str:
    """The SELECT of a `Timeline`; `first` and `later` as for `chosen`.

    Only rows whose keys occur in a later file are compared; the rest of the first file streams through.
    """
    versions, always, forever = source.versions, literal(ALWAYS), literal(FOREVER)
    known = f"_batch <= {int(versions.through)}"
    key, columns = _list(versions.key), _list(versions.schema.names)
    happened, span = "true", f", {always} as valid_from, {forever} as valid_to"
    if source.as_of:
        span = ""
        if versions.time:
            moment = literal(dt.datetime.combine(source.as_of, dt.time(), dt.UTC))
            happened = f"({quoted(versions.time)} is null or {quoted(versions.time)} < {moment})"
    settled = f"select {columns}{span} from {first} where {known} and not is_deleted and {happened}"  # noqa: S608
    if later is None and not source.rows:
        return settled
    states = f"select {columns}, valid_from, valid_to from spans where valid_from < valid_to"  # noqa: S608
    if source.as_of:
        day = literal(source.as_of)
        states = f"select {columns} from spans where valid_from < {day} and {day} <= valid_to and {happened}"  # noqa: S608
    every = f"{columns}, _batch, is_deleted"
    if source.rows:
        everything, rest = f"everything as (select * from {source.rows} where {known})", ""  # noqa: S608
    else:
        everything = f"""
            later as (select {every}, false as in_first from {later} where {known}),
            touched as (select distinct {key} from later),
            everything as (
                select * from later
                union all
                select {every}, true as in_first from {first} semi join touched using ({key}) where {known}
            )
        """  # noqa: S608
        rest = f"union all select * from ({settled}) as settled anti join touched using ({key})"  # noqa: S608
    return f"""
        with {everything},
        deletions as (select {key}, max(_batch) as deleted_in from everything where is_deleted group by {key}),
        living as (
            select everything.*, {_known_on(source.days)} as known_on
            from everything left join deletions using ({key}) {_accepted(source.days)}
            where not is_deleted and _batch > coalesce(deleted_in, -1)
        ),
        placed as (
            select *, row_number() over (partition by {key} order by updated_at, _batch) as place from living
        ),
        begun as (
            select *, case
                when in_first or place = 1 then known_on else greatest(known_on, cast(updated_at as date))
            end as valid_from
            from placed
        ),
        spans as (
            select *, coalesce(
                min(valid_from) over (
                    partition by {key} order by place rows between 1 following and unbounded following
                ), {forever}
            ) as valid_to
            from begun
        )
        {states}
        {rest}
    """  # noqa: S608 - names of tables.py, numbers and days


def happened(source: Happened, first: str, later: str | None) -> str:
    """The SELECT of a `Happened`; `first` and `later` as for `chosen`."""
    versions = source.versions
    known = f"_batch <= {int(versions.through)}"
    key, columns = _list(versions.key), _list(versions.schema.names)
    if later is None and not source.rows:
        rows = f"from {first} where {known} and not is_deleted"
        return f"select {columns}, {literal(ALWAYS)} as known_on {rows}"
    every = f"{columns}, _batch, is_deleted"
    everything = f"""
        select {every}, true as in_first from {first} union all select {every}, false as in_first from {later}
    """  # noqa: S608
    if source.rows:
        everything = f"select * from {source.rows}"  # noqa: S608
    return f"""
        with everything as (select * from ({everything}) as e where {known}),
        deletions as (select {key}, max(_batch) as deleted_in from everything where is_deleted group by {key}),
        living as (
            select everything.*, {_known_on(source.days)} as known_on,
                row_number() over (partition by {key} order by _batch) as place
            from everything left join deletions using ({key}) {_accepted(source.days)}
            where not is_deleted and _batch > coalesce(deleted_in, -1)
        )
        select {columns}, known_on from living where place = 1
    """  # noqa: S608 - names of tables.py, numbers and days


def part(source: Part, first: str, later: str | None) -> str:
    """The SELECT of a `Part`; `first` and `later` as for `chosen`."""
    versions, when = source.versions, "true"
    columns = _list(versions.schema.names)
    if source.between:
        start, last = (dt.datetime.combine(day, dt.time(), dt.UTC) for day in source.between)
        time = quoted(versions.time or "")
        when = f"{time} >= {literal(start)} and {time} < {literal(last + dt.timedelta(days=1))}"
    selects = []
    for is_first, each in ((True, first), (False, later)):
        if each:
            what = f"select {columns}, _batch, is_deleted, {str(is_first).lower()} as in_first"
            known = f"_batch <= {int(versions.through)}"
            rows = f"(select * from {each} where {known} and not is_deleted and {when}) as r"  # noqa: S608
            selects.append(f"{what} from {rows} semi join {source.only} on {source.on}")
            selects.append(f"{what} from {each} where {known} and is_deleted")
    return " union all ".join(selects)


def _accepted(days: tuple[tuple[int, dt.date], ...]) -> str:
    """A join with the day that accepted each row's batch."""
    if not days:
        return ""
    rows = ", ".join(f"({int(batch)}, {literal(day - dt.timedelta(days=1))})" for batch, day in days)
    return f"left join (values {rows}) as accepted (batch_no, day_before) on _batch = batch_no"


def _known_on(days: tuple[tuple[int, dt.date], ...]) -> str:
    """The day after which a row's version is known."""
    always = literal(ALWAYS)
    return f"case when in_first then {always} else coalesce(day_before, {always}) end" if days else always


def aggregated(source: Aggregated, files: str) -> str:
    """The SELECT of an `Aggregated` over the relation with the rows of its files."""
    before = literal(source.before)
    where = [f"_batch <= {int(source.through)}", f"{quoted(source.day)} < {before}", f"changed_on < {before}"]
    wanted = f"semi join {source.only} using (customer_id)" if source.only else ""
    return f"select {_list(source.schema.names)} from {files} {wanted} where {' and '.join(where)}"  # noqa: S608


def _list(names) -> str:
    return ", ".join(map(quoted, names))
