"""
Row rules, pushed down: the rules of a suite become one SQL statement that reads a table once, whatever its size.

Great Expectations would need the whole table in pandas. DuckDB counts what breaks each rule, with three keys as
examples, in one pass; only if there is anything does a second pass fetch which rows. `docs/decisions/0004-*` has the
figures. Great Expectations then checks a sample of what is left, so that this translation is checked as well.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from segmentation import engine, settings
from segmentation.suites import ENTRIES, FINITE, QUARANTINE, READABLE, REFERENCES, UNIQUE_TYPES, Rule, SuiteError

EXAMPLES = 3
REPEAT, CONFLICT, OLDER = 1, 2, 3
DUPLICATE_REASONS = {
    REPEAT: "exact repeat of another row",
    CONFLICT: "key occurs twice with different content",
    OLDER: "older version of a key that occurs twice",
}
_MOST_RULES = 62
_TOKENS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", re.DOTALL)
_AS_IN_PYTHON = {r"\s": r"[\s\x0b\x1c-\x1f\x{85}\p{Z}]", r"\S": r"[^\s\x0b\x1c-\x1f\x{85}\p{Z}]", "$": r"\n?\z"}
BAD_ROWS = pa.schema([("row_no", pa.int64()), ("broken", pa.int64()), ("duplicate", pa.int32())])


@dataclass(frozen=True)
class Checked:
    """A table that is checked.

    :param source: one Parquet file, or an Arrow table; its order numbers the rows.
    :param key: the columns that name a row.
    :param time: when the thing happened; None where the table has no such column.
    :param has_deletions: whether it has `is_deleted`; rows where that is true break no rule.
    """

    table: str
    source: str | pa.Table
    key: tuple[str, ...]
    schema: pa.Schema
    time: str | None = None
    has_deletions: bool = False

    @property
    def key_text(self) -> str:
        """SQL: the key as people read it."""
        parts = ", ".join(f"coalesce({engine.quoted(column)}::varchar, 'null')" for column in self.key)
        return f"concat_ws('/', {parts})"

    @property
    def input(self) -> engine.Numbered:
        """What the engine reads as `checked.batch`."""
        return engine.Numbered(self.source)

    @property
    def numbered(self) -> str:
        """SQL: the rows with `row_no`, from 0, in the order of the file, and `is_deleted`."""
        return self.part(EVERY_ROW)

    def part(self, rows: "Rows") -> str:
        """SQL: the same, of some rows."""
        deleted = "" if self.has_deletions else ", false as is_deleted"
        return f"select *{deleted} from checked.batch{rows.where}"  # noqa: S608


@dataclass(frozen=True)
class Rows:
    """Rows of a table by `row_no`, from `first` on, before `end`; None: to the last."""

    first: int = 0
    end: int | None = None

    @property
    def where(self) -> str:
        """SQL: the clause that takes them; empty for all."""
        ends = [f"row_no >= {self.first}"] * (self.first > 0) + [f"row_no < {self.end}"] * (self.end is not None)
        return f" where {' and '.join(ends)}" if ends else ""


EVERY_ROW = Rows()


@dataclass(frozen=True)
class Parent:
    """A table that another one's rows refer to: what is known of it, and what the same run brings of it.

    :param known: None: nothing is.
    :param incoming: its rows, with `is_deleted`; None: the run brings none.
    :param bad: rows of `incoming` that do not count, by `row_no`.
    :param is_required: checked against even if it has no rows at all; an optional one is a table that the shop does
        not keep then.
    """

    table: str
    key: str
    known: engine.Input | None = None
    incoming: str | None = None
    bad: pa.Table = field(default_factory=BAD_ROWS.empty_table)
    is_required: bool = False

    def inputs(self, number: int) -> dict[str, engine.Input]:
        """What the engine reads for `keys`."""
        found: dict[str, engine.Input] = {}
        if self.known is not None:
            found[f"parent{number}.known"] = self.known
        if self.incoming is not None:
            found |= {f"parent{number}.incoming": engine.Numbered(self.incoming), f"parent{number}.bad": self.bad}
        return found

    def keys(self, number: int, asked: str | None = None) -> str:
        """SQL: the keys that may be referred to, as `k`, without null.

        :param asked: SQL of the keys that matter, if those are few beside the known ones.
        """
        key, name = engine.quoted(self.key), f"parent{number}"
        found = []
        if self.known is not None:
            known = f"select {key} as k from {name}.known where {key} is not null"  # noqa: S608
            if asked:
                known += f" and {key} in ({asked})"
            if self.incoming is not None:
                known += f" and {key} not in (select {key} from {name}.incoming where is_deleted)"  # noqa: S608
            found.append(known)
        if self.incoming is not None:
            found.append(
                f"select {key} as k from {name}.incoming where not is_deleted and {key} is not null "  # noqa: S608
                f"and row_no not in (select row_no from {name}.bad)"
            )
        return " union all ".join(found) or "select null::varchar as k where false"


@dataclass(frozen=True)
class Counted:
    """How many rows break a rule, and the keys of three of them."""

    rule: Rule
    unexpected: int
    examples: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Findings:
    """What the row rules found in a table.

    :param bad: `BAD_ROWS` of the rows that break a rule of severity quarantine; bit i of `broken` is rule i.
    """

    checked: Checked
    rows: int
    deletions: int
    counts: list[Counted]
    bad: pa.Table
    duplicates: Counted
    rules: tuple[Rule, ...]


def find(
    checked: Checked,
    rules: Sequence[Rule],
    parents: Mapping[str, Parent],
    config: settings.Gates | None = None,
    *,
    keeps_latest: bool = False,
    rows_at_once: int | None = None,
) -> Findings:
    """Checks every row against every rule.

    A reference to an optional table that has no rows at all is not checked: the shop does not keep that table.

    :param parents: by table, for every rule of type `references`.
    :param keeps_latest: of rows with one key the one with the latest `updated_at` counts; else none that contradict.
    :param rows_at_once: where as many keys are referred to as there are: so many rows are looked at at a time, so that
        memory does not grow with the table. None: all at once.
    """
    config = config or settings.load().gates
    parts = _parts(checked, rules, rows_at_once, config)
    asked = [_parents(checked, rules, parents, config, rows) for rows in parts]
    judged = tuple(rule for rule in rules if rule.type not in UNIQUE_TYPES and _applies(rule, asked[0][1]))
    if len(judged) > _MOST_RULES:
        raise ValueError(f"{checked.table} has {len(judged)} rules; at most {_MOST_RULES} fit into a number")
    statements = [_judged(checked, judged, keys, rows) for (_, keys), rows in zip(asked, parts, strict=True)]
    totals = _added(
        [
            _one_row(f"{statement} select {_totals(judged)} from judged", inputs, config)  # noqa: S608
            for statement, (inputs, _) in zip(statements, asked, strict=True)
        ]
    )
    counts = [Counted(rule, totals[f"n{i}"], totals[f"e{i}"]) for i, rule in enumerate(judged)]
    unique = next((rule for rule in rules if rule.type in UNIQUE_TYPES), None)
    doubled = _duplicates(checked, totals["rows"], config, keeps_latest) if unique else _no_duplicates()
    keys = sorted(doubled["key"].unique().to_pylist())[:EXAMPLES]  # sorted: the same whatever order the rows came in
    duplicates = Counted(unique or Rule("key occurs twice", QUARANTINE, UNIQUE_TYPES[0]), doubled.num_rows, keys)
    removed = doubled if duplicates.rule.severity == QUARANTINE else None
    bad = pa.concat_tables(
        _bad_rows(statement, inputs, counts, removed, config)
        for statement, (inputs, _) in zip(statements, asked, strict=True)
    )
    all_counts = counts + ([duplicates] if unique else [])
    return Findings(checked, totals["rows"], totals["deletions"], all_counts, bad, duplicates, judged)


def _parts(checked: Checked, rules: Sequence[Rule], most: int | None, config: settings.Gates) -> list[Rows]:
    if most is None or not any(rule.type == REFERENCES for rule in rules):
        return [EVERY_ROW]
    count = _one_row("select count(*) as rows from checked.batch", {"checked.batch": checked.input}, config)["rows"]
    return [Rows(first, first + most) for first in range(0, count, most)] if count > most else [EVERY_ROW]


def _added(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What `_totals` says of parts of a table, of all of it: counts are added up, of the keys the first are named."""
    return {
        name: sum(part[name] for part in parts)
        if isinstance(parts[0][name], int)
        else sorted(key for part in parts for key in part[name] or [])[:EXAMPLES]
        for name in parts[0]
    }


