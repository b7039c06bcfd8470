"""What a restore refuses, with the file's name, before it touches anything; and how many backups stay."""

import json
import os
from dataclasses import replace

import pytest

from local import backup, restore
from local.errors import StackError
from local.stack import Stack
from local.state import Secrets, State

ORDERS = "lake/history/orders/1.parquet"
FILES = {"databases/warehouse.dump": b"PGDMP" * 40, ORDERS: b"PAR1" * 9, "artifacts/1/model": b""}


@pytest.fixture
def kept(tmp_path):
    """A finished backup of three files, as `backup` notes them."""
    folder = tmp_path / "backups" / "20260701T020000Z"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    files = {str(path.relative_to(folder)): backup.described(path) for path in backup.walk(folder)}
    versions = {"postgres": "18.0", **{name: backup.version(name) for name in backup.VERSIONED}}
    told = {"rows": {}, "snapshot": None, "feed": None, "aliases": []}
    manifest = {"format": backup.FORMAT, "made_at": "2026-07-01T02:00:00", "versions": versions, "keys": "k",
                "told": told, "files": files}  # fmt: skip
    (folder / backup.MANIFEST).write_text(json.dumps(manifest))
    return folder


def change(kept, **changes):
    manifest = json.loads((kept / backup.MANIFEST).read_text())
    (kept / backup.MANIFEST).write_text(json.dumps(manifest | changes))


def test_a_whole_backup_is_accepted(kept):
    assert set(restore.verified(kept)["files"]) == set(FILES)


def test_one_flipped_bit_is_found_and_the_file_named(kept):
    path = kept / ORDERS
    content = bytearray(path.read_bytes())
    content[7] ^= 1
    path.write_bytes(content)
    with pytest.raises(StackError, match=rf"nothing was touched. 1 of 3 files:\n  {ORDERS}: is not "):
        restore.verified(kept)


def test_a_missing_and_a_cut_file_are_named(kept):
    (kept / "artifacts/1/model").unlink()
    os.truncate(kept / "databases/warehouse.dump", 100)
    with pytest.raises(StackError) as raised:
        restore.verified(kept)
    assert "artifacts/1/model: is missing" in str(raised.value)
    assert "databases/warehouse.dump: has 100 bytes instead of 200" in str(raised.value)


def test_a_backup_that_was_never_finished_is_none(kept):
    (kept / backup.MANIFEST).unlink()
    with pytest.raises(StackError, match=r"never finished: there is no manifest.json"):
        restore.verified(kept)


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 1}'])
def test_a_manifest_that_cannot_be_read_is_named(kept, text):
    (kept / backup.MANIFEST).write_text(text)
    with pytest.raises(StackError, match=r"manifest.json cannot be read"):
        restore.verified(kept)


def test_a_backup_of_a_later_version_is_refused(kept):
    change(kept, versions={"postgres": "18.0", "apache-airflow-core": "99.0", "mlflow": "1.0"})
    with pytest.raises(StackError, match=r"of apache-airflow-core 99.0"):
        restore.verified(kept)
    change(kept, format=2)
    with pytest.raises(StackError, match="has format 2; this version reads 1"):
        restore.verified(kept)


def test_without_the_keys_of_then_nothing_is_touched(kept, tmp_path):
    stack = Stack(tmp_path / "home")
    with pytest.raises(StackError, match=r"keys-k.json is missing"):
        restore.restore(stack, str(kept), say=lambda line: None)
    assert not stack.folders.home.exists()


def test_the_keys_beside_the_backup_are_those_of_then(kept, tmp_path):
    secrets = Secrets()
    change(kept, keys=backup.fingerprint(secrets))
    path = kept.parent / f"keys-{backup.fingerprint(secrets)}.json"
    path.write_text(json.dumps(secrets.__dict__))
    found = restore._keys(Stack(tmp_path / "home"), kept, json.loads((kept / backup.MANIFEST).read_text()))
    assert found == secrets
    assert backup.fingerprint(replace(secrets, jwt="another")) == backup.fingerprint(secrets)


def test_what_is_there_is_not_overwritten_unasked(kept, tmp_path):
    stack = Stack(tmp_path / "home")
    stack.folders.create()
    state = State()
    state.save(stack.folders.state)
    change(kept, keys=backup.fingerprint(state.secrets))
    (stack.folders.lake / "file").write_text("mine")
    with pytest.raises(StackError, match=r"is not empty: it has a lake. With FORCE=1"):
        restore.restore(stack, str(kept), say=lambda line: None)
    assert (stack.folders.lake / "file").read_text() == "mine"


def test_a_stack_whose_restore_was_cut_short_does_not_start(tmp_path):
    stack = Stack(tmp_path / "home")
    stack.folders.create()
    stack.folders.restoring.write_text("/backups/1\n")
    with pytest.raises(StackError, match="make restore BACKUP=/backups/1"):
        stack.up(lambda line: None)


def test_unfinished_backups_are_not_counted(kept):
    (kept.parent / "20260702T020000Z.unfinished").mkdir()
    (kept.parent / "20260702T020000Z.unfinished" / backup.MANIFEST).write_text("{}")
    assert backup.whole(kept.parent) == [kept]
