"""`make backup`: all that is kept, as one folder in which everything belongs together, while runs go on.

    <backups>/<time>/manifest.json     what is in it, with sizes and checksums; written last, so its presence says whole
                     databases/*.dump  the three databases (pg_dump's custom format), roles.sql
                     lake/ artifacts/  the files of the lake (Data Docs and exports with it) and of MLflow
                     config/           include/config as it was
    <backups>/keys-<fingerprint>.json  Airflow's Fernet key and others: beside, as no backup may hold its own key
    <backups>/erased/                  the ledger of erasures, see `segmentation.erasure_ledger`

Not in it: Airflow's logs, and the programs.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from local.errors import StackError
from local.files import write_private
from local.postgres import Postgres
from local.stack import Say, Stack
from local.state import REPOSITORY, Secrets, State

FORMAT = 1
MANIFEST = "manifest.json"
PIECE = 1 << 20
VERSIONED = ("apache-airflow-core", "mlflow")
_UNFINISHED = ".unfinished"
_COUNTED = """
select quote_ident(n.nspname) || '.' || quote_ident(c.relname) from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where c.relkind in ('r', 'p') and not c.relispartition
and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' order by 1
"""
_ALIASES = "select name, alias, version from registered_model_aliases order by 1, 2"
_CURRENT = "select snapshot_id from marketing_internal.current_snapshot"
_CURSOR = "select max(last_change_id) from marketing_internal.publications"


def backup(stack: Stack, to: str | None = None, keep: int | None = None, say: Say = print) -> Path:
    """Write a backup; returns its folder. The stack goes on running: stages that write rows wait meanwhile.

    :param to: the folder of the backups; without it `backups` in the stack's home.
    :param keep: so many backups stay, the youngest; None: all.
    :raises StackError: the stack is down, or a program of PostgreSQL's fails; no backup is left.
    """
    from segmentation import warehouse
    from segmentation.settings import Stores
    from segmentation.standstill import standstill

    addresses = stack.addresses()
    folder = Path(to).resolve() if to else stack.folders.backups
    target = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    unfinished = target.with_name(target.name + _UNFINISHED)
    unfinished.mkdir(parents=True, mode=0o700)
    secrets = State.load(stack.folders.state).secrets
    # As the pipeline: schemas that are not there yet become its own
    stores = Stores(addresses.marketing, addresses.marketing, str(stack.folders.lake), addresses.mlflow)
    begun = time.monotonic()
    try:
        say("Waiting until no stage is writing; those that come later wait for this backup.")
        with standstill(stores) as snapshot, warehouse.connect(addresses.warehouse) as connection:
            waited, held = time.monotonic() - begun, time.monotonic()
            warehouse.execute(connection, "set transaction isolation level repeatable read")
            warehouse.execute(connection, "set transaction snapshot :name", {"name": snapshot})
            told = tell(connection)
            dump(stack.postgres, "warehouse", unfinished, snapshot)
            _copy_tree(stack.folders.lake, unfinished / "lake")
            # Runs write files first and then note them: a database that is older than the files misses none.
            for name in ("mlflow", "airflow"):
                dump(stack.postgres, name, unfinished)
            _copy_tree(stack.folders.artifacts, unfinished / "artifacts")
            held = time.monotonic() - held
        told["aliases"] = aliases(stack.postgres)
        _write_roles(stack.postgres, unfinished)
        _copy_tree(REPOSITORY / "include" / "config", unfinished / "config")
        note = stack.folders.home / "derived-from"
        if note.exists():
            shutil.copyfile(note, unfinished / note.name)
        files = {str(path.relative_to(unfinished)): described(path) for path in walk(unfinished)}
        manifest = {
            "format": FORMAT,
            "made_at": datetime.now(UTC).isoformat(),
            "versions": {"postgres": _server(stack.postgres), **{name: version(name) for name in VERSIONED}},
            "keys": fingerprint(secrets),
            "told": told,
            "files": files,
        }
        write_private(unfinished / MANIFEST, json.dumps(manifest, indent=1) + "\n")
        write_private(folder / f"keys-{fingerprint(secrets)}.json", json.dumps(asdict(secrets), indent=1) + "\n")
        unfinished.rename(target)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    size = sum(each["bytes"] for each in files.values())
    say(f"{target}: {len(files):,} files, {size / 1024**2:,.1f} MiB, in {time.monotonic() - begun:.1f} s")
    say(f"  waited {waited:.1f} s for stages that were writing, and held up others for {held:.1f} s")
    say(f"  keep keys-{fingerprint(secrets)}.json elsewhere: without it nobody reads Airflow's connections,")
    say("  and whoever has it beside the backup does.")
    if keep:
        for old in whole(folder)[:-keep]:
            shutil.rmtree(old)
            say(f"  removed {old}, as {keep} are kept")
    return target


def whole(folder: Path) -> list[Path]:
    """The finished backups of a folder, the oldest first."""
    return sorted(path.parent for path in folder.glob(f"*/{MANIFEST}") if not path.parent.name.endswith(_UNFINISHED))


def walk(folder: Path) -> Iterator[Path]:
    """Every file below a folder, in order."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def described(path: Path) -> dict[str, Any]:
    """Size and checksum of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return {"bytes": path.stat().st_size, "sha256": digest.hexdigest()}


def fingerprint(secrets: Secrets) -> str:
    """Tells one set of keys from another, and nothing about them."""
    return hashlib.sha256(f"fenqun.keys {secrets.fernet} {secrets.holdout}".encode()).hexdigest()[:12]


def tell(connection) -> dict[str, Any]:
    """What a restore is held against: rows by table, the current snapshot, how far the feed goes."""
    from segmentation import warehouse

    tables = [name for (name,) in warehouse.fetch(connection, _COUNTED)]
    rows = {name: warehouse.fetch(connection, f"select count(*) from {name}")[0][0] for name in tables}  # noqa: S608
    current = warehouse.fetch(connection, _CURRENT)
    cursor = warehouse.fetch(connection, _CURSOR)
    return {"rows": rows, "snapshot": current[0][0] if current else None, "feed": cursor[0][0] if cursor else None}


def aliases(postgres: Postgres) -> list[list[Any]]:
    """Which version of which model has which alias, as MLflow's database says."""
    from segmentation import warehouse

    with warehouse.connect(postgres.url("mlflow")) as connection:
        if warehouse.fetch(connection, "select to_regclass('registered_model_aliases')") == [(None,)]:
            return []
        return [list(row) for row in warehouse.fetch(connection, _ALIASES)]


