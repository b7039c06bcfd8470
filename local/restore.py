"""`make restore`: a backup takes the place of what the stack has, and is held against what the backup said of itself.

Nothing is touched before every file of the backup has proved whole. Killed at any point, the same command goes on from
the beginning; until it has ended, `make up` refuses to start what is half there.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from local import backup as backups
from local import database
from local.errors import StackError
from local.files import write_private
from local.stack import Addresses, Say, Stack
from local.state import Secrets, State


def restore(stack: Stack, folder: str, *, force: bool = False, say: Say = print) -> None:
    """Put a backup back, start the stack, check what came back, and erase again who was erased after the backup.

    :param force: what the stack has now is lost.
    :raises StackError: the backup is broken (names the file), too new, or its keys are missing: nothing was touched;
        or the stack is not empty; or what came back is not what the backup says.
    """
    source, begun = Path(folder).resolve(), time.monotonic()
    manifest = verified(source)
    secrets = _keys(stack, source, manifest)
    say(f"{source}: {len(manifest['files']):,} files, all whole ({time.monotonic() - begun:.1f} s)")
    if not force and not stack.folders.restoring.exists() and (found := _what_is_there(stack)):
        raise StackError(
            f"The stack in {stack.folders.home} is not empty: it has {found}. With FORCE=1 the backup takes its place, "
            "and what is there now is lost."
        )
    stack.down(say)
    stack.folders.create()
    write_private(stack.folders.restoring, f"{source}\n")
    state = State.load(stack.folders.state)
    state.secrets = secrets
    state.save(stack.folders.state)
    _files(stack, source)
    say(f"  files are back ({time.monotonic() - begun:.1f} s)")
    stack.postgres.start()
    backups.run(stack.postgres, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-f",
                str(source / "databases" / "roles.sql"))  # fmt: skip
    for name in database.OWNERS:
        _database(stack, source, name)
        say(f"  database {name} is back ({time.monotonic() - begun:.1f} s)")
    _check(stack, manifest["told"])
    addresses = stack.up(say, is_restoring=True)
    say(f"  rows, snapshot, feed and models are those of the backup ({time.monotonic() - begun:.1f} s)")
    _erase_again(stack, addresses, source, say)
    stack.folders.restoring.unlink()
    say(f"Restored, as of {manifest['made_at'][:19]} UTC, in {time.monotonic() - begun:.1f} s.")


def verified(source: Path) -> dict[str, Any]:
    """The manifest of a backup whose every file is there and as it was written.

    :raises StackError: names the first file that is not, and how many there are.
    """
    path = source / backups.MANIFEST
    if not path.is_file():
        raise StackError(f"{source} is no backup, or one that was never finished: there is no {backups.MANIFEST}.")
    try:
        manifest = json.loads(path.read_text("utf-8"))
        files, found = manifest["files"], manifest["versions"]
        manifest["told"], manifest["keys"], manifest["made_at"]
    except (ValueError, KeyError, TypeError) as error:
        raise StackError(f"{path} cannot be read: {error}.") from error
    if manifest.get("format") != backups.FORMAT:
        raise StackError(f"{path} has format {manifest.get('format')}; this version reads {backups.FORMAT}.")
    broken = [f"{name}: {wrong}" for name, told in files.items() if (wrong := _wrong(source / name, told))]
    if broken:
        raise StackError(
            f"The backup in {source} is broken; nothing was touched. {len(broken)} of {len(files):,} files:\n  "
            + "\n  ".join(broken[:10])
        )
    for name in backups.VERSIONED:
        if _numbers(found[name]) > _numbers(backups.version(name)):
            raise StackError(
                f"The backup is of {name} {found[name]}; {backups.version(name)} is installed, which is older."
            )
    return manifest


def _wrong(path: Path, told: dict[str, Any]) -> str | None:
    if not path.is_file():
        return "is missing"
    if path.stat().st_size != told["bytes"]:
        return f"has {path.stat().st_size:,} bytes instead of {told['bytes']:,}"
    return (
        None if backups.described(path)["sha256"] == told["sha256"] else "is not what was written: its checksum differs"
    )


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _keys(stack: Stack, source: Path, manifest: dict[str, Any]) -> Secrets:
    """The keys that the backup was made with: the stack's own, or those in the file beside the backup."""
    own = State.load(stack.folders.state).secrets
    if backups.fingerprint(own) == manifest["keys"]:
        return own
    path = source.parent / f"keys-{manifest['keys']}.json"
    if not path.is_file():
        raise StackError(
            f"{path} is missing: without the keys of then, Airflow's connections cannot be read, and control groups "
            "would be drawn anew. Put it there; nothing was touched."
        )
    return Secrets(**json.loads(path.read_text("utf-8")))


def _what_is_there(stack: Stack) -> str | None:
    there = [
        name
        for name, folder in (
            ("a database", stack.postgres.cluster),
            ("a lake", stack.folders.lake),
            ("models", stack.folders.artifacts),
        )
        if folder.exists() and any(folder.iterdir())
    ]
    return ", ".join(there) or None


def _files(stack: Stack, source: Path) -> None:
    for name, target in (("lake", stack.folders.lake), ("artifacts", stack.folders.artifacts)):
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source / name, target)
    note = source / "derived-from"
    if note.exists():
        shutil.copyfile(note, stack.folders.home / note.name)


def _database(stack: Stack, source: Path, name: str) -> None:
    """In the place of the one that is there, with its owner, rights and comments."""
    from segmentation import warehouse

    with warehouse.connect(stack.postgres.url(), autocommit=True) as connection:
        warehouse.execute(connection, f"drop database if exists {warehouse.identifier(name)} with (force)")
    dump = str(source / "databases" / f"{name}.dump")
    backups.run(stack.postgres, "pg_restore", "--create", "--exit-on-error", "--dbname=postgres", dump)


def _check(stack: Stack, told: dict[str, Any]) -> None:
    from segmentation import warehouse

    with warehouse.connect(stack.postgres.url("warehouse")) as connection:
        found = {**backups.tell(connection), "aliases": backups.aliases(stack.postgres)}
    differing = [key for key in told if key != "rows" and told[key] != found[key]]
    differing += [
        f"{table} ({told['rows'].get(table)} rows then, {found['rows'].get(table)} now)"
        for table in sorted({*told["rows"], *found["rows"]})
        if told["rows"].get(table) != found["rows"].get(table)
    ]
    if differing:
        raise StackError(f"What came back is not what the backup says: {', '.join(differing)}.")


def _erase_again(stack: Stack, addresses: Addresses, source: Path, say: Say) -> None:
    """Who was erased after the backup was made, by the ledgers of the backup's folder and of the stack's own."""
    from segmentation import erase, erasure_ledger
    from segmentation.settings import Stores

    stores = Stores(addresses.marketing, addresses.marketing, str(stack.folders.lake), addresses.mlflow)
    back: list[str] = []
    try:
        for folder in dict.fromkeys((source.parent / "erased", stack.folders.erased)):
            back += erasure_ledger.ask_again(stores, str(folder))
    except erasure_ledger.OtherSaltError as error:
        raise StackError(f"The backup is back, but persons may be who were erased after it: {error}.") from error
    if back:
        say(f"  erasing again {len(set(back))} who were erased after the backup was made")
        erase.erase_customers([], stores, "restore", [str(stack.folders.airflow / "logs")])
    say(f"  persons erased after the backup and there again: {len(set(back))}; now there: 0")
