"""
The only door to databases: transactions, and whole tables in and out.

Whole tables move by COPY, parsed and printed by Arrow's own CSV reader and writer; no row passes through a Python loop.
(Measured for 2 million orders: this way takes 1.1 s where a bare COPY takes 0.94 s and ADBC 1.7 s.)
DSNs are passed in, because they hold secrets and live in Airflow connections only.
"""

import contextlib
import datetime as dt
import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg2  # noqa: TID251 - the one importer
import psycopg2.errors  # noqa: TID251 - the one importer
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from segmentation import conversion, sql
from segmentation.errors import FinalError

COPY_BYTES = 1024 * 1024
PRINTED_ROWS = 25_000
FETCH_ROWS = 50_000

# What Postgres is not there for, or no longer: trying again may help
DOWN = (psycopg2.OperationalError, psycopg2.InterfaceError)

# A Postgres DSN, read by COPY; or whatever opens a DB-API 2.0 connection (PEP 249) to another warehouse
Source = str | Callable[[], Any]


class StatementError(FinalError):
    """The database refuses a query: a table or column that is not there, a right that is missing, a slip in the SQL."""


class OutOfTimeError(Exception):
    """A statement has not ended within its time limit."""


class NotNowError(Exception):
    """The database is not in the state that a statement needs: another one like it has to end first, or be ended."""


class DuplicateKeyError(FinalError):
    """A unique key cannot be made: a value occurs twice. In the database's words, which name the value."""


class MissingColumnsError(FinalError):
    """A query does not return the columns that are wanted; names those missing and those that came."""


@contextlib.contextmanager
def connect(dsn: str, *, autocommit: bool = False) -> Iterator[psycopg2.extensions.connection]:
    """A connection in UTC as one transaction: committed at the end, rolled back on any error, closed always.

    :param autocommit: for statements that refuse a transaction, such as CREATE DATABASE.
    :raises psycopg2.OperationalError: the server cannot be reached or refuses the login.
    """
    connection = psycopg2.connect(dsn, options="-c timezone=UTC", application_name="fenqun")
    connection.autocommit = autocommit
    try:
        yield connection
        if not autocommit:
            connection.commit()
    except BaseException:
        if not connection.closed and not autocommit:
            connection.rollback()
        raise
    finally:
        connection.close()


@contextlib.contextmanager
def transaction(connection) -> Iterator[None]:
    """One transaction on a connection that is on autocommit otherwise, for what needs the session before it as well."""
    connection.autocommit = False
    try:
        yield
        connection.commit()
    except BaseException:
        if not connection.closed:
            connection.rollback()
        raise
    finally:
        if not connection.closed:
            connection.autocommit = True


@contextlib.contextmanager
def time_limit(connection, seconds: float) -> Iterator[None]:
    """No statement of the block takes longer; for a connection on autocommit."""
    execute(
        connection, "select set_config('statement_timeout', :limit, false)", {"limit": f"{int(seconds * 1000) or 1}ms"}
    )
    try:
        yield
    finally:
        execute(connection, "select set_config('statement_timeout', '0', false)")


def execute(connection, statement: str, parameters: Mapping[str, Any] | None = None) -> int:
    """Runs a statement with `:name` parameters; returns how many rows it touched (-1 where that has no meaning)."""
    with connection.cursor() as cursor:
        cursor.execute(sql.for_psycopg(statement), parameters or {})
        return cursor.rowcount


def fetch(connection, statement: str, parameters: Mapping[str, Any] | None = None) -> list[tuple]:
    """Runs a query with `:name` parameters; returns all its rows: for results that are small by their nature."""
    with connection.cursor() as cursor:
        cursor.execute(sql.for_psycopg(statement), parameters or {})
        return cursor.fetchall()


