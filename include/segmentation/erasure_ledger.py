"""
The ledger of erasures beside the backups: who was erased after a backup was made is erased again after a restore.

Each erasure leaves a file, before it removes anything: salted hashes, which name nobody. A restore brings the salt back
and hashes whom it finds; where that meets the ledger, the person is asked to be erased again. The folder must not be
part of what is restored: it lies with the backups.
"""

import datetime as dt
import hashlib
import json
import os
import posixpath
import uuid
from collections.abc import Sequence

import pyarrow.compute as pc

from segmentation import engine, erasures, history, lake, tables, warehouse
from segmentation.settings import Stores

VARIABLE = "SEGMENTATION_ERASURE_LEDGER"  # a folder, or an address in an object store


class OtherSaltError(Exception):
    """Hashes of the ledger were made with another salt than the database's: they recognise nobody."""


def note(stores: Stores, customers: Sequence[str]) -> str | None:
    """Writes who is being erased; returns the file. Without `SEGMENTATION_ERASURE_LEDGER` nothing, None."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        return None
    salt, hashes = erasures.hashes(stores, customers)
    now = dt.datetime.now(dt.UTC)
    path = posixpath.join(folder, f"{now:%Y%m%dT%H%M%S.%fZ}-{uuid.uuid4().hex[:8]}.json")
    lake.write_text(path, json.dumps({"at": now.isoformat(), "salt": _digest(salt), "id_hashes": hashes}))
    return path


def ask_again(stores: Stores, folder: str) -> list[str]:
    """After a restore: whom the ledger has and the database does not know as erased since, is kept out at once; those
    who are there again are put into `privacy.requests`.

    :returns: their ids. `erase.erase_customers` erases them.
    :raises OtherSaltError: names the files; nothing was changed.
    """
    entries = {path: json.loads(lake.read_text(path) or "{}") for path in lake.walk(folder) if path.endswith(".json")}
    if not entries:
        return []
    salt, _ = erasures.hashes(stores, [])
    foreign = [path for path, entry in entries.items() if entry.get("salt") != _digest(salt)]
    if foreign:
        raise OtherSaltError(
            f"{len(foreign)} of {len(entries)} files of the ledger, such as {foreign[0]}, have another salt than the "
            "backup: erase these persons again by their ids, as asked at the time, and move the files away"
        )
    finished = erasures.finished(stores)
    wanted = {
        digest
        for entry in entries.values()
        for digest in entry["id_hashes"]
        if digest not in finished or finished[digest] < dt.datetime.fromisoformat(entry["at"])
    }
    erasures.keep_out_hashes(stores, sorted(wanted))
    known = _known(stores)
    _, hashes = erasures.hashes(stores, known)
    back = [customer for customer, digest in zip(known, hashes, strict=True) if digest in wanted]
    with warehouse.connect(stores.marketing) as connection:
        statement = (
            "insert into privacy.requests (customer_id) select unnest(cast(:ids as text[])) on conflict do nothing"
        )
        warehouse.execute(connection, statement, {"ids": back})
    return back


def _known(stores: Stores) -> list[str]:
    """Every customer that the lake's history, or a published table, names."""
    found: set[str] = set()
    for entity in tables.ENTITIES.values():
        if "customer_id" in entity.schema.names:
            for file in history.files_of(stores, entity.name):
                found |= _ids(posixpath.join(stores.lake, file.path))
    named = (
        "select customer_id from marketing_internal.segment_rows "
        "union select customer_id from marketing.segment_history "
        "union select customer_id from marketing_internal.change_rows where change <> 'erased' "
        "union select row ->> 'customer_id' from quarantine.rows where jsonb_typeof(row) = 'object'"
    )
    with warehouse.connect(stores.marketing) as connection:
        found |= {customer for (customer,) in warehouse.fetch(connection, named)}
    return sorted(found - {None})


def _ids(path: str) -> set[str]:
    statement = "select distinct customer_id from known.rows where customer_id is not null"
    return set(pc.drop_null(engine.table_of(engine.query(statement, {"known.rows": path}))["customer_id"]).to_pylist())


def _digest(salt: str) -> str:
    return hashlib.sha256(f"fenqun.ledger {salt}".encode()).hexdigest()[:16]
