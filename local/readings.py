"""
Texts of a file as numbers and times.

A column holds few distinct texts, so each of them is read once, exactly, and the lines refer to it by its code.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

import numpy as np
import pyarrow as pa

LARGEST_INTEGER = 2**31 - 1
LARGEST_MONEY = Decimal("999999999999.99")
# Years beyond these are placeholders (1900-01-01, 9999-12-31) or slips, and would become the shop's last day.
YEARS = range(1901, 2200)

# Wide enough for any sum of quantity * price over a file, to the last digit.
EXACT = Context(prec=100)
_CENT = Decimal("0.01")
_MOST_DECIMALS = 30

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_CLOCK = r"(?:[T ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?)?"
_YEAR_FIRST = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})" + _CLOCK + r"(Z|[+-]\d{2}:?\d{2})?", re.ASCII)
_YEAR_LAST = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4}|\d{2})" + _CLOCK, re.ASCII)


@dataclass(frozen=True)
class Coded:
    """A column of n lines as `codes` (n,) into its distinct `values`, which are in order of appearance."""

    codes: np.ndarray
    values: list[Any]

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> "Coded":
        """The column's texts as they are."""
        encoded = column.combine_chunks().dictionary_encode()
        return cls(encoded.indices.to_numpy(), encoded.dictionary.to_pylist())

    def map(self, change: Callable[[Any], Any]) -> "Coded":
        """The column with `change` applied to each value; values that become equal become one."""
        codes: dict[Any, int] = {}
        new = np.array([codes.setdefault(change(value), len(codes)) for value in self.values], np.int32)
        return Coded(new[self.codes], list(codes))

    def where(self, test: Callable[[Any], bool]) -> np.ndarray:
        """(n,) booleans: the lines whose value passes the test."""
        return np.array([bool(test(value)) for value in self.values], bool)[self.codes]

    def array(self, dtype: Any, convert: Callable[[Any], Any]) -> np.ndarray:
        """(n,) `convert(value)` of each line."""
        return np.array([convert(value) for value in self.values], dtype)[self.codes]


def number(text: str) -> Decimal | None:
    """The exact number that a text says with a decimal point, or None where it says none."""
    text = text.strip()
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def fits_integer(value: Decimal) -> bool:
    """Whether the number is whole and fits the warehouse's integer."""
    return value.copy_abs() <= LARGEST_INTEGER and value == int(value)


def fits_money(value: Decimal) -> bool:
    """Whether the amount, rounded to cents, fits numeric(14,2)."""
    if value.copy_abs() > LARGEST_MONEY + 1 or -value.as_tuple().exponent > _MOST_DECIMALS:
        return False
    return cents(value).copy_abs() <= LARGEST_MONEY


def cents(value: Decimal) -> Decimal:
    """The amount rounded half up to two decimals."""
    return value.quantize(_CENT, ROUND_HALF_UP, EXACT)


def microseconds(time: datetime) -> int:
    """Whole microseconds since 1970-01-01 UTC; a time without a zone is taken as UTC."""
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def date_style(texts: Sequence[str]) -> str:
    """How a file writes its dates: 'year-month-day', 'month/day/year' or 'day/month/year'.

    The style that reads the most distinct texts; where two read as many, the one named first.
    """
    readers = {"year-month-day": _year_first, "month/day/year": _month_first, "day/month/year": _day_first}
    return max(readers, key=lambda style: sum(readers[style](text.strip()) is not None for text in texts))


def time_reader(style: str) -> Callable[[str], datetime | None]:
    """A function from a text to its time, or None where it says none. Year-first dates are read in every style."""
    other = _day_first if style == "day/month/year" else _month_first
    return lambda text: _year_first(text.strip()) or other(text.strip())


def _year_first(text: str) -> datetime | None:
    match = _YEAR_FIRST.fullmatch(text)
    if not match:
        return None
    year, month, day, hour, minute, second, zone = match.groups()
    time = _time(year, month, day, hour, minute, second)
    if time is None or zone is None:
        return time
    try:
        return time.replace(tzinfo=datetime.fromisoformat(f"2000-01-01T00:00:00{zone}").tzinfo)
    except ValueError:
        return None


def _month_first(text: str) -> datetime | None:
    match = _YEAR_LAST.fullmatch(text)
    return _time(match[3], match[1], match[2], *match.groups()[3:]) if match else None


def _day_first(text: str) -> datetime | None:
    match = _YEAR_LAST.fullmatch(text)
    return _time(match[3], match[2], match[1], *match.groups()[3:]) if match else None


def _time(year: str, month: str, day: str, hour: str | None, minute: str | None, second: str | None) -> datetime | None:
    century = 2000 if len(year) == 2 else 0
    try:
        return datetime(  # noqa: DTZ001 - the zone, if any, is put on by the caller
            century + int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0)
        )
    except ValueError:
        return None
