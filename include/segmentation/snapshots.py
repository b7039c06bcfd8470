"""
Snapshots: one table each, which nobody sees until it is attached and the one row that readers follow moves to it.

Between attaching and moving the row, publishing waits for every transaction that was reading when the partition came.
Such a reader may have planned its query without the partition, yet would read the moved row: it would see an empty
table. Postgres itself waits like this in DETACH PARTITION CONCURRENTLY (WaitForLockers), for the mirror-image reason.
"""

import contextlib
import datetime as dt
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from segmentation import sql, tables, warehouse
from segmentation.errors import FinalError

_COLUMNS = [*tables.SEGMENT_COLUMNS.names, "snapshot_id"]
# The same in all rows of most snapshots: said once, as defaults of the snapshot's table, which halves what COPY parses
_MOSTLY_ONE = ("as_of_date", "model_versions", "scored_at", "snapshot_id")
_LOCK_HOLDERS = """
    select virtualtransaction, pid from pg_locks
    where locktype = 'relation' and granted and pid <> pg_backend_pid() and relation = cast(:table as regclass)
    and database = (select oid from pg_database where datname = current_database())
"""
_STAGES = ("publish", "movement")  # whose relations clients read
_SCHEMA = ("schema", "comments", "grants")
READERS = ("crm_reader", "dashboard_reader")
# Publishers queue up behind this advisory lock; readers never touch it.
_LOCK = int.from_bytes(hashlib.sha256(b"fenqun.publish").digest()[:8], "big", signed=True)


class DoubledKeyError(FinalError):
    """A customer occurs twice among the rows of a snapshot: nothing was published."""


class ReadersInTheWayError(RuntimeError):
    """A transaction that reads the table since before the snapshot came does not end. Trying again may help."""


@contextlib.contextmanager
def only_publisher(dsn: str) -> Iterator[Any]:
    """A connection on autocommit; nobody else publishes, goes back or drops snapshots as long as it is open.

    What moves the current snapshot goes through this very connection: if the process is killed, its lock stays until
    the database has ended what was under way, so that the next one never meets a transaction that may still commit.
    """
    ensure_schema(dsn)
    with warehouse.connect(dsn, autocommit=True) as connection:
        warehouse.execute(connection, "select pg_advisory_lock(:lock)", {"lock": _LOCK})
        yield connection


def ensure_schema(dsn: str) -> None:
    """Creates or upgrades the schemas, but touches nothing when they are as this version wants them.

    Replacing a view locks its readers out for a moment, so it happens only when the definition has changed, or a role
    has come that is granted something.
    """
    with warehouse.connect(dsn) as connection:
        roles = warehouse.fetch(
            connection, "select rolname from pg_roles where rolname = any(:roles) order by 1", {"roles": list(READERS)}
        )
    scripts = [sql.read(stage, each) for stage in _STAGES for each in _SCHEMA]
    parts = [f"-- {', '.join(name for (name,) in roles)}", *scripts]
    warehouse.ensure_schema(dsn, "marketing_internal", ";\n".join(parts), _LOCK)


def clear_unfinished(dsn: str, day: dt.date) -> None:
    """Marks what a killed run of this day left as rejected; drops its table unless that was attached already."""
    with warehouse.connect(dsn) as connection:
        left = warehouse.fetch(
            connection,
            "update marketing.snapshots set status = 'rejected' "
            "where as_of_date = :day and status = 'building' returning snapshot_id",
            {"day": day},
        )
        for (snapshot_id,) in left:
            name = f"{tables.SEGMENT_ROWS}_{snapshot_id}"
            if _is_loose(connection, name):
                warehouse.run_script(connection, f"drop table {partition(snapshot_id)}")
            warehouse.execute(
                connection,
                "update marketing.snapshots set is_kept = (to_regclass(:name) is not null) where snapshot_id = :id",
                {"id": snapshot_id, "name": name},
            )


