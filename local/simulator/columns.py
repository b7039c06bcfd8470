"""
Arrow columns from whole numbers, without a Python object per row.

Ids are of fixed width and begin with the day, so that they sort by time. Money is in cents, times in microseconds.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from local.simulator.clock import DAY, FOREVER, SECOND

TIME = pa.timestamp("us", tz="UTC")
MONEY = pa.decimal128(14, 2)
CUSTOMER_DIGITS = 8


@cache
def _four_digits() -> np.ndarray:
    """The texts 0000 to 9999 as bytes: uint8 (10000, 4)."""
    numbers = np.arange(10_000)[:, None] // np.array([1000, 100, 10, 1]) % 10
    return (numbers + ord("0")).astype(np.uint8)


def fixed(*parts: str | tuple[np.ndarray, int]) -> pa.Array:
    """Texts of fixed width put together of constants and (whole numbers >= 0 (n,), digits), such as O26063000000017.

    Numbers with more digits lose the foremost.
    """
    count = next(len(part[0]) for part in parts if not isinstance(part, str))
    width = sum(len(part) if isinstance(part, str) else part[1] for part in parts)
    text = np.empty((count, width), np.uint8)
    at = 0
    for part in parts:
        if isinstance(part, str):
            text[:, at : at + len(part)] = np.frombuffer(part.encode("ascii"), np.uint8)
            at += len(part)
            continue
        numbers, digits = part
        at += digits
        end, rest = at, numbers
        while digits > 0:
            piece = min(4, digits)
            text[:, end - piece : end] = _four_digits()[rest % 10_000][:, 4 - piece :]
            rest, end, digits = rest // 10_000, end - piece, digits - piece
    return _texts(text)


def _texts(letters: np.ndarray) -> pa.Array:
    """uint8 (n, width) as strings."""
    count, width = letters.shape
    offsets = np.arange(count + 1, dtype=np.int32) * width
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(letters)))


@cache
def _dates(century_too: bool) -> np.ndarray:
    """Every day from 1970 to 2199 as bytes: yyyy-mm-dd, or as the number yymmdd."""
    days = np.arange(84_006).astype("datetime64[D]").astype("S10")
    if century_too:
        return days.view(np.uint8).reshape(-1, 10)
    letters = days.view(np.uint8).reshape(-1, 10)[:, [2, 3, 5, 6, 8, 9]].astype(np.int64) - ord("0")
    return letters @ np.array([100_000, 10_000, 1_000, 100, 10, 1])


def day_number(time: np.ndarray) -> np.ndarray:
    """The day of each time as a number yymmdd, int64 (n,)."""
    return _dates(False)[time // DAY]


@cache
def _clock() -> np.ndarray:
    """Every second of a day as bytes, ` hh:mm:ss`: uint8 (86400, 9)."""
    seconds = np.arange(86_400)
    number = seconds // 3600 * 10_000 + seconds // 60 % 60 * 100 + seconds % 60
    digits = _four_digits()
    text = np.full((86_400, 9), ord(" "), np.uint8)
    text[:, [1, 2]], text[:, [4, 5, 7, 8]] = digits[number // 10_000][:, 2:], digits[number % 10_000]
    text[:, [3, 6]] = ord(":")
    return text


def times_as_text(column: pa.Array) -> pa.Array:
    """Whole seconds as `yyyy-mm-dd hh:mm:ss`, which is many times faster to print than Arrow's own way. UTC."""
    seconds = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False) // SECOND
    text = np.empty((len(seconds), 19), np.uint8)
    text[:, :10] = _dates(True)[seconds // 86_400]
    text[:, 10:] = _clock()[seconds % 86_400]
    made = _texts(text)
    if column.null_count == 0:
        return made
    valid = column.is_valid()
    return pc.if_else(valid, made, pa.scalar(None, pa.string()))


def customer_ids(numbers: np.ndarray) -> pa.Array:
    """C and eight digits."""
    return fixed("C", (numbers, CUSTOMER_DIGITS))


def times(microseconds: np.ndarray, is_known: np.ndarray | None = None) -> pa.Array:
    """Times of whole seconds, rounded down; null where they are FOREVER or not known."""
    seconds = microseconds // SECOND * SECOND
    unknown = microseconds >= FOREVER if is_known is None else ~is_known
    mask = unknown if unknown.any() else None
    return pa.array(seconds, pa.int64(), mask=mask).cast(TIME)


def money(cents: np.ndarray) -> pa.Array:
    """numeric(14,2) from whole cents."""
    words = np.empty((len(cents), 2), np.int64)
    words[:, 0] = cents
    words[:, 1] = cents >> 63
    return pa.Array.from_buffers(MONEY, len(cents), [None, pa.py_buffer(words)])


def words(texts: Sequence[str | None], codes: np.ndarray) -> pa.Array:
    """The texts that the codes (n,) stand for."""
    return pa.array(texts, pa.string()).take(pa.array(codes))


def shares_as_text(cumulated: np.ndarray) -> pa.Array:
    """Cumulated shares (n, k) as Postgres arrays of the shares themselves, to three decimals: {0.123,0.877}."""
    shares = np.diff(cumulated, axis=1, prepend=0)
    thousandths = np.rint(shares * 1000).astype(np.int64).clip(0, 999)
    parts: list[str | tuple[np.ndarray, int]] = []
    for index in range(shares.shape[1]):
        parts += ["{0." if index == 0 else ",0.", (thousandths[:, index], 3)]
    return fixed(*parts, "}")