def fetch_dicts(connection, statement: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Like `fetch`, each row as column -> value."""
    with connection.cursor() as cursor:
        cursor.execute(sql.for_psycopg(statement), parameters or {})
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def run_script(connection, script: str) -> None:
    """Runs a script of several statements as it stands, without parameters: DDL.

    :raises DuplicateKeyError: it makes a unique key, and a value occurs twice.
    :raises OutOfTimeError: it takes longer than `time_limit` says.
    :raises NotNowError: the database is not in the state for it.
    """
    with connection.cursor() as cursor:
        try:
            cursor.execute(script)
        except psycopg2.errors.QueryCanceled as error:
            raise OutOfTimeError(str(error).strip()) from error
        except psycopg2.errors.ObjectNotInPrerequisiteState as error:
            raise NotNowError(str(error).strip()) from error
        except psycopg2.errors.UniqueViolation as error:
            raise DuplicateKeyError(error.diag.message_detail or str(error)) from error


def ensure_schema(dsn: str, schema: str, script: str, lock: int) -> None:
    """Runs a script of DDL unless it was the last one that ran for the schema, which notes that in its comment.

    So nothing is touched while all is as this version wants it: replacing a view locks its readers out for a moment.

    :param script: may be run again at any time; creates the schema.
    :param lock: the advisory lock that keeps two such runs apart.
    """
    wanted = f"fenqun {hashlib.sha256(script.encode()).hexdigest()[:16]}"
    comment = "select obj_description(to_regnamespace(:schema)::oid, 'pg_namespace')"
    with connect(dsn) as connection:
        if fetch(connection, comment, {"schema": schema}) == [(wanted,)]:
            return
        execute(connection, "select pg_advisory_xact_lock(:lock)", {"lock": lock})
        if fetch(connection, comment, {"schema": schema}) == [(wanted,)]:
            return
        run_script(connection, script)
        run_script(connection, f"comment on schema {identifier(schema)} is '{wanted}'")


def can_hold(text: str) -> bool:
    """Whether Postgres has a place for a text: it has none for NUL, nor for halves of characters."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def identifier(name: str) -> str:
    """A possibly schema-qualified name, quoted, for the few statements that are put together in code."""
    if not re.fullmatch(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?", name):
        raise ValueError(f"not a table or column name: {name!r}")
    return ".".join(f'"{part}"' for part in name.split("."))


def copy_in(
    connection,
    table: str,
    batches: Iterable[pa.RecordBatch | pa.Table],
    columns: Sequence[str],
    *,
    is_new: bool = False,
    defaults: Mapping[str, pa.Scalar] | None = None,
) -> int:
    """Appends Arrow batches to a table by COPY, inside the connection's transaction.

    :param batches: each with at least the named columns; memory is bounded by one batch. Lists become Postgres
        arrays; null and the empty string stay apart.
    :param is_new: the table was made in this transaction: its rows are written as old ones, which no vacuum has to
        visit (COPY FREEZE).
    :param defaults: what the table has as defaults of some columns: where all rows of a piece have that value it is
        neither printed nor parsed.
    :returns: rows written.
    """
    options = f"format csv{', freeze' if is_new else ''}"
    rows = 0
    with connection.cursor() as cursor:
        for printed, printed_columns, count in _ahead(_printed(batches, list(columns), defaults or {})):
            names = ", ".join(identifier(column) for column in printed_columns)
            statement = f"copy {identifier(table)} ({names}) from stdin ({options})"
            cursor.copy_expert(statement, pa.BufferReader(printed), size=COPY_BYTES)
            rows += count
    return rows


def _printed(
    batches: Iterable[pa.RecordBatch | pa.Table], columns: list[str], defaults: Mapping[str, pa.Scalar]
) -> Iterator[tuple[pa.Buffer, list[str], int]]:
    """Pieces of CSV, the columns in each, and its rows."""
    for batch in batches:
        part = pa.table(batch) if isinstance(batch, pa.RecordBatch) else batch
        for piece in part.select(columns).to_batches(max_chunksize=PRINTED_ROWS):
            told = [name for name in columns if name not in defaults or not _all_are(piece[name], defaults[name])]
            with pa.BufferOutputStream() as buffer:
                rows = _printable(piece.select(told or columns))
                pyarrow.csv.write_csv(rows, buffer, pyarrow.csv.WriteOptions(include_header=False))
                yield buffer.getvalue(), told or columns, piece.num_rows


def _all_are(values: pa.Array, value: pa.Scalar) -> bool:
    return bool(pc.all(pc.fill_null(pc.equal(values, value), False)).as_py())


def _ahead(items: Iterator[Any]) -> Iterator[Any]:
    """The same items; a thread makes the next one while one is used."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


def stream(source: Source, query: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The result of a query as typed Arrow batches, without holding the whole in memory.

    :param source: a Postgres DSN, which takes the fast way, or a function that opens a DB-API connection.
    :param query: without parameters; `literal` prints a time for it.
    :param schema: the columns wanted; others that the query returns are left out. Times without a zone are UTC.
    :raises MissingColumnsError: naming the missing columns and those that came.
    :raises conversion.UnreadableValueError: naming the column, the type wanted and the value.
    """
    names = _columns(source, query, schema)
    if isinstance(source, str):
        yield from _stream_copy(source, query, schema, names)
    else:
        for rows in _rows(source, query):
            yield pa.RecordBatch.from_arrays([conversion.typed(rows[f.name], f) for f in schema], schema=schema)


def stream_leniently(source: Source, query: str, schema: pa.Schema, most: int) -> Iterator[pa.RecordBatch]:
    """Like `stream`, but a value that does not fit its column's type becomes null, and is told beside the row.

    Slower: every value is read as text first. Meant for when `stream` has found such a value.

    :param most: so many values of a column may be unreadable; with more, its type is another than the contract's.
    :returns: batches with the columns of `schema` and `unreadable`: null, or a JSON object of column -> text as read.
    :raises MissingColumnsError: as `stream`.
    :raises conversion.UnreadableValueError: more than `most` values of one column do not fit.
    """
    names = _columns(source, query, schema)
    reader = conversion.Lenient(schema, most)
    if isinstance(source, str):
        raw = pa.schema([(field.name, pa.binary()) for field in schema])
        yield from (reader.of_texts(batch) for batch in _stream_copy(source, query, raw, names))
    else:
        yield from (reader.of_values(rows) for rows in _rows(source, query))


def _columns(source: Source, query: str, schema: pa.Schema) -> list[str]:
    came = columns(source, query)
    missing = [name for name in schema.names if name not in came]
    if missing:
        raise MissingColumnsError(f"does not return {', '.join(missing)}; it returns {', '.join(came)}")
    return came


def columns(source: Source, query: str) -> list[str]:
    """The names of the columns that a query returns, in lower case.

    :raises StatementError: in the database's words.
    """
    with _cursor(source, f"select * from ({query}) as q where 1 = 0") as cursor:  # noqa: S608 - a file of ours
        return [column[0].lower() for column in cursor.description]


def select(source: Source, query: str) -> list[tuple]:
    """All rows of a query, as Python objects: for results that are small by their nature.

    :raises StatementError: in the database's words.
    """
    with _cursor(source, query) as cursor:
        return [tuple(row) for row in cursor.fetchall()]


@contextlib.contextmanager
def _cursor(source: Source, query: str) -> Iterator[Any]:
    """A cursor that has run a query on any database. What PEP 249 calls a ProgrammingError, trying again won't mend."""
    opened = connect(source) if isinstance(source, str) else contextlib.closing(source())
    with opened as connection, contextlib.closing(connection.cursor()) as cursor:
        try:
            cursor.execute(query)
        except Exception as error:
            if any(kind.__name__ == "ProgrammingError" for kind in type(error).__mro__):
                raise StatementError(str(error).strip().partition("\n")[0]) from error
            raise
        yield cursor


def literal(moment: dt.datetime) -> str:
    """A moment as an SQL literal that Postgres, MySQL and most others read; without a zone, in UTC."""
    plain = moment.astimezone(dt.UTC).replace(tzinfo=None)  # strftime has no zeros before the year 99
    return f"timestamp '{plain.isoformat(' ', 'microseconds')}'"


def _stream_copy(dsn: str, query: str, schema: pa.Schema, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """One thread copies into a pipe, this one parses out of it: the database and the parser work at the same time."""
    outlet, inlet = os.pipe()
    failures: list[BaseException] = []

    def copy() -> None:
        try:
            with os.fdopen(inlet, "wb", buffering=1 << 20) as pipe, connect(dsn) as connection:
                # A database without an encoding hands out bytes as they are, and Arrow tells which are no UTF-8.
                has_encoding = connection.info.parameter_status("server_encoding") != "SQL_ASCII"
                connection.set_client_encoding("UTF8" if has_encoding else "SQL_ASCII")
                with connection.cursor() as cursor:
                    cursor.copy_expert(f"copy ({query}) to stdout (format csv, header)", pipe)
        except BrokenPipeError:  # the reader wants no more
            pass
        except BaseException as error:
            failures.append(error)

    copier = threading.Thread(target=copy, name="copy", daemon=True)
    with os.fdopen(outlet, "rb", buffering=1 << 20) as pipe:
        copier.start()
        try:
            yield from conversion.parse_csv(pipe, schema, names)
        except conversion.UnreadableValueError:
            pipe.close()
            copier.join()
            if failures:  # half a result is what it looks like from here
                raise failures[0] from None
            raise
    copier.join()
    if failures:
        raise failures[0]


def _rows(open_connection: Callable[[], Any], query: str) -> Iterator[dict[str, Sequence[Any]]]:
    """Any DB-API database, in pieces, as column -> values; slower, because every value becomes a Python object."""
    with contextlib.closing(open_connection()) as connection, contextlib.closing(connection.cursor()) as cursor:
        cursor.execute(query)
        names = [column[0].lower() for column in cursor.description]
        while rows := cursor.fetchmany(FETCH_ROWS):
            yield dict(zip(names, zip(*rows, strict=True), strict=True))


def _printable(piece: pa.RecordBatch) -> pa.RecordBatch:
    """Columns that Arrow's CSV writer cannot print, or only slowly, as text that Postgres reads."""
    for index, field in enumerate(piece.schema):
        if pa.types.is_list(field.type):
            piece = piece.set_column(index, field.name, _array_literals(piece.column(index)))
        elif pa.types.is_dictionary(field.type):
            piece = piece.set_column(index, field.name, piece.column(index).cast(field.type.value_type))
        elif pa.types.is_timestamp(field.type) and field.type.tz:
            piece = piece.set_column(index, field.name, _moments(piece.column(index)))
    return piece


def _moments(times: pa.Array) -> pa.Array:
    """Times with a zone, printed in UTC: the writer itself asks its tables of time zones for every value, in 20 times
    the time."""
    in_utc = times.cast(pa.timestamp(times.type.unit, "UTC")).cast(pa.timestamp(times.type.unit))
    return pc.binary_join_element_wise(in_utc.cast(pa.string()), "Z", "")


def _array_literals(lists: pa.ListArray) -> pa.Array:
    """Lists of text as Postgres prints arrays, `{"a","b"}`, with every value in quotes, so that none means anything.

    Few values are in many lists, so each is quoted once.
    """
    first, last = lists.offsets[0].as_py(), lists.offsets[-1].as_py()
    coded = lists.values.slice(first, last - first).cast(pa.string()).dictionary_encode()
    values = coded.dictionary
    for special in ("\\", '"'):
        values = pc.replace_substring(values, special, "\\" + special)
    quoted = pc.binary_join_element_wise('"', values, '"', "").take(coded.indices)
    offsets = pc.subtract(lists.offsets, first)
    joined = pc.binary_join(pa.ListArray.from_arrays(offsets, pc.fill_null(quoted, "null")), ",")
    return pc.if_else(lists.is_valid(), pc.binary_join_element_wise("{", joined, "}", ""), pa.scalar(None, pa.string()))
