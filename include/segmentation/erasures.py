"""
The privacy ledger: who was to be forgotten, who must not come back, and that nobody writes meanwhile.

Ids are kept as salted hashes (schema `privacy`): a pseudonym, by which a person is recognised who comes again, and
which tells nobody who it was. The salt lies in the database beside them, so whoever can read both can try ids out:
the schema is for the pipeline's own login.
"""

import contextlib
import datetime as dt
import functools
import hashlib
import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from segmentation import engine, sql, tables, warehouse
from segmentation.settings import Stores

SCHEMA = "privacy"
_SCHEMA_LOCK = 4_070_110_303
_LOCK = 4_070_110_304  # shared: a stage that writes what it has read of persons; alone: erasure


def holds_off_erasure(stage: Callable) -> Callable:
    """Marks a stage that writes rows of persons, and has an argument `stores`: erasure waits until it has ended, and it
    waits until an erasure has. So nothing that was read before an erasure is written after it.

    Such stages never call each other: the inner one would wait for the erasure that waits for the outer one.
    """
    signature = inspect.signature(stage)

    @functools.wraps(stage)
    def held_off(*args, **kwargs):
        stores = signature.bind(*args, **kwargs).arguments["stores"]
        with warehouse.connect(stores.marketing, autocommit=True) as guard:
            warehouse.execute(guard, "select pg_advisory_lock_shared(:lock)", {"lock": _LOCK})
            return stage(*args, **kwargs)

    return held_off


@contextlib.contextmanager
def alone(stores: Stores) -> Iterator[None]:
    """Waits until no stage of `holds_off_erasure` runs, and lets none begin as long as the block lasts."""
    with warehouse.connect(stores.marketing, autocommit=True) as guard:
        warehouse.execute(guard, "select pg_advisory_lock(:lock)", {"lock": _LOCK})
        yield


def ensure_schema(dsn: str) -> None:
    """Creates what is missing of schema `privacy`."""
    warehouse.ensure_schema(dsn, SCHEMA, sql.read("privacy", "schema"), _SCHEMA_LOCK)


def requested(stores: Stores) -> list[str]:
    """The customers who wait in `privacy.requests`."""
    ensure_schema(stores.marketing)
    with warehouse.connect(stores.marketing) as connection:
        found = warehouse.fetch(connection, "select customer_id from privacy.requests order by customer_id")
    return [customer for (customer,) in found]


def begin(stores: Stores, customers: Sequence[str], run_id: str | None) -> None:
    """Notes that persons are being erased, and lets in nothing of theirs from now on; said again, it changes nothing
    until `finish`."""
    with warehouse.connect(stores.marketing) as connection:
        digests = _digests(connection, customers)
        warehouse.execute(
            connection,
            "insert into privacy.erasures (id_hash, run_id) "
            "select h, :run_id from unnest(cast(:hashes as text[])) as h "
            "where not exists (select from privacy.erasures as e where e.id_hash = h and e.finished_at is null)",
            {"hashes": digests, "run_id": run_id},
        )
        _keep_out(connection, tables.CUSTOMERS, digests)


def remember(stores: Stores, customers: Sequence[str], keys: Mapping[str, Mapping[str, str]]) -> dict[str, dict]:
    """Keeps what is known of persons' orders, events and tickets until `finish`: an erasure that is killed half-way
    finds them no more where they were. Their orders are let in no more: items do not say whose they are.

    :param keys: column -> its values that are theirs -> the customer.
    :returns: the same, with what an earlier try had found.
    """
    with warehouse.connect(stores.marketing) as connection:
        for column, owners in keys.items():
            warehouse.execute(
                connection,
                "insert into privacy.unfinished (column_name, key, customer_id) select :column, k, c "
                "from unnest(cast(:keys as text[]), cast(:owners as text[])) as u (k, c) on conflict do nothing",
                {"column": column, "keys": list(owners), "owners": list(owners.values())},
            )
        found = warehouse.fetch(
            connection,
            "select column_name, key, customer_id from privacy.unfinished where customer_id = any(:ids) order by 1, 2",
            {"ids": list(customers)},
        )
        told = {column: {key: owner for name, key, owner in found if name == column} for column in keys}
        _keep_out(connection, tables.ORDERS, _digests(connection, told.get(tables.ORDERS.key[0], ())))
    return told


def keep_out(stores: Stores, orders: Iterable[str]) -> None:
    """Lets orders in no more whose customer was erased: their items do not say whose they are."""
    with warehouse.connect(stores.marketing) as connection:
        _keep_out(connection, tables.ORDERS, _digests(connection, orders))


