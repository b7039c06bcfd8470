"""
Row rules, pushed down: the rules of a suite become one SQL statement that reads a table once, whatever its size.

Great Expectations would need the whole table in pandas. DuckDB counts what breaks each rule, with three keys as
examples, in one pass; only if there is anything does a second pass fetch which rows. `docs/decisions/0004-*` has the
figures. Great Expectations then checks a sample of what is left, so that this translation is checked as well.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from segmentation import engine, settings
from segmentation.suites import FINITE, QUARANTINE, REFERENCES, UNIQUE_TYPES, Rule

EXAMPLES = 3
REPEAT, CONFLICT = 1, 2
DUPLICATE_REASONS = {REPEAT: "exact repeat of another row", CONFLICT: "key occurs twice with different content"}
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
        parts = ", ".join(f"coalesce({quoted(column)}::varchar, 'null')" for column in self.key)
        return f"concat_ws('/', {parts})"

    @property
    def numbered(self) -> str:
        """SQL: the rows with `row_no`, from 0, in the order of the file."""
        deleted = "" if self.has_deletions else ", false as is_deleted"
        return f"select row_number() over () - 1 as row_no, *{deleted} from checked.batch"  # noqa: S608


@dataclass(frozen=True)
class Parent:
    """A table that another one's rows refer to: what is known of it, and what its own batch brings.

    :param bad: rows of `staged` that do not count, by `row_no`.
    :param released: rows that come back out of quarantine.
    """

    table: str
    key: str
    known: engine.Input
    staged: str | None = None
    bad: pa.Table | None = None
    released: pa.Table | None = None
    is_required: bool = False

    def inputs(self, number: int) -> dict[str, engine.Input]:
        found = {f"parent{number}.known": self.known}
        if self.staged is not None:
            found |= {f"parent{number}.staged": self.staged, f"parent{number}.bad": self.bad}
        if self.released is not None:
            found[f"parent{number}.released"] = self.released
        return found

    def keys(self, number: int) -> str:
        """SQL: the keys that may be referred to, without null."""
        key, name = quoted(self.key), f"parent{number}"
        found = [f"select {key} as k from {name}.known where {key} is not null"]  # noqa: S608
        if self.staged is not None:
            staged = f"select row_number() over () - 1 as row_no, {key}, is_deleted from {name}.staged"  # noqa: S608
            found[0] += f" and {key} not in (select {key} from {name}.staged where is_deleted and {key} is not null)"  # noqa: S608
            found.append(
                f"select {key} as k from ({staged}) as s where not is_deleted and {key} is not null "  # noqa: S608
                f"and row_no not in (select row_no from {name}.bad)"
            )
        if self.released is not None:
            found.append(f"select {key} as k from {name}.released where {key} is not null")  # noqa: S608
        return " union all ".join(found)


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
    checked: Checked, rules: Sequence[Rule], parents: Mapping[str, Parent], config: settings.Gates | None = None
) -> Findings:
    """Checks every row against every rule.

    A reference to an optional table that has no rows at all is not checked: the shop does not keep that table.
    """
    config = config or settings.load().gates
    inputs, with_parents = _parents(checked, rules, parents, config)
    judged = tuple(rule for rule in rules if rule.type not in UNIQUE_TYPES and _applies(rule, with_parents))
    statement = _judged(checked, judged, with_parents)
    totals = _one_row(f"{statement} select {_totals(judged)} from judged", inputs, config)
    counts = [Counted(rule, totals[f"n{i}"], list(totals[f"e{i}"] or [])) for i, rule in enumerate(judged)]
    unique = next((rule for rule in rules if rule.type in UNIQUE_TYPES), None)
    doubled = _duplicates(checked, totals["rows"], config) if unique else _no_duplicates()
    keys = doubled["key"].unique()[:EXAMPLES].to_pylist()
    duplicates = Counted(unique or Rule("key occurs twice", QUARANTINE, UNIQUE_TYPES[0]), doubled.num_rows, keys)
    removable = [i for i, rule in enumerate(judged) if rule.severity == QUARANTINE]
    takes_doubles = duplicates.rule.severity == QUARANTINE and doubled.num_rows
    bad = BAD_ROWS.empty_table()
    if takes_doubles or any(counts[i].unexpected for i in removable):
        bits = " + ".join(f"(case when b{i} then {1 << i} else 0 end)::bigint" for i in removable) or "0::bigint"
        kind = "coalesce(d.kind, 0)::integer" if takes_doubles else "0"
        statement += (
            f" select j.row_no, {bits} as broken, {kind} as duplicate from judged as j "
            "left join doubled.rows as d on j.row_no = d.row_no where broken > 0 or duplicate > 0 order by 1"
        )
        bad = table_of(engine.query(statement, inputs | {"doubled.rows": doubled}, engine_of(config))).cast(BAD_ROWS)
    all_counts = counts + ([duplicates] if unique else [])
    return Findings(checked, totals["rows"], totals["deletions"], all_counts, bad, duplicates, judged)


def predicate(rule: Rule, parents: Mapping[str, str]) -> str:
    """SQL that is true for a row that breaks the rule; false or null for others: a null breaks only "not null".

    :param parents: table -> name of the subquery with its keys.
    """
    kwargs = dict(rule.kwargs)
    column = quoted(kwargs["column"]) if "column" in kwargs else ""
    match rule.type.removeprefix("expect_column_"):
        case "values_to_not_be_null":
            return f"{column} is null"
        case "values_to_be_between":
            low, high = ("<=" if kwargs.get("strict_min") else "<"), (">=" if kwargs.get("strict_max") else ">")
            bounds = [(low, kwargs.get("min_value")), (high, kwargs.get("max_value"))]
            return " or ".join(f"{column} {sign} {literal(value)}" for sign, value in bounds if value is not None)
        case "values_to_be_in_set":
            return f"{column} not in ({', '.join(map(literal, kwargs['value_set']))})"
        case "values_to_not_be_in_set":
            return f"{column} in ({', '.join(map(literal, kwargs['value_set']))})"
        case "values_to_match_regex":
            return f"not regexp_matches({column}, {literal(kwargs['regex'])})"
        case "values_to_not_match_regex":
            return f"regexp_matches({column}, {literal(kwargs['regex'])})"
        case "pair_values_a_to_be_greater_than_b":
            sign = "<" if kwargs.get("or_equal") else "<="
            return f"{quoted(kwargs['column_A'])} {sign} {quoted(kwargs['column_B'])}"
    if rule.type == FINITE:
        return f"not isfinite({column})"
    if rule.type == REFERENCES:
        return f"not ({column} in (select k from {parents[kwargs['table']]}))"  # noqa: S608
    raise NotImplementedError(f"{rule.type} has no translation into SQL yet: see row_rules.predicate")


def literal(value: Any) -> str:
    """A value of a suite as SQL."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, dt.datetime):
        return f"timestamptz '{value.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S.%f}+00'"
    if isinstance(value, dt.date):
        return f"date '{value}'"
    return "'" + str(value).replace("'", "''") + "'"