def _bad_rows(
    statement: str,
    inputs: Mapping[str, engine.Input],
    counts: Sequence[Counted],
    doubled: pa.Table | None,
    config: settings.Gates,
) -> pa.Table:
    """`BAD_ROWS`: a second pass, only if the first has found any."""
    removable = [i for i, count in enumerate(counts) if count.rule.severity == QUARANTINE]
    takes_doubles = doubled is not None and doubled.num_rows > 0
    if not takes_doubles and not any(counts[i].unexpected for i in removable):
        return BAD_ROWS.empty_table()
    bits = " + ".join(f"(case when b{i} then {1 << i} else 0 end)::bigint" for i in removable) or "0::bigint"
    kind = "coalesce(d.kind, 0)::integer" if takes_doubles else "0"
    statement += (
        f" select j.row_no, {bits} as broken, {kind} as duplicate from judged as j "  # noqa: S608
        "left join doubled.rows as d on j.row_no = d.row_no where broken > 0 or duplicate > 0 order by 1"
    )
    found = engine.query(statement, {**inputs, "doubled.rows": doubled or _no_duplicates()}, engine_of(config))
    return engine.table_of(found).cast(BAD_ROWS)


def predicate(rule: Rule, parents: Mapping[str, str]) -> str:
    """SQL that is true for a row that breaks the rule; false or null for others: a null breaks only "not null".

    :param parents: table -> name of the subquery with its keys.
    :raises SuiteError: the rule is of a type that is not known here.
    """
    kwargs = dict(rule.kwargs)
    column = engine.quoted(kwargs["column"]) if "column" in kwargs else ""
    match rule.type.removeprefix("expect_column_"):
        case "values_to_not_be_null":
            return f"{column} is null"
        case "values_to_be_between":
            low, high = ("<=" if kwargs.get("strict_min") else "<"), (">=" if kwargs.get("strict_max") else ">")
            bounds = [(low, kwargs.get("min_value")), (high, kwargs.get("max_value"))]
            return " or ".join(
                f"{column} {sign} {engine.literal(value)}" for sign, value in bounds if value is not None
            )
        case "values_to_be_in_set":
            return f"{column} not in ({', '.join(map(engine.literal, kwargs['value_set']))})"
        case "values_to_not_be_in_set":
            return f"{column} in ({', '.join(map(engine.literal, kwargs['value_set']))})"
        case "values_to_match_regex":
            return f"not regexp_matches({column}, {engine.literal(_re2(kwargs['regex']))})"
        case "values_to_not_match_regex":
            return f"regexp_matches({column}, {engine.literal(_re2(kwargs['regex']))})"
        case "pair_values_a_to_be_greater_than_b":
            sign = "<" if kwargs.get("or_equal") else "<="
            return f"{engine.quoted(kwargs['column_A'])} {sign} {engine.quoted(kwargs['column_B'])}"
    if rule.type == READABLE:
        return f"json_exists(unreadable, {engine.literal('$.' + column)})"
    if rule.type == FINITE:
        return f"not isfinite({column})"
    if rule.type == ENTRIES:
        return (
            f"len({column}) not between {engine.literal(kwargs['min_value'])} and {engine.literal(kwargs['max_value'])}"
        )
    if rule.type == REFERENCES:
        return f"not ({column} in (select k from {parents[kwargs['table']]}))"  # noqa: S608
    raise SuiteError(f"{rule.name!r} is of type {rule.type}, which has no translation into SQL in row_rules.predicate")


