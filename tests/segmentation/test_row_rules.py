"""The rules pushed down into SQL say the same as Great Expectations, whatever the rows."""

import datetime as dt
import re
import string

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segmentation import engine, expectations, row_rules, suites
from segmentation.row_rules import Checked, Parent
from segmentation.settings import Gates
from segmentation.suites import Rule

SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("number", pa.float64()),
        ("other", pa.float64()),
        ("whole", pa.int32()),
        ("word", pa.string()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("until", pa.timestamp("us", tz="UTC")),
    ]
)
NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
RULES = [
    Rule("number is missing", "quarantine", "expect_column_values_to_not_be_null", {"column": "number"}),
    Rule("at most", "quarantine", "expect_column_values_to_be_between", {"column": "number", "max_value": 3}),
    Rule("between", "quarantine", "expect_column_values_to_be_between",
         {"column": "whole", "min_value": -2, "max_value": 2}),
    Rule("strictly", "quarantine", "expect_column_values_to_be_between",
         {"column": "whole", "min_value": -2, "max_value": 2, "strict_min": True, "strict_max": True}),
    Rule("not later", "quarantine", "expect_column_values_to_be_between", {"column": "at", "max_value": NOON}),
    Rule("earlier", "quarantine", "expect_column_values_to_be_between",
         {"column": "at", "max_value": NOON, "strict_max": True}),
    Rule("in set", "quarantine", "expect_column_values_to_be_in_set", {"column": "word", "value_set": ["a", "b'", ""]}),
    Rule("not in set", "quarantine", "expect_column_values_to_not_be_in_set",
         {"column": "word", "value_set": ["a", "b'"]}),
    Rule("no padding", "quarantine", "expect_column_values_to_not_match_regex",
         {"column": "word", "regex": "^$|^\\s|\\s$"}),
    Rule("letters", "quarantine", "expect_column_values_to_match_regex", {"column": "word", "regex": "^[a-c]*$"}),
    Rule("ordered", "quarantine", "expect_column_pair_values_a_to_be_greater_than_b",
         {"column_A": "until", "column_B": "at", "or_equal": True}),
    Rule("greater", "quarantine", "expect_column_pair_values_a_to_be_greater_than_b",
         {"column_A": "number", "column_B": "other"}),
    Rule("unique", "quarantine", "expect_column_values_to_be_unique", {"column": "key"}),
]  # fmt: skip
NUMBERS = st.none() | st.integers(-4, 4).map(float) | st.floats(allow_nan=False, allow_infinity=False, width=32)
WORDS = (
    st.none()
    | st.sampled_from(["a", "b'", "", " a", "a ", "abc", "上海", 'q"', "\\"])
    | st.text(string.printable, max_size=3)
)
TIMES = st.none() | st.integers(-2, 2).map(lambda hours: NOON + dt.timedelta(hours=hours))
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "key": st.sampled_from("abcdefgh"),
            "number": NUMBERS,
            "other": NUMBERS,
            "whole": st.none() | st.integers(-4, 4),
            "word": WORDS,
            "at": TIMES,
            "until": TIMES,
        }
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_sql_says_what_great_expectations_says(rule, rows):
    data = pa.Table.from_pylist(rows, schema=SCHEMA)
    checked = Checked("raw.things", data, ("key",), SCHEMA)
    found = row_rules.find(checked, [rule], {}, Gates())
    [outcome] = expectations.run("raw.things", [rule], data.to_pandas())
    repeats = sum(count.unexpected for count in found.counts if count.rule.name == "unique")
    if rule.name == "unique":  # one of several rows that are the same to the letter stays
        assert (repeats == 0) == outcome.is_met
    else:
        assert found.counts[0].unexpected == outcome.unexpected
        assert found.bad.num_rows == outcome.unexpected


@pytest.mark.parametrize("pattern", [r"^$|^\s|\s$", r"^\S*$", r"a$", r"^[\]$a]$", r"\$", r"^[^\S]?\\$"])
def test_a_pattern_finds_in_sql_what_it_finds_in_python(pattern):
    spaces = [chr(code) for code in range(0x3001) if chr(code).isspace()]
    words = [
        *spaces,
        *(f"a{space}" for space in spaces),
        "",
        "a",
        "a\n",
        "a\n\n",
        "$",
        "$\n",
        "]",
        "\\",
        " \\",
        "\u200b",
    ]
    rule = Rule("x", "quarantine", "expect_column_values_to_not_match_regex", {"column": "word", "regex": pattern})
    rows = [{"key": str(n), "word": word} for n, word in enumerate(words)]
    data = pa.Table.from_pylist(rows, schema=SCHEMA)
    bad = row_rules.find(Checked("raw.things", data, ("key",), SCHEMA), [rule], {}, Gates()).bad["row_no"].to_pylist()
    assert bad == [n for n, word in enumerate(words) if re.search(pattern, word)]


