"""
Suites: what a table must satisfy, one file a table, `include/expectations/<table>.yaml`.

Rules under `rows` look at one row each, rules under `table` at what was measured of the whole (see `measures`). A rule
has a name, which is what people read, a severity, and an expectation of Great Expectations with its arguments, plus
three of our own: `references` (a value must occur in another table's key), `finite` (neither NaN nor infinite) and
`entries` (a list has so many).
`columns: [a, b]` stands for one rule per column. `{$PARAMETER: name}` is a value that depends on the day.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from segmentation import engine, plain_yaml, settings
from segmentation.errors import FinalError

SUITES_HOME = Path(__file__).resolve().parents[1] / "expectations"
QUARANTINE, STOP, WARN = "quarantine", "stop", "warn"
REFERENCES, FINITE, READABLE, ENTRIES = "references", "finite", "readable", "entries"
OWN_TYPES = (REFERENCES, FINITE, READABLE, ENTRIES)
UNIQUE_TYPES = ("expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique")
EARLIEST = dt.datetime(1990, 1, 1, tzinfo=dt.UTC)


class SuiteError(FinalError):
    """A suite file, or a setting that changes one, does not say what a rule must say."""


@dataclass(frozen=True)
class Rule:
    """One rule. `name` tells what is wrong with a row or table that breaks it."""

    name: str
    severity: str
    type: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """The columns that the rule looks at."""
        single = [self.kwargs[key] for key in ("column", "column_A", "column_B") if key in self.kwargs]
        return single + list(self.kwargs.get("column_list", []))


@dataclass(frozen=True)
class Suite:
    """All rules of a table.

    :param key: the columns that name a row in messages; empty where the source contract's key does.
    :param same_rows_as: the table that must have exactly as many rows.
    """

    table: str
    rows: tuple[Rule, ...]
    whole: tuple[Rule, ...]
    key: tuple[str, ...] = ()
    same_rows_as: str | None = None

    @property
    def parents(self) -> tuple[str, ...]:
        """The tables that rows of this one refer to."""
        found = (rule.kwargs["table"] for rule in self.rows if rule.type == REFERENCES)
        return tuple(dict.fromkeys(found))


def read(table: str, parameters: Mapping[str, Any], changes: Mapping[str, Mapping[str, Any]] | None = None) -> Suite:
    """A table's suite for a day.

    :param parameters: the values of `{$PARAMETER: name}`, see `parameters`.
    :param changes: `settings.Gates.rules`; by default those of the process.
    :raises SuiteError: naming the file, or the setting, and the rule.
    """
    changes = settings.load().gates.rules if changes is None else changes
    path = SUITES_HOME / f"{table}.yaml"
    told = plain_yaml.load(path)
    rows = tuple(_changed(rule, table, changes) for rule in _rules(told.get("rows", []), path.name, parameters))
    whole = tuple(_changed(rule, table, changes) for rule in _rules(told.get("table", []), path.name, parameters))
    names = {f"{table}: {rule.name}" for rule in (*rows, *whole)}
    unknown = [name for name in changes if name.startswith(f"{table}: ") and name not in names]
    if unknown:
        raise SuiteError(f"settings.gates.rules names {unknown[0]!r}, but {path.name} has no such rule")
    for rule in whole:
        if rule.severity == QUARANTINE:
            raise SuiteError(f"{path.name}: {rule.name!r} is about the table, so no row can go to quarantine for it")
    return Suite(table, rows, whole, tuple(told.get("key", ())), told.get("same_rows_as"))


def parameters(day: dt.date, latest: dt.datetime | None = None, config: settings.Gates | None = None) -> dict:
    """What suites may call `{$PARAMETER: ...}`.

    :param latest: the latest `updated_at` that the extract has seen: a past day's extract brings what came after it.
    """
    config = config or settings.load().gates
    now = max(engine.midnight(day), latest or engine.midnight(day))
    return {
        "as_of": engine.midnight(day),
        "only_day": [day],
        "earliest": EARLIEST,
        "future": now + dt.timedelta(days=config.future_days),
        "planned": now + dt.timedelta(days=config.planned_days),
        "year": now.year,
    }


def _rules(told: list[dict], file: str, parameters: Mapping[str, Any]) -> Iterator[Rule]:
    for each in told:
        kwargs = {key: _filled(value, parameters, file) for key, value in each.items()}
        try:
            name, severity, kind = (kwargs.pop(key) for key in ("rule", "severity", "type"))
        except KeyError as error:
            raise SuiteError(f"{file}: a rule has no {error}: {each}") from error
        if severity not in (QUARANTINE, STOP, WARN):
            raise SuiteError(f"{file}: {name!r} has severity {severity!r}; it must be quarantine, stop or warn")
        columns = kwargs.pop("columns", None)
        for column in columns or [None]:
            of_column = {"column": column, **kwargs} if column else kwargs
            yield Rule(name.replace("{column}", column or ""), severity, kind, of_column)


def _filled(value: Any, parameters: Mapping[str, Any], file: str) -> Any:
    if not (isinstance(value, dict) and "$PARAMETER" in value):
        return value
    if value["$PARAMETER"] not in parameters:
        raise SuiteError(f"{file}: there is no parameter {value['$PARAMETER']!r}; there are {', '.join(parameters)}")
    return parameters[value["$PARAMETER"]]


def _changed(rule: Rule, table: str, changes: Mapping[str, Mapping[str, Any]]) -> Rule:
    wanted = dict(changes.get(f"{table}: {rule.name}", {}))
    severity = wanted.pop("severity", rule.severity)
    if severity not in (QUARANTINE, STOP, WARN):
        raise SuiteError(f"settings.gates.rules gives {rule.name!r} severity {severity!r}")
    return replace(rule, severity=severity, kwargs={**rule.kwargs, **wanted})