def _is_loose(connection, table: str) -> bool:
    """Whether a table is there and is no partition of another."""
    loose = "select 1 from pg_class where oid = to_regclass(:name) and not relispartition"
    return bool(warehouse.fetch(connection, loose, {"name": table}))


def open_snapshot(dsn: str, day: dt.date, validation: Mapping[str, Any] | None, dag_run_id: str | None) -> int:
    """Its number, with status `building`."""
    with warehouse.connect(dsn) as connection:
        [(snapshot_id,)] = warehouse.fetch(
            connection,
            "insert into marketing.snapshots (as_of_date, status, validation, dag_run_id) "
            "values (:day, 'building', cast(:validation as jsonb), :dag_run_id) returning snapshot_id",
            {"day": day, "validation": json.dumps(validation or {}), "dag_run_id": dag_run_id},
        )
    return snapshot_id


def load(dsn: str, snapshot_id: int, batches: Iterable[pa.RecordBatch]) -> int:
    """Fills the snapshot's own table by COPY, then adds its key; returns the rows sent.

    :param batches: with the columns of `tables.SEGMENT_COLUMNS`; memory is bounded by one of them.
    :raises DoubledKeyError: names a customer.
    """
    name = partition(snapshot_id)
    with warehouse.connect(dsn) as connection:
        parent = warehouse.identifier(tables.SEGMENT_ROWS)
        warehouse.run_script(
            connection,
            f"create table {name} (like {parent} including defaults including constraints, "
            f"constraint is_snapshot check (snapshot_id = {int(snapshot_id)}))",
        )
        table = f"{tables.SEGMENT_ROWS}_{snapshot_id}"
        coming = _numbered(batches, snapshot_id)
        first = next(coming, None)
        defaults = {name: first[name][0] for name in _MOSTLY_ONE} if first else {}
        for column, value in defaults.items():
            statement = f"alter table {name} alter column {warehouse.identifier(column)} set default :value"
            warehouse.execute(connection, statement, {"value": value.as_py()})
        rows = warehouse.copy_in(
            connection,
            table,
            itertools.chain([first] if first else [], coming),
            _COLUMNS,
            is_new=True,
            defaults=defaults,
        )
        try:
            warehouse.run_script(connection, f"alter table {name} add primary key (customer_id)")
        except warehouse.DuplicateKeyError as error:
            raise DoubledKeyError(
                f"snapshot {snapshot_id} is not published: a customer occurs twice: {error}"
            ) from error
        warehouse.run_script(connection, f"analyze {name}")
        return rows


def attach(dsn: str, snapshot_id: int) -> None:
    """Makes the table a partition; nothing points to it yet. No lock is taken that a reader would wait for."""
    with warehouse.connect(dsn) as connection:
        warehouse.run_script(
            connection,
            f"alter table {warehouse.identifier(tables.SEGMENT_ROWS)} attach partition {partition(snapshot_id)} "
            f"for values in ({int(snapshot_id)})",
        )


def wait_for_readers(dsn: str, seconds: float) -> None:
    """Waits until every transaction that holds a lock on the table now has ended; later ones are not waited for.

    :raises ReadersInTheWayError: after so many seconds there still is one; names it.
    """
    deadline = time.monotonic() + seconds
    with warehouse.connect(dsn, autocommit=True) as connection:
        before = set(warehouse.fetch(connection, _LOCK_HOLDERS, {"table": tables.SEGMENT_ROWS}))
        while before := before & set(warehouse.fetch(connection, _LOCK_HOLDERS, {"table": tables.SEGMENT_ROWS})):
            if time.monotonic() > deadline:
                raise ReadersInTheWayError(
                    f"after {seconds:g} s these sessions still read {tables.CUSTOMER_SEGMENTS} in a transaction that "
                    f"began before the new snapshot came: {_sessions(connection, {pid for _, pid in before})}"
                )
            time.sleep(0.02)


def _sessions(connection, pids: set[int]) -> str:
    rows = warehouse.fetch(
        connection,
        "select pid, usename, application_name, xact_start from pg_stat_activity where pid = any(:pids)",
        {"pids": sorted(pids)},
    )
    return "; ".join(f"pid {pid} ({user}, {name or 'unnamed'}, since {since})" for pid, user, name, since in rows)