def test_the_examples_of_keys_that_occur_twice_do_not_hang_on_the_order_of_the_rows():
    rows = [{"key": f"k{n % 7}", "number": float(n)} for n in range(21)]
    for order in (rows, rows[::-1], rows[5:] + rows[:5]):
        checked = Checked("raw.things", pa.Table.from_pylist(order, schema=SCHEMA), ("key",), SCHEMA)
        assert row_rules.find(checked, [RULES[-1]], {}, Gates()).duplicates.examples == ["k0", "k1", "k2"]


def test_every_rule_of_every_suite_has_a_translation():
    for file in suites.SUITES_HOME.glob("*.yaml"):
        suite = suites.read(file.stem, suites.parameters(dt.date(2026, 1, 1)), {})
        for rule in suite.rows:
            if rule.type not in suites.UNIQUE_TYPES:
                assert row_rules.predicate(rule, dict.fromkeys(suite.parents, "keys"))


def test_a_rule_that_has_no_translation_is_named():
    with pytest.raises(suites.SuiteError, match="'x' is of type expect_column_value_lengths_to_equal, which has no"):
        row_rules.predicate(Rule("x", "stop", "expect_column_value_lengths_to_equal", {"column": "a"}), {})


def test_keys_are_compared_in_parts_with_the_same_result():
    rows = [{"key": f"k{n % 700}", "number": float(n // 1400)} for n in range(2_000)]
    checked = Checked("raw.things", pa.Table.from_pylist(rows, schema=SCHEMA), ("key",), SCHEMA)
    rule = [RULES[-1]]
    whole = row_rules.find(checked, rule, {}, Gates())
    parts = row_rules.find(checked, rule, {}, Gates(keys_a_pass=1_000))
    assert whole.duplicates.unexpected == parts.duplicates.unexpected > 1_000
    assert set(whole.bad["row_no"].to_pylist()) == set(parts.bad["row_no"].to_pylist())


@pytest.mark.parametrize("rows_at_once", [None, 1, 4, 5, 6])
def test_references_are_to_what_is_known_and_what_comes_without_what_goes(tmp_path, rows_at_once):
    rule = Rule("orphan", "quarantine", suites.REFERENCES, {"column": "key", "table": "raw.others"})
    data = pa.Table.from_pylist([{"key": key} for key in ["old", "new", "bad", "gone", "none", None]], schema=SCHEMA)
    schema = pa.schema([("id", pa.string()), ("is_deleted", pa.bool_())])
    incoming = pa.Table.from_pylist(
        [{"id": "new", "is_deleted": False}, {"id": "bad", "is_deleted": False}, {"id": "gone", "is_deleted": True}],
        schema,
    )
    path = str(tmp_path / "incoming.parquet")
    pa.parquet.write_table(incoming, path)
    parent = Parent(
        "raw.others",
        "id",
        known=pa.table({"id": ["old", "gone"]}),
        incoming=path,
        bad=row_rules.BAD_ROWS.empty_table().from_pylist(
            [{"row_no": 1, "broken": 1, "duplicate": 0}], row_rules.BAD_ROWS
        ),
    )
    checked = Checked("raw.things", data, ("key",), SCHEMA)
    found = row_rules.find(checked, [rule], {"raw.others": parent}, Gates(), rows_at_once=rows_at_once)
    assert found.bad["row_no"].to_pylist() == [2, 3, 4]
    assert (found.rows, found.counts[0].unexpected) == (6, 3)
    assert found.counts[0].examples == ["bad", "gone", "none"]


def test_a_reference_to_an_optional_table_that_the_shop_does_not_keep_is_not_checked():
    rule = Rule("orphan", "quarantine", suites.REFERENCES, {"column": "key", "table": "raw.others"})
    checked = Checked("raw.things", pa.Table.from_pylist([{"key": "a"}], schema=SCHEMA), ("key",), SCHEMA)
    for is_required, bad in ((False, 0), (True, 1)):
        parent = Parent("raw.others", "id", is_required=is_required)
        assert row_rules.find(checked, [rule], {"raw.others": parent}, Gates()).bad.num_rows == bad


def test_many_rules_at_once_mark_each_row_with_all_that_it_breaks():
    rows = [{"key": "a", "number": 9.0, "whole": 9}, {"key": "b", "number": 1.0, "whole": 1}, {"key": "c", "whole": 1}]
    checked = Checked("raw.things", pa.Table.from_pylist(rows, schema=SCHEMA), ("key",), SCHEMA)
    found = row_rules.find(checked, RULES[:4], {}, Gates())
    assert found.bad.select(["row_no", "broken"]).to_pylist() == [
        {"row_no": 0, "broken": 0b1110},
        {"row_no": 2, "broken": 0b0001},
    ]
    assert engine.literal("it's") == "'it''s'"