def quoted(name: str) -> str:
    """A column's name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def table_of(batches) -> pa.Table:
    """What the engine yields, as one table: for results that are small by their nature."""
    return pa.Table.from_batches(list(batches))


def engine_of(config: settings.Gates) -> settings.Engine:
    return settings.Engine(threads=settings.load().engine.threads, memory_limit=config.memory_limit)


def _one_row(statement: str, inputs: Mapping[str, engine.Input], config: settings.Gates) -> dict[str, Any]:
    return table_of(engine.query(statement, inputs, engine_of(config))).to_pylist()[0]


def _parents(
    checked: Checked, rules: Sequence[Rule], parents: Mapping[str, Parent], config: settings.Gates
) -> tuple[dict[str, engine.Input], dict[str, tuple[str, str]]]:
    """The inputs of all queries, and table -> (name of the subquery with its keys, that subquery)."""
    inputs: dict[str, engine.Input] = {"checked.batch": checked.source}
    found = {}
    for number, table in enumerate(dict.fromkeys(r.kwargs["table"] for r in rules if r.type == REFERENCES)):
        parent = parents[table]
        keys, own = parent.keys(number), parent.inputs(number)
        is_there = parent.is_required or table_of(engine.query(f"{keys} limit 1", own, engine_of(config))).num_rows
        if is_there:
            found[table] = (f"keys{number}", keys)
            inputs |= own
    return inputs, found


def _applies(rule: Rule, parents: Mapping[str, Any]) -> bool:
    return rule.type != REFERENCES or rule.kwargs["table"] in parents


def _judged(checked: Checked, rules: Sequence[Rule], parents: Mapping[str, tuple[str, str]]) -> str:
    """SQL: a WITH clause whose `judged` says of each row which rules it breaks."""
    names = {table: name for table, (name, _) in parents.items()}
    clauses = [f"{name} as ({keys})" for name, keys in parents.values()]
    flags = "".join(
        f", (not is_deleted and coalesce({predicate(rule, names)}, false)) as b{i}" for i, rule in enumerate(rules)
    )
    clauses.append(f"numbered as ({checked.numbered})")
    clauses.append(f"judged as (select row_no, is_deleted, {checked.key_text} as key{flags} from numbered)")
    return "with " + ", ".join(clauses)


def _totals(rules: Sequence[Rule]) -> str:
    parts = ["count(*) as rows", "count(*) filter (where is_deleted) as deletions"]
    for i, _ in enumerate(rules):
        parts.append(f"count(*) filter (where b{i}) as n{i}, min(key, {EXAMPLES}) filter (where b{i}) as e{i}")
    return ", ".join(parts)


def _no_duplicates() -> pa.Table:
    return pa.schema([("row_no", pa.int64()), ("kind", pa.int32()), ("key", pa.string())]).empty_table()


def _duplicates(checked: Checked, rows: int, config: settings.Gates) -> pa.Table:
    """The rows to take out so that every key occurs once: repeats but for the first, and all that contradict.

    Keys are compared a part at a time, so that memory does not grow with the table. Null is no key.
    """
    passes = max(1, -(-rows // config.keys_a_pass))
    key = ", ".join(map(quoted, checked.key))
    found = [_no_duplicates()]
    for part in range(passes):
        is_key = " and ".join(f"{quoted(column)} is not null" for column in checked.key)
        living = f"{is_key} and not is_deleted" if checked.has_deletions else is_key
        mine = f"{living} and hash({key}) % {passes} = {part}" if passes > 1 else living
        inputs = {"checked.batch": checked.source}
        twice = table_of(
            engine.query(
                f"select {key} from checked.batch where {mine} group by {key} having count(*) > 1",  # noqa: S608
                inputs,
                engine_of(config),
            )
        )
        if twice.num_rows:
            every = ", ".join(quoted(name) for name in checked.schema.names)
            statement = f"""
                with alike as (
                    select row_no, {checked.key_text} as key, {key},
                        row_number() over (partition by {every} order by row_no) as repeat_no
                    from ({checked.numbered}) as n semi join doubled.keys using ({key})
                    where not is_deleted
                ),
                compared as (
                    select row_no, key, repeat_no,
                        count(*) filter (where repeat_no = 1) over (partition by {key}) as contents
                    from alike
                )
                select row_no, case when contents > 1 then {CONFLICT} else {REPEAT} end as kind, key
                from compared where contents > 1 or repeat_no > 1 order by row_no
            """  # noqa: S608
            rows_of_them = engine.query(statement, inputs | {"doubled.keys": twice}, engine_of(config))
            found.append(table_of(rows_of_them).cast(found[0].schema))
    return pa.concat_tables(found)
