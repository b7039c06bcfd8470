"""A condition does what it says, or is refused: whatever is typed, no SQL but ours ever runs."""

import pyarrow as pa
import pytest
import sqlglot
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from segmentation import engine
from segmentation.conditions import NUMBER, TEXT, TRUTH, Column, ConditionError, compiled

COLUMNS = {
    "value_tier": Column("value_tier", TEXT, ("high", "medium", "low")),
    "city": Column("city", TEXT),
    "orders": Column("orders", NUMBER),
    "spend": Column("spend", NUMBER),
    "is_new": Column("is_new", TRUTH),
    "gender": Column("gender", TEXT, refusal="it is audited"),
}
ROWS = [
    {"id": 1, "value_tier": "high", "city": "上海", "orders": 3, "spend": 10.5, "is_new": True},
    {"id": 2, "value_tier": "low", "city": "O'Brien", "orders": 0, "spend": -1.0, "is_new": False},
    {"id": 3, "value_tier": None, "city": None, "orders": None, "spend": None, "is_new": None},
]
TABLE = pa.Table.from_pylist(ROWS)
HOSTILE = (
    "'; drop table it; --", "1=1) or (1=1", "x' or '1'='1", "read_csv('/etc/passwd')", "$$", ":as_of", "?", "\\'", "''",
    "/*", "*/", "--", ";", "%s", "{x}", "\"", "select", "union all select 1", "getenv('HOME')", "columns(*)", "a\\",
)  # fmt: skip


def met(text, table=TABLE):
    statement = f"select id from a.it where {compiled(text, COLUMNS).sql} order by id"
    return [row["id"] for row in engine.table_of(engine.query(statement, {"a.it": table})).to_pylist()]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("value_tier = 'high'", [1]),
        ("VALUE_TIER <> 'high'", [2]),
        ("value_tier in ('high', 'low') and orders < 1", [2]),
        ("value_tier not in ('low')", [1]),
        ("city = '上海' or city = 'O''Brien'", [1, 2]),
        ("lower(city) = 'o''brien'", [2]),
        ("orders between 0 and 2", [2]),
        ("not orders between 0 and 2", [1]),
        ("orders is null", [3]),
        ("orders is not null and is_new", [1]),
        ("is_new is false", [2]),
        ("coalesce(orders, 7) = 7", [3]),
        ("abs(spend) * 2 + 1 = 3", [2]),
        ("spend - orders > 7 and orders + 9223372036854775807 > 0", [1]),
        ("spend > -1.5 -- and not less", [1, 2]),
        ("true", [1, 2, 3]),
    ],
)
def test_a_condition_meets_whom_it_says(text, ids):
    assert met(text) == ids


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("value_tier = 'hihg'", "value_tier is never 'hihg'; it is 'high', 'medium', 'low'"),
        ("value_teir = 'high'", "there is no column 'value_teir'; is value_tier meant?"),
        ("gender = 'f'", "gender may not be named: it is audited"),
        ("orders = 'a'", "orders is a number and 'a' is a text"),
        ("orders in (1, 'a')", "orders is a number and 'a' is a text"),
        ("city > 'a'", "city is a text, so > says nothing"),
        ("orders", "it says no yes or no: it is a number"),
        ("orders and is_new", "orders is a number, where a yes or no is needed"),
        ("sqrt(orders) > 1", "there is no function 'sqrt' here; there are abs, coalesce and lower"),
        ("hack(orders) > 1", "there is no function 'hack'"),
        ("orders = null", "may not have 'null'"),
        ("orders is 3", "is goes with null"),
        ("orders in ()", "in needs a list"),
        ("orders in (select 1)", "may not have 'in'"),
        ("exists (select 1)", "'exists'"),
        ("(select true)", "may not have 'subquery'"),
        ("it.orders > 1", "may not have 'column'"),
        ("orders > 1; drop table it", "there must be one condition, and nothing after it"),
        ("orders > 1e999", "too large a number"),
        ("city = 'a\x00b'", "one line of at most 200 characters"),
        ("city = ?", "may not have 'placeholder'"),
        ("city = :as_of", "may not have 'placeholder'"),
        ("orders > ", "it cannot be read as a condition"),
        ("", "there must be one condition"),
        ("orders > 1 " + "or orders > 1 " * 100, "at most 1,000 characters"),
    ],
)
def test_what_is_wrong_is_said(text, why):
    with pytest.raises(ConditionError) as told:
        compiled(text, COLUMNS)
    assert why in str(told.value)


@given(st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=40) | st.sampled_from(HOSTILE))
@settings(max_examples=150, deadline=None)
def test_a_text_is_compared_as_it_was_written_whatever_is_in_it(text):
    table = pa.Table.from_pylist([{"id": 1, "city": text}, {"id": 2, "city": f"{text}x"}, {"id": 3, "city": ""}])
    literal = "'" + text.replace("'", "''") + "'"
    if text.isprintable():
        assert met(f"city = {literal}", table) == [1]
    else:
        with pytest.raises(ConditionError, match=r"that can be printed|read as a condition"):
            met(f"city = {literal}", table)


PIECES = st.sampled_from(
    [*COLUMNS, "'high'", "1", "2.5", "null", "true", "and", "or", "not", "is", "in", "between", "(", ")", ",", "=",
     "<>", "<", "+", "-", "*", "/", "||", "::", "coalesce(", "abs(", "lower(", "case when", "then", "end", "over ()",
     ".", *HOSTILE]
)  # fmt: skip


@given(st.lists(PIECES, max_size=12).map(" ".join) | st.text(max_size=60))
@example("orders > 1 /* */ ; attach 'x'")
@settings(max_examples=600, deadline=None)
def test_whatever_is_typed_is_refused_or_becomes_nothing_but_our_own_pieces(text):
    try:
        condition = compiled(text, COLUMNS)
    except ConditionError:
        return
    assert condition.columns <= COLUMNS.keys() - {"gender"}
    [tree] = sqlglot.parse(condition.sql, dialect="duckdb")
    functions = {type(node) for node in tree.find_all(exp.Func)} - {exp.And, exp.Or}
    assert functions <= {exp.Cast, exp.Coalesce, exp.Abs, exp.Lower}
    assert not list(tree.find_all(exp.Query, exp.Command, exp.Placeholder, exp.Parameter))
    met(text)  # runs, whatever it finds