def finish(stores: Stores, customers: Sequence[str], removed: Mapping[str, int], scanned: Mapping[str, Any]) -> None:
    """Notes that the scan found nothing more of these persons, and forgets that it was asked for."""
    with warehouse.connect(stores.marketing) as connection:
        warehouse.execute(
            connection,
            "update privacy.erasures set finished_at = clock_timestamp(), removed = cast(:removed as jsonb), "
            "scanned = cast(:scanned as jsonb) where id_hash = any(:hashes) and finished_at is null",
            {
                "removed": json.dumps(dict(removed)),
                "scanned": json.dumps(dict(scanned)),
                "hashes": _digests(connection, customers),
            },
        )
        for forgotten in (
            "delete from privacy.requests where customer_id = any(:ids)",
            "delete from privacy.unfinished where customer_id = any(:ids)",
        ):
            warehouse.execute(connection, forgotten, {"ids": list(customers)})


@dataclass(frozen=True)
class KeptOut:
    """What the raw gate lets in no more: hashes of customers, and of orders."""

    salt: str
    customers: pa.Table
    orders: pa.Table

    def rows(self, entity: tables.Entity, path: str) -> pa.Table:
        """The rows of a staged file that must not come in: `row_no`, from 0, and `order_id` where there is one."""
        names = entity.schema.names
        wanted = [
            f"sha256(concat({engine.literal(self.salt)}, {column})) in (select id_hash from {table})"  # noqa: S608
            for column, table in (("customer_id", "out.customers"), ("order_id", "out.orders"))
            if column in names
        ]
        if not wanted:
            return pa.table({"row_no": pa.array([], pa.int64()), "order_id": pa.array([], pa.string())})
        order = "order_id" if "order_id" in names else "null::varchar"
        statement = f"select row_no, {order} as order_id from staged.rows where {' or '.join(wanted)} order by row_no"  # noqa: S608
        inputs = {"staged.rows": engine.Numbered(path), "out.customers": self.customers, "out.orders": self.orders}
        return engine.table_of(engine.query(statement, inputs))


def kept_out(stores: Stores) -> KeptOut | None:
    """What the raw gate lets in no more; None as long as nobody was erased."""
    ensure_schema(stores.marketing)
    with warehouse.connect(stores.marketing) as connection:
        found = warehouse.fetch(connection, "select entity, id_hash from privacy.kept_out")
        salt = _salt(connection)
    if not found:
        return None
    of = {name: pa.table({"id_hash": pa.array([h for e, h in found if e == name], pa.string())}) for name in _ENTITIES}
    return KeptOut(salt, of[tables.CUSTOMERS.name], of[tables.ORDERS.name])


_ENTITIES = (tables.CUSTOMERS.name, tables.ORDERS.name)


def hashed(stores: Stores, customer_id: str) -> str:
    """The pseudonym of a person, as it stands in `privacy.erasures`."""
    ensure_schema(stores.marketing)
    with warehouse.connect(stores.marketing) as connection:
        return _digests(connection, [customer_id])[0]


def hashes(stores: Stores, customers: Sequence[str]) -> tuple[str, list[str]]:
    """The salt, and the pseudonyms of persons in their order."""
    ensure_schema(stores.marketing)
    with warehouse.connect(stores.marketing) as connection:
        return _salt(connection), _digests(connection, customers)


def finished(stores: Stores) -> dict[str, dt.datetime]:
    """The pseudonyms of who was erased and found nowhere any more, and when that was, the last time."""
    with warehouse.connect(stores.marketing) as connection:
        return dict(
            warehouse.fetch(
                connection,
                "select id_hash, max(finished_at) from privacy.erasures where finished_at is not null group by id_hash",
            )
        )


def keep_out_hashes(stores: Stores, digests: Sequence[str]) -> None:
    """Lets in no more rows of persons of whom only the pseudonym is known."""
    with warehouse.connect(stores.marketing) as connection:
        _keep_out(connection, tables.CUSTOMERS, digests)


def _keep_out(connection, entity: tables.Entity, digests: Sequence[str]) -> None:
    warehouse.execute(
        connection,
        "insert into privacy.kept_out (entity, id_hash) select :entity, h from unnest(cast(:hashes as text[])) as h "
        "on conflict do nothing",
        {"entity": entity.name, "hashes": list(digests)},
    )


def _digests(connection, keys: Iterable[str]) -> list[str]:
    salt = _salt(connection)
    return [hashlib.sha256(f"{salt}{key}".encode()).hexdigest() for key in keys]


def _salt(connection) -> str:
    [(salt,)] = warehouse.fetch(connection, "select salt from privacy.salt")
    return salt