def engine_of(config: settings.Gates) -> settings.DuckDB:
    return settings.DuckDB(threads=settings.load().duckdb.threads, memory_limit=config.memory_limit)


def _re2(pattern: str) -> str:
    """A pattern of Python's `re`, as Great Expectations uses it, in the syntax of RE2, which DuckDB uses.

    RE2's `\\s` is ASCII only: the full-width space of Chinese text and the vertical tab would pass. Its `$` is the very
    end; Python's is also before a last line feed. Inside of [...] nothing is changed.
    """
    return _TOKENS.sub(lambda found: _AS_IN_PYTHON.get(found[0], found[0]), pattern)


def _one_row(statement: str, inputs: Mapping[str, engine.Input], config: settings.Gates) -> dict[str, Any]:
    return engine.table_of(engine.query(statement, inputs, engine_of(config))).to_pylist()[0]


def _parents(
    checked: Checked,
    rules: Sequence[Rule],
    parents: Mapping[str, Parent],
    config: settings.Gates,
    rows: Rows = EVERY_ROW,
) -> tuple[dict[str, engine.Input], dict[str, tuple[str, str]]]:
    """The inputs of all queries, and table -> (name of the subquery with its keys, that subquery)."""
    inputs: dict[str, engine.Input] = {"checked.batch": checked.input}
    columns: dict[str, list[str]] = {}
    for rule in rules:
        if rule.type == REFERENCES:
            columns.setdefault(rule.kwargs["table"], []).append(engine.quoted(rule.kwargs["column"]))
    found = {}
    for number, (table, referring) in enumerate(columns.items()):
        parent = parents[table]
        own = parent.inputs(number)
        any_key = f"{parent.keys(number)} limit 1"
        if parent.is_required or engine.table_of(engine.query(any_key, own, engine_of(config))).num_rows:
            asked = " union all ".join(
                f"select {column} from checked.batch{rows.where}"  # noqa: S608
                for column in referring
            )
            found[table] = (f"keys{number}", parent.keys(number, asked))
            inputs |= own
    return inputs, found


