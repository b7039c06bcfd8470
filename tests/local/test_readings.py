"""Numbers exactly, times in UTC, and how a file writes its dates."""

from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from local.readings import Coded, cents, date_style, fits_integer, fits_money, microseconds, number, time_reader


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2.55", "2.55"),
        (" -80995 ", "-80995"),
        ("+1", "1"),
        (".5", "0.5"),
        ("6.", "6"),
        ("1E-03", "0.001"),
        ("", None),
        ("nan", None),
        ("inf", None),
        ("1,5", None),
        ("1_000", None),
        ("£2", None),
        ("٣", None),
        ("1e9999999999", None),
    ],
)
def test_number(text, value):
    assert number(text) == (None if value is None else Decimal(value))


@pytest.mark.parametrize(
    ("value", "fits"),
    [("2147483647", True), ("2147483648", False), ("-2147483647", True), ("2.0", True), ("2.5", False)],
)
def test_fits_integer(value, fits):
    assert fits_integer(Decimal(value)) is fits


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ("999999999999.99", True),
        ("999999999999.994", True),
        ("999999999999.995", False),
        ("-1e12", False),
        ("1e999", False),
        ("1e-30", True),
        ("1e-31", False),
    ],
)
def test_fits_money(value, fits):
    assert fits_money(Decimal(value)) is fits


@pytest.mark.parametrize(("value", "rounded"), [("0.005", "0.01"), ("2.675", "2.68"), ("0.004", "0.00"), ("1", "1.00")])
def test_cents_are_rounded_half_up(value, rounded):
    assert str(cents(Decimal(value))) == rounded


@pytest.mark.parametrize(
    ("texts", "style"),
    [
        (["2010-12-01 08:26:00"], "year-month-day"),
        (["12/1/2010 8:26", "12/13/2010 9:00"], "month/day/year"),
        (["1/12/2010 8:26", "13/12/2010 9:00"], "day/month/year"),
        (["1/12/2010 8:26"], "month/day/year"),  # either will do: the publisher's
        (["13/12/2010", "14/12/2010", "12/15/2010"], "day/month/year"),
    ],
)
def test_date_style_is_the_one_that_reads_the_most(texts, style):
    assert date_style(texts) == style


@pytest.mark.parametrize(
    ("style", "text", "time"),
    [
        ("year-month-day", "2010-12-01 08:26:00", (2010, 12, 1, 8, 26)),
        ("year-month-day", "2010-12-01T08:26", (2010, 12, 1, 8, 26)),
        ("year-month-day", "2010-12-01T08:26:00Z", (2010, 12, 1, 8, 26)),
        ("year-month-day", "2010-12-01 08:26:00+02:00", (2010, 12, 1, 6, 26)),
        ("year-month-day", "2010/12/1 8:26", (2010, 12, 1, 8, 26)),
        ("year-month-day", "2010-12-01", (2010, 12, 1)),
        ("month/day/year", "12/1/2010 8:26", (2010, 12, 1, 8, 26)),
        ("month/day/year", "12/1/10 8:26", (2010, 12, 1, 8, 26)),
        ("month/day/year", "13/1/2010 8:26", None),
        ("day/month/year", "1/12/2010 8:26", (2010, 12, 1, 8, 26)),
        ("day/month/year", "2010-12-01 08:26", (2010, 12, 1, 8, 26)),
        ("year-month-day", "2010-02-30 08:26:00", None),
        ("year-month-day", "2010-12-01 25:00", None),
        ("year-month-day", "2010-12-01 08:26:00+99:99", None),
        ("year-month-day", "yesterday", None),
        ("year-month-day", "", None),
    ],
)
def test_times_are_read_in_utc(style, text, time):
    read = time_reader(style)(text)

    assert (None if read is None else microseconds(read)) == (
        None if time is None else microseconds(datetime(*time, tzinfo=UTC))
    )


def test_microseconds():
    assert microseconds(datetime(1970, 1, 2)) == 86_400_000_000  # noqa: DTZ001 - without a zone it is UTC


def test_coded_values_that_become_equal_become_one():
    coded = Coded.of(pa.chunked_array([["b", "a "], ["a", "b"]])).map(str.strip)

    assert coded.values == ["b", "a"]
    assert coded.codes.tolist() == [0, 1, 1, 0]
    assert coded.where(lambda value: value == "a").tolist() == [False, True, True, False]
    assert coded.array(np.int64, ord).tolist() == [98, 97, 97, 98]
