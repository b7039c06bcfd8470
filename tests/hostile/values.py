"""What a column of the contract may hold at its worst: harmful texts, times and numbers at the ends of their types."""

import datetime as dt
import math

from hypothesis import strategies as st

INJECTIONS = (
    "'; drop table shop.customers; --",
    '"; drop schema shop cascade; --',
    "x' or '1'='1",
    "$$; select pg_sleep(9); $$",
    "\\'; copy customers to program 'touch harm' --",
    "{{ conn.marketing.password }}",
    "{% for x in y %}",
    "%(id)s",
    "%s",
    ":id",
    "../../../../etc/passwd",
    "..\\..\\x",
    "/etc/passwd",
    "file:///etc/passwd",
    "a/b",
    "as_of=2026-01-31",
    "*",
    "[x]",
    "=cmd|' /C calc'!A0",
    '"><script>alert(1)</script>',
    "\\N",
    "\\.",
    "NULL",
    "null",
    "",
    " ",
    "\t",
    "a\nb",
    "a\r\nb",
    "a,b",
    '"',
    '""',
    "'",
    "''",
    "\\",
    "\\\\",
    "\ufeffx",
    "\u202egnp.exe",
    "a\x01b",
    "é",
    "e\u0301",
    "👩‍👩‍👧‍👦",
    "\U0010ffff",
    "\u2028",
    "\x7f",
    "x" * 300,
    "💥" * 3_000,
    "-0",
    "1e999",
    "nan",
    "inf",
    "true",
    "2026-02-30",
)
TEXT = st.sampled_from(INJECTIONS) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40
)
TIMES = st.sampled_from(
    [
        "infinity",
        "-infinity",
        "4713-01-01 BC",
        "0044-03-15 12:00 BC",
        "0001-01-01",
        "0099-12-31",
        "1582-10-10",
        "1969-12-31 23:59:59.999999",
        "9999-12-31",
        "9999-12-31 23:59:59.999999+00",
        "10000-01-01",
        "294276-12-31",
        "2026-01-30 10:00+14",
        "2026-01-30 10:00-12",
    ]
) | st.datetimes(timezones=st.just(dt.UTC)).map(dt.datetime.isoformat)
NUMBERS = st.sampled_from(
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e300",
        "-1e300",
        "1e-300",
        "0.005",
        "999999999999.99",
        "999999999999.995",
        "-0",
        "0." + "9" * 40,
        "9" * 60,
    ]
) | st.decimals(allow_nan=False, allow_infinity=False).map(str)
FLOATS = st.floats(width=32).map(lambda each: {math.inf: "Infinity", -math.inf: "-Infinity"}.get(each, str(each)))


def values(kind):
    """What a column of the contract may hold in Postgres, as text that is cast there."""
    return {
        "string": TEXT,
        "bool": st.booleans().map(str),
        "int16": st.integers(-(2**15), 2**15 - 1).map(str),
        "int32": st.integers(-(2**31), 2**31 - 1).map(str),
        "float": FLOATS,
        "timestamp[us, tz=UTC]": TIMES,
        "decimal128(14, 2)": NUMBERS,
        "decimal128(14, 4)": NUMBERS,
    }[f"{kind}"]
