"""
Conditions over columns, as a marketer writes them: `value_tier = 'high' and orders_90d >= 2`.

A condition is parsed by SQLGlot, and what it consists of is looked at piece by piece: columns, texts, numbers,
comparisons, `in`, `between`, `is null`, `and`, `or`, `not`, `+`, `-`, `*`, and the functions `abs`, `coalesce` and
`lower`. From these pieces, and from nothing of the text itself, SQL is made: columns quoted, texts escaped, numbers as
float64, so that nothing overflows. Everything else is refused. Null compares as in SQL: it meets no condition.
"""

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlglot
from sqlglot import errors, exp

from segmentation import engine

TEXT, NUMBER, TRUTH = "text", "number", "yes or no"
_SQL_TYPES = {TEXT: "varchar", NUMBER: "double", TRUTH: "boolean"}
_LONGEST, _LONGEST_TEXT = 1_000, 200
_COMPARED = {exp.EQ: "=", exp.NEQ: "<>", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<="}
_RECKONED = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*"}


class ConditionError(ValueError):
    """A condition cannot be read, or means nothing. Says what is wrong with it, and what there is."""


@dataclass(frozen=True)
class Column:
    """What a condition may name.

    :param kind: text, number, or yes or no.
    :param values: all that the column can hold; None: not known.
    :param refusal: why no condition may name it; None: it may.
    """

    name: str
    kind: str
    values: tuple[str, ...] | None = None
    refusal: str | None = None


@dataclass(frozen=True)
class Condition:
    """A condition as SQL that is true, false or null for a row, and the columns that it names."""

    sql: str
    columns: frozenset[str]


@dataclass(frozen=True)
class _Part:
    """A piece: its SQL and kind, the column if it is one, the text if it is one that was written down."""

    sql: str
    kind: str
    column: Column | None = None
    text: str | None = None


def compiled(text: str, columns: Mapping[str, Column]) -> Condition:
    """A condition, checked against the columns there are.

    :raises ConditionError: says what is wrong with it.

    >>> columns = {"value_tier": Column("value_tier", TEXT, ("high", "low"))}
    >>> compiled("value_tier = 'high'", columns).sql
    '(cast("value_tier" as varchar) = \\'high\\')'
    >>> compiled("value_tier = 'hihg'", columns)
    Traceback (most recent call last):
    segmentation.conditions.ConditionError: value_tier is never 'hihg'; it is 'high', 'low'
    """
    if len(text) > _LONGEST:
        raise ConditionError(f"a condition has at most {_LONGEST:,} characters, not {len(text):,}")
    try:
        statements = sqlglot.parse(text, dialect="duckdb")
    except (errors.SqlglotError, RecursionError, ValueError) as error:
        raise ConditionError(f"it cannot be read as a condition: {_first_line(error)}") from error
    if len(statements) != 1 or statements[0] is None:
        raise ConditionError("there must be one condition, and nothing after it")
    reader = _Reader(columns)
    try:
        part = reader.part(statements[0])
    except RecursionError as error:
        raise ConditionError("there are too many brackets in each other") from error
    if part.kind != TRUTH:
        raise ConditionError(f"it says no yes or no: it is a {part.kind}")
    return Condition(part.sql, frozenset(reader.named))


class _Reader:
    """Makes parts of SQLGlot's nodes, and keeps the columns that were named."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self._columns = columns
        self.named: set[str] = set()
        self._readers: dict[type, Callable[[Any], _Part]] = {
            exp.Paren: lambda node: self.part(_only(node, "this").this),
            exp.Column: self._column,
            exp.Literal: self._literal,
            exp.Boolean: lambda node: _Part(engine.literal(bool(node.this)), TRUTH),
            exp.Neg: lambda node: _Part(f"(-{self._of(NUMBER, _only(node, 'this').this).sql})", NUMBER),
            exp.Not: lambda node: _Part(f"(not {self._of(TRUTH, _only(node, 'this').this).sql})", TRUTH),
            exp.And: lambda node: self._joined(node, "and"),
            exp.Or: lambda node: self._joined(node, "or"),
            exp.In: self._in,
            exp.Between: self._between,
            exp.Is: self._is,
            exp.Abs: lambda node: _Part(f"abs({self._of(NUMBER, _only(node, 'this').this).sql})", NUMBER),
            exp.Lower: lambda node: _Part(f"lower({self._of(TEXT, _only(node, 'this').this).sql})", TEXT),
            exp.Coalesce: self._coalesce,
            **dict.fromkeys(_COMPARED, self._compared),
            **dict.fromkeys(_RECKONED, self._reckoned),
        }

    def part(self, node: Any) -> _Part:
        """What a node amounts to.

        :raises ConditionError: it is none of the pieces that a condition may have.
        """
        read = self._readers.get(type(node))
        if read is None:
            raise ConditionError(_not_allowed(node))
        return read(node)

    def _of(self, kind: str, node: Any) -> _Part:
        part = self.part(node)
        if part.kind != kind:
            raise ConditionError(f"{_told(part)} is a {part.kind}, where a {kind} is needed")
        return part

    def _column(self, node: exp.Column) -> _Part:
        identifier = _only(node, "this").this
        if not isinstance(identifier, exp.Identifier):
            raise ConditionError(_not_allowed(identifier))
        name = identifier.name if identifier.args.get("quoted") else identifier.name.lower()
        column = self._columns.get(name)
        if column is None:
            raise ConditionError(f"there is no column {name!r}{_nearest(name, self._columns)}")
        if column.refusal:
            raise ConditionError(f"{name} may not be named: {column.refusal}")
        self.named.add(name)
        return _Part(f"cast({engine.quoted(name)} as {_SQL_TYPES[column.kind]})", column.kind, column)

    def _literal(self, node: exp.Literal) -> _Part:
        if node.is_string:
            if len(node.this) > _LONGEST_TEXT or not node.this.isprintable():
                raise ConditionError(f"a text is one line of at most {_LONGEST_TEXT} characters that can be printed")
            return _Part(engine.literal(str(node.this)), TEXT, text=str(node.this))
        try:
            number = float(node.this)
        except ValueError as error:
            raise ConditionError(f"{node.this} is no number") from error
        if not math.isfinite(number):
            raise ConditionError(f"{node.this} is too large a number")
        return _Part(_double(number), NUMBER)

    def _joined(self, node: exp.And | exp.Or, word: str) -> _Part:
        left, right = (self._of(TRUTH, each) for each in _two(node))
        return _Part(f"({left.sql} {word} {right.sql})", TRUTH)

    def _compared(self, node: exp.Binary) -> _Part:
        left, right = (self.part(each) for each in _two(node))
        sign = _COMPARED[type(node)]
        _same_kind(left, right)
        if left.kind != NUMBER and sign not in ("=", "<>"):
            raise ConditionError(f"{_told(left)} is a {left.kind}, so {sign} says nothing; there are = and <>")
        _possible(left, right)
        _possible(right, left)
        return _Part(f"({left.sql} {sign} {right.sql})", TRUTH)

    def _reckoned(self, node: exp.Binary) -> _Part:
        left, right = (self._of(NUMBER, each) for each in _two(node))
        return _Part(f"({left.sql} {_RECKONED[type(node)]} {right.sql})", NUMBER)

    def _in(self, node: exp.In) -> _Part:
        left = self.part(_only(node, "this", "expressions").this)
        every = [self.part(each) for each in node.expressions]
        if not every:
            raise ConditionError("in needs a list, such as in ('high', 'medium')")
        for each in every:
            _same_kind(left, each)
            _possible(left, each)
        return _Part(f"({left.sql} in ({', '.join(each.sql for each in every)}))", TRUTH)

    def _between(self, node: exp.Between) -> _Part:
        _only(node, "this", "low", "high")
        value, low, high = (self._of(NUMBER, node.args.get(name)) for name in ("this", "low", "high"))
        return _Part(f"({value.sql} between {low.sql} and {high.sql})", TRUTH)

    def _is(self, node: exp.Is) -> _Part:
        left, right = _two(node)
        part = self.part(left)
        if isinstance(right, exp.Boolean) and part.kind == TRUTH:
            return _Part(f"({part.sql} is {engine.literal(bool(right.this))})", TRUTH)
        if not isinstance(right, exp.Null):
            raise ConditionError("is goes with null; for a value there is =")
        return _Part(f"({part.sql} is null)", TRUTH)

    def _coalesce(self, node: exp.Coalesce) -> _Part:
        # what SQLGlot notes of the way it was written does not matter
        every = [self.part(each) for each in (node.this, *node.expressions)]
        for each in every[1:]:
            _same_kind(every[0], each)
        return _Part(f"coalesce({', '.join(each.sql for each in every)})", every[0].kind)


def _only(node: exp.Expression, *allowed: str) -> Any:
    """The node, if it says nothing besides."""
    if any(value for name, value in node.args.items() if name not in allowed):
        raise ConditionError(_not_allowed(node))
    return node


def _two(node: exp.Binary) -> tuple[Any, Any]:
    _only(node, "this", "expression")
    return node.this, node.expression


def _same_kind(left: _Part, right: _Part) -> None:
    if left.kind != right.kind:
        raise ConditionError(
            f"{_told(left)} is a {left.kind} and {_told(right)} is a {right.kind}: they cannot be compared"
        )


def _possible(side: _Part, other: _Part) -> None:
    """A text that a column never holds is a slip of the pen."""
    if side.column and side.column.values and other.text is not None and other.text not in side.column.values:
        known = ", ".join(map(repr, side.column.values))
        raise ConditionError(f"{side.column.name} is never {other.text!r}; it is {known}")


def _double(number: float) -> str:
    return f"cast('{number!r}' as double)"


def _told(part: _Part) -> str:
    return part.column.name if part.column else repr(part.text) if part.text is not None else "what stands there"


def _not_allowed(node: Any) -> str:
    if isinstance(node, exp.Func):
        name = node.name if isinstance(node, exp.Anonymous) else node.sql_name()
        return f"there is no function {name.lower()!r} here; there are abs, coalesce and lower"
    what = type(node).__name__.lower()
    return f"a condition may not have {what!r} in it: there are comparisons, in, between, is null, and, or, not, + - *"


def _nearest(name: str, columns: Mapping[str, Column]) -> str:
    near = difflib.get_close_matches(name, columns, n=1)
    return f"; is {near[0]} meant?" if near else "; docs/strategies.md says which there are"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