def dump(postgres: Postgres, name: str, folder: Path, snapshot: str | None = None) -> None:
    """A database as `databases/<name>.dump`, its own rights, owner and comment included."""
    (folder / "databases").mkdir(exist_ok=True)
    arguments = ["-Fc", "--create", f"--file={folder / 'databases' / name}.dump"]
    run(postgres, "pg_dump", *arguments, *([f"--snapshot={snapshot}"] if snapshot else []), f"--dbname={name}")


def run(postgres: Postgres, program: str, *arguments: str) -> str:
    """Run one of PostgreSQL's client programs as the superuser; returns what it printed.

    :raises StackError: it failed; in its words.
    """
    login = {"PGHOST": "127.0.0.1", "PGPORT": str(postgres.port), "PGUSER": "postgres", "PGPASSWORD": postgres.password}
    env: Mapping[str, str] = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC", **login}
    done = subprocess.run(
        [str(Postgres.bin(program)), *arguments], env=env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise StackError(f"{program} failed:\n{done.stderr.strip()}")
    return done.stdout


def _write_roles(postgres: Postgres, folder: Path) -> None:
    """Roles and memberships. Not the superuser: its password is the server's own, and lies beside it."""
    lines = run(postgres, "pg_dumpall", "--roles-only", "--database=postgres").splitlines()
    kept = []
    for line in lines:
        words = line.rstrip(";").split()
        if words[:2] in (["CREATE", "ROLE"], ["ALTER", "ROLE"]) and words[2] == "postgres":
            continue
        if words[:2] == ["CREATE", "ROLE"]:
            # One that is there already is no error
            line = f"DO $do$ BEGIN {line} EXCEPTION WHEN duplicate_object THEN NULL; END $do$;"
        if words and not line.startswith(("--", "\\")):
            kept.append(line)
    write_private(folder / "databases" / "roles.sql", "\n".join(kept) + "\n")


def _copy_tree(source: Path, target: Path) -> None:
    """Whole files only: what a writer has not finished bears another name."""
    target.mkdir(parents=True, exist_ok=True)
    for path in walk(source):
        if path.suffix != ".tmp":
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, place)


def _server(postgres: Postgres) -> str:
    from segmentation import warehouse

    with warehouse.connect(postgres.url()) as connection:
        return warehouse.fetch(connection, "show server_version")[0][0]
