"""Who was erased after a backup is erased again after it was restored."""

import datetime as dt
import json
import shutil
from pathlib import Path

import pytest

from local import backup
from segmentation import erase, erasure_ledger, erasures, warehouse
from tests.segmentation import erasable

WHO = "zq7-unique"


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    monkeypatch.setenv(erasure_ledger.VARIABLE, str(tmp_path / "erased"))
    return tmp_path / "erased"


def put_back(postgres_server, stores, dump, lake):
    name = stores.marketing.rpartition("/")[2]
    ours = (
        "select nspname from pg_namespace where nspname !~ '^pg_' and nspname not in ('information_schema', 'public')"
    )
    with warehouse.connect(stores.marketing) as connection:
        for (schema,) in warehouse.fetch(connection, ours):
            warehouse.execute(connection, f"drop schema {schema} cascade")
    backup.run(postgres_server, "pg_restore", "--exit-on-error", f"--dbname={name}", dump)
    shutil.rmtree(stores.lake)
    shutil.copytree(lake, stores.lake)


def test_a_person_whom_a_restore_brought_back_is_erased_again(
    stores, tmp_path, tmp_path_factory, ledger, postgres_server
):
    logs = tmp_path / "logs"
    erasable.fill(stores, WHO, logs)
    erasures.ensure_schema(stores.marketing)
    name = stores.marketing.rpartition("/")[2]
    kept = tmp_path_factory.mktemp("kept")  # not where the search for the person looks
    backup.dump(postgres_server, name, kept)
    shutil.copytree(stores.lake, kept / "lake")
    erase.erase_customers([WHO], stores, "run-1", [str(logs)])
    assert erasable.search(stores, WHO, logs) == []
    [written] = list(ledger.iterdir())
    assert WHO not in written.read_text()

    put_back(postgres_server, stores, str(kept / "databases" / f"{name}.dump"), kept / "lake")
    assert len(erasable.search(stores, WHO, logs)) > 10
    assert erasure_ledger.ask_again(stores, str(ledger)) == [WHO]
    erase.erase_customers([], stores, "restore", [str(logs)])
    assert erasable.search(stores, WHO, logs) == []
    # From now on the database knows it
    assert erasure_ledger.ask_again(stores, str(ledger)) == []


def test_who_was_never_erased_is_not_asked_for_and_an_empty_ledger_is_no_error(stores, ledger):
    erasures.ensure_schema(stores.marketing)
    assert erasure_ledger.ask_again(stores, str(ledger)) == []


def test_a_ledger_of_another_salt_is_refused_with_the_file(stores, ledger):
    written = Path(erasure_ledger.note(stores, ["c1"]))
    with warehouse.connect(stores.marketing) as connection:
        warehouse.execute(connection, "update privacy.salt set salt = 'another'")
    with pytest.raises(erasure_ledger.OtherSaltError, match=rf"1 of 1 files of the ledger, such as {written}"):
        erasure_ledger.ask_again(stores, str(ledger))


def test_without_a_ledger_nothing_is_written(stores, monkeypatch, tmp_path):
    monkeypatch.delenv(erasure_ledger.VARIABLE, raising=False)
    assert erasure_ledger.note(stores, ["c1"]) is None


def test_an_entry_tells_when_and_of_how_many(stores, ledger):
    before = dt.datetime.now(dt.UTC)
    entry = json.loads(Path(erasure_ledger.note(stores, ["c1", "c2"])).read_text())
    assert before <= dt.datetime.fromisoformat(entry["at"]) <= dt.datetime.now(dt.UTC)
    assert len(set(entry["id_hashes"])) == 2