def _applies(rule: Rule, parents: Mapping[str, Any]) -> bool:
    return rule.type != REFERENCES or rule.kwargs["table"] in parents


def _judged(
    checked: Checked, rules: Sequence[Rule], parents: Mapping[str, tuple[str, str]], rows: Rows = EVERY_ROW
) -> str:
    """SQL: a WITH clause whose `judged` says of each row which rules it breaks."""
    names = {table: name for table, (name, _) in parents.items()}
    clauses = [f"{name} as ({keys})" for name, keys in parents.values()]
    flags = "".join(
        f", (not is_deleted and coalesce({predicate(rule, names)}, false)) as b{i}" for i, rule in enumerate(rules)
    )
    clauses.append(f"numbered as ({checked.part(rows)})")
    clauses.append(f"judged as (select row_no, is_deleted, {checked.key_text} as key{flags} from numbered)")  # noqa: S608
    return "with " + ", ".join(clauses)


def _totals(rules: Sequence[Rule]) -> str:
    parts = ["count(*) as rows", "count(*) filter (where is_deleted) as deletions"]
    for i, _ in enumerate(rules):
        parts.append(f"count(*) filter (where b{i}) as n{i}, min(key, {EXAMPLES}) filter (where b{i}) as e{i}")
    return ", ".join(parts)


def _no_duplicates() -> pa.Table:
    return pa.schema([("row_no", pa.int64()), ("kind", pa.int32()), ("key", pa.string())]).empty_table()


def _duplicates(checked: Checked, rows: int, config: settings.Gates, keeps_latest: bool) -> pa.Table:
    """The rows to take out so that every key occurs once: repeats but for the first, and all that contradict.

    Keys are compared a part at a time, so that memory does not grow with the table. Null is no key.
    """
    passes = max(1, -(-rows // config.keys_a_pass))
    key = ", ".join(map(engine.quoted, checked.key))
    is_key = " and ".join(f"{engine.quoted(column)} is not null" for column in checked.key)
    living = f"{is_key} and not is_deleted" if checked.has_deletions else is_key
    found = [_no_duplicates()]
    for part in range(passes):
        mine = f"{living} and hash({key}) % {passes} = {part}" if passes > 1 else living
        inputs: dict[str, engine.Input] = {"checked.batch": checked.input}
        twice = engine.table_of(
            engine.query(
                f"select {key} from checked.batch where {mine} group by {key} having count(*) > 1",  # noqa: S608
                inputs,
                engine_of(config),
            )
        )
        if twice.num_rows:
            statement = _compared(checked, key, keeps_latest)
            rows_of_them = engine.query(statement, inputs | {"doubled.keys": twice}, engine_of(config))
            found.append(engine.table_of(rows_of_them).cast(found[0].schema))
    return pa.concat_tables(found)


def _compared(checked: Checked, key: str, keeps_latest: bool) -> str:
    """SQL: which rows of the keys that occur twice are to go, and why."""
    every = ", ".join(engine.quoted(name) for name in checked.schema.names)
    conflict = f"case when version_no > 1 then {OLDER} end" if keeps_latest else f"{CONFLICT}"
    latest = "updated_at desc nulls last, row_no" if keeps_latest else "row_no"
    return f"""
        with alike as (
            select n.row_no, {checked.key_text} as key, {every},
                row_number() over (partition by {every} order by n.row_no) as repeat_no
            from ({checked.numbered}) as n semi join doubled.keys using ({key})
            where not is_deleted
        ),
        compared as (
            select row_no, key, repeat_no,
                count(*) filter (where repeat_no = 1) over (partition by {key}) as contents,
                row_number() over (partition by {key} order by repeat_no, {latest}) as version_no
            from alike
        ),
        told as (
            select row_no, key, case when repeat_no > 1 then {REPEAT} when contents > 1 then {conflict} end as kind
            from compared
        )
        select row_no, kind, key from told where kind is not null order by row_no
    """  # noqa: S608
