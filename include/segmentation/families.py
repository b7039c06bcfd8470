"""
The families of features: one SQL file each in `include/sql/features/`, with every column's meaning beside it.

    -- How the customer answers campaigns.                          <- the family's meaning, the file's first lines
    ...
    select
        p.customer_id,
        -- Campaign contacts. [contacts; 365 days]                  <- [unit; window], and where it can be null, when
        coalesce(a.contacts, 0) as contacts_365d,

A family gives one row per row of `feat.population`. To add a feature, write its column and its meaning; to add a
family, write its file and name it here with what it needs.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import sqlglot

from segmentation import purchase_features, sql, tables

# Tables without a row of which a family is off: its columns are null, and the dictionary of the day says so.
_NEEDS: dict[str, tuple[str, ...]] = {
    "customer": (),
    "order_rhythm": (),
    "order_frequency": (),
    "spend": (),
    "order_channels": (),
    "basket": (tables.PRODUCT_DAYS.table,),
    "interest": (tables.PRODUCT_DAYS.table, tables.PRODUCTS.table),
    "browsing": (tables.SESSIONS.table,),
    "viewed_interest": (tables.PRODUCT_VIEWS.table, tables.PRODUCTS.table),
    "media": (tables.SESSIONS.table,),
    "campaign_response": (tables.CAMPAIGN_CONTACTS.table,),
    "service": (tables.SUPPORT_TICKETS.table,),
    "first_steps": (),
}
_COLUMN = re.compile(r"(?P<meaning>.+?\.) \[(?P<unit>[^;]+); (?P<window>[^;]+?)(?:; null: (?P<null>.+))?\]")
_TABLE = re.compile(r"\b(?:from|join) ((?:raw|agg)\.\w+)")


class MeaningError(ValueError):
    """A column of a family has no meaning beside it, or one that can't be read. Names file and column."""


@dataclass(frozen=True)
class Column:
    """A feature: what it says, in which unit, over which time, and when it is null (None: never)."""

    name: str
    meaning: str
    unit: str
    window: str
    null: str | None = None


@dataclass(frozen=True)
class Family:
    """Features that belong together, and what they are made from."""

    name: str
    meaning: str
    entities: tuple[str, ...]
    needs: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def table(self) -> str:
        return f"feat.{self.name}"


@cache
def every() -> tuple[Family, ...]:
    """All families, in the order of the columns of `feat.customer_daily`; the purchase model's come last.

    :raises MeaningError: a column has no meaning.
    """
    return (*map(_read, _NEEDS), _purchase_model())


def in_sql() -> tuple[Family, ...]:
    """Those that are SQL files."""
    return every()[:-1]


def entities_of(needs: Iterable[str]) -> tuple[str, ...]:
    """The entities behind tables of the session."""
    made_from = {each.table: each.entities for each in tables.AGGREGATES.values()}
    found = (entity for table in needs for entity in made_from.get(table, (table.removeprefix("raw."),)))
    return tuple(dict.fromkeys(found))


def named(table: str) -> str:
    """A table that a family needs, in words."""
    words = {tables.PRODUCT_DAYS.table: "order_items", tables.PRODUCT_VIEWS.table: "events with a product"}
    return words.get(table, ", ".join(entities_of([table])))


def dictionary(off: Mapping[str, str] | None = None) -> str:
    """The dictionary of the features, as Markdown.

    :param off: family -> why it is off.
    """
    lines = [
        "# The features",
        "",
        "`feat.customer_daily`, one row per customer with profiling consent; `feat.training_examples` has the same",
        "columns at past days. Everything is as known before 00:00 UTC of `as_of_date`. Windows count back from that",
        "day; `ever` is all of the history. Money is in the shop's currency. `never` under null: the column has a",
        "value for everyone, and is null only where the family is off, because the shop has no rows of an entity that",
        "it needs. Every day has its own copy of this page beside its rows, which says what was off.",
        "",
    ]
    for family in every():
        reads = ", ".join(f"`{entity}`" for entity in family.entities)
        lines += [f"## {family.name}", "", f"{family.meaning} Made from {reads}."]
        if family.needs:
            lines[-1] += f" Off without {' or without '.join(map(named, family.needs))}."
        if off and family.name in off:
            lines += ["", f"**Off: {off[family.name]}.**"]
        lines += ["", "| name | meaning | unit | window | null |", "|---|---|---|---|---|"]
        for column in family.columns:
            cells = (f"`{column.name}`", column.meaning, column.unit, column.window, column.null or "never")
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _read(name: str) -> Family:
    text = sql.source("features", name)
    head = []
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        head.append(line.removeprefix("--").strip())
    statement = sql.read("features", name)
    _, _, final = text.rpartition("\nselect\n")
    names = [each.alias_or_name for each in sqlglot.parse_one(statement, dialect="duckdb").selects][1:]
    meanings = _comments(final)
    if len(names) != len(meanings):
        raise MeaningError(f"include/sql/features/{name}.sql has {len(names)} features and {len(meanings)} meanings")
    columns = []
    for column, meaning in zip(names, meanings, strict=True):
        found = _COLUMN.fullmatch(meaning)
        if not found:
            raise MeaningError(f"include/sql/features/{name}.sql, {column}: not `Meaning. [unit; window]`: {meaning}")
        columns.append(Column(column, *found.group("meaning", "unit", "window", "null")))
    read = entities_of(["raw.customers", *dict.fromkeys(_TABLE.findall(statement))])
    return Family(name, " ".join(head), read, _NEEDS[name], tuple(columns))


def _comments(final: str) -> list[str]:
    """The comments of a SELECT, consecutive lines put together."""
    found: list[list[str]] = []
    before = ""
    for line in final.splitlines():
        text = line.strip()
        if text.startswith("--"):
            if not before.startswith("--"):
                found.append([])
            found[-1].append(text.removeprefix("--").strip())
        before = text
    return [" ".join(lines) for lines in found]


def _purchase_model() -> Family:
    columns = tuple(Column(*each) for each in purchase_features.COLUMNS)
    return Family("purchase_model", purchase_features.MEANING, ("customers", "orders"), (), columns)
