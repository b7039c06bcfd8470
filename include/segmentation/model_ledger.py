"""
Which bytes training has registered as which model version: `ops.model_digests` in the marketing database.

Whoever may write to MLflow, its artifact store or the lake can put another model in a version's place, made of reviewed
types and therefore read without a word. So the digest of what was registered is kept where none of them can write, and
every artifact is held against it before it is read.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

from segmentation import history, warehouse
from segmentation.model_artifact import READ_FILES, UntrustedModelError, told


class Name(NamedTuple):
    """A registered version; `run_id` tells it from one of the same number in an MLflow that counts anew."""

    run_id: str
    model: str
    version: str


def digest(folder: str, name: str = "a model") -> str:
    """SHA-256 of what is read of an artifact in a local folder.

    :param name: what it is called in errors, such as `churn_90d version 7`.
    :raises UntrustedModelError: a file of it is missing.
    """
    found = hashlib.sha256()
    for file in READ_FILES:
        path = Path(folder, file)
        if not path.is_file():
            raise UntrustedModelError(f"{name} was not read: it has no {file}")
        content = path.read_bytes()
        found.update(f"{file} {len(content)}\n".encode() + content)
    return found.hexdigest()


def keep(dsn: str, name: Name, sha256: str, *, is_adopted: bool = False) -> None:
    """Notes what is registered as a version; what is noted once is never changed."""
    history.ensure_schema(dsn)
    with warehouse.connect(dsn) as connection:
        warehouse.execute(
            connection,
            "insert into ops.model_digests (run_id, model, version, sha256, is_adopted) "
            "values (:run_id, :model, :version, :sha256, :is_adopted) on conflict do nothing",
            {**name._asdict(), "sha256": sha256, "is_adopted": is_adopted},
        )


def is_empty(dsn: str) -> bool:
    """Whether no version was ever noted: models may be there from before this ledger was."""
    history.ensure_schema(dsn)
    with warehouse.connect(dsn) as connection:
        return not warehouse.fetch(connection, "select 1 from ops.model_digests limit 1")


def check(dsn: str, name: Name, folder: str) -> None:
    """Holds an artifact in a local folder against what was registered as this version.

    :raises UntrustedModelError: it is another one, or none was registered; names model, version and both digests.
    """
    found = digest(folder, f"{name.model} version {name.version}")
    with warehouse.connect(dsn) as connection:
        rows = warehouse.fetch(
            connection,
            "select sha256 from ops.model_digests where run_id = :run_id and model = :model and version = :version",
            name._asdict(),
        )
    what = f"{name.model} version {name.version} was not read"
    if not rows:
        raise UntrustedModelError(
            f"{what}: no training of this pipeline has registered it (run {name.run_id} is not in ops.model_digests). "
            "Train again, or go back to a version that was: docs/security.md"
        )
    if rows[0][0] != found:
        raise UntrustedModelError(
            f"{what}: its artifact is not the one that training registered (SHA-256 {found[:12]}..., registered was "
            f"{rows[0][0][:12]}...); {told(folder)}. Find out who has written to it: docs/security.md"
        )