def current(connection) -> tuple[int, dt.date] | None:
    """The number and the day of the snapshot that readers see; None before the first publication."""
    found = warehouse.fetch(
        connection,
        "select s.snapshot_id, s.as_of_date from marketing.snapshots as s "
        "inner join marketing_internal.current_snapshot as c on s.snapshot_id = c.snapshot_id",
    )
    return found[0] if found else None


def before(connection, day: dt.date) -> int | None:
    """The published snapshot of the last day before one; None: there is none."""
    [(found,)] = warehouse.fetch(
        connection,
        "select (select snapshot_id from marketing.snapshots where as_of_date < :day and status = 'published' "
        "and is_kept order by as_of_date desc limit 1)",
        {"day": day},
    )
    return found


def with_rows(connection) -> list[int]:
    """The numbers of the snapshots whose rows are there, those that nobody sees included."""
    schema, name = tables.SEGMENT_ROWS.split(".")
    found = warehouse.fetch(
        connection,
        "select cast(substring(c.relname from '[0-9]+$') as bigint) from pg_class as c "
        "inner join pg_namespace as n on c.relnamespace = n.oid "
        "where n.nspname = :schema and c.relkind = 'r' and c.relname ~ :pattern order by 1",
        {"schema": schema, "pattern": f"^{name}_[0-9]+$"},
    )
    return [snapshot_id for (snapshot_id,) in found]


def partition(snapshot_id: int) -> str:
    """The quoted name of the snapshot's own table."""
    return warehouse.identifier(f"{tables.SEGMENT_ROWS}_{int(snapshot_id)}")


def view_as(connection, name: str, snapshot_id: int | None) -> None:
    """A view of this session over the rows of a snapshot, without rows for None, for the statements of this stage."""
    source, condition = warehouse.identifier(tables.SEGMENT_ROWS), "where false"
    if snapshot_id is not None:
        source, condition = partition(snapshot_id), ""
    rows = f"select * from {source} {condition}"  # noqa: S608 - quoted names
    warehouse.run_script(connection, f"create or replace temporary view {warehouse.identifier(name)} as {rows}")


@contextlib.contextmanager
def read_beside(dsn: str, snapshot_id: int) -> Iterator[Callable[..., Future]]:
    """Reads a snapshot while the caller's own connection is busy with it: PostgreSQL has one core for each of the two.

    What is yielded takes a function and its arguments, and runs it in a thread, one after the other, with a connection
    in front of the arguments that has the view `new_rows`. An error is raised where the result is asked for.
    """
    with warehouse.connect(dsn, autocommit=True) as connection, ThreadPoolExecutor(1) as pool:
        view_as(connection, "new_rows", snapshot_id)
        try:
            yield lambda function, *arguments: pool.submit(function, connection, *arguments)
        finally:
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def in_order(connection) -> Iterator[None]:
    """Two snapshots compared in the block are read side by side by their keys, in which order they were loaded: a hash
    of one of them takes twice the time, and more where it does not fit in work_mem. For a connection on autocommit."""
    warehouse.execute(connection, "set enable_hashjoin = off")
    try:
        yield
    finally:
        if not connection.closed:
            warehouse.execute(connection, "reset enable_hashjoin")


def migration(connection, since: int) -> list[tuple[int | None, int | None, int]]:
    """(segment then, segment now, customers) between a snapshot and the view `new_rows`; None: not in that one."""
    view_as(connection, "before_rows", since)
    with in_order(connection):
        return warehouse.fetch(connection, sql.read("publish", "migration"))


def _numbered(batches: Iterable[pa.RecordBatch], snapshot_id: int) -> Iterator[pa.Table]:
    """The batches that have rows, with the number of the snapshot."""
    for batch in batches:
        if batch.num_rows:
            yield pa.table(batch).append_column("snapshot_id", pa.repeat(snapshot_id, batch.num_rows))
