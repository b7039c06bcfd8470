"""
erase: a person is forgotten, in every version, everywhere, and does not come back.

Taken out of the lake (the history's files, features, scores, training sets, exports, Data Docs), of the database
(snapshots, history, feed, quarantine, the gates' examples), of what runs have left in MLflow and of Airflow's logs; the
feed keeps a tombstone. The proof is a scan of all of it. The raw gate lets in no more what the source still has of
them. What is not reached: the shop's own warehouse, backups (a
restore erases again: see `erasure_ledger`), copies that clients have made, and what a model has learnt from many, until
it is trained anew.
"""

import logging
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from segmentation import (
    erase_lake,
    erase_marketing,
    erasure_ledger,
    erasure_scan,
    erasures,
    history,
    history_files,
    lake,
    personal_data,
    registry_files,
    snapshots,
    warehouse,
)
from segmentation.mentions import Mentions
from segmentation.personal_data import Persons
from segmentation.registry import Registry
from segmentation.settings import Stores

log = logging.getLogger(__name__)


class NotErasedError(RuntimeError):
    """The scan still finds a person; names the places, not the person."""


def erase_customers(
    customers: Iterable[str], stores: Stores, run_id: str | None = None, logs: Sequence[str] = ()
) -> dict[str, Any]:
    """Erases some customers, and those who wait in `privacy.requests`; proves it, and notes it in `privacy.erasures`.

    Waits until the stages that write rows of persons have ended, and holds them up meanwhile. Killed at any point, it
    goes on when it is called again; called once more, it finds nothing to do and says so. No id gets into the log.

    :param customers: their `customer_id`; an unknown one is kept out from now on all the same.
    :param logs: local folders with text files that may give examples: Airflow's logs.
    :returns: `persons`; `removed`: rows or mentions by place; `looked_at`: files and tables that the proof went
        through; `tombstones`: rows of the feed that say `erased`.
    :raises ValueError: an id is empty or cannot be one.
    :raises NotErasedError: a place still names one of them.
    """
    asked = _checked({*customers, *erasures.requested(stores)})
    if not asked:
        return {"persons": 0, "removed": {}, "looked_at": {}, "tombstones": 0}
    erasure_ledger.note(stores, asked)
    erasures.begin(stores, asked, run_id)
    log.info("waiting for the stages that are writing rows of persons")
    with (
        erasures.alone(stores),
        history.only_writer(stores),
        snapshots.only_publisher(stores.marketing) as connection,
    ):
        persons = _found(asked, stores)
        removed = Counter(exports=_from_exports(stores, persons))
        removed += erase_lake.erase(stores, persons)
        _log("lake", removed)
        of_database = erase_marketing.erase(connection, persons)
        _log("database", of_database)
        removed += of_database
        removed["MLflow files"] += _from_registry(stores, persons)
        removed["logs"] += _from_logs(logs, persons)
        removed = +removed
        scan = erasure_scan.scan(stores, persons, logs)
    told = {**scan.looked_at, "tombstones": scan.tombstones}
    if scan.found:
        places = "; ".join(f"{place}: {found:,}" for place, found in scan.found.items())
        raise NotErasedError(f"of {len(asked)} persons there is still something in {len(scan.found)} places: {places}")
    log.info("the scan found nothing of %s persons in %s", len(asked), _in_words(scan.looked_at))
    log.info("tombstones in marketing.segment_changes: %s", scan.tombstones)
    erasures.finish(stores, asked, removed, told)
    return {
        "persons": len(asked), "removed": dict(removed), "looked_at": scan.looked_at, "tombstones": scan.tombstones,
    }  # fmt: skip


def _checked(customers: set[str]) -> list[str]:
    wrong = [
        each for each in customers if not isinstance(each, str) or not each.strip() or not warehouse.can_hold(each)
    ]
    if wrong:
        raise ValueError(f"{len(wrong)} of {len(customers)} ids cannot be the id of a customer, such as {wrong[0]!r}")
    return sorted(customers)


def _found(asked: Sequence[str], stores: Stores) -> Persons:
    history_files.remove_retired(stores, history_files.AT_ONCE)
    known = personal_data.find(asked, stores)
    persons = Persons(known.customers, erasures.remember(stores, asked, known.keys))
    log.info("%s persons, with %s", len(asked), _in_words({k: len(v) for k, v in persons.keys.items()}))
    return persons


def _from_exports(stores: Stores, persons: Persons) -> int:
    """The files that were made for these persons themselves."""
    paths = [personal_data.export_path(stores, customer) for customer in persons.customers]
    there = [path for path in paths if lake.read_text(path) is not None]
    for path in there:
        lake.remove(path)
    return len(there)


def _from_registry(stores: Stores, persons: Persons) -> int:
    """Mentions removed from the texts that runs have left. The files of models are looked at by the scan alone."""
    mentions, removed = Mentions(persons.names()), 0
    with tempfile.TemporaryDirectory() as folder:
        for uri in registry_files.files(Registry(stores.registry, stores.marketing)):
            if uri.endswith((*erase_lake.TEXTS, ".csv")) and "/models/" not in uri:
                local = Path(registry_files.fetch(uri, folder))
                left, found = mentions.redacted_bytes(local.read_bytes())
                if found:
                    local.write_bytes(left)
                    registry_files.replace(uri, str(local))
                removed += found
    return removed


def _from_logs(folders: Sequence[str], persons: Persons) -> int:
    """Mentions blotted out in place: whoever is writing to a log goes on writing to it."""
    mentions, removed = Mentions(persons.names()), 0
    for path in erasure_scan.log_files(folders):
        left, found = mentions.redacted_bytes(path.read_bytes(), same_length=True)
        if found:
            with path.open("r+b") as file:
                file.write(left)
        removed += found
    return removed


def _log(where: str, removed: Counter) -> None:
    log.info("%s: removed %s", where, _in_words(removed))


def _in_words(counts) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items() if count) or "nothing"
