"""Comma-separated lines: every physical line comes out once, whatever its quotes do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.delimited import LONGEST_RECORD_LINES, read_records, split


def records(text, width):
    return list(split(text.splitlines(keepends=True), width=width))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b,c\n", [(1, ["a", "b", "c"])]),
        ("a,b\r\nc,d\r\n", [(1, ["a", "b"]), (2, ["c", "d"])]),
        ('a,"b, c",d\n', [(1, ["a", "b, c", "d"])]),
        ('a,"say ""yes""",d\n', [(1, ["a", 'say "yes"', "d"])]),
        ('a,5" plate,d\n', [(1, ["a", '5" plate', "d"])]),
        ('a,"two\nlines",d\ne,f,g\n', [(1, ["a", "two\nlines", "d"]), (3, ["e", "f", "g"])]),
        # A quote that never closes costs its own line only ...
        ('a,"b,c\nd,e,f\ng,h,i\n', [(1, ["a", "b,c"]), (2, ["d", "e", "f"]), (3, ["g", "h", "i"])]),
        # ... also if a quote much later would close it, and the fields would happen to be as many.
        ('a,"b,c\nd,"e",f\n', [(1, ["a", "b,c"]), (2, ["d", "e", "f"])]),
        ('a,"b"b,c\nd,e,f\n', [(1, ["a", "bb", "c"]), (2, ["d", "e", "f"])]),
    ],
)
def test_fields_and_physical_lines(text, expected):
    assert records(text, width=3) == expected


def test_a_quoted_field_longer_than_a_record_may_be_is_a_stray_quote():
    text = 'a,"b\n' + "x\n" * LONGEST_RECORD_LINES + 'c",d\n'

    assert len(records(text, width=3)) == LONGEST_RECORD_LINES + 2


@given(st.lists(st.text(alphabet='ab,"\n', max_size=12), max_size=30))
def test_no_line_is_lost_or_read_twice(parts):
    lines = "\n".join(parts).split("\n")

    found = list(split([f"{line}\n" for line in lines], width=2))

    spans = [number for number, _ in found]
    assert spans == sorted(set(spans))
    assert spans[0] == 1
    taken = [1 + sum(field.count("\n") for field in fields) for _, fields in found]
    assert sum(taken) == len(lines)


def test_read_records_makes_columns_and_keeps_what_does_not_fit():
    read = read_records(["1,x\n", "2\n", "\n", "3,y\n", " \n", "\n"], ["n", "t"])

    assert read.line_no == [2, 5]
    assert {name: column.to_pylist() for name, column in read.columns.items()} == {"n": ["1", "3"], "t": ["x", "y"]}
    assert read.broken == [(3, ["2"]), (4, [""])]


def test_read_records_of_nothing():
    read = read_records([], ["n", "t"])

    assert (read.line_no, read.broken, len(read.columns["t"])) == ([], [], 0)
