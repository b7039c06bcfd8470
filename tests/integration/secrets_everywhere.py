"""Looks for secrets in everything that a practice stack leaves: files, tables of every database, running processes."""

import html
import json
import re
import stat
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from local.stack import Stack
from segmentation import warehouse

# Where secrets have to be; nobody but their owner may read these. Postgres' own files hold all of its tables.
KEPT = ("state.json", "airflow/passwords.json")
DATABASES = ("warehouse", "airflow", "mlflow", "postgres")
_TABLES = """
    select c.oid::regclass::text from pg_class as c inner join pg_namespace as n on n.oid = c.relnamespace
    where c.relkind in ('r', 'm') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast') order by 1
"""


class Sought:
    """Secrets, by what they are called, in every way that they might be spelt."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self.spelt = {
            spelt: name
            for name, secret in secrets.items()
            for spelt in {secret, quote(secret, safe=""), quote(secret), html.escape(secret), json.dumps(secret)[1:-1],
                          repr(secret)[1:-1], secret.encode().hex()}
        }  # fmt: skip
        self._bytes = {each.encode(): name for each, name in self.spelt.items()}

    def of(self, content: bytes) -> set[str]:
        return {name for each, name in self._bytes.items() if each in content}


def found(stack: Stack, secrets: Mapping[str, str]) -> tuple[list[str], dict[str, int]]:
    """(place: secret, how many places of each kind were looked at). Values are not repeated."""
    sought, looked_at, places = Sought(secrets), {}, []
    for kind, place, contents in (*_files(stack), *_tables(stack, sought), *_processes()):
        looked_at[kind] = looked_at.get(kind, 0) + 1
        places += [f"{place}: {name}" for name in sorted({name for each in contents for name in sought.of(each)})]
    return places, looked_at


def _files(stack: Stack) -> Iterator[tuple[str, str, Iterable[bytes]]]:
    home = stack.folders.home
    for path in sorted(home.rglob("*")):
        name = path.relative_to(home).as_posix()
        if path.is_symlink() or not path.is_file() or name.startswith("postgres/"):
            continue
        if name in KEPT:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, f"{name} can be read by others"
            continue
        kind = "logs" if name.endswith((".log", ".log.1")) else name.split("/")[0]
        yield kind, name, _contents(path)


def _contents(path: Path) -> Iterator[bytes]:
    yield path.read_bytes()
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        for column in table.columns:
            if pa.types.is_string(column.type) or pa.types.is_nested(column.type):
                yield json.dumps(column.unique().to_pylist() if pa.types.is_string(column.type) else column.to_pylist(),
                                 default=str, ensure_ascii=False).encode()  # fmt: skip
        yield json.dumps({str(k): str(v) for k, v in (table.schema.metadata or {}).items()}).encode()
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from map(archive.read, archive.namelist())


def _tables(stack: Stack, sought: Sought) -> Iterator[tuple[str, str, Iterable[bytes]]]:
    """Searched inside of the database, every row as text."""
    for database in DATABASES:
        with warehouse.connect(stack.folders.postgres().url(database)) as connection:
            for (table,) in warehouse.fetch(connection, _TABLES):
                rows = f"select t::text as row from {table} as t where t::text ~ :any limit 3"
                hits = warehouse.fetch(connection, rows, {"any": "|".join(map(re.escape, sought.spelt))})
                yield "tables", f"{database}: {table}", [row.encode() for (row,) in hits]


def _processes() -> Iterator[tuple[str, str, Iterable[bytes]]]:
    """What everybody on the machine may read of them."""
    for process in psutil.process_iter(["pid", "cmdline"]):
        line = "\0".join(process.info["cmdline"] or ())
        yield "processes", f"process {process.info['pid']}", [line.encode("utf-8", "surrogateescape")]
