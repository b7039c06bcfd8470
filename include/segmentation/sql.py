"""
SQL files by name: `include/sql/<stage>/<table>.sql`, one statement a file, named for the table it writes.

Parameters stand in the files as `:name`; each database gets them in its own style, always bound, never pasted.
"""

import re
from functools import cache
from pathlib import Path

SQL_HOME = Path(__file__).resolve().parents[1] / "sql"
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")


class UnknownStatementError(LookupError):
    """There is no file for the statement asked for."""


@cache
def read(stage: str, name: str) -> str:
    """The text of `include/sql/<stage>/<name>.sql` without whole-line comments and the final semicolon.

    :raises UnknownStatementError: names the file that is missing.
    """
    lines = source(stage, name).splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("--")).strip().rstrip(";")


def source(stage: str, name: str) -> str:
    """The text of `include/sql/<stage>/<name>.sql` as it lies there.

    :raises UnknownStatementError: names the file that is missing.
    """
    path = SQL_HOME / stage / f"{name}.sql"
    if not path.is_file():
        raise UnknownStatementError(f"no SQL file {path.relative_to(SQL_HOME.parents[1])}")
    return path.read_text(encoding="utf-8")


def exists(stage: str, name: str) -> bool:
    """Whether the statement has a file: an optional entity without one is switched off."""
    return (SQL_HOME / stage / f"{name}.sql").is_file()


def parameters(statement: str) -> set[str]:
    """The names of the `:name` parameters in a statement."""
    return set(_PARAMETER.findall(statement))


def put_in(statement: str, name: str, literal: str) -> str:
    """A statement with a literal in the place of `:name`, for engines that bind nothing."""
    return re.sub(rf"(?<![:\w]):{name}\b", lambda _: literal, statement)


def for_psycopg(statement: str) -> str:
    """`:name` as `%(name)s`, with per cent signs doubled."""
    return _PARAMETER.sub(r"%(\1)s", statement.replace("%", "%%"))


def for_duckdb(statement: str) -> str:
    """`:name` as `$name`."""
    return _PARAMETER.sub(r"$\1", statement)
